# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch
from skimage.measure import label as components

from bundle.self_cleansing.methods.confident_joint import LEVELS, label_histograms, quantise
from bundle.self_cleansing.methods.superpixels import refine, refine_thresholds, slic_superpixels, superpixel_mean


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


def disc(generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A noisy image (1, 1, 96, 96) of a disc, in arbitrary units, and the disc."""
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(96), indexing="ij")
    inside = (rows - 44) ** 2 + (columns - 51) ** 2 < 25**2
    return (300 * inside + 20 * torch.randn(96, 96, generator=generator) - 1000)[None, None], inside


def mixed_fraction(superpixels: torch.Tensor, inside: torch.Tensor) -> float:
    shares = [inside[superpixels == part].float().mean().item() for part in superpixels.unique()]
    return sum(0.05 < share < 0.95 for share in shares) / len(shares)


def test_superpixels_follow_the_edge_unless_they_are_compact(generator):
    """What the docstring says of 0.1 and 10."""
    image, inside = disc(generator)
    assert mixed_fraction(slic_superpixels(image, 100, 0.1)[0], inside) < 0.04
    assert mixed_fraction(slic_superpixels(image, 100, 10)[0], inside) > 0.1


def test_superpixels_are_connected_and_numbered_from_1(generator):
    image, _ = disc(generator)
    for images in (image, torch.randn(2, 3, 40, 56, generator=generator), torch.full((1, 1, 64, 64), 7.0)):
        for superpixels in slic_superpixels(images, 60, 0.1):
            assert superpixels.dtype == torch.int16
            assert superpixels.unique().tolist() == list(range(1, int(superpixels.max()) + 1))
            assert components(superpixels.numpy(), background=-1, connectivity=1).max() == superpixels.max()


def test_a_constant_image_is_divided_into_a_grid():
    """36 parts of about 10 by 10 pixels."""
    parts = slic_superpixels(torch.full((1, 2, 60, 60), -3.0), 36, 0.1)[0].long()
    sizes = torch.bincount(parts.flatten())[1:]
    assert len(sizes) == 36 and sizes.min() >= 81 and sizes.max() <= 121


def test_superpixels_do_not_depend_on_the_scale_of_the_image(generator):
    image = torch.randint(256, (1, 1, 32, 32), generator=generator).float()
    one = slic_superpixels(image, 20, 0.5)
    assert torch.equal(one, slic_superpixels(image * 4 - 512, 20, 0.5))
    assert len(one.unique()) > 4


def test_many_segments_need_more_than_16_bits():
    few, many = (slic_superpixels(torch.zeros(1, 1, 64, 64), segments, 1) for segments in (4096, 4097))
    assert (few.dtype, many.dtype) == (torch.int16, torch.int32)
    assert few.min() == 1 and few.max() == 4096


def test_without_images_there_are_no_superpixels():
    assert slic_superpixels(torch.zeros(0, 1, 8, 8), 4, 0.1).shape == (0, 8, 8)


def test_progress_goes_to_a_bar_on_request_only(capsys):
    slic_superpixels(torch.zeros(2, 1, 8, 8), 4, 0.1)
    assert capsys.readouterr().err == ""
    slic_superpixels(torch.zeros(2, 1, 8, 8), 4, 0.1, progress=True)
    assert "superpixels" in capsys.readouterr().err


def test_mean_equals_a_slow_loop(generator):
    values = torch.randn(3, 2, 9, 8, generator=generator)
    superpixels = torch.randint(0, 6, (3, 9, 8), generator=generator, dtype=torch.int16)
    superpixels[1][superpixels[1] == 3] = 0  # images need not have the same labels
    expected = torch.empty_like(values)
    for b in range(3):
        for k in range(2):
            for part in range(6):
                where = superpixels[b] == part
                expected[b, k][where] = values[b, k][where].mean()
    torch.testing.assert_close(superpixel_mean(values, superpixels), expected)


def test_mean_keeps_what_is_constant_on_superpixels_and_the_sum(generator):
    values = torch.rand(2, 1, 12, 12, generator=generator)
    superpixels = torch.randint(0, 20, (2, 12, 12), generator=generator)
    mean = superpixel_mean(values, superpixels)
    torch.testing.assert_close(superpixel_mean(mean, superpixels), mean)
    torch.testing.assert_close(mean.sum(dim=(2, 3)), values.sum(dim=(2, 3)))
    assert mean.dtype == values.dtype and superpixel_mean(values.half(), superpixels).dtype == torch.float16
    assert superpixel_mean(values[:0], superpixels[:0]).shape == (0, 1, 12, 12)


def slow_refinement(mean_prob, label, correct):
    """The published rule, on sorted values: one class at a time, thresholds over the whole set."""
    new = label.clone()
    for k in range(label.shape[1]):
        for c in (0, 1):
            members = label[:, k] == c
            values = mean_prob[:, k][members].sort(descending=c == 0).values
            m = math.floor(correct[k, c].item() * len(values) + 1e-6)
            if m == 0:
                continue
            bound = max(values[m - 1].item(), 0.5) if c == 0 else min(values[m - 1].item(), 0.5)
            beyond = mean_prob[:, k] > bound if c == 0 else mean_prob[:, k] < bound
            new[:, k][members & beyond] = 1 - c
    return new


def on_levels(probs: torch.Tensor) -> torch.Tensor:
    return quantise(probs).float() / (LEVELS - 1)


@pytest.mark.parametrize("correct", [(0.0, 0.0), (0.01, 0.1), (0.05, 0.3), (1.0, 1.0), (0.6, 0.002)])
@pytest.mark.parametrize("steps", [20, 60_000])
def test_refinement_equals_a_slow_sort(correct, steps, generator):
    """Thresholds from the histograms of three batches; with 20 different probabilities most are tied."""
    mean_prob = on_levels(torch.randint(steps + 1, (7, 2, 20, 20), generator=generator) / steps)
    label = (torch.rand(7, 2, 20, 20, generator=generator) < 0.2 + 0.5 * mean_prob).to(torch.uint8)
    fractions = torch.tensor([correct, correct[::-1]], dtype=torch.float64)
    batches = torch.arange(7).split(3)
    histograms = sum(label_histograms(mean_prob[part], label[part]) for part in batches)
    thresholds = refine_thresholds(histograms, fractions)
    new = torch.cat([refine(mean_prob[part], label[part], thresholds) for part in batches])
    assert torch.equal(new, slow_refinement(mean_prob, label, fractions))
    assert (new != label).any() == (max(correct) > 0)


def test_refinement_by_hand():
    """Label 0: .9 .8 .7 .3; half of four is two: above .8, only .9. Label 1: .2 .6 .4 .9; all four: below 1/2."""
    mean_prob = torch.tensor([0.9, 0.8, 0.7, 0.3, 0.2, 0.6, 0.4, 0.9])[None, None, None]
    label = torch.tensor([0.0, 0, 0, 0, 1, 1, 1, 1])[None, None, None]
    thresholds = refine_thresholds(label_histograms(mean_prob, label), torch.tensor([[0.5, 1.0]]))
    assert refine(mean_prob, label, thresholds).flatten().tolist() == [1, 0, 0, 0, 0, 1, 0, 1]


def test_one_half_is_never_corrected():
    half = torch.full((1, 1, 1, 4), 0.5)
    label = torch.tensor([0, 0, 1, 1])[None, None, None]
    thresholds = refine_thresholds(label_histograms(half, label), torch.ones(1, 2))
    assert torch.equal(refine(half, label, thresholds), label)


def test_a_label_without_pixels_is_no_obstacle():
    probs = torch.full((1, 1, 1, 4), 0.9)
    label = torch.zeros(1, 1, 1, 4)
    thresholds = refine_thresholds(label_histograms(probs, label), torch.full((1, 2), 0.5))
    assert torch.equal(refine(probs, label, thresholds), label)


def test_bad_arguments_are_refused():
    images = torch.zeros(2, 1, 8, 8)
    with pytest.raises(ValueError, match="segments.*got 0"):
        slic_superpixels(images, 0, 0.1)
    with pytest.raises(ValueError, match="compactness.*got 0"):
        slic_superpixels(images, 4, 0)
    with pytest.raises(ValueError, match=r"\(2, 8, 8\)"):
        slic_superpixels(images[:, 0], 4, 0.1)
    images[1, 0, 3, 3] = torch.nan
    with pytest.raises(ValueError, match="image 1"):
        slic_superpixels(images, 4, 0.1)
    with pytest.raises(ValueError, match=r"\(2, 1, 8, 8\) and \(2, 8, 7\)"):
        superpixel_mean(images, torch.zeros(2, 8, 7))
    with pytest.raises(ValueError, match=r"5\.0"):
        refine_thresholds(torch.zeros(1, 2, LEVELS, dtype=torch.int64), torch.tensor([[5.0, 0]]))
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        refine_thresholds(torch.zeros(1, 2, LEVELS, dtype=torch.int64), torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        refine(images, images, torch.zeros(3, 2))
