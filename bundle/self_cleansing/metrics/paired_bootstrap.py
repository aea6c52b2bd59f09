# SPDX-License-Identifier: Apache-2.0
"""Is one method better than another on the same test patients, or were the patients drawn luckily?"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Difference(NamedTuple):
    """A difference of means, and the bounds of its 95 % interval, in the unit of the scores."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.1f} [{self.low:+.1f}, {self.high:+.1f}]"


def paired_difference(
    scores: ArrayLike, reference: ArrayLike, patients: Sequence[str], draws: int = 9999, seed: int = 0
) -> Difference:
    """How much higher the mean score is than that of the reference, with the percentile interval of the bootstrap.

    Patients are drawn anew with replacement, each with all volumes and with the scores of both methods, so that what
    makes a patient hard for both cancels. What the interval does not know is how much another training would differ.

    Args:
        scores: float (S, V, K) of S trainings, V volumes and K classes; NaN where there is nothing to score.
        reference: float (S', V, K), of the same volumes and classes in the same order.
        patients: V names; volumes of one patient are drawn together.
        draws: number of draws.
        seed: of the draws.

    Returns:
        the difference of the means over trainings, of the mean over classes, of the mean over volumes (NaN left out);
        its bounds are NaN with a single patient, all is NaN if nothing is scored.

    Raises:
        ValueError: if the shapes do not fit.
    """
    scores, reference = np.asarray(scores, dtype=np.float64), np.asarray(reference, dtype=np.float64)
    shapes = (scores.shape, reference.shape)
    if not all(len(shape) == 3 and shape[1:] == (len(patients), scores.shape[-1]) for shape in shapes):
        raise ValueError(
            f"scores of the same {len(patients)} volumes must both be (trainings, volumes, classes), got {shapes[0]} "
            f"and {shapes[1]}; were they evaluated on the same cases?"
        )
    names, patient_of = np.unique(list(patients), return_inverse=True)
    every = np.ones((1, len(patients)))
    mean = float((_means(scores, every) - _means(reference, every))[0])
    if len(names) < 2 or np.isnan(mean):
        return Difference(mean, np.nan, np.nan)
    drawn = np.random.default_rng(seed).multinomial(len(names), np.full(len(names), 1 / len(names)), size=draws)
    differences = _means(scores, drawn[:, patient_of]) - _means(reference, drawn[:, patient_of])
    low, high = np.nanpercentile(differences, [2.5, 97.5])
    return Difference(mean, float(low), float(high))


def _means(scores: NDArray[np.float64], times: NDArray[np.number]) -> NDArray[np.float64]:
    """Mean score (D,) of scores (S, V, K) where volume v counts `times[d, v]` times."""
    total = np.einsum("dv,svk->dsk", times, np.nan_to_num(scores))
    count = np.einsum("dv,svk->dsk", times, ~np.isnan(scores))
    of_class = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of a mean of nothing, which is what NaN says
        return np.nanmean(of_class, axis=2).mean(axis=1)
