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
from bundle.self_cleansing.networks import ResidualUNet

ROUNDOFF = {torch.float16: 2.0**-11, torch.bfloat16: 2.0**-8}
CUDA = pytest.param("cuda", marks=pytest.mark.cuda)
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
def test_rounding_the_logits_moves_no_predicted_pixel(dtype, device):
    """It keeps the sign of a logit (above 2^-25), and the practical filter looks at nothing else."""
    logits, labels = (one.to(device) for one in hearts())
    assert logits.abs().min() > 2**-24
    exact, rounded = (compare_areas(labels, one > 0) for one in (logits, logits.to(dtype)))
    assert all(torch.equal(one, other) for one, other in zip(exact, rounded, strict=True))


@pytest.fixture(scope="module")
def trained() -> tuple[ResidualUNet, torch.Tensor, torch.Tensor]:
    """A network that has learnt to find noisy discs, its images float32 (N, 1, 32, 32), and the discs bool."""
    torch.manual_seed(0)
    logits, labels = hearts()
    discs = logits > 0
    images = discs + 0.3 * torch.randn(discs.shape)
    network, loss = ResidualUNet(in_channels=1, num_classes=1), BinaryCrossEntropy()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(12):
        for batch in torch.randperm(len(images)).split(8):
            optimizer.zero_grad()
            loss(network(images[batch]), discs[batch].float(), torch.ones(len(batch), 1)).backward()
            optimizer.step()
    return network.eval(), images, labels


@every_device
@every_type
def test_a_network_in_half_precision_gives_the_same_verdicts(trained, dtype, device):
    network, images, labels = (one.to(device) for one in trained)
    with torch.no_grad():
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # TF32 has no more bits than float16
            exact = network(images)
        with torch.autocast(device, dtype=dtype):
            half = network(images)
    assert half.dtype == dtype
    # Each of some 20 layers rounds its input and its weights.
    assert 0 < (half.float() - exact).abs().max() <= 40 * ROUNDOFF[dtype] * exact.abs().max()
    assert ((half > 0) != (exact > 0)).float().mean() <= ROUNDOFF[dtype]
    one, other = (
        displacement_filter(*(area.cpu().numpy() for area in compare_areas(labels, logits > 0)), max_components=2)
        for logits in (exact, half)
    )
    assert one.clean.tolist() == other.clean.tolist() == [[number % 3 != 0] for number in range(48)]


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
