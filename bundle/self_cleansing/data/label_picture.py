# SPDX-License-Identifier: Apache-2.0
"""A label as a PNG picture in the mode of the given one: gray of 1, 8 or 16 bits, palette or colour."""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .label_encoding import Encoding, encoded
from .labels import label_to_channels

PNG = ".png"
_DEEP = ("I", "I;16", "I;16B")  # how Pillow calls gray of 16 bits


def label_picture(
    masks: NDArray[np.uint8], names: Mapping[int, str], encoding: Encoding, given: str | os.PathLike[str]
) -> Image.Image | None:
    """Make a picture that is read as these masks.

    MONAI swaps rows and columns of pictures, so the first axis of a mask becomes the columns. If the given label is a
    PNG, its mode, palette and alpha channel are kept; of any other format the picture is gray, or has one mask per
    class in its colours.

    Args:
        masks: uint8 (K, H, W, D) of 0 and 1.
        names: the K classes.
        encoding: of the given label; its `inside` is written.
        given: the label, a picture of the same size.

    Returns:
        The picture; None where none holds the masks: D > 1, overlapping classes of a map, or one mask per class of
        which the first three are equal, which would be read as a gray picture.
    """
    if masks.shape[-1] != 1:
        return None
    plane = masks[..., 0]
    layouts = [encoding.is_map]
    if encoding.is_map and encoding.channels == len(names) > 1:
        layouts.append(False)  # colours that were equal by chance: an empty file with one mask per class
    for is_map in layouts:
        if is_map and plane.sum(axis=0).max(initial=0) > 1:
            continue
        values = encoded(plane, names, is_map, encoding.inside)
        pixels = _pixels(np.moveaxis(values, 0, 1), given)  # rows first
        if pixels is not None and _holds(np.asarray(pixels), plane, names):
            return pixels
    return None


def _pixels(values: NDArray[np.generic], given: str | os.PathLike[str]) -> Image.Image | None:
    """Values (rows, columns[, K]) as a picture in the mode of the given one, if that is PNG; None if it has no room."""
    if values.itemsize > 2:
        return None
    if values.ndim == 3 or not os.fspath(given).lower().endswith(PNG):
        return Image.fromarray(np.ascontiguousarray(values))
    with Image.open(given) as like:
        if like.mode in ("RGB", "RGBA"):
            colours = [values, values, values, *([np.asarray(like)[..., 3]] if like.mode == "RGBA" else [])]
            return Image.fromarray(np.stack(colours, axis=-1)) if values.itemsize == 1 else None
        if like.mode == "1" and values.max(initial=0) <= 1:
            return Image.fromarray(values.astype(bool))
        if like.mode == "P" and values.itemsize == 1:
            picture = Image.fromarray(np.ascontiguousarray(values))
            picture.putpalette(like.getpalette() or [])
            picture.info = {key: like.info[key] for key in ("transparency",) if key in like.info}
            return picture
        return Image.fromarray(np.ascontiguousarray(values.astype(np.uint16) if like.mode in _DEEP else values))


def _holds(pixels: NDArray[np.generic], plane: NDArray[np.uint8], names: Mapping[int, str]) -> bool:
    """Whether a picture (rows, columns[, channels]) is read as the masks (K, columns, rows)."""
    values = np.moveaxis(np.atleast_3d(pixels), 2, 0).swapaxes(1, 2)
    try:
        return np.array_equal(label_to_channels(values, names, PNG, pixels.ndim == 3), plane)
    except ValueError:
        return False
