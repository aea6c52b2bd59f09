# SPDX-License-Identifier: Apache-2.0
"""Stop when validation has not improved for a while.

ignite's EarlyStopping counts in a state of its own; here the best epoch, which is checkpointed anyway, is enough.
"""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events

from .best_model import BestModel


class EarlyStopping:
    """End the training once `patience` epochs have passed since the best one.

    List it after the checkpoint, which also loads what a resumed run has to look at.

    Args:
        best_model: knows the best epoch.
        patience: in epochs, at least 1; None never stops.
    """

    def __init__(self, best_model: BestModel, patience: int | None) -> None:
        if patience is not None and patience < 1:
            raise ValueError(f"patience must be at least 1 epoch, or null, got {patience!r}")
        self.best_model = best_model
        self.patience = patience

    def attach(self, engine: Engine) -> None:
        if self.patience is not None:
            engine.add_event_handler(Events.EPOCH_COMPLETED, self)
            engine.add_event_handler(Events.STARTED, self)  # a run that had stopped is not trained further

    def __call__(self, engine: Any) -> None:
        since, best = engine.state.epoch - self.best_model.best_epoch, self.best_model.best_epoch
        if self.patience is not None and best > 0 and since >= self.patience:
            engine.terminate()
