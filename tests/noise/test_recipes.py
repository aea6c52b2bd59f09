# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import hashlib
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from bundle.self_cleansing.noise import (
    KINDS,
    RECIPES,
    Draw,
    NoiseSpec,
    apply_noise,
    bump_edge,
    dilate,
    dilate_by_area,
    dilate_cross,
    draw_noise,
    erode,
    move_by_area,
)

ROOT = Path(__file__).resolve().parents[2]
PAPER = NoiseSpec("missing_or_boundary", alpha=0.7, beta=10)
EVERY = {
    "missing_or_boundary": {"beta": 5},
    "missing": {},
    "erosion_range": {"low": 1, "high": 8},
    "dilation_range": {"low": 1, "high": 8},
    "boundary_range": {"low": 1, "high": 8},
    "boundary_or_edge": {"beta": 5},
    "relative_area": {"area_fraction": 0.5},
    "boundary_walk": {"steps": 30, "theta1": 0.8, "theta2": 0.05, "theta3": 0.2},
    "level_range": {"low": 3.0, "high": 5.0},
    "cross_or_bumps": {"low": 3, "high": 6},
}


WALK = {"name": "boundary_walk", "alpha": 1, **EVERY["boundary_walk"]}


def specs(alpha: float, **settings) -> list[NoiseSpec]:
    """One setting of every recipe."""
    assert EVERY.keys() == RECIPES.keys()
    return [NoiseSpec(name, alpha, **EVERY[name], **settings) for name in EVERY]


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


@pytest.mark.parametrize(("name", "kind"), [("erosion_range", "erode"), ("dilation_range", "dilate")])
def test_a_one_sided_range_has_one_kind_and_even_radii(name, kind):
    total = 20_000
    draws = draws_of(NoiseSpec(name, 0.5, low=7, high=13), total)
    assert set(draws) - {Draw("none", 0)} == {Draw(kind, radius) for radius in range(7, 14)}
    assert all(near(n, 0.5 / 7, total) for draw, n in draws.items() if draw.kind != "none")


def test_missing_alone_takes_no_parameter():
    draws = draws_of(NoiseSpec("missing", 0.5), 20_000)
    assert set(draws) == {Draw("none"), Draw("missing")} and near(draws[Draw("missing")], 0.5, 20_000)
    with pytest.raises(ValueError, match="beta does not belong to the recipe missing, got 5; .* takes none but alpha"):
        NoiseSpec("missing", 0.5, beta=5)


@pytest.mark.parametrize(("beta", "circle_px"), [(5, 1), (10, 2), (14, 3), (30, 6)])
def test_the_confident_learning_mixture_is_a_third_each(beta, circle_px):
    total = 20_000
    draws = draws_of(NoiseSpec("boundary_or_edge", 0.5, beta=beta), total)
    radii = range(beta - 3, beta + 4)
    assert near(draws.pop(Draw("none", 0)), 1 / 2, total)
    assert near(draws.pop(Draw("distort_edge", circle_px)), 1 / 6, total)
    assert set(draws) == {Draw(kind, radius) for kind in ("erode", "dilate") for radius in radii}
    assert all(near(n, 1 / 6 / 7, total) for n in draws.values())


def test_the_relative_area_mixture_is_a_third_each_with_even_angles_and_directions():
    total = 20_000
    draws = list(draws_of(NoiseSpec("relative_area", 1, area_fraction=0.7), total).elements())
    assert near(draws.count(Draw("erode_by_area", 0, (0.7,))), 1 / 3, total)
    assert near(draws.count(Draw("dilate_by_area", 0, (0.7,))), 1 / 3, total)
    moves = [draw.settings for draw in draws if draw.kind == "move_by_area"]
    fractions, angles, *_ = zip(*moves, strict=True)
    assert set(fractions) == {0.7} and -30 <= min(angles) < -29.9 and 29.9 < max(angles) <= 30
    assert near(sum(angle < -15 for angle in angles), 1 / 4, len(moves))
    directions = Counter(move[2:] for move in moves)
    assert len(directions) == 8 and all(max(map(abs, direction)) == 1 for direction in directions)
    assert all(near(n, 1 / 8, len(moves)) for n in directions.values())


def test_levels_are_real_and_even():
    total = 20_000
    draws = list(draws_of(NoiseSpec("level_range", 1, low=3, high=5), total).elements())
    levels = np.array([draw.radius_px for draw in draws])
    assert 3 <= levels.min() < 3.01 and 4.99 < levels.max() <= 5 and len(np.unique(levels)) > total / 2
    assert near((levels < 3.5).sum(), 1 / 4, total)
    assert near(sum(draw.kind == "erode" for draw in draws), 1 / 2, total)


def test_the_pymic_mixture_has_its_kinds_and_radii():
    total = 20_000
    draws = draws_of(NoiseSpec("cross_or_bumps", 0.95, low=6, high=12), total)
    assert near(draws.pop(Draw("none", 0)), 0.05, total)
    assert near(draws.pop(Draw("bump_edge", 0, (6, 12))), 0.95 * 0.3, total)
    assert set(draws) == {Draw(f"{kind}_cross", r) for kind in ("erode", "dilate") for r in range(6, 13)}
    assert all(near(n, 0.95 * 0.35 / 7, total) for n in draws.values())


def test_a_walk_hands_its_setting_on():
    spec = NoiseSpec("boundary_walk", 1, steps=80, theta1=0.7, theta2=0.05, theta3=0)
    assert set(draws_of(spec, 100)) == {Draw("boundary_walk", 0, (80, 0.7, 0.05, 0))}


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
        for mask, before, (kind, radius, _) in zip(noisy, clean, draws, strict=True):
            after = {"none": before, "missing": before & False}.get(kind)
            if after is None:
                after = (erode if kind == "erode" else dilate)(before, radius)
            np.testing.assert_array_equal(mask, after)
        assert not noisy[2].any()  # no noise invents an organ
        seen |= {draw.kind for draw in draws}
    assert seen == {"none", "missing", "erode", "dilate"}


def test_every_kind_comes_from_a_recipe_and_calls_its_function():
    """One draw of each kind, with the function of that kind called by name; masks at the border among them."""
    rng = np.random.default_rng
    expected = {
        "dilate_by_area": lambda mask, draw: dilate_by_area(mask, *draw.settings),
        "move_by_area": lambda mask, draw: move_by_area(mask, *draw.settings),
        "dilate_cross": lambda mask, draw: dilate_cross(mask, draw.radius_px),
        "bump_edge": lambda mask, draw: bump_edge(mask, 3, 6, rng(5)),
        "dilate": lambda mask, draw: dilate(mask, draw.radius_px),
    }
    stream, seen = rng(0), {}
    for spec in specs(0.9):
        seen |= {draw.kind: draw for draw in (draw_noise(spec, stream) for _ in range(60))}
    assert seen.keys() == KINDS.keys()
    for kind, draw in seen.items():
        for mask in (organs()[0], organs()[0][10:40, 8:]):
            noisy = KINDS[kind](mask, draw, rng(5))
            assert (noisy != mask).any() == (kind != "none")
            if kind in expected:
                np.testing.assert_array_equal(noisy, expected[kind](mask, draw))
            if kind.startswith(("dilate", "none")):
                assert not (mask & ~noisy).any()
            if kind.startswith(("erode", "missing")):
                assert not (noisy & ~mask).any()
            assert not KINDS[kind](np.zeros_like(mask), draw, rng(5)).any()


@pytest.mark.parametrize("spec", specs(0.5), ids=lambda spec: spec.name)
def test_noisy_masks_depend_on_their_keys_alone(spec):
    """The same slice within another order of slices and next to other organs; another seed gives other masks."""

    def noisy(case, index, seed=0, count=3):
        return apply_noise(organs()[:count], case, index, spec, seed)[0]

    keys = [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    forward = {key: noisy(*key) for key in keys}
    for key in reversed(keys):
        np.testing.assert_array_equal(noisy(*key), forward[key])
        np.testing.assert_array_equal(noisy(*key, count=1), forward[key][:1])
        assert not forward[key][2].any()
    assert any((noisy(*key, seed=1) != forward[key]).any() for key in keys)


@pytest.mark.parametrize("spec", specs(1.0, per_organ=True), ids=lambda spec: spec.name)
def test_a_larger_alpha_keeps_the_masks_of_a_smaller_one(spec):
    small = dataclasses.replace(spec, alpha=0.4)
    kept = 0
    for index in range(20):
        (few, draws), (many, _) = (apply_noise(organs(), "a", index, which, 0) for which in (small, spec))
        for organ, draw in enumerate(draws):
            np.testing.assert_array_equal(few[organ], (organs() if draw.kind == "none" else many)[organ])
            kept += draw.kind != "none"
    assert 10 < kept < 40


def test_organs_of_an_image_share_the_draw_but_not_the_pixels():
    """Two equal masks: the same draw, random pixels of their own."""
    masks = np.stack([organs()[0]] * 2)
    spec = NoiseSpec("boundary_walk", 1, steps=30, theta1=0.8, theta2=0.05, theta3=0.2)
    noisy, draws = apply_noise(masks, "a", 0, spec, 0)
    assert draws[0] == draws[1] and (noisy[0] != noisy[1]).any()


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
        "print(*apply_noise(np.zeros((1, 2, 2), bool), 'patient001_frame01', 4, spec, 7)[1][0][:2])"
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
        (
            {"name": "boundary_range", "alpha": 0.7, "low": 0, "high": 1},
            ValueError,
            "low must be at least 1 and finite, got 0",
        ),
        ({"name": "boundary_range", "alpha": 0.7, "low": 1}, ValueError, "needs high"),
        ({"name": "boundary_range", "alpha": 0.7, "low": 1, "high": 2.5}, TypeError, "high .* whole number.* 2.5"),
        ({"name": "level_range", "alpha": 1, "low": 3, "high": float("inf")}, ValueError, "high .* inf"),
        ({"name": "level_range", "alpha": 1, "low": 0.5, "high": 2}, ValueError, "low must .* got 0.5"),
        ({"name": "cross_or_bumps", "alpha": 1, "low": 3, "high": True}, TypeError, "high .* True"),
        ({"name": "relative_area", "alpha": 1, "area_fraction": 50}, ValueError, "50; .* pass 0.5, not 50"),
        ({"name": "relative_area", "alpha": 1, "area_fraction": 0}, ValueError, "area_fraction must be in .* got 0;"),
        ({"name": "relative_area", "alpha": 1, "beta": 5}, ValueError, "beta does not belong to the recipe relative"),
        ({**WALK, "steps": 0}, ValueError, "steps must be at least 1, got 0"),
        ({**WALK, "steps": 9.5}, TypeError, "steps must be a whole number at least 1, got 9.5"),
        ({**WALK, "theta1": 1.2}, ValueError, "theta1 .* 1.2"),
        ({**WALK, "theta2": 0}, ValueError, "theta2 .* got 0;"),
        ({**WALK, "theta3": 0.5}, ValueError, r"theta3 must be in \[0, 0.5\), got 0.5"),
        ({**WALK, "theta3": float("nan")}, ValueError, "theta3 .* nan"),
        ({**WALK, "theta3": None}, ValueError, "needs theta3"),
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
    source = path.stem.split("_")[0]
    assert spec.per_organ is (source == "confident")  # the one protocol that draws organs by themselves
    if source == "paper":
        assert path.stem == f"paper_alpha{round(100 * spec.alpha)}_beta{spec.beta}"
    elif source == "superpixel":
        assert path.stem == f"superpixel_alpha{round(100 * spec.alpha)}_beta{round(100 * spec.area_fraction)}"
    elif source == "markov":
        assert path.stem.endswith("over" if spec.theta1 > 0.5 else "under")
        lasting = {"lung": (180, 0.05, 0.2), "clavicle": (100, 0.02, 0.2), "isic": (200, 0.05, 0.2)}
        lasting["brats"] = (80, 0.05, 0.0)
        assert (spec.steps, spec.theta2, spec.theta3) == lasting[path.stem.split("_")[-2]]
        assert spec.alpha == 1 and spec.theta1 in ((0.3, 0.7) if "brats" in path.stem else (0.2, 0.8))
    elif source in ("missing", "erosion", "dilation"):
        assert (spec.name.split("_")[0], spec.alpha) == (source, 0.5)
        assert (spec.low, spec.high) == ((None, None) if source == "missing" else (7, 13))
    elif source == "confident":
        assert (spec.name, spec.beta) == ("boundary_or_edge", 10)
    else:
        ranges = {"pick_and_learn_noise1": (1, 8), "pick_and_learn_noise2": (5, 13), "co_seg_type1": (1, 8)}
        ranges |= {"pymic": (6, 12), "level_jsrt_lung": (7, 9), "level_jsrt_clavicle": (3, 5)}
        assert (spec.low, spec.high) == ranges[path.stem]
    assert path.name in path.read_text()  # the command in the comment runs this file
