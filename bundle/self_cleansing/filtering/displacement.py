# SPDX-License-Identifier: Apache-2.0
"""A filter that asks how far the label's boundary lies from the predicted one, and on which side.

The Dice loss falls with size, so an over-sized label looks easier than a correct one, and a filter that trusts the
lowest loss ends up trusting dilated labels. An average boundary displacement in pixels has a natural zero instead:
the clean labels are those around it, whatever their loss. Or nearly around it: where much of the training was wrong
the network itself draws too large or too small, which moves all labels by the same amount. So the clean labels are
taken to be the group nearest to the median label, which they are as long as too large and too small ones balance.
Where those do not, the median may fall into a gap between groups, or into the wrong one. But right labels differ from
the network by its own errors alone, wrong ones by theirs as well, and so mostly scatter more: only groups count that
have many labels around them, and that do not scatter clearly more than one that has as many.

Symbols, per sample and class: A label area, B predicted area, X pixels where they differ, L boundary length of the
prediction. Absolute displacement a = X / L, signed displacement s = (A - B) / L; |s| <= a.
Not in the paper: the measurements behind it are in docs/decisions/0002-practical-filter.md.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .mixture import Mixture, fit_mixture
from .valley import valley_ratio
from .verdicts import Judgement, Unit, Verdicts, decide


def boundary_displacement(
    label_area: ArrayLike, pred_area: ArrayLike, difference_area: ArrayLike, boundary_length: ArrayLike
) -> NDArray[np.float64]:
    """Turn areas into the absolute and the signed displacement of the label's boundary, in pixels.

    Args:
        label_area, pred_area, difference_area, boundary_length: int (N, K), non-negative, as `compare_areas` counts.

    Returns:
        float64 (N, K, 2): absolute (>= 0), then signed (positive: the label is the larger one). Where the prediction
        is empty the boundary is taken as 1 px, so that the result is finite; a caller should not use it there.

    Raises:
        ValueError: if the shapes differ or are not (N, K).
    """
    shapes = [np.shape(array) for array in (label_area, pred_area, difference_area, boundary_length)]
    if len(set(shapes)) > 1 or len(shapes[0]) != 2:
        raise ValueError(f"the four areas must all have shape (N, K), got {shapes}")
    length = np.maximum(np.asarray(boundary_length, dtype=np.float64), 1.0)
    surplus = np.asarray(label_area, dtype=np.float64) - np.asarray(pred_area, dtype=np.float64)
    return np.stack([np.asarray(difference_area, dtype=np.float64) / length, surplus / length], axis=-1)


def displacement_filter(
    label_area: ArrayLike,
    pred_area: ArrayLike,
    difference_area: ArrayLike,
    boundary_length: ArrayLike,
    *,
    unit: Unit = "image",
    max_components: int = 4,
    num_starts: int = 10,
    clip_px: float = 6.0,
    resolution_px: float = 0.25,
    min_posterior: float = 0.5,
    seen_area_px: int = 8,
    min_seen_fraction: float = 0.5,
    noisy_class_rejects_image: bool = False,
    uncompared_is_clean: bool = False,
    same_group_px: float = 1.0,
    min_density: float = 0.5,
    max_scatter: float = 1.1,
    as_many: float = 0.8,
    no_gap_px: float = 2.0,
    no_gap_ratio: float = 0.9,
    max_one_sided: float = 2 / 3,
    min_samples: int = 24,
    min_dice: float = 0.4,
    min_agreement: float = 0.75,
    seed: int = 0,
) -> Verdicts:
    """Call a label clean iff its boundary lies where the labels agree on one, seen from the predicted boundary.

    Rules come first, per sample and class:
      - label empty, prediction larger than `seen_area_px`: noisy (a missing label).
      - prediction empty, label larger than `seen_area_px`: noisy (the network does not find what is marked), unless
        the network finds this class in less than `min_seen_fraction` of the labels that mark it. It has then not
        learnt the class, its silence is no evidence, and there is nothing to compare.
      - one empty and the other no larger than `seen_area_px`, or both empty: nothing to compare.
    Where both are non-empty, absolute and signed displacement are computed, averaged over the classes (unit 'image'),
    clipped to `clip_px`, and full-covariance mixtures of one to `max_components` components are fitted, of which the
    one with the lowest Bayesian information criterion counts. Its clean component is the one nearest the median m of
    the signed displacements, the least |signed mean - m| + absolute mean / 2, among those that have at least
    `min_density` of the most labels any has within `same_group_px` of its signed mean (clipped ones do not count) and
    whose signed displacements do not scatter clearly more than those of one that has about as many, `as_many` times its
    own or more. Clearly more: beyond `max_scatter` times, and beyond two standard errors.
    From there on the prediction is thought moved onto its boundary: t = s - the signed mean of the clean component, and
    a + |t| - |s| is what is left of an absolute displacement. Other components belong to the same group if, of their
    means, |t| + left / 2 is at most `same_group_px`, or at most `no_gap_px` with no gap between and not one-sided:
    where few labels err in one direction, the mixture spends components on splitting the clean ones. Clean iff the
    posterior of the group exceeds `min_posterior`.

    With unit 'image' the classes that could be compared decide for those that could not. A sample of which no class
    could be compared is noisy unless `uncompared_is_clean`: on real hearts two of three such samples were missing
    labels on slices where the network, too, saw nothing, and believing them teaches it to go on.

    The samples are not split, and all that no rule rejects are accepted, if fewer than `min_samples` can be compared,
    or if the prediction agrees with the labels of the clean group by a Dice of less than `min_dice`, or once moved by
    less than `min_agreement` (each of the means over the compared classes of a sample, the median over the samples), or
    there is no such label: then it is the network that is off, and warm-up should go on.

    Args:
        label_area, pred_area, difference_area, boundary_length: int (N, K), as `compare_areas` counts them.
        unit: 'image' or 'class', see `decide`.
        max_components: of the mixture; 4 leaves one each for too small, right, too large and stray. With 3, on real
            hearts after a short warm-up, right and slightly too large labels shared one (precision 0.81, with 4 0.97).
            Fewer count where the labels give no evidence for more: 91 labels by crowd workers, whose errors form no
            groups, make two or three.
        num_starts: of the mixture; the likeliest fit counts. With one, recall for one network was 0.85 or 0.97 by
            the seed.
        clip_px: bound on both features, so that a few wild samples do not take a component for themselves.
        resolution_px: standard deviation added to every component. Where label and prediction are nested, |s| = a
            exactly: components of too large and too small labels collapse onto these two lines, and their density
            there outbids the clean component for every clean label that happens to be nested, the perfect one at
            zero included. 0.1 px is enough against it: on simulated discs judged per class, recall of the clean labels
            rises from 0.66 to 0.98 at precision 1. 0.25 px, about what rounding to pixels does to a boundary, also
            keeps the mixture from spending components on how right labels differ: after a short warm-up on ACDC, recall
            is 4 to 7 points higher than with 0.1.
        min_posterior: in [0, 1].
        seen_area_px: areas up to this many pixels count as no evidence against an empty mask.
        min_seen_fraction: in [0, 1]; 0 always believes an empty prediction.
        noisy_class_rejects_image: in unit 'image', one class that is noisy by rule makes the sample noisy. Off by
            default: a network that misses a faint organ in some slices would cost all labels of those slices.
        uncompared_is_clean: believe samples of which no class could be compared. If the samples are not split, all
            are believed in any case.
        same_group_px: finer than any error worth finding: the window in which labels count as lying around a component,
            and the distance up to which components are one group. With 0 no component has labels around it, and
            `min_density` asks nothing.
        min_density: in [0, 1]; 0 asks all components. On 28 networks of hearts and X-rays the median has 0.8 to 1 times
            as many labels around it as the densest place; where half of the hearts' labels were dilated, 0.1 to 0.2.
        max_scatter: >= 1, of the components' standard deviations, `resolution_px` included; a large one asks nothing.
            Where half of the hearts' labels walk outwards, or 70 % are dilated, wrong ones lie nearer to the median,
            and scatter 1.2 to 1.6 times as much as the right ones. But wrong labels that agree much better with each
            other than the right ones do (made by another model, say) are believed, from about a third of all on.
        as_many: in [0, 1]. Not 1, because labels around a wide component between two groups are mostly of these.
        no_gap_px: the distance, |t| + left / 2, up to which components without a gap to the clean one are joined; those
            that clean hearts are split into lie up to 1.3 px from it.
        no_gap_ratio: in [0, 1]; two components are one group if the density between them nowhere falls below this share
            of the lower peak (`valley_ratio`). Labels as published vary without a gap, wrong ones lie apart.
        max_one_sided: in [0, 1]; such a component is one-sided if |t| is more than this share of what is left of its
            absolute mean. Right labels lie partly inside and partly outside of the prediction: 0.5 to 0.6 in the
            components that clean hearts are split into. Labels grown or shrunk by some radius have 0.7 to 1, and no
            gap to the right ones where small radii are as frequent as large ones. 1: joined as well.
        min_samples: the default exceeds the 23 free parameters of four components in two dimensions.
        min_dice: in [0, 1]; a network that draws something else than it should can agree once moved.
        min_agreement: in [0, 1]; 0 asks for none. Where half of the hearts' labels were eroded, networks of the first
            ten epochs, which find little, agreed by up to 0.73 with labels that are wrong, at epoch 11 by 0.90 with the
            right ones; elsewhere, from epoch 6 on, by 0.78 and more with the right ones. Before it was moved the
            network of 70 % dilated labels agreed by 0.56 with the right ones.
        seed: of the mixture.

    Returns:
        verdicts (N, K); `fits[...].values` are (absolute, signed) in pixels, clipped.

    Raises:
        ValueError: if shapes differ or the unit is unknown.
    """
    features = boundary_displacement(label_area, pred_area, difference_area, boundary_length)
    label_area, pred_area = np.asarray(label_area), np.asarray(pred_area)
    marked, found = label_area > seen_area_px, pred_area > 0
    learnt = (marked & found).sum(axis=0) >= min_seen_fraction * marked.sum(axis=0)  # (K,)
    missing = (label_area == 0) & (pred_area > seen_area_px)
    unseen = marked & ~found & learnt
    comparable = (label_area > 0) & found
    dice = 1 - np.asarray(difference_area) / np.maximum(label_area + pred_area, 1)
    both_px = (label_area + pred_area) / np.maximum(np.asarray(boundary_length), 1)  # over the length displacements are

    def fit(values: NDArray[np.float64], number: int) -> Mixture:
        return fit_mixture(values, number, seed=seed, num_starts=num_starts, regularisation=resolution_px**2)

    def judge(compared: NDArray[np.float64]) -> Judgement:
        values = np.clip(compared[:, :2], -clip_px, clip_px)
        if len(values) < min_samples:
            reason = f"only {len(values)} samples to compare, {min_samples} needed"
            return Judgement.unsplit(values, clean=True, reason=reason)
        most = min(max_components, len(np.unique(values, axis=0)))
        mixture = min((fit(values, number) for number in range(1, most + 1)), key=lambda one: one.bic)
        absolute_px, signed_px = mixture.means.T
        signed = values[:, 1, None]
        around = ((np.abs(signed - signed_px) <= same_group_px) & (np.abs(signed) < clip_px)).sum(axis=0)
        off_median = np.abs(signed_px - np.median(signed)) + absolute_px / 2
        dense = around >= min_density * around.max()
        wide = _scatter_clearly_more(mixture, around, dense, as_many, max_scatter)
        nearest = int(np.argmin(np.where(dense & ~wide, off_median, np.inf)))
        no_gap = np.array([valley_ratio(mixture, nearest, other) >= no_gap_ratio for other in range(len(signed_px))])
        shift_px = np.abs(signed_px - signed_px[nearest])
        left_px = absolute_px + shift_px - np.abs(signed_px)
        distances = shift_px + left_px / 2
        two_sided = shift_px <= max_one_sided * left_px
        group = (distances <= same_group_px) | (no_gap & two_sided & (distances <= no_gap_px))
        group[nearest] = True
        posterior = mixture.posteriors[:, group].sum(axis=1).clip(max=1.0)  # a sum of shares may round to above 1
        clean = posterior > min_posterior
        if not clean.any():
            reason = f"no label belongs to the believed group with a probability above {min_posterior:g}"
            return Judgement.unsplit(values, clean=True, reason=reason)
        agrees = float(np.median(compared[clean, 3]))
        agrees_moved = float(np.median(_dice_once_moved(compared[clean, :3], signed_px[nearest])))
        if agrees < min_dice or agrees_moved < min_agreement:
            reason = (
                f"the network agrees with the labels that it would believe by a Dice of {agrees:.2f}, without its bias "
                f"by {agrees_moved:.2f}; {min_dice:g} and {min_agreement:g} are needed"
            )
            return Judgement.unsplit(values, clean=True, reason=reason)
        return Judgement(clean, posterior, values, mixture, tuple(np.flatnonzero(group).tolist()))

    compared = np.concatenate([features, both_px[..., None], dice[..., None]], axis=-1)
    verdicts = decide(
        compared, comparable, missing | unseen, judge, unit=unit, noisy_class_rejects_image=noisy_class_rejects_image
    )
    if uncompared_is_clean or all(fit.mixture is None for fit in verdicts.fits):
        return verdicts
    lone = ~comparable.any(axis=1, keepdims=True)
    return replace(
        verdicts,
        clean=verdicts.clean & ~lone,
        posterior=np.where(lone, 0.0, verdicts.posterior),
        by_rule=verdicts.by_rule | lone,
    )


def _scatter_clearly_more(
    mixture: Mixture, around: NDArray[np.int64], dense: NDArray[np.bool_], as_many: float, max_scatter: float
) -> NDArray[np.bool_]:
    """Which of C components scatter, in the second feature, clearly more than a dense one with about as many labels.

    Args:
        mixture: C components.
        around: (C,), labels around each.
        dense: (C,), those that can be a measure for others; the tightest of them is never among the outcome.
        as_many, max_scatter: see `displacement_filter`.

    Returns:
        bool (C,). The logarithm of a standard deviation of n normal values has the standard error 1 / sqrt(2 n).
    """
    log_scatter = np.log(mixture.covariances[:, 1, 1]) / 2
    error = np.sqrt((1 / np.maximum(around, 1)[:, None] + 1 / np.maximum(around, 1)) / 2)
    rival = (as_many * around[:, None] <= around) & (around > 0) & dense  # (C, C): of the first, the second
    clearly = log_scatter[:, None] - log_scatter > np.maximum(np.log(max_scatter), 2 * error)
    return (rival & clearly).any(axis=1)


def _dice_once_moved(compared: NDArray[np.float64], centre_px: float) -> NDArray[np.float64]:
    """Dice (n,) of labels and a prediction whose outline is thought moved by `centre_px`, to first order.

    Args:
        compared: (n, 3), absolute and signed displacement, and the areas of label and prediction, over one length.
    """
    absolute, signed, both = compared.T
    left = absolute - np.abs(signed) + np.abs(signed - centre_px)
    return 1 - left / np.maximum(both + centre_px, np.maximum(left, 1e-9))  # at least 0, where nothing would be left
