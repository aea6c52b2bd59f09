# SPDX-License-Identifier: Apache-2.0
"""One bar for a whole training, or for all volumes of an inference, with the time left."""

from __future__ import annotations

import logging
import math
import os
import time
from typing import Any

from ignite.engine import Engine, Events
from tqdm import tqdm

from ..distributed import is_first
from .history import History

logger = logging.getLogger(__name__)

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
        self._told = -math.inf

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
        if not self.bar.disable and time.monotonic() - self._told >= self.bar.mininterval:
            self._told = time.monotonic()
            last = self.history.rows[-1].get(self.metric) if self.history.rows else None
            loss = engine.state.output["loss"].detach().item()  # a GPU is waited for once a second, not at every step
            self.bar.set_postfix(
                {"loss": f"{loss:.3f}", "val Dice": "-" if last is None else f"{last:.3f}"}, refresh=False
            )
        self.bar.update(engine.state.iteration / engine.state.epoch_length - self.bar.n)

    def close(self, engine: Engine) -> None:
        self.bar.close()

    def abort(self, engine: Engine, error: BaseException) -> None:
        if self.bar is not None:
            self.bar.close()
        raise error


class InferenceProgress:
    """Show how many images are segmented, and the time left, on standard error; at the end, where the results lie.

    Args:
        output_dir: named at the end.
    """

    def __init__(self, output_dir: str | os.PathLike[str]) -> None:
        self.output_dir = output_dir
        self.bar: Any = None

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.close)

    def start(self, engine: Any) -> None:
        self.bar = tqdm(total=engine.state.epoch_length, desc="segmenting", unit="image")

    def __call__(self, engine: Any) -> None:
        self.bar.update()

    def close(self, engine: Any) -> None:
        self.bar.close()
        logger.info("%d images segmented, results in %s", engine.state.epoch_length, self.output_dir)
