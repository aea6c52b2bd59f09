# SPDX-License-Identifier: Apache-2.0
"""Train on given labels first and on cleansed labels later: Sec. 2.4 of "Deep Self-cleansing"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


class LabelSchedule:
    """The weights lambda1 of the given label y and lambda2 = 1 - lambda1 of the label in force y'.

    Args:
        warmup_epochs: E1; before that many completed epochs only y counts.
        ramp_end_epoch: E2 >= E1; from there on only y' counts, in between lambda1 falls linearly.
            E2 = E1 switches at once.
    """

    def __init__(self, warmup_epochs: int, ramp_end_epoch: int) -> None:
        if not 1 <= warmup_epochs <= ramp_end_epoch:
            raise ValueError(
                f"need 1 <= warmup_epochs <= ramp_end_epoch, got {warmup_epochs} and {ramp_end_epoch}; "
                "a network that has seen nothing cannot judge labels"
            )
        self.warmup_epochs = warmup_epochs
        self.ramp_end_epoch = ramp_end_epoch

    def postpone(self, epochs: int) -> None:
        """Prolong the warm-up: move E1 and E2 by a number of epochs."""
        self.warmup_epochs += epochs
        self.ramp_end_epoch += epochs

    def begin(self, epoch: int) -> None:
        """From `epoch` completed epochs on only y' counts."""
        self.warmup_epochs = self.ramp_end_epoch = epoch

    def state_dict(self) -> dict[str, int]:
        return {"warmup_epochs": self.warmup_epochs, "ramp_end_epoch": self.ramp_end_epoch}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.warmup_epochs, self.ramp_end_epoch = state["warmup_epochs"], state["ramp_end_epoch"]

    def __call__(self, epoch: int) -> tuple[float, float]:
        """Return (lambda1, lambda2) after `epoch` completed epochs."""
        if epoch < self.warmup_epochs:
            given = 1.0
        elif epoch >= self.ramp_end_epoch:
            given = 0.0
        else:
            given = (self.ramp_end_epoch - epoch) / (self.ramp_end_epoch - self.warmup_epochs)
        return given, 1.0 - given


class HybridLoss(nn.Module):
    """L = lambda1(e) L_given(y) + lambda2(e) L_pseudo(y'), with e the completed epochs.

    Args:
        given: loss on the given label; called with (logits, label, weight, epoch).
        pseudo: loss on the label in force.
        schedule: maps completed epochs to (lambda1, lambda2).
    """

    def __init__(self, given: nn.Module, pseudo: nn.Module, schedule: LabelSchedule) -> None:
        super().__init__()
        self.given = given
        self.pseudo = pseudo
        self.schedule = schedule

    def forward(self, logits: Tensor, targets: Mapping[str, Any]) -> Tensor:
        """Return the loss, a scalar; a term of weight zero is not computed.

        Args:
            logits: float (B, K, H, W), or whatever the two losses take; half precision is raised to float32.
            targets: `label`, `pseudo_label` float (B, K, H, W) in {0, 1}; `pseudo_weight` float (B, K), 0 where
                the label in force is left out; `epoch`, completed epochs.
        """
        logits, epoch = logits.float(), int(targets["epoch"])
        lambda_given, lambda_pseudo = self.schedule(epoch)
        total = logits.new_zeros(())
        if lambda_given > 0:
            weight = logits.new_ones(targets["label"].shape[:2])
            total = total + lambda_given * self.given(logits, targets["label"], weight, epoch)
        if lambda_pseudo > 0:
            pseudo = self.pseudo(logits, targets["pseudo_label"], targets["pseudo_weight"], epoch)
            total = total + lambda_pseudo * pseudo
        return total
