# SPDX-License-Identifier: Apache-2.0
"""Change a mask step by step until the number of changed pixels is near a given fraction of its area.

Reference: Li et al., Superpixel-guided iterative learning from noisy labels, MICCAI 2021; used again for the T-Loss
(Gonzalez-Jimenez et al., MICCAI 2023). We differ in `move_by_area`: the rotation is about the centroid of the mask
(theirs: of the image, which alone carries an off-centre organ away from its place), all eight directions are distinct
(their list repeats one), the step is the first that passes the fraction or the one before (theirs: the last one that a
binary search tried), and the mask never leaves the image. The border does not erode here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import inf

import numpy as np
from scipy import ndimage

from .cross import dilate_cross, erode_cross
from .morphology import check_mask

MAX_SHIFT_STEPS = 100


def _nearest(mask: np.ndarray, states: Iterable[np.ndarray], area_fraction: float) -> np.ndarray:
    """Of the states up to the first that passes the target: the one whose change to the mask is nearest to it.

    An empty state ends the search, so that no mask is emptied.
    """
    target = area_fraction * np.count_nonzero(mask)
    best, best_gap = mask, inf
    for state in states:
        if not state.any():
            break
        changed = np.count_nonzero(state ^ mask)
        if abs(changed - target) <= best_gap:
            best, best_gap = state, abs(changed - target)
        if changed >= target:
            break
    return best.copy()


def _steps(mask: np.ndarray, step: Callable[[np.ndarray, int], np.ndarray]) -> Iterator[np.ndarray]:
    """The mask after 0, 1, 2, ... steps, as long as they change it and do not fill the image."""
    yield mask
    before, mask = mask, step(mask, 1)
    while (mask != before).any() and not mask.all():
        yield mask
        before, mask = mask, step(mask, 1)


def _shifts(mask: np.ndarray, down: int, right: int) -> Iterator[np.ndarray]:
    """The mask moved by 0, 1, 2, ... steps; what leaves the image is lost, what enters is background."""
    height, width = mask.shape
    rows, columns = np.nonzero(mask)
    for step in range(MAX_SHIFT_STEPS + 1):
        y, x = rows + step * down, columns + step * right
        inside = (0 <= y) & (y < height) & (0 <= x) & (x < width)
        moved = np.zeros_like(mask)
        moved[y[inside], x[inside]] = True
        yield moved


def rotate(mask: np.ndarray, angle_deg: float) -> np.ndarray:
    """Turn a mask about its centroid (linear interpolation, threshold one half).

    Args:
        mask: bool (H, W), not empty.
        angle_deg: degrees, from the first axis towards the second.

    Returns:
        bool (H, W), a new array; what leaves the image is lost.
    """
    cosine, sine = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    back = np.array([[cosine, sine], [-sine, cosine]])  # where a pixel of the result comes from
    centroid = np.argwhere(mask).mean(0)
    return ndimage.affine_transform(mask.astype(float), back, centroid - back @ centroid, order=1) >= 0.5


def dilate_by_area(mask: np.ndarray, area_fraction: float) -> np.ndarray:
    """Dilate with the 3x3 cross until the area has grown by the fraction; keep the nearer of the last two.

    Args:
        mask: bool (H, W).
        area_fraction: number > 0; 0.5 adds half of the mask's area.

    Returns:
        bool (H, W), a new array. An empty mask stays empty, no mask fills the image, and a mask so small that a single
        step is too much stays as it is.

    Raises:
        ValueError: if the mask is not two-dimensional.
        TypeError: if the mask is not boolean.
    """
    check_mask(mask)
    return _nearest(mask, _steps(mask, dilate_cross), area_fraction)


def erode_by_area(mask: np.ndarray, area_fraction: float) -> np.ndarray:
    """Erode with the 3x3 cross until the area has shrunk by the fraction; keep the nearer of the last two.

    Args, Returns, Raises: as `dilate_by_area`; a full mask stays full, and no mask becomes empty.
    """
    check_mask(mask)
    return _nearest(mask, _steps(mask, erode_cross), area_fraction)


def move_by_area(mask: np.ndarray, area_fraction: float, angle_deg: float, down: int, right: int) -> np.ndarray:
    """Rotate about the centroid, then shift until the changed pixels reach the fraction of the mask's area.

    Args:
        mask: bool (H, W).
        area_fraction: number > 0: pixels in one of the two masks only, over the pixels of the mask.
        angle_deg: degrees, from the first axis towards the second.
        down, right: the shift of one step in pixels along the two axes, each -1, 0 or 1; at most 100 steps.

    Returns:
        bool (H, W), a new array. If the rotation alone passes the fraction there is no shift. An empty mask stays
        empty, and no mask leaves the image.

    Raises:
        ValueError: if the mask is not two-dimensional.
        TypeError: if the mask is not boolean.
    """
    check_mask(mask)
    if not mask.any():
        return mask.copy()
    return _nearest(mask, _shifts(rotate(mask, angle_deg), down, right), area_fraction)
