# SPDX-License-Identifier: Apache-2.0
"""From evidence to trust: given labels are compared with labels damaged on purpose.

Nobody says which of the given labels are right. But everybody can make wrong ones: `damage` does, and `evidence` says
how they look to a network that learned neither. A label is suspect in so far as it looks like the damaged ones and not
like the bulk of the given ones:

1. A first trust in every given label: how many pixels its boundary lies from where the network is *sure* it should be.
2. A logistic regression tells the trusted given labels from the damaged copies of trusted labels. Its odds are the
   ratio of the densities f1 / f0 of wrong and right labels (both groups weigh the same).
3. The share pi of wrong labels among the given ones is the one that explains their odds best (expectation
   maximisation with f0 and f1 fixed). The trust of a label is then (1 - pi) f0 / ((1 - pi) f0 + pi f1).
4. Steps 2 and 3 are repeated with that trust as weights, ROUNDS times in all.

More rounds drift: what is left of the wrong labels among the trusted ones draws f0 towards them. ROUNDS was chosen on
ACDC patients outside of those that the published figures come from (docs/decisions/0007-label-audit.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .evidence import COLUMNS
from .findings import KINDS, Share

ROUNDS = 4
FIRST_DOUBT = 0.08  # of the size of a structure, at least one pixel: where first trust is one half
FIRST_SHARPNESS = 4.0  # of the first trust, per pixel
PRIOR_RANGE = (0.002, 0.95)
MAX_LOG_ODDS = 15.0
EM_STEPS = 200
KIND_MEMORY = 0.5  # how far the kinds of damage follow the kinds found; the rest stays even
BOOTSTRAPS = 500

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Trust:
    """What `judge` finds for N samples and K classes.

    Attributes:
        trust: float64 (N, K) in [0, 1].
        kinds: float64 (N, K, len(KINDS)), rows sum to 1: which error it is if it is one.
    """

    trust: Array
    kinds: Array


def judge(
    given: NDArray[np.float32], damaged: NDArray[np.float32], kinds: NDArray[np.int8], origin: NDArray[np.int64]
) -> Trust:
    """Say how far each given label can be trusted.

    Args:
        given: `evidence` of the given labels, (N, K, F).
        damaged: `evidence` of M damaged copies, (M, K, F).
        kinds: what was done to them, (M, K), as `damage` returns it; -1 where nothing was.
        origin: index of the sample that each copy was made from, (M,).

    Raises:
        ValueError: if the shapes do not belong together, or fewer than two kinds of damage are there.
    """
    if given.shape[1:] != damaged.shape[1:] or kinds.shape != damaged.shape[:2] or len(origin) != len(damaged):
        raise ValueError(
            f"given (N, K, F), damaged (M, K, F), kinds (M, K) and origin (M,) must agree, got {given.shape}, "
            f"{damaged.shape}, {kinds.shape} and {origin.shape}"
        )
    num_samples, num_classes = given.shape[:2]
    is_damaged = kinds.ravel() >= 0
    kind = kinds.ravel()[is_damaged].astype(np.int64)
    if len(np.unique(kind)) < 2:
        raise ValueError("at least two kinds of damaged labels are needed; the labels of the data set mark nothing")
    source = (origin[:, None] * num_classes + np.arange(num_classes)).ravel()[is_damaged]
    right, wrong = regressors(given), regressors(damaged)[is_damaged]
    trust = first_trust(given).ravel()
    kind_share, prior = np.full(len(KINDS), 1 / len(KINDS)), 0.5
    for _ in range(ROUNDS):
        weight = trust[source] / np.bincount(kind, minlength=len(KINDS))[kind]
        kind_odds = _fit(wrong, kind, weight, inverse_strength=1.0)
        probabilities = np.zeros((len(right), len(KINDS)))
        probabilities[:, kind_odds[-1].classes_] = kind_odds.predict_proba(right)
        weights = np.concatenate([trust / trust.sum(), _to_sum_one(kind_share[kind] * weight)])
        is_wrong = np.repeat([False, True], [len(right), len(wrong)])
        model = _fit(np.concatenate([right, wrong]), is_wrong, weights, inverse_strength=0.3)
        odds = np.exp(np.clip(model.decision_function(right), -MAX_LOG_ODDS, MAX_LOG_ODDS))
        prior, doubt = share_of_wrong(odds, prior)
        trust = 1 - doubt
        found = _to_sum_one((probabilities * doubt[:, None]).sum(axis=0))
        kind_share = KIND_MEMORY * found + (1 - KIND_MEMORY) / len(KINDS)
    shape = (num_samples, num_classes)
    return Trust(trust.reshape(shape), probabilities.reshape(*shape, len(KINDS)))


def share_of_wrong(odds: Array, start: float = 0.5) -> tuple[float, Array]:
    """Estimate the share pi of wrong labels, and for each label the probability that it is one of them.

    Args:
        odds: f1 / f0 of each label, float (n,), positive.
        start: where the iteration begins, in (0, 1).

    Returns:
        pi within PRIOR_RANGE, the one of largest likelihood sum log(pi odds + 1 - pi); and float64 (n,) in [0, 1].
    """
    prior, doubt = start, np.zeros_like(odds)
    for _ in range(EM_STEPS):
        doubt = prior * odds / (prior * odds + 1 - prior)
        prior = float(np.clip(doubt.mean(), *PRIOR_RANGE))
    return prior, doubt


def share_interval(trust: Array, case_index: NDArray[np.int64], seed: int = 0) -> Share:
    """Expected share of wrong labels with its 95 % interval.

    Cases are drawn anew (bootstrap), and of their labels each is wrong with its own probability: the first says how far
    another such data set would differ, the second that a trust is no certainty. Of a single case only the labels are
    drawn. Labels are taken to be wrong independently of each other, given their trust.

    Args:
        trust: float (N, ...) in [0, 1].
        case_index: int (N,), the case of each sample.
        seed: of all draws.
    """
    doubt = 1 - trust.reshape(len(trust), -1)
    _, unit, count = np.unique(case_index, return_inverse=True, return_counts=True)
    rng = np.random.default_rng(seed)
    shares = []
    for _ in range(BOOTSTRAPS):
        wrong = np.bincount(unit, (rng.random(doubt.shape) < doubt).sum(axis=1))
        drawn = rng.integers(len(count), size=len(count))
        shares.append(wrong[drawn].sum() / (count[drawn].sum() * doubt.shape[1]))
    estimate = float(doubt.mean())
    low, high = np.quantile(shares, [0.025, 0.975])
    return Share(estimate, min(float(low), estimate), max(float(high), estimate))


def first_trust(given: NDArray[np.float32]) -> Array:
    """Trust by confident displacement alone, float64 (N, K): one half where that is FIRST_DOUBT of the usual size."""
    at = {name: given[..., column].astype(np.float64) for column, name in enumerate(COLUMNS)}
    sizes = np.where(at["predicted size"] > 0, at["predicted size"], np.nan)
    usual = np.array([np.nanmedian(one) if np.isfinite(one).any() else 0.0 for one in sizes.T])
    doubtful_px = np.maximum(1.0, FIRST_DOUBT * usual)
    displacement = at["confident surplus"] + at["confident lack"]
    return 1 / (1 + np.exp(np.clip((displacement / doubtful_px - 1) * FIRST_SHARPNESS, -50, 50)))


def regressors(found: NDArray[np.float32]) -> Array:
    """What the logistic regressions see: (N, K, F) to float64 (N K, R).

    Lengths enter as logarithms, signed ones as two (a linear model cannot find both directions wrong otherwise), and
    undefined ones as 0. An empty label or prediction is a column, also together with what the neighbouring slices show.
    """
    samples, classes, _ = found.shape
    flat = np.nan_to_num(found.reshape(samples * classes, -1).astype(np.float64))
    at = dict(zip(COLUMNS, flat.T, strict=True))
    label_empty, pred_empty = at["label size"] == 0, at["predicted size"] == 0
    first, next_to_first = at["slices to the end"] == 0, at["slices to the end"] == 1
    displacement, doubt = _log(at["absolute displacement"]), _log(at["uncertainty"])
    confident = at["confident surplus"] + at["confident lack"]
    beside = _log(at["neighbouring labels"])
    columns = [
        *_both(at["signed displacement"]),
        displacement,
        at["dice"],
        _log(at["confident surplus"]),
        _log(at["confident lack"]),
        doubt,
        _log(confident) - doubt,
        _log(np.maximum(at["confident surplus"], at["confident lack"])) * doubt,
        _log(at["deepest surplus"]),
        _log(at["deepest lack"]),
        label_empty,
        pred_empty,
        label_empty & pred_empty,
        at["largest probability"],
        at["largest probability"] * label_empty,
        at["uncertainty"] / (1 + at["uncertainty"]) * (pred_empty & ~label_empty),
        _log(at["shift"]),
        at["label on other classes"],
        at["prediction on other labels"],
        *_both(at["label beside its neighbours"]),
        *_both(at["prediction beside its neighbours"]),
        beside,
        beside * label_empty,
        beside * pred_empty,
        (at["neighbouring labels"] == 0) & ~label_empty,
        first,
        next_to_first,
        displacement * first,
        _log(at["label size"]),
        _log(at["predicted size"]),
        *(np.tile(np.arange(classes), samples) == k for k in range(classes)),
    ]
    return np.stack([np.asarray(column, dtype=np.float64) for column in columns], axis=1)


def _log(values: Array) -> Array:
    return np.log1p(np.maximum(values, 0))


def _both(values: Array) -> tuple[Array, Array]:
    return _log(values), _log(-values)


def _fit(rows: Array, outcome: NDArray[Any], weight: Array, inverse_strength: float) -> Any:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=inverse_strength, max_iter=300))
    return model.fit(rows, outcome, logisticregression__sample_weight=_to_sum_one(weight) * len(rows))


def _to_sum_one(values: Array) -> Array:
    return values / values.sum()
