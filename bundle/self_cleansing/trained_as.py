# SPDX-License-Identifier: Apache-2.0
"""Is a model used as it was trained? At another scale, or with other intensities, it would run, and be wrong."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .data import read_json


def check_trained_as(checkpoint: str | os.PathLike[str], **settings: Any) -> None:
    """Refuse settings that differ from those in the record of the run that a model lies in.

    Args:
        checkpoint: the model; the record is `<run>/run.json` of `<run>/models/<model>`. Without one nothing is checked.
        settings: to compare with those of the record that have the same name; of mappings, the keys that both have.

    Raises:
        ValueError: names the first setting that differs, both values, and the remedy; or the record is damaged.
    """
    record = Path(os.path.abspath(checkpoint)).parent.parent / "run.json"
    if not record.is_file():
        return
    trained = read_json(record).get("settings")
    if not isinstance(trained, Mapping):
        raise ValueError(f"{record} holds no settings of a training; restore it, or move the model elsewhere")
    present = json.loads(json.dumps(settings))  # as the record has it: lists for tuples
    if difference := _difference(trained, present):
        name, then, now = difference
        raise ValueError(
            f"{checkpoint} was trained with {name} = {then!r} ({record}), this has {now!r}; add the config files and "
            "options of the training"
        )


def _difference(one: Any, other: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """The first value that differs: its name, and both values."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        inner = (_difference(one[key], other[key], f"{name}.{key}".strip(".")) for key in other if key in one)
        return next(filter(None, inner), None)
    return None if one == other else (name, one, other)
