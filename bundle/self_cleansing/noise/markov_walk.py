# SPDX-License-Identifier: Apache-2.0
"""A boundary that walks at random: spatially correlated label errors.

Symbols: theta1 probability of an outward step, theta2 of flipping a rim pixel, theta3 of flipping any pixel.

Reference: Yao et al., Learning to segment from noisy annotations: a spatial correction approach, ICLR 2023. We differ:
an empty mask stays empty (theirs gains specks from theta3), the blur is computed in floating point instead of 8 bits,
and volumes are treated slice by slice (theirs: in 3-D, with a blur of sigma 1).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from .cross import inner_rim, outer_rim
from .morphology import check_mask

BLUR_SIGMA_PX = 2.0
BLUR_RADIUS_PX = 2  # a window of 5x5


def boundary_walk(
    mask: np.ndarray, steps: int, theta1: float, theta2: float, theta3: float, rng: np.random.Generator
) -> np.ndarray:
    """Let the boundary walk, sprinkle single flips, and smooth.

    Every step takes the outer rim of one pixel with probability theta1, else the inner rim, and flips each of its
    pixels with probability theta2. Then every pixel of the image flips with probability theta3, and what a Gaussian
    blur (5x5, sigma 2, mirrored at the border) leaves above one half is foreground. A theta1 above one half
    over-segments, below one half it under-segments.

    Args:
        mask: bool (H, W).
        steps: integer >= 0.
        theta1, theta2: probabilities in [0, 1].
        theta3: probability in [0, 0.5); the blur removes most of these flips but for those at the boundary.
        rng: the source of all draws.

    Returns:
        bool (H, W), a new array. An empty mask stays empty.

    Raises:
        ValueError: if the mask is not two-dimensional.
        TypeError: if the mask is not boolean.
    """
    check_mask(mask)
    noisy = mask.copy()
    if not mask.any():
        return noisy
    for outward in rng.random(steps) < theta1:
        # A pixel at distance exactly 1 is one of the four neighbours: no distance transform is needed.
        rim = np.flatnonzero(outer_rim(noisy) if outward else inner_rim(noisy))
        noisy.flat[rim[rng.random(len(rim)) < theta2]] ^= True
    noisy ^= rng.random(mask.shape) < theta3
    blurred = ndimage.gaussian_filter(noisy.astype(float), BLUR_SIGMA_PX, radius=BLUR_RADIUS_PX, mode="mirror")
    return blurred > 0.5
