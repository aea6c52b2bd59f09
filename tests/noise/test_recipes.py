# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from bundle.self_cleansing.noise import KINDS, Draw, NoiseSpec, apply_noise, dilate, draw_noise, erode

ROOT = Path(__file__).resolve().parents[2]
PAPER = NoiseSpec("missing_or_boundary", alpha=0.7, beta=10)


def draws_of(spec: NoiseSpec, count: int) -> Counter:
    rng = np.random.default_rng(0)
    return Counter(draw_noise(spec, rng) for _ in range(count))


def organs() -> np.ndarray:
    masks = np.zeros((3, 60, 64), bool)
    masks[0, 10:40, 8:30] = True
    masks[1, 20:50, 30:55] = True
    return masks  # the third organ is not in this slice


def near(count: int, probability: float, total: int) -> bool:
    """Within four standard deviations of a binomial count."""
    return abs(count - probability * total) < 4 * np.sqrt(total * probability * (1 - probability))


@pytest.mark.parametrize(("beta", "radii"), [(5, range(2, 9)), (10, range(7, 14))])
def test_the_paper_mixture_has_its_kinds_and_radii(beta, radii):
    total = 20_000
    draws = draws_of(NoiseSpec("missing_or_boundary", 0.7, beta=beta), total)
    assert set(draws) == {Draw("none", 0), Draw("missing", 0)} | {
        Draw(kind, radius) for kind in ("erode", "dilate") for radius in radii
    }
    assert near(draws[Draw("none", 0)], 0.3, total)
    assert near(draws[Draw("missing", 0)], 0.35, total)
    for kind in ("erode", "dilate"):
        for radius in radii:
            assert near(draws[Draw(kind, radius)], 0.175 / 7, total)


@pytest.mark.parametrize(("low", "high"), [(1, 8), (5, 13), (4, 4)])
def test_a_boundary_range_is_even_in_kind_and_radius_and_includes_both_ends(low, high):
    total = 20_000
    draws = draws_of(NoiseSpec("boundary_range", 0.5, low=low, high=high), total)
    radii = range(low, high + 1)
    assert set(draws) - {Draw("none", 0)} == {Draw(kind, r) for kind in ("erode", "dilate") for r in radii}
    assert near(draws[Draw("none", 0)], 0.5, total)
    assert all(near(n, 0.25 / len(radii), total) for draw, n in draws.items() if draw.kind != "none")


def test_alpha_0_changes_nothing_and_alpha_1_spares_no_image():
    assert set(draws_of(NoiseSpec("missing_or_boundary", 0, beta=5), 1000)) == {Draw("none", 0)}
    assert Draw("none", 0) not in draws_of(NoiseSpec("missing_or_boundary", 1, beta=5), 1000)


def test_one_draw_holds_for_all_organs_of_an_image_by_default():
    for index in range(50):
        _, draws = apply_noise(organs(), "a", index, PAPER, 0)
        assert len(draws) == 3 and len(set(draws)) == 1


def test_per_organ_draws_are_independent():
    spec = NoiseSpec("missing_or_boundary", 0.5, beta=5, per_organ=True)
    total = 2000
    tiny = np.zeros((2, 1, 1), bool)
    noisy = [[draw.kind != "none" for draw in apply_noise(tiny, "a", i, spec, 0)[1]] for i in range(total)]
    for pattern in ([False, False], [False, True], [True, False], [True, True]):
        assert near(noisy.count(pattern), 0.25, total)


def test_the_noisy_mask_is_what_its_draw_says():
    seen = set()
    for index in range(60):
        clean = organs()
        noisy, draws = apply_noise(clean, "case", index, PAPER, 3)
        np.testing.assert_array_equal(clean, organs())
        assert noisy.dtype == bool and not np.shares_memory(noisy, clean)
        for mask, before, (kind, radius) in zip(noisy, clean, draws, strict=True):
            after = {"none": before, "missing": before & False}.get(kind)
            if after is None:
                after = (erode if kind == "erode" else dilate)(before, radius)
            np.testing.assert_array_equal(mask, after)
        assert not noisy[2].any()  # no noise invents an organ
        seen |= {draw.kind for draw in draws}
    assert seen == set(KINDS)


def test_draws_do_not_depend_on_the_order_of_cases():
    spec = NoiseSpec("missing_or_boundary", 0.7, beta=5, per_organ=True)
    keys = [(case, index) for case in ("patient001_frame01", "patient001_frame12", "b") for index in range(5)]
    forward = {key: apply_noise(organs(), *key, spec, 0)[1] for key in keys}
    backward = {key: apply_noise(organs(), *key, spec, 0)[1] for key in reversed(keys)}
    assert forward == backward


def test_every_key_changes_the_draw():
    def draws(seed=0, case="a", first=0):
        return [apply_noise(organs(), case, first + i, PAPER, seed)[1][0] for i in range(40)]

    assert draws() == draws()
    assert draws() != draws(seed=1)
    assert draws() != draws(case="b")
    assert draws() != draws(first=40)


def test_the_draw_is_that_of_the_documented_hash_in_another_process():
    """Another process has another hash seed; here the key is spelt out by hand."""
    key = hashlib.sha256(b'[7, "patient001_frame01", 4, null]').digest()
    expected = draw_noise(PAPER, np.random.default_rng(int.from_bytes(key, "big")))
    code = (
        "import numpy as np; from bundle.self_cleansing.noise import NoiseSpec, apply_noise;"
        "spec = NoiseSpec('missing_or_boundary', 0.7, beta=10);"
        "print(*apply_noise(np.zeros((1, 2, 2), bool), 'patient001_frame01', 4, spec, 7)[1][0])"
    )
    environment = os.environ | {"PYTHONHASHSEED": "123", "PYTHONPATH": str(ROOT)}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [expected.kind, str(expected.radius_px)]


def test_a_larger_alpha_keeps_the_noise_of_a_smaller_one():
    small, large = (NoiseSpec("missing_or_boundary", alpha, beta=10) for alpha in (0.3, 0.7))
    for index in range(200):
        few, many = (apply_noise(organs(), "a", index, spec, 0)[1] for spec in (small, large))
        assert few[0].kind == "none" or few == many


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"name": "gauss", "alpha": 0.5}, ValueError, "'gauss'"),
        ({"name": "missing_or_boundary", "alpha": 70, "beta": 10}, ValueError, "70; for 70 %.*pass 0.7"),
        ({"name": "missing_or_boundary", "alpha": -0.1, "beta": 10}, ValueError, "-0.1"),
        ({"name": "missing_or_boundary", "alpha": float("nan"), "beta": 10}, ValueError, "nan"),
        ({"name": "missing_or_boundary", "alpha": "0.7", "beta": 10}, TypeError, "'0.7'"),
        ({"name": "missing_or_boundary", "alpha": 0.7}, ValueError, "needs beta"),
        ({"name": "missing_or_boundary", "alpha": 0.7, "beta": 3}, ValueError, "at least 4, got 3"),
        ({"name": "missing_or_boundary", "alpha": 0.7, "beta": 5.5}, TypeError, "5.5"),
        ({"name": "missing_or_boundary", "alpha": 0.7, "beta": 5, "low": 2}, ValueError, "low does not belong"),
        ({"name": "missing_or_boundary", "alpha": 0.7, "beta": 5, "per_organ": "no"}, TypeError, "'no'"),
        ({"name": "boundary_range", "alpha": 0.7, "low": 8, "high": 1}, ValueError, "low 8 and high 1"),
        ({"name": "boundary_range", "alpha": 0.7, "low": 0, "high": 1}, ValueError, "low 0"),
        ({"name": "boundary_range", "alpha": 0.7, "low": 1}, ValueError, "needs high"),
    ],
)
def test_bad_settings_are_named(arguments, error, match):
    with pytest.raises(error, match=match):
        NoiseSpec(**arguments)


def test_bad_masks_are_named():
    with pytest.raises(ValueError, match=r"\(4, 4\)"):
        apply_noise(np.zeros((4, 4), bool), "a", 0, PAPER, 0)
    with pytest.raises(TypeError, match="uint8"):
        apply_noise(np.zeros((1, 4, 4), np.uint8), "a", 0, PAPER, 0)


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "noise").glob("*.yaml")), ids=lambda path: path.stem)
def test_recipe_files_are_valid_and_mean_what_their_names_say(path):
    spec = NoiseSpec(**yaml.safe_load(path.read_text()))
    assert spec.per_organ is False
    if path.stem.startswith("paper_"):
        assert path.stem == f"paper_alpha{round(100 * spec.alpha)}_beta{spec.beta}"
    else:
        ranges = {"pick_and_learn_noise1": (1, 8), "pick_and_learn_noise2": (5, 13), "co_seg_type1": (1, 8)}
        assert (spec.low, spec.high) == ranges[path.stem]
    assert path.name in path.read_text()  # the command in the comment runs this file
