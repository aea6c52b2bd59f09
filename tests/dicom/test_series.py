# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom.generated import save, skip, write_rtstruct, write_series
from monai.data import ITKReader, PydicomReader
from monai.transforms import LoadImage
from pydicom.uid import UID
from running import ROOT

from bundle.self_cleansing.dicom import find_label_objects, find_series, read_series

SHARED = Path(os.environ.get("SELF_CLEANSING_DATA", ROOT.parent / "shared" / "data")) / "dicom"
REAL = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no real DICOM: {SHARED} does not exist; set SELF_CLEANSING_DATA to the data's folder"
)
MR_IMAGE = UID("1.2.840.10008.5.1.4.1.1.4")
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)  # two perpendicular unit vectors


def load(folder: Path):
    return LoadImage(reader="bundle.self_cleansing.dicom.DicomSeriesReader")(folder)


def values(file: Path) -> np.ndarray:
    """Rescaled pixels (rows, columns) by pydicom alone."""
    one = pydicom.dcmread(file)
    return one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept)


def on_slice(number: int, **attributes: object):
    """A change of one slice."""

    def change(index: int, image: pydicom.Dataset) -> None:
        if index == number:
            for name, value in attributes.items():
                setattr(image, name, value)

    return change


def shifted(index: int, image: pydicom.Dataset) -> None:
    image.ImagePositionPatient = [-10.0, 5.0 + 0.7 * index, 30.0 + 2 * index]


def enhanced(index: int, image: pydicom.Dataset) -> None:
    image.NumberOfFrames = 2
    image.PixelData = image.PixelData * 2


def coloured(index: int, image: pydicom.Dataset) -> None:
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PlanarConfiguration = 3, "RGB", 0
    image.PixelData = image.PixelData * 3


def htj2k(index: int, image: pydicom.Dataset) -> None:
    image.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.201")
    from pydicom.encaps import encapsulate

    image.PixelData = encapsulate([b"\xff\x4f\xff\xd9"])
    image["PixelData"].VR = "OB"
    image["PixelData"].is_undefined_length = True


def every_second(index: int, image: pydicom.Dataset) -> None:
    image.SpacingBetweenSlices = 2.0
    if index % 2:
        skip(image)


BROKEN = {
    "missing slice": (
        lambda index, image: skip(image) if index == 2 else None,
        r"series s lacks a slice between slice1 and slice3 \(they are 4\.000 mm apart, the others 2\.000 mm\); export",
    ),
    "uneven": (
        on_slice(2, ImagePositionPatient=[-10.0, 5.0, 34.5]),
        r"series s are not equidistant \(distances from 1\.500 to 2\.500 mm, worst at slice2\)",
    ),
    "mixed": (on_slice(1, SeriesInstanceUID="1.2.3"), r"folder s mixes 2 image series \(5 images\); put each"),
    "orientations": (
        on_slice(3, ImageOrientationPatient=list(SAGITTAL)),
        r"series s have two orientations: s/slice0 and s/slice3 are not parallel",
    ),
    "tilt": (shifted, r"series s are not stacked along their normal \(off by 19\.3 degrees, 2\.8 mm"),
    "same position": (
        on_slice(2, ImagePositionPatient=[-10.0, 5.0, 32.0]),
        r"series s has two slices at one position, slice1 and slice2: several phases",
    ),
    "size": (
        on_slice(1, Rows=4, Columns=12),
        r"series s differ in size: s/slice0 and s/slice1 have 8x6 and 12x4 pixels",
    ),
    "spacing": (
        on_slice(1, PixelSpacing=[0.6, 0.75]),
        r"differ in pixel spacing: s/slice0 and s/slice1 have 0\.5x0\.75 and 0\.6x0\.75 mm",
    ),
    "no spacing": (on_slice(1, PixelSpacing=None), r"file s/slice1 has no valid PixelSpacing"),
    "frame of reference": (on_slice(1, FrameOfReferenceUID="1.2.3"), r"two frames of reference: s/slice0 and s/slice1"),
    "no position": (on_slice(1, ImagePositionPatient=None), r"file s/slice1 has no valid ImagePositionPatient"),
    "transfer syntax": (
        htj2k,
        r"file s/slice0 is compressed in a way that cannot be decoded "
        r"\(transfer syntax 1\.2\.840\.10008\.1\.2\.4\.201\); convert",
    ),
    "multi-frame": (enhanced, r"file s/slice0 is a multi-frame image \(2 frames in one file\); convert"),
    "enhanced class": (
        lambda index, image: setattr(image, "SOPClassUID", UID("1.2.840.10008.5.1.4.1.1.4.1")),
        r"file s/slice0 is a multi-frame image \(1 frames",
    ),
    "colour": (coloured, r"file s/slice0 is in colour \(3 samples per pixel\)"),
    "lookup table": (
        on_slice(0, ModalityLUTSequence=[pydicom.Dataset()]),
        r"file s/slice0 stores values through a lookup table",
    ),
    "patients": (
        on_slice(1, PatientID="SECRET"),
        r"differ in PatientID: s/slice0 and s/slice1 are of two patients; put",
    ),
    "studies": (
        on_slice(1, StudyInstanceUID="1.2.3"),
        r"differ in StudyInstanceUID: s/slice0 and s/slice1 are of two st",
    ),
    "modalities": (on_slice(1, Modality="MR"), r"differ in Modality: s/slice0 and s/slice1 are of two kinds of images"),
    "classes": (on_slice(1, SOPClassUID=MR_IMAGE), r"differ in SOPClassUID: s/slice0 and s/slice1 are of two kinds"),
    "every second slice": (
        every_second,
        r"series s lacks slices throughout: they are 4\.000 mm apart, but SpacingBetweenSlices says 2\.000 mm; export",
    ),
    "palette": (
        on_slice(0, PhotometricInterpretation="PALETTE COLOR"),
        r"file s/slice0 has gray values of another meaning than MONOCHROME2 \(PhotometricInterpretation says PALETTE",
    ),
    "inverted": (
        on_slice(0, PhotometricInterpretation="MONOCHROME1"),
        r"\(PhotometricInterpretation says MONOCHROME1\)",
    ),
    "no pixels": (
        lambda index, image: delattr(image, "PixelData") if index == 1 else None,
        r"file s/slice1 has no pixel data \(a header only, or cut short\)",
    ),
    "few pixels": (
        on_slice(1, PixelData=bytes(40)),
        r"file s/slice1 is cut short: 40 of 96 bytes of pixel data are there",
    ),
}


def write_broken(kind: str, folder: Path) -> None:
    write_series(folder, slices=5, change=BROKEN[kind][0])


@pytest.mark.parametrize("kind", BROKEN)
def test_each_broken_series_is_refused_in_one_sentence(kind, tmp_path):
    write_broken(kind, tmp_path / "s")
    with pytest.raises(ValueError, match=BROKEN[kind][1]) as raised:
        find_series(tmp_path)
    assert "\n" not in str(raised.value) and "; " in str(raised.value)  # one sentence with a remedy
    assert "SECRET" not in str(raised.value) and "1.2.3" not in str(raised.value)


def test_a_damaged_value_does_not_break_the_sentence_it_stands_in(tmp_path):
    write_series(tmp_path / "s", slices=1)
    file = tmp_path / "s" / "slice0"
    file.write_bytes(file.read_bytes().replace(b"1.2.840.10008.1.2.1", b"1.2\n840\x1b[2J08.1.2.1"))
    with pytest.raises(ValueError, match=r"\(transfer syntax 1\.2 840 \[2J08\.1\.2\.1\); convert") as raised:
        find_series(tmp_path)
    assert str(raised.value).isprintable()


def test_slices_as_far_apart_as_the_header_says_pass(tmp_path):
    write_series(tmp_path / "a", change=lambda index, image: setattr(image, "SpacingBetweenSlices", 2.0))
    write_series(tmp_path / "b", change=lambda index, image: setattr(image, "SpacingBetweenSlices", -2.0))
    assert len(find_series(tmp_path)) == 2


def screenshot(index: int, image: pydicom.Dataset) -> None:
    image.SOPClassUID, image.ImageType = UID("1.2.840.10008.5.1.4.1.1.7"), ["DERIVED", "SECONDARY", "SCREEN SAVE"]
    del image.ImagePositionPatient, image.ImageOrientationPatient, image.PixelSpacing
    coloured(index, image)


def coloured_mr(index: int, image: pydicom.Dataset) -> None:
    image.Modality = "MR"
    coloured(index, image)


def localizer(index: int, image: pydicom.Dataset) -> None:
    image.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]
    image.ImageOrientationPatient = list(SAGITTAL if index else (1, 0, 0, 0, 1, 0))


def test_series_that_cannot_be_volumes_are_passed_over_and_listed(tmp_path, caplog):
    write_series(tmp_path / "ct")
    write_series(tmp_path / "ct", slices=1, change=screenshot, names="dose{}".format)  # beside the images, too
    write_series(tmp_path / "DOE_scout", slices=2, change=localizer)
    write_series(tmp_path / "mr", slices=3, change=coloured_mr)
    (series,) = find_series(tmp_path, "CT")
    assert series.folder.name == "ct" and len(series.files) == 4 and load(series.folder).shape == (8, 6, 4)
    (line,) = [one for one in caplog.messages if "passed over" in one]
    assert line == (
        "3 image series passed over: [entry 1] (localizer, 2 files), ct (screenshot, 1 files), mr (MR, 3 files)"
    )
    with pytest.raises(ValueError, match="file mr/slice0 is in colour"):  # without a modality nothing else is let pass
        find_series(tmp_path)
    with pytest.raises(
        ValueError, match=r"holds no series to read \(4 image series passed over: .* ct \(CT, 4 files\)"
    ):
        find_series(tmp_path, "PT")
    with pytest.raises(ValueError, match=r"\[entry 1\] holds no DICOM image of a volume"):
        load(tmp_path / "DOE_scout")


def test_a_localizer_among_the_images_of_a_series_is_still_refused(tmp_path):
    write_series(tmp_path / "s", change=lambda index, image: localizer(1, image) if index == 2 else None)
    with pytest.raises(ValueError, match="series s have two orientations"):
        find_series(tmp_path)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no /proc/self/mem, a file that even root cannot read")
def test_a_file_that_cannot_be_read_is_called_by_its_place(tmp_path):
    images = write_series(tmp_path / "JONES" / "b")
    write_rtstruct(tmp_path / "JONES" / "b" / "rt", images, {})
    (tmp_path / "JONES" / "a_SMITH").symlink_to("/proc/self/mem")  # nothing says that these are names
    for read in (find_series, find_label_objects):
        with pytest.raises(ValueError, match=r"^\[entry 1\]/\[entry 1\] cannot be read \(Input/output error\), so"):
            read(tmp_path)
    with pytest.raises(ValueError, match=r"^\[entry 1\]/\[entry 1\] cannot be read"):
        read_series(tmp_path / "JONES")


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    write_series(tmp_path / "a")
    (tmp_path / "SMITH" / "ct").mkdir(parents=True)
    scandir = os.scandir

    def denied(path):  # tests may run as root, whom no mode stops
        if Path(path).name == "SMITH":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    for read in (find_series, find_label_objects):
        with pytest.raises(ValueError, match=r"^\[entry 1\] cannot be read \(Permission denied\), so nobody knows"):
            read(tmp_path)


@pytest.mark.parametrize("keep", [140, 400, 700, -200, -50, -1])
def test_a_file_cut_anywhere_is_refused(keep, tmp_path):
    write_series(tmp_path / "s")
    whole = (tmp_path / "s" / "slice1").read_bytes()
    (tmp_path / "s" / "slice1").write_bytes(whole[:keep])
    with pytest.raises(ValueError, match=r"file s/slice1 (is cut short|is damaged|has no pixel data)"):
        find_series(tmp_path)


@pytest.mark.parametrize("keep", [-1, -9, -40])
def test_a_compressed_file_cut_short_is_refused(keep, tmp_path):
    written = write_series(tmp_path / "s", size=(32, 32))
    for image, file in zip(written, sorted((tmp_path / "s").iterdir()), strict=True):
        image.compress(pydicom.uid.RLELossless)
        save(image, file)
    assert len(find_series(tmp_path)) == 1
    file = tmp_path / "s" / "slice2"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"file s/slice2 is cut short in its compressed pixel data"):
        find_series(tmp_path)


def test_pixels_that_cannot_be_decoded_are_named_when_they_are_read(tmp_path):
    written = write_series(tmp_path / "s", size=(32, 32))
    for number, (image, file) in enumerate(zip(written, sorted((tmp_path / "s").iterdir()), strict=True)):
        image.compress(pydicom.uid.JPEG2000Lossless)
        if number == 2:
            image.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f" + b"\x00" * 60 + b"\xff\xd9"])
        save(image, file)
    with pytest.raises(ValueError, match=r"pixel data of file s/slice2 cannot be decoded: the file is damaged; copy"):
        load(tmp_path / "s")


def test_folders_without_images_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist; give the folder"):
        find_series(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("no DICOM")
    with pytest.raises(ValueError, match=r"holds no DICOM image \(0 DICOM files without one\)"):
        find_series(tmp_path)
    with pytest.raises(FileNotFoundError, match="notes.txt is a file; give the folder"):
        find_series(tmp_path / "notes.txt")


def test_one_series_in_two_folders_is_refused(tmp_path):
    write_series(tmp_path / "a", series_uid="1.2.3")
    write_series(tmp_path / "b", series_uid="1.2.3")
    with pytest.raises(ValueError, match="one series lies in two folders, a and b"):
        find_series(tmp_path)


def test_files_are_found_by_header_whatever_their_name(tmp_path):
    images = write_series(tmp_path / "deep" / "er" / "s", names="IM_{}.txt".format)
    write_series(tmp_path / "other", names="{}".format, slices=2)
    write_rtstruct(tmp_path / "deep" / "er" / "s" / "rt", images, {})
    (tmp_path / "other" / "README").write_text("about")
    (tmp_path / "other" / ".hidden").write_bytes((tmp_path / "other" / "0").read_bytes())
    (tmp_path / "deep" / "again").symlink_to(tmp_path)  # a ring
    series = find_series(tmp_path)
    assert [one.folder.name for one in series] == ["s", "other"]
    assert [len(one.files) for one in series] == [4, 2]
    (label,) = find_label_objects(tmp_path)
    assert label.kind == "RTSTRUCT" and [label.refers_to(one) for one in series] == [True, False]


def test_a_single_slice_takes_its_spacing_from_the_header(tmp_path):
    write_series(tmp_path / "a", slices=1)
    write_series(tmp_path / "b", slices=1, change=on_slice(0, SpacingBetweenSlices=7.5))
    a, b = find_series(tmp_path)
    assert a.affine[2, 2] == 2.0 and b.affine[2, 2] == 7.5
    assert load(a.folder).shape == (8, 6, 1)


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, 1, 0), SAGITTAL, OBLIQUE])
def test_oblique_mr_in_reversed_order_with_a_slope_per_slice(orientation, tmp_path):
    def change(index, image):
        image.Modality, image.SOPClassUID = "MR", MR_IMAGE
        image.InstanceNumber = 10 - index
        image.RescaleSlope, image.RescaleIntercept = [1, 0.25, 2.5, 1.125][index], index

    write_series(tmp_path / "s", change=change, orientation=orientation, names=lambda index: f"{9 - index}")
    (series,) = find_series(tmp_path)
    assert [file.name for file in series.files] == ["9", "8", "7", "6"]  # by position
    image = load(series.folder)
    np.testing.assert_allclose(
        image.numpy(), np.stack([values(file).T for file in series.files], -1), rtol=1e-6, err_msg="slope, intercept"
    )
    for index, file in enumerate(series.files):  # by hand, after DICOM PS3.3 C.7.6.2.1.1
        one = pydicom.dcmread(file)
        x, y = np.reshape(one.ImageOrientationPatient, (2, 3))
        lps = np.array(one.ImagePositionPatient) + 3 * x * one.PixelSpacing[1] + 2 * y * one.PixelSpacing[0]
        np.testing.assert_allclose(series.affine @ [3, 2, index, 1], [-lps[0], -lps[1], lps[2], 1], atol=1e-9)
    np.testing.assert_allclose(image.affine, series.affine)
    by_itk = LoadImage(reader=ITKReader())(series.folder)
    np.testing.assert_allclose(by_itk.affine, series.affine, atol=1e-6)


def test_the_reader_s_metadata_hold_geometry_and_nothing_else(tmp_path):
    write_series(tmp_path / "s")
    image = load(tmp_path / "s")
    assert set(map(str, image.meta)) == {
        *("affine", "original_affine", "space", "spacing", "spatial_shape", "original_channel_dim", "filename_or_obj")
    }
    assert image.meta["original_channel_dim"] == "no_channel" or np.isnan(image.meta["original_channel_dim"])


@pytest.mark.parametrize(
    "syntax", ["RLELossless", "JPEG2000Lossless", "JPEGLSLossless", "DeflatedExplicitVRLittleEndian"]
)
def test_accepted_compressions_decode_to_the_same_values(syntax, tmp_path):
    written = write_series(tmp_path / "s", size=(32, 32))
    plain = load(tmp_path / "s").numpy()
    for image, file in zip(written, sorted((tmp_path / "s").iterdir()), strict=True):
        if syntax.startswith("Deflated"):
            image.file_meta.TransferSyntaxUID = getattr(pydicom.uid, syntax)
        else:
            image.compress(getattr(pydicom.uid, syntax))
        save(image, file)
    np.testing.assert_array_equal(load(tmp_path / "s").numpy(), plain)


@REAL
@pytest.mark.parametrize("name", ["ct_3slice", "ct_rtstruct", "abdominal_ct_dicom"])
def test_real_series_have_the_values_and_the_place_that_pydicom_gives(name):
    (series,) = find_series(SHARED / name)
    image = load(series.folder)
    np.testing.assert_array_equal(image.numpy(), np.stack([values(file).T for file in series.files], -1))
    assert image.min() < -1000 and image.max() > 100  # Hounsfield units
    files = [str(file) for file in series.files]
    reader = PydicomReader()
    by_pydicom = [reader.get_data(reader.read(file))[1]["affine"] for file in (files[0], files[-1])]
    np.testing.assert_allclose(by_pydicom[0][:, [0, 1, 3]], series.affine[:, [0, 1, 3]], atol=1e-6)
    last = series.affine @ [0, 0, len(files) - 1, 1]
    np.testing.assert_allclose(by_pydicom[1][:, 3], last, atol=1e-4)


def test_the_package_imports_no_highdicom():
    code = "import sys, bundle.self_cleansing.dicom; sys.exit('highdicom' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT).returncode == 0
