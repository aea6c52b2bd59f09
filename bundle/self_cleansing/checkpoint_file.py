# SPDX-License-Identifier: Apache-2.0
"""Weights and checkpoints as whole files: PyTorch's reader skips the checksums that its writer leaves."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path
from typing import Any

import torch

from .data.whole_file import whole_file

ZIP_START = b"PK\x03\x04"  # how PyTorch tells its formats apart


class UnreadableFile(ValueError):
    """A file that is no file of torch.save, or a damaged one; `reason` says in a few words why."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path} cannot be read as weights ({self.reason}); copy it again from its source, or train again"


def load_checkpoint_file(path: str | os.PathLike[str]) -> Any:
    """Load what torch.save wrote, on the CPU: tensors and plain values, no other objects.

    Every byte is compared with its checksum: without that a flipped bit on a disk would be a wrong weight, and nothing
    would say so. Files in PyTorch's format before 1.6 have no checksums.

    Raises:
        FileNotFoundError: if there is no such file.
        UnreadableFile: if it is damaged, no file of torch.save, or holds other objects.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights {path} do not exist; check the path")
    if reason := _damage(path):
        raise UnreadableFile(path, reason)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of what kind depends on where the file is damaged
        raise UnreadableFile(path, type(error).__name__) from error


def _damage(path: Path) -> str:
    """What its checksums say against a file, "" if nothing or if it has none."""
    with open(path, "rb") as file:
        if file.read(len(ZIP_START)) != ZIP_START:
            return ""
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except Exception:  # zipfile raises what it likes of a damaged header
        return "it is cut short, or its table of contents is damaged"
    return "" if bad is None else f"the checksum of its part {bad} is wrong"


def save_checkpoint_file(content: Any, path: str | os.PathLike[str]) -> None:
    """Write `content` with torch.save, whole or not at all.

    Raises:
        WriteError: there is no room, or no leave to write there.
    """
    # To an open file: given a name, PyTorch writes by itself and does not say what the system objected to.
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        torch.save(content, file)
