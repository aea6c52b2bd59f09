# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny import random_bank

from bundle.self_cleansing.filtering import Provenance
from bundle.self_cleansing.label_bank import LabelBank, pack_bits, unpack_bits


def through_a_file(state):
    """What torch.save and a weights_only load make of a state."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def fake(ids, classes=1, size=8):
    return SimpleNamespace(sample_ids=ids, labels=torch.zeros(len(ids), classes, size, size, dtype=torch.uint8))


@pytest.mark.parametrize("shape", [(8,), (3, 16), (2, 3, 5, 24), (0, 8)])
def test_packing_equals_numpy(shape):
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) > 0.5
    packed = pack_bits(mask)
    assert packed.dtype == torch.uint8
    np.testing.assert_array_equal(packed.numpy(), np.packbits(mask.numpy(), axis=-1))
    assert torch.equal(unpack_bits(packed), mask.to(torch.uint8))
    assert unpack_bits(packed).dtype == torch.uint8


def test_every_byte_survives():
    everything = torch.arange(256, dtype=torch.uint8)[:, None]
    assert torch.equal(pack_bits(unpack_bits(everything)), everything)
    np.testing.assert_array_equal(unpack_bits(everything).numpy(), np.unpackbits(everything.numpy(), axis=-1))


def test_packing_floats_and_integers_alike():
    mask = torch.tensor([0, 1, 1, 0, 0, 0, 0, 1])
    assert pack_bits(mask).tolist() == pack_bits(mask.float()).tolist() == [0b01100001]


def test_a_width_that_is_no_multiple_of_eight_is_refused():
    with pytest.raises(ValueError, match="12 pixels"):
        pack_bits(torch.zeros(2, 12))


def test_fresh_bank():
    bank = LabelBank(random_bank((3, 2)))
    assert bank.sample_ids == ["a/0", "a/1", "a/2", "b/0", "b/1"]
    assert not bank.pseudo_label().any() and bank.pseudo_label().shape == (5, 2, 16, 16)
    assert not bank.is_set.any() and bank.takes_part.all()
    assert (bank.provenance == Provenance.MANUAL).all() and not bank.changed_epoch.any()
    assert (bank.clean_posterior == 1).all()
    assert bank.packed_pseudo_label.numel() == 5 * 2 * 16 * 16 / 8


@pytest.mark.parametrize("index", [torch.tensor([4, 1, 2]), slice(None)])
def test_write_changes_the_flagged_entries_only(index):
    """Against a plain array written in a loop; twice, so that the second write meets what the first one left."""
    bank = LabelBank(random_bank((3, 2)))
    mirror, is_set = np.zeros((5, 2, 16, 16), np.uint8), np.zeros((5, 2), bool)
    rows = np.arange(5)[index] if isinstance(index, slice) else index.numpy()
    generator = torch.Generator().manual_seed(1)
    for _ in range(2):
        label = torch.rand(len(rows), 2, 16, 16, generator=generator) > 0.5
        where = torch.rand(len(rows), 2, generator=generator) > 0.5
        bank.write(index, label, where)
        for position, row in enumerate(rows):
            for k in range(2):
                if where[position, k]:
                    mirror[row, k] = label[position, k].numpy()
                    is_set[row, k] = True
    assert 0 < is_set.sum() < 10
    np.testing.assert_array_equal(bank.pseudo_label().numpy(), mirror)
    np.testing.assert_array_equal(bank.pseudo_label(torch.tensor([3, 0])).numpy(), mirror[[3, 0]])
    np.testing.assert_array_equal(bank.is_set.numpy(), is_set)


def test_record_dates_changes_only():
    bank = LabelBank(random_bank((2,)))
    manual, kept, renewed, rejected = (int(kind) for kind in Provenance)
    bank.record(torch.tensor([[manual, renewed], [renewed, rejected]]), 6)
    assert bank.changed_epoch.tolist() == [[0, 6], [6, 6]]
    bank.record(torch.tensor([[manual, renewed], [kept, manual]], dtype=torch.uint8), 8)
    assert bank.changed_epoch.tolist() == [[0, 6], [8, 8]]
    assert bank.provenance.tolist() == [[manual, renewed], [kept, manual]]
    assert bank.provenance.dtype == torch.uint8


def test_all_state_survives_a_file():
    dataset = random_bank((3, 2))
    bank, fresh = LabelBank(dataset), LabelBank(dataset)
    generator = torch.Generator().manual_seed(2)
    bank.write(slice(None), torch.rand(5, 2, 16, 16, generator=generator) > 0.5, torch.rand(5, 2) > 0.3)
    bank.record(torch.randint(0, 4, (5, 2), generator=generator), 3)
    for name in ("manual_loss", "pseudo_loss", "clean_posterior"):
        getattr(bank, name).copy_(torch.rand(5, 2, generator=generator))
    bank.takes_part.copy_(bank.provenance != Provenance.REJECTED)
    fresh.load_state_dict(through_a_file(bank.state_dict()))
    for name, value in bank.named_buffers():
        assert torch.equal(value, getattr(fresh, name)), name
    assert len(list(bank.named_buffers())) == 8


@pytest.mark.parametrize(
    ("stored", "present", "words"),
    [
        (["a/0", "a/1", "b/0"], ["a/0", "a/2", "c/0"], ["sample 1", "'a/1'", "'a/2'"]),
        (["a/0", "a/1", "b/0"], ["a/0", "a/1"], ["3 samples", "2", "'b/0'", "in the checkpoint"]),
        (["a/0", "a/1"], ["a/0", "a/1", "b/7"], ["2 samples", "3", "'b/7'", "in the data"]),
    ],
)
def test_other_samples_are_refused_by_the_first_difference(stored, present, words):
    other, bank = LabelBank(fake(stored)), LabelBank(fake(present))
    other.is_set.fill_(True)
    with pytest.raises(ValueError, match="other data") as error:
        bank.load_state_dict(through_a_file(other.state_dict()))
    assert not bank.is_set.any()  # refused before anything was copied
    assert all(word in str(error.value) for word in words), error.value
    assert "c/0" not in str(error.value)


def test_same_samples_with_other_labels_are_not_loaded():
    """Two noisy copies of one data set have the same sample ids."""
    one, other = fake(["a/0"], size=8), fake(["a/0"], size=8)
    state = LabelBank(one).state_dict()
    LabelBank(other).load_state_dict(state)
    other.labels[0, 0, 0, 0] ^= 1
    with pytest.raises(ValueError, match="given labels"):
        LabelBank(other).load_state_dict(state)


@pytest.mark.cuda
def test_on_cuda_as_on_the_cpu():
    dataset = random_bank((3, 2))
    banks = [LabelBank(dataset), LabelBank(dataset).to("cuda")]
    label = torch.rand(3, 2, 16, 16) > 0.5
    where, index = torch.rand(3, 2) > 0.4, torch.tensor([4, 0, 2])
    assert torch.equal(unpack_bits(pack_bits(label.cuda())).cpu(), label.to(torch.uint8))
    for bank, device in zip(banks, ("cpu", "cuda"), strict=True):
        bank.write(index.to(device), label.to(device), where)
        bank.record(torch.full((5, 2), 3), 2)
    for name, value in banks[0].named_buffers():
        assert torch.equal(value, getattr(banks[1], name).cpu()), name
