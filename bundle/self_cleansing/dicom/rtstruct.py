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

XOR = "CLOSEDPLANAR_XOR"
CLOSED = ("CLOSED_PLANAR", XOR, "")


def region_masks(label: LabelObject, series: Series, regions: Sequence[str], root: str | os.PathLike) -> np.ndarray:
    """Rasterise regions: a voxel belongs to a region if its centre lies inside the contours of its slice.

    Contours of one region in one slice are united; one that lies inside another is a hole in it, one inside the hole
    an island again. Contours of type CLOSEDPLANAR_XOR are combined by exclusive or, as DICOM demands. A contour stored
    twice counts once. Voxels decide: those enclosed are the same (stored twice), or all belong to the other (inside).

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
        for number in {key for key, roi in rois.items() if str(roi.ROIName) == region}:
            mine = [one for one, (roi, _) in zip(drawn, contours, strict=True) if int(roi.ROINumber) == number]
            mask |= _roi_mask(mine, frames, series, f"{file}: region {series.identifiers.text(region)}")
    return masks


def _roi_mask(
    contours: Sequence[tuple[str, str, str, np.ndarray]], frames: set[str], series: Series, region: str
) -> np.ndarray:
    united: dict[int, list[np.ndarray]] = {}
    xored: dict[int, list[np.ndarray]] = {}
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
        slices = xored if kind == XOR else united
        slices.setdefault(index, []).append(voxels[:, :2])
    mask = np.zeros(series.shape, bool)
    for index, polygons in united.items():
        mask[..., index] |= _with_holes(_areas(polygons, series.shape[:2]), series.shape[:2])
    for index, polygons in xored.items():
        mask[..., index] |= np.logical_xor.reduce(_areas(polygons, series.shape[:2]))
    return mask


def _areas(polygons: Sequence[np.ndarray], shape: tuple[int, ...]) -> list[np.ndarray]:
    """Fill polygons (N, 2) in voxels; each area once."""
    areas = (polygon2mask(shape, polygon) for polygon in polygons)
    return list({np.packbits(area).tobytes(): area for area in areas}.values())


def _with_holes(areas: Sequence[np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Unite areas (all different); what lies inside one of them is cut out of it, with its own holes left in."""
    voxels = [np.flatnonzero(area) for area in areas]
    inside = [
        [other for other, its in zip(areas, voxels, strict=True) if other is not area and area.ravel()[its].all()]
        for area in areas
    ]
    outermost = [not any(area is one for others in inside for one in others) for area in areas]
    united = np.zeros(shape, bool)
    for area, others, outer in zip(areas, inside, outermost, strict=True):
        if outer:
            united |= area & ~_with_holes(others, shape) if others else area
    return united


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
