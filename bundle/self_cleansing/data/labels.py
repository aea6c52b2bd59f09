# SPDX-License-Identifier: Apache-2.0
"""Labels of every layout become binary channels, one per foreground class.

Accepted: an integer map (background 0), or one binary mask per class in a channel axis, which is how noisy labels are
stored because dilated organs overlap. The rules for masks saved as pictures:

* With ONE declared class, 255 means that class as well as its number does: {0, 255} is a mask.
* JPEG blurs values, so it can only hold a mask of ONE class: foreground is above 127.
* A colour picture whose channels are equal is read as the gray picture it is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import numpy as np

from .checks import check_shape
from .read import read_file

Labels = Mapping[int, str] | Mapping[str, str] | Sequence[str]  # how a user may declare foreground classes
JPEG_EXTENSIONS = (".jpg", ".jpeg")
PICTURE_EXTENSIONS = (*JPEG_EXTENSIONS, ".png", ".bmp", ".tif", ".tiff")


def class_names(label_names: Labels) -> dict[int, str]:
    """Bring declared foreground classes into one form.

    Args:
        label_names: label value -> name (values may be text, as in JSON and YAML), or a sequence of K names for the
            values 1..K. A value 0 (background) is dropped.

    Returns:
        int label value -> name, ascending: the order of the channels everywhere.

    Raises:
        ValueError: if no foreground class is left, a label value is not a positive whole number, or two classes have
            one value or one name.
    """
    if not isinstance(label_names, Mapping):
        if isinstance(label_names, str):
            raise ValueError(f"label_names must be a mapping or a list of names, got the text {label_names!r}")
        label_names = dict(enumerate(label_names, start=1))
    names: dict[int, str] = {}
    for value, name in label_names.items():
        if not str(value).isdecimal():
            raise ValueError(f"a label value must be a whole number >= 0, got {value!r} for class {name!r}")
        if int(value) in names:
            raise ValueError(f"label value {int(value)} is declared twice, as {names[int(value)]} and {name}; keep one")
        names[int(value)] = str(name)
    names.pop(0, None)
    for name in names.values():
        if list(names.values()).count(name) > 1:
            raise ValueError(f"two classes are called {name}; give each its own name")
    if not names:
        raise ValueError('no foreground class is declared; declare at least one, for example {"1": "liver"}')
    return dict(sorted(names.items()))


def read_label(path: str | os.PathLike, label_names: Labels) -> np.ndarray:
    """Read a label file into binary channels.

    Args:
        path: an integer map (H, W[, D]); or class masks with the class axis last, a NIfTI (H, W, D, K) or a
            picture (H, W, K).
        label_names: see `class_names`.

    Returns:
        uint8 (K, H, W, D) of 0 and 1; D = 1 for a 2-D file. Axes in MONAI's order: see `read_file`.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if it cannot be read or breaks a rule of `label_to_channels`.
    """
    label = read_file(path)
    channels = label_to_channels(label.numpy(), label_names, path, has_channel_axis=has_channel_axis(label.meta))
    return channels[..., None] if channels.ndim == 3 else channels


def has_channel_axis(meta: Mapping) -> bool:
    """Whether the file itself had a channel axis, from the metadata that MONAI's reader left.

    Args:
        meta: `MetaTensor.meta`; without "original_channel_dim" the answer is True, and the channel count decides.

    Returns:
        False for a plain map or gray picture, True for class masks or colour.
    """
    channel_dim = meta.get("original_channel_dim", 0)
    return channel_dim != "no_channel" and not np.isnan(float(channel_dim))


def label_to_channels(
    label: np.ndarray, label_names: Labels, path: str | os.PathLike, has_channel_axis: bool = True
) -> np.ndarray:
    """Turn a label of any accepted layout into one binary channel per foreground class.

    Args:
        label: (1, ...) an integer map, (K, ...) class masks of 0 and 1 (or 255), or (3 or 4, ...) a gray picture saved
            in colour; any numeric dtype.
        label_names: see `class_names`; K of them.
        path: names the file in errors; its extension tells a picture.
        has_channel_axis: False if the file had no channel axis, so that its one channel is a map for certain. It
            matters only for K = 1 with a class number other than 1.

    Returns:
        uint8 (K, ...) of 0 and 1. A label without foreground gives all zeros.

    Raises:
        ValueError: if it is no picture or volume, or has no pixels; if the number of channels fits neither layout, or a
            value is outside the declared classes.
    """
    names = class_names(label_names)
    check_shape("label", label.shape, path)
    label = without_colour(label, path)
    if is_class_masks(label, names, has_channel_axis):
        return _masks(label, names, path)
    if len(label) != 1:
        raise ValueError(
            f"label {path} has {len(label)} channels, but {len(names)} classes are declared ({_listed(names)}); "
            "a label must be one integer map, or one binary mask per declared class"
        )
    return _map_to_masks(label[0], names, path)


def without_colour(label: np.ndarray, path: str | os.PathLike) -> np.ndarray:
    """Take one channel of a gray picture saved in colour.

    Args:
        label: (C, ...) as read.
        path: tells a picture by its extension.

    Returns:
        (1, ...) if the file is a picture of red, green, blue (and alpha) whose colours are equal, else the input.
    """
    if is_picture(path) and len(label) in (3, 4) and (label[:3] == label[0]).all():
        return label[:1]
    return label


def is_class_masks(label: np.ndarray, names: Mapping[int, str], has_channel_axis: bool = True) -> bool:
    """Whether (C, ...), a label `without_colour`, is one mask per class of `names`, and no integer map."""
    return len(label) == len(names) and has_channel_axis and (len(label) > 1 or 1 not in names)


def label_map(masks: np.ndarray) -> np.ndarray:
    """Binary masks (K, ...) as the map that a viewer can show: 1..K, the first class where masks overlap; else 0."""
    return np.where(masks.any(axis=0), np.argmax(masks, axis=0) + 1, 0).astype(np.min_scalar_type(len(masks)))


def is_picture(path: str | os.PathLike) -> bool:
    """Whether a file is a picture (PNG, JPEG, BMP, TIFF) by its extension."""
    return os.fspath(path).lower().endswith(PICTURE_EXTENSIONS)


def _map_to_masks(label: np.ndarray, names: dict[int, str], path: str | os.PathLike) -> np.ndarray:
    if os.fspath(path).lower().endswith(JPEG_EXTENSIONS):
        label = _jpeg_mask(label, names, path)
    elif len(names) == 1 and np.isin(label, (0, 255)).all():
        label = np.where(label == 255, next(iter(names)), 0)
    outside = ~np.isin(label, [0, *names])
    if outside.any():
        raise ValueError(
            f"label {path} holds {_values(label[outside])}, outside the declared classes (0 background, "
            f'{_listed(names)}); declare them under "labels" in dataset.json, or set those pixels to 0 in the file'
        )
    return np.stack([label == value for value in names]).astype(np.uint8)


def _masks(label: np.ndarray, names: dict[int, str], path: str | os.PathLike) -> np.ndarray:
    masks = np.empty(label.shape, np.uint8)
    for mask, channel, name in zip(masks, label, names.values(), strict=True):
        mask[:] = channel != 0
        on = channel[mask > 0]
        if not ((on == 1).all() or (on == 255).all()):
            raise ValueError(
                f"label {path} holds {_values(on[on != 1])} in the mask of class {name}; "
                "a file with one mask per class may hold only 0 and 1 (or 0 and 255)"
            )
    return masks


def _jpeg_mask(label: np.ndarray, names: dict[int, str], path: str | os.PathLike) -> np.ndarray:
    if len(names) > 1:
        raise ValueError(
            f"label {path} is a JPEG, which blurs class numbers, but {len(names)} classes are declared "
            f"({_listed(names)}); save labels of several classes as PNG or NIfTI"
        )
    if 0 < label.max() <= 127:
        raise ValueError(
            f"label {path} is a JPEG whose largest value is {label.max():g}, but foreground of a JPEG mask is above "
            "127; save it with 0 and 255, or as PNG"
        )
    return np.where(label > 127, next(iter(names)), 0)


def _values(values: np.ndarray, most: int = 6) -> str:
    found = np.unique(values)
    shown = ", ".join(f"{value:g}" for value in found[:most])
    return f"the value{'s' if len(found) > 1 else ''} {shown}" + (", ..." if len(found) > most else "")


def _listed(names: dict[int, str]) -> str:
    return ", ".join(f"{value} {name}" for value, name in names.items())
