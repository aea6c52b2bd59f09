# SPDX-License-Identifier: Apache-2.0
"""Mean per-volume Dice of a validation run over slices, as an ignite metric."""

from __future__ import annotations

from typing import Any

import torch
from ignite.metrics import Metric

from ..distributed import gather
from .dice import DiceTable, dice_counts


class VolumeDice(Metric):
    """Gather slices into volumes and average their Dice over volumes, then over classes.

    Several processes validate a share of the slices each; all of them return the Dice of all slices.

    Args:
        target: key of the labels in the batch: 'label', the given ones, or 'reference_label', the clean ones
            where there are any.
    """

    def __init__(self, target: str = "label") -> None:
        self.target = target
        super().__init__(output_transform=lambda output: (output["pred"], output["label"]))

    def reset(self) -> None:
        self._counts: list[torch.Tensor] = []
        self._cases: list[torch.Tensor] = []

    def update(self, output: Any) -> None:
        """Take logits (B, K, H, W) and the batch with its labels and `case_index`."""
        logits, batch = output
        self._counts.append(dice_counts((logits > 0).cpu(), batch[self.target].cpu()))
        self._cases.append(batch["case_index"].cpu())

    def compute(self) -> float:
        cases = torch.cat(gather(self._cases))
        return DiceTable.from_counts(torch.cat(gather(self._counts)), cases, int(cases.max()) + 1).mean
