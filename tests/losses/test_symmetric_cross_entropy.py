# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch

from bundle.self_cleansing.losses import BinaryCrossEntropy, SymmetricCrossEntropy


@pytest.fixture
def case():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(3, 2, 4, 5, generator=generator, dtype=torch.float64)
    label = (torch.rand(3, 2, 4, 5, generator=generator) > 0.6).double()
    return logits, label


@pytest.mark.parametrize(("alpha", "beta"), [(0.1, 1.0), (0.5, 1.0), (0.0, 2.0)])
def test_equals_a_slow_loop_over_foreground_and_background(alpha, beta, case):
    logits, label = case
    weight = torch.tensor([[1.0, 2], [0, 1], [0, 0.5]])
    total = 0.0
    for b in range(3):
        for k in range(2):
            for z, y in zip(logits[b, k].flatten().tolist(), label[b, k].flatten().tolist(), strict=True):
                foreground = 1 / (1 + math.exp(-z))
                pairs = [(foreground, y), (1 - foreground, 1 - y)]
                forward = -sum(one_hot * math.log(p) for p, one_hot in pairs)
                reverse = -sum(p * math.log(max(one_hot, 1e-4)) for p, one_hot in pairs)
                total += float(weight[b, k]) * (alpha * forward + beta * reverse) / 20
    loss = SymmetricCrossEntropy(alpha, beta)(logits, label, weight)
    assert loss.item() == pytest.approx(total / 4.5, rel=1e-6)


def test_without_the_reverse_it_is_cross_entropy(case):
    logits, label = case
    weight = torch.tensor([[1.0, 2], [0, 1], [0, 0.5]])
    torch.testing.assert_close(
        SymmetricCrossEntropy(1, 0)(logits, label, weight), BinaryCrossEntropy()(logits, label, weight)
    )


def test_reverse_parts_of_a_label_and_its_opposite_add_up_to_a_constant(case):
    logits, label = case
    reverse = SymmetricCrossEntropy(0, 1)
    for scale in (0, 1, 10):
        both = sum(reverse(scale * logits, one, torch.ones(3, 2)) for one in (label, 1 - label))
        assert both.item() == pytest.approx(4 * math.log(10), rel=1e-12)


def test_labels_flipped_at_random_only_scale_the_gradient_of_the_reverse_part():
    """Three of ten copies of an image have the opposite label: 1 - 2 * 0.3 of the clean gradient, cross-entropy not."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 1, 4, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    clean = (torch.rand(1, 1, 4, 4, generator=generator) > 0.5).double().expand(10, 1, 4, 4)
    noisy = torch.cat([1 - clean[:3], clean[3:]])

    def gradient(loss, label):
        return torch.autograd.grad(loss(image.expand(10, 1, 4, 4), label, torch.ones(10, 1)), image)[0]

    reverse, forward = SymmetricCrossEntropy(0, 1), SymmetricCrossEntropy(1, 0)
    torch.testing.assert_close(gradient(reverse, noisy), 0.4 * gradient(reverse, clean))
    ratio = gradient(forward, noisy) / gradient(forward, clean)
    assert ratio.max() - ratio.min() > 0.1


@pytest.mark.parametrize(("alpha", "beta"), [(0, 0), (-1.5, 1), (1, -0.5), (float("nan"), 1)])
def test_impossible_weights_are_refused(alpha, beta):
    with pytest.raises(ValueError, match=f"got {alpha} and {beta}"):
        SymmetricCrossEntropy(alpha, beta)
