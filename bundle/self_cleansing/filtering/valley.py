# SPDX-License-Identifier: Apache-2.0
"""Is there a gap between two components of a mixture, or did it split one group of samples in two?

All modes and saddles of two Gaussians lie on one curve between their means, the ridgeline; the density along it
shows whether they are two groups. References: Ray and Lindsay, The topography of multivariate normal mixtures, Annals
of Statistics 33(5), 2005 (the curve); Hennig, Methods for merging Gaussian mixture components, Advances in Data
Analysis and Classification 4, 2010 (merging by the ratio along it). We differ: the density is that of the whole
mixture, and every valley is measured, not only the one between the two highest peaks.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import multivariate_normal

from .mixture import Mixture

# Of the curve's parameter. Evenly in its log odds as well: where one component is ten times as wide as the other, an
# even step before its mean would be most of the way.
SHARES = np.union1d(np.linspace(0, 1, 201), expit(np.linspace(-15, 15, 300)))


def ridgeline(mixture: Mixture, first: int, second: int) -> NDArray[np.float64]:
    """The points between two components at which their densities have parallel gradients.

    Returns:
        float64 (S, d), from the mean of `first` to the mean of `second`; S is the number of SHARES.
    """
    inverse = np.linalg.inv(mixture.covariances[[first, second]])  # (2, d, d)
    pulled = np.einsum("cij,cj->ci", inverse, mixture.means[[first, second]])  # (2, d)
    share = np.stack([1 - SHARES, SHARES], axis=1)  # (S, 2)
    return np.linalg.solve(np.tensordot(share, inverse, 1), (share @ pulled)[..., None])[..., 0]


def valley_ratio(mixture: Mixture, first: int, second: int) -> float:
    """How deep the deepest valley between two components is: its density over the lower of the peaks on its sides.

    Returns:
        In [0, 1]. 1: no valley, the two are one group (a component and itself, for one, but for rounding). Near 0: a
        wide gap.

    Raises:
        IndexError: if a component is not in the mixture.
    """
    points = ridgeline(mixture, first, second)
    components = zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    density = np.sum([weight * multivariate_normal(mean, cov).pdf(points) for weight, mean, cov in components], axis=0)
    before, after = np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1]
    return float((density / np.minimum(before, after)).min())
