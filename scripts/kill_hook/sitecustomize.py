# SPDX-License-Identifier: Apache-2.0
"""Count the moments at which a process changes files, and let it kill itself at a chosen one.

Python runs this file at its start if its folder is in PYTHONPATH, in child processes as well. A program under test is
run as it is; only the calls below are wrapped. What it does is said by environment variables:
    KILL_BELOW    only calls on paths below this folder count
    KILL_PLACE    at which of PLACES ...
    KILL_NUMBER   ... and which call of it, from 1, the process sends itself SIGKILL; it makes the file KILL_FIRED first
    KILL_COUNTS   a folder: at a regular end, <pid>.json there says how often the process came to each place
"""

from __future__ import annotations

import atexit
import builtins
import io
import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

PLACES = (
    "after open for writing",  # the file is there, and empty
    "before rename",
    "after rename",
    "after mkdir",
    "amid torch.save",  # the first half of the file is written
    "amid cleansing update",  # some labels of the bank are written, others not
)
BELOW = os.path.abspath(os.environ.get("KILL_BELOW", os.sep))
PLACE, NUMBER = os.environ.get("KILL_PLACE"), int(os.environ.get("KILL_NUMBER", 0))
COUNTS = os.environ.get("KILL_COUNTS")
come_to: Counter[str] = Counter()


def is_below(path: Any) -> bool:
    return isinstance(path, str | os.PathLike) and os.path.abspath(os.fspath(path)).startswith(BELOW + os.sep)


def at(place: str) -> bool:
    """Count a place; return whether this is where to die."""
    come_to[place] += 1
    return place == PLACE and come_to[place] == NUMBER


def die() -> None:
    os.close(os.open(os.environ["KILL_FIRED"], os.O_CREAT | os.O_WRONLY))
    os.kill(os.getpid(), signal.SIGKILL)


def wrapped_open(real: Callable[..., Any]) -> Callable[..., Any]:
    def opened(file: Any, mode: str = "r", *rest: Any, **named: Any) -> Any:
        stream = real(file, mode, *rest, **named)
        if set(mode) & set("wax+") and is_below(file) and at("after open for writing"):
            die()
        return stream

    return opened


def wrapped_rename(real: Callable[..., None]) -> Callable[..., None]:
    def rename(source: Any, target: Any, **named: Any) -> None:
        counts = is_below(target)
        if counts and at("before rename"):
            die()
        real(source, target, **named)
        if counts and at("after rename"):
            die()

    return rename


def wrapped_mkdir(real: Callable[..., None]) -> Callable[..., None]:
    def mkdir(path: Any, *rest: Any, **named: Any) -> None:
        real(path, *rest, **named)
        if is_below(path) and at("after mkdir"):
            die()

    return mkdir


def wrapped_save(real: Callable[..., None]) -> Callable[..., None]:
    def save(content: Any, file: Any, *rest: Any, **named: Any) -> None:
        path = getattr(file, "name", file)
        if is_below(path) and at("amid torch.save"):
            whole = io.BytesIO()
            real(content, whole, *rest, **named)
            with open(path, "wb") as half:
                half.write(whole.getvalue()[: whole.tell() // 2])
            die()
        real(content, file, *rest, **named)

    return save


def wrapped_write(real: Callable[..., None]) -> Callable[..., None]:
    def write(*arguments: Any, **named: Any) -> None:
        real(*arguments, **named)
        if at("amid cleansing update"):
            die()

    return write


def install() -> None:
    """Wrap the calls. torch and the bundle are loaded only where they are to be watched: that takes seconds."""
    builtins.open = io.open = wrapped_open(io.open)
    os.replace, os.rename = wrapped_rename(os.replace), wrapped_rename(os.rename)
    os.mkdir = wrapped_mkdir(os.mkdir)
    if COUNTS or PLACE == "amid torch.save":
        import torch

        torch.save = wrapped_save(torch.save)
    if COUNTS or PLACE == "amid cleansing update":
        from bundle.self_cleansing.label_bank import LabelBank

        LabelBank.write = wrapped_write(LabelBank.write)
    if COUNTS:
        atexit.register(write_counts)


def write_counts() -> None:
    with open(os.path.join(str(COUNTS), f"{os.getpid()}.json"), "w", encoding="utf-8") as file:
        json.dump(come_to, file)


if COUNTS or PLACE:
    install()
