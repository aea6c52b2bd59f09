# SPDX-License-Identifier: Apache-2.0
"""The images that a folder offers for inference."""

from __future__ import annotations

import os
from pathlib import Path

EXTENSIONS = (".nii", ".nii.gz")
NOT_IMAGES = ("_gt", "_4d")  # ACDC: labels, and the whole cine


def image_files(path: str | os.PathLike[str]) -> list[dict[str, str]]:
    """List the NIfTI images of a folder, or name one file.

    Args:
        path: a folder, of which sub-folders, hidden files and files ending in _gt or _4d (before the extension) are
            left out; or one file, taken whatever its name.

    Returns:
        One {"image": absolute path} per file, sorted by name; never empty.

    Raises:
        FileNotFoundError: if `path` does not exist.
        ValueError: if the folder holds no image, or two that would get the same name of result.
    """
    root = Path(os.path.abspath(os.path.expanduser(path)))
    if root.is_file():
        return [{"image": str(root)}]
    if not root.is_dir():
        raise FileNotFoundError(f"{root} does not exist; pass --dataset_dir with a NIfTI file or a folder of them")
    found: dict[str, Path] = {}
    for file in sorted(root.iterdir()):
        stem = _stem(file.name)
        if stem is None or stem.endswith(NOT_IMAGES) or file.name.startswith(".") or not file.is_file():
            continue
        if stem in found:
            raise ValueError(f"{found[stem]} and {file} would get one name of result; rename one of the two")
        found[stem] = file
    if not found:
        raise ValueError(
            f"{root} holds no image (*.nii or *.nii.gz, names ending in _gt or _4d aside); "
            "pass --dataset_dir with a NIfTI file or the folder they lie in, sub-folders are not searched"
        )
    return [{"image": str(file)} for file in found.values()]


def _stem(name: str) -> str | None:
    """File name without the extension of NIfTI, or None."""
    lower = name.lower()
    extension = next((one for one in reversed(EXTENSIONS) if lower.endswith(one)), None)
    return None if extension is None else name[: -len(extension)]
