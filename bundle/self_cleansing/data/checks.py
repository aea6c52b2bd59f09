# SPDX-License-Identifier: Apache-2.0
"""What an image and its label must satisfy before anything is trained on them."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Sequence

import numpy as np

AFFINE_TOLERANCE_VOXELS = 0.1  # headers round: 32-bit floats, or a quaternion beside a matrix


def check_shape(kind: str, shape: Sequence[int], path: str | os.PathLike) -> None:
    """Refuse what is no picture and no volume, or has no pixels.

    Args:
        kind: "image" or "label", for the error.
        shape: (C, H, W) or (C, H, W, D) passes.
        path: names the file in errors.

    Raises:
        ValueError: if there is another number of axes, or one of them is empty.
    """
    if math.prod(shape) == 0:
        raise ValueError(f"{kind} {path} has no pixels (shape {tuple(shape)}); take it out of the data set")
    if len(shape) not in (3, 4):
        raise ValueError(
            f"{kind} {path} is neither a picture nor a volume (shape {tuple(shape)}, channels first); "
            "convert it, or take it out of the data set"
        )


def check_image(image: np.ndarray, path: str | os.PathLike, channels: int | None = None) -> None:
    """Refuse an image that a network cannot learn from.

    Args:
        image: float (C, H, W) or (C, H, W, D), any scale.
        path: names the file in errors.
        channels: how many the network takes; None: any number.

    Raises:
        ValueError: if the image is no picture or volume, has another number of channels, no pixel, a NaN or infinite
            value, or one value only.
    """
    check_shape("image", image.shape, path)
    if channels is not None and len(image) != channels:
        raise ValueError(
            f"image {path} has {len(image)} channels, this network takes {channels}; "
            "convert a colour picture to gray, or split a series of volumes (4-D) into one file each"
        )
    low, high = image.min(), image.max()  # NaN and infinity reach one of them
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int(image.size - np.isfinite(image).sum())
        raise ValueError(
            f"image {path} holds NaN or infinite values ({bad} of {image.size}); repair the file or take it out"
        )
    if low == high:
        raise ValueError(f"image {path} is constant (every pixel is {low:g}); repair the file or take it out")


def check_same_grid(
    image_shape: Sequence[int],
    label_shape: Sequence[int],
    image_path: str | os.PathLike,
    label_path: str | os.PathLike,
    image_affine: np.ndarray | None = None,
    label_affine: np.ndarray | None = None,
) -> None:
    """Refuse a label that does not lie on its image.

    Args:
        image_shape: spatial shape, without channels; (H, W) and (H, W, 1) are the same grid.
        label_shape: the same of the label.
        image_path: names the file in errors.
        label_path: the same of the label.
        image_affine: float (4, 4), voxel -> world; None skips the comparison.
        label_affine: the same of the label.

    Raises:
        ValueError: if the shapes differ, or any corner of the volume lies more than AFFINE_TOLERANCE_VOXELS voxels
            apart in the two headers.
    """
    if _as_volume(image_shape) != _as_volume(label_shape):
        raise ValueError(
            f"image {image_path} has shape {_by(image_shape)} but its label {label_path} has shape {_by(label_shape)}; "
            "give a label drawn on this image"
        )
    if image_affine is None or label_affine is None:
        return
    image_affine, label_affine = np.asarray(image_affine, float), np.asarray(label_affine, float)
    corners = [(*corner, 1) for corner in itertools.product(*((0, size - 1) for size in _as_volume(image_shape)))]
    apart = np.linalg.norm(np.array(corners) @ (image_affine - label_affine).T, axis=1).max()
    voxel = np.linalg.norm(image_affine[:3, :3], axis=0).min()
    if not apart <= AFFINE_TOLERANCE_VOXELS * voxel:  # also refuses NaN
        raise ValueError(
            f"image {image_path} and its label {label_path} have different affines (corners up to {apart:.3g} apart, "
            f"voxel size {voxel:.3g}); resample the label onto the image or copy the image's header into it"
        )


def _as_volume(shape: Sequence[int]) -> tuple[int, ...]:
    return (*map(int, shape), 1) if len(shape) == 2 else tuple(map(int, shape))


def _by(shape: Sequence[int]) -> str:
    return "x".join(str(int(size)) for size in shape)
