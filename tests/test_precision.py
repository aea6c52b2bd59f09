# SPDX-License-Identifier: Apache-2.0
"""How far float16 and bfloat16 may move what is decided: losses, predictions, verdicts and pseudo labels.

The unit roundoff u is 2^-11 of float16 and 2^-8 of bfloat16: a value is rounded by at most u times itself.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import disc

from bundle.self_cleansing.cleansing import cleanse
from bundle.self_cleansing.filtering import FilterGuards, compare_areas, displacement_filter, published_filter
from bundle.self_cleansing.losses import (
    BinaryCrossEntropy,
    DiceLoss,
    GeneralisedCrossEntropy,
    NoiseRobustDice,
    SymmetricCrossEntropy,
    TLoss,
    soft_dice_loss,
)

ROUNDOFF = {torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}
CUDA = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"))
every_type = pytest.mark.parametrize("dtype", ROUNDOFF, ids=str)
every_device = pytest.mark.parametrize("device", ["cpu", CUDA])
LOSSES = [
    *(BinaryCrossEntropy(), DiceLoss(batch=True), DiceLoss(batch=False), GeneralisedCrossEntropy()),
    *(NoiseRobustDice(batch=True), SymmetricCrossEntropy(), TLoss()),
]


def hearts(samples: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits float32 (N, 1, 32, 32) of discs, and labels bool, of which every third is grown by four pixels."""
    generator = torch.Generator().manual_seed(0)
    logits, labels = [], []
    for number in range(samples):
        row, column = (torch.rand(2, generator=generator) * 4 + 14).tolist()
        distance = (
            8.0
            - torch.stack([disc(32, row, column, radius) for radius in np.arange(0.25, 24, 0.25)]).logical_not().sum(0)
            / 4
        )
        logits.append(distance + 0.3 * torch.randn(32, 32, generator=generator))
        labels.append(disc(32, row, column, 12.0 if number % 3 == 0 else 8.0))
    return torch.stack(logits)[:, None], torch.stack(labels)[:, None]


@every_device
@every_type
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_loss_moves_no_more_than_rounding_of_the_logits_explains(loss, dtype, device):
    logits, labels = (one[:8].to(device) for one in hearts())
    weight = torch.ones(8, 1, device=device)
    loss = loss.to(device)
    logits.requires_grad_()
    exact = loss(logits, labels.float(), weight)
    (gradient,) = torch.autograd.grad(exact, logits)
    rounded = loss(logits.detach().to(dtype).float(), labels.float(), weight)
    # To first order; half as much again for the rest, and a little for sums in another order.
    bound = 1.5 * ROUNDOFF[dtype] * (gradient * logits).abs().sum() + 1e-5 * exact.abs()
    assert (rounded - exact).abs() <= bound < 0.02 * exact.abs() + 0.02
    assert not torch.equal(logits.to(dtype).float(), logits)  # there was something to round


@every_device
@every_type
def test_a_prediction_and_the_practical_verdict_do_not_move_at_all(dtype, device):
    """Rounding keeps the sign of a logit, and the filter looks at nothing else."""
    logits, labels = (one.to(device) for one in hearts())
    exact, rounded = (compare_areas(labels, one > 0) for one in (logits, logits.to(dtype)))
    assert all(torch.equal(one, other) for one, other in zip(exact, rounded, strict=True))
    one, other = (
        displacement_filter(*(area.cpu().numpy() for area in areas), num_components=2) for areas in (exact, rounded)
    )
    np.testing.assert_array_equal(one.clean, other.clean)
    assert one.clean.tolist() == [[number % 3 != 0] for number in range(48)]


@every_device
@every_type
def test_the_published_verdict_on_losses_does_not_move(dtype, device):
    logits, labels = (one.to(device) for one in hearts())
    areas = {"label_area": labels.sum((2, 3)).cpu().numpy(), "pred_area": (logits > 0).sum((2, 3)).cpu().numpy()}
    found = []
    for one in (logits, logits.to(dtype).float()):
        losses = soft_dice_loss(torch.sigmoid(one), labels.float()).cpu().numpy()
        found.append((losses, published_filter(losses, "manual", FilterGuards.all(), **areas)))
    (exact, one), (rounded, other) = found
    assert 0 < np.abs(exact - rounded).max() <= 4 * ROUNDOFF[dtype]
    np.testing.assert_array_equal(one.clean, other.clean)
    assert one.clean.any() and not one.clean.all()


@every_device
@every_type
@pytest.mark.parametrize("variant", ["prototypes", "mean"])
def test_pseudo_labels_of_rounded_features_differ_in_few_pixels(variant, dtype, device):
    generator = torch.Generator().manual_seed(1)
    logits, _ = hearts(8)
    region = (logits > 0).to(device)
    inside, outside = torch.randn(2, 16, generator=generator)
    features = torch.where(logits > 0, inside[None, :, None, None], outside[None, :, None, None])
    features = (features + 0.6 * torch.randn(8, 16, 32, 32, generator=generator)).to(device)
    exact, rounded = (
        cleanse(one, region, variant=variant, grid_size=16).label for one in (features, features.to(dtype).float())
    )
    assert exact.any() and not exact.all()
    assert (exact != rounded).float().mean() <= 4 * ROUNDOFF[dtype]  # 1.6 % of the pixels for bfloat16
