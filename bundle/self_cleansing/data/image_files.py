# SPDX-License-Identifier: Apache-2.0
"""The images that a folder offers for inference."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import nibabel as nib

from .nifti_header import check_nifti
from .read import read_file

EXTENSIONS = (".nii", ".nii.gz")
NOT_IMAGES = ("_gt", "_4d")  # ACDC: labels, and the whole cine


def image_files(path: str | os.PathLike[str]) -> list[dict[str, str]]:
    """List the NIfTI images of a folder, or name one file, and refuse by its header what cannot be segmented.

    Args:
        path: a folder, of which sub-folders, hidden files and files ending in _gt or _4d (before the extension) are
            left out; or one file, taken whatever its name.

    Returns:
        One {"image": absolute path} per file, sorted by name; never empty.

    Raises:
        FileNotFoundError: if `path` does not exist.
        ValueError: if the folder holds no image, or two that would get the same name of result; or one that is
            damaged, in colour, or no single volume.
    """
    root = Path(os.path.abspath(os.path.expanduser(path)))
    if root.is_file():
        check_header(root)
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
    for file in found.values():
        check_header(file)
    return [{"image": str(file)} for file in found.values()]


def check_header(file: Path) -> None:
    """Raise ValueError unless the header promises one gray volume or slice.

    A file that is no NIfTI by name is read once by MONAI's readers, to hear now what they have to say.
    """
    if _stem(file.name) is None:
        read_file(file)
        return
    try:
        image = cast(nib.Nifti1Image, nib.load(file))
        shape = image.header.get_data_shape()
    except Exception as error:  # nibabel raises what it likes
        raise ValueError(
            f"{file} cannot be read: it is damaged or no NIfTI ({' '.join(str(error).split())[:120]}); "
            "copy it again from its source or take it out of the folder"
        ) from error
    check_nifti(file)
    if len(shape) < 2 or any(size > 1 for size in shape[3:]):
        raise ValueError(
            f"{file} has shape {'x'.join(map(str, shape))}, one volume (3-D) or slice (2-D) is needed; "
            "split a series of volumes into one file each"
        )


def _stem(name: str) -> str | None:
    """File name without the extension of NIfTI, or None."""
    lower = name.lower()
    extension = next((one for one in reversed(EXTENSIONS) if lower.endswith(one)), None)
    return None if extension is None else name[: -len(extension)]
