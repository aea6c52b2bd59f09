# SPDX-License-Identifier: Apache-2.0
"""The interval of a paired difference against a loop, known cases and symmetry."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.self_cleansing.metrics import Difference, paired_difference, volume_scores


def drawn(seed: int, count: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """Scores of two networks: the volumes differ by tens of points, the networks by one."""
    rng = np.random.default_rng(seed)
    hard = rng.uniform(40, 95, count)
    return hard + 1 + rng.normal(0, 2, count), hard + rng.normal(0, 2, count)


def test_the_interval_is_that_of_a_loop():
    scores, reference = drawn(0)
    rng = np.random.default_rng(7)
    means = []
    for _ in range(20_000):
        index = rng.integers(0, len(scores), len(scores))
        means.append(scores[index].mean() - reference[index].mean())
    found = paired_difference(scores, reference)
    assert found.mean == pytest.approx(scores.mean() - reference.mean())
    np.testing.assert_allclose(found[1:], np.percentile(means, [2.5, 97.5]), atol=0.06)


def test_it_covers_the_true_difference_nearly_as_often_as_it_says():
    inside = [low <= 1 <= high for _, low, high in (paired_difference(*drawn(seed), draws=499) for seed in range(300))]
    assert 0.88 < np.mean(inside) < 0.98


def test_swapped_networks_swap_the_bounds_and_a_constant_moves_them():
    scores, reference = drawn(1)
    one, other = paired_difference(scores, reference), paired_difference(reference, scores)
    np.testing.assert_allclose(one, (-other.mean, -other.high, -other.low), atol=1e-9)
    np.testing.assert_allclose(paired_difference(scores + 3, reference), np.add(one, 3), atol=1e-9)


def test_what_makes_a_volume_hard_for_both_cancels():
    assert paired_difference([10, 50, 90], [9, 49, 89]) == Difference(1, 1, 1)
    assert str(paired_difference([10, 50, 90], [9, 49, 89])) == "+1.0 [+1.0, +1.0]"


def test_volumes_with_nothing_to_score_are_dropped():
    scores, reference = drawn(2)
    whole = paired_difference(scores, reference)
    assert paired_difference([*scores, np.nan], [*reference, 50.0]) == whole


def test_too_few_volumes_have_no_interval():
    assert paired_difference([3], [1])[0] == 2 and np.isnan(paired_difference([3], [1])[1:]).all()
    assert np.isnan(paired_difference([], [])).all()
    with pytest.raises(ValueError, match=r"one shape \(V,\), got \(2,\) and \(3,\)"):
        paired_difference([1, 2], [1, 2, 3])


def test_a_volume_scores_the_mean_of_the_structures_it_shows():
    scores = volume_scores({"RV": [60.0, None, None], "LV": [80.0, 70.0, None]})
    np.testing.assert_array_equal(scores, [70.0, 70.0, np.nan])
