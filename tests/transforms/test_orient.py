# SPDX-License-Identifier: Apache-2.0
"""Orienting volumes: by hand, against nibabel, and there and back."""

from __future__ import annotations

import itertools

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from bundle.self_cleansing.transforms import OrientSlicesd


def volume(affine: np.ndarray, shape=(4, 5, 6)) -> MetaTensor:
    data = torch.from_numpy(np.random.default_rng(0).random(shape, dtype=np.float32))
    return MetaTensor(data[None], affine=torch.from_numpy(affine))


def tilted(spacing, order=(0, 1, 2), signs=(1, 1, 1)) -> np.ndarray:
    """Axes along a permutation of the body axes, turned by 20 degrees, with an offset."""
    turn = np.deg2rad(20)
    about_x = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    affine = np.eye(4)
    affine[:3, :3] = about_x @ np.eye(3)[:, list(order)] @ np.diag(np.array(signs) * spacing)
    affine[:3, 3] = [10, -20, 30]
    return affine


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("signs", [(1, 1, 1), (-1, 1, -1), (1, -1, -1)])
def test_axial_slices_lie_as_nibabel_would_lay_them(order, signs):
    image = volume(tilted((1.0, 2.0, 3.0), order, signs))
    turned = OrientSlicesd("image", in_plane="LP")({"image": image})["image"]
    codes = nib.aff2axcodes(turned.affine.numpy())
    given = nib.aff2axcodes(image.affine.numpy())
    assert codes[:2] == ("L", "P") and codes[2] in given  # the slice axis keeps its direction
    nifti = nib.Nifti1Image(image[0].numpy(), image.affine.numpy())
    wanted = nifti.as_reoriented(
        nib.orientations.ornt_transform(nib.io_orientation(nifti.affine), nib.orientations.axcodes2ornt(codes))
    )
    np.testing.assert_array_equal(turned[0].numpy(), wanted.get_fdata(dtype=np.float32))
    np.testing.assert_allclose(turned.affine.numpy(), wanted.affine, atol=1e-9)


@pytest.mark.parametrize("thick", [0, 1, 2])
def test_slices_are_taken_across_the_thick_axis(thick):
    spacing = np.full(3, 1.4)
    spacing[thick] = 8
    image = volume(tilted(spacing))
    turned = OrientSlicesd("image")({"image": image})["image"]
    wanted = np.moveaxis(image[0].numpy(), thick, -1)  # nothing is flipped, the other two keep their order
    np.testing.assert_array_equal(turned[0].numpy(), wanted)
    np.testing.assert_allclose(np.linalg.norm(turned.affine[:3, 2]), 8)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (1.4, 1.4, 2.0), (2.0, 2.0, 1.0)])
def test_without_a_thick_axis_the_file_is_taken_as_it_is(spacing):
    image = volume(tilted(spacing, (2, 0, 1)))
    turned = OrientSlicesd("image")({"image": image})["image"]
    assert torch.equal(turned.as_tensor(), image.as_tensor())
    assert torch.equal(turned.affine, image.affine)


@pytest.mark.parametrize("in_plane", [None, "LP", "SA"])
def test_the_inverse_restores_voxels_and_affine(in_plane):
    transform = OrientSlicesd(["image", "label"], in_plane=in_plane, allow_missing_keys=True)
    case = {"image": volume(tilted((8, 1.4, 1.4), (1, 2, 0), (-1, 1, -1)))}
    there = transform(case)
    assert len(there["image"].applied_operations) == 1 and not case["image"].applied_operations
    back = transform.inverse(there)["image"]
    assert torch.equal(back.as_tensor(), case["image"].as_tensor())
    np.testing.assert_allclose(back.affine, case["image"].affine, atol=1e-9)
    assert not back.applied_operations


def test_a_picture_passes_unchanged_and_can_be_inverted():
    picture = MetaTensor(torch.rand(1, 4, 5))
    transform = OrientSlicesd("image", in_plane="LP")
    there = transform({"image": picture})
    assert torch.equal(there["image"].as_tensor(), picture.as_tensor())
    assert torch.equal(transform.inverse(there)["image"].as_tensor(), picture.as_tensor())


def test_the_label_of_a_picture_in_a_channel_per_class_passes_unchanged():
    """As scripts/make_noisy_labels.py writes it, where labels may overlap: a volume of one slice."""
    picture, label = volume(np.eye(4), (5, 6)), volume(np.diag([-1.0, -1.0, 1.0, 1.0]), (5, 6, 1))
    orient = OrientSlicesd(["image", "label"], in_plane="AR")
    turned = orient({"image": picture, "label": label})
    back = orient.inverse(turned)
    for case in (turned, back):
        assert torch.equal(case["label"].as_tensor(), label.as_tensor())
        assert torch.equal(case["label"].affine, label.affine)
    alone = OrientSlicesd("label", in_plane="AR")({"label": label})["label"]
    assert not torch.equal(alone.affine, label.affine)  # a volume of its own is turned


@pytest.mark.parametrize("in_plane", ["L", "LR", "LPS", "XY"])
def test_directions_that_span_no_plane_are_refused(in_plane):
    with pytest.raises(ValueError, match=f"like 'LP', got '{in_plane}'"):
        OrientSlicesd("image", in_plane=in_plane)
