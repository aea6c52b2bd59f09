# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import os
import stat
from pathlib import Path

import pytest
from dicom.generated import write_series

from bundle.self_cleansing.dicom import PrivateMapping, dicom_cases, find_series


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
    assert list(rows[0]) == ["case", "folder", "StudyInstanceUID", "SeriesInstanceUID", "patient", "PatientID"]
    assert len(rows) == 4
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


def test_a_patient_keeps_its_number_when_others_come_and_go(tmp_path):
    data, mapping_file = tmp_path / "data", tmp_path / "map.csv"

    def patients() -> dict[str, str]:
        mapping = PrivateMapping(mapping_file)
        series = find_series(data)
        cases = mapping.number(series)
        mapping.write()
        named = mapping.patients(cases)
        return {one.folder.name: named[case] for one, case in zip(series, cases, strict=True)}

    write_series(data / "m1", patient="M")
    write_series(data / "z", patient="Z")
    assert patients() == {"m1": "patient_0001", "z": "patient_0002"}
    (data / "m1").rename(tmp_path / "gone")
    write_series(data / "a", patient="A")
    write_series(data / "m2", patient="M")  # of the first patient, whose first series is gone
    assert patients() == {"a": "patient_0003", "m2": "patient_0001", "z": "patient_0002"}
    rows = [row.rsplit(",", 2)[0] for row in mapping_file.read_text().splitlines()]  # a file as it was written once
    mapping_file.write_text("\n".join(rows) + "\n")
    assert patients() == {"a": "patient_0001", "m2": "patient_0002", "z": "patient_0003"}  # in order of the series
    (tmp_path / "gone").rename(data / "m1")
    (data / "a").rename(tmp_path / "gone")
    assert patients() == {"m1": "patient_0002", "m2": "patient_0002", "z": "patient_0003"}


def test_series_of_another_modality_are_no_cases(tmp_path):
    write_series(tmp_path / "ct")
    write_series(tmp_path / "mr", change=lambda index, image: setattr(image, "Modality", "MR"))
    assert numbers(dicom_cases(tmp_path, tmp_path / "map.csv", modality="MR")) == {"mr": "case_0001"}
    with pytest.raises(ValueError, match="modality must be null or a word of DICOM such as CT, MR or PT, got 'ct'"):
        dicom_cases(tmp_path, tmp_path / "map.csv", modality="ct")


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
        (
            "case,folder,StudyInstanceUID,SeriesInstanceUID\n7,a,,\n",
            "cases like case_0001 and patients like patient_0001",
        ),
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
