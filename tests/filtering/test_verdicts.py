# SPDX-License-Identifier: Apache-2.0
"""How rules, features and judgements are put together, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.self_cleansing.filtering.verdicts import Judgement, decide

FEATURES = np.array([[[2.0], [4.0]], [[6.0], [99.0]], [[8.0], [99.0]], [[99.0], [99.0]]])  # 4 samples, 2 classes
COMPARABLE = np.array([[True, True], [True, False], [True, True], [False, False]])
NOISY = np.array([[False, False], [False, False], [False, True], [False, False]])


def below_five(features: np.ndarray) -> Judgement:
    """Clean below 5; the features are what a plot shows."""
    clean = features[:, 0] < 5
    return Judgement(clean, np.where(clean, 0.75, 0.25), features)


def test_an_image_is_judged_by_the_mean_of_its_classes_that_can_be_compared():
    found = decide(FEATURES, COMPARABLE, NOISY, below_five, unit="image", noisy_class_rejects_image=False)
    np.testing.assert_array_equal(found.fits[0].values[:, 0], [3, 6, 8, 0])  # (2 + 4) / 2, 6, 8 without the noisy one
    np.testing.assert_array_equal(found.fits[0].fitted, [True, True, True, False])
    np.testing.assert_array_equal(found.clean, [[1, 1], [0, 0], [0, 0], [1, 1]])
    np.testing.assert_array_equal(found.posterior, [[0.75, 0.75], [0.25, 0.25], [0.25, 0], [1, 1]])
    np.testing.assert_array_equal(found.by_rule, [[0, 0], [0, 0], [0, 1], [1, 1]])


def test_one_class_that_a_rule_turns_down_may_turn_down_the_image():
    found = decide(FEATURES, COMPARABLE, NOISY, below_five, unit="image")
    np.testing.assert_array_equal(found.fits[0].fitted, [True, True, False, False])
    np.testing.assert_array_equal(found.posterior[2], [0, 0])


def test_a_class_is_judged_alone():
    found = decide(FEATURES, COMPARABLE, NOISY, below_five, unit="class")
    np.testing.assert_array_equal(found.clean, [[1, 1], [0, 1], [0, 0], [1, 1]])
    np.testing.assert_array_equal(found.posterior, [[0.75, 0.75], [0.25, 1], [0.25, 0], [1, 1]])
    np.testing.assert_array_equal(found.by_rule, [[0, 0], [0, 1], [0, 1], [1, 1]])


@pytest.mark.parametrize(
    "arrays",
    [
        (FEATURES[..., 0], COMPARABLE, NOISY),
        (FEATURES, COMPARABLE[:3], NOISY),
        (FEATURES, COMPARABLE, NOISY[:, :1]),
        (FEATURES[..., None], COMPARABLE, NOISY),
    ],
)
def test_shapes_that_disagree_are_named(arrays):
    with pytest.raises(ValueError, match=r"must agree, got \(4, 2"):
        decide(*arrays, below_five, unit="class")
