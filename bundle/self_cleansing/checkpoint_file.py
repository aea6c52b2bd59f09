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


def check_checkpoint_file(path: str | os.PathLike[str]) -> None:
    """Compare every byte of a file of torch.save with its checksums.

    Without it a flipped bit on a disk would be a wrong weight, and nothing would say so. Files in PyTorch's format
    before 1.6, which has no checksums, pass.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"weights {path} do not exist; check the path")
    with open(path, "rb") as file:
        if file.read(len(ZIP_START)) != ZIP_START:
            return
    try:
        with zipfile.ZipFile(path) as archive:
            bad = archive.testzip()
    except Exception as error:  # zipfile raises what it likes of a damaged header
        bad = f"its table of contents: {error}"
    if bad is not None:
        raise ValueError(f"{path} is damaged (checksum of {bad}); copy it again from its source, or train again")


def load_checkpoint_file(path: str | os.PathLike[str]) -> Any:
    """Load what torch.save wrote, on the CPU: tensors and plain values, no other objects.

    Raises:
        FileNotFoundError, ValueError: as `check_checkpoint_file`; also if it is no file of torch.save, or holds other
            objects.
    """
    check_checkpoint_file(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of what kind depends on where the file is damaged
        reason = " ".join(str(error).split())[:120]
        raise ValueError(
            f"{path} cannot be read as weights ({type(error).__name__}: {reason}); copy it again from its source, or "
            "train again"
        ) from error


def brief(error: ValueError) -> str:
    """What `load_checkpoint_file` objected to, in a few words."""
    return "its checksums are wrong" if error.__cause__ is None else type(error.__cause__).__name__


def save_checkpoint_file(content: Any, path: str | os.PathLike[str]) -> None:
    """Write `content` with torch.save, whole or not at all.

    Raises:
        WriteError: there is no room, or no leave to write there.
    """
    # To an open file: given a name, PyTorch writes by itself and does not say what the system objected to.
    with whole_file(path) as temporary, open(temporary, "wb") as file:
        torch.save(content, file)
