# SPDX-License-Identifier: Apache-2.0
"""What the header of a NIfTI file must promise before its voxels are worth reading."""

from __future__ import annotations

import gzip
import math
import os
import zlib
from typing import cast

import nibabel as nib
import numpy as np

MOST_COMPRESSED = 1032  # bytes that one byte of a gzip file can stand for, by its format
_BLOCK = 1 << 20


def check_nifti(path: str | os.PathLike[str]) -> None:
    """Refuse a NIfTI that would be read as something else than it is; any other file passes.

    Raises:
        ValueError: if the voxels are in colour or complex, the affine is not finite or two axes fall together, the file
            is too small for its shape, or the checksum of its gzip archive is wrong.
    """
    try:
        image = cast(nib.Nifti1Image, nib.load(path))
        kind, shape, affine = image.get_data_dtype(), image.shape, image.affine
    except Exception:  # no NIfTI, or damaged: the readers say so
        return
    if kind.names is not None:
        raise ValueError(
            f"{path} is in colour ({', '.join(kind.names)} per voxel); convert it to one gray value per voxel"
        )
    if kind.kind == "c":
        raise ValueError(f"{path} holds complex numbers ({kind}); convert it to one real value per voxel")
    if affine is not None and not (np.isfinite(affine).all() and abs(np.linalg.det(affine[:3, :3])) > 0):
        raise ValueError(f"{path} has no usable affine (two of its axes fall together, or it is not finite); repair it")
    packed = os.fspath(path).lower().endswith(".gz")
    promised, size = math.prod(map(int, shape)) * kind.itemsize, os.path.getsize(path)
    if promised > size * (MOST_COMPRESSED if packed else 1):
        raise _damaged(path, f"shape {'x'.join(map(str, shape))} of {kind} needs more than its {size} bytes")
    if packed:
        try:
            with gzip.open(path) as archive:  # nibabel stops before the checksum
                while archive.read(_BLOCK):
                    pass
        except (OSError, EOFError, zlib.error) as error:
            raise _damaged(path, str(error)) from error


def _damaged(path: str | os.PathLike[str], reason: str) -> ValueError:
    return ValueError(
        f"{path} cannot be read: the file is damaged, incomplete or not in the format of its extension ({reason}); "
        "copy it again from its source or take it out of the data set"
    )
