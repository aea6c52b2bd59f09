# SPDX-License-Identifier: Apache-2.0
"""The paper's filter against scikit-learn on the same losses, and each trap without and with its guard."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from bundle.self_cleansing.filtering import FilterGuards, crossing_between_means, fit_mixture, published_filter

PAPER = FilterGuards.none()


def column(*parts) -> np.ndarray:
    return np.concatenate([np.atleast_1d(part) for part in parts]).clip(0, 1)[:, None]


def two_groups(seed=0, high_sd=0.1):
    rng = np.random.default_rng(seed)
    return column(rng.normal(0.2, 0.03, 150), rng.normal(0.6, high_sd, 100))


def test_without_guards_it_is_equations_2_and_3():
    losses = two_groups()[:, 0]
    normalised = (losses - losses.min()) / (losses.max() - losses.min())
    oracle = GaussianMixture(2, random_state=5, max_iter=1000, tol=1e-8).fit(normalised[:, None])
    low = oracle.means_[:, 0].argmin()
    expected = oracle.predict_proba(normalised[:, None])[:, low] > 0.5
    verdicts = published_filter(losses[:, None], "manual", PAPER)
    np.testing.assert_array_equal(verdicts.clean[:, 0], expected)
    np.testing.assert_allclose(verdicts.fits[0].values[:, 0], normalised)
    assert verdicts.clean.sum() in range(145, 155) and verdicts.reason == ""


def test_all_guards_are_on_in_all_and_off_in_none():
    switches = [field.name for field in fields(FilterGuards) if field.default is False]
    assert len(switches) == 7
    assert all(getattr(FilterGuards.all(), name) for name in switches)
    assert not any(getattr(FilterGuards.none(), name) for name in switches)


@pytest.mark.parametrize("guards", [PAPER, FilterGuards(threshold_between_means=True)])
def test_permutation_and_positive_affine_maps_of_the_losses_change_nothing(guards):
    losses = two_groups()
    order = np.random.default_rng(1).permutation(len(losses))
    clean = published_filter(losses, "manual", guards).clean
    np.testing.assert_array_equal(published_filter(losses[order], "manual", guards).clean, clean[order])
    np.testing.assert_array_equal(published_filter(7 * losses + 3, "manual", guards).clean, clean)


def test_image_unit_averages_classes_and_class_unit_does_not():
    first, second = two_groups(0), two_groups(1)[::-1]
    losses = np.hstack([first, second])
    apart = published_filter(losses, "manual", PAPER, unit="class")
    for k, alone in enumerate([first, second]):
        np.testing.assert_array_equal(apart.clean[:, [k]], published_filter(alone, "manual", PAPER).clean)
    assert len(apart.fits) == 2
    together = published_filter(losses, "manual", PAPER, unit="image")
    mean = published_filter(losses.mean(axis=1, keepdims=True), "manual", PAPER)
    np.testing.assert_array_equal(together.clean, np.repeat(mean.clean, 2, axis=1))


@pytest.mark.parametrize(("losses", "clean"), [([0.1, 0.9], [1, 0]), ([0.3], [1]), ([0.5, 0.5], [1, 1]), ([], [])])
def test_two_one_equal_and_no_samples(losses, clean):
    verdicts = published_filter(np.reshape(losses, (-1, 1)), "manual", PAPER)
    np.testing.assert_array_equal(verdicts.clean[:, 0], np.array(clean, dtype=bool))
    assert np.isfinite(verdicts.posterior).all()


def test_ties_share_a_verdict():
    clean = published_filter(column(np.repeat([0.1, 0.2, 0.5, 0.9], 10)), "manual", PAPER).clean
    np.testing.assert_array_equal(clean.reshape(4, 10).std(axis=1), 0)


def test_trap_a1_a_pseudo_label_never_set_is_clean():
    losses, is_set = column(np.ones(50)), np.zeros((50, 1), bool)
    assert published_filter(losses, "pseudo", PAPER).clean.all()  # the constant's verdict
    guarded = published_filter(losses, "pseudo", FilterGuards(unset_pseudo_is_noisy=True), is_set=is_set)
    assert not guarded.clean.any() and (guarded.posterior == 0).all()


@pytest.mark.parametrize(("kind", "expected"), [("manual", True), ("pseudo", False)])
def test_trap_a2_rounding_errors_are_split(kind, expected):
    losses = column(0.4 + 1e-6 * np.random.default_rng(0).normal(size=100))
    assert 0.1 < published_filter(losses, kind, PAPER).clean.mean() < 0.9
    guarded = published_filter(losses, kind, FilterGuards(flat_losses_are_not_split=True))
    assert (guarded.clean == expected).all() and "hardly vary" in guarded.reason
    assert published_filter(two_groups(), kind, FilterGuards(flat_losses_are_not_split=True)).reason == ""


def missing_and_boundary_noise():
    """30 % clean, 35 % boundary noise, 35 % missing labels: the losses of methods/self_cleansing.md, trap B."""
    rng = np.random.default_rng(0)
    losses = column(rng.normal(0.15, 0.04, 180), rng.normal(0.42, 0.08, 210), np.ones(210))
    kind = np.repeat(["clean", "boundary", "missing"], [180, 210, 210])
    label_area = np.where(kind == "missing", 0, 100)[:, None]
    return losses, kind, label_area, np.full((600, 1), 100)


def test_trap_b_missing_labels_hide_boundary_noise():
    losses, kind, label_area, pred_area = missing_and_boundary_noise()
    unguarded = published_filter(losses, "manual", PAPER).clean[:, 0]
    assert unguarded[kind == "boundary"].mean() == 1.0
    guards = FilterGuards(empty_label_against_prediction_is_noisy=True)
    guarded = published_filter(losses, "manual", guards, label_area=label_area, pred_area=pred_area)
    assert guarded.clean[kind == "clean"].mean() > 0.98
    assert guarded.clean[kind == "boundary"].mean() < 0.02
    assert not guarded.clean[kind == "missing"].any()
    np.testing.assert_array_equal(guarded.by_rule[:, 0], kind == "missing")


def test_guard_b_takes_the_whole_image_or_the_class_alone():
    losses = np.hstack([two_groups(), two_groups()])
    label_area, pred_area = np.full(losses.shape, 50), np.full(losses.shape, 50)
    label_area[0, 1] = 0
    guards = FilterGuards(empty_label_against_prediction_is_noisy=True)
    areas = {"label_area": label_area, "pred_area": pred_area}
    assert published_filter(losses, "manual", guards, unit="image", **areas).clean[0].tolist() == [False, False]
    assert published_filter(losses, "manual", guards, unit="class", **areas).clean[0].tolist() == [True, False]


def test_trap_c_empty_against_empty_takes_the_clean_component():
    rng = np.random.default_rng(0)
    losses = column(np.zeros(600), rng.normal(0.3, 0.05, 200), rng.normal(0.5, 0.08, 200))
    kind = np.repeat(["empty", "clean", "noisy"], [600, 200, 200])
    area = np.where(kind == "empty", 0, 80)[:, None]
    assert published_filter(losses, "manual", PAPER).clean[kind == "clean"].mean() < 0.02
    guarded = published_filter(
        losses, "manual", FilterGuards(both_empty_is_clean=True), label_area=area, pred_area=area
    )
    assert guarded.clean[kind == "empty"].all()
    assert guarded.clean[kind == "clean"].mean() > 0.9
    assert guarded.clean[kind == "noisy"].mean() < 0.15


def test_trap_d_the_smallest_losses_go_to_a_wide_high_component():
    rng = np.random.default_rng(0)
    losses = column(rng.normal(0.2, 0.02, 300), rng.normal(0.45, 0.25, 300))
    order = losses[:, 0].argsort()
    unguarded = published_filter(losses, "manual", PAPER).clean[order, 0]
    assert not unguarded[:20].any()
    guarded = published_filter(losses, "manual", FilterGuards(threshold_between_means=True)).clean[order, 0]
    assert guarded[:300].all()
    assert (np.diff(guarded.astype(int)) <= 0).all()  # one threshold: no clean label above a noisy one
    assert not guarded[-200:].any()


def test_the_crossing_lies_between_the_means_where_the_posteriors_are_equal():
    losses = two_groups()
    mixture = fit_mixture(losses, 2)
    crossing = crossing_between_means(mixture)
    assert mixture.means[0, 0] < crossing < mixture.means[1, 0]
    between = (losses[:, 0] > mixture.means[0, 0]) & (losses[:, 0] < mixture.means[1, 0])
    np.testing.assert_array_equal(losses[between, 0] < crossing, mixture.posteriors[between, 0] > 0.5)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [([1 - 1e-9, 1e-9], 1.0), ([1e-9, 1 - 1e-9], 0.0), ([0.75, 0.25], 1.0), ([0.25, 0.75], 0.0), ([0.5, 0.5], 0.5)],
)
def test_a_component_that_outweighs_the_other_everywhere_takes_the_interval(weights, expected):
    """Of two Gaussians of variance 1, one apart, that is so if their weights differ by more than a factor sqrt(e)."""
    mixture = fit_mixture(np.r_[np.linspace(-1, 1, 50), np.linspace(0, 2, 50)], 2)
    changed = {
        "weights": np.array(weights),
        "means": np.array([[0.0], [1.0]]),
        "covariances": np.ones((2, 1, 1)),
        "posteriors": mixture.posteriors,
        "bic": 0.0,
        "converged": True,
    }
    assert crossing_between_means(type(mixture)(**changed)) == pytest.approx(expected)


@pytest.mark.parametrize("skewed", [False, True])
def test_trap_e_a_clean_data_set_is_split(skewed):
    guards = FilterGuards(test_one_component_first=True)
    called_noisy, left_alone, bic_prefers_two = [], 0, 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        losses = column(np.exp(rng.normal(-2, 0.5, 600)) if skewed else rng.normal(0.3, 0.05, 600))
        called_noisy.append(1 - published_filter(losses, "manual", PAPER).clean.mean())
        bic_prefers_two += fit_mixture(losses, 2).bic < fit_mixture(losses, 1).bic
        left_alone += published_filter(losses, "manual", guards).clean.all()
    assert np.mean(called_noisy) > 0.2
    assert left_alone == 10
    by_bic = FilterGuards(test_one_component_first=True, min_separation=0)
    assert published_filter(losses, "manual", by_bic).clean.all() != skewed
    assert bic_prefers_two == (10 if skewed else 0)  # why the separation is tested too


def test_guard_e_still_splits_two_real_groups_and_rejects_a_single_group_of_pseudo_labels():
    guards = FilterGuards(test_one_component_first=True)
    losses = two_groups()
    np.testing.assert_array_equal(
        published_filter(losses, "manual", guards).clean, published_filter(losses, "manual", PAPER).clean
    )
    rng = np.random.default_rng(0)
    near = column(rng.normal(0.3, 0.04, 3000), rng.normal(0.4, 0.04, 3000))  # 2.5 standard deviations
    assert published_filter(near, "manual", guards).reason == ""
    single = column(np.random.default_rng(0).normal(0.3, 0.05, 200))
    verdicts = published_filter(single, "pseudo", guards)
    assert not verdicts.clean.any() and "one group" in verdicts.reason


def test_trap_f_an_empty_pseudo_label_agrees_with_an_empty_prediction_for_ever():
    losses = column(np.zeros(20), np.random.default_rng(0).normal(0.5, 0.1, 30))
    label_area = np.where(np.arange(50) < 20, 0, 60)[:, None]
    assert published_filter(losses, "pseudo", PAPER).clean[:20].all()
    trusted = np.zeros((50, 1), bool)
    trusted[:5] = True  # y is empty there, and clean
    guarded = published_filter(
        losses,
        "pseudo",
        FilterGuards(empty_pseudo_is_noisy=True),
        label_area=label_area,
        manual_empty_and_clean=trusted,
    )
    np.testing.assert_array_equal(guarded.clean[:20], trusted[:20])


def test_guard_f_asks_for_an_image_empty_in_every_class():
    losses = np.hstack([two_groups(), two_groups()])
    label_area = np.full(losses.shape, 60)
    label_area[0, 1] = 0  # an absent organ
    label_area[1] = 0  # an empty label
    kwargs = {"label_area": label_area, "manual_empty_and_clean": np.zeros(losses.shape, bool)}
    guards = FilterGuards(empty_pseudo_is_noisy=True)
    assert published_filter(losses, "pseudo", guards, unit="image", **kwargs).clean[:2].tolist() == [
        [True] * 2,
        [False] * 2,
    ]
    assert published_filter(losses, "pseudo", guards, unit="class", **kwargs).clean[0].tolist() == [True, False]


def test_with_every_guard_nothing_is_left_to_fit_in_an_empty_data_set():
    area = np.zeros((4, 2), int)
    verdicts = published_filter(np.zeros((4, 2)), "manual", FilterGuards.all(), label_area=area, pred_area=area)
    assert verdicts.clean.all() and verdicts.reason == "no sample left to compare"


@pytest.mark.parametrize(
    ("losses", "kind", "guards", "match"),
    [
        (np.zeros(3), "manual", PAPER, r"\(3,\)"),
        (np.full((3, 1), np.nan), "manual", PAPER, "3 NaN"),
        (np.zeros((3, 1)), "given", PAPER, "'given'"),
        (np.zeros((3, 1)), "manual", FilterGuards(both_empty_is_clean=True), "both_empty_is_clean needs label_area"),
        (np.zeros((3, 1)), "pseudo", FilterGuards(unset_pseudo_is_noisy=True), "needs is_set"),
    ],
)
def test_bad_input_is_named(losses, kind, guards, match):
    with pytest.raises(ValueError, match=match):
        published_filter(losses, kind, guards)


def test_an_input_of_another_shape_is_named():
    area = np.zeros((2, 1), int)
    with pytest.raises(ValueError, match=r"needs label_area of shape \(3, 1\), got shape \(2, 1\)"):
        published_filter(np.zeros((3, 1)), "manual", FilterGuards(both_empty_is_clean=True), label_area=area)
