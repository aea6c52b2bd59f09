# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd

from bundle.self_cleansing.transforms import LabelPatchd, label_center, patch_slices


def labelled(shape, *boxes) -> torch.Tensor:
    """(K, H, W, D) with ones in boxes given as (class, rows, columns, slice)."""
    label = torch.zeros(shape)
    for k, (r0, r1), (c0, c1), d in boxes:
        label[k, r0 : r1 + 1, c0 : c1 + 1, d] = 1
    return label


@pytest.mark.parametrize(
    ("boxes", "center"),
    [
        ([(0, (3, 5), (7, 7), 0)], (4, 7)),  # odd lengths: the middle pixel
        ([(0, (3, 4), (6, 9), 0)], (4, 8)),  # even lengths: the pixel after the middle
        ([(0, (2, 2), (1, 1), 0), (1, (8, 8), (11, 11), 2)], (5, 6)),  # all classes and slices together
        ([(1, (0, 0), (0, 0), 1)], (0, 0)),
        ([], (5, 6)),  # nothing labelled: the centre of the 10 x 12 image
    ],
)
def test_center_by_hand(boxes, center):
    assert label_center(labelled((2, 10, 12, 3), *boxes)) == center


@pytest.mark.parametrize("length", [1, 2, 5, 6])
def test_a_patch_of_the_size_of_the_box_is_the_box(length):
    label = labelled((1, 20, 20, 1), (0, (7, 6 + length), (3, 2 + length), 0))
    rows, columns = patch_slices(label_center(label), (20, 20), length)
    assert (rows.start, rows.stop, columns.start, columns.stop) == (7, 7 + length, 3, 3 + length)


@pytest.mark.parametrize(
    ("center", "rows", "columns"),
    [
        ((10, 10), (6, 14), (6, 14)),
        ((0, 2), (0, 8), (0, 8)),
        ((4, 3), (0, 8), (0, 8)),
        ((5, 19), (1, 9), (15, 23)),
        ((23, 20), (12, 20), (16, 24)),
    ],
)
def test_patches_are_moved_inwards_at_the_border(center, rows, columns):
    placed = patch_slices(center, (20, 24), 8)
    assert [(one.start, one.stop) for one in placed] == [rows, columns]


def case(shape=(14, 17, 3), boxes=((0, (9, 12), (1, 4), 1),)) -> dict:
    """Every voxel of the image has a value of its own, counted from 1."""
    image = MetaTensor(1 + torch.arange(float(torch.tensor(shape).prod())).reshape(1, *shape))
    return {"image": image, "label": MetaTensor(labelled((2, *shape), *boxes)), "name": "x"}


def test_image_and_label_are_cut_alike_and_all_slices_kept():
    data = case()
    cut = LabelPatchd(["image", "label"], "label", 8)(data)
    assert torch.equal(cut["image"], data["image"][:, 6:14, 0:8])  # centre (11, 3), moved inwards by 1 on both axes
    assert torch.equal(cut["label"], data["label"][:, 6:14, 0:8])
    assert cut["label"].sum() == 16 and cut["name"] == "x"
    assert data["image"].shape == (1, 14, 17, 3)  # the input is not changed


def test_the_affine_follows_the_patch():
    """World coordinates of the first voxel of the patch are those of voxel (6, 0, 0) before."""
    data = case()
    affine = torch.tensor([[0, -2, 0, 5], [1.5, 0, 0, 7], [0, 0, 8, 9], [0, 0, 0, 1]], dtype=torch.float64)
    data["image"].affine = affine
    cut = LabelPatchd(["image", "label"], "label", 8)(data)
    torch.testing.assert_close(cut["image"].affine[:3, 3], (affine @ torch.tensor([6.0, 0, 0, 1]).double())[:3])


def test_a_small_image_is_padded_with_zeros_at_its_end_and_this_is_stated(caplog):
    data = case(shape=(5, 17, 3), boxes=[(0, (1, 2), (14, 15), 0)])
    with caplog.at_level("INFO"):
        cut = LabelPatchd(["image", "label"], "label", 8)(data)
    assert "5 x 17 px is smaller than the patch of 8 px, padded" in caplog.text
    assert cut["image"].shape == (1, 8, 8, 3)
    assert torch.equal(cut["image"][:, :5], data["image"][:, :, 9:17])
    assert not cut["image"][:, 5:].any()
    assert cut["label"].sum() == 4


@pytest.mark.parametrize("shape", [(14, 17, 3), (5, 17, 2), (5, 6, 2), (8, 8, 1)])
@pytest.mark.parametrize("boxes", [(), ((0, (3, 4), (4, 5), 0),)])
def test_the_inverse_puts_the_patch_back_where_it_was(shape, boxes):
    data = case(shape, boxes)
    patch = LabelPatchd(["image", "label"], "label", 8)
    cut = patch(data)
    back = patch.inverse(cut)
    inside = torch.isin(data["image"], cut["image"])
    assert inside.sum() == min(8, shape[0]) * min(8, shape[1]) * shape[2]
    assert back["image"].shape == data["image"].shape
    assert torch.equal(back["image"], data["image"] * inside)
    assert torch.equal(back["label"], data["label"])
    assert not back["image"].applied_operations


def test_a_prediction_is_put_back_through_monai():
    """Compose.inverse and Invertd, as post-processing uses them: the prediction takes the geometry of the image."""
    data = case()
    pipeline = Compose([LabelPatchd(["image", "label"], "label", 8)])
    cut = pipeline(data)
    cut["pred"] = MetaTensor((cut["image"] > 300).float(), meta=cut["image"].meta)
    invert = Invertd(keys="pred", transform=pipeline, orig_keys="image", nearest_interp=False, to_tensor=True)
    inside = torch.zeros(1, 14, 17, 3, dtype=torch.bool)
    inside[:, 6:14, 0:8] = True
    assert torch.equal(invert(cut)["pred"].bool(), (data["image"] > 300) & inside)
    assert pipeline.inverse(pipeline(case()))["label"].shape == (2, 14, 17, 3)


def test_a_missing_key_is_skipped_only_if_allowed():
    cut = LabelPatchd(["image", "label", "clean_label"], "label", 8, allow_missing_keys=True)(case())
    assert "clean_label" not in cut and cut["image"].shape == (1, 8, 8, 3)
    with pytest.raises(KeyError, match="clean_label"):
        LabelPatchd(["image", "label", "clean_label"], "label", 8)(case())
