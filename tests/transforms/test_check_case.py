# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import warnings
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.data import MetaTensor, decollate_batch, list_data_collate
from monai.transforms import Compose, EnsureChannelFirstd, Invertd, LoadImaged, Orientationd, Spacingd
from PIL import Image

from bundle.self_cleansing.data import find_cases, read_label
from bundle.self_cleansing.transforms import CheckCased, EnsureVolumed, LabelToChannelsd, clear_error

SHARED = Path(os.environ.get("SELF_CLEANSING_DATA", Path(__file__).parents[3] / "shared" / "data"))
HEART = {"1": "RV", "2": "Myo", "3": "LV"}
AFFINE = np.array([[-1.5, 0, 0, 40], [0, 0, 8, -10], [0, 1.5, 0, 5], [0, 0, 0, 1.0]])


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def load(*transforms, keys=("image", "label")) -> Compose:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MONAI: its GPU reader for DICOM is absent
        reader = LoadImaged(keys, allow_missing_keys=True)
    return Compose([reader, EnsureChannelFirstd(keys, allow_missing_keys=True), *transforms])


def save(folder: Path, image: np.ndarray, label: np.ndarray, label_affine: np.ndarray = AFFINE) -> dict[str, str]:
    nib.save(nib.Nifti1Image(image.astype(np.float32), AFFINE), folder / "image.nii.gz")
    nib.save(nib.Nifti1Image(label.astype(np.uint8), label_affine), folder / "label.nii.gz")
    return {"image": str(folder / "image.nii.gz"), "label": str(folder / "label.nii.gz")}


def test_a_good_case_passes_unchanged(tmp_path, rng):
    item = save(tmp_path, rng.normal(size=(6, 7, 3)), rng.integers(0, 4, (6, 7, 3)))
    plain, checked = load()(item), load(CheckCased())(item)
    assert torch.equal(plain["image"], checked["image"]) and torch.equal(plain["label"], checked["label"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("shape", r"image .*image\.nii\.gz has shape 6x7x3 but its label .*label\.nii\.gz has shape 6x7x2"),
        ("affine", r"image .*image\.nii\.gz and its label .*label\.nii\.gz have different affines .* 5 apart"),
        ("nan", r"image .*image\.nii\.gz holds NaN or infinite values \(1 of 126\)"),
        ("constant", r"image .*image\.nii\.gz is constant \(every pixel is 3\)"),
        ("values", r"label .*label\.nii\.gz holds the value 9, outside the declared classes"),
        ("truncated image", r"image\.nii\.gz cannot be read"),
        ("truncated label", r"label\.nii\.gz cannot be read"),
        ("no label", r"label\.nii\.gz does not exist"),
    ],
)
def test_each_bad_case_is_one_sentence_behind_monai_s_wrappers(tmp_path, rng, change, message):
    image, label, affine = rng.normal(size=(6, 7, 3)), rng.integers(0, 4, (6, 7, 3)), AFFINE.copy()
    if change == "shape":
        label = label[..., :2]
    if change == "affine":
        affine[0, 3] += 5
    if change == "nan":
        image[1, 2, 0] = np.nan
    if change == "constant":
        image[:] = 3
    if change == "values":
        label[0, 0, 0] = 9
    item = save(tmp_path, image, label, affine)
    if change.startswith("truncated"):
        file = Path(item[change.split()[1]])
        file.write_bytes(file.read_bytes()[:-40])
    if change == "no label":
        Path(item["label"]).unlink()
    with pytest.raises(RuntimeError, match="applying transform") as raised:
        load(CheckCased(), LabelToChannelsd("label", HEART))(item)
    clear = clear_error(raised.value, item)
    assert isinstance(clear, FileNotFoundError if change == "no label" else ValueError)
    with pytest.raises(type(clear), match=message):
        raise clear
    assert "\n" not in str(clear)


def test_a_clean_label_must_lie_on_its_image_too(tmp_path, rng):
    item = save(tmp_path, rng.normal(size=(6, 7, 3)), rng.integers(0, 4, (6, 7, 3)))
    case = load()(item)
    assert "clean_label" in CheckCased()({**case, "clean_label": case["label"]})
    with pytest.raises(ValueError, match=r"has shape 6x7x3 but its label .* has shape 6x7x2"):
        CheckCased()({**case, "clean_label": case["label"][..., :2]})


def test_without_a_label_the_image_alone_is_checked(tmp_path, rng):
    item = save(tmp_path, np.full((6, 7, 3), 3.0), rng.integers(0, 4, (6, 7, 3)))
    image = load()({"image": item["image"]})["image"]
    with pytest.raises(ValueError, match=r"image\.nii\.gz is constant"):
        CheckCased(allow_missing_keys=True)({"image": image})
    with pytest.raises(KeyError, match="label"):
        CheckCased()({"image": image + torch.rand_like(image)})


def test_an_image_needs_the_channels_the_network_takes():
    colour = {"image": torch.rand(3, 4, 4), "label": torch.zeros(1, 4, 4)}
    with pytest.raises(ValueError, match="in memory> has 3 channels, this network takes 1; convert a colour picture"):
        CheckCased()(colour)
    CheckCased(channels=3)(colour)
    CheckCased(channels=None)(colour)


def test_tensors_without_metadata_are_checked_too():
    image = torch.rand(1, 4, 4)
    CheckCased()({"image": image, "label": torch.zeros(1, 4, 4)})
    with pytest.raises(ValueError, match="image <image in memory> has shape 4x4 but its label <label in memory>"):
        CheckCased()({"image": image, "label": torch.zeros(1, 4, 5)})


@pytest.mark.parametrize("names", [HEART, {"1": "LV"}, {"5": "LV"}])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("layout", ["map", "masks"])
def test_labels_of_both_layouts_become_the_channels_that_read_label_gives(tmp_path, rng, names, depth, layout):
    values = [int(value) for value in names]
    label = rng.choice([0, *values], (6, 7, depth))
    masks = np.stack([label == value for value in values], axis=-1)
    item = save(tmp_path, rng.normal(size=(6, 7, depth)), label if layout == "map" else masks)
    plain = load()(item)["label"]
    out = load(CheckCased(), LabelToChannelsd("label", names))(item)["label"]
    assert isinstance(out, MetaTensor) and out.dtype == torch.uint8 and out.shape == (len(names), 6, 7, depth)
    np.testing.assert_array_equal(out.numpy(), np.moveaxis(masks, -1, 0))
    np.testing.assert_array_equal(out.numpy(), read_label(item["label"], names))
    assert out.meta["filename_or_obj"] == item["label"]
    torch.testing.assert_close(out.affine, plain.affine)


def test_channels_pass_a_second_time_unchanged(tmp_path, rng):
    item = save(tmp_path, rng.normal(size=(6, 7, 3)), rng.integers(0, 4, (6, 7, 3)))
    once = load(LabelToChannelsd("label", HEART))(item)
    once["label"].meta["original_channel_dim"] = 0  # what a saved and reloaded channel-first label has
    assert torch.equal(LabelToChannelsd("label", HEART)(once)["label"], once["label"])


def test_transforms_around_the_label_still_invert(tmp_path, rng):
    label = rng.integers(0, 4, (6, 7, 3))
    item = save(tmp_path, rng.normal(size=(6, 7, 3)), label)
    keys = ("image", "label")
    pipeline = load(
        Orientationd(keys, "RAS", labels=None),
        CheckCased(),
        LabelToChannelsd("label", HEART),
        EnsureVolumed(keys),
        Spacingd(keys, (1.5, 8.0, 1.5), mode="nearest"),
    )
    forward = pipeline(item)
    assert forward["label"].shape == (3, 6, 3, 7)  # reoriented
    back = pipeline.inverse(forward)["label"]
    np.testing.assert_array_equal(back.numpy(), [label == value for value in (1, 2, 3)])
    np.testing.assert_allclose(back.affine.numpy(), AFFINE)


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 3)])
def test_predictions_on_2d_images_and_volumes_invert_to_their_own_shape(tmp_path, rng, shape):
    item = save(tmp_path, rng.normal(size=shape), np.zeros(shape))
    pipeline = load(EnsureVolumed("image"), keys=("image",))
    data = pipeline({"image": item["image"]})
    assert data["image"].shape == (1, 6, 7, 1 if len(shape) == 2 else 3)
    [data] = decollate_batch(list_data_collate([data]))  # what a loader and an evaluator do
    data["pred"] = MetaTensor(torch.cat([data["image"].as_tensor()] * 3))
    inverted = Invertd("pred", pipeline, orig_keys="image", device="cpu")(data)
    assert inverted["pred"].shape == (3, *shape)
    np.testing.assert_array_equal(inverted["pred"][1].numpy(), nib.load(item["image"]).get_fdata(dtype=np.float32))


def test_ensure_volumed_leaves_its_input_alone(tmp_path, rng):
    data = load()(save(tmp_path, rng.normal(size=(6, 7, 3)), np.zeros((6, 7, 3))))
    EnsureVolumed(("image", "label"))(data)
    assert data["image"].applied_operations == data["label"].applied_operations == []
    plain = EnsureVolumed("image")({"image": torch.rand(1, 6, 7)})
    assert plain["image"].shape == (1, 6, 7, 1)


def test_a_picture_with_a_mask_becomes_a_volume_of_one_slice(tmp_path, rng):
    mask = rng.integers(0, 2, (6, 7)).astype(np.uint8)
    Image.fromarray(rng.integers(0, 255, (6, 7)).astype(np.uint8)).save(tmp_path / "a.jpg")
    Image.fromarray(mask * np.uint8(255)).save(tmp_path / "m.png")
    keys = ("image", "label")
    data = load(CheckCased(), LabelToChannelsd("label", ["lung"]), EnsureVolumed(keys))(
        {"image": str(tmp_path / "a.jpg"), "label": str(tmp_path / "m.png")}
    )
    assert data["image"].shape == (1, 7, 6, 1)
    np.testing.assert_array_equal(data["label"].numpy(), mask.T[None, ..., None])


@pytest.mark.skipif(not (SHARED / "acdc").is_dir(), reason=f"no real ACDC at {SHARED} (set SELF_CLEANSING_DATA)")
def test_real_acdc_cases_pass():
    pipeline = load(CheckCased(), LabelToChannelsd("label", HEART), EnsureVolumed(("image", "label")))
    for case in find_cases(SHARED / "acdc")[::40]:
        data = pipeline(case)
        assert data["label"].shape == (3, *data["image"].shape[1:])


@pytest.mark.skipif(not (SHARED / "nifti_ct").is_dir(), reason=f"no CT at {SHARED} (set SELF_CLEANSING_DATA)")
def test_a_real_ct_with_undeclared_organs_is_refused():
    item = {
        key: str(SHARED / "nifti_ct" / f"example_{name}.nii.gz") for key, name in [("image", "ct_sm"), ("label", "seg")]
    }
    data = load(CheckCased())(item)
    with pytest.raises(ValueError, match=r"example_seg\.nii\.gz holds the values 1, 2, 3, 4, 6, .*declared classes"):
        LabelToChannelsd("label", {"5": "liver"})(data)
