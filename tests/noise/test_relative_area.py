# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bundle.self_cleansing.noise import dilate_by_area, erode_by_area, move_by_area, rotate


def ellipse(shape=(120, 130), centre=(60.0, 65.0), radii=(30, 18)) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 <= 1


def masks() -> list[np.ndarray]:
    ring = ellipse(radii=(30, 30)) & ~ellipse(radii=(22, 22))
    return [ellipse(), ring, ellipse(centre=(4, 8), radii=(20, 20)), ellipse() | ellipse(centre=(100, 110))]


@pytest.mark.parametrize("area_fraction", [0.2, 0.5, 0.7])
@pytest.mark.parametrize("mask", masks())
def test_dilation_and_erosion_keep_the_nearest_of_all_areas(mask, area_fraction):
    """Every number of steps by scipy, and the one with the best area chosen afterwards."""
    area = mask.sum()
    grown = [mask] + [ndimage.binary_dilation(mask, iterations=n) for n in range(1, 40)]
    shrunk = [mask] + [ndimage.binary_erosion(mask, iterations=n, border_value=1) for n in range(1, 40)]
    for noisy, states in (
        (dilate_by_area(mask, area_fraction), grown),
        (erode_by_area(mask, area_fraction), [state for state in shrunk if state.any()]),
    ):
        gaps = [abs((state ^ mask).sum() - area_fraction * area) for state in states]
        assert abs((noisy ^ mask).sum() - area_fraction * area) == min(gaps)
        assert any(np.array_equal(noisy, state) for state in states)


@pytest.mark.parametrize("area_fraction", [0.5, 0.7])
@pytest.mark.parametrize("direction", [(-1, -1), (-1, 0), (0, 1), (1, 1)])
def test_a_shift_reaches_the_fraction_within_one_step(area_fraction, direction):
    for mask in masks()[:3]:  # a rotation alone does not pass the fraction
        for angle_deg in (-30.0, -3.7, 0.0, 12.0):
            noisy = move_by_area(mask, area_fraction, angle_deg, *direction)
            one_step = np.hypot(*direction) * 2 * np.count_nonzero(mask ^ ndimage.binary_erosion(mask))
            assert abs((noisy ^ mask).sum() - area_fraction * mask.sum()) <= one_step
            assert noisy.any()


def test_a_shift_goes_where_it_is_told_and_equals_a_roll():
    mask = ellipse()
    for down, right in [(-1, -1), (-1, 0), (-1, 1), (0, -1), (0, 1), (1, -1), (1, 0), (1, 1)]:
        noisy = move_by_area(mask, 0.5, 0.0, down, right)
        steps = [n for n in range(101) if np.array_equal(noisy, np.roll(mask, (n * down, n * right), (0, 1)))]
        assert len(steps) == 1 and steps[0] > 1
        moved = np.subtract(ndimage.center_of_mass(noisy), ndimage.center_of_mass(mask))
        np.testing.assert_allclose(moved, np.multiply(steps[0], (down, right)), atol=1e-9)


def test_a_right_angle_is_that_of_numpy():
    """np.rot90 turns from the first axis towards the second with k = 1."""
    mask = np.random.default_rng(0).random((21, 21)) < 0.5
    mask &= np.rot90(mask, 2)  # the centroid is the middle of the picture
    np.testing.assert_array_equal(rotate(mask, 90.0), np.rot90(mask))
    np.testing.assert_array_equal(rotate(mask, 0.0), mask)
    np.testing.assert_array_equal(rotate(mask, -90.0), np.rot90(mask, -1))


@pytest.mark.parametrize("angle_deg", [-30, 10, 25])
def test_a_rotation_keeps_centroid_and_area_and_turns_the_axis(angle_deg):
    mask = ellipse(centre=(40, 80))
    turned = rotate(mask, angle_deg)
    np.testing.assert_allclose(ndimage.center_of_mass(turned), (40, 80), atol=0.3)
    assert turned.sum() == pytest.approx(mask.sum(), rel=0.02)
    offset = np.argwhere(turned) - np.array([40, 80])
    _, vectors = np.linalg.eigh(offset.T @ offset)
    long_axis = vectors[:, 1] * np.sign(vectors[0, 1])  # the ellipse's long axis was the first
    assert np.rad2deg(np.arctan2(long_axis[1], long_axis[0])) == pytest.approx(angle_deg, abs=1)


def test_a_rotation_that_passes_the_fraction_alone_is_not_shifted():
    bar = np.zeros((100, 100), bool)
    bar[10:90, 49:52] = True
    np.testing.assert_array_equal(move_by_area(bar, 0.5, 30.0, 0, 1), rotate(bar, 30.0))
    assert (rotate(bar, 30.0) ^ bar).sum() > 1.0 * bar.sum()  # farther from the fraction than no change at all


@pytest.mark.parametrize(
    "change",
    [
        lambda mask: dilate_by_area(mask, 0.7),
        lambda mask: erode_by_area(mask, 0.7),
        lambda mask: move_by_area(mask, 0.7, 20.0, -1, -1),
    ],
)
def test_no_mask_is_invented_emptied_or_altered_in_place(change):
    assert not change(np.zeros((9, 9), bool)).any()
    for size in (1, 2, 3):
        for corner in (0, 6):
            mask = np.zeros((9, 9), bool)
            mask[corner : corner + size, corner : corner + size] = True
            before = mask.copy()
            noisy = change(mask)
            assert noisy.any() and not noisy.all() and not np.shares_memory(noisy, mask)
            np.testing.assert_array_equal(mask, before)
    with pytest.raises(TypeError, match="uint8"):
        change(np.zeros((3, 4), np.uint8))
    with pytest.raises(ValueError, match=r"\(2, 3, 4\)"):
        change(np.zeros((2, 3, 4), bool))


def test_full_masks_stay_full_under_dilation_and_erosion_and_none_is_filled():
    full = np.ones((8, 8), bool)
    np.testing.assert_array_equal(dilate_by_area(full, 0.5), full)
    np.testing.assert_array_equal(erode_by_area(full, 0.5), full)
    nearly = full.copy()
    nearly[0, 0] = False  # one step would fill the image
    np.testing.assert_array_equal(dilate_by_area(nearly, 0.5), nearly)
