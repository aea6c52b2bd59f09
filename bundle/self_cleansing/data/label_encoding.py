# SPDX-License-Identifier: Apache-2.0
"""How a label file stores its classes, and masks stored the same way.

A file is an integer map, or one binary mask per class. In a mask, and in a map of one class, the inside is 1, the
number of the class, or 255.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .labels import JPEG_EXTENSIONS, has_channel_axis, is_class_masks, label_to_channels, without_colour
from .read import read_file


@dataclass(frozen=True)
class Encoding:
    """What a label file says of its own way to store classes.

    Attributes:
        is_map: an integer map; else one mask per class.
        inside: the value inside, of masks and of a map of one class; None for a map of several classes, and where the
            file is empty, so that nobody knows.
        channels: of the file, 1 without a channel axis; 3 or 4 also for a gray picture in colour.
    """

    is_map: bool
    inside: int | None
    channels: int


def read_encoded(path: str | os.PathLike[str], names: Mapping[int, str]) -> tuple[NDArray[np.uint8], Encoding]:
    """Read a label as `read_label` does, and how it is stored.

    Args:
        path: the file.
        names: the K classes in ascending order, as `class_names` gives them.

    Returns:
        uint8 (K, H, W, D) of 0 and 1, and its encoding. A JPEG mask has the inside 255, whatever its blur.

    Raises:
        FileNotFoundError, ValueError: as `read_label`.
    """
    label = read_file(path)
    has_axis = has_channel_axis(label.meta)
    masks = label_to_channels(label.numpy(), names, path, has_axis)
    values = without_colour(label.numpy(), path)
    is_map = not is_class_masks(values, names, has_axis)
    inside = None
    if not is_map or len(names) == 1:
        largest = 255 if os.fspath(path).lower().endswith(JPEG_EXTENSIONS) else int(values.max(initial=0))
        inside = largest or None
    return (masks[..., None] if masks.ndim == 3 else masks), Encoding(is_map, inside, len(label))


def encoded(masks: NDArray[np.uint8], names: Mapping[int, str], is_map: bool, inside: int | None) -> NDArray[Any]:
    """Store masks as a map or as masks.

    Args:
        masks: uint8 (K, ...) of 0 and 1; for a map no two of them overlap.
        names: the K classes.
        is_map: a map; else masks.
        inside: of masks, and of a map of one class; None: 1 in masks, the number of the class in a map.

    Returns:
        (...) of class numbers, or (..., K) of 0 and `inside`; the smallest unsigned type that holds all classes.
    """
    if not is_map:
        return np.moveaxis(masks, 0, -1) * np.uint8(inside or 1)
    numbers = [inside] if inside and len(names) == 1 else list(names)
    kind = np.min_scalar_type(max(numbers))
    values = np.array(numbers, kind).reshape(-1, *[1] * (masks.ndim - 1))
    return (masks * values).sum(axis=0, dtype=kind)
