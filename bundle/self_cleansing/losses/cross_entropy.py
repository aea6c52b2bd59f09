# SPDX-License-Identifier: Apache-2.0
"""Binary cross-entropy per pixel, which converges to the majority's boundary, with a say about empty labels."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F


class BinaryCrossEntropy(nn.Module):
    """Mean binary cross-entropy over the pixels of the labels that take part.

    An empty label may be a missing one. Dice over-segments under noise (its best mask takes every pixel above half
    of its own value), cross-entropy takes the majority of each pixel: without the missing labels that is the right
    boundary as long as errors in both directions are equally common.

    Args:
        empty_labels: 'keep' them like all others, or 'leave_out' all of them.
        agreed_from_epoch: with 'leave_out', an empty label takes part again from this number of completed epochs
            on whenever the network itself predicts no pixel of that class; None: never.
    """

    def __init__(
        self, empty_labels: Literal["keep", "leave_out"] = "keep", agreed_from_epoch: int | None = None
    ) -> None:
        super().__init__()
        if empty_labels not in ("keep", "leave_out"):
            raise ValueError(f"empty_labels must be 'keep' or 'leave_out', got {empty_labels!r}")
        self.empty_labels = empty_labels
        self.agreed_from_epoch = agreed_from_epoch

    def forward(self, logits: Tensor, label: Tensor, weight: Tensor, epoch: int = 0) -> Tensor:
        """Return the weighted mean loss, a scalar.

        Args:
            logits: float (B, K, H, W).
            label: float, same shape, in [0, 1].
            weight: float (B, K), at least 0; 0 leaves a label out. All zero: the loss is 0, with zero gradient.
            epoch: completed epochs.
        """
        if self.empty_labels == "leave_out":
            takes_part = label.flatten(2).any(dim=2)
            if self.agreed_from_epoch is not None and epoch >= self.agreed_from_epoch:
                takes_part = takes_part | ~(logits.detach() > 0).flatten(2).any(dim=2)
            weight = weight * takes_part
        per_label = F.binary_cross_entropy_with_logits(logits, label, reduction="none").mean(dim=(2, 3))
        return (per_label * weight).sum() / weight.sum().clamp(min=1)

    def extra_repr(self) -> str:
        return f"empty_labels={self.empty_labels!r}, agreed_from_epoch={self.agreed_from_epoch}"
