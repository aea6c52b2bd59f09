# SPDX-License-Identifier: Apache-2.0
"""Dice per slice and per volume, with a stated rule for empty masks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

EMPTY_RULE = (
    "per slice, label and prediction both empty count as Dice 1; "
    "per volume, a class that is empty in both is left out of the mean"
)


def dice_counts(pred: Tensor, label: Tensor) -> Tensor:
    """Count, per sample and class, the pixels of the overlap, of the prediction and of the label.

    Args:
        pred: bool or {0, 1} (N, K, H, W).
        label: likewise.

    Returns:
        int64 (N, K, 3).
    """
    pred, label = pred.bool().flatten(2), label.bool().flatten(2)
    return torch.stack([(pred & label).sum(dim=2), pred.sum(dim=2), label.sum(dim=2)], dim=2)


@dataclass(frozen=True)
class DiceTable:
    """Dice values from counts.

    Attributes:
        per_slice: float64 (N, K); both empty: 1.
        per_volume: float64 (V, K); both empty: NaN, to be left out of means.
    """

    per_slice: Tensor
    per_volume: Tensor

    @classmethod
    def from_counts(cls, counts: Tensor, case_index: Tensor, num_cases: int) -> DiceTable:
        """Build the table.

        Args:
            counts: int64 (N, K, 3) of `dice_counts`.
            case_index: int64 (N,), the volume of each slice, in [0, num_cases).
            num_cases: V.
        """
        volumes = torch.zeros(num_cases, *counts.shape[1:], dtype=counts.dtype).index_add_(0, case_index, counts)
        return cls(_dice(counts, empty=1.0), _dice(volumes, empty=float("nan")))

    def volume_means(self) -> list[float]:
        """Mean over the volumes, per class; NaN for a class that no volume shows."""
        return [float(value) for value in torch.nanmean(self.per_volume, dim=0)]

    def slice_means(self) -> list[float]:
        """Mean over the slices, per class."""
        return [float(value) for value in self.per_slice.mean(dim=0)]

    @property
    def mean(self) -> float:
        """The number to compare by: mean over classes of the per-volume means."""
        return float(torch.nanmean(torch.tensor(self.volume_means())))


def _dice(counts: Tensor, empty: float) -> Tensor:
    overlap, pred, label = counts.double().unbind(dim=2)
    total = pred + label
    return torch.where(total > 0, 2 * overlap / total.clamp(min=1), empty)
