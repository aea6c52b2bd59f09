# SPDX-License-Identifier: Apache-2.0
"""Simulated label noise: masks stay masks, empty ones empty, and the same draw gives the same mask."""

from __future__ import annotations

import numpy as np
from fuzz.strategies import masks, seeds
from hypothesis import given
from hypothesis import strategies as st

from bundle.self_cleansing.noise import NoiseSpec, apply_noise

PARAMETERS = {
    "missing_or_boundary": st.fixed_dictionaries({"beta": st.integers(4, 12)}),
    "boundary_range": st.fixed_dictionaries({"low": st.integers(1, 3), "high": st.integers(3, 9)}),
    "boundary_or_edge": st.fixed_dictionaries({"beta": st.integers(4, 12)}),
    "relative_area": st.fixed_dictionaries({"area_fraction": st.floats(0.01, 0.99)}),
    "level_range": st.fixed_dictionaries({"low": st.floats(1, 3), "high": st.floats(3, 9)}),
    "cross_or_bumps": st.fixed_dictionaries({"low": st.integers(1, 3), "high": st.integers(3, 9)}),
    "boundary_walk": st.fixed_dictionaries(
        {
            "steps": st.integers(1, 9),
            "theta1": st.floats(0, 1),
            "theta2": st.floats(0.1, 1),
            "theta3": st.floats(0, 0.4),
        }
    ),
}
RECIPES = st.sampled_from(sorted(PARAMETERS)).flatmap(
    lambda name: PARAMETERS[name].map(lambda numbers: {"name": name, **numbers})
)


@given(masks(2, 20, 16), RECIPES, st.floats(0, 1), st.booleans(), seeds)
def test_noise_keeps_masks_masks_and_empty_ones_empty(clean, recipe, alpha, per_organ, seed):
    spec = NoiseSpec(alpha=alpha, per_organ=per_organ, **recipe)
    before = clean.copy()
    noisy, draws = apply_noise(clean, "case", 3, spec, seed)
    again, _ = apply_noise(clean, "case", 3, spec, seed)
    assert noisy.dtype == bool and noisy.shape == clean.shape and len(draws) == len(clean)
    assert np.array_equal(noisy, again) and np.array_equal(clean, before)
    assert not noisy[~clean.any(axis=(1, 2))].any()
    untouched = [draw.kind == "none" for draw in draws]
    assert np.array_equal(noisy[untouched], clean[untouched])


@given(masks(2, 20, 16), RECIPES, seeds)
def test_no_noise_changes_nothing(clean, recipe, seed):
    noisy, _ = apply_noise(clean, "case", 0, NoiseSpec(alpha=0.0, **recipe), seed)
    assert np.array_equal(noisy, clean)
