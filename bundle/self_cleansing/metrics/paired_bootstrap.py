# SPDX-License-Identifier: Apache-2.0
"""Is one network better than another on the same test volumes, or were the volumes drawn luckily?"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap


class Difference(NamedTuple):
    """Mean over the volumes, and the bounds of its 95 % interval, in the unit of the scores."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.1f} [{self.low:+.1f}, {self.high:+.1f}]"


def volume_scores(volumes: Mapping[str, Sequence[float | None]]) -> NDArray[np.float64]:
    """Mean over the classes of each volume, float64 (V,); NaN for a volume that shows none.

    Args:
        volumes: class -> V scores, None where there is nothing to score; as in evaluation.json.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a mean of nothing, which is what NaN says
        return np.nanmean(np.array([list(values) for values in volumes.values()], dtype=np.float64), axis=0)


def paired_difference(scores: ArrayLike, reference: ArrayLike, draws: int = 9999, seed: int = 0) -> Difference:
    """How much better the scores are than the reference, with the percentile interval of the paired bootstrap.

    Volumes are drawn anew with replacement, each with both of its scores, so that what makes a volume hard for both
    cancels. What the interval does not know is how much another training of the same method would differ.

    Args:
        scores, reference: float (V,), of the same volumes in the same order; NaN (nothing to score) drops the volume.
        draws: of V volumes.
        seed: of the draws.

    Returns:
        the difference; its bounds are NaN with fewer than two volumes, its mean with none.

    Raises:
        ValueError: if the shapes differ or are not (V,).
    """
    scores, reference = np.asarray(scores, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    if scores.shape != reference.shape or scores.ndim != 1:
        raise ValueError(f"scores of the same volumes have one shape (V,), got {scores.shape} and {reference.shape}")
    difference = scores - reference
    difference = difference[~np.isnan(difference)]
    if len(difference) < 2:
        return Difference(float(difference[0]) if len(difference) else np.nan, np.nan, np.nan)
    found = bootstrap(
        (difference,), np.mean, n_resamples=draws, method="percentile", random_state=np.random.default_rng(seed)
    )
    return Difference(float(difference.mean()), *map(float, found.confidence_interval))
