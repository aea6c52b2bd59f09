# SPDX-License-Identifier: Apache-2.0
"""MONAI's NIfTI writer, but nobody ever sees half a file, and a single slice keeps its third axis."""

from __future__ import annotations

import os
from typing import Any

from monai.data import NibabelWriter

from .whole_file import whole_file


class WholeNiftiWriter(NibabelWriter):
    """Write to a temporary name beside the file, then rename it; for `SaveImaged(writer=...)`.

    The file has the spatial shape of the array: MONAI's own writer drops trailing axes of size one, and the result of a
    volume of one slice would have another shape than its image.
    """

    def set_data_array(
        self, data_array: Any, channel_dim: int | None = 0, squeeze_end_dims: bool = False, **kwargs: Any
    ) -> None:
        self.spatial_ndim = data_array.ndim - (channel_dim is not None)
        super().set_data_array(data_array, channel_dim, squeeze_end_dims=False)  # (H, W, D, channels)
        if self.data_obj.shape[-1] == 1:
            self.data_obj = self.data_obj[..., 0]

    def write(self, filename: str | os.PathLike[str], verbose: bool = False, **obj_kwargs: Any) -> None:
        if self.spatial_ndim == 2:  # until here it was a volume: a 2-D affine of a sagittal slice could not be inverted
            self.data_obj = self.data_obj[:, :, 0]
        with whole_file(filename) as temporary:
            super().write(temporary, verbose=verbose, **obj_kwargs)
