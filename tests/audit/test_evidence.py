# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from bundle.self_cleansing.audit.evidence import COLUMNS, FARTHEST_PX, evidence


def square(first: int, last: int, size: int = 16) -> np.ndarray:
    mask = np.zeros((size, size), dtype=bool)
    mask[first:last, first:last] = True
    return mask


def one(given: np.ndarray, probs: np.ndarray) -> dict[str, float]:
    """Columns by name of a single slice and class."""
    found = evidence(given[None, None], probs[None, None].astype(np.float32))
    return dict(zip(COLUMNS, found[0, 0].tolist(), strict=True))


def test_a_label_one_pixel_too_large_by_hand():
    given, pred = square(4, 12), square(5, 11)  # 8x8 and 6x6 pixels, boundaries of 28 and 20
    found = one(given, np.where(pred, 0.9, 0.2))
    assert found["signed displacement"] == pytest.approx((64 - 36) / 24)
    assert found["absolute displacement"] == pytest.approx(28 / 24)
    assert found["dice"] == pytest.approx(2 * 36 / 100)
    assert found["confident surplus"] == pytest.approx(28 * (1 - 0.4) / 24)
    assert found["confident lack"] == found["deepest lack"] == 0
    assert found["deepest surplus"] == pytest.approx(np.sqrt(2))  # the corners
    assert found["uncertainty"] == pytest.approx((36 * 4 * 0.09 + 220 * 4 * 0.16) / 24, rel=1e-5)
    assert (found["label size"], found["predicted size"]) == (8, 6)
    assert found["shift"] == 0


def test_a_missing_label_has_everything_to_lack():
    found = one(np.zeros((16, 16), bool), np.where(square(4, 12), 0.8, 0.0))
    assert found["dice"] == 0 and found["confident lack"] == pytest.approx(64 * 0.6 / 14)  # lengths 28 and 0
    assert found["deepest lack"] == FARTHEST_PX
    assert np.isnan(found["shift"]) and np.isnan(found["label on other classes"])


def test_empty_on_both_sides_is_agreement():
    found = one(np.zeros((8, 8), bool), np.zeros((8, 8)))
    assert found["dice"] == 1 and found["absolute displacement"] == 0 and found["deepest surplus"] == 0


def test_the_context_of_a_damaged_slice_is_the_given_labels():
    given = np.stack([square(4, 12), square(4, 12), square(4, 12)])[:, None]
    damaged = np.zeros_like(given)
    probs = given.astype(np.float32)
    size = COLUMNS.index("label beside its neighbours")
    assert evidence(given, probs)[:, 0, size].tolist() == [0, 0, 0]
    assert evidence(damaged, probs)[:, 0, size].tolist() == [0, 0, 0]
    assert evidence(damaged, probs, given)[:, 0, size].tolist() == [-8, -8, -8]


def test_a_swapped_class_lies_on_the_other_ones_prediction():
    labels = np.stack([square(1, 5), square(8, 14)])[None]
    found = evidence(labels[:, ::-1].copy(), labels.astype(np.float32))
    for name in ("label on other classes", "prediction on other labels"):
        assert found[0, :, COLUMNS.index(name)].tolist() == [1, 1]


def test_a_slice_of_its_own_has_no_neighbours():
    found = one(square(2, 5), square(2, 5).astype(float))
    assert np.isnan(found["neighbouring labels"]) and found["slices to the end"] == 0


def test_masks_of_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"must both be \(D, K, H, W\), got \(1, 1, 4, 4\) and \(1, 1, 4, 5\)"):
        evidence(np.zeros((1, 1, 4, 4), bool), np.zeros((1, 1, 4, 5), np.float32))
