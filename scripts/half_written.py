# SPDX-License-Identifier: Apache-2.0
"""Find files that bear their final name and are not whole: what a killed process must never leave."""

from __future__ import annotations

import json
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bundle.self_cleansing import slice_cache  # noqa: E402
from bundle.self_cleansing.leftovers import PARTIAL  # noqa: E402


def final_files(folder: Path) -> Iterator[Path]:
    """Files below `folder`, sorted, without those that are being written; links count as files and are not followed."""
    for path in sorted(folder.rglob("*")):
        is_partial = any(PARTIAL in part for part in path.relative_to(folder).parts)
        if not is_partial and (path.is_symlink() or path.is_file()):
            yield path


def half_written(folder: Path) -> dict[str, str]:
    """What is wrong with each file below `folder` that is not whole, by relative path; {} if all are.

    Kinds that nothing is known of (logs, TensorBoard's events, which are appended to) count as whole.
    """
    found = {}
    for path in final_files(folder):
        check = next((check for end, check in CHECKS.items() if path.name.endswith(end)), None)
        if check is not None and path.exists():  # a link may point to what is not there
            try:
                check(path)
            except Exception as error:  # whatever a reader says of half a file
                found[str(path.relative_to(folder))] = f"{type(error).__name__}: {error}"
    return found


def _cached_slices(path: Path) -> None:
    slice_cache.load(path.parent)  # compares the checksums of all arrays


def _json(path: Path) -> None:
    json.loads(path.read_text(encoding="utf-8"))


def _ends_with(end: bytes) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        if not path.read_bytes().endswith(end):
            raise ValueError(f"it does not end with {end!r}")

    return check


def _torch(path: Path) -> None:
    torch.load(path, map_location="cpu", weights_only=True)


def _nifti(path: Path) -> None:
    np.asarray(nib.load(path).dataobj)  # type: ignore[attr-defined]


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        if (bad := archive.testzip()) is not None:
            raise ValueError(f"{bad} in it is damaged")


def _numpy(path: Path) -> None:
    with open(path, "rb") as file:  # of a damaged one NumPy would leave its own open
        loaded = np.load(file, allow_pickle=False)
        if isinstance(loaded, np.lib.npyio.NpzFile):
            with loaded:
                for name in loaded.files:
                    loaded[name]


def _picture(path: Path) -> None:
    with Image.open(path) as picture:
        picture.load()


CHECKS = {  # by how a name ends; the first that fits
    slice_cache.DESCRIPTION: _cached_slices,
    ".json": _json,
    ".csv": _ends_with(b"\n"),
    ".html": _ends_with(b"</html>\n"),
    ".pt": _torch,
    ".nii.gz": _nifti,
    ".nii": _nifti,
    ".zip": _zip,
    ".npy": _numpy,
    ".npz": _numpy,
    ".png": _picture,
}
