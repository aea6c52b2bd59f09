# SPDX-License-Identifier: Apache-2.0
"""Labels written in the way of a given file, read back by MONAI's reader and looked at pixel by pixel with Pillow."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from bundle.self_cleansing.data import read_label
from bundle.self_cleansing.data.label_writer import LabelWriter

AFFINE = np.diag([2.0, 3.0, 5.0, 1.0])
ONE, THREE = {1: "lesion"}, {1: "RV", 2: "Myo", 3: "LV"}


def plane(numbers: list[int], rows: int = 5, columns: int = 7) -> np.ndarray:
    """Rows of class numbers: uint8 (rows, columns), without any symmetry."""
    values = np.zeros((rows, columns), np.uint8)
    for place, number in enumerate(numbers):
        values[place : place + 2, 2 * place : 2 * place + 2] = number
    return values


def masks_of(values: np.ndarray, names: dict[int, str]) -> np.ndarray:
    """(K, columns, rows, 1): what a picture with these class numbers means."""
    return np.stack([values.T == number for number in names]).astype(np.uint8)[..., None]


def picture(path: Path, pixels: np.ndarray, mode: str = "") -> Path:
    made = Image.fromarray(pixels)
    if mode == "P":
        made.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    made.save(path, **({"quality": 95} if path.suffix == ".jpg" else {}))
    return path


GRAY = plane([1, 2, 3])
MASK = plane([1, 0, 1])
COLOURED = np.stack([plane([1]), plane([0, 1]), plane([1, 0, 1])], axis=-1) * 255
ALPHA = np.arange(35, dtype=np.uint8).reshape(5, 7, 1)


@pytest.mark.parametrize(
    ("names", "pixels", "mode"),
    [
        (THREE, GRAY, "L"),
        (THREE, GRAY.astype(np.uint16), "I;16"),
        (THREE, GRAY, "P"),
        (THREE, np.repeat(GRAY[..., None], 3, axis=2), "RGB"),
        (THREE, np.concatenate([np.repeat(GRAY[..., None], 3, axis=2), ALPHA], axis=2), "RGBA"),
        (THREE, COLOURED, "RGB"),
        (THREE, COLOURED // 255, "RGB"),
        (ONE, MASK, "L"),
        (ONE, MASK * 255, "L"),
        (ONE, MASK.astype(bool), "1"),
        (ONE, np.repeat(MASK[..., None] * 255, 3, axis=2), "RGB"),
        ({4: "lesion"}, MASK * 4, "L"),
        ({4: "lesion"}, MASK * 255, "L"),
    ],
)
def test_a_png_keeps_mode_and_values(tmp_path, names, pixels, mode):
    given = picture(tmp_path / "given.png", pixels, mode)
    with Image.open(given) as file:
        assert file.mode == mode
    masks = read_label(given, names)[:, ::-1]  # mirrored from left to right
    written = LabelWriter(names).write(masks, given, tmp_path / "out" / "given.png")
    assert written == tmp_path / "out" / "given.png"
    np.testing.assert_array_equal(read_label(written, names), masks)
    with Image.open(written) as after, Image.open(given) as before:
        assert after.mode == before.mode
        expected = pixels[:, ::-1].copy()
        expected[..., 3:] = pixels[..., 3:] if mode == "RGBA" else expected[..., 3:]
        np.testing.assert_array_equal(np.asarray(after), expected)
        assert after.getpalette() == before.getpalette()
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["given.png"]


def test_rows_and_columns_are_swapped_as_monai_swaps_them(tmp_path):
    given = picture(tmp_path / "given.png", np.zeros((5, 7), np.uint8))
    masks = np.zeros((1, 7, 5, 1), np.uint8)
    masks[0, 6, 1] = 1  # x = 6, y = 1
    written = LabelWriter(ONE).write(masks, given, tmp_path / "new.png")
    with Image.open(written) as after:
        assert after.size == (7, 5) and after.getpixel((6, 1)) == 1
        assert np.asarray(after).sum() == 1


@pytest.mark.parametrize(
    ("others", "inside"),
    [
        ([], 1),
        ([np.zeros((5, 7), np.uint8)], 1),
        ([np.zeros((5, 7), np.uint8), MASK * 255, MASK], 255),
        ([MASK, MASK * 255], 1),
    ],
)
def test_an_empty_mask_gets_the_value_that_the_other_labels_have_inside(tmp_path, others, inside):
    given = picture(tmp_path / "given.png", np.zeros((5, 7), np.uint8))
    paths = [picture(tmp_path / f"{number}.png", pixels) for number, pixels in enumerate(others)]
    labels = [tmp_path / "missing.png", given, *paths]
    written = LabelWriter(ONE, labels).write(masks_of(MASK, ONE), given, tmp_path / "new.png")
    with Image.open(written) as after:
        np.testing.assert_array_equal(np.asarray(after), MASK * inside)


@pytest.mark.parametrize("extension", ["jpg", "bmp"])
def test_another_picture_becomes_a_png_beside(tmp_path, extension):
    given = picture(tmp_path / f"given.{extension}", np.kron(MASK, np.ones((8, 8), np.uint8)) * 255)
    masks = masks_of(np.kron(plane([0, 1]), np.ones((8, 8), np.uint8)), ONE)
    written = LabelWriter(ONE).write(masks, given, tmp_path / "out" / given.name)
    assert written == tmp_path / "out" / "given.png"
    with Image.open(written) as after:
        assert after.mode == "L"
        np.testing.assert_array_equal(np.asarray(after), masks[0, ..., 0].T * 255)
    np.testing.assert_array_equal(read_label(written, ONE), masks)


def test_a_new_name_never_takes_that_of_an_image(tmp_path):
    given = picture(tmp_path / "a.jpg", np.zeros((5, 7), np.uint8))
    writer = LabelWriter(ONE, reserved={tmp_path / "out" / "a.png"})
    written = writer.write(masks_of(MASK, ONE), given, tmp_path / "out" / "a.jpg")
    assert written.name == "a_label.png"


def test_overlapping_classes_of_a_map_become_nifti_on_the_grid_of_the_picture(tmp_path):
    given = picture(tmp_path / "given.png", GRAY)
    masks = masks_of(GRAY, THREE)
    masks[2] |= masks[0]
    written = LabelWriter(THREE).write(masks, given, tmp_path / "given.png")
    assert written == tmp_path / "given.nii.gz" and nib.load(written).shape == (7, 5, 1, 3)
    np.testing.assert_array_equal(read_label(written, THREE), masks)


@pytest.mark.parametrize(
    ("masks", "name"),
    [
        ([[1, 0], [0, 1], [0, 0]], "given.png"),
        ([[1, 1], [1, 0], [0, 0]], "given.png"),  # overlapping
        ([[1, 0], [1, 0], [1, 0]], "given.nii.gz"),  # equal colours would be read as a gray picture
        ([[0, 0], [0, 0], [0, 0]], "given.png"),
    ],
)
def test_class_masks_in_colours_stay_unless_the_colours_become_equal(tmp_path, masks, name):
    given = picture(tmp_path / "given.png", np.stack([[[255, 0]], [[0, 255]], [[0, 0]]], axis=-1).astype(np.uint8))
    wanted = np.array(masks, np.uint8)[:, :, None, None]
    written = LabelWriter(THREE).write(wanted, given, tmp_path / "out" / "given.png")
    assert written.name == name
    np.testing.assert_array_equal(read_label(written, THREE), wanted)


def test_an_empty_picture_of_class_masks_is_filled_as_one(tmp_path):
    """All its colours are equal, so that it is read as a gray map, in which classes could not overlap."""
    given = picture(tmp_path / "given.png", np.zeros((1, 2, 3), np.uint8))
    masks = np.array([[1, 1], [1, 0], [0, 0]], np.uint8)[:, :, None, None]
    written = LabelWriter(THREE).write(masks, given, tmp_path / "out" / "given.png")
    assert written.name == "given.png"
    np.testing.assert_array_equal(read_label(written, THREE), masks)


def nifti(path: Path, values: np.ndarray) -> Path:
    nib.save(nib.Nifti1Image(values, AFFINE), path)
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32])
@pytest.mark.parametrize("inside", [1, 255])
@pytest.mark.parametrize("shape", [(4, 3, 2), (4, 3, 1), (4, 3), (4, 3, 2, 1)])
def test_a_nifti_mask_keeps_shape_type_and_values(tmp_path, dtype, inside, shape):
    rng = np.random.default_rng(0)
    given = nifti(tmp_path / "given.nii.gz", (rng.integers(0, 2, shape) * inside).astype(dtype))
    masks = 1 - read_label(given, ONE)
    written = LabelWriter(ONE).write(masks, given, tmp_path / "out" / "given.nii.gz")
    before, after = nib.load(given), nib.load(written)
    assert after.shape == before.shape and after.get_data_dtype() == dtype
    np.testing.assert_array_equal(np.asarray(after.dataobj), inside - np.asarray(before.dataobj))
    np.testing.assert_array_equal(after.affine, before.affine)


@pytest.mark.parametrize("inside", [1, 255])
def test_a_nifti_of_class_masks_stays_one(tmp_path, inside):
    rng = np.random.default_rng(0)
    given = nifti(tmp_path / "given.nii.gz", rng.integers(0, 2, (4, 3, 2, 3)).astype(np.uint8) * inside)
    masks = 1 - read_label(given, THREE)
    written = LabelWriter(THREE).write(masks, given, tmp_path / "out" / "given.nii.gz")
    np.testing.assert_array_equal(np.asarray(nib.load(written).dataobj), inside - np.asarray(nib.load(given).dataobj))


def test_a_class_number_too_large_for_the_type_of_the_file_is_not_cut(tmp_path):
    given = nifti(tmp_path / "given.nii.gz", np.zeros((4, 3, 2), np.uint8))
    names = {300: "lesion"}
    masks = np.ones((1, 4, 3, 2), np.uint8)
    written = LabelWriter(names).write(masks, given, tmp_path / "out" / "given.nii.gz")
    assert nib.load(written).get_data_dtype() == np.uint16
    np.testing.assert_array_equal(read_label(written, names), masks)


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    given = picture(tmp_path / "given.png", MASK)

    def full(self: Image.Image, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space left"):
        LabelWriter(ONE).write(masks_of(1 - MASK, ONE), given, given)
    with Image.open(given) as file:
        np.testing.assert_array_equal(np.asarray(file), MASK)
    assert [file.name for file in tmp_path.iterdir()] == ["given.png"]
