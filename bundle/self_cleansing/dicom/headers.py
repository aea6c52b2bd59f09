# SPDX-License-Identifier: Apache-2.0
"""Read what this package needs of a DICOM file's header, and nothing else."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from .identifiers import IDENTIFYING, Identifiers, Place, identifying_values
from .pixel_data import DEFLATED, TRANSFER_SYNTAXES, missing_pixel_data
from .quiet import quiet

LABEL_MODALITIES = ("SEG", "RTSTRUCT")
_NO_IMAGES = (*LABEL_MODALITIES, "SR", "PR", "KO", "REG", "FID", "DOC", "PLAN", "AU", "ECG", "EEG", "EMG", "EPS", "HD")
NO_IMAGES = (*_NO_IMAGES, "RTPLAN", "RTDOSE", "RTRECORD", "RTINTENT", "RWV", "STAIN", "M3D", "ANN", "ASMT", "RESP")
DIRECTORY = "1.2.840.10008.1.3.10"  # DICOMDIR, the table of contents of a medium
_TAGS = [
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality"),
    *("Rows", "Columns", "SamplesPerPixel", "NumberOfFrames", "BitsAllocated", "PixelSpacing", "SliceThickness"),
    *("SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient", "ModalityLUTSequence"),
    *("PhotometricInterpretation", "ImageType", "SpecificCharacterSet", *IDENTIFYING),
]


@dataclass(frozen=True)
class Header:
    """One DICOM file. Texts are "" and numbers 0 or None where the file has no value.

    `problem` says what is wrong with the file or its pixel data; it is looked for in images only.
    """

    path: Path = field(repr=False)
    sop_class_uid: str = field(default="", repr=False)
    sop_instance_uid: str = field(default="", repr=False)
    study_uid: str = field(default="", repr=False)
    series_uid: str = field(default="", repr=False)
    frame_of_reference_uid: str = field(default="", repr=False)
    patient_id: str = field(default="", repr=False)
    modality: str = ""
    transfer_syntax: str = ""
    shape: tuple[int, int] = (0, 0)  # columns, rows
    samples_per_pixel: int = 1
    photometric_interpretation: str = ""
    image_type: tuple[str, ...] = ()
    frames: int = 1
    pixel_spacing: tuple[float, ...] | None = None  # between rows, between columns, mm
    slice_thickness: float = 0.0
    spacing_between_slices: float = 0.0
    position: tuple[float, ...] | None = None
    orientation: tuple[float, ...] | None = None
    lookup_table: bool = False
    problem: str = ""
    identifiers: Identifiers = field(default=Identifiers(frozenset()), repr=False)

    @property
    def is_image(self) -> bool:
        return self.modality not in NO_IMAGES and self.sop_class_uid != DIRECTORY


def read_headers(folder: Path, recursive: bool, root: Path) -> tuple[list[Header], Place]:
    """Read the header of every DICOM file (by its first bytes, whatever its name) in order of name.

    Args:
        folder: hidden files are left out.
        recursive: also of the folders below it, hidden ones aside.
        root: the folder that messages start from.

    Returns:
        The headers, and how to call files in messages: without what identifies the patient of any of them.

    Raises:
        ValueError: if a folder or file cannot be read. It is called by its place only, because its patient is unknown.
    """
    headers: list[Header] = []
    unreadable: list[tuple[Path, str]] = []

    def note(error: OSError) -> None:
        unreadable.append((Path(error.filename), _reason(error)))

    for path in _files(folder, recursive, note):
        try:
            if path.is_file() and _is_dicom(path):
                headers.append(read_header(path))
        except OSError as error:
            unreadable.append((path, _reason(error)))
    place = Place(root, Identifiers(frozenset().union(*(header.identifiers.values for header in headers))))
    if unreadable:
        path, reason = unreadable[0]
        more = f", {len(unreadable) - 1} more cannot either" if len(unreadable) > 1 else ""
        raise ValueError(
            f"{place.entries(path)} cannot be read ({reason}{more}), so nobody knows what it holds; make it readable, "
            "or move it out of the folder"
        )
    return headers, place


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__  # its text quotes the path


def _files(folder: Path, recursive: bool, onerror: Callable[[OSError], None]) -> Iterator[Path]:
    seen: set[str] = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=onerror):
        real = os.path.realpath(parent)
        folders[:] = sorted(name for name in folders if not name.startswith(".")) if recursive else []
        if real in seen:  # a link to a folder above
            folders[:] = []
            continue
        seen.add(real)
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(parent) / name


def _is_dicom(path: Path) -> bool:
    with open(path, "rb") as file:
        return file.read(132)[128:] == b"DICM"


def read_header(path: Path) -> Header:
    """Read one DICOM file's header and check the structure of an image's pixel data.

    Returns:
        The header; of a file that cannot be parsed one with `problem` and without values.

    Raises:
        OSError: if the file cannot be opened or read; its text holds the path.
    """
    with quiet(), open(path, "rb") as file:
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=_TAGS)
            values = _values(header)
            one = Header(path=path, **values)
            if not one.is_image:
                return one
            return Header(path=path, **{**values, "problem": _problem(header, one, file)})
        except OSError:
            raise
        except Exception:  # pydicom raises what it likes, and quotes values
            return Header(path=path, problem="is damaged: its header cannot be read")


def _values(header: Dataset) -> dict:
    meta = header.file_meta
    return {
        "sop_class_uid": _text(header, "SOPClassUID") or _text(meta, "MediaStorageSOPClassUID"),
        "sop_instance_uid": _text(header, "SOPInstanceUID"),
        "study_uid": _text(header, "StudyInstanceUID"),
        "series_uid": _text(header, "SeriesInstanceUID"),
        "frame_of_reference_uid": _text(header, "FrameOfReferenceUID"),
        "patient_id": _text(header, "PatientID"),
        "modality": _text(header, "Modality"),
        "transfer_syntax": _text(meta, "TransferSyntaxUID"),
        "shape": (int(header.get("Columns") or 0), int(header.get("Rows") or 0)),
        "samples_per_pixel": int(header.get("SamplesPerPixel") or 1),
        "photometric_interpretation": _text(header, "PhotometricInterpretation"),
        "image_type": _texts(header.get("ImageType")),
        "frames": int(header.get("NumberOfFrames") or 1),
        "pixel_spacing": _floats(header.get("PixelSpacing"), 2),
        "slice_thickness": float(header.get("SliceThickness") or 0),
        "spacing_between_slices": float(header.get("SpacingBetweenSlices") or 0),
        "position": _floats(header.get("ImagePositionPatient"), 3),
        "orientation": _floats(header.get("ImageOrientationPatient"), 6),
        "lookup_table": bool(header.get("ModalityLUTSequence")),
        "identifiers": Identifiers(identifying_values(header)),
    }


def _problem(header: Dataset, one: Header, file) -> str:
    if not one.sop_class_uid or not (one.modality or one.shape[0]):
        return "is damaged: its header is cut short"
    if one.transfer_syntax not in TRANSFER_SYNTAXES:
        return ""  # its rule has a sentence of its own
    expected = math.prod(one.shape) * one.samples_per_pixel * one.frames * int(header.get("BitsAllocated") or 8) // 8
    if one.transfer_syntax != DEFLATED:
        return missing_pixel_data(file, one.transfer_syntax, expected)
    pixels = pydicom.dcmread(one.path, specific_tags=["PixelData"]).get("PixelData")
    return "" if pixels and len(pixels) >= expected else "is cut short: pixel data are missing"


def _text(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    return "" if value is None else _one_line(value)


def _texts(value: Sequence[str] | str | None) -> tuple[str, ...]:
    return tuple(map(_one_line, [value] if isinstance(value, str) else value or ()))


def _one_line(value: object) -> str:
    """A value as text that a message can hold: a damaged one may have line breaks or control characters."""
    return " ".join("".join(one if one.isprintable() else " " for one in str(value)).split())


def _floats(value: Sequence | None, count: int) -> tuple[float, ...] | None:
    """`count` finite numbers, or None."""
    if value is None or isinstance(value, str | float) or len(value) != count:
        return None
    numbers = tuple(float(number) for number in value)
    return numbers if all(map(math.isfinite, numbers)) else None
