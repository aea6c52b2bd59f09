# SPDX-License-Identifier: Apache-2.0
"""The grid on which the slices of a series lie.

DICOM (PS3.3, C.7.6.2.1.1): a slice has the position s of its first pixel's centre and the unit vectors r along a row
and c along a column, in mm, x to the Left, y Posterior, z Superior (LPS). The voxel (i, j, k), i along the row, lies at

    s_k + i * column spacing * r + j * row spacing * c,   slices in ascending order of s . n, n = r x c.       (1)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..data.checks import AFFINE_TOLERANCE_VOXELS

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
ORIENTATION_TOLERANCE = 1e-3  # of a unit vector's component: headers round
_TILT_TOLERANCE_PX = 0.5  # shift over the whole stack
_SAME_POSITION_MM = 1e-3


def normal(orientation: Sequence[float]) -> np.ndarray:
    """Unit vector along which slices are stacked, from ImageOrientationPatient."""
    return np.cross(orientation[:3], orientation[3:])


def is_orientation(orientation: Sequence[float]) -> bool:
    """Whether these are two perpendicular unit vectors."""
    row, column = np.reshape(orientation, (2, 3))
    lengths = np.linalg.norm([row, column], axis=1)
    return bool(np.allclose(lengths, 1, atol=1e-2) and abs(row @ column) < 1e-2)


def order_along_normal(positions: np.ndarray, orientation: Sequence[float]) -> np.ndarray:
    """Indices that sort positions (N, 3) along the normal; equal ones keep their order."""
    return np.argsort(positions @ normal(orientation), kind="stable")


def check_stack(
    positions: np.ndarray,
    orientation: Sequence[float],
    pixel_spacing: Sequence[float],
    folder: str,
    name: Callable[[int], str],
    declared_spacing_mm: float = 0.0,
) -> None:
    """Refuse slices that do not make a regular grid.

    Args:
        positions: float (N, 3), N >= 1, LPS in mm, sorted along the normal.
        orientation: of all slices.
        pixel_spacing: mm between rows, between columns.
        folder: the series in errors.
        name: names slice k in errors.
        declared_spacing_mm: SpacingBetweenSlices; 0 where the header has none.

    Raises:
        ValueError: if a position is there twice, the stack leans, a slice is missing or the distances vary.
    """
    if len(positions) == 1:
        return
    along = positions @ normal(orientation)
    steps = np.diff(along)
    same = int(steps.argmin())
    if steps[same] < _SAME_POSITION_MM:
        raise ValueError(
            f"series {folder} has two slices at one position, {name(same)} and {name(same + 1)}: several phases, "
            "echoes or copies in one series; keep one image per position"
        )
    beside = positions - positions[0] - np.outer(along - along[0], normal(orientation))
    shift = np.linalg.norm(beside, axis=1).max()
    if shift > _TILT_TOLERANCE_PX * min(pixel_spacing):
        angle = np.degrees(np.arctan2(shift, along[-1] - along[0]))
        raise ValueError(
            f"slices of series {folder} are not stacked along their normal (off by {angle:.1f} degrees, {shift:.1f} mm "
            "over the stack: a tilted gantry?); correct the tilt by resampling the series and export it again"
        )
    step = float(np.median(steps))
    widest = int(steps.argmax())
    if steps[widest] > 1.5 * step:
        raise ValueError(
            f"series {folder} lacks a slice between {name(widest)} and {name(widest + 1)} (they are "
            f"{steps[widest]:.3f} mm apart, the others {step:.3f} mm); export the series again, complete"
        )
    declared = abs(declared_spacing_mm)  # nuclear medicine gives it a sign
    if declared and step > 1.5 * declared:
        raise ValueError(
            f"series {folder} lacks slices throughout: they are {step:.3f} mm apart, but SpacingBetweenSlices says "
            f"{declared:.3f} mm; export the series again, complete (or correct that value if it is wrong)"
        )
    regular = np.linspace(along[0], along[-1], len(along))
    spacing = (along[-1] - along[0]) / (len(along) - 1)
    worst = int(np.abs(along - regular).argmax())
    if abs(along[worst] - regular[worst]) > AFFINE_TOLERANCE_VOXELS * spacing:
        raise ValueError(
            f"slices of series {folder} are not equidistant (distances from {steps.min():.3f} to {steps.max():.3f} mm, "
            f"worst at {name(worst)}); export a series with one slice distance, or resample it"
        )


def stack_affine(
    positions: np.ndarray, orientation: Sequence[float], pixel_spacing: Sequence[float], single_spacing_mm: float
) -> np.ndarray:
    """Build the affine of a regular stack (Eq. 1).

    Args:
        positions: float (N, 3), sorted along the normal.
        orientation: six numbers.
        pixel_spacing: mm between rows, between columns.
        single_spacing_mm: slice distance if N = 1.

    Returns:
        float64 (4, 4), voxel (column, row, slice) -> mm in RAS, which is MONAI's convention.
    """
    row, column = np.reshape(np.asarray(orientation, float), (2, 3))
    if len(positions) == 1:
        step = normal(orientation) * single_spacing_mm
    else:
        step = (positions[-1] - positions[0]) / (len(positions) - 1)
    lps = np.eye(4)
    lps[:3, 0] = row * pixel_spacing[1]
    lps[:3, 1] = column * pixel_spacing[0]
    lps[:3, 2] = step
    lps[:3, 3] = positions[0]
    return _LPS_TO_RAS @ lps


def to_voxels(affine: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Bring LPS points (N, 3) in mm to voxel coordinates (N, 3) of a grid with a RAS affine."""
    homogeneous = np.column_stack([points, np.ones(len(points))]) @ _LPS_TO_RAS.T
    return (homogeneous @ np.linalg.inv(affine).T)[:, :3]
