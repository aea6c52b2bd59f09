# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch

from bundle.self_cleansing.losses import DiceLoss, NoiseRobustDice


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(5, 3, 4, 6, generator=generator)
    label = (torch.rand(5, 3, 4, 6, generator=generator) > 0.6).float()
    label[0, 1] = 0
    return logits, label


WEIGHT = torch.tensor([[1.0, 0, 2], [1, 1, 0], [0, 1, 1], [0, 3, 0], [1, 1, 1]])


def sums(logits, label, gamma) -> tuple[float, float]:
    """Numerator and denominator of one image and class, pixel by pixel."""
    error = total = 0.0
    for z, y in zip(logits.flatten().tolist(), label.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-z))
        error += abs(p - y) ** gamma
        total += p + y
    return error, total


@pytest.mark.parametrize("gamma", [1.2, 1.5, 2.0])
@pytest.mark.parametrize("batch", [True, False])
def test_equals_a_slow_loop(batch, gamma, case):
    logits, label = case
    values, weights = [], []
    for k in range(3):
        pairs = [(sums(logits[b, k], label[b, k], gamma), float(WEIGHT[b, k])) for b in range(5)]
        if batch:
            values.append(sum(w * error for (error, _), w in pairs) / sum(w * total for (_, total), w in pairs))
            weights.append(1.0)
        else:
            values += [error / total for (error, total), _ in pairs]
            weights += [w for _, w in pairs]
    expected = sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)
    assert NoiseRobustDice(gamma, batch)(logits, label, WEIGHT).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("batch", [True, False])
def test_with_gamma_1_it_is_the_dice_loss(batch, case):
    logits, label = case
    torch.testing.assert_close(
        NoiseRobustDice(1.0, batch)(logits, label, WEIGHT), DiceLoss(batch)(logits, label, WEIGHT)
    )


@pytest.mark.parametrize("batch", [True, False])
def test_a_larger_gamma_never_costs_more_and_the_worst_is_1(batch, case):
    logits, label = case
    values = [NoiseRobustDice(gamma, batch)(logits, label, WEIGHT).item() for gamma in (1, 1.25, 1.5, 1.75, 2)]
    assert 1 >= values[0] and values[-1] >= 0
    assert values == sorted(values, reverse=True) and values[0] > values[-1]
    wrong = NoiseRobustDice(1.5, batch)(50 * (1 - 2 * label), label, torch.ones(5, 3))
    assert wrong.item() == pytest.approx(1, abs=1e-5)


def test_a_wrong_pixel_and_a_doubtful_one_by_hand():
    """Label 1 1 0 0, prediction 1 0 0.5 0.5: (0 + 1 + 2 * 0.5^1.5) / (2 + 2)."""
    logits = torch.tensor([50.0, -50, 0, 0]).reshape(1, 1, 2, 2)
    label = torch.tensor([1.0, 1, 0, 0]).reshape(1, 1, 2, 2)
    loss = NoiseRobustDice(1.5)(logits, label, torch.ones(1, 1))
    assert loss.item() == pytest.approx((1 + 2 * 0.5**1.5) / 4, abs=1e-5)


@pytest.mark.parametrize("batch", [True, False])
def test_the_fainter_the_prediction_the_less_an_empty_label_costs(batch):
    """Not so with squares in the denominator: there the loss of p everywhere is p^-0.5."""
    empty, weight = torch.zeros(1, 1, 16, 16), torch.ones(1, 1)
    logits = [torch.full((1, 1, 16, 16), z) for z in (50.0, 0, -2, -4, -8, -200)]
    values = [NoiseRobustDice(1.5, batch)(one, empty, weight).item() for one in logits]
    assert values == sorted(values, reverse=True)
    assert values[0] == pytest.approx(1, abs=1e-5) and values[-1] == 0
    p = torch.sigmoid(logits[3])
    assert ((p**1.5).sum() / ((p**2).sum() + 1e-5)).item() > 5


@pytest.mark.parametrize("gamma", [0.9, 2.5, float("nan")])
def test_other_powers_are_refused(gamma):
    with pytest.raises(ValueError, match=f"got {gamma}"):
        NoiseRobustDice(gamma)
