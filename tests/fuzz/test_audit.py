# SPDX-License-Identifier: Apache-2.0
"""The audit's numbers: probabilities stay probabilities, and what is undefined becomes no NaN."""

from __future__ import annotations

import numpy as np
from fuzz.strategies import floats, masks, seeds
from hypothesis import given
from hypothesis import strategies as st

from bundle.self_cleansing.audit.damage import KINDS, damage
from bundle.self_cleansing.audit.evidence import evidence
from bundle.self_cleansing.audit.folds import patient_folds
from bundle.self_cleansing.audit.trust import first_trust, judge, regressors, share_interval


@given(masks(3, 2, 10, 12), floats(3, 2, 10, 12, low=0, high=1), st.permutations(range(2)))
def test_evidence_has_defined_regressors_and_follows_the_classes(given_labels, probs, order):
    found = evidence(given_labels, probs)
    rows = regressors(found)
    assert found.dtype == np.float32 and found.shape[:2] == (3, 2) and np.isfinite(rows).all()
    trust = first_trust(found)
    assert ((trust >= 0) & (trust <= 1)).all()
    # The overlap with other classes is the only thing that another class has to do with.
    assert np.allclose(evidence(given_labels[:, order], probs[:, order]), found[:, order], equal_nan=True, atol=1e-5)


@given(masks(4, 2, 12, 12), seeds)
def test_damage_is_a_mask_of_a_named_kind_or_nothing(labels, seed):
    damaged, kinds = damage(labels, range(4), np.random.default_rng(seed))
    assert damaged.dtype == bool and damaged.shape == labels.shape
    assert kinds.dtype == np.int8 and ((kinds >= -1) & (kinds < len(KINDS))).all()
    assert np.array_equal(damaged[kinds == -1], labels[kinds == -1])
    assert (damaged[kinds >= 0] != labels[kinds >= 0]).any(axis=(1, 2)).all()


@given(seeds)
def test_trust_is_a_probability_and_follows_the_samples(seed):
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:16, :16]
    labels = np.hypot(rows - 8, columns - 8) <= rng.uniform(2, 7, (12, 2, 1, 1))
    probs = np.clip(labels * 0.8 + rng.uniform(0, 0.2, labels.shape), 0, 1).astype(np.float32)
    damaged, kinds = damage(labels, range(12), rng)
    right, wrong = evidence(labels, probs), evidence(damaged, probs, labels)
    found = judge(right, wrong, kinds, np.arange(12))
    for values in (found.trust, found.kinds):
        assert ((values >= 0) & (values <= 1)).all()
    assert np.allclose(found.kinds.sum(axis=-1), 1)
    order = rng.permutation(12)
    place = np.argsort(order)  # where each sample stands now
    turned = judge(right[order], wrong, kinds, place)
    assert np.allclose(turned.trust, found.trust[order], atol=1e-2)


@given(st.integers(1, 30), st.integers(1, 3), st.integers(1, 6), seeds)
def test_a_share_lies_in_its_interval(samples, classes, cases, seed):
    rng = np.random.default_rng(seed)
    trust = rng.choice([0.0, 0.5, 1.0, rng.random()], (samples, classes))
    share = share_interval(trust, rng.integers(0, cases, samples))
    assert 0 <= share.low <= share.estimate <= share.high <= 1


@given(st.lists(st.text(max_size=4), min_size=2, unique=True), st.integers(2, 8), seeds)
def test_folds_share_out_every_patient_once(patients, folds, seed):
    folds = min(folds, len(patients))
    found = patient_folds(patients + patients[:1], folds, seed)
    sizes = [len(fold) for fold in found]
    assert sorted(sum(found, [])) == sorted(patients) and max(sizes) - min(sizes) <= 1
