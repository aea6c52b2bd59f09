# SPDX-License-Identifier: Apache-2.0
"""Self-cleansing with two networks: each filters and cleanses with its own eyes, and learns from the other's labels.

The paper's Discussion names this as future work; nothing of it is specified there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from ..filtering import Provenance
from ..handlers.history import History
from ..handlers.label_cleansing import LabelCleansing
from ..label_bank import ALL, LabelBank
from ..losses import HybridLoss

logger = logging.getLogger(__name__)


class SwappedBanks(nn.Module):
    """The label banks of two networks as the loader sees them: the labels of each network come from the other.

    Args:
        first, second: written from the verdicts and features of the first and of the second network.
    """

    def __init__(self, first: LabelBank, second: LabelBank) -> None:
        super().__init__()
        self.first = first
        self.second = second

    @property
    def is_set(self) -> Tensor:
        """Whether y' is set, bool (N, 2 K): for the first network's channels, then for the second's."""
        return torch.cat([self.second.is_set, self.first.is_set], dim=1)

    @property
    def takes_part(self) -> Tensor:
        """Whether y' takes part in the loss, bool (N, 2 K), likewise."""
        return torch.cat([self.second.takes_part, self.first.takes_part], dim=1)

    def pseudo_label(self, index: Tensor | slice = ALL) -> Tensor:
        """Return the labels in force, uint8 (B, 2 K, H, W), likewise."""
        return torch.cat([self.second.pseudo_label(index), self.first.pseudo_label(index)], dim=1)


class CoTrainingLoss(nn.Module):
    """The sum of two networks' hybrid losses, each on the label in force of the other.

    Args:
        loss: of one network.
    """

    def __init__(self, loss: HybridLoss) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, logits: Tensor, targets: Mapping[str, Any]) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: float (B, 2, K, H, W).
            targets: as for `HybridLoss`, but `pseudo_label` (B, 2 K, H, W) and `pseudo_weight` (B, 2 K) of
                `SwappedBanks`.
        """
        labels, weights = (targets[key].chunk(2, dim=1) for key in ("pseudo_label", "pseudo_weight"))
        return sum(
            (
                self.loss(one, {**targets, "pseudo_label": label, "pseudo_weight": weight})
                for one, label, weight in zip(logits.unbind(dim=1), labels, weights, strict=True)
            ),
            start=logits.new_zeros(()),
        )


class CoTraining:
    """Update the labels of both networks, each by its own filter and cleanser, and log how often they disagree.

    A filter that declines postpones the schedule of both.

    Args:
        first, second: the two updates, of the same schedule and period.
        history: gets the share of labels that one network accepts and the other does not.

    Raises:
        ValueError: without the first one: filtering is switched off.
    """

    def __init__(self, second: LabelCleansing, history: History, first: LabelCleansing | None = None) -> None:
        if first is None:
            raise ValueError(
                "co-training is made of two filters; leave filter_and_cleanse true, or choose another method"
            )
        self.first = first
        self.second = second
        self.history = history

    def attach(self, engine: Engine) -> None:
        self.second.attach(engine)
        self.first.attach(engine)  # last, so that its numbers are those in the history
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        if engine.state.epoch < self.first.schedule.warmup_epochs:
            return
        one, other = (part.label_bank.provenance == Provenance.MANUAL for part in (self.first, self.second))
        self.history.log(peers_disagree=(one != other).float().mean().item())
