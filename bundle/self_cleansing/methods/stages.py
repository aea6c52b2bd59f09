# SPDX-License-Identifier: Apache-2.0
"""Methods of two stages in one training: networks that judge the labels, then a fresh one on corrected labels."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from ignite.engine import Engine, Events
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from .. import distributed
from ..handlers.best_model import BestModel
from ..handlers.history import History
from ..handlers.noise_audit import NoiseAudit
from ..label_bank import LabelBank
from .peers import TwoNetworks, fresh_copy
from .relabelling import put_in_force


class CorrectAndStartOver:
    """After `stage_epochs` epochs: correct the labels once, then train a fresh network from its first epoch on.

    Weights, optimiser, learning rate, averaging and the search for the best epoch all begin anew; the epoch goes on
    counting. There is no state of its own: what happens depends on the epoch, and everything changed is checkpointed.

    List it after MONAI's ValidationHandler and BestModel, and before the checkpoint. Of several processes the first one
    corrects, and all hold its labels.

    Args:
        correct: see `put_in_force`.
        stage_epochs: length of the first stage, in [1, max_epochs).
        network: the module in training.
        averaged: its averaged copy.
        optimizer, lr_scheduler: in the state of the first epoch.
        best_model: forgets what it has seen.
        label_bank: of the training samples.
        history: gets the share of labels changed.
        audit: in simulations, compares with the clean labels for the log.
    """

    def __init__(
        self,
        correct: Callable[[], Tensor],
        stage_epochs: int,
        network: TwoNetworks,
        averaged: AveragedModel,
        optimizer: Any,
        lr_scheduler: Any,
        best_model: BestModel,
        label_bank: LabelBank,
        history: History,
        audit: NoiseAudit | None = None,
    ) -> None:
        self.correct = correct
        self.stage_epochs = stage_epochs
        self.network = network
        self.averaged = averaged
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.best_model = best_model
        self.label_bank = label_bank
        self.history = history
        self.audit = audit
        self.weights = {name: value.cpu() for name, value in fresh_copy(network.first).state_dict().items()}
        self.beginning = copy.deepcopy((optimizer.state_dict(), lr_scheduler.state_dict()))

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.check)
        engine.add_event_handler(Events.EPOCH_COMPLETED(once=self.stage_epochs), self)

    def check(self, engine: Any) -> None:
        """Raise ValueError unless there is a second stage, and a validation in it."""
        left = engine.state.max_epochs - self.stage_epochs
        if not 1 <= self.stage_epochs < engine.state.max_epochs or left < self.best_model.interval:
            raise ValueError(
                f"stage_epochs is {self.stage_epochs}, max_epochs {engine.state.max_epochs} and val_interval "
                f"{self.best_model.interval}: the second stage must have an epoch that is validated; change one of them"
            )

    def __call__(self, engine: Any) -> None:
        put_in_force(self.correct, self.label_bank, engine.state.epoch, self.history, self.audit)
        self.start_over()

    def start_over(self) -> None:
        """Put weights, optimiser, learning rate, averaging and best epoch back to the beginning."""
        # Drawn by every process for itself; DDP shares weights when it is made and not again.
        self.network.stand_alone(distributed.from_first(lambda: self.weights))
        self.optimizer.load_state_dict(self.beginning[0])
        self.lr_scheduler.load_state_dict(self.beginning[1])
        self.averaged.n_averaged.zero_()  # the next update copies the network whole
        self.averaged.module.load_state_dict(self.network.state_dict())
        self.best_model.forget()
