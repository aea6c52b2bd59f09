# SPDX-License-Identifier: Apache-2.0
"""What every filter shares: rules first, then one mixture per image or per class, then verdicts of shape (N, K).

A filter says which entries (sample, class) a rule calls noisy, which can be compared at all, what their features are,
and how a set of features is judged. `decide` puts these together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .mixture import Mixture

Unit = Literal["image", "class"]


@dataclass(frozen=True)
class Judgement:
    """What a filter thinks of n samples it could compare.

    Attributes:
        clean: bool (n,).
        posterior: float64 (n,) in [0, 1], of the clean group; 1 or 0 where they were not split.
        values: float64 (n, d), the features as the mixture saw them.
        mixture: None if they were not split; then `reason` says why.
        clean_group: the components of the mixture that are taken for clean labels.
        reason: why the samples were not split; '' if they were.
    """

    clean: NDArray[np.bool_]
    posterior: NDArray[np.float64]
    values: NDArray[np.float64]
    mixture: Mixture | None = None
    clean_group: tuple[int, ...] = ()
    reason: str = ""

    @classmethod
    def unsplit(cls, values: NDArray[np.float64], *, clean: bool, reason: str) -> Judgement:
        """Give all n samples of `values` (n, d) the same verdict, for a stated reason."""
        verdict = np.full(len(values), clean)
        return cls(verdict, verdict.astype(np.float64), values, reason=reason)


@dataclass(frozen=True)
class Fit:
    """One mixture and the samples it judged: what a plot or an audit log needs.

    Attributes:
        values: float64 (N, d), the features as the mixture saw them; 0 where `fitted` is False.
        fitted: bool (N,), the samples that no rule decided. The rows of `mixture.posteriors` follow their order.
        mixture: None if the samples were not split; then `reason` says why.
        clean_group: the components of the mixture that are taken for clean labels.
        reason: '' if the samples were split.
    """

    values: NDArray[np.float64]
    fitted: NDArray[np.bool_]
    mixture: Mixture | None
    clean_group: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class Verdicts:
    """Whether each label is believed.

    Attributes:
        clean: bool (N, K).
        posterior: float64 (N, K) in [0, 1], the probability of the clean group; exactly 1 or 0 where a rule
            decided or where the samples were not split. Never NaN.
        by_rule: bool (N, K), True where no feature was looked at: a rule decided, or there was nothing to compare.
        fits: one `Fit` (unit 'image') or K of them (unit 'class').
    """

    clean: NDArray[np.bool_]
    posterior: NDArray[np.float64]
    by_rule: NDArray[np.bool_]
    fits: tuple[Fit, ...]

    @property
    def reason(self) -> str:
        """Why samples were not split, '' if all were; with several classes each reason names its class index."""
        if len(self.fits) == 1:
            return self.fits[0].reason
        return "; ".join(f"class {k}: {fit.reason}" for k, fit in enumerate(self.fits) if fit.reason)


def decide(
    features: NDArray[np.float64],
    comparable: NDArray[np.bool_],
    noisy: NDArray[np.bool_],
    judge: Callable[[NDArray[np.float64]], Judgement],
    *,
    unit: Unit,
    noisy_class_rejects_image: bool = True,
) -> Verdicts:
    """Apply the rules, judge what is left, and spread the outcome to every sample and class.

    An entry that a rule calls noisy is noisy and takes no part in the fit. An entry with nothing to compare (both
    label and prediction empty, say) takes no part in the fit either: it is clean, unless it belongs to an image that
    is judged noisy as a whole.

    Args:
        features: float64 (N, K, d); ignored where not comparable.
        comparable: bool (N, K), where the features mean something.
        noisy: bool (N, K), decided by a rule.
        judge: turns features (n, d) into a judgement on these n samples, whose values need not be all of the features;
            called with n = 0 when nothing is left.
        unit: 'image' averages the features of a sample over its comparable classes and gives all its classes one
            verdict, for noise drawn once per image; 'class' treats each class as a problem of its own.
        noisy_class_rejects_image: for unit 'image': one class that a rule calls noisy makes all classes of that
            sample noisy. If False, only that class is, and the rest of the sample is judged by its other classes.

    Raises:
        ValueError: if the unit is unknown or the shapes differ.
    """
    if unit not in ("image", "class"):
        raise ValueError(f"unit must be 'image' or 'class', got {unit!r}; 'image' is the one of the paper")
    if not (features.shape[:2] == comparable.shape == noisy.shape) or features.ndim != 3:
        raise ValueError(
            f"features (N, K, d), comparable (N, K) and noisy (N, K) must agree, got {features.shape}, "
            f"{comparable.shape} and {noisy.shape}; add a class axis to per-sample arrays with [:, None]"
        )
    if unit == "image" and noisy_class_rejects_image:
        noisy = np.broadcast_to(noisy.any(axis=1, keepdims=True), noisy.shape)
    comparable = comparable & ~noisy
    if unit == "image":
        count = comparable.sum(axis=1, keepdims=True)  # (N, 1)
        total = np.where(comparable[..., None], features, 0.0).sum(axis=1, keepdims=True)  # (N, 1, d)
        features, fitted = total / np.maximum(count, 1)[..., None], count > 0
    else:
        fitted = comparable

    clean = np.ones(fitted.shape, dtype=bool)  # (N, 1) or (N, K)
    posterior = np.ones(fitted.shape)
    fits = []
    for k in range(fitted.shape[1]):
        mask = fitted[:, k]
        judgement = judge(features[mask, k])
        clean[mask, k], posterior[mask, k] = judgement.clean, judgement.posterior
        values = np.zeros((len(mask), judgement.values.shape[1]))
        values[mask] = judgement.values
        fits.append(Fit(values, mask.copy(), judgement.mixture, judgement.clean_group, judgement.reason))
    return Verdicts(
        clean=clean & ~noisy, posterior=np.where(noisy, 0.0, posterior), by_rule=noisy | ~fitted, fits=tuple(fits)
    )
