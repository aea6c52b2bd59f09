# SPDX-License-Identifier: Apache-2.0
"""Call a loaded image by its case, so that results and messages show nothing of its folder."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ImageMetaKey


class NameCased(MapTransform):
    """Put the case's name where MONAI keeps the file name: SaveImaged then writes <case>_seg.nii.gz.

    Args:
        keys: MetaTensors; the values stay.
        case_key: holds the name.
        allow_missing_keys: if True, a missing key is skipped.

    Raises:
        KeyError: at call, if the case has no name.
    """

    def __init__(self, keys: KeysCollection, case_key: str = "case", allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.case_key = case_key

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        case = dict(data)
        for key in self.key_iterator(case):
            image = case[key][...]  # a new view: the input keeps its own name
            if isinstance(image, MetaTensor):
                image.meta[ImageMetaKey.FILENAME_OR_OBJ] = str(case[self.case_key])
            case[key] = image
        return case
