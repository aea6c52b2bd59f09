# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from running import load_script


@pytest.fixture(scope="module")
def compare():
    return load_script("compare_audit")


def test_calibration_error_by_hand(compare):
    trust = np.array([0.05, 0.05, 0.95, 0.95, 0.95, 1.0])
    is_right = np.array([False, True, True, True, False, True])
    # First bin: says 0.05, is 0.5, a third of all; last bin: says 0.9625, is 0.75, two thirds.
    assert compare.calibration_error(trust, is_right) == pytest.approx(0.45 / 3 + 0.2125 * 2 / 3)


def test_dice_counts_empty_pairs_as_agreement(compare):
    masks = np.zeros((1, 2, 4, 4), bool)
    masks[0, 0, :2] = True
    other = masks.copy()
    other[0, 0, 1:] = True
    assert compare.dice(masks, other).tolist() == [[pytest.approx(2 * 8 / (8 + 16)), 1.0]]


def test_kinds_are_told_by_the_masks(compare):
    clean = np.zeros((1, 4, 6, 6), bool)
    clean[0, [0, 2, 3], 2:4, 2:4] = True
    given = np.zeros_like(clean)
    given[0, 1, :2], given[0, 2, 1:5, 1:5], given[0, 3, 2:3, 2:4] = True, True, True
    assert compare.error_kinds(given, clean).tolist() == [["missing", "extra", "too large", "too small"]]


def test_rivals_are_asked_about_the_same_predictions(compare):
    given = np.zeros((6, 1, 16, 16), bool)
    given[:, 0, 4:12, 4:12] = True
    probs = np.where(given, 230, 10).astype(np.uint8)
    given[3] = False  # the one noisy label
    given[5, 0, 4, 4] = False
    scores = compare.rival_scores(given, probs)
    for name, score in scores.items():
        assert int(np.argmax(score)) == 3, name
    certain = probs / 255
    by_hand = [np.abs(certain[i, 0] - given[i, 0]).sum() for i in range(6)]
    np.testing.assert_allclose(scores["MONAI LabelQualityScore"].ravel(), by_hand, rtol=1e-5)
