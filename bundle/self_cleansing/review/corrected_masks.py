# SPDX-License-Identifier: Apache-2.0
"""The masks that a reviewer's label stands for, given what the reviewer could see."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..data.labels import label_map

Overlaps = Literal["keep", "drop"]
OVERLAPS: tuple[Overlaps, ...] = ("keep", "drop")


def overlapping_voxels(masks: NDArray[np.uint8]) -> int:
    """Number of voxels that belong to more than one class of (K, ...)."""
    return int((masks.sum(axis=0) > 1).sum())


def corrected_masks(
    given: NDArray[np.uint8], final: NDArray[np.uint8], is_map: bool, overlaps: Overlaps | None
) -> NDArray[np.uint8]:
    """Put a correction in the place of a given label.

    A viewer of label maps shows one class per voxel, the first one where the given masks overlap. Whether the classes
    below it are still there, the reviewer's map cannot say.

    Args:
        given: uint8 (K, H, W, D) of 0 and 1.
        final: likewise, of the corrected file.
        is_map: the corrected file is a map, which holds no overlap.
        overlaps: "drop" takes the map for the whole truth; "keep" keeps all given classes of a voxel where the map is
            what was shown of it.

    Returns:
        uint8 (K, H, W, D): `final`, but for "keep".

    Raises:
        ValueError: if the given label has overlaps, the correction is a map, and `overlaps` is None.
    """
    hidden = overlapping_voxels(given) if is_map else 0
    if hidden == 0 or overlaps == "drop":
        return final
    if overlaps is None:
        raise ValueError(
            f"classes overlap in {hidden} voxels of it, and its correction is a map, which shows one class per voxel; "
            "pass --overlaps drop if classes exclude each other, or --overlaps keep if they may overlap"
        )
    return np.where(label_map(given) == label_map(final), given, final)
