# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import warnings
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
import torch
from dicom.generated import AXIAL, write_series
from monai.data import MetaTensor
from pydicom.sr.codedict import codes
from running import ROOT

from bundle.self_cleansing import __version__
from bundle.self_cleansing.dicom import dicom_cases, find_series
from bundle.self_cleansing.dicom.codes import _ABNORMAL, _ANATOMY, ABNORMAL, ANATOMY, TISSUE, coded_class
from bundle.self_cleansing.dicom.save_seg import SaveDicomSegd, label_to_seg

SHARED = Path(os.environ.get("SELF_CLEANSING_DATA", ROOT.parent / "shared" / "data")) / "dicom"
REAL = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no real DICOM: {SHARED} does not exist; set SELF_CLEANSING_DATA to the data's folder"
)
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)
CLASSES = ["liver", "spleen", "growth"]


def saved(label: np.ndarray, folder: Path, out: Path, class_names=CLASSES) -> Path:
    (case,) = dicom_cases(folder, out / "private_mapping.csv", referable=True)
    meta = {"filename_or_obj": case["case"], "affine": torch.eye(4)}
    save = SaveDicomSegd("pred", [case], class_names, out)
    save({"pred": MetaTensor(torch.as_tensor(label)[None], meta=meta)})
    return out / f"{case['case']}_seg.dcm"


def read_back(file: Path, uids: list[str]) -> np.ndarray:
    """Label map (slices, rows, columns) in the order of the source instances, by highdicom."""
    return hd.seg.segread(file).get_pixels_by_source_instance(
        uids, combine_segments=True, assert_missing_frames_are_empty=True
    )


@pytest.mark.parametrize("orientation", [AXIAL, OBLIQUE])
def test_the_file_holds_the_same_voxels_and_names_every_image(orientation, tmp_path):
    written = write_series(
        tmp_path / "data", orientation=orientation, patient="Müller^Änne", names=lambda index: f"{9 - index}"
    )
    label = np.random.default_rng(1).integers(0, 4, (8, 6, 4), dtype=np.uint8)
    label[..., 2] = 0
    file = saved(label, tmp_path / "data", tmp_path / "out")
    uids = [image.SOPInstanceUID for image in written]  # stacked along the normal
    np.testing.assert_array_equal(read_back(file, uids), label.T)
    seg = pydicom.dcmread(file)
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == written[0].SeriesInstanceUID
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == set(uids)
    assert (seg.Modality, seg.SegmentationType, seg.SOPClassUID.name) == ("SEG", "BINARY", "Segmentation Storage")
    assert str(seg.PatientName) == "Müller^Änne" and seg.PatientID == written[0].PatientID
    assert seg.StudyInstanceUID == written[0].StudyInstanceUID
    assert seg.FrameOfReferenceUID == written[0].FrameOfReferenceUID
    assert seg.SeriesInstanceUID != written[0].SeriesInstanceUID
    assert (seg.Manufacturer, seg.SoftwareVersions) == ("self-cleansing-bundle", __version__)
    assert [(one.SegmentNumber, one.SegmentLabel) for one in seg.SegmentSequence] == list(enumerate(CLASSES, 1))
    kinds = [one.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for one in seg.SegmentSequence]
    assert kinds == ["Liver", "Spleen", "Tissue"]
    for frame in seg.PerFrameFunctionalGroupsSequence:  # the place of each frame is that of the image it names
        source = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        image = written[uids.index(source)]
        np.testing.assert_allclose(
            frame.PlanePositionSequence[0].ImagePositionPatient, image.ImagePositionPatient, atol=1e-6
        )
    assert [path.name for path in (tmp_path / "out").iterdir() if path.name.startswith(".")] == []


def test_an_empty_class_keeps_its_segment_and_an_empty_case_its_frames(tmp_path):
    written = write_series(tmp_path / "data")
    uids = [image.SOPInstanceUID for image in written]
    label = np.zeros((8, 6, 4), np.uint8)
    label[2, 3, 1] = 2
    file = saved(label, tmp_path / "data", tmp_path / "out")
    seg = hd.seg.segread(file)
    assert seg.number_of_segments == 3 and seg.NumberOfFrames == 1
    np.testing.assert_array_equal(read_back(file, uids), label.T)
    file = saved(label * 0, tmp_path / "data", tmp_path / "out")  # replaces the first
    assert hd.seg.segread(file).NumberOfFrames == 12 and not read_back(file, uids).any()


def test_a_header_with_odd_or_missing_values_still_gives_a_file(tmp_path):
    def odd(index: int, image: pydicom.Dataset) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.PatientBirthDate, image.StudyDate, image.StudyTime, image.PatientSex = "1950", "n/a", "noon", "U"
        del image.AccessionNumber, image.StudyID, image.ReferringPhysicianName

    (uid, *_) = [image.SOPInstanceUID for image in write_series(tmp_path / "data", slices=1, change=odd)]
    label = np.ones((8, 6, 1), np.uint8)
    file = saved(label, tmp_path / "data", tmp_path / "out")
    np.testing.assert_array_equal(read_back(file, [uid]), label.T)
    assert pydicom.dcmread(file).PatientBirthDate == "" and pydicom.dcmread(file).PatientID == "ID-DOE^JANE"


def test_labels_that_do_not_fit_are_refused_and_nothing_is_written(tmp_path):
    write_series(tmp_path / "data")
    label = np.zeros((6, 8, 4), np.uint8)
    with pytest.raises(ValueError, match=r"label of case_0001 must have the grid of its series, 8x6x4, got 6x8x4"):
        saved(label, tmp_path / "data", tmp_path / "out")
    with pytest.raises(ValueError, match=r"case_0001 must hold values from 0 to 3, one per class .*, got 0 to 9"):
        saved(np.full((8, 6, 4), 9) * (np.arange(4) > 1), tmp_path / "data", tmp_path / "out")
    with pytest.raises(ValueError, match="must name a case of `images`, got 'x.nii'"):
        SaveDicomSegd("pred", [], CLASSES, tmp_path)(
            {"pred": MetaTensor(label[None], meta={"filename_or_obj": "x.nii"})}
        )
    with pytest.raises(ValueError, match="class_names must name at least one class"):
        SaveDicomSegd("pred", [], [], tmp_path)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["private_mapping.csv"]


def test_every_code_is_one_of_snomed_ct_as_dicom_lists_it():
    known = {}
    for name in codes.SCT.dir():
        code = getattr(codes.SCT, name)
        known.setdefault(code.value, set()).add(code.meaning)
    for code in [ANATOMY, ABNORMAL, TISSUE, *_ANATOMY, *_ABNORMAL]:
        assert code.meaning in known[code.value], code


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("LV", "Left ventricle"),
        ("Myo", "Left Ventricle Myocardium"),
        ("left_kidney", "Kidney"),
        ("liver tumour", "Neoplasm"),
        ("structure 7", "Tissue"),
    ],
)
def test_class_names_are_coded(name, meaning):
    assert coded_class(name)[1].meaning == meaning


@REAL
@pytest.mark.parametrize("name", ["ct_3slice", "ct_rtstruct"])
def test_real_series_get_a_seg_with_the_same_voxels(name, tmp_path):
    (series,) = find_series(SHARED / name)
    label = np.zeros(series.shape, np.uint8)
    label[100:250, 200:260, :] = 1
    label[300:310, 5:9, -1] = 2
    seg = label_to_seg(label, series, ["liver", "spleen"], "case_0001")
    seg.save_as(tmp_path / "x.dcm")
    np.testing.assert_array_equal(read_back(tmp_path / "x.dcm", list(series.sop_instance_uids)), label.T)
