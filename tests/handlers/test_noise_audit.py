# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from tiny import bank_of

from bundle.self_cleansing.filtering import Provenance
from bundle.self_cleansing.handlers import NoiseAudit
from bundle.self_cleansing.label_bank import LabelBank
from bundle.self_cleansing.slice_bank import SliceBank

MANUAL, KEPT, RENEWED, REJECTED = (int(kind) for kind in Provenance)

# a/1 Myo is empty in the clean label, so that the label that is said to be missing is identical to it.
MANIFEST = """case,slice,class,kind,radius_px,dice
a,0,RV,none,0,1.0
a,0,Myo,none,0,1.0
a,1,RV,missing,0,0.0
a,1,Myo,missing,0,1.0
b,0,RV,erode,4,0.5
b,0,Myo,dilate,4,0.75
elsewhere,0,RV,missing,0,0.0
a,0,LV,missing,0,0.0
"""
# What the filter said:       RV        Myo
PROVENANCE = torch.tensor([[MANUAL, REJECTED], [MANUAL, KEPT], [RENEWED, KEPT]])


@pytest.fixture
def setting(tmp_path):
    """Three slices; clean labels are the upper left 8 x 8 pixels, but for a/1 Myo, which is empty."""
    clean = torch.zeros(3, 2, 16, 16, dtype=torch.uint8)
    clean[:, :, :8, :8] = 1
    clean[1, 1] = 0
    volumes = {"a": slice(0, 2), "b": slice(2, 3)}
    images, given = torch.zeros(3, 1, 16, 16), torch.zeros_like(clean)

    def preprocessing(item):
        at = volumes[item["case"]]
        volume = {"image": images[at], "label": given[at], "clean_label": clean[at]}
        return {key: value.movedim(0, -1) for key, value in volume.items()}

    (tmp_path / "noise_manifest.csv").write_text(MANIFEST)
    data = [{"case": "a"}, {"case": "b"}]
    audit = NoiseAudit(tmp_path / "noise_manifest.csv", data, preprocessing, ["RV", "Myo"])
    bank = LabelBank(SliceBank(data, preprocessing, progress=False))
    label = clean.clone()
    label[0, 0, :8, 4:8] = 0  # half of it: Dice 2 * 32 / 96
    label[2, 0, 8:, :8] = 1  # twice as much: Dice 2 * 64 / 192
    label[2, 1, 4:8] = 0  # half of it
    label[0, 1] = 0  # left out: does not count
    bank.write(slice(None), label, torch.ones(3, 2, dtype=torch.bool))
    bank.record(PROVENANCE, 4)
    bank.takes_part.copy_(PROVENANCE != REJECTED)
    return audit, bank


def test_numbers_by_hand(setting):
    """Identical to the reference: both of a/0, and Myo of a/1. Accepted: RV of a/0 and RV of a/1."""
    audit, bank = setting
    assert audit(bank) == pytest.approx(
        {
            "filter_precision": 1 / 2,
            "filter_recall": 1 / 3,
            "filter_recall_marked": 1 / 2,  # Myo of a/1 is rightly empty: not counted
            "accepted_none": 1 / 2,
            "accepted_missing": 1.0,  # RV of a/1; the rejected Myo is no error
            "accepted_erode": 0.0,
            "accepted_dilate": 0.0,
            "dice_in_force_RV": (2 / 3 + 1 + 2 / 3) / 3,
            "dice_in_force_Myo": 2 / 3,  # b/0 alone: a/0 is left out, a/1 is empty
            "dice_pseudo_RV": 2 / 3,
            "dice_pseudo_Myo": 2 / 3,
        }
    )


def test_sentence(setting):
    audit, bank = setting
    assert audit.sentence(audit(bank)) == (
        "filter precision 0.50, recall 0.33 (accepted: none 50%, missing 100%, erode 0%, dilate 0%); "
        "Dice to clean of labels in force 0.78 / 0.67, of pseudo labels 0.67 / 0.67"
    )


def test_groups_without_members_are_left_out(setting):
    audit, bank = setting
    bank.record(torch.full((3, 2), MANUAL), 5)
    bank.takes_part.fill_(True)
    numbers = audit(bank)
    assert numbers["filter_recall"] == 1 and numbers["filter_precision"] == 0.5
    assert not any("pseudo" in name for name in numbers)
    assert audit.sentence(numbers).endswith("0.78 / 0.33")
    bank.record(torch.full((3, 2), REJECTED), 6)
    bank.takes_part.fill_(False)
    numbers = audit(bank)
    assert numbers["filter_recall"] == numbers["filter_precision"] == 0
    assert not any("dice" in name for name in numbers)
    assert "labels in force -" in audit.sentence(numbers)


def test_the_bank_is_never_changed(setting):
    audit, bank = setting
    before = {name: value.clone() for name, value in bank.named_buffers()}
    audit(bank)
    assert all(torch.equal(value, before[name]) for name, value in bank.named_buffers())


def test_given_labels_are_not_taken_for_clean_ones(setting):
    audit, _ = setting
    assert audit.clean_labels.sum() == 5 * 64


def test_a_manifest_that_counts_slices_along_another_axis_is_refused(setting, tmp_path):
    (tmp_path / "longer.csv").write_text(MANIFEST + "c,0,RV,none,0,1.0\nb,1,RV,none,0,1.0\n")  # c is not trained on
    volume = torch.zeros(1, 16, 16, 2, dtype=torch.uint8)

    def preprocessing(item):
        depth = {"a": 2, "b": 1}[item["case"]]
        masks = volume[..., :depth].expand(2, -1, -1, -1)
        return {"image": volume[..., :depth].float(), "label": masks, "clean_label": masks}

    with pytest.raises(ValueError, match=r"row for sample 'b/1', .* counts the slices of b along another axis"):
        NoiseAudit(tmp_path / "longer.csv", [{"case": "a"}, {"case": "b"}], preprocessing, ["RV", "Myo"])


def test_order_of_the_manifest_does_not_matter(setting, tmp_path):
    audit, bank = setting
    header, *rows = MANIFEST.splitlines()
    (tmp_path / "other.csv").write_text("\n".join([header, *reversed(rows)]) + "\n")
    clean = bank_of(torch.zeros(3, 1, 16, 16), audit.clean_labels, (2, 1), audit.clean_labels)
    volumes = {"a": slice(0, 2), "b": slice(2, 3)}

    def preprocessing(item):
        at = volumes[item["case"]]
        parts = {"image": clean.images[at], "label": clean.labels[at], "clean_label": clean.labels[at]}
        return {key: value.movedim(0, -1) for key, value in parts.items()}

    other = NoiseAudit(tmp_path / "other.csv", [{"case": "a"}, {"case": "b"}], preprocessing, ["RV", "Myo"])
    assert other(bank) == audit(bank)
