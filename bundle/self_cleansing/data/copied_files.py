# SPDX-License-Identifier: Apache-2.0
"""What a new data set takes over from the one it is made of: files, links to images, dataset.json."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .json_file import read_json
from .msd import DATASET_JSON, PREDEFINED_PARTS
from .whole_file import whole_file

INFO = "Info.cfg"  # ACDC: beside the images of a patient


def place_below(path: str | os.PathLike[str], root: str | os.PathLike[str], case: str) -> Path:
    """Place of a file in a new data set: its path relative to `root`, or `<case>/<file name>` if it lies elsewhere."""
    absolute = Path(os.path.abspath(path))
    return absolute.relative_to(root) if absolute.is_relative_to(root) else Path(case) / absolute.name


def copy_file(source: str | os.PathLike[str], target: str | os.PathLike[str]) -> None:
    """Copy a file byte for byte, as a whole file."""
    with whole_file(target) as temporary:
        shutil.copyfile(source, temporary)


def link_image(image: Path, target: Path) -> None:
    """Link to an image, relatively, so that both folders can move together; Info.cfg beside it comes along."""
    target.parent.mkdir(parents=True, exist_ok=True)
    for source, link in _with_info(image, target):
        link.unlink(missing_ok=True)
        link.symlink_to(os.path.relpath(source.resolve(), link.parent.resolve()))


def copy_image(image: Path, target: Path) -> None:
    """Copy an image, a file or a folder; Info.cfg beside it comes along. One that is there already is left alone."""
    for source, copy in _with_info(image, target):
        if copy.exists():  # an image may serve two cases
            continue
        if source.is_dir():
            shutil.copytree(source, copy)
        else:
            copy_file(source, copy)


def _with_info(image: Path, target: Path) -> list[tuple[Path, Path]]:
    info = image.parent / INFO
    return [(image, target), *([(info, target.parent / INFO)] if info.exists() else [])]


def description_with_labels(root: str | os.PathLike[str], labels: Mapping[str, Path]) -> dict[str, Any]:
    """The dataset.json of `root`, reduced to some labels under new names.

    Args:
        root: the data set it is taken from.
        labels: absolute path of a label below root -> path of the new one relative to the new data set.

    Returns:
        The content, with the entries whose labels are in `labels`.
    """
    description = read_json(Path(root) / DATASET_JSON)
    for section in PREDEFINED_PARTS:
        if section in description:
            description[section] = [
                entry | {"label": f"./{labels[label].as_posix()}"}
                for entry in description[section] or []
                if isinstance(entry, dict)
                and entry.get("label")
                and (label := os.path.abspath(Path(root) / entry["label"])) in labels
            ]
    return description


def sha256(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
