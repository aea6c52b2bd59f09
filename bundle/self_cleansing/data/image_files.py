# SPDX-License-Identifier: Apache-2.0
"""The images that a folder offers for inference."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast

import nibabel as nib
from PIL import Image

from .checks import check_image
from .labels import is_picture
from .nifti_header import check_nifti
from .read import read_file

EXTENSIONS = (".nii", ".nii.gz")
NOT_IMAGES = ("_gt", "_4d", "_seg")  # ACDC's labels and whole cines, and results of an earlier inference


def image_files(path: str | os.PathLike[str]) -> list[dict[str, str]]:
    """List the images of a folder, or name one file, and refuse what cannot be segmented.

    Of a folder the NIfTI files are taken, or, if it holds none, the pictures: pictures beside volumes are previews.

    Args:
        path: a folder, of which sub-folders, hidden files and files ending in _gt, _4d or _seg (before the extension)
            are left out; or one file, taken whatever its name.

    Returns:
        One {"image": absolute path} per file, sorted by name; never empty.

    Raises:
        FileNotFoundError: if `path` does not exist.
        ValueError: if the folder holds no image, or two that would get the same name of result; or one that is
            damaged, in colour, or no single volume.
    """
    root = Path(os.path.abspath(os.path.expanduser(path)))
    if root.is_file():
        check_file(root)
        return [{"image": str(root)}]
    if not root.is_dir():
        raise FileNotFoundError(f"{root} does not exist; pass --dataset_dir with an image or a folder of them")
    found: dict[str, Path] = {}
    visible = [file for file in sorted(root.iterdir()) if not file.name.startswith(".") and file.is_file()]
    images = [file for file in visible if not _stem(file.name).endswith(NOT_IMAGES)]
    for file in [file for file in images if _is_nifti(file.name)] or [file for file in images if is_picture(file)]:
        stem = _stem(file.name).casefold()  # one name on some disks
        if stem in found:
            raise ValueError(f"{found[stem]} and {file} would get one name of result; rename one of the two")
        found[stem] = file
    if not found:
        raise ValueError(
            f"{root} holds no image (*.nii or *.nii.gz, else *.png, *.jpg, *.bmp or *.tif; names ending in _gt, _4d "
            "or _seg aside); pass --dataset_dir with an image or the folder they lie in, sub-folders are not searched"
        )
    for file in found.values():
        check_file(file)
    return [{"image": str(file)} for file in found.values()]


def check_file(file: Path) -> None:
    """Raise ValueError unless a file is one gray volume, slice or picture; of NIfTI the header alone is read.

    A file that is no NIfTI by name is read once by MONAI's readers, to hear now what they have to say.
    """
    if not _is_nifti(file.name):
        if is_picture(file):
            _check_picture(file)
        check_image(read_file(file).numpy(), file, channels=1)
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


def _check_picture(file: Path) -> None:
    """Raise ValueError if MONAI would read numbers of a palette for gray values, or several frames for slices."""
    try:
        with Image.open(file) as picture:
            frames, palette = getattr(picture, "n_frames", 1), picture.getpalette()
    except Exception:  # what is wrong with it is said by the reader that training uses
        return
    if frames > 1:
        raise ValueError(f"{file} holds {frames} frames; save each as a picture of its own")
    if palette is not None and any(value != n // 3 for n, value in enumerate(palette)):  # not 0, 0, 0, 1, 1, 1, ...
        raise ValueError(f"{file} has a palette, whose numbers are no gray values; save it in gray")


def _is_nifti(name: str) -> bool:
    return name.lower().endswith(EXTENSIONS)


def _stem(name: str) -> str:
    """File name without its extension, that of NIfTI in its two parts."""
    lower = name.lower()
    extension = next((one for one in reversed(EXTENSIONS) if lower.endswith(one)), Path(name).suffix)
    return name[: len(name) - len(extension)]
