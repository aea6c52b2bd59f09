# SPDX-License-Identifier: Apache-2.0
"""Compare the results of two runs of one command bit by bit, but for what no two runs share, such as times."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from half_written import final_files
from torch import Tensor

# Files that hold times, costs, or one entry per attempt.
MAY_DIFFER = ("*tensorboard/*", "*log.txt", "*.log", "*steps.json", ".lock")
# Keys of a grid's cell.json that do.
COSTS = ("seconds", "cpu_seconds", "evaluation_seconds", "peak_memory_mb", "commit")


def differences(one: Path, other: Path) -> list[str]:
    """Relative paths of files that are in one folder alone or differ in what they hold; [] if none do.

    Checkpoints are compared value by value, gzip files by what they unpack to, links by where they point to, all else
    byte by byte. Files that are still being written and MAY_DIFFER are left out.
    """
    found = [{str(path.relative_to(folder)): path for path in final_files(folder)} for folder in (one, other)]
    names = [name for name in sorted(found[0] | found[1]) if not any(fnmatchcase(name, some) for some in MAY_DIFFER)]
    return [
        name
        for name in names
        if name not in found[0] or name not in found[1] or _content(found[0][name]) != _content(found[1][name])
    ]


def _content(path: Path) -> Any:
    """What makes a file this one, as something that can be compared."""
    if path.is_symlink():
        return os.readlink(path)
    if path.name.endswith(".pt"):
        return _plain(torch.load(path, map_location="cpu", weights_only=True))
    if path.name.endswith(".gz"):
        return gzip.decompress(path.read_bytes())
    if path.name == "cell.json":
        return {key: value for key, value in json.loads(path.read_text()).items() if key not in COSTS}
    return path.read_bytes()


def _plain(value: Any) -> Any:
    """Tensors as bytes: two that are equal may differ in type or sign of zero."""
    if isinstance(value, Tensor):
        return str(value.dtype), tuple(value.shape), value.contiguous().flatten().view(torch.uint8).numpy().tobytes()
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(inner) for inner in value]
    return repr(value) if isinstance(value, float) else value  # nan is not equal to itself
