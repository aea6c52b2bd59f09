# SPDX-License-Identifier: Apache-2.0
"""Dilation and erosion of a 2-D mask by an exact Euclidean disc.

One distance transform replaces a disc-shaped footprint: its cost does not grow with the radius. The comparison is made
on integer squared distances, so a pixel at exactly the radius is always inside the disc.
"""

from __future__ import annotations

from numbers import Real

import numpy as np
from scipy import ndimage


def check_mask(mask: np.ndarray) -> None:
    """Refuse what is not one mask of one slice.

    Raises:
        ValueError: if the mask is not two-dimensional.
        TypeError: if the mask is not boolean.
    """
    if mask.dtype != bool:
        raise TypeError(f"mask must be boolean, got {mask.dtype}; compare a label map with its class value first")
    if mask.ndim != 2:
        raise ValueError(f"mask must have the shape (H, W), got {mask.shape}; pass one slice of one class at a time")


def dilate(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """Add every pixel whose distance to the mask is at most the radius.

    What lies outside of the image counts as background: nothing grows in from the border.

    Args:
        mask: bool (H, W).
        radius_px: number >= 0, in pixels, whole or not; below 1 it changes nothing.

    Returns:
        bool (H, W), a new array. An empty mask stays empty.

    Raises:
        ValueError: if the mask is not two-dimensional or the radius is negative.
        TypeError: if the mask is not boolean or the radius not a number.
    """
    check_mask(mask)
    if isinstance(radius_px, bool) or not isinstance(radius_px, Real):
        raise TypeError(f"radius_px must be a number of pixels, got {radius_px!r}")
    if not radius_px >= 0:
        raise ValueError(f"radius_px must be at least 0, got {radius_px}; use erode to shrink a mask")
    if radius_px < 1 or not mask.any():
        return mask.copy()
    nearest = ndimage.distance_transform_edt(~mask, return_distances=False, return_indices=True)  # (2, H, W)
    offset = nearest.astype(np.int64) - np.indices(mask.shape)
    return (offset**2).sum(0) <= radius_px**2


def erode(mask: np.ndarray, radius_px: float) -> np.ndarray:
    """Keep the pixels whose distance to the background is more than the radius.

    What lies outside of the image does not erode: a mask that touches the border keeps its pixels there. Erosion is
    the dilation of the complement, so a full mask stays full.

    Args:
        mask: bool (H, W).
        radius_px: number >= 0, in pixels, whole or not; below 1 it changes nothing.

    Returns:
        bool (H, W), a new array; empty where the disc fits nowhere.

    Raises:
        ValueError, TypeError: as `dilate`.
    """
    return ~dilate(~mask, radius_px)
