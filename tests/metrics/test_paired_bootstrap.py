# SPDX-License-Identifier: Apache-2.0
"""The interval of a paired difference against a loop, in simulations, by symmetry and by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.self_cleansing.metrics import Difference, paired_difference


def drawn(seed: int, patients: int = 15, within: float = 0.8) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Scores (1, V, 1) of two networks on two volumes per patient.

    Patients differ by tens of points, the networks by one. `within` is the correlation of a patient's two differences.
    """
    rng = np.random.default_rng(seed)
    hard = np.repeat(rng.uniform(40, 95, patients), 2)
    common, own = np.repeat(rng.normal(size=patients), 2), rng.normal(size=2 * patients)
    difference = 1 + 3 * (np.sqrt(within) * common + np.sqrt(1 - within) * own)
    return (hard + difference)[None, :, None], hard[None, :, None], [f"p{n // 2}" for n in range(2 * patients)]


def mean(scores: np.ndarray) -> float:
    """Over volumes, classes, trainings; a loop."""
    means = [[np.mean([v for v in of_class if not np.isnan(v)]) for of_class in one.T] for one in scores]
    return float(np.mean(means))


def with_gaps(seed: int) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Two trainings against three, eight patients of one to three volumes, three classes, one of them seldom there."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(list("abcdefgh"), [1, 3, 2, 2, 1, 3, 2, 1])
    scores, reference = rng.uniform(50, 90, (2, 15, 3)), rng.uniform(50, 90, (3, 15, 3))
    scores[:, 1::2, 2] = reference[:, 1::2, 2] = np.nan
    scores[1, 4, 0] = np.nan  # one training predicts nothing where there is nothing, the others something
    return scores, reference, list(patients)


def test_the_interval_is_that_of_a_loop():
    scores, reference, patients = with_gaps(0)
    names = sorted(set(patients))
    rng, differences = np.random.default_rng(7), []
    for _ in range(4000):
        index = [v for name in rng.choice(names, len(names)) for v in range(15) if patients[v] == name]
        differences.append(mean(scores[:, index]) - mean(reference[:, index]))
    found = paired_difference(scores, reference, patients)
    assert found.mean == pytest.approx(mean(scores) - mean(reference))
    np.testing.assert_allclose(found[1:], np.percentile(differences, [2.5, 97.5]), atol=0.35)


def covered(names_of) -> float:
    hits = []
    for seed in range(400):
        scores, reference, patients = drawn(seed)
        found = paired_difference(scores, reference, names_of(patients), draws=399)
        hits.append(found.low <= 1 <= found.high)
    return float(np.mean(hits))


def test_it_covers_the_true_difference_nearly_as_often_as_it_says():
    assert 0.88 < covered(lambda patients: patients) < 0.97
    # Volumes taken for patients would promise too much: the two of a patient go the same way.
    assert covered(lambda patients: [str(n) for n in range(len(patients))]) < 0.86


def test_swapped_methods_swap_the_bounds_and_a_constant_moves_them():
    scores, reference, patients = with_gaps(1)
    one, other = paired_difference(scores, reference, patients), paired_difference(reference, scores, patients)
    np.testing.assert_allclose(one, (-other.mean, -other.high, -other.low), atol=1e-9)
    np.testing.assert_allclose(paired_difference(scores + 3, reference, patients), np.add(one, 3), atol=1e-9)


def test_the_order_of_the_volumes_does_not_matter():
    scores, reference, patients = with_gaps(2)
    order = np.random.default_rng(0).permutation(15)
    turned = paired_difference(scores[:, order], reference[:, order], [patients[n] for n in order])
    np.testing.assert_allclose(turned, paired_difference(scores, reference, patients), atol=1e-9)


def test_what_makes_a_patient_hard_for_both_cancels():
    found = paired_difference([[[10], [50], [90]]], [[[9], [49], [89]]], ["a", "b", "c"])
    np.testing.assert_allclose(found, (1, 1, 1))
    assert str(found) == "+1.0 [+1.0, +1.0]"


def test_the_difference_is_that_of_the_means_of_classes_by_hand():
    # Class 0 in both volumes, 70 -> 69; class 1 in one of them, 50 -> 58. Means of classes: 60 -> 63.5.
    before, after = [[[70, 50], [70, np.nan]]], [[[69, 58], [69, np.nan]]]
    assert paired_difference(after, before, ["a", "b"]).mean == pytest.approx(3.5)
    # One method sees a structure where there is none: Dice 0, and the other has nothing to score there.
    assert paired_difference([[[90], [0]]], [[[90], [np.nan]]], ["a", "b"]).mean == pytest.approx(-45)


def test_too_little_to_draw_from():
    found = paired_difference([[[3], [5]]], [[[1], [3]]], ["a", "a"])
    assert found.mean == 2 and np.isnan(found[1:]).all()
    nothing = paired_difference([[[np.nan], [np.nan]]], [[[1], [2]]], ["a", "b"])
    assert isinstance(nothing, Difference) and np.isnan(nothing).all()
    with pytest.raises(ValueError, match=r"scores of the same 2 volumes .* got \(1, 2, 1\) and \(1, 3, 1\)"):
        paired_difference([[[1], [2]]], [[[1], [2], [3]]], ["a", "b"])
