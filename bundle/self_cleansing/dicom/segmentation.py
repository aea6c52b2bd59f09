# SPDX-License-Identifier: Apache-2.0
"""Frames of a DICOM SEG become masks on the grid of the series they were drawn on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from ..data.checks import AFFINE_TOLERANCE_VOXELS
from .geometry import ORIENTATION_TOLERANCE, to_voxels
from .label_objects import LabelObject
from .quiet import quiet
from .series import Series


@dataclass(frozen=True)
class _Frame:
    segment: int  # 0: the pixels are segment numbers (LABELMAP)
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, ...]


def segment_masks(label: LabelObject, series: Series, segments: Sequence[str], root: str | os.PathLike) -> np.ndarray:
    """Put the frames of segments into the slices at whose positions they lie.

    Args:
        label: a SEG of type BINARY, FRACTIONAL (from one half on is inside) or LABELMAP.
        series: that it was drawn on.
        segments: segment labels, exactly as in `label.names`; of several segments with one label the union is taken.
        root: the folder that messages start from.

    Returns:
        bool (len(segments), columns, rows, slices). Slices without a frame are False: SEG may leave out empty ones.

    Raises:
        ValueError: if the SEG refers to another series, is damaged, or has a frame off the series' grid.
    """
    file = f"SEG {series.identifiers.path(label.path, root)}"
    if not label.refers_to(series):
        raise ValueError(
            f"{file} refers to another series than {series.identifiers.path(series.folder, root)}; give the SEG that "
            "was drawn on this one"
        )
    with quiet():
        try:
            content = pydicom.dcmread(label.path)
            numbers = {int(item.SegmentNumber): str(item.get("SegmentLabel", "")) for item in content.SegmentSequence}
            frames = _frames(content)
            pixels = content.pixel_array.reshape(len(frames), content.Rows, content.Columns)
            threshold = float(content.get("MaximumFractionalValue") or 1) / 2
        except Exception:  # pydicom raises what it likes, and quotes values
            raise ValueError(f"{file} is damaged or its pixels cannot be decoded; copy it again") from None
    masks = np.zeros((len(segments), *series.shape), bool)
    for frame, plane in zip(frames, pixels, strict=True):
        slice_number = _slice_of(frame, plane.shape[::-1], series, file)
        for mask, segment in zip(masks, segments, strict=True):
            wanted = [number for number, name in numbers.items() if name == segment]
            if not frame.segment:
                mask[..., slice_number] |= np.isin(plane, wanted).T
            elif frame.segment in wanted:
                mask[..., slice_number] |= (plane >= threshold).T
    return masks


def _frames(content: Dataset) -> list[_Frame]:
    shared = content.SharedFunctionalGroupsSequence[0]

    def group(frame: Dataset, keyword: str) -> Dataset:
        return (frame if keyword in frame else shared)[keyword][0]

    labelmap = content.SegmentationType == "LABELMAP"
    frames = []
    for frame in content.PerFrameFunctionalGroupsSequence:
        identification = None if labelmap else group(frame, "SegmentIdentificationSequence")
        frames.append(
            _Frame(
                int(identification.ReferencedSegmentNumber) if identification else 0,
                tuple(map(float, group(frame, "PlanePositionSequence").ImagePositionPatient)),
                tuple(map(float, group(frame, "PlaneOrientationSequence").ImageOrientationPatient)),
                tuple(map(float, group(frame, "PixelMeasuresSequence").PixelSpacing)),
            )
        )
    return frames


def _slice_of(frame: _Frame, size: tuple[int, ...], series: Series, file: str) -> int:
    """Number of the slice that a frame covers exactly."""
    spacing = np.linalg.norm(series.affine[:3, :3], axis=0)
    corner = to_voxels(series.affine, np.array([frame.position]))[0]
    number = round(float(corner[2]))
    fits = (
        size == series.shape[:2]
        and np.allclose(frame.orientation, series.orientation, atol=ORIENTATION_TOLERANCE)
        and np.allclose(frame.pixel_spacing[::-1], spacing[:2], rtol=1e-3)
        and 0 <= number < series.shape[2]
        and np.abs(corner - [0, 0, number]).max() <= AFFINE_TOLERANCE_VOXELS
    )
    if not fits:
        raise ValueError(
            f"{file} has a frame that does not lie on a slice of its series ({size[0]}x{size[1]} pixels, corner at "
            f"voxel {', '.join(f'{one:.2f}' for one in corner)}); resample the SEG onto the series"
        )
    return number
