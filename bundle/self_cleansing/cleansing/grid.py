# SPDX-License-Identifier: Apache-2.0
"""Average the features of a predicted region over a coarse grid (Eq. 4)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag


class GridFeatures(NamedTuple):
    """Features per grid cell.

    Attributes:
        features: float32 (C, F), a row for each cell of a region, C in all: those of the first class of the first
            sample in row-major order, then those of the second class, and so on.
        inside: bool (B, K, n), n = G * G, the cells that hold a pixel of the region; C of them are True.
    """

    features: Tensor
    inside: Tensor


def grid_features(features: Tensor, region: Tensor, grid_size: int = 64) -> GridFeatures:
    """Average features over the region's pixels in each cell of a G x G grid.

    A cell belongs to the region R iff it holds a pixel of R; pixels of the cell outside R do not count.

    Args:
        features: float (B, F, H, W), any scale. Only the region's pixels of float32 features in the channels_last
            layout, a network's own, are read; any other dtype or layout is copied first.
        region: bool (B, K, H, W), one region R = {p : prediction > 0.5} per class.
        grid_size: G (the paper's K = 64), dividing H and W.

    Returns:
        features per cell, sample and class. An empty region has no cell inside, and no row.

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
    check_grid(grid_size, height, width)
    cells = (grid_size, height // grid_size, grid_size, width // grid_size)

    def by_cell(values: Tensor) -> Tensor:
        return values.unflatten(3, cells[2:]).unflatten(2, cells[:2]).transpose(3, 4).flatten(4).flatten(2, 3)

    rows = torch.arange(batch * height * width, device=region.device).view(batch, 1, height, width)
    members = by_cell(region)  # (B, K, n, h * w)
    count = members.sum(dim=3)
    inside = count > 0
    # Eq. 4: a cell is a bag of rows of the (B * H * W, F) features; pixels outside the region are never read.
    by_pixel = features.to(torch.float32).permute(0, 2, 3, 1).reshape(-1, channels)
    return GridFeatures(mean_of_bags(by_pixel, by_cell(rows).masked_select(members), count[inside]), inside)


def check_grid(grid_size: int, height: int, width: int) -> None:
    """Raise ValueError unless a G x G grid divides an image of `height` x `width` pixels into equal cells."""
    if grid_size < 1 or height % grid_size or width % grid_size:
        raise ValueError(
            f"grid_size must divide the image's height and width, got {grid_size} for {height} x {width}; "
            "choose a common divisor no larger than the image, such as half its size"
        )


def mean_of_bags(table: Tensor, rows: Tensor, count: Tensor) -> Tensor:
    """Average rows of a table without copying them first.

    Args:
        table: float32 (R, F).
        rows: int64 (r,) in [0, R), bag after bag.
        count: int64 (C,), rows in each bag; r in all.

    Returns:
        float32 (C, F). An empty bag is zero.
    """
    total = embedding_bag(rows, table, count.cumsum(0) - count, mode="sum")
    return total.div_(count.clamp(min=1).to(total).unsqueeze(1))  # faster than the mode "mean"
