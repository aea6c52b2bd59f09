# SPDX-License-Identifier: Apache-2.0
"""Contours of an RTSTRUCT become masks on the grid of the series they were drawn on."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from skimage.draw import polygon2mask

from ..data.checks import AFFINE_TOLERANCE_VOXELS
from .geometry import to_voxels
from .label_objects import LabelObject
from .quiet import quiet
from .series import Series

CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "")


def region_masks(label: LabelObject, series: Series, regions: Sequence[str], root: str | os.PathLike) -> np.ndarray:
    """Rasterise regions: a voxel belongs to a region if its centre lies inside the contours of its slice.

    Contours of one region in one slice are combined by exclusive or, so that one inside another is a hole.

    Args:
        label: an RTSTRUCT.
        series: that it was drawn on.
        regions: ROI names, exactly as in `label.names`; of several ROIs with one name the union is taken.
        root: the folder that messages start from.

    Returns:
        bool (len(regions), columns, rows, slices). A region without contours is all False.

    Raises:
        ValueError: if the file is damaged, a contour is of another frame of reference, open, or off the slices.
    """
    file = f"RTSTRUCT {series.identifiers.path(label.path, root)}"
    masks = np.zeros((len(regions), *series.shape), bool)
    with quiet():
        try:
            content = pydicom.dcmread(label.path)
            rois = {int(roi.ROINumber): roi for roi in content.StructureSetROISequence}
            contours = [
                (rois[int(item.ReferencedROINumber)], contour)
                for item in content.get("ROIContourSequence") or ()
                for contour in item.get("ContourSequence") or ()
            ]
            frames = _frames_of_series(content, series)
            drawn = [
                (str(roi.ROIName), str(roi.get("ReferencedFrameOfReferenceUID", "")), _kind(contour), _points(contour))
                for roi, contour in contours
            ]
        except Exception:  # pydicom raises what it likes, and quotes values
            raise ValueError(f"{file} is damaged or incomplete; copy it again from its source") from None
    for region, mask in zip(regions, masks, strict=True):
        for number in {number for number, roi in rois.items() if str(roi.ROIName) == region}:
            mine = [one for one, (roi, _) in zip(drawn, contours, strict=True) if int(roi.ROINumber) == number]
            mask |= _roi_mask(mine, frames, series, f"{file}: region {series.identifiers.text(region)}")
    return masks


def _roi_mask(
    contours: Sequence[tuple[str, str, str, np.ndarray]], frames: set[str], series: Series, region: str
) -> np.ndarray:
    mask = np.zeros(series.shape, bool)
    for _, frame_of_reference, kind, points in contours:
        if frame_of_reference and frame_of_reference not in frames:
            raise ValueError(
                f"{region} lies in another frame of reference than the series, so its place is unknown; use the "
                "RTSTRUCT that was drawn on this series"
            )
        if kind not in CLOSED:
            raise ValueError(f"{region} has a contour of type {kind}; only closed contours enclose voxels, remove it")
        voxels = to_voxels(series.affine, points)
        if len(voxels) < 3:  # encloses nothing
            continue
        index = round(float(np.median(voxels[:, 2])))
        off = float(np.abs(voxels[:, 2] - index).max())
        if not 0 <= index < series.shape[2] or off > AFFINE_TOLERANCE_VOXELS:
            height = float(np.median(points[:, 2]))
            raise ValueError(
                f"{region} has a contour that lies in no slice (z about {height:.2f} mm, {off:.2f} slices off the "
                "nearest plane of the grid, or beyond its ends); use the RTSTRUCT that was drawn on this series"
            )
        mask[..., index] ^= polygon2mask(series.shape[:2], voxels[:, :2])
    return mask


def _frames_of_series(content: Dataset, series: Series) -> set[str]:
    """Frames of reference that stand for the series: its own, and any under which the file lists this very series.

    Some writers invent a frame of reference, but name the series.
    """
    frames = {series.frame_of_reference_uid}
    for frame in content.get("ReferencedFrameOfReferenceSequence") or ():
        for study in frame.get("RTReferencedStudySequence") or ():
            listed = {str(one.get("SeriesInstanceUID")) for one in study.get("RTReferencedSeriesSequence") or ()}
            if series.series_uid and series.series_uid in listed:
                frames.add(str(frame.get("FrameOfReferenceUID", "")))
    return frames


def _kind(contour: Dataset) -> str:
    return str(contour.get("ContourGeometricType", "")).upper()


def _points(contour: Dataset) -> np.ndarray:
    return np.array([float(number) for number in contour.get("ContourData") or ()]).reshape(-1, 3)
