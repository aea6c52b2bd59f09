# SPDX-License-Identifier: Apache-2.0
"""Average the features of a predicted region over a coarse grid (Eq. 4)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class GridFeatures(NamedTuple):
    """Features per grid cell.

    Attributes:
        features: float32 (B, K, F, n), n = G * G cells in row-major order; zero where `inside` is False.
        inside: bool (B, K, n), the cells that hold a pixel of the region.
    """

    features: Tensor
    inside: Tensor


def grid_features(features: Tensor, region: Tensor, grid_size: int = 64) -> GridFeatures:
    """Average features over the region's pixels in each cell of a G x G grid.

    A cell belongs to the region R iff it holds a pixel of R; pixels of the cell outside R do not count.

    Args:
        features: float (B, F, H, W), any scale.
        region: bool (B, K, H, W), one region R = {p : prediction > 0.5} per class.
        grid_size: G (the paper's K = 64), dividing H and W.

    Returns:
        features per cell and class. An empty region has no cell inside.

    Raises:
        ValueError: if the spatial shapes differ or G does not divide them.

    Reference: Eq. 4, Deep self-cleansing, doi 10.1002/mp.70007.
    """
    batch, channels, height, width = features.shape
    if region.shape[0] != batch or region.shape[2:] != features.shape[2:]:
        raise ValueError(
            f"features (B, F, H, W) and region (B, K, H, W) must share B, H and W, got {tuple(features.shape)} and "
            f"{tuple(region.shape)}; resample one of them"
        )
    if grid_size < 1 or height % grid_size or width % grid_size:
        raise ValueError(
            f"grid_size must divide the image's height and width, got {grid_size} for {height} x {width}; "
            "choose a common divisor no larger than the image, such as half its size"
        )
    cells = (grid_size, height // grid_size, grid_size, width // grid_size)
    weight = region.to(torch.float32).unflatten(3, cells[2:]).unflatten(2, cells[:2])  # (B, K, G, h, G, w)
    values = features.to(torch.float32).unflatten(3, cells[2:]).unflatten(2, cells[:2])  # (B, F, G, h, G, w)
    count = weight.sum(dim=(3, 5)).flatten(2)  # (B, K, n)
    total = torch.einsum("bfihjw,bkihjw->bkfij", values, weight).flatten(3)  # (B, K, F, n)
    return GridFeatures(total / count.clamp(min=1).unsqueeze(2), count > 0)
