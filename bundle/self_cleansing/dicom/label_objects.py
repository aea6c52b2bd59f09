# SPDX-License-Identifier: Apache-2.0
"""Find the DICOM objects that hold labels (SEG, RTSTRUCT), and which series they were drawn on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from .headers import LABEL_MODALITIES, read_header, read_headers
from .identifiers import Identifiers
from .quiet import quiet
from .series import Series

NOBODY = Identifiers(frozenset())


@dataclass(frozen=True)
class LabelObject:
    """A SEG or RTSTRUCT file.

    Attributes:
        path: the file.
        kind: "SEG" or "RTSTRUCT".
        names: of its segments or regions, in its order.
        series_uids: SeriesInstanceUIDs that it names.
        sop_instance_uids: images that it names.
        identifiers: of the patient and of all whose data lie beside it, for masking.
    """

    path: Path = field(repr=False)
    kind: str
    names: tuple[str, ...] = field(repr=False)
    series_uids: frozenset[str] = field(repr=False)
    sop_instance_uids: frozenset[str] = field(repr=False)
    identifiers: Identifiers = field(repr=False)

    def refers_to(self, series: Series) -> bool:
        """Whether it was drawn on that series."""
        named = bool(series.series_uid) and series.series_uid in self.series_uids  # emptied UIDs say nothing
        return named or not self.sop_instance_uids.isdisjoint(filter(None, series.sop_instance_uids))


def find_label_objects(dicom_dir: str | os.PathLike) -> list[LabelObject]:
    """List every SEG and RTSTRUCT below a folder, sorted by path; empty if there is none.

    Raises:
        ValueError: if one is damaged, or something below the folder cannot be read.
    """
    root = Path(os.path.abspath(os.path.expanduser(dicom_dir)))
    headers, place = read_headers(root, recursive=True, root=root)
    return [read_label_object(one.path, root, place.identifiers) for one in headers if one.modality in LABEL_MODALITIES]


def read_label_object(
    path: str | os.PathLike, root: str | os.PathLike, identifiers: Identifiers = NOBODY
) -> LabelObject:
    """Read what a SEG or RTSTRUCT says of itself.

    Args:
        path: the file.
        root: the folder that messages start from.
        identifiers: of the patients whose data lie beside it, to be masked like the file's own.

    Raises:
        ValueError: if it cannot be read, is something else or damaged.
    """
    path = Path(os.path.abspath(path))
    try:
        header = read_header(path)
    except OSError as error:
        shown = identifiers.path(path, root)
        raise ValueError(f"file {shown} cannot be read ({error.strerror}); make it readable") from None
    identifiers |= header.identifiers
    name = identifiers.path(path, root)
    if header.modality not in LABEL_MODALITIES:
        raise ValueError(f"file {name} is no SEG or RTSTRUCT (modality {header.modality or 'none'}); give a label")
    with quiet():
        try:
            content = pydicom.dcmread(path, stop_before_pixels=True)
            if header.modality == "SEG":
                names = [str(item.get("SegmentLabel", "")) for item in content.SegmentSequence]
            else:
                names = [str(item.get("ROIName", "")) for item in content.StructureSetROISequence]
            series = {str(item.get("SeriesInstanceUID") or "") for item in _items(content)} - {""}
            images = {str(item.get("ReferencedSOPInstanceUID") or "") for item in _items(content)} - {""}
        except Exception:
            raise ValueError(f"{header.modality} {name} is damaged or incomplete; copy it again") from None
    return LabelObject(path, header.modality, tuple(names), frozenset(series), frozenset(images), identifiers)


def _items(data_set: Dataset) -> Iterator[Dataset]:
    """Every item of every sequence, however deep."""
    for element in data_set:
        if element.VR == "SQ":
            for item in element.value or ():
                yield item
                yield from _items(item)
