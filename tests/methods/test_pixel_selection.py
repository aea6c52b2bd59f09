# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from bundle.self_cleansing.methods.pixel_selection import balanced_mean, floor_of, joint_loss, keep_small_loss


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("weight", [0, 0.65, 1])
def test_joint_loss_is_the_formula_in_probabilities(weight, generator):
    """torch's own KL on [1 - s, s], in float64."""
    first, second = 3 * torch.randn(2, 2, 3, 5, 4, generator=generator)
    label = (torch.rand(2, 3, 5, 4, generator=generator) < 0.4).float()
    p, q = (torch.stack([1 - s, s]) for s in torch.sigmoid(torch.stack([first, second]).double()))
    entropy = sum(F.binary_cross_entropy(s[1], label.double(), reduction="none") for s in (p, q))
    divergence = (F.kl_div(q.log(), p, reduction="none") + F.kl_div(p.log(), q, reduction="none")).sum(dim=0)
    expected = (1 - weight) * entropy + weight * divergence
    torch.testing.assert_close(joint_loss(first, second, label, weight).double(), expected, rtol=1e-4, atol=1e-6)


def test_joint_loss_by_hand():
    """s_1 = 3/4, s_2 = 1/2, y = 1, lambda = 1/2.

    BCE: log(4/3) + log 2. KL both ways: (1/4) (log(3/4) - log(1/2)) + (-1/4) (log(1/4) - log(1/2)) = (1/4) log 3.
    """
    first, second = torch.full((1, 1, 1, 1), math.log(3)), torch.zeros(1, 1, 1, 1)
    expected = 0.5 * (math.log(4 / 3) + math.log(2)) + 0.5 * 0.25 * math.log(3)
    assert joint_loss(first, second, torch.ones(1, 1, 1, 1), 0.5).item() == pytest.approx(expected, rel=1e-6)


def test_joint_loss_has_the_gradient_of_its_differences(generator):
    first, second = torch.randn(2, 1, 2, 3, 3, generator=generator)
    label = (torch.rand(1, 2, 3, 3, generator=generator) < 0.5).float()
    first.requires_grad_(), second.requires_grad_()
    joint_loss(first, second, label, 0.65).sum().backward()

    def exact(z_1, z_2):
        s_1, s_2 = torch.sigmoid(z_1), torch.sigmoid(z_2)
        kl = sum((a - b) * (a.log() - b.log()) for a, b in ((s_1, s_2), (1 - s_1, 1 - s_2)))
        return 0.35 * sum(F.binary_cross_entropy(s, label.double(), reduction="none") for s in (s_1, s_2)) + 0.65 * kl

    step = 1e-6
    z_1, z_2 = first.detach().double(), second.detach().double()
    for grad, up, down in (
        (first.grad, exact(z_1 + step, z_2), exact(z_1 - step, z_2)),
        (second.grad, exact(z_1, z_2 + step), exact(z_1, z_2 - step)),
    ):
        torch.testing.assert_close(grad.double(), (up - down) / (2 * step), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pair", [(1e4, -1e4), (-1e4, -1e4), (88.0, 200.0)])
def test_extreme_logits_stay_finite(pair):
    first, second = (torch.full((1, 1, 1, 2), value, requires_grad=True) for value in pair)
    loss = joint_loss(first, second, torch.tensor([0.0, 1.0])[None, None, None], 0.65)
    loss.sum().backward()
    assert loss.isfinite().all() and (loss >= 0).all()
    assert first.grad.isfinite().all() and second.grad.isfinite().all()


def test_joint_loss_is_symmetric_and_float32():
    first, second = torch.linspace(-4, 4, 9)[None, None, None], torch.linspace(3, -5, 9)[None, None, None]
    label = torch.zeros(1, 1, 1, 9)
    loss = joint_loss(first, second, label, 0.65)
    assert torch.equal(loss, joint_loss(second, first, label, 0.65))
    assert joint_loss(first.half(), second.half(), label, 0.65).dtype == torch.float32


def slow_selection(loss, label, forget):
    selected = torch.zeros_like(loss, dtype=torch.bool)
    batch, classes, height, width = loss.shape
    for k in range(classes):
        for c in (0, 1):
            members = [
                (b, k, i, j)
                for b in range(batch)
                for i in range(height)
                for j in range(width)
                if label[b, k, i, j] == c
            ]
            members.sort(key=lambda at: -loss[at].item())  # stable: among equals the first one first
            for at in members[math.floor(forget[k, c].item() * len(members) + 1e-6) :]:
                selected[at] = True
    return selected


@pytest.mark.parametrize("levels", [4, 10_000_000])
def test_selection_equals_a_slow_sort(levels, generator):
    """With four different losses almost all are tied."""
    loss = torch.randint(levels, (4, 2, 7, 6), generator=generator) / levels
    label = (torch.rand(4, 2, 7, 6, generator=generator) < 0.3).float()
    forget = torch.tensor([[0.1, 0.5], [0.0, 0.97]], dtype=torch.float64)
    assert torch.equal(keep_small_loss(loss, label, forget), slow_selection(loss, label, forget))


def test_counts_are_exact_in_a_large_batch_of_ties(generator):
    loss = torch.randint(3, (8, 1, 128, 128), generator=generator).float()
    label = (torch.rand(8, 1, 128, 128, generator=generator) < 0.1).to(torch.uint8)
    selected = keep_small_loss(loss, label, torch.tensor([[0.05, 0.3]]))
    for c, fraction in ((0, 0.05), (1, 0.3)):
        members = label == c
        assert (members & ~selected).sum() == math.floor(fraction * int(members.sum()))
        assert loss[members & ~selected].min() >= loss[members & selected].max()


@pytest.mark.parametrize("forget", [0.0, 0.09])
def test_nothing_to_drop_keeps_all(forget):
    """floor(0.09 * 10) = 0 of ten pixels, and none of no pixels of label 1."""
    loss = torch.arange(10.0)[None, None, None]
    assert keep_small_loss(loss, torch.zeros_like(loss), torch.tensor([[forget, 0.9]])).all()


def test_infinite_losses_are_dropped_first():
    loss = torch.tensor([0.0, torch.inf, 1.0, torch.inf])[None, None, None]
    assert keep_small_loss(loss, torch.zeros(1, 1, 1, 4), torch.tensor([[0.75, 0]])).flatten().tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize(
    ("fraction", "count", "whole"),
    [
        (0.3, 10, 3),
        (1 - 0.8, 10, 2),
        (0.29, 100, 29),
        (torch.tensor(0.7).item(), 1000, 700),
        (0.299, 10, 2),
        (0.0, 5, 0),
    ],
)
def test_floor_of_means_the_decimal_fraction(fraction, count, whole):
    assert floor_of(fraction, count) == whole


def test_balanced_mean_by_hand():
    """Class 0: background 1, 2, 3, foreground 7, w_fg = 3: (6 + 21) / 6 = 4.5.

    Class 1: background 2, foreground 4, 6; w_fg is clipped to 1: 12 / 3 = 4. The mean of both is 4.25.
    """
    loss = torch.tensor([[[[1.0, 2, 3, 7, 100]], [[2.0, 4, 6, 100, 100]]]])
    label = torch.tensor([[[[0, 0, 0, 1, 1]], [[0, 1, 1, 1, 0]]]])
    assert balanced_mean(loss, label, loss < 100).item() == pytest.approx(4.25)


def test_balanced_mean_weighs_both_sides_alike(generator):
    """While foreground is rarer, it is the mean of the two means."""
    loss = torch.rand(3, 1, 16, 16, generator=generator)
    label = (torch.rand(3, 1, 16, 16, generator=generator) < 0.1).float()
    selected = torch.rand(3, 1, 16, 16, generator=generator) < 0.8
    expected = (loss[selected & (label == 1)].mean() + loss[selected & (label == 0)].mean()) / 2
    torch.testing.assert_close(balanced_mean(loss, label, selected), expected)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_balanced_mean_of_one_side_is_its_mean(label, generator):
    loss = torch.rand(2, 1, 4, 4, generator=generator)
    torch.testing.assert_close(
        balanced_mean(loss, torch.full_like(loss, label), torch.ones_like(loss) > 0), loss.mean()
    )


def test_empty_selections_give_zero_and_no_gradient():
    loss = torch.full((1, 2, 2, 2), 5.0, requires_grad=True)
    selected = torch.zeros(1, 2, 2, 2, dtype=torch.bool)
    selected[:, 1] = True
    value = balanced_mean(loss, torch.zeros_like(loss), selected)
    value.backward()
    assert value.item() == 2.5  # classes count 0 and 5
    assert not loss.grad[:, 0].any() and torch.equal(loss.grad[:, 1], torch.full((1, 2, 2), 1 / 8))
    assert balanced_mean(loss, torch.zeros_like(loss), selected & False).item() == 0


def test_bad_arguments_are_refused():
    ones = torch.ones(1, 1, 2, 2)
    with pytest.raises(ValueError, match="65"):
        joint_loss(ones, ones, ones, 65)
    with pytest.raises(ValueError, match=r"\(1, 2, 2\)"):
        joint_loss(ones, ones, ones[0], 0.65)
    with pytest.raises(ValueError, match="30.0"):
        keep_small_loss(ones, ones, torch.tensor([[0.1, 30]]))
    with pytest.raises(ValueError, match=r"got \(2,\)"):
        keep_small_loss(ones, ones, torch.zeros(2))
    with pytest.raises(ValueError, match=r"\(1, 1, 2, 3\)"):
        keep_small_loss(ones, torch.ones(1, 1, 2, 3), torch.zeros(1, 2))
    with pytest.raises(ValueError, match=r"\(1, 2, 2\)"):
        balanced_mean(ones, ones, ones[0] > 0)
