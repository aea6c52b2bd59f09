# SPDX-License-Identifier: Apache-2.0
"""Small DICOM files made for tests: image series, RTSTRUCT and SEG, whole or broken on purpose."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
Change = Callable[[int, Dataset], None]


def write_series(
    folder: Path,
    slices: int = 4,
    size: tuple[int, int] = (6, 8),
    orientation: Sequence[float] = AXIAL,
    spacing: tuple[float, float, float] = (0.5, 0.75, 2.0),
    origin: Sequence[float] = (-10.0, 5.0, 30.0),
    change: Change | None = None,
    patient: str = "DOE^JANE",
    names: Callable[[int], str] = "slice{}".format,
    series_uid: str | None = None,
    pixels: np.ndarray | None = None,
) -> list[Dataset]:
    """Write one CT series: `size` is rows, columns; `spacing` between rows, columns, slices; `change` edits slice k.

    A slice whose `change` sets `skip` is not written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(slices)
    series_uid, study_uid, frame_uid = series_uid or generate_uid(), generate_uid(), generate_uid()
    normal = np.cross(orientation[:3], orientation[3:])
    written = []
    for number in range(slices):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study_uid, series_uid, frame_uid
        one.Modality, one.Manufacturer, one.ImageType = "CT", "made for tests", ["ORIGINAL", "PRIMARY", "AXIAL"]
        one.PatientName, one.PatientID, one.PatientBirthDate, one.PatientSex = patient, "ID-" + patient, "", ""
        one.AccessionNumber = one.StudyID = one.StudyDate = one.StudyTime = one.ReferringPhysicianName = ""
        one.SeriesNumber, one.InstanceNumber = 1, number + 1
        one.ImagePositionPatient = [float(x) for x in np.asarray(origin) + number * spacing[2] * normal]
        one.ImageOrientationPatient = list(orientation)
        one.PixelSpacing, one.SliceThickness = list(spacing[:2]), spacing[2]
        one.Rows, one.Columns = size
        one.SamplesPerPixel, one.PhotometricInterpretation, one.PixelRepresentation = 1, "MONOCHROME2", 1
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit = 15
        one.RescaleSlope, one.RescaleIntercept = 1, -1000
        stored = rng.integers(-500, 3000, size, dtype=np.int16) if pixels is None else pixels[number]
        one.PixelData = np.ascontiguousarray(stored, np.int16).tobytes()
        if change:
            change(number, one)
        if "skip" not in one.__dict__:
            save(one, folder / names(number))
        written.append(one)
    return written


def save(data_set: FileDataset, path: Path) -> None:
    """Write a file as it is, valid or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data_set.save_as(path)


def skip(data_set: Dataset) -> None:
    """Leave this slice out."""
    data_set.__dict__["skip"] = True


def write_rtstruct(
    path: Path,
    images: Sequence[Dataset],
    regions: dict[str, list[np.ndarray]],
    frame_of_reference: str | None = None,
    kind: str = "CLOSED_PLANAR",
    names_series: bool = True,
) -> None:
    """Write an RTSTRUCT with contours (N, 3) in mm (LPS) per region."""
    first, meta = images[0], FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = RTStructureSetStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    one.SOPClassUID, one.SOPInstanceUID = RTStructureSetStorage, meta.MediaStorageSOPInstanceUID
    one.Modality, one.StudyInstanceUID, one.SeriesInstanceUID = "RTSTRUCT", first.StudyInstanceUID, generate_uid()
    one.PatientName, one.PatientID = first.PatientName, first.PatientID
    frame_of_reference = frame_of_reference or first.FrameOfReferenceUID
    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = first.SeriesInstanceUID
    series.ContourImageSequence = [_reference(image) for image in images]
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = frame_of_reference, [study] if names_series else []
    one.ReferencedFrameOfReferenceSequence = [frame]
    one.StructureSetROISequence, one.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(regions.items(), 1):
        roi, drawn = Dataset(), Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, frame_of_reference
        drawn.ReferencedROINumber, drawn.ContourSequence = number, []
        for points in contours:
            contour = Dataset()
            contour.ContourGeometricType, contour.NumberOfContourPoints = kind, len(points)
            contour.ContourData = [f"{value:.6g}" for value in points.ravel()]
            contour.ContourImageSequence = [_reference(first)]
            drawn.ContourSequence.append(contour)
        one.StructureSetROISequence.append(roi)
        one.ROIContourSequence.append(drawn)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(one, path)


def write_seg(path: Path, images: Sequence[Dataset], masks: dict[str, np.ndarray], kind: str = "BINARY") -> None:
    """Write a SEG by highdicom; masks are (slices, rows, columns) in the order of images."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    segments = [
        hd.seg.SegmentDescription(number, name, codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL")
        for number, name in enumerate(masks, 1)
    ]
    label = np.zeros(next(iter(masks.values())).shape, np.uint8)
    for number, mask in enumerate(masks.values(), 1):
        label[mask] = number
    stacked = np.stack(list(masks.values()), -1).astype(np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pixels = label if kind == "LABELMAP" else stacked
        seg = hd.seg.Segmentation(images, pixels, kind, segments, hd.UID(), 9, hd.UID(), 1, "tests", "tests", "1", "1")
        path.parent.mkdir(parents=True, exist_ok=True)
        seg.save_as(path)


def _reference(image: Dataset) -> Dataset:
    one = Dataset()
    one.ReferencedSOPClassUID, one.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return one


def ellipse(center: Sequence[float], radii: Sequence[float], z: float, points: int = 60) -> np.ndarray:
    """Contour (N, 3) in an axial plane."""
    angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
    xy = np.asarray(center) + np.column_stack([np.cos(angles), np.sin(angles)]) * radii
    return np.column_stack([xy, np.full(points, z)])


def shoelace(points: np.ndarray) -> float:
    """Area of a polygon in its first two coordinates."""
    x, y = points[:, 0], points[:, 1]
    return 0.5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1))
