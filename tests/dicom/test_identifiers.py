# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pydicom
import pytest
from dicom.generated import write_series
from pydicom.dataset import Dataset

from bundle.self_cleansing.dicom import Identifiers, find_series
from bundle.self_cleansing.dicom.identifiers import identifying_values


def identifiers(**values: object) -> Identifiers:
    header = Dataset()
    for keyword, value in values.items():
        setattr(header, keyword, value)
    return Identifiers(identifying_values(header))


@pytest.mark.parametrize(
    "folder",
    [
        *("Müller_Anna", "MUELLER", "muller-a-ct", "anna", "CT Anna Maria", "pat4711", "P-4711", "p4711x"),
        *("1970-01-31", "31.01.1970", "310170", "A998877", "li", "scan_LI_2"),
    ],
)
def test_names_numbers_and_dates_are_recognised_however_they_are_written(folder):
    found = identifiers(
        PatientName="Müller^Anna Maria=LI^WEI",
        PatientID="P4711",
        OtherPatientIDs=["4711", "x"],
        PatientBirthDate="19700131",
        AccessionNumber="A998877",
    )
    assert found.found_in(folder) and found.text(folder) == "***"


@pytest.mark.parametrize("folder", ["liver", "CT_0001", "series2", "1970", "annotated", "olive"])
def test_other_words_stay(folder):
    found = identifiers(PatientName="Li^Ann", PatientID="47", PatientBirthDate="19700131")
    assert found.text(folder) == folder


def test_paths_name_a_part_by_its_place_among_its_siblings(tmp_path):
    (tmp_path / "b_doe" / "ct").mkdir(parents=True)
    (tmp_path / "a").mkdir()
    found = identifiers(PatientName="Doe^J")
    assert found.path(tmp_path / "b_doe" / "ct", tmp_path) == "[entry 2]/ct"
    assert found.path(tmp_path, tmp_path) == "."


def test_errors_about_a_patient_s_folder_do_not_name_the_patient(tmp_path):
    write_series(tmp_path / "DOE_JANE" / "1", slices=2)
    write_series(
        tmp_path / "DOE_JANE" / "2",
        change=lambda index, image: setattr(image, "PixelData", b"\0\0") if index == 3 else None,
        names=lambda index: f"doe{index}",
    )
    with pytest.raises(ValueError, match=r"file \[entry 1\]/2/\[entry 4\] is cut short"):
        find_series(tmp_path)


def test_odd_values_are_not_printed(tmp_path, capfd, caplog):
    def change(index: int, image: Dataset) -> None:
        image.PatientBirthDate = "not-a-date-SECRET"
        image.StudyInstanceUID = "1.2.SECRET"

    with pydicom.config.disable_value_validation():
        write_series(tmp_path / "s", change=change)
    (series,) = find_series(tmp_path)  # warnings are errors here
    assert "SECRET" not in repr(series) + caplog.text + "".join(capfd.readouterr())
