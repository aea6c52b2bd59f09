# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import morphology

from bundle.self_cleansing.noise import dilate, erode


def blobs(seed: int, shape: tuple[int, int] = (23, 31)) -> np.ndarray:
    """Random pixels with a solid block, touching the border."""
    mask = np.random.default_rng(seed).random(shape) < 0.02
    mask[:9, 5:20] = True
    return mask


def slow_dilate(mask: np.ndarray, radius_px: int) -> np.ndarray:
    out = np.zeros_like(mask)
    for y, x in np.argwhere(mask):
        for i in range(mask.shape[0]):
            for j in range(mask.shape[1]):
                out[i, j] |= (i - y) ** 2 + (j - x) ** 2 <= radius_px**2
    return out


def slow_erode(mask: np.ndarray, radius_px: int) -> np.ndarray:
    out = np.zeros_like(mask)
    background = np.argwhere(~mask)
    for y, x in np.argwhere(mask):
        out[y, x] = all((i - y) ** 2 + (j - x) ** 2 > radius_px**2 for i, j in background)
    return out


@pytest.mark.parametrize(
    ("radius_px", "area_px"),
    [(0, 1), (1, 5), (2, 13), (3, 29), (4, 49), (5, 81), (6, 113), (7, 149), (10, 317), (13, 529)],
)
def test_dilating_one_pixel_gives_the_digital_disc(radius_px, area_px):
    """The areas are Gauss's circle numbers; 5, 10 and 13 have Pythagorean points at exactly the radius."""
    mask = np.zeros((31, 31), bool)
    mask[15, 15] = True
    assert dilate(mask, radius_px).sum() == area_px


@pytest.mark.parametrize("radius_px", range(14))
def test_eroding_a_pierced_plane_leaves_the_complement_of_the_disc(radius_px):
    mask = np.ones((31, 31), bool)
    mask[15, 15] = False
    expected = np.ones_like(mask)
    expected[15 - radius_px : 16 + radius_px, 15 - radius_px : 16 + radius_px] = ~morphology.disk(radius_px).astype(
        bool
    )
    np.testing.assert_array_equal(erode(mask, radius_px), expected)


@pytest.mark.parametrize("radius_px", [1, 2, 5])
def test_both_equal_the_loop_over_all_pairs_of_pixels(radius_px):
    mask = blobs(radius_px)
    np.testing.assert_array_equal(dilate(mask, radius_px), slow_dilate(mask, radius_px))
    np.testing.assert_array_equal(erode(mask, radius_px), slow_erode(mask, radius_px))


@pytest.mark.parametrize("radius_px", [1, 3, 8, 13])
def test_both_equal_scikit_image_with_a_disc_footprint(radius_px):
    mask = np.zeros((90, 110), bool)
    mask[30:60, 30:75] = blobs(0, (30, 45))  # away from the border, where conventions differ
    mask[40:60, 40:75] = True
    footprint = morphology.disk(radius_px)
    np.testing.assert_array_equal(dilate(mask, radius_px), morphology.dilation(mask, footprint))
    np.testing.assert_array_equal(erode(mask, radius_px), morphology.erosion(mask, footprint))


def test_the_border_neither_grows_nor_erodes():
    mask = np.zeros((9, 9), bool)
    mask[:, :4] = True
    np.testing.assert_array_equal(dilate(mask, 2), np.arange(9) < np.full((9, 1), 6))
    np.testing.assert_array_equal(erode(mask, 2), np.arange(9) < np.full((9, 1), 2))


@pytest.mark.parametrize("operation", [dilate, erode])
@pytest.mark.parametrize("value", [False, True])
def test_empty_and_full_masks_stay_as_they_are(operation, value):
    mask = np.full((6, 7), value)
    np.testing.assert_array_equal(operation(mask, 5), mask)


@pytest.mark.parametrize("operation", [dilate, erode])
def test_the_result_is_new_and_the_input_unchanged(operation):
    mask = blobs(1)
    before = mask.copy()
    for radius_px in (0, 3):
        out = operation(mask, radius_px)
        assert out.dtype == bool and not np.shares_memory(out, mask)
        np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("operation", [dilate, erode])
def test_bad_input_is_named(operation):
    with pytest.raises(ValueError, match="-1"):
        operation(blobs(0), -1)
    with pytest.raises(ValueError, match=r"\(2, 3, 4\)"):
        operation(np.zeros((2, 3, 4), bool), 1)
    with pytest.raises(TypeError, match="uint8"):
        operation(np.zeros((3, 4), np.uint8), 1)
    with pytest.raises(TypeError, match="'1'"):
        operation(blobs(0), "1")
    with pytest.raises(ValueError, match="nan"):
        operation(blobs(0), float("nan"))


@pytest.mark.parametrize("level_px", [0.5, 1.2, 2.5, 3.9, 7.3])
def test_a_real_radius_is_a_threshold_on_the_distance(level_px):
    """The control of the boundary walk: scipy's distances as floats; no distance between pixels equals these levels."""
    mask = blobs(2)
    grown = ndimage.distance_transform_edt(~mask) < level_px
    np.testing.assert_array_equal(dilate(mask, level_px), grown)
    np.testing.assert_array_equal(erode(mask, level_px), ndimage.distance_transform_edt(mask) > level_px)
