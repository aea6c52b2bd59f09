# SPDX-License-Identifier: Apache-2.0
"""The plain sum of several losses on the same labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class SumLoss(nn.Module):
    """Add the values of `losses`, each called with (logits, label, weight, epoch)."""

    def __init__(self, losses: Sequence[nn.Module]) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)

    def forward(self, logits: Tensor, label: Tensor, weight: Tensor, epoch: int = 0) -> Tensor:
        return torch.stack([loss(logits, label, weight, epoch) for loss in self.losses]).sum()
