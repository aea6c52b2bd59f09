# SPDX-License-Identifier: Apache-2.0
"""Save everything a training needs to go on exactly where it was, and load it again.

MONAI's CheckpointSaver writes in place, so a kill during a save loses both the old and the new state, and it keeps
its list of best scores apart; here one file is written under a temporary name and renamed.
"""

from __future__ import annotations

import os
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from ..checkpoint_file import UnreadableFile, load_checkpoint_file, save_checkpoint_file
from ..distributed import is_first
from ..errors import user_error


class RandomState:
    """The global random generators of Python, NumPy and PyTorch as one object with a state."""

    def state_dict(self) -> dict[str, Any]:
        kind, keys, position, has_gauss, gauss = np.random.get_state()
        version, internal, normal = random.getstate()
        return {
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "numpy": [str(kind), [int(key) for key in keys], int(position), int(has_gauss), float(gauss)],
            "python": [version, list(internal), normal],
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        torch.set_rng_state(state["torch"].cpu())
        if state["cuda"] and torch.cuda.is_available():
            # The run may have started on a machine with more devices.
            torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda"][: torch.cuda.device_count()]])
        kind, keys, position, has_gauss, gauss = state["numpy"]
        np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, gauss))
        version, internal, normal = state["python"]
        random.setstate((version, tuple(internal), normal))


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `TrainingCheckpoint` saved; every byte is checked, no code of the file is run.

    Raises:
        ValueError: if it is damaged or something else.
    """
    try:
        state = load_checkpoint_file(path)
        reason = "" if _is_checkpoint(state) else "it has no progress and settings of a training"
    except UnreadableFile as error:
        reason = error.reason
    if reason:
        raise ValueError(
            f"{path} cannot be read as a checkpoint ({reason}); "
            "it is damaged or of another program: start again in a new --output_dir"
        )
    return state


def _is_checkpoint(state: Any) -> bool:
    progress, settings = (state.get(key) if isinstance(state, dict) else None for key in ("progress", "settings"))
    return (
        isinstance(progress, dict)
        and isinstance(settings, dict)
        and all(isinstance(progress.get(key), int) for key in ("epoch", "iteration"))
    )


class TrainingCheckpoint:
    """Write the state of all `objects` and of the engine after every epoch; read it before the first if asked to.

    List it last: what it saves is the state after all other handlers of the epoch. Of several processes the first one
    writes and all read, so the objects must be the same in all of them.

    Args:
        path: of the one checkpoint file, replaced whole.
        objects: name -> anything with state_dict and load_state_dict.
        settings: plain values that must be the same when resuming, e.g. the seed.
        resume: load `path` before training. It is loaded now, too, so that what does not fit is refused before anything
            is written.

    Raises:
        FileNotFoundError, ValueError: as `load`, if `resume` is true.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        objects: Mapping[str, Any],
        settings: Mapping[str, Any] | None = None,
        resume: bool = False,
    ) -> None:
        self.path = Path(path)
        self.objects = {name: value for name, value in objects.items() if value is not None}
        self.settings = dict(settings or {})
        self.resume = resume
        if resume:
            self.restore()

    def attach(self, engine: Engine) -> None:
        if self.resume:
            engine.add_event_handler(Events.STARTED, self.load)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save)
        engine.add_event_handler(Events.COMPLETED, self.save)

    def save(self, engine: Any) -> None:
        if not is_first():
            return
        state = {name: value.state_dict() for name, value in self.objects.items()}
        progress = {"epoch": engine.state.epoch, "iteration": engine.state.iteration}
        if getattr(engine, "scaler", None) is not None:
            state["scaler"] = engine.scaler.state_dict()
        save_checkpoint_file({**state, "progress": progress, "settings": self.settings}, self.path)

    def load(self, engine: Any) -> None:
        """Restore all objects and the engine's epoch.

        Raises:
            FileNotFoundError: there is no checkpoint to resume from.
            ValueError: it cannot be read, lacks a part, or belongs to other settings or data.
        """
        state = self.restore()
        if getattr(engine, "scaler", None) is not None and "scaler" in state:
            engine.scaler.load_state_dict(state["scaler"])
        engine.state.epoch = state["progress"]["epoch"]
        engine.state.iteration = state["progress"]["iteration"]

    def restore(self) -> dict[str, Any]:
        """Restore all objects and return what the file holds; errors as in `load`."""
        if not self.path.is_file():
            raise FileNotFoundError(f"nothing to resume: {self.path} does not exist; start without --resume")
        state = read_checkpoint(self.path)
        for name, present in self.settings.items():
            stored = state["settings"].get(name)
            if stored != present:
                raise ValueError(
                    f"{self.path} was written with {name} = {stored!r}, this run has {present!r}; "
                    "resume with the same settings, or start a new run in another --output_dir"
                )
        for name, value in self.objects.items():
            if name not in state:
                raise ValueError(f"{self.path} has no {name!r}; it was written by another method or version")
            try:
                value.load_state_dict(state[name])
            except Exception as error:
                if isinstance(error, ValueError) and user_error(error) is not None:  # it belongs to other data
                    raise
                raise ValueError(
                    f"{self.path} does not fit this run: its {name!r} cannot be taken over ({type(error).__name__}); "
                    "resume with the config files and the version that wrote it, or start again in a new --output_dir"
                ) from None
        return state
