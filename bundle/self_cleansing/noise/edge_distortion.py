# SPDX-License-Identifier: Apache-2.0
"""Filled circles along the boundary of a mask, which add bumps and cut bites.

References:
    distort_edge: Zhang et al., Characterizing label errors, MICCAI 2020. We differ: the edge is the inner rim of the
        mask (theirs: Canny on the picture of the mask, which marks one side of the boundary or the other); the radius
        of a circle is the paper's |beta / 5 +/- 2| (their code draws it from 0 to a maximum).
    bump_edge: PyMIC, the noise simulation of its example for JSRT. We differ: a pixel at exactly the radius belongs to
        the circle.
"""

from __future__ import annotations

import numpy as np

from .cross import inner_rim, outer_rim
from .morphology import check_mask

RADIUS_MARGIN_PX = 2
DISTORTED_FRACTION = 0.5  # of the edge pixels, by distort_edge
BUMP_FRACTION = 0.1  # of the rim pixels, by bump_edge, twice


def _fill_circle(mask: np.ndarray, row: int, column: int, radius_px: int, value: bool) -> None:
    """Set the pixels at most `radius_px` away from a pixel, in place; what lies outside of the image is cut off."""
    top, left = max(row - radius_px, 0), max(column - radius_px, 0)
    window = mask[top : row + radius_px + 1, left : column + radius_px + 1]
    y, x = np.ogrid[top : top + window.shape[0], left : left + window.shape[1]]
    window[(y - row) ** 2 + (x - column) ** 2 <= radius_px**2] = value


def distort_edge(mask: np.ndarray, mean_radius_px: int, rng: np.random.Generator) -> np.ndarray:
    """Put a filled circle on half of the edge pixels; each is foreground or background with even odds.

    Every pixel of the inner rim is chosen with probability one half, by itself. The circles are drawn row by row, a
    later one over an earlier one. The radius of a circle is the absolute value of a uniform integer in
    [mean_radius_px - 2, mean_radius_px + 2]; a radius of 0 is the pixel alone.

    Args:
        mask: bool (H, W).
        mean_radius_px: integer >= 0.
        rng: the source of all draws.

    Returns:
        bool (H, W), a new array. A mask without an edge (empty or full) stays as it is.

    Raises:
        ValueError: if the mask is not two-dimensional.
        TypeError: if the mask is not boolean.
    """
    check_mask(mask)
    edge = np.argwhere(inner_rim(mask))
    chosen = edge[rng.random(len(edge)) < DISTORTED_FRACTION]
    low, high = mean_radius_px - RADIUS_MARGIN_PX, mean_radius_px + RADIUS_MARGIN_PX
    radii = np.abs(rng.integers(low, high, len(chosen), endpoint=True))
    values = rng.random(len(chosen)) < 0.5
    noisy = mask.copy()
    for (row, column), radius_px, value in zip(chosen.tolist(), radii.tolist(), values, strict=True):
        _fill_circle(noisy, row, column, radius_px, value)
    return noisy


def bump_edge(mask: np.ndarray, low: int, high: int, rng: np.random.Generator) -> np.ndarray:
    """Add filled circles on a tenth of the outer rim, then cut filled circles on a tenth of the new outer rim.

    Rim pixels are chosen without repetition, their number is rounded down. The radius of every circle is a uniform
    integer in [low, high].

    Args:
        mask: bool (H, W).
        low, high: integers with 0 <= low <= high, in pixels.
        rng: the source of all draws.

    Returns:
        bool (H, W), a new array. A mask with fewer than 10 rim pixels (empty and full ones have none) stays as it is.

    Raises:
        ValueError: if the mask is not two-dimensional.
        TypeError: if the mask is not boolean.
    """
    check_mask(mask)
    noisy = mask.copy()
    for value in (True, False):
        rim = np.argwhere(outer_rim(noisy))
        chosen = rng.permutation(rim)[: int(BUMP_FRACTION * len(rim))]
        radii = rng.integers(low, high, len(chosen), endpoint=True)
        for (row, column), radius_px in zip(chosen.tolist(), radii.tolist(), strict=True):
            _fill_circle(noisy, row, column, radius_px, value)
    return noisy
