# SPDX-License-Identifier: Apache-2.0
"""One folder, one run: refuse a folder that is taken, take it, and record what the run is."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from monai.transforms import Transform

from . import DISTRIBUTION, __version__
from .data.json_file import read_json, write_json
from .distributed import from_first, is_first
from .folder_lock import keep_folder
from .inferers.mixed_precision import arithmetic
from .leftovers import remove_leftovers

logger = logging.getLogger(__name__)

CHECKPOINT = "models/checkpoint.pt"
RECORDED_PACKAGES = ("monai", "torch", "pytorch-ignite", "numpy", "scikit-learn", "scipy")


def claim_output_dir(output_dir: str | os.PathLike[str], resume: bool = False) -> None:
    """Refuse, before anything is written, to start in the folder of another run or to resume where there is none.

    A folder that does not exist, is empty, or holds other files is fine. Nothing is written or made here. Of several
    processes the first one looks and complains.

    Args:
        output_dir: of the run that is about to start.
        resume: whether it goes on where an earlier one stopped.

    Raises:
        ValueError: the folder holds a run (models/checkpoint.pt or history.csv) and `resume` is false.
        FileNotFoundError: `resume` is true and there is no checkpoint.
        NotADirectoryError: `output_dir` is a file.
    """
    from_first(lambda: _check_output_dir(Path(output_dir), resume))


def take_output_dir(output_dir: str | os.PathLike[str], resume: bool = False) -> None:
    """Take the folder of a run for this process until it ends, and clear it of what killed ones left half-written.

    The folder is made and holds a lock from now on. Of several processes the first one takes it for all.

    Args:
        output_dir, resume: as of `claim_output_dir`.

    Raises:
        ValueError: another process works there, or did meanwhile.
        WriteError: there is no room, or no leave to write there.
        FileNotFoundError, NotADirectoryError: as `claim_output_dir`.
    """
    from_first(lambda: _take_output_dir(Path(output_dir), resume))


def check_not_a_file(output_dir: str | os.PathLike[str]) -> None:
    """Raise NotADirectoryError if a file stands where the folder, or one above it, is to be."""
    folder = Path(os.path.abspath(output_dir))
    there = next(one for one in (folder, *folder.parents) if one.exists())
    if not there.is_dir():
        what = "is a file" if there == folder else f"cannot be made: {there} is a file"
        raise NotADirectoryError(f"output_dir {folder} {what}; give a folder with --output_dir")


def next_run_folder(parent: str | os.PathLike[str]) -> str:
    """Name a folder for a run that is given none: the first of <parent>/run_001, run_002, ... that does not exist.

    Nothing is made. Of several processes the first one looks, and all get its answer.
    """
    numbers = itertools.count(1)
    return from_first(
        lambda: next(str(folder) for number in numbers if not (folder := Path(parent) / f"run_{number:03d}").exists())
    )


def _check_output_dir(folder: Path, resume: bool) -> None:
    check_not_a_file(folder)
    if resume:
        if not (folder / CHECKPOINT).is_file():
            raise FileNotFoundError(
                f"nothing to resume: output_dir {folder} has no {CHECKPOINT}; "
                "name the folder of the run to continue, or start a new one without --resume"
            )
        return
    found = next((name for name in (CHECKPOINT, "history.csv") if (folder / name).exists()), None)
    if found is not None:
        # A run that was killed in its first epoch, or one of which only the outcome was kept.
        remedy = "continue it with --resume true" if found == CHECKPOINT else "it has no checkpoint: remove it"
        raise ValueError(
            f"output_dir {folder} already holds another run ({found}); {remedy}, or give another --output_dir"
        )


def _take_output_dir(folder: Path, resume: bool) -> None:
    keep_folder(folder)
    _check_output_dir(folder, resume)  # once more: another process may have been there since
    remove_leftovers(folder)


def write_run_record(path: str | os.PathLike[str], device: Any = "cpu", **settings: Any) -> None:
    """Write what a run is made of: its settings, the versions of the packages, the device, and what it computes in.

    There is no time in it, nor anything else that differs between two starts of one command: the record of a resumed
    or repeated run is byte for byte that of the first, which is how one sees that they are the same run. (When it
    started is in the log, and in the times of the files.) A record that is there already and differs is replaced, and
    a warning names what differs. Of several processes the first one writes.

    Args:
        path: the JSON file.
        device: torch.device or its name.
        settings: numbers, text, booleans, None, or lists and mappings of these. Of a `precision` among them the record
            says as well what it comes to on this machine (`arithmetic`).

    Raises:
        TypeError: if a setting is anything else; it is named.
    """
    if not is_first():
        return
    record: dict[str, Any] = {
        "settings": {name: _plain(value, name) for name, value in sorted(settings.items())},
        "versions": {DISTRIBUTION: __version__} | {name: _version(name) for name in RECORDED_PACKAGES},
        "device": _device_name(torch.device(device)),
    }
    if "precision" in settings:
        record["arithmetic"] = arithmetic(settings["precision"], torch.device(device))
    if Path(path).is_file():
        found = read_json(path)
        parts = {part: found.get(part) for part in ("settings", "versions")}
        earlier = {part: known if isinstance(known, dict) else {} for part, known in parts.items()}
        differing = sorted(
            name
            for part in earlier
            for name in {**record[part], **earlier[part]}
            if record[part].get(name) != earlier[part].get(name)
        )
        differing += [name for name in ("device", "arithmetic") if record.get(name) != found.get(name)]
        if differing:
            logger.warning("%s is replaced; it differs from the earlier record in %s", path, ", ".join(differing))
    write_json(path, record)


def described(component: Any) -> dict[str, Any]:
    """A transform's class and settings as plain values, for the record of a run.

    Args:
        component: a MONAI transform; of others only the class is named.

    Returns:
        {"class": name, setting: value, ...}, transforms inside it described likewise. Private attributes are left out.
    """
    found: dict[str, Any] = {"class": type(component).__name__}
    for name, value in sorted(vars(component).items() if isinstance(component, Transform) else ()):
        if name.startswith("_"):
            continue
        if isinstance(value, Transform):
            found[name] = described(value)
        else:
            is_plain = value is None or isinstance(value, bool | int | float | str | list | tuple)
            found[name] = value if is_plain else str(value)
    return found


def _plain(value: Any, name: str) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike | torch.device):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, f"{name}.{key}") for key, inner in value.items()}
    if isinstance(value, Sequence):
        return [_plain(inner, f"{name}[{position}]") for position, inner in enumerate(value)]
    raise TypeError(f"setting {name} must be a plain value to be recorded, got a {type(value).__name__}; give its name")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:  # it is installed under another name, as monai-weekly
        return None


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
