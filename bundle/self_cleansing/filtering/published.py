# SPDX-License-Identifier: Apache-2.0
"""The label filter of the paper (Sec. 2.2, Eqs. 2-3), and a named guard against each trap found in it.

Symbols: l_i per-sample Dice loss against the given (manual) label, l'_i the same against the pseudo label y'.
Reference: Deep self-cleansing, Medical Physics 2025, doi 10.1002/mp.70007.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from .mixture import Mixture, fit_mixture
from .verdicts import Judgement, Unit, Verdicts, decide

LabelKind = Literal["manual", "pseudo"]


@dataclass(frozen=True)
class FilterGuards:
    """Options against the traps of the filter; all False is the paper's own filter.

    Attributes:
        unset_pseudo_is_noisy: a y' that was never set is noisy by definition. Trap: the first y' is all zeros, its
            loss is a constant, and the verdict on a constant is an accident.
        flat_losses_are_not_split: losses whose range or standard deviation is below `flat_below` are one group:
            manual labels all clean, pseudo labels all noisy. Trap: after min-max normalisation the mixture splits
            rounding errors as readily as real differences.
        empty_label_against_prediction_is_noisy: an empty label where the network sees more than `seen_area_px`
            pixels is noisy, and set aside before the fit. Trap: missing labels put an atom at loss 1, the high
            component collapses on it, and labels with boundary noise are then all called clean.
        both_empty_is_clean: label and prediction empty is clean, and set aside before the fit. Trap: probabilities are
            never exactly 0, so the loss of an empty label is 1 whatever the network sees, and rightly empty labels are
            called noisy with the missing ones.
        threshold_between_means: clean iff the loss is below the crossing of the components between their means.
            Trap: when the high component is wide, its tail wins on the far left, and the smallest losses of all are
            called noisy.
        test_one_component_first: split only if two components beat one in BIC and their means lie at least
            `min_separation` pooled standard deviations apart (Ashman's D); else one group, as for flat losses. Trap:
            a clean data set is split all the same. BIC alone is not enough: it takes skew for a second group.
        empty_pseudo_is_noisy: an empty y' is noisy unless y is empty and clean. Trap: an empty y' teaches the
            network to predict nothing, which then agrees with it for ever.
        flat_below: threshold of `flat_losses_are_not_split`, in units of the loss.
        min_separation: threshold of `test_one_component_first`; 2 is where two equal Gaussians turn bimodal. Clean
            losses with a long tail (a gamma of shape 4, say) reach 2.4 by chance: raise it to 2.5 for such data.
        seen_area_px: how many predicted pixels still count as an empty prediction.
    """

    unset_pseudo_is_noisy: bool = False
    flat_losses_are_not_split: bool = False
    empty_label_against_prediction_is_noisy: bool = False
    both_empty_is_clean: bool = False
    threshold_between_means: bool = False
    test_one_component_first: bool = False
    empty_pseudo_is_noisy: bool = False
    flat_below: float = 1e-3
    min_separation: float = 2.0
    seen_area_px: int = 0

    @classmethod
    def none(cls) -> FilterGuards:
        """The paper's filter, word for word."""
        return cls()

    @classmethod
    def all(cls) -> FilterGuards:
        """Every guard."""
        return cls(**{field.name: True for field in fields(cls) if field.default is False})


def published_filter(
    losses: ArrayLike,
    kind: LabelKind,
    guards: FilterGuards,
    *,
    label_area: ArrayLike | None = None,
    pred_area: ArrayLike | None = None,
    is_set: ArrayLike | None = None,
    manual_empty_and_clean: ArrayLike | None = None,
    unit: Unit = "image",
    seed: int = 0,
) -> Verdicts:
    """Call a label clean iff its loss more likely comes from the component of low loss.

    Eqs. 2-3: losses are min-max normalised to [0, 1], a mixture of two Gaussians is fitted, and a sample is clean iff
    the posterior of the component with the lower mean is the larger one. An exact tie is noisy.

    Without guards, losses that are all equal (or a single sample) have no min-max normalisation; they are then taken
    as 0, to which scikit-learn answers "all in one component", which is the low one: every label is clean, an unset
    y' among them. That is the trap, kept deterministic.

    Args:
        losses: float (N, K), finite, per sample and class. With unit 'image' the classes are averaged (those that no
            guard sets aside); K = 1 is the paper's case.
        kind: 'manual' for given labels y, 'pseudo' for y'. It decides what becomes of losses that are not split
            (manual: clean, pseudo: noisy), and which guards apply.
        guards: which traps to avoid.
        label_area: int (N, K), foreground pixels of the label that the losses were measured against.
        pred_area: int (N, K), foreground pixels of the prediction.
        is_set: bool (N, K), whether y' was ever written.
        manual_empty_and_clean: bool (N, K), whether y is empty and was itself judged clean.
        unit: see `decide`. With 'image' an empty y' means one that is empty in every class.
        seed: of the mixture.

    Returns:
        verdicts (N, K). `fits[...].values` holds the normalised losses; `posterior` is the mixture's also where
        `threshold_between_means` overrules it. N = 0 gives empty verdicts.

    Raises:
        ValueError: if `kind` is unknown, a loss is not finite, a shape differs or a guard lacks its input.

    Reference: Eqs. 2-3, Deep self-cleansing, doi 10.1002/mp.70007. We differ only where a guard is on.
    """
    if kind not in ("manual", "pseudo"):
        raise ValueError(f"kind must be 'manual' or 'pseudo', got {kind!r}")
    losses = np.asarray(losses, dtype=np.float64)
    if losses.ndim != 2:
        raise ValueError(f"losses must have shape (N, K), got {losses.shape}; for one class pass losses[:, None]")
    if not np.isfinite(losses).all():
        raise ValueError(
            f"losses must be finite, got {int((~np.isfinite(losses)).sum())} NaN or infinite values; "
            "the network has diverged: lower the learning rate or resume from an earlier checkpoint"
        )

    def needed(name: str, value: ArrayLike | None, guard: str) -> NDArray:
        if value is None or np.shape(value) != losses.shape:
            got = "nothing" if value is None else f"shape {np.shape(value)}"
            raise ValueError(f"guard {guard} needs {name} of shape {losses.shape}, got {got}; pass it or turn it off")
        return np.asarray(value)

    def per_unit(empty: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.broadcast_to(empty.all(axis=1, keepdims=True), empty.shape) if unit == "image" else empty

    noisy = np.zeros(losses.shape, dtype=bool)
    comparable = np.ones(losses.shape, dtype=bool)
    if guards.empty_label_against_prediction_is_noisy or guards.both_empty_is_clean:
        name = "empty_label_against_prediction_is_noisy or both_empty_is_clean"
        label_empty = needed("label_area", label_area, name) == 0
        pred_empty = needed("pred_area", pred_area, name) <= guards.seen_area_px
        if guards.empty_label_against_prediction_is_noisy:
            noisy |= label_empty & ~pred_empty
        if guards.both_empty_is_clean:
            comparable &= ~(label_empty & pred_empty)
    if kind == "pseudo" and guards.unset_pseudo_is_noisy:
        noisy |= per_unit(~needed("is_set", is_set, "unset_pseudo_is_noisy").astype(bool))
    if kind == "pseudo" and guards.empty_pseudo_is_noisy:
        pseudo_empty = per_unit(needed("label_area", label_area, "empty_pseudo_is_noisy") == 0)
        trusted = needed("manual_empty_and_clean", manual_empty_and_clean, "empty_pseudo_is_noisy").astype(bool)
        noisy |= pseudo_empty & ~per_unit(trusted)

    def judge(features: NDArray[np.float64]) -> Judgement:
        return _split_by_loss(features, kind, guards, seed)

    return decide(losses[..., None], comparable, noisy, judge, unit=unit)


def crossing_between_means(mixture: Mixture) -> float:
    """Find the loss between the two means at which the posteriors are equal.

    The log ratio of the weighted components falls strictly from the low mean to the high one (its derivative is
    linear and negative at both), so there is at most one crossing. If there is none, one component outweighs the
    other everywhere in between, and the mean of the weaker one is the threshold.

    Args:
        mixture: two components, one feature, ordered by mean.
    """
    low, high = mixture.means[:, 0]
    scales = mixture.covariances[:, 0, 0]

    def log_ratio(x: float) -> float:
        terms = np.log(mixture.weights) - 0.5 * np.log(scales) - 0.5 * (x - mixture.means[:, 0]) ** 2 / scales
        return float(terms[0] - terms[1])

    if log_ratio(low) <= 0:
        return float(low)
    if log_ratio(high) >= 0:
        return float(high)
    return float(brentq(log_ratio, low, high))


def _split_by_loss(losses: NDArray[np.float64], kind: LabelKind, guards: FilterGuards, seed: int) -> Judgement:
    """Eqs. 2-3 on losses (n, 1)."""
    one_group_is_clean = kind == "manual"
    outcome = "all taken as clean" if one_group_is_clean else "all taken as noisy"
    if not len(losses):
        return Judgement.unsplit(losses, clean=True, reason="no sample left to compare")
    lowest, span = losses.min(), np.ptp(losses)
    if guards.flat_losses_are_not_split and min(span, losses.std()) < guards.flat_below:
        reason = f"losses hardly vary (range {span:.2g}, sd {losses.std():.2g}): {outcome}"
        return Judgement.unsplit(np.zeros_like(losses), clean=one_group_is_clean, reason=reason)
    normalised = (losses - lowest) / span if span > 0 else np.zeros_like(losses)
    if len(np.unique(normalised)) < 2:
        return Judgement.unsplit(normalised, clean=True, reason="losses are all equal: all taken as clean")

    mixture = fit_mixture(normalised, 2, seed=seed)
    if guards.test_one_component_first:
        separation = np.sqrt(2) * (mixture.means[1, 0] - mixture.means[0, 0]) / np.sqrt(mixture.covariances.sum())
        worse = mixture.bic >= fit_mixture(normalised, 1, seed=seed).bic
        if worse or separation < guards.min_separation:
            reason = f"losses form one group (separation {separation:.2f}): {outcome}"
            return Judgement.unsplit(normalised, clean=one_group_is_clean, reason=reason)
    low, high = mixture.posteriors.T  # components are ordered by mean
    clean = normalised[:, 0] < crossing_between_means(mixture) if guards.threshold_between_means else low > high
    return Judgement(clean, low, normalised, mixture, clean_group=(0,))
