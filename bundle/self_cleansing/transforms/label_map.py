# SPDX-License-Identifier: Apache-2.0
"""Turn one logit per class and pixel into one class number per pixel."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import torch
from monai.transforms import MapTransform
from monai.utils import convert_to_dst_type
from torch import Tensor


def label_map(logits: Tensor) -> Tensor:
    """Name, per pixel, the class with the largest logit among those above 0 (probability above one half).

    Args:
        logits: float (K, ...), one binary problem per class, any range.

    Returns:
        uint8 (1, ...): 0 where no class is above one half, else class 1..K in channel order; the first of equals.

    Raises:
        ValueError: if there are more than 255 classes.
    """
    if len(logits) > 255:
        raise ValueError(f"a label map of 8 bits holds at most 255 classes, got {len(logits)} channels")
    highest = torch.zeros_like(logits[0])  # class after class: no second array of K volumes
    winner = torch.zeros(logits.shape[1:], dtype=torch.uint8, device=logits.device)
    for number, logit in enumerate(logits, 1):
        higher = logit > highest
        winner[higher] = number
        highest[higher] = logit[higher]
    return winner[None]


class LabelMapd(MapTransform):
    """Replace logits (K, ...) by the label map uint8 (1, ...) of `label_map`; metadata stay.

    Args:
        keys: the logits.
        allow_missing_keys: if True, a missing key is skipped.
    """

    def __call__(self, data: Mapping[Hashable, Tensor]) -> dict[Hashable, Tensor]:
        case = dict(data)
        for key in self.key_iterator(case):
            logits = torch.as_tensor(case[key]).as_subclass(Tensor)
            case[key] = convert_to_dst_type(label_map(logits), case[key], dtype=torch.uint8)[0]
        return case
