# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from monai.losses import DiceLoss as MonaiDice

from bundle.self_cleansing.losses import DiceLoss, soft_dice_loss


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(5, 3, 8, 6, generator=generator)
    label = (torch.rand(5, 3, 8, 6, generator=generator) > 0.6).float()
    label[0, 1] = 0
    return logits, label


def monai(batch: bool, reduction: str = "mean") -> MonaiDice:
    return MonaiDice(sigmoid=True, batch=batch, smooth_nr=1e-5, smooth_dr=1e-5, reduction=reduction)


@pytest.mark.parametrize("batch", [True, False])
def test_equals_monai_when_all_take_part(batch, case):
    logits, label = case
    ours = DiceLoss(batch=batch)(logits, label, torch.ones(5, 3))
    torch.testing.assert_close(ours, monai(batch)(logits, label))


def test_per_sample_losses_equal_monai(case):
    logits, label = case
    torch.testing.assert_close(
        soft_dice_loss(torch.sigmoid(logits), label), monai(False, "none")(logits, label).flatten(1)
    )


def test_batch_dice_of_some_labels_equals_monai_on_these_alone(case):
    logits, label = case
    weight = torch.tensor([[1, 0, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0], [1, 1, 1]]).float()
    per_class = []
    for k in range(3):
        chosen = weight[:, k] > 0
        per_class.append(monai(True)(logits[chosen, k : k + 1], label[chosen, k : k + 1]))
    torch.testing.assert_close(DiceLoss(batch=True)(logits, label, weight), torch.stack(per_class).mean())


def test_sample_dice_is_the_weighted_mean(case):
    logits, label = case
    weight = torch.tensor([[1.0, 0, 2], [0, 0, 1], [3, 1, 0], [0, 0, 0], [1, 1, 1]])
    total, count = 0.0, 0.0
    for b in range(5):
        for k in range(3):
            probs = torch.sigmoid(logits[b, k])
            overlap, area = float((probs * label[b, k]).sum()), float(probs.sum() + label[b, k].sum())
            total += float(weight[b, k]) * (1 - 2 * overlap / area)
            count += float(weight[b, k])
    assert float(DiceLoss(batch=False)(logits, label, weight)) == pytest.approx(total / count, abs=1e-5)


def test_empty_labels():
    empty = torch.zeros(1, 1, 4, 4)
    quarter = torch.zeros(1, 1, 4, 4)
    quarter[..., :2, :2] = 1
    assert soft_dice_loss(empty, empty).item() == 0
    assert soft_dice_loss(quarter, empty).item() == pytest.approx(1, abs=1e-5)
    assert soft_dice_loss(quarter, quarter).item() == pytest.approx(0, abs=1e-6)
    half = quarter.clone()
    half[..., :2, 2:] = 1
    assert soft_dice_loss(half, quarter).item() == pytest.approx(1 - 2 * 4 / 12, abs=1e-6)
    assert soft_dice_loss(half, quarter.to(torch.uint8)).item() == pytest.approx(1 / 3, abs=1e-6)


@pytest.mark.parametrize("batch", [True, False])
def test_no_label_taking_part_gives_zero_loss_and_zero_gradient(batch, case):
    logits, label = case
    logits.requires_grad_()
    loss = DiceLoss(batch=batch)(logits, label, torch.zeros(5, 3))
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@pytest.mark.parametrize("batch", [True, False])
def test_a_label_left_out_has_no_gradient_and_does_not_matter(batch, case):
    logits, label = case
    weight = torch.ones(5, 3)
    weight[2, 1] = 0
    logits.requires_grad_()
    loss = DiceLoss(batch=batch)(logits, label, weight)
    loss.backward()
    gradient = logits.grad.flatten(2).abs().amax(2)
    assert gradient[2, 1] == 0 and (gradient > 0).sum() == 14
    changed, other = logits.detach().clone(), label.clone()
    changed[2, 1] += 3
    other[2, 1] = 1 - other[2, 1]
    torch.testing.assert_close(DiceLoss(batch=batch)(changed, other, weight), loss.detach())
