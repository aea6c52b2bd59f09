# SPDX-License-Identifier: Apache-2.0
"""Keep the weights of the best epoch (B) and of the last one (L)."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from ..checkpoint_file import save_checkpoint_file
from ..distributed import is_first
from .history import History


class BestModel:
    """Write `model_best.pt` when the evaluator's key metric rises and `model_last.pt` at the end.

    List it after MONAI's ValidationHandler, whose evaluator it reads. A validation without any labelled pixel gives NaN
    and is never the best. Both files are flat state dicts of the network
    itself, as `monai.bundle` and MONAI Label load them.

    Args:
        evaluator: has just been run by the ValidationHandler in epochs divisible by `interval`.
        network: the network evaluated; of an averaged model the averaged weights are written.
        folder: where the two files go.
        history: gets every metric of the evaluator.
        interval: of the ValidationHandler, in epochs.
    """

    def __init__(
        self, evaluator: Any, network: nn.Module, folder: str | os.PathLike[str], history: History, interval: int = 1
    ) -> None:
        self.evaluator = evaluator
        self.network = network
        self.folder = Path(folder)
        self.history = history
        self.interval = interval
        self.best_metric: float | None = None
        self.best_epoch = 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED(every=self.interval), self)
        engine.add_event_handler(Events.STARTED, self.check)
        engine.add_event_handler(Events.COMPLETED, self.save_last)

    def check(self, engine: Any) -> None:
        if self.interval > engine.state.max_epochs:
            raise ValueError(
                f"val_interval is {self.interval} and max_epochs {engine.state.max_epochs}: no epoch would be "
                "validated, and there would be no best model; lower val_interval"
            )

    def __call__(self, engine: Any) -> None:
        metrics = self.evaluator.state.metrics
        self.history.log(**metrics)
        current = float(metrics[self.evaluator.state.key_metric_name])
        if not math.isnan(current) and (self.best_metric is None or current > self.best_metric):
            self.best_metric, self.best_epoch = current, engine.state.epoch
            self._save("model_best.pt")

    def save_last(self, engine: Any) -> None:
        self._save("model_last.pt")

    def _save(self, name: str) -> None:
        if not is_first():
            return
        network: Any = getattr(self.network, "module", self.network)
        weights = {name: value.cpu() for name, value in network.state_dict().items()}  # any machine can read them
        save_checkpoint_file(weights, self.folder / name)

    def forget(self) -> None:
        """Begin the search anew: the next validated epoch is the best one."""
        self.best_metric, self.best_epoch = None, 0

    def state_dict(self) -> dict[str, Any]:
        return {"best_metric": self.best_metric, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best_metric, self.best_epoch = state["best_metric"], state["best_epoch"]
