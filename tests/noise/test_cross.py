# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bundle.self_cleansing.noise import dilate_cross, erode_cross, inner_rim, outer_rim


def blobs(seed: int) -> np.ndarray:
    """Random pixels with a solid block, touching the border."""
    mask = np.random.default_rng(seed).random((23, 31)) < 0.03
    mask[:9, 5:20] = True
    return mask


@pytest.mark.parametrize("steps", range(5))
def test_one_pixel_becomes_a_diamond(steps):
    mask = np.zeros((11, 11), bool)
    mask[5, 5] = True
    y, x = np.mgrid[-5:6, -5:6]
    np.testing.assert_array_equal(dilate_cross(mask, steps), abs(y) + abs(x) <= steps)


@pytest.mark.parametrize("steps", [1, 2, 6, 12])
def test_both_equal_scipy(steps):
    mask = blobs(steps)
    np.testing.assert_array_equal(dilate_cross(mask, steps), ndimage.binary_dilation(mask, iterations=steps))
    expected = ndimage.binary_erosion(mask, iterations=steps, border_value=1)  # the border does not erode
    np.testing.assert_array_equal(erode_cross(mask, steps), expected)


def test_rims_are_the_pixels_at_distance_exactly_1():
    for seed in range(5):
        mask = blobs(seed)
        np.testing.assert_array_equal(outer_rim(mask), ndimage.distance_transform_edt(~mask) == 1)
        np.testing.assert_array_equal(inner_rim(mask), ndimage.distance_transform_edt(mask) == 1)


@pytest.mark.parametrize("operation", [dilate_cross, erode_cross])
def test_empty_and_full_masks_stay_and_the_input_is_unchanged(operation):
    for value in (False, True):
        mask = np.full((6, 7), value)
        np.testing.assert_array_equal(operation(mask, 3), np.full((6, 7), value))
    mask = blobs(1)
    for steps in (0, 2):
        assert not np.shares_memory(operation(mask, steps), mask)
    np.testing.assert_array_equal(mask, blobs(1))


@pytest.mark.parametrize("operation", [dilate_cross, erode_cross])
def test_bad_input_is_named(operation):
    with pytest.raises(ValueError, match="-2"):
        operation(blobs(0), -2)
    with pytest.raises(TypeError):
        operation(blobs(0), 1.5)
    with pytest.raises(ValueError, match=r"\(2, 3, 4\)"):
        operation(np.zeros((2, 3, 4), bool), 1)
    with pytest.raises(TypeError, match="uint8"):
        operation(np.zeros((3, 4), np.uint8), 1)
