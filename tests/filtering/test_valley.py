# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from skimage.measure import label

from bundle.self_cleansing.filtering import Mixture, fit_mixture, ridgeline, valley_ratio


def mixture_of(means, covariances, weights=None) -> Mixture:
    means, covariances = np.asarray(means, float), np.asarray(covariances, float)
    weights = np.full(len(means), 1 / len(means)) if weights is None else np.asarray(weights)
    return Mixture(weights, means, covariances, np.zeros((0, len(means))), bic=0.0, converged=True)


def test_equal_gaussians_two_deviations_apart_are_one_group_and_further_apart_two():
    """The textbook limit: an even mixture of N(0, 1) and N(m, 1) has two modes iff m > 2."""
    for distance, split in [(0.5, False), (1.0, False), (1.99, False), (2.1, True), (3.0, True), (8.0, True)]:
        ratio = valley_ratio(mixture_of([[0.0], [distance]], np.ones((2, 1, 1))), 0, 1)
        assert (ratio < 1 - 1e-6) is split


def test_the_depth_in_the_middle_by_hand():
    """By symmetry the valley of an even mixture is half way, the peaks, this far apart, at the means:
    2 exp(-m^2 / 8) over 1 + exp(-m^2 / 2)."""
    m = 6.0
    expected = 2 * np.exp(-(m**2) / 8) / (1 + np.exp(-(m**2) / 2))
    assert valley_ratio(mixture_of([[0.0], [m]], np.ones((2, 1, 1))), 0, 1) == pytest.approx(expected, rel=1e-6)


@pytest.fixture
def slanted() -> Mixture:
    return mixture_of([[0, 0], [3, 1]], [[[1, 0.8], [0.8, 1]], [[0.3, -0.2], [-0.2, 0.5]]], [0.7, 0.3])


def test_on_the_ridgeline_both_gradients_are_parallel(slanted):
    points = ridgeline(slanted, 0, 1)
    np.testing.assert_allclose(points[[0, -1]], slanted.means, atol=1e-12)
    steps = [(points - mean) @ np.linalg.inv(cov) for mean, cov in zip(slanted.means, slanted.covariances, strict=True)]
    cross = steps[0][:, 0] * steps[1][:, 1] - steps[0][:, 1] * steps[1][:, 0]
    np.testing.assert_allclose(cross, 0, atol=1e-9)


def test_the_lowest_point_on_the_ridgeline_is_the_pass_that_any_path_must_cross(slanted):
    """The second route: the highest level at which a fine grid still connects both means (a flood from above)."""
    axis = np.linspace(-2, 5, 281)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    density = sum(
        w * multivariate_normal(m, c).pdf(grid)
        for w, m, c in zip(slanted.weights, slanted.means, slanted.covariances, strict=True)
    )
    ends = [tuple(np.abs(axis[:, None] - mean).argmin(axis=0)) for mean in slanted.means]
    low, high = 0.0, min(density[end] for end in ends)
    for _ in range(40):
        level = (low + high) / 2
        regions = label(density >= level, connectivity=2)
        low, high = (level, high) if regions[ends[0]] == regions[ends[1]] != 0 else (low, level)
    expected = low / min(density[end] for end in ends)
    assert expected < 0.9
    assert valley_ratio(slanted, 0, 1) == pytest.approx(expected, rel=0.01)


def test_order_does_not_matter_and_a_component_has_no_valley_to_itself(slanted):
    assert valley_ratio(slanted, 0, 1) == pytest.approx(valley_ratio(slanted, 1, 0), rel=1e-12)
    assert valley_ratio(slanted, 1, 1) == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("widths", [(0.1, 3.0), (3.0, 0.1), (0.02, 5.0)])
def test_a_valley_beside_a_broad_component_is_seen(widths):
    first, second = widths
    mixture = mixture_of([[0.0], [2.0]], [[[first**2]], [[second**2]]], [0.02, 0.98])
    axis = np.linspace(0, 2, 200_001)  # the second route: every point on the way
    parts = [multivariate_normal(mixture.means[c], mixture.covariances[c]).pdf(axis) for c in range(2)]
    density = mixture.weights @ np.stack(parts)
    peaks = np.minimum(np.maximum.accumulate(density), np.maximum.accumulate(density[::-1])[::-1])
    assert valley_ratio(mixture, 0, 1) == pytest.approx((density / peaks).min(), rel=0.01)


def test_a_group_that_the_mixture_split_has_no_valley_and_a_second_group_has():
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 0.3, (300, 2)), rng.normal(4, 0.4, (100, 2))])
    fitted = fit_mixture(rows, 3)
    near = np.flatnonzero(fitted.means[:, 0] < 2)
    far = np.flatnonzero(fitted.means[:, 0] >= 2)
    assert len(near) == 2
    assert valley_ratio(fitted, *near) > 0.9
    assert max(valley_ratio(fitted, a, b) for a in near for b in far) < 0.01
