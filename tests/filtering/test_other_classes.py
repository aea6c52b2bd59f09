# SPDX-License-Identifier: Apache-2.0
"""Labels at odds with the network, in samples of which another class is believed for its outline."""

from __future__ import annotations

import numpy as np
import pytest

from bundle.self_cleansing.filtering import Verdicts, believe_with_other_classes, marked_before_and_after

SLICES, CASES = 8, 16
CASE_INDEX = np.repeat(np.arange(CASES), SLICES)
SEEN_PX = 200


def verdicts_on(clean, posterior=0.9) -> Verdicts:
    clean = np.asarray(clean, dtype=bool)
    return Verdicts(clean, np.where(clean, posterior, 0.0), ~clean, ())


def hearts():
    """Sixteen cases of eight slices: class 1 in all of them, class 0 in slices 2 to 5, which the network sees in all.

    As `displacement_filter` would, what is empty but seen is disbelieved.
    """
    label = np.full((CASES * SLICES, 2), SEEN_PX)
    within = np.arange(CASES * SLICES) % SLICES
    label[(within < 2) | (within > 5), 0] = 0
    pred = np.full_like(label, SEEN_PX)
    return label, pred, verdicts_on(label > 0)


def test_before_and_after_by_hand():
    marked = [[1, 0], [0, 0], [1, 0], [0, 1], [1, 0]]  # three slices of one case, then two of another
    before, after = marked_before_and_after(marked, [3, 3, 3, 7, 7])
    assert before.tolist() == [[False, False], [True, False], [True, False], [False, False], [False, True]]
    assert after.tolist() == [[True, False], [True, False], [False, False], [True, False], [False, False]]


def test_before_and_after_against_a_slow_loop():
    rng = np.random.default_rng(0)
    case_index = np.sort(rng.integers(0, 9, 60))
    marked = rng.random((60, 3)) < 0.3
    before, after = marked_before_and_after(marked, case_index)
    for n in range(60):
        for k in range(3):
            same = [m for m in range(60) if case_index[m] == case_index[n] and marked[m, k]]
            assert before[n, k] == any(m < n for m in same) and after[n, k] == any(m > n for m in same)


def test_absence_at_the_ends_of_a_structure_is_believed():
    label, pred, verdicts = hearts()
    assert not verdicts.clean[label == 0].any()
    after = believe_with_other_classes(verdicts, label, pred, CASE_INDEX)
    assert after.clean.all()
    assert (after.posterior == 0.9).all() and not after.by_rule.any()  # that of the other class


def test_a_slice_that_lost_all_its_labels_is_not_believed():
    label, pred, _ = hearts()
    label[[3, 12, 24, 39]] = 0  # within cases and at their ends
    after = believe_with_other_classes(verdicts_on(label > 0), label, pred, CASE_INDEX)
    assert not after.clean[[3, 12, 24, 39]].any()
    assert np.delete(after.clean, [3, 12, 24, 39], axis=0).all()


def test_nor_is_an_absence_where_the_other_class_is_not_believed():
    label, pred, verdicts = hearts()
    verdicts.clean[:SLICES, 1] = False  # the first case's: too large, say
    after = believe_with_other_classes(verdicts, label, pred, CASE_INDEX)
    assert not after.clean[:SLICES, 0][label[:SLICES, 0] == 0].any()
    assert after.clean[SLICES:].all()


@pytest.mark.parametrize(("missing", "believed"), [(1, True), (2, False)])
def test_where_labels_go_missing_one_at_a_time_absence_is_not_believed(missing, believed):
    label, pred, _ = hearts()
    between = np.flatnonzero((np.arange(CASES * SLICES) % SLICES == 3) & (CASE_INDEX < missing))
    label[between, 0] = 0
    after = believe_with_other_classes(verdicts_on(label > 0), label, pred, CASE_INDEX)
    ends = (label[:, 0] == 0) & ~np.isin(np.arange(len(label)), between)
    assert after.clean[ends, 0].all() == after.clean[ends, 0].any() == believed  # 1 of 32 is 3 %, 2 are 6 %
    assert not after.clean[between, 0].any()


def test_too_few_samples_marked_before_and_after_ones_tell_nothing():
    label, pred, verdicts = hearts()
    few = CASE_INDEX < 11  # 22 samples
    verdicts = verdicts_on(verdicts.clean[few])
    assert not believe_with_other_classes(verdicts, label[few], pred[few], CASE_INDEX[few]).clean[label[few] == 0].any()
    assert believe_with_other_classes(verdicts, label[few], pred[few], CASE_INDEX[few], min_samples=22).clean.all()


def test_slices_in_which_a_class_stands_alone_tell_nothing_about_it():
    """Class 0 is missing in 8 of the 20 slices that show another class: what it does in the others says nothing."""
    within, case = np.tile(np.arange(13), 20), np.repeat(np.arange(20), 13)
    label = np.zeros((260, 2), dtype=int)
    label[(within >= 1) & (within <= 11), 0] = SEEN_PX
    label[(within == 6) | (within == 12), 1] = SEEN_PX
    label[(within == 6) & (case < 8), 0] = 0
    pred = np.where(label > 0, label, SEEN_PX)
    after = believe_with_other_classes(verdicts_on(label > 0), label, pred, case, min_samples=20)
    assert not after.clean[label[:, 0] == 0, 0].any()


def test_labels_that_end_too_early_in_every_case_are_believed():
    """The limit that the docstring states: nothing in such labels differs from a structure that ends there."""
    within, case = np.tile(np.arange(12), 16), np.repeat(np.arange(16), 12)
    label = np.full((192, 2), SEEN_PX)
    label[(within < 2) | (within > 8), 0] = 0  # slices 1 and 9 should be marked as well
    after = believe_with_other_classes(verdicts_on(label > 0), label, np.full_like(label, SEEN_PX), case)
    assert after.clean.all()


def test_an_absence_the_network_sees_too_is_no_missing_label():
    label, pred, _ = hearts()
    gaps = np.arange(CASES * SLICES) % SLICES == 3  # structures in two pieces
    label[gaps, 0] = 0
    pred[gaps, 0] = 8
    options = {"min_samples": 1}
    assert believe_with_other_classes(verdicts_on(label > 0), label, pred, CASE_INDEX, **options).clean[~gaps].all()
    pred[gaps, 0] = 9
    assert (
        not believe_with_other_classes(verdicts_on(label > 0), label, pred, CASE_INDEX, **options)
        .clean[label[:, 0] == 0, 0]
        .any()
    )


def test_a_class_that_a_case_marks_nowhere_may_have_been_skipped():
    label, pred, _ = hearts()
    label[:SLICES, 0] = 0
    after = believe_with_other_classes(verdicts_on(label > 0), label, pred, CASE_INDEX)
    assert not after.clean[:SLICES, 0].any() and after.clean[SLICES:].all()


def test_single_images_have_no_neighbours_to_speak_for_an_absence():
    label, pred, verdicts = hearts()
    after = believe_with_other_classes(verdicts, label, pred, np.arange(len(label)), min_samples=1)
    np.testing.assert_array_equal(after.clean, verdicts.clean)


def test_a_label_that_the_network_misses_is_believed_with_another():
    label, pred, _ = hearts()
    pred[3, 0] = pred[11] = 0
    verdicts = verdicts_on((label > 0) & (pred > 0))
    after = believe_with_other_classes(verdicts, label, pred, CASE_INDEX)
    assert after.clean[3].all()
    assert not after.clean[11].any()  # neither class is believed for its outline


def test_one_class_alone_has_no_other():
    label, pred, _ = hearts()
    pred[3, 0] = 0
    verdicts = verdicts_on((label > 0) & (pred > 0))
    alone = Verdicts(verdicts.clean[:, :1], verdicts.posterior[:, :1], verdicts.by_rule[:, :1], ())
    after = believe_with_other_classes(alone, label[:, :1], pred[:, :1], CASE_INDEX, min_samples=1)
    np.testing.assert_array_equal(after.clean, alone.clean)
    np.testing.assert_array_equal(after.posterior, alone.posterior)


def test_verdicts_only_grow_and_order_of_classes_does_not_matter():
    rng = np.random.default_rng(1)
    label = rng.integers(0, 3, (200, 3)) * 20
    pred = rng.integers(0, 3, (200, 3)) * 20
    verdicts = verdicts_on(rng.random((200, 3)) < 0.5)
    cases = np.sort(rng.integers(0, 30, 200))
    options = {"min_samples": 1, "max_missing_fraction": 0.5}
    after = believe_with_other_classes(verdicts, label, pred, cases, **options)
    assert (after.clean >= verdicts.clean).all() and (after.clean > verdicts.clean).any()
    order = [2, 0, 1]
    turned = Verdicts(verdicts.clean[:, order], verdicts.posterior[:, order], verdicts.by_rule[:, order], ())
    turned = believe_with_other_classes(turned, label[:, order], pred[:, order], cases, **options)
    np.testing.assert_array_equal(turned.clean, after.clean[:, order])
    np.testing.assert_array_equal(turned.posterior, after.posterior[:, order])


def test_nothing_at_all():
    nothing = np.zeros((0, 2), dtype=int)
    assert believe_with_other_classes(verdicts_on(nothing), nothing, nothing, np.zeros(0, dtype=int)).clean.shape == (
        0,
        2,
    )


@pytest.mark.parametrize(("areas", "cases"), [((6, 2), 5), ((6, 2), 7), ((5, 2), 6)])
def test_shapes_that_do_not_fit_are_refused(areas, cases):
    label = np.ones(areas, dtype=int)
    with pytest.raises(ValueError, match=r"must (all have shape|agree)"):
        believe_with_other_classes(verdicts_on(np.ones((6, 2))), label, label, np.zeros(cases, dtype=int))
