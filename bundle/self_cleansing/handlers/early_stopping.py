# SPDX-License-Identifier: Apache-2.0
"""Stop when validation has not improved for a while.

ignite's EarlyStopping counts in a state of its own; here the best epoch, which is checkpointed anyway, is enough.
"""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

from .best_model import BestModel


class EarlyStopping:
    """End the training after `patience` validations without a better one.

    List it after the checkpoint, which also loads what a resumed run has to look at.

    Args:
        best_model: knows the best epoch and how often there is a validation.
        patience: in validations, at least 1; None never stops.
        after_epoch: the first stage of a method of two is not to be stopped: it ends after so many epochs; else 0.
    """

    def __init__(self, best_model: BestModel, patience: int | None = None, after_epoch: int = 0) -> None:
        if patience is not None and patience < 1:
            raise ValueError(f"patience must be at least 1 validation, or null, got {patience!r}")
        self.best_model = best_model
        self.patience = patience
        self.after_epoch = after_epoch

    def attach(self, engine: Engine) -> None:
        if self.patience is not None:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)
            engine.add_event_handler(Events.STARTED, self)  # a run that had stopped is not trained further

    def __call__(self, engine: Any) -> None:
        best = self.best_model.best_epoch
        if self.patience is None or best == 0 or engine.state.epoch <= self.after_epoch:
            return
        if (engine.state.epoch - best) // self.best_model.interval >= self.patience:
            engine.terminate()
