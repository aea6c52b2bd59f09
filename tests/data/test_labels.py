# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from bundle.self_cleansing.data import (
    check_image,
    check_same_grid,
    class_names,
    clear_error,
    find_cases,
    label_to_channels,
    read_file,
    read_label,
)

SHARED = Path(os.environ.get("SELF_CLEANSING_DATA", Path(__file__).parents[3] / "shared" / "data"))
HEART = {1: "RV", 2: "Myo", 3: "LV"}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def save_nifti(path: Path, array: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(array, np.diag([1.5, 1.5, 10, 1])), path)
    return path


def save_picture(path: Path, array: np.ndarray) -> Path:
    Image.fromarray(array).save(path)
    return path


def one_hot(label: np.ndarray, values: list[int]) -> np.ndarray:
    channels = np.zeros((len(values), *label.shape), np.uint8)
    for index in np.ndindex(label.shape):
        if label[index]:
            channels[(values.index(label[index]), *index)] = 1
    return channels


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"2": "b", "1": "a", "0": "background"}, {1: "a", 2: "b"}),
        ({10: "b", 9: "a"}, {9: "a", 10: "b"}),
        (["liver", "tumour"], {1: "liver", 2: "tumour"}),
    ],
)
def test_class_names_are_ascending_whole_numbers(names, expected):
    assert list(class_names(names).items()) == list(expected.items())


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({0: "background"}, "no foreground class"),
        ([], "no foreground class"),
        ({"liver": 1}, "got 'liver' for class 1"),
        ({-1: "liver"}, "got -1"),
        ("liver", "got the text 'liver'"),
    ],
)
def test_class_names_refuse_nonsense(names, message):
    with pytest.raises(ValueError, match=message):
        class_names(names)


@pytest.mark.parametrize("shape", [(4, 5, 3), (4, 5, 1), (4, 5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
def test_an_integer_map_becomes_one_channel_per_class(tmp_path, rng, shape, dtype):
    label = rng.integers(0, 4, shape)
    channels = read_label(save_nifti(tmp_path / "a.nii.gz", label.astype(dtype)), HEART)
    assert channels.dtype == np.uint8
    np.testing.assert_array_equal(channels, one_hot(label, [1, 2, 3]).reshape(3, *shape[:2], -1))


@pytest.mark.parametrize("names", [HEART, {1: "LV"}, {5: "liver"}])
@pytest.mark.parametrize("depth", [1, 3])
@pytest.mark.parametrize("on", [1, 255])
def test_class_masks_may_overlap_and_keep_their_order(tmp_path, rng, names, depth, on):
    masks = rng.integers(0, 2, (len(names), 4, 5, depth)).astype(np.uint8)
    file = save_nifti(tmp_path / "a.nii.gz", np.moveaxis(masks * on, 0, -1).astype(np.uint8))
    np.testing.assert_array_equal(read_label(file, names), masks)


def test_a_map_whose_classes_are_not_1_to_k(tmp_path, rng):
    label = rng.choice([0, 5, 9], (4, 5, 3)).astype(np.uint8)
    file = save_nifti(tmp_path / "a.nii", label)
    np.testing.assert_array_equal(read_label(file, {9: "b", 5: "a"}), one_hot(label, [5, 9]))


def test_a_label_without_foreground_is_all_zero(tmp_path):
    file = save_nifti(tmp_path / "a.nii.gz", np.zeros((4, 5, 3), np.uint8))
    assert read_label(file, HEART).shape == (3, 4, 5, 3) and not read_label(file, HEART).any()


@pytest.mark.parametrize(("on", "mode"), [(1, "L"), (255, "L"), (255, "RGB"), (255, "RGBA"), (255, "1"), (1, "P")])
def test_a_png_mask_of_one_class(tmp_path, rng, on, mode):
    mask = rng.integers(0, 2, (4, 5)).astype(np.uint8)
    picture = Image.fromarray(mask * np.uint8(on))
    if mode == "P":
        picture.putpalette([0, 0, 0, 255, 0, 0])  # class 1 shown in red
    else:
        picture = picture.convert(mode)
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_label(tmp_path / "a.png", {1: "lung"}), mask.T[None, ..., None])  # x first


def test_png_class_numbers_and_png_class_masks(tmp_path, rng):
    label = rng.integers(0, 4, (4, 5)).astype(np.uint8)
    expected = one_hot(label.T, [1, 2, 3])[..., None]
    numbers = save_picture(tmp_path / "numbers.png", label)
    np.testing.assert_array_equal(read_label(numbers, HEART), expected)
    colour = save_picture(tmp_path / "colour.png", np.stack([label] * 3, axis=-1))
    np.testing.assert_array_equal(read_label(colour, HEART), expected)
    masks = save_picture(tmp_path / "masks.png", np.stack([(label == value) * np.uint8(255) for value in HEART], -1))
    np.testing.assert_array_equal(read_label(masks, HEART), expected)


def test_a_jpeg_mask_is_cut_above_127(tmp_path, rng):
    mask = np.kron(rng.integers(0, 2, (4, 5)), np.ones((6, 6))).astype(np.uint8)
    file = save_picture(tmp_path / "a.jpg", mask * np.uint8(255))
    assert len(np.unique(read_file(file).numpy())) > 2  # JPEG blurs
    np.testing.assert_array_equal(read_label(file, ["lung"]), mask.T[None, ..., None])


def test_a_jpeg_cannot_hold_several_classes_or_small_numbers(tmp_path):
    file = save_picture(tmp_path / "a.jpg", np.full((8, 8), 1, np.uint8))
    with pytest.raises(ValueError, match=r"a\.jpg is a JPEG, which blurs class numbers, but 3 classes"):
        read_label(file, HEART)
    with pytest.raises(ValueError, match=r"a\.jpg is a JPEG whose largest value is 1, .*above 127"):
        read_label(file, ["lung"])


@pytest.mark.parametrize(
    ("label", "found"),
    [
        ([[0, 4], [7, 1]], "the values 4, 7"),
        ([[0, -1], [0, 1]], "the value -1"),
        ([[0, 0.5], [0, 1]], "the value 0.5"),
        ([[0, np.nan], [0, 1]], "the value nan"),
        ([[0, 255], [1, 2]], "the value 255"),
        ([list(range(4, 24))], r"the values 4, 5, 6, 7, 8, 9, \.\.\."),
    ],
)
def test_values_outside_the_declared_classes_are_named(label, found):
    with pytest.raises(ValueError, match=rf"label x/a\.nii holds {found}, outside the declared classes .*3 LV\).*set"):
        label_to_channels(np.array([label], np.float32), HEART, "x/a.nii")


def test_255_is_a_mask_only_where_one_class_is_declared():
    mask = np.array([[[0, 255]]])
    assert label_to_channels(mask, {7: "lung"}, "a.nii", has_channel_axis=False).tolist() == [[[0, 1]]]
    with pytest.raises(ValueError, match=r"a\.nii holds the value 1, outside"):
        label_to_channels(np.array([[[0, 1]]]), {7: "lung"}, "a.nii", has_channel_axis=False)


def test_class_masks_must_be_binary_and_as_many_as_classes():
    with pytest.raises(ValueError, match=r"a\.nii holds the value 2 in the mask of class Myo; .* only 0 and 1"):
        label_to_channels(np.array([[[0, 1]], [[2, 0]], [[1, 1]]]), HEART, "a.nii")
    with pytest.raises(ValueError, match=r"a\.nii has 2 channels, but 3 classes are declared \(1 RV, 2 Myo, 3 LV\)"):
        label_to_channels(np.zeros((2, 4, 4)), HEART, "a.nii")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 3, 0, 2), r"label a\.nii has no pixels \(shape \(1, 3, 0, 2\)\)"),
        ((1,), r"label a\.nii is neither a picture nor a volume \(shape \(1,\)"),
        ((1, 5), "neither a picture nor a volume"),
        ((3, 5), "neither a picture nor a volume"),
        ((1, 5, 4, 3, 2), "neither a picture nor a volume"),
    ],
)
def test_a_label_must_be_a_picture_or_a_volume(shape, message):
    with pytest.raises(ValueError, match=message):
        label_to_channels(np.zeros(shape), HEART, "a.nii")


def test_a_good_image_passes_the_check(rng):
    check_image(rng.normal(size=(1, 4, 5)), "a.nii")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((1, 2, 2), 7.0), r"image a\.nii is constant \(every pixel is 7\)"),
        (np.array([[[1.0, np.nan, 3.0, 4.0]]]), r"image a\.nii holds NaN or infinite values \(1 of 4\)"),
        (np.array([[[-np.inf, np.inf, 3.0]]]), r"image a\.nii holds NaN or infinite values \(2 of 3\)"),
        (np.zeros((1, 0, 3)), r"image a\.nii has no pixels"),
        (np.arange(6.0)[None], r"image a\.nii is neither a picture nor a volume \(shape \(1, 6\), channels first\)"),
    ],
)
def test_a_bad_image_is_refused(image, message):
    with pytest.raises(ValueError, match=message):
        check_image(image, "a.nii")


def test_a_label_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"image i\.nii has shape 4x5x3 but its label l\.nii has shape 4x5x2"):
        check_same_grid((4, 5, 3), (4, 5, 2), "i.nii", "l.nii")
    check_same_grid((4, 5), (4, 5, 1), "i.png", "l.nii")


def test_affines_may_round_but_not_differ():
    affine = np.array([[1.5, 0, 0, -90.0], [0, 1.5, 0, 20], [0, 0, 10, 0], [0, 0, 0, 1]])
    rounded, shifted, flipped = affine.copy(), affine.copy(), affine.copy()
    rounded[:3] += 1e-4
    shifted[0, 3] += 1.0
    flipped[1, 1] = -1.5
    check_same_grid((100, 100, 10), (100, 100, 10), "i.nii", "l.nii", affine, rounded)
    for other, apart in [(shifted, "1"), (flipped, "297")]:  # 99 voxels of 3 mm
        with pytest.raises(ValueError, match=rf"i\.nii and its label l\.nii have different affines .* {apart} apart"):
            check_same_grid((100, 100, 10), (100, 100, 10), "i.nii", "l.nii", affine, other)


@pytest.fixture
def damaged(tmp_path, rng) -> Path:
    good = save_nifti(tmp_path / "good.nii.gz", rng.normal(size=(20, 20, 4))).read_bytes()
    (tmp_path / "truncated.nii.gz").write_bytes(good[: len(good) // 2])
    (tmp_path / "truncated.nii").write_bytes(gzip.decompress(good)[:3000])
    (tmp_path / "text.nii.gz").write_text("not an image")
    (tmp_path / "text.nii").write_text("not an image" * 100)
    (tmp_path / "empty.nii.gz").write_bytes(b"")
    (tmp_path / "text.png").write_text("not an image")
    return tmp_path


DAMAGED = ["truncated.nii.gz", "truncated.nii", "text.nii.gz", "text.nii", "empty.nii.gz", "text.png"]


@pytest.mark.parametrize("name", DAMAGED)
def test_an_unreadable_file_is_one_sentence(damaged, name):
    with pytest.raises(ValueError, match=rf"{name} cannot be read: .*take it out of the data set") as raised:
        read_label(damaged / name, HEART)
    assert "\n" not in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.nii\.gz does not exist"):
        read_file(tmp_path / "gone.nii.gz")


def test_other_errors_keep_their_type():
    bug = KeyError("spacing")
    try:
        try:
            raise bug
        except KeyError as error:
            raise RuntimeError("applying transform <x>") from error
    except RuntimeError as wrapped:
        assert clear_error(wrapped) is bug
    assert clear_error(bug) is bug
    assert clear_error(plain := RuntimeError("no wrapper"), {"image": None}) is plain


@pytest.mark.skipif(not (SHARED / "acdc").is_dir(), reason=f"no real ACDC at {SHARED} (set SELF_CLEANSING_DATA)")
def test_a_real_acdc_label_agrees_with_nibabel():
    case = find_cases(SHARED / "acdc")[0]
    label = np.asanyarray(nib.load(case["label"]).dataobj)
    channels = read_label(case["label"], HEART)
    for channel, value in zip(channels, HEART, strict=True):
        np.testing.assert_array_equal(channel, label == value)
    assert channels.any(axis=(1, 2, 3)).all()


@pytest.mark.skipif(
    not (SHARED / "chest_xray").is_dir(), reason=f"no chest X-rays at {SHARED} (set SELF_CLEANSING_DATA)"
)
def test_a_real_jpeg_mask_in_colour_is_cut_above_127():
    file = sorted((SHARED / "chest_xray/valid/masks").iterdir())[0]
    expected = np.asarray(Image.open(file).convert("L")).T > 127
    np.testing.assert_array_equal(read_label(file, ["lung"])[0, ..., 0], expected)
