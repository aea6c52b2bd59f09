# SPDX-License-Identifier: Apache-2.0
"""Choose the grid cells that represent a region (Eq. 5), and reduce them to the one vector that Eq. 6 needs.

Symbols: f_gj feature of cell j, f^ its unit vector (the zero vector stays zero, so its cosine with anything is 0),
D representation degree, sigma threshold on D.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from .grid import mean_of_bags


def representation_degree(features: Tensor, inside: Tensor) -> Tensor:
    """Sum the cosine similarities of each cell to all cells of its region, relative to the best cell.

    Eq. 5: D_j = sum_k cos(f_gj, f_gk) over the cells k of R, which is linear: D_j = f^_gj . sum_k f^_gk. The n x n
    similarities are never built.

    Args:
        features: float32 (C, F), as `grid_features` returns.
        inside: bool (B, K, n), C of them True.

    Returns:
        float32 (B, K, n), at most 1, zero outside the region; negative where a cell points away from the rest. All zero
        if the region is empty or all its features vanish.

    Reference: Eq. 5, Deep self-cleansing, doi 10.1002/mp.70007. Normalised over the whole grid as D / max D.
    """
    return _degree(normalize(features, dim=1), inside)


def prototype_direction(features: Tensor, inside: Tensor, sigma: float = 0.7) -> Tensor:
    """Average the unit vectors of the prototypes: the cells with a representation degree above sigma.

    Eq. 6 averages cosines over the prototypes; being linear, it needs only this average.

    Args:
        features: float32 (C, F), as `grid_features` returns.
        inside: bool (B, K, n), C of them True.
        sigma: in [0, 1).

    Returns:
        float32 (B, K, F), norm at most 1; zero if there is no prototype.

    Reference: Eqs. 5-6, Deep self-cleansing, doi 10.1002/mp.70007.
    """
    directions = normalize(features, dim=1)
    chosen = inside & (_degree(directions, inside) > sigma)
    prototypes = chosen[inside].nonzero().squeeze(1)
    return mean_of_bags(directions, prototypes, chosen.sum(dim=2).flatten()).unflatten(0, inside.shape[:2])


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


def _degree(directions: Tensor, inside: Tensor) -> Tensor:
    """Eq. 5 from the cells' unit vectors (C, F)."""
    count = inside.sum(dim=2).flatten()
    # The mean instead of the sum: D is relative to its maximum.
    mean = mean_of_bags(directions, torch.arange(len(directions), device=inside.device), count)  # (B * K, F)
    cosines = (directions * mean.repeat_interleave(count, dim=0)).sum(dim=1)
    degree = torch.zeros(inside.shape, device=inside.device).masked_scatter_(inside, cosines)
    best = degree.amax(dim=2, keepdim=True)  # >= |mean_k f^_gk|^2 >= 0
    return torch.where(best > 0, degree / best, 0.0)
