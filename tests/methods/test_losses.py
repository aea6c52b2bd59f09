# SPDX-License-Identifier: Apache-2.0
"""The training losses of the compared methods, against what their papers say, written out per image or pixel."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from bundle.self_cleansing.losses import BinaryCrossEntropy, DiceLoss, HybridLoss, LabelSchedule, soft_dice_loss
from bundle.self_cleansing.methods import (
    CoTeachingLoss,
    CoTrainingLoss,
    ForgetRate,
    JoCoRLoss,
    SmoothedLabelLoss,
    SuperpixelLoss,
    WeighedDiceLoss,
)
from bundle.self_cleansing.methods.pick_and_learn import image_weights


def draw(batch=4, peers=True, classes=2, size=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, 2, classes, size, size) if peers else (batch, classes, size, size)
    logits = torch.randn(shape, generator=generator).mul(3).requires_grad_()
    label = (torch.rand(batch, classes, size, size, generator=generator) > 0.6).float()
    return logits, label


# Pick-and-Learn


def test_image_weights_by_hand():
    """Phi(t) = 2 tanh(t): scores 0 and atanh(1/2) give Phi 0 and 1, weights 1 : e."""
    weights = image_weights(torch.tensor([0.0, math.atanh(0.5)]), 2.0)
    torch.testing.assert_close(weights, torch.tensor([1 / (1 + math.e), math.e / (1 + math.e)]))
    extreme = image_weights(torch.tensor([-50.0, 50.0]), 2.0)
    assert float(extreme[1] / extreme[0]) == pytest.approx(math.exp(4), rel=1e-4)
    torch.testing.assert_close(
        image_weights(torch.tensor([0.0, 3.0]), None), torch.softmax(torch.tensor([0.0, 3.0]), 0)
    )


def test_the_weighed_loss_is_the_weighed_sum_over_images():
    logits, label = draw(peers=False)
    score = torch.tensor([0.3, -1.0, 2.0, 0.0], requires_grad=True)
    phi = [2 * math.tanh(value) for value in score.tolist()]
    expected = 0.0
    for image in range(4):
        weight = math.exp(phi[image]) / sum(map(math.exp, phi))
        dice = soft_dice_loss(torch.sigmoid(logits[image : image + 1]), label[image : image + 1])
        expected += weight * float(dice.detach().mean())
    loss = WeighedDiceLoss(2.0)((logits, score), {"label": label})
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-5)
    loss.backward()
    # The image with the smallest loss gains weight, the one with the largest loses: dL/dt_i has the sign of L_i - L.
    per_image = soft_dice_loss(torch.sigmoid(logits.detach()), label).mean(dim=1)
    assert torch.equal(torch.sign(score.grad), torch.sign(per_image - loss.detach()))
    assert logits.grad.abs().sum() > 0


def test_one_image_has_weight_one():
    logits, label = draw(batch=1, peers=False)
    loss = WeighedDiceLoss(2.0)((logits, torch.tensor([-3.0])), {"label": label})
    torch.testing.assert_close(loss, soft_dice_loss(torch.sigmoid(logits), label).mean())


# Co-Seg, stage 1


def test_each_network_learns_from_what_the_other_finds_plausible():
    logits, label = draw(batch=5, seed=3)
    rate = ForgetRate(0.4, ramp_epochs=1)
    loss = CoTeachingLoss(BinaryCrossEntropy(), rate)(logits, label, torch.ones(5, 2), epoch=7)
    per_image = (
        F.binary_cross_entropy_with_logits(logits, label[:, None].expand_as(logits), reduction="none")
        .detach()
        .mean(dim=(2, 3, 4))
    )
    first, second = (sorted(range(5), key=lambda image, p=peer: float(per_image[image, p]))[:3] for peer in range(2))
    assert set(first) != set(second)  # or the swap could not be seen
    expected = per_image[second, 0].mean() + per_image[first, 1].mean()
    torch.testing.assert_close(loss.detach(), expected)
    (gradient,) = torch.autograd.grad(loss, logits)
    trained = gradient.abs().sum(dim=(2, 3, 4)) > 0
    assert set(torch.nonzero(trained[:, 0]).flatten().tolist()) == set(second)
    assert set(torch.nonzero(trained[:, 1]).flatten().tolist()) == set(first)


def test_before_the_ramp_every_image_counts():
    logits, label = draw()
    loss = CoTeachingLoss(BinaryCrossEntropy(), ForgetRate(0.9, ramp_epochs=10))(logits, label, torch.ones(4, 2), 0)
    expected = sum(F.binary_cross_entropy_with_logits(logits[:, peer], label) for peer in range(2))
    torch.testing.assert_close(loss, expected)


# confident learning, stage 3


@pytest.mark.parametrize("strength", [0.0, 0.25, 1.0])
def test_flagged_pixels_are_smoothed_and_no_others(strength):
    logits, label = draw(peers=False)
    flagged = torch.rand(label.shape, generator=torch.Generator().manual_seed(5)) > 0.8
    targets = {"label": label, "pseudo_label": torch.where(flagged, 1 - label, label), "epoch": 3}
    loss = SmoothedLabelLoss(BinaryCrossEntropy(), strength, LabelSchedule(3, 3))(logits, targets)
    total = 0.0
    for z, y, wrong in zip(
        logits.flatten().tolist(), label.flatten().tolist(), flagged.flatten().tolist(), strict=True
    ):
        y = (1 - strength if y else strength) if wrong else y
        p = 1 / (1 + math.exp(-z))
        total -= y * math.log(p) + (1 - y) * math.log(1 - p)
    assert float(loss.detach()) == pytest.approx(total / label.numel(), rel=1e-4)


def test_teachers_are_trained_on_the_given_labels():
    logits, label = draw(peers=False)
    targets = {"label": label, "pseudo_label": torch.zeros_like(label), "epoch": 2}
    loss = SmoothedLabelLoss(BinaryCrossEntropy(), 1.0, LabelSchedule(3, 3))(logits, targets)
    torch.testing.assert_close(loss, F.binary_cross_entropy_with_logits(logits, label))


# JoCoR and superpixels


def jocor_by_hand(logits, label, scores, forget, agreement):
    """Loops over classes, label values and sorted pixels."""
    total = 0.0
    for k in range(label.shape[1]):
        kept = {}
        for value in (0, 1):
            pixels = torch.nonzero(label[:, k] == value).tolist()
            pixels.sort(key=lambda at, k=k: float(scores[at[0], k, at[1], at[2]]))
            kept[value] = pixels[: len(pixels) - math.floor(forget[k][value] * len(pixels) + 1e-6)]
        weight = min(max(len(kept[0]) / len(kept[1]), 1.0), 1e6)
        above, below = 0.0, 0.0
        for value, w in ((0, 1.0), (1, weight)):
            for b, row, column in kept[value]:
                above += w * float(pixel_loss(logits[b, :, k, row, column], value, agreement))
                below += w
        total += above / below
    return total / label.shape[1]


def pixel_loss(z, y, agreement):
    s = torch.sigmoid(z.detach().double())
    p = torch.stack([1 - s, s], dim=1)
    supervised = -torch.log(p[:, y]).sum()
    divergence = (p[0] * torch.log(p[0] / p[1])).sum() + (p[1] * torch.log(p[1] / p[0])).sum()
    return (1 - agreement) * supervised + agreement * divergence


def test_jocor_against_loops():
    logits, label = draw(batch=2, size=4)
    forget = [[0.25, 0.5], [0.1, 0.3]]
    scores = torch.empty_like(label)
    for b, k, row, column in torch.cartesian_prod(*(torch.arange(n) for n in label.shape)).tolist():
        scores[b, k, row, column] = pixel_loss(logits[b, :, k, row, column], int(label[b, k, row, column]), 0.65)
    loss = JoCoRLoss(ForgetRate(torch.tensor(forget), ramp_epochs=1), 0.65)(logits, {"label": label, "epoch": 5})
    assert float(loss.detach()) == pytest.approx(jocor_by_hand(logits, label, scores, forget, 0.65), rel=1e-4)


def test_superpixels_choose_and_pixels_are_trained():
    """The choice is that of JoCoR on superpixel means, the loss that of the pixels; superpixels of one pixel: JoCoR."""
    logits, label = draw(batch=2, size=4)
    forget = ForgetRate(torch.tensor([[0.25, 0.5], [0.1, 0.3]]), ramp_epochs=1)
    schedule = LabelSchedule(9, 9)
    single = torch.arange(1, 17).reshape(1, 4, 4).expand(2, 4, 4)
    targets = {"label": label, "pseudo_label": 1 - label, "epoch": 5, "superpixel": single}
    by_superpixel, by_pixel = SuperpixelLoss(forget, schedule), JoCoRLoss(forget)
    torch.testing.assert_close(by_superpixel(logits, targets), by_pixel(logits, targets), rtol=1e-4, atol=1e-5)

    halves = torch.cat([torch.full((2, 4, 2), 1), torch.full((2, 4, 2), 2)], dim=2)
    loss = by_superpixel(logits, targets | {"superpixel": halves})
    means = torch.sigmoid(logits.detach().double())
    for part in (slice(0, 2), slice(2, 4)):
        means[..., part] = means[..., part].mean(dim=(3, 4), keepdim=True)
    smooth = torch.logit(means)
    scores = torch.empty_like(label)
    for b, k, row, column in torch.cartesian_prod(*(torch.arange(n) for n in label.shape)).tolist():
        scores[b, k, row, column] = pixel_loss(smooth[b, :, k, row, column], int(label[b, k, row, column]), 0.65)
    # Within a superpixel scores are equal: the first pixels are dropped, which the stable sort keeps. Break ties alike.
    scores -= 1e-4 * torch.arange(scores[:, 0].numel()).reshape(2, 1, 4, 4)
    expected = jocor_by_hand(logits, label, scores, forget.rate.tolist(), 0.65)
    assert float(loss.detach()) == pytest.approx(expected, rel=1e-3)
    assert loss.requires_grad


def test_after_the_refinement_the_labels_in_force_count():
    logits, label = draw(batch=2, size=4)
    superpixel = torch.ones(2, 4, 4, dtype=torch.int64)
    targets = {"label": label, "pseudo_label": 1 - label, "superpixel": superpixel}
    forget, schedule = ForgetRate(torch.zeros(2, 2)), LabelSchedule(9, 9)
    loss = SuperpixelLoss(forget, schedule)
    before = loss(logits, targets | {"epoch": 5})
    schedule.begin(5)
    after = loss(logits, targets | {"epoch": 5})
    torch.testing.assert_close(after, loss(logits, {"label": 1 - label, "superpixel": superpixel, "epoch": 4}))
    assert abs(float(before.detach()) - float(after.detach())) > 1e-3
    assert loss.gap[1] == 3


# co-training and Co-Seg's Dice


def test_each_of_two_networks_is_trained_on_its_own_labels_in_force():
    logits, label = draw(batch=3)
    generator = torch.Generator().manual_seed(9)
    pseudo = (torch.rand(3, 4, 8, 8, generator=generator) > 0.5).float()
    weight = torch.tensor([[1.0, 1, 0, 1], [0, 1, 1, 1], [1, 1, 1, 0]])
    hybrid = HybridLoss(BinaryCrossEntropy(), DiceLoss(), LabelSchedule(1, 3))
    targets = {"label": label, "pseudo_label": pseudo, "pseudo_weight": weight, "epoch": 2}
    expected = sum(
        hybrid(logits[:, peer], targets | {"pseudo_label": pseudo[:, part], "pseudo_weight": weight[:, part]})
        for peer, part in enumerate((slice(0, 2), slice(2, 4)))
    )
    torch.testing.assert_close(CoTrainingLoss(hybrid)(logits, targets), expected)


def test_squared_dice_by_hand():
    logits, label = torch.zeros(1, 1, 1, 4), torch.tensor([[[[1.0, 1, 0, 0]]]])
    weight = torch.ones(1, 1)
    # p = 1/2: 2 * 1 / (4 * 1/4 + 2) = 2/3; with plain sums 2 * 1 / (2 + 2) = 1/2
    for batch in (False, True):
        assert float(DiceLoss(batch, squared=True)(logits, label, weight)) == pytest.approx(1 / 3, abs=1e-4)
        assert float(DiceLoss(batch)(logits, label, weight)) == pytest.approx(1 / 2, abs=1e-4)
