# SPDX-License-Identifier: Apache-2.0
"""Find the image series below a folder, and refuse what does not make one regular volume."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .geometry import ORIENTATION_TOLERANCE, check_stack, is_orientation, order_along_normal, stack_affine
from .headers import Header, read_headers
from .identifiers import Identifiers, Place
from .pixel_data import TRANSFER_SYNTAXES

_ENHANCED = ("2.1", "2.2", "4.1", "4.3", "4.4", "128.1", "130")
ENHANCED = tuple(f"1.2.840.10008.5.1.4.1.1.{one}" for one in _ENHANCED)  # CT, MR, PET, also "legacy converted"
SECONDARY_CAPTURE = tuple(f"1.2.840.10008.5.1.4.1.1.7{one}" for one in ("", ".1", ".2", ".3", ".4"))
_ONE_OF = {  # what all images of a series share, and what it would mean if they did not
    "PatientID": ("patient_id", "two patients"),
    "StudyInstanceUID": ("study_uid", "two studies"),
    "Modality": ("modality", "two kinds of images"),
    "SOPClassUID": ("sop_class_uid", "two kinds of images"),
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Series:
    """One image series that makes a regular volume; its repr shows nothing of the patient.

    Attributes:
        folder: holds the files.
        files: sorted along the slice normal n = row x column.
        sop_instance_uids: of the files; "" where the header has none.
        sop_class_uid: of all files.
        study_uid, series_uid, frame_of_reference_uid: "" where the header has none.
        patient_id: as in the header.
        modality: "CT", "MR", ...
        shape: columns, rows, slices: the axes of arrays everywhere in this package.
        affine: float64 (4, 4), voxel (column, row, slice) -> mm in RAS.
        orientation: ImageOrientationPatient (LPS).
        identifiers: the patient's, for masking.
    """

    folder: Path = field(repr=False)
    files: tuple[Path, ...] = field(repr=False)
    sop_instance_uids: tuple[str, ...] = field(repr=False)
    sop_class_uid: str = field(repr=False)
    study_uid: str = field(repr=False)
    series_uid: str = field(repr=False)
    frame_of_reference_uid: str = field(repr=False)
    patient_id: str = field(repr=False)
    modality: str
    shape: tuple[int, int, int]
    affine: np.ndarray = field(repr=False)
    orientation: tuple[float, ...] = field(repr=False)
    identifiers: Identifiers = field(repr=False)


def find_series(dicom_dir: str | os.PathLike, modality: str | None = None) -> list[Series]:
    """List every image series below a folder; each file is known by its header, not by its name.

    Files that are no DICOM, and DICOM without an image (SEG, RTSTRUCT, reports, DICOMDIR), are passed over in silence;
    series that cannot be volumes (localizers, screenshots without a position) and folders of another modality are
    passed over, too, and logged in one line.

    Args:
        dicom_dir: searched with all folders below it, hidden ones aside.
        modality: "CT", "MR", "PT", ...: read only these; None: all.

    Returns:
        The series, sorted by folder; never empty.

    Raises:
        FileNotFoundError: if the folder does not exist.
        ValueError: if it holds no image, only such as are passed over, or one that breaks a rule (see docs/dicom.md).
            Files are named relative to dicom_dir, and without the patient's name.
    """
    root = Path(os.path.abspath(os.path.expanduser(dicom_dir)))
    if not root.is_dir():
        what = "is a file" if root.is_file() else "does not exist"
        raise FileNotFoundError(f"DICOM folder {root} {what}; give the folder that holds the series, or one above")
    headers, place = read_headers(root, recursive=True, root=root)
    images = [header for header in headers if header.is_image]
    if not images:
        raise ValueError(
            f"{root} holds no DICOM image ({len(headers)} DICOM files without one); give the folder of a series, or "
            "one above (NIfTI needs no configs/dicom.yaml)"
        )
    folders, passed_over = _by_folder(images, modality, place)
    listed = f"{len(passed_over)} image series passed over: {', '.join(passed_over)}"
    if not folders:
        remedy = f"give a folder with {modality}, or set modality" if modality else "give a folder with a volume"
        raise ValueError(f"{root} holds no series to read ({listed}); {remedy}")
    if passed_over:
        logger.warning(listed)
    series = [_series(folder, members, place) for folder, members in sorted(folders.items())]
    _check_one_folder_each(series, place)
    return series


def read_series(folder: str | os.PathLike) -> Series:
    """Read the headers of the one series that lies directly in a folder.

    Raises:
        ValueError: as `find_series`.
    """
    folder = Path(os.path.abspath(folder))
    headers, place = read_headers(folder, recursive=False, root=folder.parent)
    folders, _ = _by_folder([one for one in headers if one.is_image], None, place)
    if not folders:
        raise ValueError(f"{place(folder)} holds no DICOM image of a volume; give the folder of one image series")
    return _series(folder, folders[folder], place)


def _by_folder(
    images: Iterable[Header], modality: str | None, place: Place
) -> tuple[dict[Path, list[Header]], list[str]]:
    """Sort images by folder, and say which series are passed over and why."""
    series: dict[tuple[Path, str], list[Header]] = {}
    for image in images:
        series.setdefault((image.path.parent, image.series_uid), []).append(image)
    folders: dict[Path, list[Header]] = {}
    passed_over: list[tuple[Path, str, int]] = []
    for (folder, _), members in series.items():
        if reason := _no_volume(members):
            passed_over.append((folder, reason, len(members)))
        else:
            folders.setdefault(folder, []).extend(members)
    for folder, members in list(folders.items()):
        found = {image.modality for image in members}
        damaged = any(image.problem and not image.modality for image in members)  # whose modality nobody knows
        if modality is not None and modality not in found and not damaged:
            reason = " and ".join(place.identifiers.text(one) if one else "no modality" for one in sorted(found))
            passed_over.append((folder, reason, len(members)))
            del folders[folder]
    return folders, [f"{place(folder)} ({reason}, {count} files)" for folder, reason, count in sorted(passed_over)]


def _no_volume(images: list[Header]) -> str:
    """Say why a series cannot be a volume, whatever the state of its files; "" if it could."""
    if all("LOCALIZER" in image.image_type for image in images):
        return "localizer"
    if all(
        image.position is None and (image.sop_class_uid in SECONDARY_CAPTURE or "SCREEN SAVE" in image.image_type)
        for image in images
    ):
        return "screenshot"
    return ""


def _series(folder: Path, images: list[Header], place: Place) -> Series:
    """Check the images of one folder and put them in order."""
    name = place(folder)
    for image in images:
        if image.problem:
            raise ValueError(f"file {place(image.path)} {image.problem}; copy it again from its source")
    if len({image.series_uid for image in images}) > 1:
        raise ValueError(
            f"folder {name} mixes {len({image.series_uid for image in images})} image series ({len(images)} images); "
            "put each series into a folder of its own"
        )
    for image in images:
        _check_image(image, place)
    _check_alike(name, images, place)
    first = images[0]
    positions = np.array([image.position for image in images])
    order = order_along_normal(positions, _given(first.orientation))
    images, positions = [images[index] for index in order], positions[order]
    check_stack(
        positions,
        _given(first.orientation),
        _given(first.pixel_spacing),
        name,
        lambda index: place.identifiers.text(images[index].path.name),
        first.spacing_between_slices,
    )
    single = first.spacing_between_slices or first.slice_thickness or 1.0
    return Series(
        folder=folder,
        files=tuple(image.path for image in images),
        sop_instance_uids=tuple(image.sop_instance_uid for image in images),
        sop_class_uid=first.sop_class_uid,
        study_uid=first.study_uid,
        series_uid=first.series_uid,
        frame_of_reference_uid=first.frame_of_reference_uid,
        patient_id=first.patient_id,
        modality=first.modality or "OT",
        shape=(*first.shape, len(images)),
        affine=stack_affine(positions, _given(first.orientation), _given(first.pixel_spacing), single),
        orientation=_given(first.orientation),
        identifiers=place.identifiers,
    )


def _given(value: tuple[float, ...] | None) -> tuple[float, ...]:
    assert value is not None, "checked by _check_image"
    return value


def _check_image(image: Header, place: Place) -> None:
    """The rules that one file can break."""
    file = f"file {place(image.path)}"
    if image.transfer_syntax not in TRANSFER_SYNTAXES:
        found = place.identifiers.text(image.transfer_syntax) or "none"
        raise ValueError(
            f"{file} is compressed in a way that cannot be decoded (transfer syntax {found})"
            "; convert the series, for example to Explicit VR Little Endian or JPEG 2000"
        )
    if image.samples_per_pixel != 1:
        raise ValueError(
            f"{file} is in colour ({image.samples_per_pixel} samples per pixel); only gray images are segmented, move "
            "it out of the folder"
        )
    if image.photometric_interpretation != "MONOCHROME2":
        found = place.identifiers.text(image.photometric_interpretation) or "nothing"
        raise ValueError(
            f"{file} has gray values of another meaning than MONOCHROME2 (PhotometricInterpretation says {found}); "
            "convert the series, or move the file out of the folder"
        )
    if image.sop_class_uid in ENHANCED or image.frames > 1:
        raise ValueError(
            f"{file} is a multi-frame image ({image.frames} frames in one file); convert the series to one file per "
            "slice, for example with dcm4che's emf2sf"
        )
    if image.lookup_table:
        raise ValueError(
            f"{file} stores values through a lookup table (ModalityLUTSequence); export it with rescale slope and "
            "intercept"
        )
    if image.position is None or image.orientation is None or not is_orientation(image.orientation):
        raise ValueError(
            f"{file} has no valid ImagePositionPatient and ImageOrientationPatient, so its place in the volume is "
            "unknown; export the series again, or move the file out of the folder"
        )
    if image.pixel_spacing is None or min(image.pixel_spacing) <= 0 or 0 in image.shape:
        raise ValueError(
            f"{file} has no valid PixelSpacing, Rows and Columns, so its scale is unknown; export the series again, "
            "or move the file out of the folder"
        )


def _check_alike(name: str, images: list[Header], place: Place) -> None:
    """The rules that two files of a series can break."""
    first = images[0]
    for image in images[1:]:
        both = f"{place(first.path)} and {place(image.path)}"
        for keyword, (attribute, meaning) in _ONE_OF.items():
            if getattr(image, attribute) != getattr(first, attribute):
                raise ValueError(
                    f"slices of series {name} differ in {keyword}: {both} are of {meaning}; put each into a folder of "
                    "its own"
                )
        if image.shape != first.shape:
            sizes = " and ".join("x".join(map(str, one.shape)) for one in (first, image))
            raise ValueError(
                f"slices of series {name} differ in size: {both} have {sizes} pixels; keep slices of one size"
            )
        if not np.allclose(_given(image.pixel_spacing), _given(first.pixel_spacing), rtol=1e-3, atol=0):
            values = " and ".join("x".join(f"{mm:g}" for mm in _given(one.pixel_spacing)) for one in (first, image))
            raise ValueError(
                f"slices of series {name} differ in pixel spacing: {both} have {values} mm; keep slices of one spacing"
            )
        if not np.allclose(_given(image.orientation), _given(first.orientation), atol=ORIENTATION_TOLERANCE):
            raise ValueError(
                f"slices of series {name} have two orientations: {both} are not parallel (localisers?); put each "
                "orientation into a folder of its own"
            )
        if image.frame_of_reference_uid != first.frame_of_reference_uid:
            raise ValueError(
                f"slices of series {name} have two frames of reference: {both}, so their positions cannot be compared; "
                "put each into a folder of its own"
            )


def _check_one_folder_each(series: Iterable[Series], place: Place) -> None:
    found: dict[str, Series] = {}
    for one in series:
        other = found.setdefault(one.series_uid, one) if one.series_uid else one
        if other is not one:
            raise ValueError(
                f"one series lies in two folders, {place(other.folder)} and {place(one.folder)}: a copy, or one part "
                "of it in each; keep one folder per series"
            )
