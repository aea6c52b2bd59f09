# SPDX-License-Identifier: Apache-2.0
"""Turn volumes of any orientation so that the two-dimensional network sees the slices it was trained on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import cast

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform, Orientation
from nibabel.orientations import aff2axcodes

THICK = 1.5  # a slice axis has a spacing at least so many times that of both others


class OrientSlicesd(MapTransform, InvertibleTransform):
    """Permute (and flip) the axes of volumes so that slices are counted along the last one. Invertible.

    A volume is turned by whole axes, never resampled, so an oblique one stays oblique. 2-D files pass unchanged, also
    2-D NIfTI: a picture says nothing of the patient's axes; a slice with an orientation should be kept as a volume.
    So does what belongs to a picture: its label in a channel per class is a NIfTI file of one slice.

    Args:
        keys: MetaTensor (C, H, W, D), or (C, H, W) for 2-D files, any dtype.
        in_plane: the directions into which the first and the second axis shall run, for example 'LP' for axial slices
            (to the patient's left, then to the back). The slice axis keeps the file's direction, so slices are
            numbered as in a file of axial slices. None: an axis of much the largest spacing (THICK) becomes the slice
            axis, whatever the anatomy; a volume without such an axis passes unchanged.
        allow_missing_keys: if True, a missing key is skipped.

    Raises:
        ValueError: at construction, if in_plane does not name two of the three body axes.
    """

    def __init__(self, keys: KeysCollection, in_plane: str | None = None, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        if in_plane is not None and (len(in_plane) != 2 or len(_axes(in_plane)) != 2):
            raise ValueError(f"in_plane must name two directions out of L/R, A/P and S/I, like 'LP', got {in_plane!r}")
        self.in_plane = in_plane

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        case = dict(data)
        found = ((key, case[key]) for key in self.key_iterator(case))
        volumes = {key: volume for key, volume in found if isinstance(volume, MetaTensor)}
        are_volumes = all(volume.ndim == 4 for volume in volumes.values())
        for key, volume in volumes.items():
            given = "".join(aff2axcodes(volume.affine.numpy())) if are_volumes else ""
            turned = _turn(volume, self.axcodes(volume, given)) if given else volume[...]
            self.push_transform(turned, orig_size=tuple(volume.shape[1:]), extra_info={"axcodes": given})
            case[key] = turned
        return case

    def inverse(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        case = dict(data)
        for key in self.key_iterator(case):
            volume = case[key]
            if isinstance(volume, MetaTensor):
                given = self.pop_transform(volume)["extra_info"]["axcodes"]
                case[key] = _turn(volume, given) if given else volume
        return case

    def axcodes(self, volume: MetaTensor, given: str) -> str:
        """Directions that the axes shall run into, of a volume whose axes run into `given`."""
        if self.in_plane is not None:
            return self.in_plane + next(code for code in given if not _axes(code) & _axes(self.in_plane))
        spacing = np.asarray(volume.pixdim, float)
        thick = int(spacing.argmax())
        rest = np.delete(spacing, thick)
        if not spacing[thick] >= THICK * rest.max():
            return given
        return given[:thick] + given[thick + 1 :] + given[thick]


def _axes(codes: str) -> set[str]:
    """The body axes that directions belong to."""
    return {axis for code in codes for axis in ("LR", "AP", "SI") if code in axis}


def _turn(volume: MetaTensor, axcodes: str) -> MetaTensor:
    turn = Orientation(axcodes=axcodes, labels=(("L", "R"), ("P", "A"), ("I", "S")))
    with turn.trace_transform(False):
        return cast(MetaTensor, turn(volume))
