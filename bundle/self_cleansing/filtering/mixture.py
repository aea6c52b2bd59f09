# SPDX-License-Identifier: Apache-2.0
"""A Gaussian mixture whose result depends on the set of samples alone: not on their order, not on a global seed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture


@dataclass(frozen=True)
class Mixture:
    """A fitted mixture of C Gaussians in d dimensions, components ordered by the mean of the first feature.

    Attributes:
        weights: float64 (C,), positive, sum 1.
        means: float64 (C, d).
        covariances: float64 (C, d, d), positive definite.
        posteriors: float64 (n, C) in [0, 1], rows sum to 1, in the order of the fitted samples.
        bic: Bayesian information criterion on the fitted samples; lower is better.
        converged: whether EM met its tolerance within its iterations. If not, the last iterate is reported.
    """

    weights: NDArray[np.float64]
    means: NDArray[np.float64]
    covariances: NDArray[np.float64]
    posteriors: NDArray[np.float64]
    bic: float
    converged: bool


def fit_mixture(
    features: ArrayLike,
    num_components: int,
    *,
    seed: int = 0,
    num_starts: int = 1,
    regularisation: float = 1e-6,
    max_iterations: int = 300,
) -> Mixture:
    """Fit a mixture of full-covariance Gaussians by expectation maximisation, started from k-means.

    Samples are sorted before the fit, so that a permutation of the rows permutes the posteriors exactly and equal
    rows have equal posteriors. Nothing in the result is ever NaN.

    Args:
        features: float (n, d), or (n,) for d = 1; finite.
        num_components: C >= 1.
        seed: of k-means; the same seed and samples give the same mixture.
        num_starts: >= 1; of so many fits the likeliest is returned. EM stops at the nearest optimum, and where groups
            overlap, which one that is hangs on the seed.
        regularisation: added to the diagonal of each covariance (in squared units of the features), > 0. It is what
            keeps a component that collapses on repeated values at a finite density.
        max_iterations: of EM.

    Raises:
        ValueError: if a feature is not finite, the shape is neither (n,) nor (n, d), there is one row, or there are
            fewer distinct rows than components: k-means cannot start there, and any verdict would be an accident of
            rounding.
    """
    rows = np.asarray(features, dtype=np.float64)
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.ndim != 2:
        raise ValueError(f"features must have shape (n,) or (n, d), got {rows.shape}; flatten the leading axes first")
    if not np.isfinite(rows).all():
        raise ValueError(
            f"features must be finite, got {int((~np.isfinite(rows)).sum())} NaN or infinite values; "
            "look for a diverged network or an undefined ratio upstream"
        )
    distinct = len(np.unique(rows, axis=0))
    if distinct < num_components or len(rows) == 1:
        raise ValueError(
            f"a mixture needs two samples and as many distinct ones as its {num_components} components, got {distinct} "
            f"distinct among {len(rows)}; do not split such a group"
        )
    order = np.lexsort(rows.T[::-1])
    model = GaussianMixture(
        num_components,
        covariance_type="full",
        reg_covar=regularisation,
        max_iter=max_iterations,
        n_init=num_starts,
        random_state=seed,
    )
    with warnings.catch_warnings():  # not converged is reported in the result instead
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows[order])
    by_mean = np.lexsort(model.means_.T[::-1])
    posteriors = np.empty((len(rows), num_components))
    posteriors[order] = model.predict_proba(rows[order])[:, by_mean]
    return Mixture(
        weights=model.weights_[by_mean],
        means=model.means_[by_mean],
        covariances=model.covariances_[by_mean],
        posteriors=posteriors,
        bic=float(model.bic(rows[order])),
        converged=bool(model.converged_),
    )


def component_densities(mixture: Mixture, grid: ArrayLike) -> NDArray[np.float64]:
    """Evaluate each weighted component of a one-dimensional mixture, for drawing it over a histogram.

    Args:
        mixture: with d = 1.
        grid: float (m,), in the units the mixture was fitted in.

    Returns:
        float64 (m, C), non-negative. The row sum is the density of the mixture; its integral over the line is 1.

    Raises:
        ValueError: if the mixture has more than one feature.
    """
    if mixture.means.shape[1] != 1:
        raise ValueError(
            f"component_densities draws mixtures of one feature, got {mixture.means.shape[1]}; draw ellipses instead"
        )
    variances = mixture.covariances[:, 0, 0]
    distances = np.asarray(grid, dtype=np.float64)[:, None] - mixture.means[:, 0]
    return mixture.weights * np.exp(-0.5 * distances**2 / variances) / np.sqrt(2 * np.pi * variances)
