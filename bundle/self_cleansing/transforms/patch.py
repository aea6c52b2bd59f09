# SPDX-License-Identifier: Apache-2.0
"""Cut an in-plane patch of fixed size around the labelled structure, in a way that can be undone."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import Crop, InvertibleTransform, MapTransform, SpatialPad
from torch import Tensor

logger = logging.getLogger(__name__)


def label_center(label: Tensor) -> tuple[int, int]:
    """Return the in-plane centre (row, column) of the box of all labelled pixels of a volume, in pixels.

    Args:
        label: (K, H, W, D), foreground where non-zero. If nothing is labelled, the centre of the image is returned.
    """
    plane = (label != 0).any(dim=0).any(dim=-1)
    if not plane.any():
        return plane.shape[0] // 2, plane.shape[1] // 2
    rows, columns = (torch.nonzero(plane.any(dim=1 - axis)).flatten() for axis in (0, 1))
    return int(rows[0] + rows[-1] + 1) // 2, int(columns[0] + columns[-1] + 1) // 2


def patch_slices(center: Sequence[int], shape: Sequence[int], patch_size: int) -> list[slice]:
    """Place a square patch around `center`, moved inwards where it would leave the image.

    Args:
        center: row and column, in pixels.
        shape: H and W of the image, both at least `patch_size` (pad before).
        patch_size: side of the patch in pixels.

    Returns:
        one slice for H and one for W.
    """
    starts = (min(max(c - patch_size // 2, 0), n - patch_size) for c, n in zip(center, shape, strict=True))
    return [slice(start, start + patch_size) for start in starts]


class LabelPatchd(MapTransform, InvertibleTransform):
    """Cut a square in-plane patch centred on the box of a volume's labels.

    An image smaller than the patch is padded with zeros at its end, which is logged; all slices are kept. The inverse
    pastes the patch into zeros of the original size.

    Args:
        keys: images and labels (C, H, W, D) to cut alike.
        label_key: whose box gives the centre.
        patch_size: side in pixels.
        allow_missing_keys: skip keys that a case lacks.
    """

    backend = Crop.backend

    def __init__(self, keys: KeysCollection, label_key: str, patch_size: int, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.label_key = label_key
        self.patch_size = patch_size
        self.pad = SpatialPad(spatial_size=(patch_size, patch_size, -1), method="end")
        self.crop = Crop()

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        d = dict(data)
        label = d[self.label_key]
        center = label_center(label)
        if min(label.shape[1:3]) < self.patch_size:
            name = getattr(label, "meta", {}).get("filename_or_obj", "an image")
            size = " x ".join(str(side) for side in label.shape[1:3])
            logger.info(f"{name}: {size} px is smaller than the patch of {self.patch_size} px, padded with zeros")
        for key in self.key_iterator(d):
            padded = self.pad(d[key])
            plane = patch_slices(center, padded.shape[1:3], self.patch_size)
            d[key] = self.crop(padded, slices=(*plane, slice(0, padded.shape[3])))
        return d

    def inverse(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        d: dict[Hashable, Any] = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.pad.inverse(self.crop.inverse(d[key]))
        return d
