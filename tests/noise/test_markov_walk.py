# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import ndimage

from bundle.self_cleansing.noise import boundary_walk


def ellipse(size: int, centre=(0.5, 0.45), radii=(0.25, 0.2)) -> np.ndarray:
    y, x = np.mgrid[:size, :size] / size
    return ((y - centre[0]) / radii[0]) ** 2 + ((x - centre[1]) / radii[1]) ** 2 <= 1


def slow_walk(mask, steps, theta1, theta2, theta3, rng):
    """As published: distance transforms, a loop over the rim, and the blur written out pixel by pixel."""
    noisy = mask.copy()
    sides = rng.random(steps)
    for side in sides:
        distance = ndimage.distance_transform_edt(~noisy if side < theta1 else noisy)
        rim = np.argwhere(distance == 1)
        for (y, x), number in zip(rim, rng.random(len(rim)), strict=True):
            if number < theta2:
                noisy[y, x] = not noisy[y, x]
    noisy = np.where(rng.random(mask.shape) < theta3, ~noisy, noisy)
    offsets = np.arange(-2, 3)
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 2.0**2))
    kernel /= kernel.sum()
    padded = np.pad(noisy.astype(float), 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5))
    return (windows * kernel).sum((2, 3)) > 0.5


@pytest.mark.parametrize("centre", [(0.5, 0.45), (0.05, 0.9)])
@pytest.mark.parametrize(("theta1", "theta3"), [(0.8, 0.2), (0.2, 0.2), (0.7, 0.0)])
def test_the_walk_equals_the_published_steps_with_distance_transforms(centre, theta1, theta3):
    mask = ellipse(48, centre)
    setting = 40, theta1, 0.05, theta3
    noisy = boundary_walk(mask, *setting, np.random.default_rng(1))
    np.testing.assert_array_equal(noisy, slow_walk(mask, *setting, np.random.default_rng(1)))
    assert (noisy != mask).any()


def test_theta1_decides_the_direction():
    mask = ellipse(96)
    rng = np.random.default_rng(0)
    areas = {theta1: boundary_walk(mask, 80, theta1, 0.05, 0.0, rng).sum() / mask.sum() for theta1 in (0.2, 0.5, 0.8)}
    assert areas[0.2] < 0.85 and 0.9 < areas[0.5] < 1.1 and areas[0.8] > 1.15


def test_errors_of_the_boundary_are_correlated_in_space():
    """Neighbouring rows of an edge move together: white noise of the same spread would correlate by 0."""
    mask = np.zeros((400, 60), bool)
    mask[:, :30] = True
    edge = boundary_walk(mask, 100, 0.5, 0.2, 0.0, np.random.default_rng(0)).sum(1).astype(float)
    edge -= edge.mean()
    assert edge.std() > 0.5
    assert (edge[1:] * edge[:-1]).mean() / edge.var() > 0.4


def test_without_steps_and_flips_only_the_blur_is_left():
    mask = ellipse(64)
    out = boundary_walk(mask, 0, 0.8, 0.05, 0.0, np.random.default_rng(0))
    assert (out ^ mask).sum() < 0.01 * mask.sum()
    thin = np.zeros((20, 20), bool)
    thin[10, 5:15] = True
    assert not boundary_walk(thin, 0, 0.8, 0.05, 0.0, np.random.default_rng(0)).any()  # a line does not survive it


def test_empty_masks_stay_empty_and_full_ones_only_lose_specks():
    setting = 30, 0.2, 0.1, 0.2
    assert not boundary_walk(np.zeros((40, 41), bool), *setting, np.random.default_rng(0)).any()
    assert boundary_walk(np.ones((40, 41), bool), *setting, np.random.default_rng(0)).mean() > 0.98


def test_the_input_is_unchanged_the_seed_decides_and_bad_masks_are_named():
    mask = ellipse(50)
    setting = 30, 0.8, 0.05, 0.2
    first, second, other = (boundary_walk(mask, *setting, np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(mask, ellipse(50))
    np.testing.assert_array_equal(first, second)
    assert first.dtype == bool and (first != other).any()
    with pytest.raises(TypeError, match="uint8"):
        boundary_walk(mask.astype(np.uint8), *setting, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"\(2, 3, 4\)"):
        boundary_walk(np.zeros((2, 3, 4), bool), *setting, np.random.default_rng(0))


def test_the_longest_published_walk_is_fast():
    mask, rng = ellipse(256), np.random.default_rng(0)
    start = time.perf_counter()
    boundary_walk(mask, 200, 0.8, 0.05, 0.2, rng)
    assert time.perf_counter() - start < 1  # about 0.06 s; distance transforms take several seconds
