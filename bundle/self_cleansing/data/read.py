# SPDX-License-Identifier: Apache-2.0
"""Read one image or label file through MONAI's readers, the ones that training uses, and say clearly what fails."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import cast

from monai.data import MetaTensor
from monai.transforms import EnsureChannelFirst, LoadImage

from .nifti_header import check_nifti

READ_BY_ITK = (".tif", ".tiff", ".mha", ".mhd")  # no other reader of MONAI takes them


@cache
def _loader() -> LoadImage:
    with warnings.catch_warnings():  # MONAI warns that its GPU reader for DICOM is absent, which nobody asked for
        warnings.simplefilter("ignore")
        return LoadImage()


def read_file(path: str | os.PathLike) -> MetaTensor:
    """Read a file as `LoadImaged` followed by `EnsureChannelFirstd` would.

    Args:
        path: NIfTI, PNG, JPEG or whatever else MONAI reads.

    Returns:
        float32 MetaTensor (C, H, W) or (C, H, W, D). The first spatial axis is x, also for PNG and JPEG
        (MONAI swaps their rows and columns). A 4-D NIfTI (H, W, D, K) gives C = K, also for K = 1.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it cannot be read (truncated, empty, another format than its extension says), or breaks a rule
            of `check_nifti`.
    """
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path} does not exist; restore the file or take it out of the data set")
    check_nifti(path)
    try:
        return cast(MetaTensor, EnsureChannelFirst()(_loader()(path)))
    except MemoryError:
        raise
    except Exception as error:  # readers raise what they like: EOFError, OSError, ImageFileError, RuntimeError ...
        if path.lower().endswith(READ_BY_ITK) and find_spec("itk") is None:
            raise ValueError(f"{path} needs itk, which is not installed: pip install itk, or convert it") from error
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise ValueError(
            f"{path} cannot be read: the file is damaged, incomplete or not in the format of its extension ({reason}); "
            "copy it again from its source or take it out of the data set"
        ) from error


def clear_error(exception: Exception, item: Mapping[str, object] | None = None) -> Exception:
    """Find, in what a MONAI pipeline raised while it loaded a case, the sentence meant for the user.

    MONAI wraps every error in "applying transform ...". If a file of the case cannot be read, that is the error:
    readers seldom name the file, so the files are read once more here. Else it is the first below MONAI's wrappers.

    Args:
        exception: what the pipeline raised.
        item: the case that was being loaded; its "image", "label" and "clean_label" are tried. None: none is.

    Returns:
        The exception to raise instead (`raise clear_error(error, item) from error`): a ValueError or FileNotFoundError
        with one sentence; or, for a bug in a transform or a lack of memory, that error with its own type and traceback.
    """
    root = exception
    while str(root).startswith("applying transform") and isinstance(root.__cause__, Exception):
        root = root.__cause__
    read = check_nifti if isinstance(root, MemoryError) else read_file  # a header may ask for more than there is
    for path in ((item or {}).get(key) for key in ("image", "label", "clean_label")):
        try:
            if isinstance(path, str | os.PathLike):
                read(path)
        except (ValueError, FileNotFoundError) as unreadable:
            return unreadable
    return root
