# SPDX-License-Identifier: Apache-2.0
"""The displacement filter on discs whose clean, dilated, eroded and missing labels are known."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy.stats import norm

from bundle.self_cleansing.filtering import (
    FilterGuards,
    boundary_displacement,
    compare_areas,
    displacement_filter,
    fit_mixture,
    published_filter,
)
from bundle.self_cleansing.filtering.displacement import _dice_once_moved, _scatter_clearly_more
from bundle.self_cleansing.filtering.mixture import Mixture


class Discs(NamedTuple):
    kind: np.ndarray  # (N,)
    areas: list  # four arrays (N, K)
    losses: np.ndarray  # (N, K) soft Dice loss


def make_discs(counts=(60, 50, 50, 40), num_classes=2, size=48, seed=0) -> Discs:
    """Discs seen by an unsure network: a blurred edge around a slightly wrong circle.

    The soft Dice of a blurred prediction is highest for the mask of all pixels above half that Dice, not above 0.5.
    A label dilated by 2 px is close to that mask: it has the LOWEST loss of all, below the correct label.
    """
    rng = np.random.default_rng(seed)
    kind = np.repeat(["clean", "dilated", "eroded", "missing"], counts)
    shape = (len(kind), num_classes, 1, 1)
    radius = rng.uniform(6, 9, shape)
    offset_px = np.select([kind == "dilated", kind == "eroded"], [2.0, -2.0])[:, None, None, None]
    rows, columns = np.mgrid[:size, :size]
    centre = size / 2 + rng.uniform(-3, 3, (2, *shape))
    label = np.hypot(rows - centre[0], columns - centre[1]) <= radius + offset_px
    label &= (kind != "missing")[:, None, None, None]
    centre = centre + rng.normal(0, 0.3, centre.shape)
    outside_px = np.hypot(rows - centre[0], columns - centre[1]) - (radius + rng.normal(0, 0.3, shape))
    probs = 1 / (1 + np.exp(outside_px / 2.5))
    total = probs.sum((2, 3)) + label.sum((2, 3))
    losses = 1 - 2 * (probs * label).sum((2, 3)) / total
    areas = compare_areas(torch.from_numpy(label), torch.from_numpy(probs > 0.5))
    return Discs(kind, [area.numpy() for area in areas], losses)


@pytest.fixture(scope="module")
def discs() -> Discs:
    return make_discs()


def test_features_by_hand():
    features = boundary_displacement([[30, 0]], [[20, 0]], [[12, 0]], [[10, 0]])
    np.testing.assert_allclose(features, [[[1.2, 1.0], [0.0, 0.0]]])
    np.testing.assert_allclose(boundary_displacement([[3]], [[1]], [[2]], [[1]]), [[[2.0, 2.0]]])


def test_a_disc_dilated_by_two_pixels_is_displaced_by_about_two(discs):
    features = boundary_displacement(*discs.areas)
    medians = {kind: np.median(features[discs.kind == kind], axis=(0, 1)) for kind in ("clean", "dilated", "eroded")}
    assert medians["clean"][0] < 0.7 and abs(medians["clean"][1]) < 0.2
    assert 1.8 < medians["dilated"][1] < 3.0
    assert -2.4 < medians["eroded"][1] < -1.2


def test_the_lowest_loss_belongs_to_dilated_labels_and_misleads_the_filters_that_trust_it(discs):
    mean_loss = {kind: discs.losses[discs.kind == kind].mean() for kind in ("clean", "dilated", "eroded", "missing")}
    assert min(mean_loss, key=mean_loss.get) == "dilated"
    # The paper's filter, every guard on: most of what it believes is dilated or eroded.
    believed = published_filter(
        discs.losses, "manual", FilterGuards.all(), label_area=discs.areas[0], pred_area=discs.areas[1]
    ).clean[:, 0]
    assert believed[discs.kind == "dilated"].all()
    assert (discs.kind[believed] == "clean").mean() < 0.6
    # The same mixture on displacements, its component chosen by the lowest mean loss: dilated labels and no others.
    present = discs.kind != "missing"
    mixture = fit_mixture(boundary_displacement(*discs.areas).mean(axis=1)[present], 3)
    component_loss = mixture.posteriors.T @ discs.losses.mean(axis=1)[present] / mixture.posteriors.sum(axis=0)
    chosen = mixture.posteriors[:, component_loss.argmin()] > 0.5
    assert set(discs.kind[present][chosen]) == {"dilated"}


def test_the_component_nearest_zero_is_the_clean_one(discs):
    verdicts = displacement_filter(*discs.areas)
    clean = verdicts.clean[:, 0]
    assert verdicts.reason == ""
    assert set(discs.kind[clean]) == {"clean"}  # precision 1
    assert clean[discs.kind == "clean"].mean() > 0.9
    np.testing.assert_array_equal(verdicts.by_rule[:, 0], discs.kind == "missing")
    np.testing.assert_array_equal(verdicts.clean[:, 0], verdicts.clean[:, 1])


def test_each_class_can_be_judged_alone():
    apart = make_discs(seed=1)
    mixed = [np.stack([area[:, 0], area[::-1, 1]], axis=1) for area in apart.areas]  # other noise in the other class
    verdicts = displacement_filter(*mixed, unit="class")
    kinds = np.stack([apart.kind, apart.kind[::-1]], axis=1)
    assert set(kinds[verdicts.clean]) == {"clean"}
    assert (verdicts.clean[kinds == "clean"]).mean() > 0.9
    assert len(verdicts.fits) == 2


def test_nested_labels_are_lost_to_collapsed_components_unless_these_have_some_width(discs):
    def recall(**options):
        return displacement_filter(*discs.areas, unit="class", **options).clean[discs.kind == "clean"].mean()

    perfect = with_rows(discs, ((150, 150), (150, 150)))  # no pixel differs
    assert recall(resolution_px=1e-3) < 0.9 < 0.95 < recall()
    assert not displacement_filter(*perfect, unit="class", resolution_px=1e-3).clean[0].all()
    assert displacement_filter(*perfect, unit="class").clean[0].all()


def test_permuting_samples_permutes_verdicts_and_other_seeds_agree(discs):
    order = np.random.default_rng(0).permutation(len(discs.kind))
    verdicts = displacement_filter(*discs.areas)
    permuted = displacement_filter(*(area[order] for area in discs.areas))
    np.testing.assert_array_equal(permuted.clean, verdicts.clean[order])
    np.testing.assert_array_equal(permuted.posterior, verdicts.posterior[order])
    for seed in range(1, 4):
        assert (displacement_filter(*discs.areas, seed=seed).clean == verdicts.clean).mean() > 0.97


def with_rows(discs: Discs, *rows: tuple) -> list[np.ndarray]:
    """Put hand-written samples first; each row gives (label_area, pred_area) of both classes."""
    extra = np.array(rows)  # (R, K, 2)
    label, pred = extra[..., 0], extra[..., 1]
    hand = [label, pred, np.abs(label - pred), np.minimum(pred, 40)]
    return [np.concatenate([first, rest]) for first, rest in zip(hand, discs.areas, strict=True)]


@pytest.mark.parametrize(
    ("row", "image", "by_class"),
    [
        (((0, 0), (0, 0)), [0, 0], [0, 0]),  # nothing anywhere: nothing speaks for the label
        (((0, 8), (0, 0)), [0, 0], [0, 0]),  # no more than 8 predicted pixels are no evidence
        (((0, 9), (0, 0)), [0, 0], [0, 0]),  # a missing label, and an organ that is too faint to tell
        (((0, 90), (150, 150)), [0, 1], [0, 1]),  # a missing label beside a good one
        (((90, 0), (150, 150)), [0, 1], [0, 1]),  # marked, but not found by a network that knows the class
        (((8, 0), (150, 150)), [1, 1], [1, 1]),
        (((90, 1), (150, 150)), [0, 0], [0, 1]),  # one predicted pixel is a prediction to compare with
        (((1, 150), (150, 150)), [0, 0], [0, 1]),  # and one marked pixel is a label
        (((0, 0), (150, 150)), [1, 1], [1, 1]),  # an absent organ follows its sample ...
        (((0, 0), (250, 150)), [0, 0], [1, 0]),  # ... also when the sample is noisy
    ],
)
def test_the_rules_for_empty_masks(discs, row, image, by_class):
    areas = with_rows(discs, row)
    assert displacement_filter(*areas).clean[0].tolist() == [bool(v) for v in image]
    assert displacement_filter(*areas, unit="class").clean[0].tolist() == [bool(v) for v in by_class]


def test_verdicts_say_what_no_mixture_decided(discs):
    verdicts = displacement_filter(*with_rows(discs, ((0, 90), (150, 150)), ((0, 0), (0, 0))))
    assert verdicts.by_rule[:3].tolist() == [[True, False], [True, True], [False, False]]
    assert verdicts.posterior[0, 0] == 0 and verdicts.posterior[1].tolist() == [0, 0]  # lone: nothing speaks for it


def test_a_rule_can_reject_the_whole_image(discs):
    areas = with_rows(discs, ((0, 90), (150, 150)))
    assert not displacement_filter(*areas, noisy_class_rejects_image=True).clean[0].any()


def test_samples_without_a_class_to_compare_can_be_believed(discs):
    areas = with_rows(discs, ((0, 0), (0, 8)), ((0, 9), (0, 0)))
    verdicts = displacement_filter(*areas, uncompared_is_clean=True)
    assert verdicts.clean[:2].tolist() == [[True, True], [False, True]]
    assert verdicts.by_rule[:2].all()


def test_clean_labels_split_between_components_stay_together():
    """Right labels that differ more than a Gaussian does, without a gap: the nearest component alone loses the rest."""
    areas = measured(*((5 + int(60 * 0.75**i), 0.3 + 0.12 * i, 0.04 * i * (-1) ** i) for i in range(10)))
    never = {"same_group_px": 0.0, "no_gap_ratio": 1.1, "resolution_px": 0.1}  # the nearest component is always in
    by_distance, by_gap, single = (
        displacement_filter(*areas, **never | options)
        for options in ({"same_group_px": 1.0}, {"no_gap_ratio": 0.9, "max_one_sided": 1.0}, {})
    )
    assert min(by_distance.clean.mean(), by_gap.clean.mean()) > 0.95 > 0.8 > single.clean.mean() > 0.1


def test_a_class_that_the_network_has_not_learnt_is_not_held_against_its_labels(discs):
    areas = [area.copy() for area in discs.areas]
    for area in areas[1:]:
        area[:, 1] = 0  # never predicted
    areas[2][:, 1] = areas[0][:, 1]
    verdicts = displacement_filter(*areas)
    assert set(discs.kind[verdicts.clean[:, 0]]) == {"clean"} and verdicts.clean[:, 1].sum() > 50
    assert displacement_filter(*areas, unit="class").clean[discs.kind != "missing", 1].all()
    strict = displacement_filter(*areas, unit="class", min_seen_fraction=0.0)
    assert not strict.clean[discs.kind != "missing", 1].any()


def test_too_few_samples_are_accepted_except_by_rule(discs):
    areas = with_rows(Discs(discs.kind[:10], [a[:10] for a in discs.areas], discs.losses[:10]), ((0, 90), (0, 90)))
    verdicts = displacement_filter(*areas)
    assert verdicts.clean[1:].all() and not verdicts.clean[0].any()
    assert "only 10 samples" in verdicts.reason


def test_identical_and_no_samples_are_accepted():
    areas = [np.full((50, 1), v) for v in (120, 110, 14, 30)]
    assert displacement_filter(*areas).clean.all()
    assert displacement_filter(*(a[:0] for a in areas)).clean.shape == (0, 1)


def measured(*groups: tuple[int, float, float]) -> list[np.ndarray]:
    """Areas (N, 1) of groups (samples, mean absolute, mean signed displacement), scattered by 0.05 px."""
    rng = np.random.default_rng(0)
    absolute, signed = (np.concatenate([rng.normal(group[i], 0.05, group[0]) for group in groups]) for i in (1, 2))
    absolute = np.maximum(absolute, np.abs(signed))
    pred, length = np.full(len(absolute), 9000), np.full(len(absolute), 1000)
    areas = [pred + np.rint(1000 * signed), pred, np.rint(1000 * absolute), length]
    return [area.astype(np.int64)[:, None] for area in areas]


def test_labels_one_pixel_off_in_a_group_of_their_own_are_not_clean():
    clean = displacement_filter(*measured((60, 0.3, 0.0), (40, 1.1, 1.0))).clean[:, 0]  # 1.55 px in the distance
    assert clean[:60].mean() > 0.95 and not clean[60:].any()


def test_one_sided_labels_without_a_gap_to_the_right_ones_are_not_clean_and_two_sided_ones_are():
    right = [(60, 0.3, 0.0), (60, 0.4, 0.05), (60, 0.5, -0.05), (60, 0.6, 0.1), (30, 0.7, 0.15)]
    grown = [(12, a, 0.95 * a) for a in np.linspace(0.4, 1.6, 12)]  # by radii drawn evenly
    coarse = [(8, a, 0.5 * a) for a in np.linspace(0.6, 1.6, 8)]  # the boundary errs on both sides
    areas = measured(*right, *grown)
    found, joined = (displacement_filter(*areas, max_components=2, max_one_sided=most) for most in (2 / 3, 1.0))
    assert found.clean[:270].all() and joined.clean.all()
    assert found.clean[270 : 270 + 3 * 12].all() and not found.clean[270 + 6 * 12 :].any()  # from 0.95 px on
    areas = measured(*right, *coarse)
    joined, strict = (displacement_filter(*areas, max_one_sided=most) for most in (2 / 3, 0.3))
    assert joined.clean.all() and strict.clean[:270].all() and not strict.clean[270 + 5 * 8 :].any()


def test_the_nearest_group_has_the_least_signed_and_half_the_absolute_displacement():
    areas = measured((30, 2.2, 0.0), (30, 0.6, 0.6))  # 1.1 against 0.9
    fit = displacement_filter(*areas, max_components=2, same_group_px=0.0).fits[0]
    np.testing.assert_allclose(fit.mixture.means[list(fit.clean_group)], [[0.6, 0.6]], atol=0.05)


def test_a_network_that_draws_too_large_is_no_reason_to_believe_labels_that_are():
    """All labels are displaced by its 1.2 px: the right ones lie off zero, the grown ones near it."""
    areas = measured((60, 1.3, -1.2), (80, 0.9, 0.7), (30, 1.8, 1.7), (110, 3.3, -3.2))
    clean = displacement_filter(*areas).clean[:, 0]
    assert clean[:60].mean() > 0.95 and not clean[60:].any()
    fit = displacement_filter(*areas).fits[0]
    at_zero = np.argmin(fit.mixture.means[:, 0] / 2 + np.abs(fit.mixture.means[:, 1]))
    assert at_zero not in fit.clean_group  # the prediction alone would have misled it


def test_where_the_median_lies_between_groups_the_right_labels_are_those_that_scatter_least():
    """Half of the labels are grown, each by a radius of its own; the network draws in between."""
    right, grown = (100, 2.7, -1.8), [(8, shift, shift) for shift in np.linspace(1.0, 5.5, 14)]
    areas = measured(right, *grown)
    assert 0.5 < np.median(boundary_displacement(*areas)[..., 1]) < 2.0  # where the least of the grown ones lie
    clean = displacement_filter(*areas).clean[:, 0]
    assert clean[:100].mean() > 0.95 and not clean[100:].any()
    # Of two rules that find them each is enough.
    assert displacement_filter(*areas, max_scatter=100.0).clean[:100].mean() > 0.95
    assert not displacement_filter(*areas, min_density=0.0, max_scatter=100.0).clean[:100].any()


def scattered(*groups: tuple[int, float, float]) -> list[np.ndarray]:
    """Areas (N, 1) of groups (samples, mean and standard deviation of the signed displacement), at normal quantiles.

    In the tests below the network draws so much too large that all labels but strays lie inside of its outline.
    """
    ranks = [(np.arange(number) + 0.5) / number for number, *_ in groups]
    signed = np.concatenate([norm.ppf(rank, mean, sd) for rank, (_, mean, sd) in zip(ranks, groups, strict=True)])
    pred, length = np.full(len(signed), 20000), np.full(len(signed), 1000)
    areas = [pred + np.rint(1000 * signed), pred, np.rint(1000 * (np.abs(signed) + 0.2)), length]
    return [area.astype(np.int64)[:, None] for area in areas]


def believed(groups: list[tuple[int, float, float]], **options: float) -> list[float]:
    """The share of each of `groups` that the filter believes."""
    clean = displacement_filter(*scattered(*groups), **options).clean[:, 0]
    return [float(part.mean()) for part in np.split(clean, np.cumsum([number for number, *_ in groups])[:-1])]


def test_where_the_median_lies_in_the_wrong_group_the_right_labels_are_those_that_scatter_less():
    """Half of the labels and some strays are larger, by nearly the same."""
    groups = [(300, -4.0, 0.4), (300, -1.8, 0.7), (30, 2.0, 0.4)]  # 0.47 and 0.74 with the resolution, a ratio of 1.58
    right, wrong, strays = believed(groups)
    assert right > 0.95 and wrong < 0.05 and strays == 0
    right, wrong, _ = believed(groups, max_scatter=1.75)
    assert right < 0.05 and wrong > 0.9


def test_a_group_that_scatters_less_must_have_as_many_labels_around_it():
    """The wrong labels agree better with each other, but are fewer: the median decides."""
    right, wrong = believed([(360, -3.0, 0.6), (240, -5.1, 0.3)])
    assert right > 0.95 and wrong < 0.05


@pytest.mark.parametrize("options", [{}, {"min_density": 0.0}, {"same_group_px": 0.0}])
def test_labels_that_clipping_makes_alike_are_no_measure_of_scatter(options):
    """Those 7 px too large all come to 6 px, and scatter by nothing."""
    right, shrunken, clipped = believed([(600, -2.0, 0.6), (200, -5.0, 0.4), (200, 7.5, 0.2)], **options)
    assert right > 0.9 and shrunken < 0.05 and clipped == 0


def test_where_groups_scatter_alike_the_median_tells_the_right_ones():
    """The right labels lie between shrunken and grown ones, of which the grown are more and scatter a little less."""
    groups = [(1000, -6.0, 0.6), (1000, -9.0, 0.6), (1050, -3.0, 0.54)]  # 0.65 and 0.60 in components, a ratio of 1.09
    right, shrunken, grown = believed(groups, clip_px=20)
    assert right > 0.9 and shrunken < 0.05 and grown < 0.05
    right, _, grown = believed(groups, clip_px=20, max_scatter=1.0)
    assert right < 0.05 and grown > 0.9


@pytest.mark.parametrize(("number", "right_ones"), [(40, True), (400, False)])
def test_few_labels_do_not_show_which_group_scatters_less(number, right_ones):
    """A ratio of 1.2 may be chance between 40 labels and 36 (two errors: 1.38), but not between 400 and 360 (1.11)."""
    groups = [(number, -4.0, 0.6), (int(0.9 * number), -7.0, 0.48)]
    right, wrong = believed(groups, clip_px=20)
    assert (right > 0.9) == right_ones and (wrong > 0.9) != right_ones


@pytest.mark.parametrize(("left", "joined"), [(1.6, True), (1.1, False)])
@pytest.mark.parametrize("offset", [-3.0, 0.0])
def test_sides_are_meant_beside_the_believed_labels_wherever_the_network_draws(offset, left, joined):
    """Forty labels 1 px larger than the right ones, and with that nearly all or 5/8 of what they are off by."""
    right, others = (100, 0.2 + abs(offset), offset), (40, left - 1.0 + abs(offset + 1.0), offset + 1.0)
    clean = displacement_filter(*measured(right, others), max_components=2, no_gap_ratio=0.0).clean[:, 0]
    assert clean[:100].all() and clean[100:].mean() == joined


def test_a_filter_that_believes_nothing_declines(discs):
    verdicts = displacement_filter(*discs.areas, min_posterior=1.0)
    assert verdicts.reason == "no label belongs to the believed group with a probability above 1"
    assert verdicts.clean[discs.kind != "missing"].all()


def test_a_group_is_joined_as_it_would_be_if_the_network_did_not_draw_too_large():
    """The same labels, all 1.5 px inside of the prediction; what is left of the displacement is the same."""
    left, shift = np.array([0.1, 0.3]), np.array([0.0, 1.0])  # a - |s|, s
    for offset in (0.0, -1.5):
        signed = shift + offset
        groups = [(n, a, s) for n, a, s in zip((100, 40), left + np.abs(signed), signed, strict=True)]
        clean = displacement_filter(*measured(*groups), max_components=2, same_group_px=1.7).clean
        assert clean.all(), offset
        clean = displacement_filter(*measured(*groups), max_components=2, same_group_px=1.6).clean
        assert clean[:100].mean() > 0.95 and not clean[100:].any(), offset  # 1.0 + (0.3 + 1.0) / 2 = 1.65 px


def test_components_are_no_narrower_than_the_resolution():
    mixture = displacement_filter(*measured((60, 0.3, 0.0), (40, 1.1, 1.0)), resolution_px=0.5).fits[0].mixture
    assert (np.diagonal(mixture.covariances, axis1=1, axis2=2) >= 0.25).all()


def test_a_posterior_is_at_most_one_where_the_shares_of_a_group_round_to_above_it():
    areas = measured((2000, 0.4, 0.0), (1000, 0.6, 0.2))
    verdicts = displacement_filter(*areas, same_group_px=100.0, resolution_px=0.01)
    (fit,) = verdicts.fits
    assert len(fit.clean_group) == len(fit.mixture.weights) > 1 and (fit.mixture.posteriors.sum(axis=1) > 1).any()
    assert verdicts.posterior.max() == 1


def test_there_are_as_many_components_as_the_labels_give_evidence_for():
    """Of groups far apart each gets one, up to the limit; of labels that err alike, all are believed."""
    groups = [(60, 0.5, 0.0), (60, 3.0, 2.9), (60, 3.0, -2.9)]
    fits = [displacement_filter(*measured(*groups[:number])).fits[0] for number in (1, 2, 3)]
    assert [len(fit.mixture.weights) for fit in fits] == [1, 2, 3]
    assert displacement_filter(*measured(groups[0])).clean.all()
    assert len(displacement_filter(*measured(*groups), max_components=2).fits[0].mixture.weights) == 2


def test_as_few_samples_as_allowed_are_split():
    areas = measured((14, 0.3, 0.0), (10, 1.1, 1.0))
    assert displacement_filter(*areas).reason == ""
    assert displacement_filter(*(area[1:] for area in areas)).reason == "only 23 samples to compare, 24 needed"


@pytest.mark.parametrize("distinct", [1, 2, 3])
def test_there_are_no_more_components_than_different_samples(distinct):
    groups = [(1, 0.3, 0.0), (1, 1.9, 1.9), (1, 3, -3)][:distinct]
    areas = [np.repeat(area, 30, axis=0) for area in measured(*groups)]
    fit = displacement_filter(*areas).fits[0]
    assert len(fit.mixture.weights) == distinct
    assert displacement_filter(*areas).clean[:, 0].tolist() == [True] * 30 + [False] * 30 * (distinct - 1)


def test_if_the_network_does_not_agree_with_the_labels_it_would_believe_it_is_to_blame():
    """Labels a fifth of the prediction and inside of it, 2 * 200 / (200 + 1000) = 0.33, but all much alike."""
    label = np.concatenate([np.arange(180, 221), np.zeros(5, dtype=int)])[:, None]
    pred = np.full_like(label, 1000)
    areas = [label, pred, pred - label, np.full_like(label, 500)]  # all 1.6 px inside, give or take 10 / 500
    verdicts = displacement_filter(*areas)
    assert verdicts.reason == (
        "the network agrees with the labels that it would believe by a Dice of 0.33, without its bias by 0.97; "
        "0.4 and 0.75 are needed"
    )
    assert verdicts.clean[:41].all() and not verdicts.clean[41:].any()  # a rule needs no mixture
    assert displacement_filter(*areas, min_dice=0.33).reason == ""


def test_what_the_network_disagrees_by_once_its_bias_is_taken_off():
    """Of 1.6 px, 1 px inside of the prediction, 0.6 px are left; both areas come to 3 px, once it is moved to 2 px:
    1 - 0.6 / 2 = 0.7, and as they are 2 * 350 / 1500 = 0.47."""
    label = np.arange(490, 511)[:, None].repeat(2, axis=0)
    areas = [label, np.full_like(label, 1000), np.full_like(label, 800), np.full_like(label, 500)]
    assert "by a Dice of 0.47, without its bias by 0.70; 0.4 and 0.75 are needed" in displacement_filter(*areas).reason
    assert displacement_filter(*areas, min_agreement=0.69).reason == ""


def test_dice_once_moved_by_hand():
    """Absolute, signed, both areas; moved by -3: left are 1 + 0 of 7 - 3, and of the third row more than its areas."""
    compared = np.array([[4.0, -3.0, 7.0], [3.0, -3.0, 3.0], [2.0, 0.0, 4.0]])
    np.testing.assert_allclose(_dice_once_moved(compared, -3.0), [1 - 1 / 4, 1.0, 0.0], atol=1e-6)


def test_which_components_scatter_clearly_more_by_hand():
    """Standard deviations 0.5, 0.6, 0.3, 0.2 of the second feature; the third is not dense, the fourth has no label."""
    deviations = np.array([0.5, 0.6, 0.3, 0.2])
    covariances = np.stack([np.diag([1.0 / d, d**2]) for d in deviations])  # the first feature says the contrary
    mixture = Mixture(np.full(4, 0.25), np.zeros((4, 2)), covariances, np.zeros((0, 4)), 0.0, True)

    def wide(around: list[int], as_many: float = 0.8, max_scatter: float = 1.1) -> list[bool]:
        dense = np.array([True, True, False, True])
        return _scatter_clearly_more(mixture, np.array(around), dense, as_many, max_scatter).tolist()

    assert wide([400, 400, 400, 0]) == [False, True, False, False]  # 1.2 against 1.1, two errors: exp(2 / 20) = 1.105
    assert wide([300, 400, 400, 0]) == [False, False, False, False]  # three quarters are not as many
    assert wide([300, 400, 400, 0], as_many=0.75) == [False, True, False, False]
    assert wide([400, 400, 400, 0], max_scatter=1.25) == [False, False, False, False]
    assert wide([80, 80, 80, 0]) == [False, False, False, False]  # two errors: exp(2 / sqrt(80)) = 1.25


def test_labels_of_several_structures_agree_by_their_mean(discs):
    """Two discs of a sample each; twice the intersection over the sum."""
    believed = displacement_filter(*discs.areas).clean[:, 0] & (discs.kind != "missing")
    label, pred, difference, _ = discs.areas
    dice = ((label + pred - difference) / (label + pred)).mean(axis=1)
    middle = np.median(dice[believed])
    assert displacement_filter(*discs.areas, min_dice=middle - 1e-6).reason == ""
    assert f"by a Dice of {middle:.2f}" in displacement_filter(*discs.areas, min_dice=middle + 1e-6).reason


def test_labels_beyond_the_clip_are_no_dense_group():
    """More than half of the labels are grown by 7 to 13 px: clipped to 6 px they look as if they agreed."""
    right, grown = (60, 2.2, -2.0), [(8, shift, shift) for shift in np.linspace(7.0, 13.0, 10)]
    areas = measured(right, *grown)
    clean = displacement_filter(*areas, min_agreement=0.0).clean[:, 0]
    assert clean[:60].all() and not clean[60:].any()


def test_features_are_clipped(discs):
    values = displacement_filter(*discs.areas, clip_px=1.5).fits[0].values
    assert values.max() == 1.5 and values[:, 1].min() == -1.5
    far = displacement_filter(*with_rows(discs, ((900, 100), (900, 100)))).fits[0].values  # 20 px off
    assert far.max() == 6.0  # pixels; the default


def test_bad_input_is_named(discs):
    with pytest.raises(ValueError, match=r"\(3,\)"):
        boundary_displacement(*[np.zeros(3)] * 4)
    with pytest.raises(ValueError, match=r"\(2, 1\)"):
        boundary_displacement(*[np.zeros((1, 1))] * 3, np.zeros((2, 1)))
    with pytest.raises(ValueError, match="'organ'"):
        displacement_filter(*discs.areas, unit="organ")
