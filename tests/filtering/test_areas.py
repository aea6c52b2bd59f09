# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from bundle.self_cleansing.filtering import compare_areas


def slow_boundary(mask: torch.Tensor) -> int:
    height, width = mask.shape
    count = 0
    for i in range(height):
        for j in range(width):
            neighbours = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
            inside = all(0 <= r < height and 0 <= c < width and bool(mask[r, c]) for r, c in neighbours)
            count += bool(mask[i, j]) and not inside
    return count


def test_areas_equal_a_slow_count():
    generator = torch.Generator().manual_seed(0)
    label = torch.rand(3, 2, 9, 7, generator=generator) > 0.5
    pred = torch.rand(3, 2, 9, 7, generator=generator) > 0.3
    areas = compare_areas(label, pred)
    for n in range(3):
        for k in range(2):
            assert areas.label_area[n, k] == int(label[n, k].sum())
            assert areas.pred_area[n, k] == int(pred[n, k].sum())
            assert areas.difference_area[n, k] == int((label[n, k] != pred[n, k]).sum())
            assert areas.boundary_length[n, k] == slow_boundary(pred[n, k])


def test_the_border_of_the_image_counts_as_outside_and_an_empty_prediction_has_no_boundary():
    label = torch.zeros(1, 2, 5, 6, dtype=torch.bool)
    pred = label.clone()
    pred[0, 0] = True
    assert compare_areas(label, pred).boundary_length.tolist() == [[18, 0]]  # the frame of 5 x 6


def test_bad_masks_are_named():
    mask = torch.zeros(1, 1, 4, 4)
    with pytest.raises(ValueError, match="float32"):
        compare_areas(mask, mask)
    with pytest.raises(ValueError, match="float32"):
        compare_areas(mask > 0, mask)
    with pytest.raises(ValueError, match="float32"):
        compare_areas(mask, mask > 0)
    with pytest.raises(ValueError, match=r"\(1, 1, 4, 4\) and \(4, 4\)"):
        compare_areas(mask > 0, mask[0, 0] > 0)


@pytest.mark.cuda
def test_cuda_counts_like_the_cpu():
    label, pred = torch.rand(2, 4, 3, 16, 16) > 0.5
    for cpu, gpu in zip(compare_areas(label, pred), compare_areas(label.cuda(), pred.cuda()), strict=True):
        assert torch.equal(cpu, gpu.cpu())
