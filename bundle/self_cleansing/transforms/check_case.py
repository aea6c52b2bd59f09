# SPDX-License-Identifier: Apache-2.0
"""Check a case, and bring image and label into one shape, right after LoadImaged and EnsureChannelFirstd."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping
from typing import cast

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import convert_to_dst_type

from ..data.checks import check_image, check_same_grid, check_shape
from ..data.labels import Labels, class_names, has_channel_axis, label_to_channels
from ..data.nifti_header import check_nifti


class CheckCased(MapTransform):
    """Refuse a case that cannot be trained on; the data pass unchanged.

    The files must keep the rules of `check_nifti`. The image must have the channels that the network takes, be finite
    and not constant, and the label must have the image's spatial shape and affine; a plain tensor (no metadata) is
    spared the affine.

    Args:
        image_key: MetaTensor (C, H, W) or (C, H, W, D), float.
        label_key: MetaTensor (C, H, W) or (C, H, W, D), any layout that `LabelToChannelsd` takes.
        channels: C of the image; None: any.
        allow_missing_keys: if True, a case without label is checked for its image alone (inference).
        reference_key: the clean label, which is checked like the label if a case has one.

    Raises:
        ValueError: at call, if the case breaks a rule; the file and the value are named.
        KeyError: at call, if a key is missing and allow_missing_keys is False.
    """

    def __init__(
        self,
        image_key: str = "image",
        label_key: str = "label",
        channels: int | None = 1,
        allow_missing_keys: bool = False,
        reference_key: str = "clean_label",
    ) -> None:
        super().__init__([image_key, label_key], allow_missing_keys)
        self.reference_key = reference_key
        self.image_key = image_key
        self.label_key = label_key
        self.channels = channels

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        case = dict(data)
        present = list(self.key_iterator(case))
        if self.reference_key in case:
            present.append(self.reference_key)
        for key in present:
            if os.path.isfile(file := _file_name(case, key)):
                check_nifti(file)
        if self.image_key in present:
            check_image(_numpy(case[self.image_key]), _file_name(case, self.image_key), self.channels)
        if self.image_key in present:
            for key in present:
                if key != self.image_key:
                    self._check_label(case, key)
        return case

    def _check_label(self, case: Mapping[Hashable, torch.Tensor], key: str) -> None:
        image, label = case[self.image_key], case[key]
        check_shape("label", label.shape, _file_name(case, key))
        check_same_grid(
            image.shape[1:],
            label.shape[1:],
            _file_name(case, self.image_key),
            _file_name(case, key),
            image.affine.numpy() if isinstance(image, MetaTensor) else None,
            label.affine.numpy() if isinstance(label, MetaTensor) else None,
        )


class LabelToChannelsd(MapTransform):
    """Turn labels of any accepted layout into one binary channel per foreground class.

    (1, ...) integer map or (K, ...) class masks -> uint8 (K, ...) of 0 and 1, a MetaTensor with the metadata and the
    applied operations of the input, so that later transforms invert as before. The rules are those of
    `self_cleansing.data.labels`. A label that already has this form passes unchanged.

    Args:
        keys: the labels.
        label_names: label value -> name of the K foreground classes, or a list of names for 1..K.
        allow_missing_keys: if True, a missing key is skipped.

    Raises:
        ValueError: at construction for malformed label_names; at call for values outside the declared classes.
    """

    def __init__(self, keys: KeysCollection, label_names: Labels, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.label_names = class_names(label_names)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        case = dict(data)
        for key in self.key_iterator(case):
            label = case[key]
            channel_axis = has_channel_axis(label.meta) if isinstance(label, MetaTensor) else True
            channels = label_to_channels(_numpy(label), self.label_names, _file_name(case, key), channel_axis)
            case[key] = convert_to_dst_type(channels, label, dtype=torch.uint8)[0]
        return case


class EnsureVolumed(MapTransform, InvertibleTransform):
    """Make a 2-D image a volume of one slice: (C, H, W) -> (C, H, W, 1). Volumes pass unchanged. Invertible.

    Args:
        keys: tensors (C, H, W) or (C, H, W, D), any dtype.
        allow_missing_keys: if True, a missing key is skipped.
    """

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        case = dict(data)
        for key in self.key_iterator(case):
            tensor = case[key]
            is_2d = tensor.ndim == 3
            volume = tensor[..., None] if is_2d else tensor[...]  # a new view, so that the input keeps its own record
            if isinstance(volume, MetaTensor):
                volume.spatial_ndim = 3  # it was clamped to 2, and Resize's inverse would drop the slice axis
                self.push_transform(volume, orig_size=tuple(tensor.shape[1:]), extra_info={"is_2d": is_2d})
            case[key] = volume
        return case

    def inverse(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        case = dict(data)
        for key in self.key_iterator(case):
            applied = self.pop_transform(case[key])
            if applied["extra_info"]["is_2d"]:
                picture = cast(MetaTensor, case[key][..., 0])  # what a transform was traced on
                picture.spatial_ndim = 2
                case[key] = picture
        return case


def _numpy(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _file_name(case: Mapping[Hashable, torch.Tensor], key: str) -> str:
    tensor = case[key]
    name = tensor.meta.get("filename_or_obj") if isinstance(tensor, MetaTensor) else None
    return str(name) if name else f"<{key} in memory>"
