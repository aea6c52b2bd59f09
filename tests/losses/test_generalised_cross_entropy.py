# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from bundle.self_cleansing.losses import BinaryCrossEntropy, GeneralisedCrossEntropy


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(3, 2, 4, 5, generator=generator, dtype=torch.float64)
    label = (torch.rand(3, 2, 4, 5, generator=generator) > 0.6).double()
    return logits, label


@pytest.mark.parametrize("q", [0.3, 0.7, 1.0])
def test_equals_a_slow_loop(q, case):
    logits, label = case
    weight = torch.tensor([[1.0, 2], [0, 1], [0, 0.5]])
    total = 0.0
    for b in range(3):
        for k in range(2):
            probs = [1 / (1 + math.exp(-z)) for z in logits[b, k].flatten().tolist()]
            right = [p if y else 1 - p for p, y in zip(probs, label[b, k].flatten().tolist(), strict=True)]
            total += float(weight[b, k]) * sum((1 - p**q) / q for p in right) / 20
    assert GeneralisedCrossEntropy(q)(logits, label, weight).item() == pytest.approx(total / 4.5, rel=1e-6)


def test_towards_q_0_it_is_cross_entropy_and_at_1_the_mean_absolute_error(case):
    logits, label = case
    weight = torch.ones(3, 2)
    expected = BinaryCrossEntropy()(logits, label, weight)
    torch.testing.assert_close(GeneralisedCrossEntropy(1e-9)(logits, label, weight), expected, rtol=1e-7, atol=0)
    expected = (torch.sigmoid(logits) - label).abs().mean()
    torch.testing.assert_close(GeneralisedCrossEntropy(1.0)(logits, label, weight), expected)


def test_gradient_is_that_of_cross_entropy_times_the_power_of_the_labels_probability(case):
    logits, label = case
    logits.requires_grad_()
    (gradient,) = torch.autograd.grad(GeneralisedCrossEntropy(0.7)(logits, label, torch.ones(3, 2)), logits)
    (reference,) = torch.autograd.grad(F.binary_cross_entropy_with_logits(logits, label), logits)
    believed = 1 - (torch.sigmoid(logits) - label).abs()
    torch.testing.assert_close(gradient, reference * believed**0.7)


@pytest.mark.parametrize("q", [0.2, 0.7])
@pytest.mark.parametrize("marked", [1, 3, 4])
def test_a_pixel_settles_on_the_majoritys_side_more_firmly(q, marked):
    """Five labels of one pixel: of all common logits, log(r / (1 - r)) / (1 - q) has the least loss."""
    label = (torch.arange(5) < marked).double()[:, None, None, None]
    loss, weight = GeneralisedCrossEntropy(q), torch.ones(5, 1)
    grid = torch.linspace(-8, 8, 641, dtype=torch.float64)
    values = torch.stack([loss(z.expand(5, 1, 1, 1), label, weight) for z in grid])
    best = math.log(marked / (5 - marked)) / (1 - q)
    assert grid[values.argmin()].item() == pytest.approx(best, abs=0.0126)


@pytest.mark.parametrize("q", [0.0, -0.5, 1.5, float("nan")])
def test_impossible_powers_are_refused(q):
    with pytest.raises(ValueError, match=rf"got {q}"):
        GeneralisedCrossEntropy(q)
