# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from bundle.self_cleansing.losses import BinaryCrossEntropy

# Logit that stands for "sees nothing" and "sees something", per sample (rows) and class; and whether a label is there.
SEES = torch.tensor([[1, 0], [0, 1], [0, 0], [1, 1]]).bool()
MARKED = torch.tensor([[1, 0], [0, 1], [1, 0], [0, 0]]).bool()


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    logits = -1 - torch.rand(4, 2, 6, 5, generator=generator)
    logits[:, :, 2, 3] = torch.where(SEES, 0.1, -0.1)
    label = torch.zeros(4, 2, 6, 5)
    label[:, :, 1:3, 2:4] = MARKED[..., None, None].float()
    return logits, label


def slow(logits, label, weight, takes_part) -> float:
    total, count = 0.0, 0.0
    for b in range(logits.shape[0]):
        for k in range(logits.shape[1]):
            if not takes_part(b, k):
                continue
            pixels = [
                -math.log(1 / (1 + math.exp(-z if y else z)))
                for z, y in zip(logits[b, k].flatten().tolist(), label[b, k].flatten().tolist(), strict=True)
            ]
            total += float(weight[b, k]) * sum(pixels) / len(pixels)
            count += float(weight[b, k])
    return total / count


def test_equals_torch_when_all_take_part(case):
    logits, label = case
    torch.testing.assert_close(
        BinaryCrossEntropy()(logits, label, torch.ones(4, 2)), F.binary_cross_entropy_with_logits(logits, label)
    )


def test_weights(case):
    logits, label = case
    weight = torch.tensor([[1.0, 2], [0, 1], [0, 0], [3, 1]])
    expected = slow(logits, label, weight, lambda b, k: True)
    assert BinaryCrossEntropy()(logits, label, weight).item() == pytest.approx(expected, rel=1e-5)


def test_leave_out_drops_empty_labels_at_every_epoch(case):
    logits, label = case
    expected = slow(logits, label, torch.ones(4, 2), lambda b, k: bool(MARKED[b, k]))
    loss = BinaryCrossEntropy("leave_out")
    for epoch in (0, 1000):
        assert loss(logits, label, torch.ones(4, 2), epoch).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("epoch", [0, 4, 5, 6])
def test_agreed_empty_labels_take_part_again(epoch, case):
    """From epoch 5 on, those where the network predicts no pixel; other weights still count."""
    logits, label = case
    weight = torch.tensor([[1.0, 1], [1, 1], [1, 1], [1, 0]])

    def takes_part(b, k):
        return bool(label[b, k].sum() > 0) or (epoch >= 5 and not bool((torch.sigmoid(logits[b, k]) > 0.5).any()))

    expected = slow(logits, label, weight, takes_part)
    loss = BinaryCrossEntropy("leave_out", agreed_from_epoch=5)(logits, label, weight, epoch)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    assert sum(takes_part(b, k) for b in range(4) for k in range(2)) == (3 if epoch < 5 else 6)


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), BinaryCrossEntropy("leave_out", 0)])
def test_no_label_taking_part_gives_zero_loss_and_zero_gradient(loss, case):
    logits, label = case
    logits.requires_grad_()
    value = loss(logits, label, torch.zeros(4, 2))
    value.backward()
    assert value.item() == 0 and torch.equal(logits.grad, torch.zeros_like(logits))


def test_only_empty_labels_and_all_left_out(case):
    logits, label = case
    logits.requires_grad_()
    value = BinaryCrossEntropy("leave_out")(logits, torch.zeros_like(label), torch.ones(4, 2))
    value.backward()
    assert value.item() == 0 and not logits.grad.any()


def test_left_out_labels_have_no_gradient(case):
    logits, label = case
    logits.requires_grad_()
    BinaryCrossEntropy("leave_out")(logits, label, torch.ones(4, 2)).backward()
    assert torch.equal(logits.grad.flatten(2).any(2), MARKED)


def test_unknown_option_is_refused():
    with pytest.raises(ValueError, match="'drop'"):
        BinaryCrossEntropy("drop")
