# SPDX-License-Identifier: Apache-2.0
"""Remove specks and fill pinholes of a 2-D mask, relative to its own area.

A stack of slices is labelled in one call: the structuring elements reach no neighbouring slice.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

Mask = TypeVar("Mask", NDArray, torch.Tensor)

_IN_PLANE_8 = np.zeros((3, 3, 3), dtype=bool)
_IN_PLANE_8[1] = True
_IN_PLANE_4 = np.zeros((3, 3, 3), dtype=bool)
_IN_PLANE_4[1] = ndimage.generate_binary_structure(2, 1)


def postprocess(mask: Mask, min_fraction: float = 0.1) -> Mask:
    """Drop small foreground components, then fill small holes of what remains.

    Not idempotent: filled holes enlarge the foreground, against which a second call measures again.

    Args:
        mask: bool or 0/1 integers (..., H, W), numpy or torch on any device (CUDA goes through the CPU).
        min_fraction: in [0, 1], see the two steps; 0 changes nothing.

    Returns:
        a new mask of the same type, dtype, shape and device. An empty mask stays empty.

    Raises:
        ValueError: if min_fraction is outside [0, 1] or the mask has fewer than two axes.

    Reference: Sec. 2.3, Deep self-cleansing, doi 10.1002/mp.70007.
    """
    if not 0 <= min_fraction <= 1:
        raise ValueError(f"min_fraction must be in [0, 1], got {min_fraction!r}; for 10 % of the area pass 0.1")
    if mask.ndim < 2:
        raise ValueError(f"mask must have shape (..., H, W), got {tuple(mask.shape)}")
    if isinstance(mask, torch.Tensor):
        result = postprocess(mask.detach().cpu().numpy(), min_fraction)
        return torch.from_numpy(result).to(mask.device)
    slices = mask.reshape(-1, *mask.shape[-2:]).astype(bool)
    slices = fill_small_holes(drop_small_components(slices, min_fraction), min_fraction)
    return slices.reshape(mask.shape).astype(mask.dtype)


def drop_small_components(slices: NDArray[np.bool_], min_fraction: float) -> NDArray[np.bool_]:
    """Drop 8-connected components smaller than a fraction of their slice's foreground; idempotent.

    Args:
        slices: bool (M, H, W).
        min_fraction: a component of exactly this fraction stays.
    """
    components, _ = ndimage.label(slices, structure=_IN_PLANE_8)
    pixels = np.flatnonzero(slices)
    return _flip(slices, pixels[_relative_sizes(components, pixels, slices) < min_fraction])


def fill_small_holes(slices: NDArray[np.bool_], max_fraction: float) -> NDArray[np.bool_]:
    """Fill 4-connected holes smaller than a fraction of their slice's foreground.

    A hole is a background component that does not touch the border of the slice.

    Args:
        slices: bool (M, H, W).
        max_fraction: a hole of exactly this fraction stays.
    """
    components, count = ndimage.label(~slices, structure=_IN_PLANE_4)
    is_hole = np.ones(count + 1, dtype=bool)
    is_hole[0] = False  # the foreground
    for edge in (components[:, 0], components[:, -1], components[:, :, 0], components[:, :, -1]):
        is_hole[edge] = False
    pixels = np.flatnonzero(is_hole[components])
    return _flip(slices, pixels[_relative_sizes(components, pixels, slices) < max_fraction])


def _relative_sizes(components: NDArray, pixels: NDArray[np.intp], slices: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give each of the pixels (flat indices) the size of its component over the foreground area of its slice.

    `pixels` holds all pixels of the components it touches. The others, most of an image, cost nothing.
    """
    component = components.ravel()[pixels]
    area = np.maximum(slices.sum(axis=(1, 2)), 1)
    # A quotient, not size < fraction * area: 7 / 70 is the double nearest 0.1, while 0.1 * 70 is above 7.
    return np.bincount(component)[component] / area[pixels // (slices.shape[1] * slices.shape[2])]


def _flip(slices: NDArray[np.bool_], pixels: NDArray[np.intp]) -> NDArray[np.bool_]:
    flipped = slices.copy()
    flipped.ravel()[pixels] ^= True
    return flipped
