# SPDX-License-Identifier: Apache-2.0
"""After a training: put its weights where inference looks for them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from ..data.whole_file import whole_file
from ..distributed import is_first


class PublishModel:
    """Copy the weights of a completed training to `target`, and what was there before to `previous`.

    A training that fails or is stopped changes nothing. List it after BestModel, which writes `source`.

    Args:
        source: written by the training.
        target: replaced whole; nobody sees half of it.
        previous: not written if there is no `target` yet.
    """

    def __init__(
        self, source: str | os.PathLike[str], target: str | os.PathLike[str], previous: str | os.PathLike[str]
    ) -> None:
        self.source = Path(source)
        self.target = Path(target)
        self.previous = Path(previous)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        if not is_first():
            return
        if self.target.is_file() and not self.previous.exists():  # a resumed run has kept it already
            _copy(self.target, self.previous)
        _copy(self.source, self.target)


def _copy(source: Path, target: Path) -> None:
    with whole_file(target) as temporary:
        shutil.copyfile(source, temporary)
