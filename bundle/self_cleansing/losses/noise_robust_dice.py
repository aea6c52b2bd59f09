# SPDX-License-Identifier: Apache-2.0
"""Noise-robust Dice loss: pixels on which network and label half agree count less than in the Dice loss.

Reference: Wang et al., "A Noise-Robust Framework for Automatic Segmentation of COVID-19 Pneumonia Lesions From CT
Images", IEEE TMI 39(8), 2020, doi 10.1109/TMI.2020.3000314. We differ from the paper as its authors' library PyMIC
does: p and y stand in the denominator as they are, not squared. Squared, the loss of an empty label grows without
bound as the prediction fades, and so rewards marking what is not there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .dice import SMOOTH


class NoiseRobustDice(nn.Module):
    """L = sum |p - y|^gamma / (sum p + sum y) of the labels that take part. Label and prediction both empty: 0.

    Args:
        gamma: in [1, 2]; 1 is the Dice loss (soft_dice_loss), 1.5 the authors' value.
        batch: sum over the batch before dividing, one value per class; else one value per sample and class.
    """

    def __init__(self, gamma: float = 1.5, batch: bool = True) -> None:
        super().__init__()
        if not 1 <= gamma <= 2:
            raise ValueError(f"gamma must be in [1, 2], got {gamma!r}; 1 is the Dice loss, 1.5 the authors' value")
        self.gamma = gamma
        self.batch = batch

    def forward(self, logits: Tensor, label: Tensor, weight: Tensor, epoch: int = 0) -> Tensor:
        """Return the weighted mean loss, a scalar in [0, 1].

        Args:
            logits: float (B, K, H, W).
            label: float, same shape, in {0, 1}.
            weight: float (B, K), at least 0; 0 leaves a label out. All zero: the loss is 0, with zero gradient.
            epoch: completed epochs; not used.
        """
        probs = torch.sigmoid(logits)
        error = ((probs - label).abs() ** self.gamma).sum(dim=(2, 3))
        total = (probs + label).sum(dim=(2, 3))
        if not self.batch:
            return (error / (total + SMOOTH) * weight).sum() / weight.sum().clamp(min=1)
        # A class without any label taking part has 0 / 0, which SMOOTH makes a loss of 0.
        return ((error * weight).sum(dim=0) / ((total * weight).sum(dim=0) + SMOOTH)).mean()

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, batch={self.batch}"
