# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Resized

from bundle.self_cleansing.audit.gather import pixel_size
from bundle.self_cleansing.transforms import EnsureVolumed, OrientSlicesd

KEYS = ["image", "label"]


def preprocessing(in_plane: str | None, network_size: int) -> Compose:
    return Compose(
        [
            LoadImaged(KEYS),
            EnsureChannelFirstd(KEYS),
            OrientSlicesd(KEYS, in_plane),
            EnsureVolumed(KEYS),
            Resized(KEYS, (network_size, network_size, -1), mode="area"),
        ]
    )


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_pixels_are_those_of_the_slices_whichever_axis_these_lie_across(slice_axis, tmp_path):
    shape, spacing = [32, 32], [1.5, 1.5]
    shape.insert(slice_axis, 6)
    spacing.insert(slice_axis, 8.0)
    for key in KEYS:
        nib.save(
            nib.Nifti1Image(np.random.rand(*shape).astype(np.float32), np.diag([*spacing, 1])), tmp_path / f"{key}.nii"
        )
    case = {key: str(tmp_path / f"{key}.nii") for key in KEYS}
    assert pixel_size(case, preprocessing(None, 16)) == (pytest.approx(2.0, rel=0.1), pytest.approx(1.5))


def test_a_rotated_volume_keeps_its_pixels(tmp_path):
    turn = np.deg2rad(20)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    affine[:3, :3] = affine[:3, :3] @ np.diag([2.0, 2.0, 5.0])
    for key in KEYS:
        nib.save(nib.Nifti1Image(np.random.rand(32, 32, 4).astype(np.float32), affine), tmp_path / f"{key}.nii.gz")
    case = {key: str(tmp_path / f"{key}.nii.gz") for key in KEYS}
    assert pixel_size(case, preprocessing("LP", 32)) == (pytest.approx(1.0), pytest.approx(2.0))
