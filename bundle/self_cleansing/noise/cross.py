# SPDX-License-Identifier: Apache-2.0
"""Dilation and erosion by the 3x3 cross, applied a number of times, and the rims of one pixel that it defines.

A step reaches the four neighbours of a pixel, so that many steps draw a diamond. Outside of the image is as in
`morphology`: nothing grows in from the border and nothing erodes there.
"""

from __future__ import annotations

from operator import index

import numpy as np

from .morphology import check_mask


def _grow(mask: np.ndarray) -> np.ndarray:
    """One step; shifted views cost a fraction of a general morphological operation, and the walk takes hundreds."""
    grown = mask.copy()
    grown[1:] |= mask[:-1]
    grown[:-1] |= mask[1:]
    grown[:, 1:] |= mask[:, :-1]
    grown[:, :-1] |= mask[:, 1:]
    return grown


def dilate_cross(mask: np.ndarray, steps: int) -> np.ndarray:
    """Add the four neighbours of every pixel of the mask, `steps` times.

    Args:
        mask: bool (H, W).
        steps: integer >= 0; 0 changes nothing.

    Returns:
        bool (H, W), a new array. An empty mask stays empty.

    Raises:
        ValueError: if the mask is not two-dimensional or the number of steps is negative.
        TypeError: if the mask is not boolean or the number of steps not an integer.
    """
    check_mask(mask)
    if index(steps) < 0:
        raise ValueError(f"steps must be at least 0, got {steps}; use erode_cross to shrink a mask")
    mask = mask.copy()
    for _ in range(steps):
        mask = _grow(mask)
    return mask


def erode_cross(mask: np.ndarray, steps: int) -> np.ndarray:
    """Remove every pixel with one of its four neighbours in the background, `steps` times.

    Args, Returns, Raises: as `dilate_cross`; it is the dilation of the complement, so a full mask stays full.
    """
    return ~dilate_cross(~mask, steps)


def outer_rim(mask: np.ndarray) -> np.ndarray:
    """The background pixels at distance 1 from the mask: bool (H, W) of a bool (H, W)."""
    return _grow(mask) & ~mask


def inner_rim(mask: np.ndarray) -> np.ndarray:
    """The pixels of the mask at distance 1 from the background: bool (H, W) of a bool (H, W)."""
    return outer_rim(~mask)
