# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from tiny import WrittenNetwork, random_bank

from bundle.self_cleansing.filtering import Provenance
from bundle.self_cleansing.label_bank import LabelBank
from bundle.self_cleansing.label_filter import RenewAll
from bundle.self_cleansing.sweep import Cleanser, sweep


def test_without_a_filter_every_label_is_renewed():
    dataset = random_bank((3, 2), classes=1)
    bank = LabelBank(dataset)
    found = sweep(WrittenNetwork(1), dataset, bank, Cleanser("prediction", grid_size=16))
    outcome = RenewAll()(found, bank)
    assert outcome.provenance.shape == (5, 1) and (outcome.provenance == Provenance.RENEWED).all()
    assert not outcome.manual.clean.any() and not outcome.declined
    assert outcome.manual.reason == "no filter, all labels are renewed"
