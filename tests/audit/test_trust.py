# SPDX-License-Identifier: Apache-2.0
"""The trust that labels get, on generated evidence whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from bundle.self_cleansing.audit.damage import damage
from bundle.self_cleansing.audit.evidence import COLUMNS, evidence
from bundle.self_cleansing.audit.findings import KINDS
from bundle.self_cleansing.audit.trust import (
    PRIOR_RANGE,
    first_trust,
    judge,
    regressors,
    share_interval,
    share_of_wrong,
)


def blobs(rng: np.random.Generator, count: int, jitter: float = 0.0) -> np.ndarray:
    """Ellipses of random place and size, bool (count, 1, 48, 48); `jitter` moves each boundary by some pixels."""
    rows, columns = np.indices((48, 48))
    masks = []
    for _ in range(count):
        centre, radii = rng.uniform(18, 30, 2), rng.uniform(7, 13, 2)
        shape = ((rows - centre[0]) / radii[0]) ** 2 + ((columns - centre[1]) / radii[1]) ** 2
        masks.append(shape)
    return np.stack(masks)[:, None]


def simulated(share: float, count: int = 400, seed: int = 0):
    """Labels of which a share is damaged, probabilities of a network that is about half a pixel off, and the truth."""
    rng = np.random.default_rng(seed)
    distance = blobs(rng, count)
    clean = distance <= 1
    blurred = distance * rng.normal(1, 0.06, (count, 1, 1, 1)) + rng.normal(0, 0.02, distance.shape)
    probs = 1 / (1 + np.exp((blurred - 1) * 12))
    masks, _ = damage(clean, np.arange(count), rng)
    is_wrong = rng.random(count) < share
    given = np.where(is_wrong[:, None, None, None], masks, clean)
    return given, probs.astype(np.float32), is_wrong


def judged(given: np.ndarray, probs: np.ndarray, copies: int = 2):
    rng = np.random.default_rng(5)

    def found(masks: np.ndarray) -> np.ndarray:  # every sample is a case of one slice
        return np.concatenate([evidence(masks[i : i + 1], probs[i : i + 1]) for i in range(len(masks))])

    damaged = [damage(given, np.arange(len(given)), rng) for _ in range(copies)]
    return judge(
        found(given),
        np.concatenate([found(masks) for masks, _ in damaged]),
        np.concatenate([kinds for _, kinds in damaged]),
        np.tile(np.arange(len(given)), copies),
    )


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_damaged_labels_are_found_and_trust_is_calibrated(share):
    given, probs, is_wrong = simulated(share)
    trust = judged(given, probs).trust[:, 0]
    # Over all pairs of a wrong and a right label, how often the wrong one is trusted less: 1 is perfect.
    pairs = (trust[is_wrong][:, None] < trust[~is_wrong][None]).mean()
    assert pairs > 0.97
    assert abs((1 - trust).mean() - is_wrong.mean()) < 0.06
    for low, high in ((0.0, 0.3), (0.7, 1.01)):
        among = (trust >= low) & (trust < high)
        assert abs(trust[among].mean() - (~is_wrong[among]).mean()) < 0.1


def test_clean_data_is_left_in_peace():
    given, probs, _ = simulated(0.0)
    assert (judged(given, probs).trust < 0.5).mean() <= 0.05


def test_a_permutation_of_the_samples_permutes_the_trust():
    given, probs, _ = simulated(0.3, count=120)
    rng = np.random.default_rng(0)
    masks, kinds = damage(given, np.arange(120), rng)
    found, damaged = (
        np.concatenate([evidence(one[i : i + 1], probs[i : i + 1]) for i in range(120)]) for one in (given, masks)
    )
    plain = judge(found, damaged, kinds, np.arange(120))
    order = np.random.default_rng(1).permutation(120)
    shuffled = judge(found[order], damaged, kinds, np.argsort(order))
    np.testing.assert_allclose(shuffled.trust, plain.trust[order], atol=1e-4)
    np.testing.assert_allclose(shuffled.kinds, plain.kinds[order], atol=1e-4)


def test_the_share_of_wrong_labels_is_the_likeliest_one():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 1, 700), rng.normal(2, 1, 300)])
    odds = np.exp(2 * values - 2)  # of N(2, 1) to N(0, 1)
    share, doubt = share_of_wrong(odds)
    likeliest = minimize_scalar(lambda pi: -np.log(pi * odds + 1 - pi).sum(), bounds=(0.001, 0.999), method="bounded").x
    assert share == pytest.approx(likeliest, abs=2e-3)
    assert share == pytest.approx(doubt.mean(), abs=1e-6)
    assert (np.diff(doubt[np.argsort(odds)]) >= 0).all()


def test_the_share_stays_within_its_range():
    assert share_of_wrong(np.full(50, 1e-6))[0] == PRIOR_RANGE[0]
    assert share_of_wrong(np.full(50, 1e6))[0] == PRIOR_RANGE[1]


def test_first_trust_is_one_half_where_a_confident_boundary_lies_one_pixel_off():
    found = np.zeros((3, 1, len(COLUMNS)), np.float32)
    found[:, 0, COLUMNS.index("predicted size")] = 5
    found[:, 0, COLUMNS.index("confident lack")] = [0, 1, 4]
    np.testing.assert_allclose(first_trust(found)[:, 0], [1 / (1 + np.exp(-4)), 0.5, 1 / (1 + np.exp(12))])
    found[:, 0, COLUMNS.index("predicted size")] = 50  # 8 % of that are four pixels
    assert first_trust(found)[2, 0] == pytest.approx(0.5)


def test_nothing_a_regression_sees_is_undefined():
    found = np.full((4, 2, len(COLUMNS)), np.nan, np.float32)
    rows = regressors(found)
    assert rows.shape[0] == 8 and np.isfinite(rows).all()


def test_intervals_hold_the_estimate_and_shrink_with_the_number_of_cases():
    rng = np.random.default_rng(0)
    trust = rng.random((900, 2))
    few = share_interval(trust[:90], np.repeat(np.arange(9), 10))
    many = share_interval(trust, np.repeat(np.arange(90), 10))
    for share in (few, many):
        assert share.low <= share.estimate <= share.high
    assert many.estimate == pytest.approx((1 - trust).mean())
    assert many.high - many.low < few.high - few.low


@pytest.mark.parametrize(("cases", "slices", "classes"), [(1, 10, 3), (40, 5, 3), (100, 1, 1)])
def test_intervals_cover_the_share_that_calibrated_trust_implies(cases, slices, classes):
    rng, covered, trials = np.random.default_rng(1), 0, 120
    for _ in range(trials):
        trust = rng.beta(0.6, 0.3, (cases * slices, classes))
        truth = (rng.random(trust.shape) > trust).mean()
        share = share_interval(trust, np.repeat(np.arange(cases), slices))
        covered += share.low <= truth <= share.high
    assert covered / trials >= 0.9


def test_shapes_that_do_not_belong_together_are_refused():
    found = np.zeros((2, 1, len(COLUMNS)), np.float32)
    with pytest.raises(ValueError, match="must agree"):
        judge(found, found, np.zeros((3, 1), np.int8), np.arange(2))
    with pytest.raises(ValueError, match="mark nothing"):
        judge(found, found, np.full((2, 1), -1, np.int8), np.arange(2))


def test_kinds_are_probabilities():
    given, probs, is_wrong = simulated(0.4, count=200)
    kinds = judged(given, probs).kinds
    assert kinds.shape == (200, 1, len(KINDS))
    np.testing.assert_allclose(kinds.sum(axis=2), 1)
