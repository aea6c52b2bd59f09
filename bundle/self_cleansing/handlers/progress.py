# SPDX-License-Identifier: Apache-2.0
"""One bar for the whole training, with the time left."""

from __future__ import annotations

from typing import Any

from ignite.engine import Engine, Events
from tqdm import tqdm

from ..distributed import is_first
from .history import History

FORMAT = "{desc}: {percentage:3.0f}%|{bar}| epoch {n:.1f}/{total} [{elapsed}<{remaining}{postfix}]"


class TrainingProgress:
    """Show epochs, loss, the last validation Dice and the time left on standard error.

    List it after the checkpoint, which sets the epoch to resume from.

    Args:
        history: where the last validation Dice stands.
        metric: column of the history to show.
    """

    def __init__(self, history: History, metric: str = "val_mean_dice") -> None:
        self.history = history
        self.metric = metric
        self.bar: Any = None

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.close)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self.abort)

    def start(self, engine: Any) -> None:
        done = engine.state.epoch
        self.bar = tqdm(
            total=engine.state.max_epochs,
            initial=done,
            desc="training",
            bar_format=FORMAT,
            mininterval=1,
            disable=not is_first(),
        )

    def __call__(self, engine: Any) -> None:
        last = self.history.rows[-1].get(self.metric) if self.history.rows else None
        self.bar.set_postfix(
            {
                "loss": f"{engine.state.output['loss'].detach().item():.3f}",
                "val Dice": "-" if last is None else f"{last:.3f}",
            },
            refresh=False,
        )
        self.bar.update(engine.state.iteration / engine.state.epoch_length - self.bar.n)

    def close(self, engine: Engine) -> None:
        self.bar.close()

    def abort(self, engine: Engine, error: BaseException) -> None:
        if self.bar is not None:
            self.bar.close()
        raise error
