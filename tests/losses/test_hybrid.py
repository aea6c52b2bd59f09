# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bundle.self_cleansing.losses import BinaryCrossEntropy, DiceLoss, HybridLoss, LabelSchedule


@pytest.mark.parametrize(
    ("warmup", "end", "given"),
    [(2, 6, [1, 1, 1, 0.75, 0.5, 0.25, 0, 0]), (3, 3, [1, 1, 1, 0, 0]), (1, 2, [1, 1, 0]), (5, 5, [1, 1, 1, 1, 1, 0])],
)
def test_schedule_by_hand(warmup, end, given):
    schedule = LabelSchedule(warmup, end)
    pairs = [schedule(epoch) for epoch in range(len(given))]
    assert [pair[0] for pair in pairs] == given
    assert all(a + b == 1 for a, b in pairs)


@pytest.mark.parametrize(("warmup", "end"), [(0, 3), (4, 3), (-1, -1)])
def test_impossible_schedules_are_refused(warmup, end):
    with pytest.raises(ValueError, match=f"{warmup} and {end}"):
        LabelSchedule(warmup, end)


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 4, 4, generator=generator)
    label, pseudo_label = ((torch.rand(3, 2, 4, 4, generator=generator) > 0.5).float() for _ in range(2))
    weight = torch.tensor([[1.0, 0], [0, 0], [1, 1]])
    return logits, {"label": label, "pseudo_label": pseudo_label, "pseudo_weight": weight, "epoch": 0}


@pytest.mark.parametrize("epoch", range(6))
def test_loss_is_the_formula(epoch, case):
    """L = lambda1 BCE(y) + lambda2 Dice(y'), Dice of the three labels that take part."""
    logits, targets = case
    loss = HybridLoss(BinaryCrossEntropy(), DiceLoss(batch=False), LabelSchedule(1, 5))
    given = {0: 1, 1: 1, 2: 0.75, 3: 0.5, 4: 0.25, 5: 0}[epoch]
    probs, new = torch.sigmoid(logits), targets["pseudo_label"]
    dice = [
        1 - 2 * float((probs[b, k] * new[b, k]).sum()) / float(probs[b, k].sum() + new[b, k].sum())
        for b, k in [(0, 0), (2, 0), (2, 1)]
    ]
    cross_entropy = float(F.binary_cross_entropy(probs, targets["label"]))
    value = loss(logits, {**targets, "epoch": epoch})
    assert value.item() == pytest.approx(given * cross_entropy + (1 - given) * sum(dice) / 3, abs=1e-5)
    assert float(loss(logits, {**targets, "epoch": torch.tensor(epoch)})) == value.item()


class Refuses(nn.Module):
    def forward(self, logits, label, weight, epoch):
        raise AssertionError("called although its weight is zero")


def test_a_term_of_weight_zero_is_not_computed(case):
    logits, targets = case
    schedule = LabelSchedule(2, 2)
    HybridLoss(BinaryCrossEntropy(), Refuses(), schedule)(logits, {**targets, "epoch": 1})
    HybridLoss(Refuses(), DiceLoss(), schedule)(logits, {**targets, "epoch": 2})
    with pytest.raises(AssertionError, match="weight is zero"):
        HybridLoss(Refuses(), DiceLoss(), schedule)(logits, {**targets, "epoch": 1})


def test_the_epoch_reaches_both_losses(case):
    logits, targets = case
    seen = []

    class Records(nn.Module):
        def forward(self, logits, label, weight, epoch):
            seen.append((epoch, tuple(weight.shape), float(weight.sum())))
            return logits.sum() * 0

    HybridLoss(Records(), Records(), LabelSchedule(1, 9))(logits, {**targets, "epoch": 4})
    assert seen == [(4, (3, 2), 6.0), (4, (3, 2), 3.0)]  # every given label counts, of the others three


def test_half_precision_logits_are_raised_before_the_loss():
    """The sigmoid of 5 is 0.99331, in float16 0.99316; sums over so many pixels would overflow there."""
    label = torch.ones(1, 1, 512, 512)
    logits = torch.full((1, 1, 512, 512), 5.0, dtype=torch.float16, requires_grad=True)
    targets = {"label": label, "pseudo_label": label, "pseudo_weight": torch.ones(1, 1), "epoch": 1}
    value = HybridLoss(DiceLoss(), DiceLoss(), LabelSchedule(1, 3))(logits, targets)
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(1 - 2 * 0.9933071 / 1.9933071, abs=1e-5)
    assert logits.grad.dtype == torch.float16 and logits.grad.isfinite().all()
