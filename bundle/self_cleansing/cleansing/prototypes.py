# SPDX-License-Identifier: Apache-2.0
"""Choose the grid cells that represent a region (Eq. 5), and reduce them to the one vector that Eq. 6 needs.

Symbols: f_gj feature of cell j, f^ its unit vector (the zero vector stays zero, so its cosine with anything is 0),
D representation degree, sigma threshold on D.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def representation_degree(features: Tensor, inside: Tensor) -> Tensor:
    """Sum the cosine similarities of each cell to all cells of its region, relative to the best cell.

    Eq. 5: D_j = sum_k cos(f_gj, f_gk) over the cells k of R, which is linear: D_j = f^_gj . sum_k f^_gk. The n x n
    similarities are never built.

    Args:
        features: float (B, K, F, n), as `grid_features` returns.
        inside: bool (B, K, n).

    Returns:
        float (B, K, n), at most 1, zero outside the region; negative where a cell points away from the rest. All zero
        if the region is empty or all its features vanish.

    Reference: Eq. 5, Deep self-cleansing, doi 10.1002/mp.70007. Normalised over the whole grid as D / max D.
    """
    directions = normalize(features, dim=2) * inside.unsqueeze(2)
    degree = torch.einsum("bkfn,bkf->bkn", directions, directions.sum(dim=3))
    best = degree.amax(dim=2, keepdim=True)  # >= |sum_k f^_gk|^2 / n >= 0
    return torch.where(best > 0, degree / best, 0.0)


def prototype_direction(features: Tensor, inside: Tensor, sigma: float = 0.7) -> Tensor:
    """Average the unit vectors of the prototypes: the cells with a representation degree above sigma.

    Eq. 6 averages cosines over the prototypes; being linear, it needs only this average.

    Args:
        features: float (B, K, F, n), as `grid_features` returns.
        inside: bool (B, K, n).
        sigma: in [0, 1).

    Returns:
        float (B, K, F), norm at most 1; zero if there is no prototype.

    Reference: Eqs. 5-6, Deep self-cleansing, doi 10.1002/mp.70007.
    """
    chosen = (representation_degree(features, inside) > sigma).to(features.dtype)
    total = torch.einsum("bkfn,bkn->bkf", normalize(features, dim=2), chosen)
    return total / chosen.sum(dim=2, keepdim=True).clamp(min=1)


def mean_direction(features: Tensor, region: Tensor) -> Tensor:
    """Take the mean feature of the region as its single prototype (the paper's ablation LCM(avg)).

    Args:
        features: float (B, F, H, W).
        region: bool (B, K, H, W).

    Returns:
        float32 (B, K, F), unit vectors; zero if the region is empty or its features vanish.

    Reference: Table 4, Deep self-cleansing, doi 10.1002/mp.70007. Read as the mean over the region's pixels.
    """
    total = torch.einsum("bfp,bkp->bkf", features.float().flatten(2), region.float().flatten(2))
    return normalize(total, dim=2)
