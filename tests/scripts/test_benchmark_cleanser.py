# SPDX-License-Identifier: Apache-2.0
"""The benchmark's competitors must compute the same thing, or its ratios mean nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bundle.self_cleansing.cleansing import (
    cleanse,
    grid_features,
    postprocess,
    prototype_direction,
    representation_degree,
    similarity,
)
from scripts import benchmark_cleanser as benchmark


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(("size", "grid_size"), [(64, 64), (128, 64), (96, 24)])
def test_the_pairwise_equations_equal_the_cleanser(size, grid_size, layout):
    masks = benchmark.hearts(3, size)
    features = benchmark.tissue_features(masks).contiguous(memory_format=layout)
    region = torch.from_numpy(masks)
    grid = grid_features(features, region, grid_size)
    degree = representation_degree(*grid)
    cosine = similarity(features, prototype_direction(*grid))
    label = cleanse(features, region, grid_size=grid_size).label
    for b, k in np.ndindex(masks.shape[:2]):
        expected_degree, expected = benchmark.pairwise(features[b], region[b, k], grid_size)
        torch.testing.assert_close(degree[b, k], expected_degree, atol=1e-5, rtol=0)
        torch.testing.assert_close(cosine[b, k], expected, atol=1e-5, rtol=0)
        certain = (expected - 0.7).abs() > 1e-5
        assert torch.equal(label[b, k][certain], (expected > 0.7)[certain])
        assert 0 < label[b, k].sum() < label[b, k].numel()  # there was something to decide


def test_the_loop_equals_post_processing():
    masks = benchmark.hearts(20, 64)
    expected = benchmark.loop_postprocess(masks)
    np.testing.assert_array_equal(postprocess(masks), expected)
    assert (expected & ~masks).any() and (masks & ~expected).any()  # specks went and holes were filled
    assert not masks[9].any() and not expected[9].any()


def test_competitors_take_turns_and_the_first_round_does_not_count():
    calls = []
    numbers = benchmark.take_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, repeats=2)
    assert calls == ["a", "b"] * 3
    assert numbers["a"]["ratio"] == 1
    for values in numbers.values():
        assert 0 < values["min_s"] <= values["median_s"] <= values["max_s"]
    assert numbers["b"]["ratio"] == pytest.approx(numbers["b"]["median_s"] / numbers["a"]["median_s"])


def test_every_benchmark_runs():
    assert 0 < benchmark.difference_from_pairwise() < 1e-5
    assert list(benchmark.cleanser_against_pairwise(1)) == ["sum", "cleanse", "pairwise"]
    assert list(benchmark.postprocess_against_scipy_loop(1)) == ["postprocess", "loop"]
    assert list(benchmark.sweep_against_forward(64, 4, 1)) == ["forward", "sweep", "filter"]


def test_the_network_of_the_benchmark_predicts_as_many_pixels_as_are_labelled():
    dataset = benchmark.heart_bank(16, 64)
    network = benchmark.heart_network(dataset)
    with torch.no_grad():
        logits = network(dataset.images)
        features = network.features(dataset.images)
    assert features.is_contiguous(memory_format=torch.channels_last)
    predicted, labelled = ((values > 0).sum(dim=(0, 2, 3)) for values in (logits, dataset.labels))
    assert ((predicted - labelled).abs() <= 2).all()
