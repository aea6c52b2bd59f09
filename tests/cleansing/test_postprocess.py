# SPDX-License-Identifier: Apache-2.0
"""Post-processing against hand-written arrays and a slow loop over the components of one slice at a time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from bundle.self_cleansing.cleansing import drop_small_components, fill_small_holes, postprocess


def drawing(*rows: str) -> np.ndarray:
    return np.array([[character == "#" for character in row] for row in rows])


def slow(mask: np.ndarray, fraction: float) -> np.ndarray:
    mask, area = mask.copy(), mask.sum()
    components, count = ndimage.label(mask, structure=np.ones((3, 3)))
    for index in range(1, count + 1):
        if (components == index).sum() < fraction * area:
            mask[components == index] = False
    area = mask.sum()
    components, count = ndimage.label(~mask)
    for index in range(1, count + 1):
        hole = components == index
        at_border = hole[0].any() or hole[-1].any() or hole[:, 0].any() or hole[:, -1].any()
        if not at_border and hole.sum() < fraction * area:
            mask[hole] = True
    return mask


@pytest.mark.parametrize("fraction", [0.0, 0.03, 0.123, 1.0])
def test_a_stack_of_slices_equals_the_slow_loop(fraction):
    rng = np.random.default_rng(0)
    masks = ndimage.gaussian_filter(rng.normal(size=(12, 3, 32, 24)), (0, 0, 1, 1)) > 0
    result = postprocess(masks, fraction)
    for index in np.ndindex(12, 3):
        np.testing.assert_array_equal(result[index], slow(masks[index], fraction))


@pytest.mark.parametrize("seed", range(8))
def test_random_masks_of_every_density_equal_the_slow_loop(seed):
    """Odd and thin shapes, noise from sparse to dense, empty and full slices in one stack."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 40, size=2)
    noise = ndimage.gaussian_filter(rng.normal(size=(9, height, width)), (0, *rng.uniform(0, 1.5, size=2)))
    masks = noise > np.quantile(noise, np.linspace(0, 1, 9))[:, None, None]
    fraction = rng.choice([0.01, 0.1, 0.3])
    result = postprocess(masks, fraction)
    for mask, found in zip(masks, result, strict=True):
        np.testing.assert_array_equal(found, slow(mask, fraction))


def test_a_speck_goes_and_a_pinhole_is_filled_by_hand():
    before = drawing("#######..", "#.#####..", "#######..", "........#", "#........")
    after = drawing("#######..", "#######..", "#######..", ".........", ".........")
    np.testing.assert_array_equal(postprocess(before), after)


def test_foreground_touches_by_corners_and_background_does_not():
    before = drawing("#####...", "#####...", ".....#..", "........")
    np.testing.assert_array_equal(postprocess(before), before)  # 8-connected: the single pixel belongs to the rest
    leaking = drawing("######", "######", "#.####", ".#####")
    filled = leaking.copy()
    filled[2, 1] = True  # 4-connected: the corner does not open the hole to the border
    np.testing.assert_array_equal(postprocess(leaking), filled)


def test_a_bay_at_the_border_is_no_hole():
    before = drawing("######", "######", "##.###")
    np.testing.assert_array_equal(postprocess(before), before)


@pytest.mark.parametrize(("area", "stays"), [(63, True), (64, False)])
def test_exactly_a_tenth_stays(area, stays):
    """7 of 70 pixels is not smaller than 10 %, although 0.1 * 70 > 7 in floating point; 7 of 71 is smaller."""
    mask = np.zeros((12, 12), dtype=bool)
    mask.reshape(-1)[:area] = True
    mask[11, :7] = True
    assert postprocess(mask)[11].any() == stays


def test_each_slice_is_measured_against_itself_and_slices_do_not_touch():
    stack = np.zeros((2, 8, 8), dtype=bool)
    stack[0] = True  # would make the speck of slice 1 a part of something large
    stack[1, 3, 3] = True
    np.testing.assert_array_equal(postprocess(stack), stack)


def test_empty_and_full_masks_and_empty_stacks_stay():
    for mask in (np.zeros((3, 5, 5), bool), np.ones((3, 5, 5), bool), np.zeros((0, 5, 5), bool)):
        np.testing.assert_array_equal(postprocess(mask), mask)


def test_dropping_is_idempotent_and_the_whole_is_not():
    rng = np.random.default_rng(1)
    masks = ndimage.gaussian_filter(rng.normal(size=(30, 24, 24)), (0, 1, 1)) > 0
    once = drop_small_components(masks, 0.1)
    np.testing.assert_array_equal(drop_small_components(once, 0.1), once)
    # A ring of 44 with a hole of 4 beside a blob of 5 (10.2 % of 49): filled, the foreground is 53 and the blob 9.4 %.
    mask = np.zeros((8, 12), dtype=bool)
    mask[:6, :8] = True
    mask[2:4, 2:4] = False
    mask[7, 7:12] = True
    once = postprocess(mask)
    assert once[2:4, 2:4].all() and once[7].sum() == 5
    assert postprocess(once)[7].sum() == 0


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8])
def test_torch_in_torch_out_and_the_input_is_untouched(dtype):
    mask = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.4
    mask = mask.to(dtype)
    before = mask.clone()
    result = postprocess(mask)
    assert result.dtype == dtype and result.shape == mask.shape and torch.equal(mask, before)
    np.testing.assert_array_equal(result.numpy(), postprocess(mask.numpy()))
    np.testing.assert_array_equal(result.numpy().astype(bool), postprocess(mask.numpy().astype(bool)))


def test_holes_are_measured_against_the_foreground():
    ring = np.ones((1, 7, 7), dtype=bool)
    ring[0, 2:4, 2:4] = False  # 4 of 45
    assert fill_small_holes(ring, 0.1).all()
    assert not fill_small_holes(ring, 0.08).all()
    assert not fill_small_holes(ring, 4 / 45).all()  # exactly: it stays


@pytest.mark.cuda
def test_cuda_masks_come_back_to_their_device():
    mask = torch.rand(2, 16, 16) > 0.4
    result = postprocess(mask.cuda())
    assert result.is_cuda and torch.equal(result.cpu(), postprocess(mask))


def test_bad_input_is_named():
    with pytest.raises(ValueError, match="got 10; for 10 %"):
        postprocess(np.zeros((4, 4), bool), 10)
    with pytest.raises(ValueError, match=r"\(4,\)"):
        postprocess(np.zeros(4, bool))
