# SPDX-License-Identifier: Apache-2.0
"""What every loss promises: (logits, label, weight, epoch) to a scalar, labels of weight zero left out, no overflow."""

from __future__ import annotations

import pytest
import torch

from bundle.self_cleansing.losses import (
    BinaryCrossEntropy,
    DiceLoss,
    GeneralisedCrossEntropy,
    NoiseRobustDice,
    SymmetricCrossEntropy,
    TLoss,
)

LOSSES = [
    BinaryCrossEntropy(),
    DiceLoss(batch=True),
    DiceLoss(batch=False),
    GeneralisedCrossEntropy(),
    NoiseRobustDice(batch=True),
    NoiseRobustDice(batch=False),
    SymmetricCrossEntropy(),
    TLoss(),
]
WEIGHT = torch.tensor([[1.0, 0], [2, 1], [0, 0.5], [0, 3]])
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=repr)


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(4, 2, 3, 5, generator=generator)
    label = (torch.rand(4, 2, 3, 5, generator=generator) > 0.6).float()
    label[1, 1] = 0
    return logits, label


@every_loss
def test_no_label_taking_part_gives_zero_loss_and_zero_gradient(loss, case):
    logits, label = case
    logits.requires_grad_()
    value = loss(logits, label, torch.zeros(4, 2), 3)
    value.backward()
    assert value.item() == 0 and torch.equal(logits.grad, torch.zeros_like(logits))


@every_loss
def test_a_label_left_out_has_no_gradient_and_does_not_matter(loss, case):
    logits, label = case
    logits.requires_grad_()
    value = loss(logits, label, WEIGHT)
    value.backward()
    assert torch.equal(logits.grad.flatten(2).any(dim=2), WEIGHT > 0)
    out = (WEIGHT == 0)[..., None, None]
    changed = loss(torch.where(out, 3 - logits, logits), torch.where(out, 1 - label, label), WEIGHT)
    torch.testing.assert_close(changed, value)


@every_loss
def test_a_weight_of_two_counts_a_label_twice(loss, case):
    logits, label = case
    again = [0, 1, 2, 3, 1, 1, 3]
    weight = torch.ones(7, 2)
    weight[4] = torch.tensor([1.0, 0])
    weight[5] = torch.tensor([0.0, 1])
    expected = loss(logits[again], label[again], weight)
    torch.testing.assert_close(loss(logits, label, torch.tensor([[1.0, 1], [2, 2], [1, 1], [2, 2]])), expected)


@every_loss
def test_order_of_samples_and_classes_does_not_matter(loss, case):
    logits, label = case
    order = [2, 0, 3, 1]
    expected = loss(logits, label, WEIGHT)
    torch.testing.assert_close(loss(logits[order], label[order], WEIGHT[order]), expected)
    torch.testing.assert_close(loss(logits.flip(1), label.flip(1), WEIGHT.flip(1)), expected)


@every_loss
def test_gradient_equals_finite_differences(loss, case):
    logits, label = (one[:, :, :2, :2].double() for one in case)
    assert torch.autograd.gradcheck(lambda z: loss(z, label, WEIGHT.double()), logits.clone().requires_grad_())


@every_loss
@pytest.mark.parametrize("label_of", ["all", "none", "half"])
def test_confident_networks_have_finite_losses_and_gradients(loss, label_of):
    logits = torch.full((2, 1, 4, 4), 50.0)
    logits[1] = -50
    logits.requires_grad_()
    label = torch.full((2, 1, 4, 4), float(label_of == "all"))
    if label_of == "half":
        label[..., :2] = 1
    loss.zero_grad()
    value = loss(logits, label, torch.ones(2, 1))
    value.backward()
    assert value.dtype == torch.float32 and value.shape == ()
    assert value.isfinite() and logits.grad.isfinite().all()
    assert all(parameter.grad.isfinite() for parameter in loss.parameters())


@every_loss
@pytest.mark.parametrize("empty", [True, False])
def test_a_better_prediction_costs_less(loss, empty, case):
    """From all wrong to all right; empty labels too."""
    label = case[1] * (not empty)
    values = [loss(z * (2 * label - 1), label, torch.ones(4, 2)).item() for z in (-6.0, -3, 0, 3, 6)]
    assert values == sorted(values, reverse=True) and values[0] > values[-1]
