# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import os
import stat
from pathlib import Path

import pytest
from dicom.generated import write_series

from bundle.self_cleansing.dicom import dicom_cases


def numbers(cases: list[dict[str, str]]) -> dict[str, str]:
    return {Path(case["image"]).name: case["case"] for case in cases}


def test_a_series_keeps_its_number_when_others_come_and_go(tmp_path):
    data, mapping = tmp_path / "data", tmp_path / "out" / "private_mapping.csv"
    write_series(data / "m", series_uid="1.2.1")
    write_series(data / "z", series_uid="1.2.2")
    assert numbers(dicom_cases(data, mapping)) == {"m": "case_0001", "z": "case_0002"}
    write_series(data / "a", series_uid="1.2.3")
    assert numbers(dicom_cases(data, mapping)) == {"a": "case_0003", "m": "case_0001", "z": "case_0002"}
    for file in (data / "m").iterdir():
        file.unlink()
    (data / "z").rename(data / "y")  # known by its UIDs
    write_series(data / "b", series_uid="1.2.4")
    assert numbers(dicom_cases(data, mapping)) == {"a": "case_0003", "y": "case_0002", "b": "case_0004"}
    with open(mapping, newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["case", "folder", "StudyInstanceUID", "SeriesInstanceUID"] and len(rows) == 4
    assert stat.S_IMODE(os.stat(mapping).st_mode) == 0o600


def test_series_without_uids_are_known_by_their_folder(tmp_path):
    def anonymous(index, image):
        image.StudyInstanceUID = image.SeriesInstanceUID = image.SOPInstanceUID = ""

    for name in "ba":
        write_series(tmp_path / name, change=anonymous)
        first = numbers(dicom_cases(tmp_path, tmp_path / "map.csv"))
    assert first == {"a": "case_0002", "b": "case_0001"}
    with pytest.raises(ValueError, match="series a has no StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, so a"):
        dicom_cases(tmp_path, tmp_path / "other.csv", referable=True)
    assert not (tmp_path / "other.csv").exists()


def test_a_result_of_an_unknown_case_is_never_overwritten(tmp_path):
    write_series(tmp_path / "data" / "a")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "case_0001_seg.nii.gz").write_bytes(b"somebody's")
    with pytest.raises(ValueError, match=r"case_0001_seg.nii.gz is a result, but the mapping file .* not say whose"):
        dicom_cases(tmp_path / "data", tmp_path / "out" / "private_mapping.csv")
    assert len(list((tmp_path / "out").iterdir())) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("case,folder\ncase_0001,a\n", "must have the columns case, folder, StudyInstanceUID, SeriesInstanceUID"),
        ("case,folder,StudyInstanceUID,SeriesInstanceUID\n7,a,,\n", "and cases like case_0001"),
        ("case,folder,StudyInstanceUID,SeriesInstanceUID\ncase_0001,a\n", "must have the columns"),
        ("case,folder,StudyInstanceUID,SeriesInstanceUID\ncase_0001,a,,\ncase_0001,b,,\n", "has one case twice"),
        ("case,folder,StudyInstanceUID,SeriesInstanceUID\ncase_0001,a,1,2\ncase_0002,b,1,2\n", "one series twice"),
    ],
)
def test_a_mapping_file_that_is_none_is_refused(text, message, tmp_path):
    write_series(tmp_path / "data" / "a")
    (tmp_path / "map.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        dicom_cases(tmp_path / "data", tmp_path / "map.csv")
    assert (tmp_path / "map.csv").read_text() == text
