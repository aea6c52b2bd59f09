# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from tiny import disc

from bundle.self_cleansing.transforms import Augmentation

NOTHING = Augmentation(flip_rotate=False)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def batch(count: int = 8, size: int = 16, masks: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    image = torch.rand(count, 2, size, size, generator=generator(100))
    return image, (torch.rand(count, masks, size, size, generator=generator(101)) > 0.5).float()


def dihedral(x: torch.Tensor) -> list[torch.Tensor]:
    turned = [torch.rot90(x, turns, dims=(-2, -1)) for turns in range(4)]
    return turned + [y.flip(-1) for y in turned]


@pytest.mark.parametrize("size", [16, 15])
def test_flip_rotate_gives_each_of_the_eight_images_and_nothing_else(size):
    count = 64 * 8
    image, masks = batch(count, size)
    moved_image, moved_masks = Augmentation(flip_rotate=True)(image, masks, generator())
    chosen = Counter()
    for n in range(count):
        fits = [
            k for k, y in enumerate(dihedral(image[n])) if torch.allclose(moved_image[n], y, atol=1e-4)
        ]  # interpolation at an angle of pi / 2 in float32
        assert len(fits) == 1
        assert torch.equal(moved_masks[n], dihedral(masks[n])[fits[0]])
        chosen[fits[0]] += 1
    assert set(chosen) == set(range(8))
    # 64 expected of each; chi-squared with 7 degrees of freedom exceeds 24.3 in one of a thousand seeds
    assert sum((value - 64) ** 2 / 64 for value in chosen.values()) < 24.3


def test_zero_ranges_are_the_identity():
    image, masks = batch()
    moved_image, moved_masks = NOTHING(image, masks, generator())
    torch.testing.assert_close(moved_image, image, atol=1e-5, rtol=0)
    assert torch.equal(moved_masks, masks)


@pytest.mark.parametrize(
    "geometry",
    [
        {"flip_rotate": True, "rotation_deg": 40.0, "scale": 0.2, "shift": 0.1},
        {"flip_rotate": False, "rotation_deg": 180.0},
        {"flip_rotate": False, "scale": 0.3},
        {"flip_rotate": False, "shift": 0.2},
    ],
)
def test_image_and_masks_go_the_same_way(geometry):
    """The image is the mask: after any move it is, thresholded, still the mask."""
    shapes = torch.stack([disc(32, 10, 20, 5), disc(32, 14, 12, 3) | disc(32, 20, 22, 2)])
    masks = shapes.float()[:, None].repeat(1, 2, 1, 1)
    masks[:, 1] = 1 - masks[:, 1]
    for seed in range(5):
        image, moved = Augmentation(**geometry)(masks[:, :1].clone(), masks, generator(seed))
        assert torch.equal((image >= 0.5).float(), moved[:, :1])
        assert set(moved.unique().tolist()) == {0.0, 1.0}
        assert not torch.equal(moved, masks)


def centroid(mask: torch.Tensor) -> np.ndarray:
    rows, columns = np.nonzero(mask.numpy())
    return np.array([columns.mean() - 31.5, rows.mean() - 31.5])  # x, y from the centre of 64 pixels


def moved_discs(count: int = 40, **options) -> tuple[torch.Tensor, torch.Tensor]:
    mask = disc(64, 31, 44, 6).float().expand(count, 1, 64, 64)
    image, masks = Augmentation(**{"flip_rotate": False, **options})(mask.clone(), mask, generator())
    return image[:, 0], masks[:, 0]


def test_rotation_keeps_distance_and_area_and_spans_its_range():
    _, masks = moved_discs(rotation_deg=30.0)
    start = centroid(disc(64, 31, 44, 6))
    angles = []
    for mask in masks:
        x, y = centroid(mask)
        assert np.hypot(x, y) == pytest.approx(np.hypot(*start), abs=0.3)
        assert float(mask.sum()) == pytest.approx(113, abs=6)
        angles.append(np.degrees(np.arctan2(y, x) - np.arctan2(start[1], start[0])))
    assert -31 < min(angles) < -24 and 24 < max(angles) < 31


def test_scale_is_the_size_change_of_what_is_seen():
    _, masks = moved_discs(scale=0.2)
    start = np.hypot(*centroid(disc(64, 31, 44, 6)))
    factors = []
    for mask in masks:
        factor = np.hypot(*centroid(mask)) / start
        assert float(mask.sum()) / 113 == pytest.approx(factor**2, abs=0.12)
        factors.append(factor)
    assert 0.78 < min(factors) < 0.85 and 1.15 < max(factors) < 1.22


def test_shift_is_a_fraction_of_the_side_in_both_directions():
    _, masks = moved_discs(shift=0.1)
    start = centroid(disc(64, 31, 44, 6))
    shifts = np.stack([centroid(mask) - start for mask in masks])
    assert (np.abs(shifts) <= 6.5).all()
    assert (shifts.max(axis=0) > 5).all() and (shifts.min(axis=0) < -5).all()
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.5  # two draws, not one


def test_beyond_the_border_is_zero():
    ones = torch.ones(20, 1, 32, 32)
    image, masks = Augmentation(flip_rotate=False, shift=0.25)(ones, ones, generator())
    assert (image.amin(dim=(1, 2, 3)) < 1e-6).sum() >= 18  # all but those shifted by less than a pixel
    assert torch.equal((image >= 0.5).float(), masks)


@pytest.mark.parametrize("options", [{"contrast": 0.5}, {"brightness": 0.3}, {"noise": 0.2}])
def test_intensity_changes_leave_masks_alone(options):
    image, masks = batch()
    changed, same = Augmentation(flip_rotate=False, **options)(image, masks, generator())
    assert torch.equal(same, masks)
    assert not torch.allclose(changed, image, atol=1e-3)


def test_contrast_stretches_around_the_mean():
    image, masks = batch(50)
    changed, _ = Augmentation(flip_rotate=False, contrast=0.5)(image, masks, generator())
    torch.testing.assert_close(changed.mean(dim=(1, 2, 3)), image.mean(dim=(1, 2, 3)))
    ratio = changed.std(dim=(1, 2, 3)) / image.std(dim=(1, 2, 3))
    assert 0.49 < ratio.min() < 0.6 and 1.4 < ratio.max() < 1.51


def test_brightness_adds_one_constant_per_sample():
    image, masks = batch(50)
    changed, _ = Augmentation(flip_rotate=False, brightness=0.3)(image, masks, generator())
    added = (changed - image).flatten(1)
    assert added.std(dim=1).max() < 1e-5
    assert -0.31 < added.mean(dim=1).min() < -0.24 and 0.24 < added.mean(dim=1).max() < 0.31


def test_noise_is_gaussian_of_at_most_the_given_level():
    image, masks = batch(50, 32)
    changed, _ = Augmentation(flip_rotate=False, noise=0.2)(image, masks, generator())
    added = (changed - image).flatten(1)
    levels = added.std(dim=1)
    assert levels.min() < 0.03 and 0.16 < levels.max() < 0.21
    assert ((added / levels[:, None]).abs() < 1).float().mean() == pytest.approx(0.6827, abs=0.01)
    assert not torch.allclose(added[:, :1024], added[:, 1024:])  # each channel its own


def test_deterministic_and_one_draw_per_sample():
    everything = Augmentation(True, 15, 0.1, 0.05, 0.2, 0.1, 0.03)
    image, masks = (x[:1].repeat(8, 1, 1, 1) for x in batch())
    before = image.clone(), masks.clone()
    first, again, other = (everything(image, masks, generator(seed)) for seed in (0, 0, 1))
    for k in (0, 1):
        assert torch.equal(first[k], again[k]) and not torch.equal(first[k], other[k])
        assert len({tuple(sample.flatten().tolist()) for sample in first[k]}) == 8
        assert torch.equal((image, masks)[k], before[k])  # inputs are not changed


@pytest.mark.cuda
def test_same_draws_on_cuda():
    everything = Augmentation(True, 15, 0.1, 0.05, 0.2, 0.1, 0.03)
    image, masks = batch()
    expected = everything(image, masks, generator())
    found = everything(image.cuda(), masks.cuda(), generator())
    torch.testing.assert_close(found[0].cpu(), expected[0], atol=1e-4, rtol=0)
    assert (found[1].cpu() != expected[1]).float().mean() < 1e-3  # ties at one half


@pytest.mark.parametrize(
    "geometry", [{"flip_rotate": True}, {"flip_rotate": False, "rotation_deg": 30.0, "shift": 0.2}]
)
def test_a_map_of_regions_moves_along_and_keeps_its_numbers(geometry):
    image, masks = batch(count=6, size=32)
    regions = torch.arange(16).reshape(4, 4).repeat_interleave(8, 0).repeat_interleave(8, 1) + 1  # squares of 8 pixels
    regions = regions.expand(6, 32, 32).contiguous()
    augmentation = Augmentation(**geometry, contrast=0.2, noise=0.03)
    plain = augmentation(image, masks, generator(3))
    moved_image, moved_masks, moved = augmentation.with_map(image, masks, regions, generator(3))
    assert torch.equal(moved_image, plain[0]) and torch.equal(moved_masks, plain[1])
    assert moved.dtype == regions.dtype and set(moved.unique().tolist()) <= set(range(17))
    # Region by region as a mask: bilinear at one half and nearest neighbour differ along the borders only.
    as_masks = torch.stack([(regions == number).float() for number in range(1, 17)], dim=1)
    _, by_mask = augmentation(image, as_masks, generator(3))
    differ = (torch.stack([moved == number for number in range(1, 17)], dim=1) != by_mask.bool()).float().mean()
    assert differ < (1e-6 if geometry["flip_rotate"] else 0.01)
