# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch

from bundle.self_cleansing.methods.image_selection import agreed_correction, corruption_scores, small_loss_images


def test_scores_equal_a_slow_loop():
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(3, 2, 4, 5, generator=generator)
    label = (torch.rand(3, 2, 4, 5, generator=generator) < 0.4).to(torch.uint8)
    for b, score in enumerate(corruption_scores(logits, label).tolist()):
        pixels = [
            math.log(1 + math.exp(-z if y else z))
            for z, y in zip(logits[b].flatten().tolist(), label[b].flatten().tolist(), strict=True)
        ]
        assert score == pytest.approx(sum(pixels) / 40, rel=1e-5)


def test_scores_are_finite_and_float32_for_extreme_half_precision_logits():
    scores = corruption_scores(torch.full((2, 1, 2, 2), 6e4).half(), torch.zeros(2, 1, 2, 2))
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, torch.full((2,), 6e4), rtol=1e-3, atol=0)


@pytest.mark.parametrize(
    ("keep", "kept"),
    [(1.0, [0, 1, 2, 3, 4]), (0.8, [1, 2, 3, 4]), (0.79, [1, 2, 3]), (0.4, [1, 3]), (1 - 0.8, [3]), (0.01, [3])],
)
def test_the_smallest_are_kept_and_the_first_of_equals(keep, kept):
    scores = torch.tensor([0.9, 0.2, 0.5, 0.1, 0.5])
    assert small_loss_images(scores, keep).nonzero().flatten().tolist() == kept


def test_ties_go_to_the_first_images():
    assert small_loss_images(torch.ones(1000), 0.3).nonzero().flatten().tolist() == list(range(300))


def test_diverged_images_come_last():
    scores = torch.tensor([torch.nan, 3.0, torch.inf, 2.0])
    assert small_loss_images(scores, 0.5).tolist() == [False, True, False, True]


def test_no_image_gives_an_empty_mask():
    assert small_loss_images(torch.zeros(0), 0.5).shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8])
def test_correction_is_the_majority_of_both_predictions_and_the_label(dtype):
    """All eight combinations."""
    first, second, label = torch.cartesian_prod(*[torch.tensor([0, 1])] * 3).T.reshape(3, 1, 1, 2, 4)
    corrected = agreed_correction(first.bool(), second.bool(), label.to(dtype))
    assert corrected.dtype == dtype
    assert torch.equal(corrected, ((first + second + label) >= 2).to(dtype))


def test_bad_arguments_are_refused():
    ones = torch.ones(1, 1, 2, 2)
    with pytest.raises(ValueError, match=r"\(1, 2, 2\)"):
        corruption_scores(ones, ones[0])
    with pytest.raises(ValueError, match="70"):
        small_loss_images(torch.ones(3), 70)
    with pytest.raises(ValueError, match="got 0.0"):
        small_loss_images(torch.ones(3), 0.0)
    with pytest.raises(ValueError, match=r"\(1, 3\)"):
        small_loss_images(torch.ones(1, 3), 0.5)
    with pytest.raises(ValueError, match="float32"):
        agreed_correction(ones, ones > 0, ones)
    with pytest.raises(ValueError, match=r"\(1, 2, 2\)"):
        agreed_correction(ones > 0, ones > 0, ones[0])
