# SPDX-License-Identifier: Apache-2.0
"""MONAI's NIfTI writer, but nobody ever sees half a file."""

from __future__ import annotations

import os
from typing import Any

from monai.data import NibabelWriter

from .whole_file import whole_file


class WholeNiftiWriter(NibabelWriter):
    """Write to a temporary name beside the file, then rename it; for `SaveImaged(writer=...)`."""

    def write(self, filename: str | os.PathLike[str], verbose: bool = False, **obj_kwargs: Any) -> None:
        with whole_file(filename) as temporary:
            super().write(temporary, verbose=verbose, **obj_kwargs)
