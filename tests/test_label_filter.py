# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import inspect

import pytest
from tiny import WrittenNetwork, random_bank

from bundle.self_cleansing.filtering import Provenance, displacement_filter
from bundle.self_cleansing.label_bank import LabelBank
from bundle.self_cleansing.label_filter import OPTIONS, DisplacementFilter, RenewAll
from bundle.self_cleansing.sweep import Cleanser, sweep


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


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ({"clip_px": -6}, "clip_px must be a number from 0.001 on, got -6"),
        ({"max_clean_displacement_px": "2"}, "max_clean_displacement_px must be a number from 0 on, or null, got '2'"),
        ({"uncompared_is_clean": 1}, "uncompared_is_clean must be true or false, got 1"),
        ({"min_samples": 2.5}, "min_samples must be a whole number from 1 on, got 2.5"),
        ({"same_group_px": float("nan")}, "same_group_px must be a number from 0 on, got nan"),
    ],
)
def test_an_option_of_no_sense_is_refused_before_a_training(option, words):
    with pytest.raises(ValueError, match=words):
        DisplacementFilter(option)
