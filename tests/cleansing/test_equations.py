# SPDX-License-Identifier: Apache-2.0
"""Eqs. 4-6 in closed form against the equations as printed: Python loops and the full n x n similarity matrix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bundle.self_cleansing.cleansing import (
    GridFeatures,
    cleanse,
    grid_features,
    mean_direction,
    prototype_direction,
    representation_degree,
    resolve_empty,
    similarity,
)

B, K, F, SIZE, GRID = 2, 3, 5, 12, 4


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norm) if norm > 0 else 0.0


def slow_grid(features: np.ndarray, region: np.ndarray, grid: int) -> dict[int, np.ndarray]:
    """Eq. 4 for one sample and class: features (F, H, W), region (H, W)."""
    height, width = region.shape[0] // grid, region.shape[1] // grid
    cells = {}
    for i in range(grid):
        for j in range(grid):
            pixels = [
                features[:, r, c]
                for r in range(i * height, (i + 1) * height)
                for c in range(j * width, (j + 1) * width)
                if region[r, c]
            ]
            if pixels:
                cells[i * grid + j] = np.mean(pixels, axis=0)
    return cells


def slow_degree(cells: dict[int, np.ndarray], num_cells: int) -> np.ndarray:
    """Eq. 5, every pair of cells."""
    matrix = np.array([[cosine(a, b) for b in cells.values()] for a in cells.values()])
    degree = np.zeros(num_cells)
    if cells:
        degree[list(cells)] = matrix.sum(axis=1)
    return degree / degree.max() if degree.max() > 0 else np.zeros(num_cells)


def slow_similarity(features: np.ndarray, prototypes: list[np.ndarray]) -> np.ndarray:
    """Eq. 6, every pixel with every prototype."""
    result = np.zeros(features.shape[1:])
    for r, c in np.ndindex(result.shape):
        if prototypes:
            result[r, c] = np.mean([cosine(features[:, r, c], prototype) for prototype in prototypes])
    return result


def dense(grid: GridFeatures) -> torch.Tensor:
    """Put the rows of the cells where they belong: (B, K, F, n), zero outside the region."""
    full = torch.zeros(*grid.inside.shape, grid.features.shape[1])
    full[grid.inside] = grid.features
    return full.transpose(2, 3)


@pytest.fixture(params=["signed", "relu"])
def inputs(request):
    """Features with zero vectors; regions of three kinds, one of them empty, one touching only one cell."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(B, F, SIZE, SIZE, generator=generator) + 0.5
    if request.param == "relu":
        features = features.relu()
    features[:, :, :3] = 0
    features[0, :, 5, 5] = 0
    region = torch.rand(B, K, SIZE, SIZE, generator=generator) > 0.6
    region[0, 1] = False
    region[1, 2] = False
    region[1, 2, 7, 7] = True
    return features, region


def test_each_equation_agrees_with_its_literal_form(inputs):
    features, region = inputs
    grid = grid_features(features, region, GRID)
    degree = representation_degree(*grid)
    direction = prototype_direction(*grid, sigma=0.7)
    probability = similarity(features, direction)
    assert grid.features.shape == (grid.inside.sum(), F) and degree.shape == (B, K, GRID**2)
    for b in range(B):
        for k in range(K):
            values = features[b].numpy().astype(np.float64)
            cells = slow_grid(values, region[b, k].numpy(), GRID)
            assert set(torch.nonzero(grid.inside[b, k])[:, 0].tolist()) == set(cells)
            for cell, expected in cells.items():
                np.testing.assert_allclose(dense(grid)[b, k, :, cell], expected, atol=1e-5)
            expected_degree = slow_degree(cells, GRID**2)
            np.testing.assert_allclose(degree[b, k], expected_degree, atol=1e-5)
            prototypes = [cells[j] for j in range(GRID**2) if expected_degree[j] > 0.7]
            np.testing.assert_allclose(probability[b, k], slow_similarity(values, prototypes), atol=1e-5)


@pytest.mark.parametrize("mu", [0.3, 0.7])
def test_pseudo_labels_agree_with_the_literal_pipeline(inputs, mu):
    features, region = inputs
    label, found = cleanse(features, region, grid_size=GRID, sigma=0.5, mu=mu)
    for b in range(B):
        for k in range(K):
            cells = slow_grid(features[b].numpy(), region[b, k].numpy(), GRID)
            degree = slow_degree(cells, GRID**2)
            expected = slow_similarity(features[b].numpy(), [cells[j] for j in cells if degree[j] > 0.5])
            certain = np.abs(expected - mu) > 1e-5
            np.testing.assert_array_equal(label[b, k].numpy()[certain], (expected > mu)[certain])
    assert found.tolist() == [[True, False, True], [True, True, True]]
    assert not label[0, 1].any()


def test_the_mean_feature_is_a_single_prototype(inputs):
    features, region = inputs
    probability = similarity(features, mean_direction(features, region))
    label, found = cleanse(features, region, variant="mean", mu=0.7)
    for b in range(B):
        for k in range(K):
            inside = features[b][:, region[b, k]].numpy()
            prototypes = [inside.mean(axis=1)] if inside.size else []
            np.testing.assert_allclose(probability[b, k], slow_similarity(features[b].numpy(), prototypes), atol=1e-5)
    assert torch.equal(label, probability > 0.7)
    assert found.tolist() == [[True, False, True], [True, True, True]]


def test_the_prediction_itself_is_a_variant(inputs):
    features, region = inputs
    label, found = cleanse(features, region, variant="prediction")
    assert torch.equal(label, region) and not found[0, 1]
    assert label.data_ptr() != region.data_ptr()


def test_pixels_outside_the_region_and_the_scale_of_a_feature_do_not_count(inputs):
    features, region = inputs
    outside = ~region.any(dim=1, keepdim=True)
    grid = grid_features(features, region, GRID)
    changed = grid_features(torch.where(outside, 99.0, features), region, GRID)
    torch.testing.assert_close(changed.features, grid.features)
    # Eqs. 5 and 6 are made of cosines: scaling a cell's or a pixel's feature changes nothing.
    scale = torch.arange(1.0, len(grid.features) + 1)[:, None]
    torch.testing.assert_close(
        prototype_direction(grid.features * scale, grid.inside), prototype_direction(*grid), atol=1e-5, rtol=0
    )


def test_a_cell_outside_the_region_has_no_degree_and_is_no_prototype():
    inside = torch.tensor([[[True, False, True]]])
    assert representation_degree(torch.eye(2), inside).tolist() == [[[1.0, 0.0, 1.0]]]
    assert prototype_direction(torch.eye(2), inside, sigma=-1).tolist() == [[[0.5, 0.5]]]


def test_classes_and_samples_do_not_mix(inputs):
    features, region = inputs
    together = cleanse(features, region, grid_size=GRID)
    alone = cleanse(features[1:], region[1:, :1], grid_size=GRID)
    assert torch.equal(together.label[1:, :1], alone.label)


def test_cells_need_not_be_square_and_a_grid_of_pixels_is_allowed():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(1, 3, 8, 12, generator=generator)
    region = torch.rand(1, 1, 8, 12, generator=generator) > 0.5
    cells = slow_grid(features[0].numpy(), region[0, 0].numpy(), 4)
    grid = grid_features(features, region, 4)
    for cell, expected in cells.items():
        np.testing.assert_allclose(dense(grid)[0, 0, :, cell], expected, atol=1e-5)
    square = grid_features(features[..., :8], region[..., :8], 8)
    torch.testing.assert_close(
        dense(square)[0, 0], (features[0, ..., :8] * region[0, 0, :, :8]).flatten(1), atol=1e-6, rtol=0
    )


def test_features_that_all_vanish_give_nothing_to_work_from():
    region = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    for variant in ("prototypes", "mean"):
        label, found = cleanse(torch.zeros(1, 3, 8, 8), region, variant=variant, grid_size=4)
        assert not label.any() and not found.any()
    assert cleanse(torch.zeros(0, 3, 8, 8), torch.zeros(0, 2, 8, 8) > 0, grid_size=4).label.shape == (0, 2, 8, 8)


def test_half_precision_features_are_summed_in_single_precision():
    features = torch.full((1, 2, 8, 8), 2000.0, dtype=torch.float16)
    grid = grid_features(features, torch.ones(1, 1, 8, 8, dtype=torch.bool), 1)
    assert grid.features.dtype == torch.float32
    assert grid.features.flatten().tolist() == [2000.0, 2000.0]  # 64 x 2000 does not fit a half


def test_where_nothing_was_found_the_previous_label_stays_else_the_given_one():
    new = cleanse(torch.zeros(1, 2, 4, 4), torch.zeros(1, 3, 4, 4) > 0, variant="prediction")
    new.label[0, 2], new.found[0, 2] = True, True
    previous, manual = torch.zeros(1, 3, 4, 4) > 0, torch.zeros(1, 3, 4, 4) > 0
    previous[0, 0, 0], manual[:, :, 1] = True, True
    resolved = resolve_empty(new, previous, manual)
    assert torch.equal(resolved[0, 0], previous[0, 0])
    assert torch.equal(resolved[0, 1], manual[0, 1])
    assert resolved[0, 2].all()


@pytest.mark.parametrize(
    ("shape", "options", "match"),
    [
        ((1, 1, 8, 8), {"grid_size": 64}, "got 64 for 8 x 8"),
        ((1, 1, 8, 8), {"grid_size": 3}, "got 3 for 8 x 8"),
        ((1, 1, 4, 4), {}, r"\(1, 1, 4, 4\)"),
        ((1, 1, 8, 8), {"variant": "median"}, "'median'"),
    ],
)
def test_bad_input_is_named(shape, options, match):
    with pytest.raises(ValueError, match=match):
        cleanse(torch.zeros(1, 3, 8, 8), torch.ones(shape, dtype=torch.bool), **options)


@pytest.mark.cuda
def test_cuda_agrees_with_the_cpu(inputs):
    features, region = inputs
    grid = grid_features(features, region, GRID)
    on_gpu = grid_features(features.cuda(), region.cuda(), GRID)
    torch.testing.assert_close(on_gpu.features.cpu(), grid.features, atol=1e-5, rtol=0)
    probability = similarity(features, prototype_direction(*grid))
    torch.testing.assert_close(
        similarity(features.cuda(), prototype_direction(*on_gpu)).cpu(), probability, atol=1e-5, rtol=0
    )
    certain = (probability - 0.7).abs() > 1e-5
    label = cleanse(features.cuda(), region.cuda(), grid_size=GRID).label.cpu()
    assert torch.equal(label[certain], (probability > 0.7)[certain])


def test_the_defaults_are_the_paper_s():
    features, region = (
        torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0)),
        torch.ones(1, 1, 64, 64) > 0,
    )
    features[:, 0] += 2  # a common direction, so that both thresholds have something on either side
    found = cleanse(features, region)
    assert torch.equal(found.label, cleanse(features, region, grid_size=64, sigma=0.7, mu=0.7).label)
    assert 0 < found.label.float().mean() < 1
    grid, same = grid_features(features, region), grid_features(features, region, 64)
    assert torch.equal(grid.features, same.features)
    assert torch.equal(prototype_direction(*grid), prototype_direction(*grid, 0.7))
    assert not torch.equal(prototype_direction(*grid), prototype_direction(*grid, 0.8))
