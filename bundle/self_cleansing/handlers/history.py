# SPDX-License-Identifier: Apache-2.0
"""What happened in each epoch: one row in a CSV file and in TensorBoard, restored on resume."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events
from torch import Tensor

from ..data.whole_file import write_text
from ..distributed import gather, is_first


class History:
    """Collect named numbers per epoch. Other handlers call `log`; this one adds the training loss and writes.

    List it after the handlers that log and before the checkpoint, which saves its state. The training loss is the mean
    over the batches of all processes; the first one writes.

    Args:
        path: of the CSV file, rewritten whole after every epoch.
        tensorboard: log folder of TensorBoard; None: no such log.
    """

    def __init__(self, path: str | os.PathLike[str], tensorboard: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path)
        self.tensorboard = tensorboard
        self.rows: list[dict[str, float]] = []
        self._losses: list[Tensor] = []
        self._current: dict[str, float] = {}
        self._writer: Any = None

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self.add_loss)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.close)

    def start(self, engine: Engine) -> None:
        self._losses, self._current = [], {}

    def add_loss(self, engine: Any) -> None:
        self._losses.append(engine.state.output["loss"].detach())  # read at the end of the epoch: a GPU need not wait

    def log(self, **values: float) -> None:
        """Add numbers to the row of the current epoch."""
        self._current.update({name: float(value) for name, value in values.items()})

    def __call__(self, engine: Any) -> None:
        epoch = engine.state.epoch
        losses = gather([loss.item() for loss in self._losses])
        row = {"epoch": epoch, "train_loss": sum(losses) / max(len(losses), 1), **self._current}
        self.rows.append(row)
        if not is_first():
            return
        write_text(self.path, self.as_csv())
        if self.tensorboard is not None:
            if self._writer is None:
                from torch.utils.tensorboard import SummaryWriter

                self._writer = SummaryWriter(str(self.tensorboard), purge_step=epoch)
            for name, value in row.items():
                self._writer.add_scalar(name, value, epoch)

    def close(self, engine: Engine) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def as_csv(self) -> str:
        """All rows, with every column that any row has, in order of appearance; missing values are empty."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        out = io.StringIO()
        writer = csv.DictWriter(out, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return out.getvalue()

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = [dict(row) for row in state["rows"]]
