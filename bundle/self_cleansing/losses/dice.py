# SPDX-License-Identifier: Apache-2.0
"""Soft Dice loss, Eq. 1 of "Deep Self-cleansing" (doi 10.1002/mp.70007), per sample or over the batch."""

from __future__ import annotations

import torch
from torch import Tensor, nn

SMOOTH = 1e-5


def soft_dice_loss(probs: Tensor, label: Tensor, squared: bool = False) -> Tensor:
    """Return 1 - 2 sum(p y) / (sum p + sum y) per sample and class (Eq. 1).

    Args:
        probs: float (B, K, H, W) in [0, 1].
        label: same shape, in [0, 1].
        squared: sum p^2 and y^2 in the denominator, as V-Net and Co-Seg do.

    Returns:
        float (B, K) in [0, 1]. Label and prediction both exactly empty: 0.
    """
    overlap = (probs * label).sum(dim=(2, 3))
    if squared:
        probs, label = probs.square(), label.square()
    total = probs.sum(dim=(2, 3)) + label.sum(dim=(2, 3))
    return 1 - (2 * overlap + SMOOTH) / (total + SMOOTH)


class DiceLoss(nn.Module):
    """Soft Dice loss of the labels that take part.

    Args:
        batch: sum over the batch before dividing, one Dice per class; else one Dice per sample and class. With
            many empty labels the latter drives a network to predict nothing.
        squared: sums of squared probabilities in the denominator, as in V-Net and Co-Seg, instead of plain sums.
    """

    def __init__(self, batch: bool = True, squared: bool = False) -> None:
        super().__init__()
        self.batch = batch
        self.squared = squared

    def forward(self, logits: Tensor, label: Tensor, weight: Tensor, epoch: int = 0) -> Tensor:
        """Return the weighted mean loss, a scalar.

        Args:
            logits: float (B, K, H, W).
            label: float, same shape, in [0, 1].
            weight: float (B, K), at least 0; 0 leaves a label out. All zero: the loss is 0, with zero gradient.
            epoch: completed epochs; not used.
        """
        probs = torch.sigmoid(logits)
        if not self.batch:
            return (soft_dice_loss(probs, label, self.squared) * weight).sum() / weight.sum().clamp(min=1)
        area = probs.square() + label.square() if self.squared else probs + label
        pixels = weight[..., None, None]
        overlap = (probs * label * pixels).sum(dim=(0, 2, 3))
        total = (area * pixels).sum(dim=(0, 2, 3))
        # A class without any label taking part has 0 / 0, which SMOOTH makes a loss of 0.
        return (1 - (2 * overlap + SMOOTH) / (total + SMOOTH)).mean()

    def extra_repr(self) -> str:
        return f"batch={self.batch}, squared={self.squared}"
