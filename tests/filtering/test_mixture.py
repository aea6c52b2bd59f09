# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate
from scipy.stats import multivariate_normal, norm

from bundle.self_cleansing.filtering import component_densities, fit_mixture


@pytest.fixture
def two_groups():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(1.0, 0.1, 70), rng.normal(3.0, 0.4, 30)])


@pytest.mark.parametrize("d", [1, 2])
def test_posteriors_follow_from_the_parameters_by_bayes_rule(d):
    rng = np.random.default_rng(1)
    rows = np.concatenate([rng.normal(0, 1, (60, d)), rng.normal(5, 2, (40, d))])
    fitted = fit_mixture(rows, 2)
    joint = np.stack(
        [
            fitted.weights[c] * multivariate_normal(fitted.means[c], fitted.covariances[c]).pdf(rows).reshape(-1)
            for c in range(2)
        ],
        axis=1,
    )
    np.testing.assert_allclose(fitted.posteriors, joint / joint.sum(axis=1, keepdims=True), atol=1e-9)
    np.testing.assert_allclose(fitted.bic, -2 * np.log(joint.sum(1)).sum() + (1 + 2 * d + d * (d + 1)) * np.log(100))


def test_groups_far_apart_are_recovered_and_ordered_by_mean(two_groups):
    fitted = fit_mixture(two_groups, 2)
    np.testing.assert_allclose(fitted.weights, [0.7, 0.3], atol=0.01)
    np.testing.assert_allclose(fitted.means[:, 0], [two_groups[:70].mean(), two_groups[70:].mean()], atol=0.02)
    assert fitted.converged


def test_components_are_ordered_by_their_first_feature():
    rows = np.random.default_rng(0).normal([[0, 5]] * 40 + [[3, -5]] * 60, 0.1)
    np.testing.assert_allclose(fit_mixture(rows, 2).means, [[0, 5], [3, -5]], atol=0.1)


def test_order_of_samples_does_not_matter_and_global_seed_neither(two_groups):
    np.random.seed(1)
    fitted = fit_mixture(two_groups, 3)
    np.random.seed(2)
    order = np.random.default_rng(3).permutation(100)
    shuffled = fit_mixture(two_groups[order], 3)
    np.testing.assert_array_equal(shuffled.posteriors, fitted.posteriors[order])
    np.testing.assert_array_equal(shuffled.means, fitted.means)


def test_of_many_starts_the_likeliest_counts_and_seeds_agree():
    rng = np.random.default_rng(0)
    groups = ((0, 0), 0.3, 60), ((1, 0.5), 0.5, 40), ((3, 3), 1, 30), ((3, -3), 1, 30), ((0, 2), 0.3, 20)
    rows = np.concatenate([rng.normal(mean, sd, (count, 2)) for mean, sd, count in groups])
    one, ten = ([fit_mixture(rows, 4, seed=seed, num_starts=n).bic for seed in range(6)] for n in (1, 10))
    assert np.ptp(one) > 1  # four components for five groups: the start decides
    np.testing.assert_allclose(ten, min(one), rtol=1e-3)


def test_equal_samples_have_equal_posteriors():
    fitted = fit_mixture(np.repeat([0.0, 0.4, 0.5, 1.0], 5), 2)
    np.testing.assert_array_equal(fitted.posteriors.reshape(4, 5, 2).std(axis=1), 0)


def test_as_many_samples_as_components_is_enough_and_finite():
    fitted = fit_mixture([[0.0, 1.0], [2.0, 3.0], [9.0, 9.0]], 3)
    np.testing.assert_allclose(fitted.posteriors, np.eye(3), atol=1e-12)
    assert np.isfinite(fitted.covariances).all()


def test_an_atom_of_repeated_values_gives_finite_results():
    fitted = fit_mixture(np.r_[np.ones(200), np.linspace(0, 0.5, 20)], 2)
    assert np.isfinite(fitted.posteriors).all() and fitted.covariances.min() > 0


def test_no_convergence_is_reported_not_warned(two_groups):
    assert not fit_mixture(two_groups, 3, max_iterations=1).converged


@pytest.mark.parametrize(
    ("features", "match"),
    [
        (np.full(10, 0.3), "1 distinct among 10"),
        ([], "0 distinct among 0"),
        ([0.0, np.nan, 1.0], "1 NaN or infinite"),
        (np.zeros((2, 2, 2)), r"\(2, 2, 2\)"),
    ],
)
def test_unusable_features_are_named(features, match):
    with pytest.raises(ValueError, match=match):
        fit_mixture(features, 2)


def test_one_sample_is_no_mixture():
    with pytest.raises(ValueError, match="a mixture needs two samples .* got 1 distinct among 1"):
        fit_mixture([1.0], 1)


def test_densities_integrate_to_the_weights(two_groups):
    fitted = fit_mixture(two_groups, 2)
    grid = np.linspace(-5, 10, 20001)
    densities = component_densities(fitted, grid)
    np.testing.assert_allclose(integrate.trapezoid(densities, grid, axis=0), fitted.weights, atol=1e-6)
    first = norm(fitted.means[0, 0], np.sqrt(fitted.covariances[0, 0, 0])).pdf(grid)
    np.testing.assert_allclose(densities[:, 0], fitted.weights[0] * first, atol=1e-9)


def test_densities_of_two_features_are_refused():
    with pytest.raises(ValueError, match="one feature, got 2"):
        component_densities(fit_mixture(np.random.default_rng(0).normal(size=(20, 2)), 2), [0.0])


def test_two_values_shared_by_all_samples_are_two_groups():
    """Nothing but ties: each component collapses onto one value and keeps a finite density."""
    fitted = fit_mixture(np.repeat([0.0, 1.0], [30, 70]), 2)
    np.testing.assert_allclose(fitted.weights, [0.3, 0.7], atol=1e-6)
    np.testing.assert_allclose(fitted.means[:, 0], [0.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(fitted.posteriors[:30, 0], 1.0)
    np.testing.assert_allclose(fitted.posteriors[30:, 1], 1.0)
    assert (fitted.covariances > 0).all() and np.isfinite(fitted.bic)


def test_two_samples_are_two_groups_and_one_is_refused():
    fitted = fit_mixture([2.0, 1.0], 2)
    np.testing.assert_allclose(fitted.means[:, 0], [1.0, 2.0])
    np.testing.assert_allclose(fitted.posteriors, [[0.0, 1.0], [1.0, 0.0]], atol=1e-12)
    with pytest.raises(ValueError, match="2 components, got 1 distinct among 2"):
        fit_mixture([1.0, 1.0], 2)


@pytest.mark.slow
def test_a_million_losses_keep_their_digits():
    rng = np.random.default_rng(0)
    losses = np.concatenate([rng.normal(0.1, 0.02, 700_000), rng.normal(0.6, 0.1, 300_000)])
    is_high = np.repeat([False, True], [700_000, 300_000])
    order = rng.permutation(len(losses))
    fitted = fit_mixture(losses[order], 2)
    assert fitted.converged and np.isfinite(fitted.bic)
    np.testing.assert_allclose(fitted.weights, [0.7, 0.3], atol=1e-3)
    np.testing.assert_allclose(fitted.means[:, 0], [0.1, 0.6], atol=1e-3)  # standard error 2e-5 and 2e-4
    np.testing.assert_allclose(np.sqrt(fitted.covariances[:, 0, 0]), [0.02, 0.1], atol=1e-3)
    assert fitted.weights.sum() == pytest.approx(1, abs=1e-9)
    np.testing.assert_allclose(fitted.posteriors.sum(axis=1), 1, atol=1e-12)
    assert ((fitted.posteriors[:, 1] > 0.5) == is_high[order]).mean() > 0.999
