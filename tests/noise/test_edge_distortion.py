# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from bundle.self_cleansing.noise import bump_edge, distort_edge

CROSS = ndimage.generate_binary_structure(2, 1)


def disc(shape=(80, 90), centre=(40, 45), radius=20) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2


def depth(mask: np.ndarray) -> np.ndarray:
    """Distance to the inner rim of the mask."""
    rim = mask & ~ndimage.binary_erosion(mask, CROSS, border_value=1)
    return ndimage.distance_transform_edt(~rim)


@pytest.mark.parametrize("mean_radius_px", [1, 2, 6])
def test_a_distortion_stays_within_the_largest_radius_and_reaches_it(mean_radius_px):
    mask = disc()
    distances = [
        depth(mask)[distort_edge(mask, mean_radius_px, np.random.default_rng(seed)) ^ mask].max() for seed in range(20)
    ]
    assert max(distances) <= mean_radius_px + 2 and max(distances) > mean_radius_px + 1


def test_circles_of_the_edge_distortion_add_and_remove_alike():
    """At the edge of a half-plane a circle changes about as many pixels whether it is set or cleared."""
    mask = np.zeros((60, 2000), bool)
    mask[:30] = True
    noisy = distort_edge(mask, 2, np.random.default_rng(0))
    added, removed = (noisy & ~mask).sum(), (mask & ~noisy).sum()
    assert added > 1000 and removed > 1000
    # Circles are centred on the last row of the mask, so the rows at equal distance from it fare alike.
    below, above = noisy[30].mean(), 1 - noisy[28].mean()
    assert abs(below - above) < 0.1


def slow_distortion(mask: np.ndarray, mean_radius_px: int, rng: np.random.Generator) -> np.ndarray:
    edge = [tuple(pixel) for pixel in np.argwhere(ndimage.distance_transform_edt(mask) == 1)]
    centres = [pixel for pixel, number in zip(edge, rng.random(len(edge)), strict=True) if number < 0.5]
    radii = rng.integers(mean_radius_px - 2, mean_radius_px + 3, len(centres))
    noisy = mask.copy()
    for centre, radius, number in zip(centres, radii, rng.random(len(centres)), strict=True):
        noisy[disc(mask.shape, centre, abs(radius))] = number < 0.5
    return noisy


@pytest.mark.parametrize("mean_radius_px", [1, 2, 6])
def test_a_distortion_equals_the_loop_over_whole_images(mean_radius_px):
    for seed, centre in enumerate([(40, 45), (3, 5), (79, 20)]):
        mask = disc(centre=centre)
        noisy = distort_edge(mask, mean_radius_px, np.random.default_rng(seed))
        np.testing.assert_array_equal(noisy, slow_distortion(mask, mean_radius_px, np.random.default_rng(seed)))


def test_half_of_the_edge_is_chosen_and_half_of_that_cleared():
    """Lone pixels, far apart: a circle cleared empties its neighbourhood, one set leaves at least the pixel."""
    mask = np.zeros((600, 600), bool)
    mask[5::12, 5::12] = True
    noisy = distort_edge(mask, 1, np.random.default_rng(0))
    total = mask.sum()
    assert abs((mask & ~noisy).sum() - total / 4) < 4 * np.sqrt(total * 3 / 16)
    # Set circles of radius |-1|, 0, 1, 2, 3 have 5, 1, 5, 13 and 29 pixels; one lone pixel in five is set to itself.
    regions, count = ndimage.label(noisy)
    areas = ndimage.sum_labels(noisy, regions, range(1, count + 1))
    assert set(areas) == {1, 5, 13, 29}
    assert abs((areas == 5).sum() - total / 4 * 2 / 5) < 4 * np.sqrt(total / 10 * 9 / 10)


def slow_bumps(mask: np.ndarray, low: int, high: int, rng: np.random.Generator) -> np.ndarray:
    noisy = mask.copy()
    for value in (True, False):
        rim = np.argwhere(ndimage.binary_dilation(noisy, CROSS) & ~noisy)
        chosen = rng.permutation(rim)[: len(rim) // 10]
        for centre, radius in zip(chosen, rng.integers(low, high + 1, len(chosen)), strict=True):
            noisy[disc(mask.shape, centre, radius)] = value
    return noisy


def test_bumps_equal_the_loop_over_whole_images():
    for seed, centre in enumerate([(40, 45), (3, 5), (79, 20)]):
        mask = disc(centre=centre)
        noisy = bump_edge(mask, 6, 12, np.random.default_rng(seed))
        np.testing.assert_array_equal(noisy, slow_bumps(mask, 6, 12, np.random.default_rng(seed)))
        assert (noisy & ~mask).any() and (mask & ~noisy).any()


def test_a_rim_of_fewer_than_ten_pixels_gets_no_bump():
    mask = np.zeros((20, 20), bool)
    mask[10, 8:11] = True  # its rim has 8 pixels
    np.testing.assert_array_equal(bump_edge(mask, 2, 3, np.random.default_rng(0)), mask)
    mask[10, 11] = True  # 10 pixels: one circle, which only adds in the first pass
    assert (bump_edge(mask, 2, 3, np.random.default_rng(0)) != mask).any()


@pytest.mark.parametrize(
    "distort", [lambda mask, rng: distort_edge(mask, 3, rng), lambda mask, rng: bump_edge(mask, 6, 12, rng)]
)
def test_empty_and_full_masks_stay_the_input_is_unchanged_and_the_seed_decides(distort):
    for value in (False, True):
        mask = np.full((30, 31), value)
        np.testing.assert_array_equal(distort(mask, np.random.default_rng(0)), np.full((30, 31), value))
    mask = disc(centre=(1, 88))  # in a corner
    first, second, other = (distort(mask, np.random.default_rng(seed)) for seed in (5, 5, 6))
    np.testing.assert_array_equal(mask, disc(centre=(1, 88)))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == bool and (first != other).any()
    with pytest.raises(TypeError, match="uint8"):
        distort(np.zeros((3, 4), np.uint8), np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"\(2, 3, 4\)"):
        distort(np.zeros((2, 3, 4), bool), np.random.default_rng(0))
