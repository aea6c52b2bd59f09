# SPDX-License-Identifier: Apache-2.0
"""Read the folder of a DICOM series as one volume."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import itk
import numpy as np
from monai.data import ITKReader
from monai.utils import MetaKeys, SpaceKeys, ensure_tuple

from .identifiers import Place
from .quiet import quiet
from .series import Series, read_series


class DicomSeriesReader(ITKReader):
    """MONAI reader for the folder of one series: `LoadImaged("image", reader="...DicomSeriesReader")`.

    Values are slope * stored + intercept of each slice (Hounsfield units in CT), float32 (columns, rows, slices). The
    metadata hold geometry only, no DICOM tag: affine (RAS), spacing, spatial_shape, original_channel_dim.
    """

    def read(self, data: Sequence[str | os.PathLike] | str | os.PathLike, **kwargs: object) -> Path:
        """Return the folder; reading waits for `get_data`, whose errors LoadImage passes on as they are.

        Raises:
            ValueError: if several folders are given.
        """
        folders = ensure_tuple(data)
        if len(folders) != 1:
            raise ValueError(f"DicomSeriesReader reads one folder of a series at a time, got {len(folders)}")
        return Path(folders[0])

    def get_data(self, img: Path) -> tuple[np.ndarray, dict]:
        """Read the series in a folder.

        Raises:
            ValueError: if the folder breaks a rule of `find_series`, or pixel data cannot be decoded.
        """
        series = read_series(img)
        affine = series.affine
        meta = {
            MetaKeys.AFFINE: affine.copy(),
            MetaKeys.ORIGINAL_AFFINE: affine.copy(),
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.SPATIAL_SHAPE: np.asarray(series.shape),
            MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan"),
            "spacing": np.linalg.norm(affine[:3, :3], axis=0),
        }
        return series_values(series), meta


def series_values(series: Series) -> np.ndarray:
    """Decode a series.

    Returns:
        float32 (columns, rows, slices), slope * stored + intercept of each slice.

    Raises:
        ValueError: if a file cannot be decoded; it is named.
    """
    values = np.empty(series.shape, np.float32)
    for number, file in enumerate(series.files):
        try:
            values[..., number] = _decode(file).reshape(series.shape[:2])
        except (RuntimeError, ValueError):  # ITK's text quotes the path
            name = Place(series.folder.parent, series.identifiers)(file)
            raise ValueError(
                f"pixel data of file {name} cannot be decoded: the file is damaged; copy it again from its source"
            ) from None
    return values


def _decode(file: Path) -> np.ndarray:
    """One slice, float32. Each is rescaled by its own slope; ITK would give a series the number type of its first."""
    with quiet():  # loading ITK warns, and where warnings are errors that ends the process
        warn = itk.ProcessObject.GetGlobalWarningDisplay()
        itk.ProcessObject.SetGlobalWarningDisplay(False)
        try:
            return itk.array_from_image(itk.imread(str(file), pixel_type=itk.F)).T
        finally:
            itk.ProcessObject.SetGlobalWarningDisplay(warn)
