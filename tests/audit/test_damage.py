# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from tiny import disc

from bundle.self_cleansing.audit.damage import WRONG_BELOW, damage
from bundle.self_cleansing.audit.findings import KINDS


def labels(count: int = 60) -> np.ndarray:
    """Two discs side by side in every sample; of the last ten samples the second class marks nothing."""
    both = np.stack([disc(48, 14, 14, 9).numpy(), disc(48, 32, 32, 7).numpy()])
    masks = np.repeat(both[None], count, axis=0)
    masks[-10:, 1] = False
    return masks


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def test_what_is_called_damaged_is_wrong_and_the_rest_is_untouched():
    given = labels()
    masks, kinds = damage(given, np.arange(60), np.random.default_rng(0))
    for before, after, kind in zip(given.reshape(-1, 48, 48), masks.reshape(-1, 48, 48), kinds.ravel(), strict=True):
        assert (before == after).all() if kind < 0 else dice(before, after) < WRONG_BELOW
    assert (given == labels()).all()
    assert set(np.unique(kinds)) >= set(range(len(KINDS)))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_does_what_its_name_says(kind):
    given = labels(200)
    masks, kinds = damage(given, np.arange(200), np.random.default_rng(1))
    rows, classes = np.nonzero(kinds == KINDS.index(kind))
    assert len(rows) > 5
    for row, k in zip(rows, classes, strict=True):
        before, after, other = given[row, k], masks[row, k], given[row, 1 - k]
        holds = {
            "missing": not after.any(),
            "extra": not before.any() and after.any(),
            "too large": after.sum() > before.sum() and not (before & ~after).any(),
            "too small": 0 < after.sum() < before.sum() and not (after & ~before).any(),
            "shifted": after.sum() <= before.sum() and (after & ~before).any(),
            "boundary": after.any() and (after ^ before).any(),
            "swapped class": (after == other).all(),
        }
        assert holds[kind]


def test_half_of_the_samples_suffer_as_a_whole():
    _, kinds = damage(labels(400)[:390], np.arange(390), np.random.default_rng(2))
    alike = (kinds[:, 0] == kinds[:, 1]).mean()
    by_chance = 1 / 6
    assert 0.5 < alike < 0.5 + 0.5 * by_chance + 0.1


def test_the_same_seed_does_the_same_damage():
    one, other, third = (damage(labels(), np.arange(60), np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert (one[0] == other[0]).all() and (one[1] == other[1]).all() and (one[0] != third[0]).any()


def test_one_class_is_never_swapped_and_nothing_is_made_of_nothing():
    _, kinds = damage(labels()[:, :1], np.arange(60), np.random.default_rng(0))
    assert KINDS.index("swapped class") not in kinds
    masks, kinds = damage(np.zeros((4, 2, 16, 16), bool), np.arange(4), np.random.default_rng(0))
    assert not masks.any() and (kinds == -1).all()
