# SPDX-License-Identifier: Apache-2.0
"""One label per series, from whatever holds it: SEG and RTSTRUCT that refer to it, or a NIfTI or NRRD file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np

from ..data.checks import check_same_grid
from ..data.labels import has_channel_axis, label_to_channels
from ..data.read import read_file
from .label_objects import LabelObject
from .quiet import quiet
from .rtstruct import region_masks
from .segmentation import segment_masks
from .series import Series


@dataclass(frozen=True)
class LabelSource:
    """Where the label of one series comes from: DICOM objects, or one file.

    Attributes:
        objects: SEG and RTSTRUCT of the series; () if file is given.
        file: NIfTI, NRRD or whatever else MONAI reads as a volume.
    """

    objects: tuple[LabelObject, ...] = field(default=(), repr=False)
    file: Path | None = field(default=None, repr=False)


def same_name(one: str, other: str) -> bool:
    """Whether two names of a structure differ at most in case, spaces, underscores and other signs."""
    return _plain(one) == _plain(other)


def _plain(name: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", name.casefold()))


def object_masks(
    source: LabelSource, series: Series, segments: Sequence[str], root: str | os.PathLike, absent_is_empty: bool
) -> np.ndarray:
    """Read one mask per class from the DICOM objects of a series.

    Args:
        source: with objects.
        series: that they were drawn on.
        segments: name of the segment or region of each class; `same_name` decides.
        root: the folder that messages start from.
        absent_is_empty: a class that no object names is empty instead of an error.

    Returns:
        bool (K, columns, rows, slices).

    Raises:
        ValueError: if no object names a class (those that are there are listed), several do, or one cannot be read.
    """
    sources: list[tuple[int, LabelObject]] = []  # class, and the object that holds it
    for number, segment in enumerate(segments):
        holders = [one for one in source.objects if any(same_name(segment, name) for name in one.names)]
        if len(holders) > 1:
            files = ", ".join(series.identifiers.path(one.path, root) for one in holders)
            raise ValueError(
                f"class {segment} of series {series.identifiers.path(series.folder, root)} is in {len(holders)} label "
                f"files ({files}); name the one to use with --label_file"
            )
        if not holders and not absent_is_empty:
            there = series.identifiers.texts(name for one in source.objects for name in one.names)
            raise ValueError(
                f"no segment or region of series {series.identifiers.path(series.folder, root)} is called {segment}; "
                f"there are: {there or 'none'}; name it with --segments, or pass --absent_is_empty"
            )
        sources += [(number, holder) for holder in holders]
    masks = np.zeros((len(segments), *series.shape), bool)
    for holder in source.objects:  # each is decoded once for all its classes
        numbers = [number for number, one in sources if one is holder]
        wanted = sorted({name for name in holder.names for number in numbers if same_name(segments[number], name)})
        if not wanted:
            continue
        read = segment_masks if holder.kind == "SEG" else region_masks
        for name, mask in zip(wanted, read(holder, series, wanted, root), strict=True):
            for number in numbers:
                if same_name(segments[number], name):
                    masks[number] |= mask
    return masks


def file_masks(
    file: Path, series: Series, case: str, label_names: Sequence[str], label_values: Sequence[int]
) -> np.ndarray:
    """Read one mask per class from a label file on the grid of the series.

    The file's axes may be flipped or swapped against the series (DICOM converters do that), which loses nothing;
    anything that would need resampling is refused.

    Args:
        file: the label.
        series: that it was drawn on.
        case: names the series in errors.
        label_names: of the K classes.
        label_values: value of each class in the file, all others are background; (): the values are 1..K, and no
            other may occur.

    Returns:
        bool (K, columns, rows, slices).

    Raises:
        ValueError, FileNotFoundError: if it cannot be read, lies on another grid or holds other values.
    """
    shown = series.identifiers.text(file.name)
    try:
        with quiet():
            label = read_file(file)
    except (ValueError, FileNotFoundError) as error:
        text = str(error).replace(str(file), shown)
        if series.identifiers.found_in(text):  # readers quote paths, and quotations are cut short
            text = f"label {shown} cannot be read; copy it again from its source"
        raise type(error)(text) from None
    values = label.numpy().reshape(len(label), *label.shape[1:], *[1] * (4 - label.ndim))
    affine = np.asarray(label.affine, float)
    turn = nib.orientations.ornt_transform(
        nib.orientations.io_orientation(affine), nib.orientations.io_orientation(series.affine)
    )
    affine = affine @ nib.orientations.inv_ornt_aff(turn, values.shape[1:])
    values = np.stack([nib.orientations.apply_orientation(channel, turn) for channel in values])
    check_same_grid(series.shape, values.shape[1:], case, shown, series.affine, affine)
    if label_values:
        if len(values) != 1:
            raise ValueError(f"label {shown} has {len(values)} channels, but --label_values need a map of one channel")
        return np.stack([values[0] == value for value in label_values])
    return label_to_channels(values, label_names, shown, has_channel_axis(label.meta)).astype(bool)
