# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from tiny import WrittenNetwork, random_bank

from bundle.self_cleansing.filtering import Areas, Provenance, displacement_filter
from bundle.self_cleansing.label_bank import LabelBank
from bundle.self_cleansing.label_filter import OPTIONS, DisplacementFilter, RenewAll
from bundle.self_cleansing.sweep import Cleanser, Sweep, sweep


def test_without_a_filter_every_label_is_renewed():
    dataset = random_bank((3, 2), classes=1)
    bank = LabelBank(dataset)
    found = sweep(WrittenNetwork(1), dataset, bank, Cleanser("prediction", grid_size=16))
    outcome = RenewAll()(found, bank)
    assert outcome.provenance.shape == (5, 1) and (outcome.provenance == Provenance.RENEWED).all()
    assert not outcome.manual.clean.any() and not outcome.declined
    assert outcome.manual.reason == "no filter, all labels are renewed"


def test_every_option_has_a_rule_and_its_default_obeys_it():
    arguments = inspect.signature(displacement_filter).parameters.values()
    defaults = {one.name: one.default for one in arguments if one.kind is one.KEYWORD_ONLY}
    assert set(OPTIONS) == set(defaults) - {"unit", "seed"}
    DisplacementFilter({name: defaults[name] for name in OPTIONS})


def test_a_run_records_the_options_in_force_and_not_only_those_given():
    """Its settings are what a resume compares: a default that changed must show."""
    text = repr(DisplacementFilter({"clip_px": 5.0}))
    assert "'clip_px': 5.0" in text and "'resolution_px': 0.25" in text and "'num_starts': 10" in text


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"clip_px": -6}, "clip_px must be a number from 0.001 on, got -6"),
        ({"no_gap_px": "2"}, "no_gap_px must be a number from 0 on, got '2'"),
        ({"min_agreement": 60}, r"min_agreement must be a number in \[0, 1\], got 60"),
        ({"uncompared_is_clean": 1}, "uncompared_is_clean must be true or false, got 1"),
        ({"min_samples": 2.5}, "min_samples must be a whole number from 2 on, got 2.5"),
        ({"same_group_px": float("nan")}, "same_group_px must be a number from 0 on, got nan"),
    ],
)
def test_an_option_of_no_sense_is_refused_before_a_training(option, words):
    with pytest.raises(ValueError, match=words):
        DisplacementFilter(option)


def swept(label_area, pred_area, difference_area, case_index) -> Sweep:
    """What a sweep found, as far as the practical filter looks at it."""
    areas = Areas(*map(torch.as_tensor, (label_area, pred_area, difference_area, np.full_like(label_area, 40))))
    nothing = torch.zeros(label_area.shape)
    return Sweep(nothing, nothing, areas, nothing, nothing, nothing, nothing, torch.as_tensor(case_index))


def test_other_classes_are_asked_unless_each_is_judged_by_itself():
    # 20 cases of 6 slices. Class 1 is everywhere, class 0 in slices 1 to 4 only; the network sees it in all six.
    rng = np.random.default_rng(0)
    slice_number = np.tile(np.arange(6), 20)
    pred = np.full((120, 2), 300)
    label = pred + rng.integers(-8, 9, pred.shape)
    ends = (slice_number == 0) | (slice_number == 5)
    label[ends, 0] = 0
    difference = np.abs(label - pred) + rng.integers(0, 20, pred.shape)
    found = swept(label, pred, difference, np.repeat(np.arange(20), 6))
    areas = [area.numpy() for area in found.manual_areas]
    assert not displacement_filter(*areas).clean[ends, 0].any()
    assert DisplacementFilter()(found, None).manual.clean[ends, 0].mean() > 0.9
    assert not DisplacementFilter(unit="class")(found, None).manual.clean[ends, 0].any()
    assert not DisplacementFilter(ask_other_classes=False)(found, None).manual.clean[ends, 0].any()
    found.manual_areas.label_area[slice_number == 3, 0] = 0  # missing, or seen by no one
    assert not DisplacementFilter()(found, None).manual.clean[ends, 0].any()
    assert DisplacementFilter({"seen_area_px": 300})(found, None).manual.clean[ends, 0].mean() > 0.9


def test_a_class_that_cannot_be_told_keeps_its_verdicts_and_the_others_are_judged():
    """Class 0: a third of the labels far too large. Class 1 is marked in 20 samples, fewer than a mixture needs."""
    rng = np.random.default_rng(0)
    pred = np.full((120, 2), 300)
    label = pred + rng.integers(-8, 9, pred.shape)
    label[::3, 0] += 160
    label[20:, 1] = pred[20:, 1] = 0
    found = swept(label, pred, np.abs(label - pred) + rng.integers(0, 20, pred.shape), np.repeat(np.arange(20), 6))
    bank = LabelBank(random_bank((6,) * 20, classes=2))
    bank.provenance[:7, 1] = int(Provenance.REJECTED)  # the last verdicts
    outcome = DisplacementFilter(unit="class")(found, bank)
    assert not outcome.declined and outcome.manual.reason.startswith("class 1: only 20 samples")
    expected = bank.provenance.numpy().copy()
    expected[:, 0] = np.where(np.arange(120) % 3 == 0, Provenance.REJECTED, Provenance.MANUAL)
    np.testing.assert_array_equal(outcome.provenance, expected)
    assert DisplacementFilter({"min_samples": 121}, unit="class")(found, bank).declined
