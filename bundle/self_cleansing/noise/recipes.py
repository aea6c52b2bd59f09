# SPDX-License-Identifier: Apache-2.0
"""Noise recipes: which labels become noisy, in which way and by how much.

A *recipe* draws a `Draw` and its *kind* turns a mask into a noisy mask. A further noise model is one more entry of
`RECIPES`, and of `KINDS` if it changes masks in a new way.

References (docs/methods.md has them in a table, with what differs):
    missing_or_boundary: the self-cleansing paper (see docs/methods.md), whose discs of beta +/- 3 pixels come from
        Zhang et al., Characterizing label errors, MICCAI 2020. The paper names the two mixtures (missing or boundary,
        erosion or dilation) without their probabilities: both are even here.
    missing, erosion_range, dilation_range: ours, one-sided: a single kind of error, which no average cancels.
    boundary_range: Zhu et al., Pick-and-Learn, MICCAI 2019 (noise 1: 1 to 8 px, noise 2: 5 to 13 px), and the type I
        noise of Co-Seg (1 to 8 px).
    boundary_or_edge: Zhang et al., MICCAI 2020, their own mixture.
    relative_area: Li et al., Superpixel-guided iterative learning from noisy labels, MICCAI 2021.
    boundary_walk, level_range: Yao et al., Learning to segment from noisy annotations, ICLR 2023, and its control.
    cross_or_bumps: PyMIC, the noise simulation of its example for JSRT.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np

from .kinds import CLEAN, KINDS, Draw

BETA_MARGIN_PX = 3
BETA_OVER_CIRCLE_RADIUS = 5
MAX_ANGLE_DEG = 30
CROSS_PROBABILITY = 0.35  # of each of dilation and erosion in cross_or_bumps
DIRECTIONS = tuple((down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0))


def _draw_boundary(rng: np.random.Generator, low: int, high: int) -> Draw:
    kind = "erode" if rng.random() < 0.5 else "dilate"
    return Draw(kind, int(rng.integers(low, high, endpoint=True)))


def _draw_missing(rng: np.random.Generator) -> Draw:
    return Draw("missing")


def _draw_erosion(rng: np.random.Generator, low: int, high: int) -> Draw:
    return Draw("erode", int(rng.integers(low, high, endpoint=True)))


def _draw_dilation(rng: np.random.Generator, low: int, high: int) -> Draw:
    return Draw("dilate", int(rng.integers(low, high, endpoint=True)))


def _draw_missing_or_boundary(rng: np.random.Generator, beta: int) -> Draw:
    if rng.random() < 0.5:
        return Draw("missing")
    return _draw_boundary(rng, beta - BETA_MARGIN_PX, beta + BETA_MARGIN_PX)


def _draw_boundary_or_edge(rng: np.random.Generator, beta: int) -> Draw:
    if rng.random() < 1 / 3:
        return Draw("distort_edge", round(beta / BETA_OVER_CIRCLE_RADIUS))
    return _draw_boundary(rng, beta - BETA_MARGIN_PX, beta + BETA_MARGIN_PX)


def _draw_relative_area(rng: np.random.Generator, area_fraction: float) -> Draw:
    kind = ("erode_by_area", "dilate_by_area", "move_by_area")[rng.integers(3)]
    if kind != "move_by_area":
        return Draw(kind, settings=(area_fraction,))
    angle_deg = rng.uniform(-MAX_ANGLE_DEG, MAX_ANGLE_DEG)
    return Draw(kind, settings=(area_fraction, angle_deg, *DIRECTIONS[rng.integers(len(DIRECTIONS))]))


def _draw_walk(rng: np.random.Generator, *settings: float) -> Draw:
    return Draw("boundary_walk", settings=settings)


def _draw_level(rng: np.random.Generator, low: float, high: float) -> Draw:
    kind = "erode" if rng.random() < 0.5 else "dilate"
    return Draw(kind, rng.uniform(low, high))


def _draw_cross_or_bumps(rng: np.random.Generator, low: int, high: int) -> Draw:
    position = rng.random()
    if position >= 2 * CROSS_PROBABILITY:
        return Draw("bump_edge", settings=(low, high))
    kind = "dilate_cross" if position < CROSS_PROBABILITY else "erode_cross"
    return Draw(kind, int(rng.integers(low, high, endpoint=True)))


class Recipe(NamedTuple):
    """How to draw the noise of a label that is to be noisy: `draw(rng, *parameters)`, the fields of `NoiseSpec`."""

    parameters: tuple[str, ...]
    draw: Callable[..., Draw]
    whole_radii: bool = True


RECIPES: dict[str, Recipe] = {
    "missing_or_boundary": Recipe(("beta",), _draw_missing_or_boundary),
    "missing": Recipe((), _draw_missing),
    "erosion_range": Recipe(("low", "high"), _draw_erosion),
    "dilation_range": Recipe(("low", "high"), _draw_dilation),
    "boundary_range": Recipe(("low", "high"), _draw_boundary),
    "boundary_or_edge": Recipe(("beta",), _draw_boundary_or_edge),
    "relative_area": Recipe(("area_fraction",), _draw_relative_area),
    "boundary_walk": Recipe(("steps", "theta1", "theta2", "theta3"), _draw_walk),
    "level_range": Recipe(("low", "high"), _draw_level, whole_radii=False),
    "cross_or_bumps": Recipe(("low", "high"), _draw_cross_or_bumps),
}


class Rule(NamedTuple):
    """Which values a parameter may have, and why."""

    holds: Callable[[float], bool]
    range: str
    reason: str


RULES: dict[str, Rule] = {
    "alpha": Rule(lambda value: 0 <= value <= 1, "in [0, 1]", "for 70 % of the images pass 0.7, not 70"),
    "beta": Rule(
        lambda value: value > BETA_MARGIN_PX,
        f"at least {BETA_MARGIN_PX + 1}",
        f"the radius is drawn from beta - {BETA_MARGIN_PX} on, and a radius below 1 changes nothing",
    ),
    "low": Rule(lambda value: 1 <= value < inf, "at least 1 and finite", "a radius below 1 changes nothing"),
    "high": Rule(lambda value: 1 <= value < inf, "at least 1 and finite", "a radius below 1 changes nothing"),
    "area_fraction": Rule(lambda value: 0 < value < 1, "in (0, 1)", "for 50 % of the area pass 0.5, not 50"),
    "steps": Rule(lambda value: value >= 1, "at least 1", "a walk of no steps changes nothing"),
    "theta1": Rule(lambda value: 0 <= value <= 1, "in [0, 1]", "it is the probability of an outward step"),
    "theta2": Rule(lambda value: 0 < value <= 1, "in (0, 1]", "it is the probability of flipping a rim pixel"),
    "theta3": Rule(lambda value: 0 <= value < 0.5, "in [0, 0.5)", "at one half nothing is left of the mask"),
}


@dataclass(frozen=True)
class NoiseSpec:
    """One noise setting, checked when it is made.

    Args:
        name: a key of `RECIPES`.
        alpha: the probability in [0, 1] that an image (with `per_organ`: an organ of an image) is noisy.
        beta: `missing_or_boundary`, `boundary_or_edge`: the radius is a uniform integer in [beta - 3, beta + 3], both
            ends included. At least 4, because a radius of 0 would call an unchanged label noisy. The circles of an
            edge distortion have the mean radius beta / 5.
        low, high: `boundary_range`, `erosion_range`, `dilation_range`, `cross_or_bumps`: the radius is a uniform
            integer in [low, high], both ends included; 1 <= low. `level_range`: it is a uniform real number.
        area_fraction: `relative_area`: changed pixels over the pixels of the mask, in (0, 1).
        steps, theta1, theta2, theta3: `boundary_walk`; see there.
        per_organ: draw for every organ of an image by itself. By default one draw holds for all organs of an image.

    All radii count native pixels, before any crop or resampling.

    Raises:
        ValueError: if a value is out of its range, missing, or belongs to another recipe.
        TypeError: if a value is not a number, or not a whole number where it has to be one.
    """

    name: str
    alpha: float
    beta: int | None = None
    low: float | None = None
    high: float | None = None
    area_fraction: float | None = None
    steps: int | None = None
    theta1: float | None = None
    theta2: float | None = None
    theta3: float | None = None
    per_organ: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or self.name not in RECIPES:
            raise ValueError(f"noise recipe must be one of {', '.join(RECIPES)}, got {self.name!r}")
        if not isinstance(self.per_organ, bool):
            raise TypeError(f"per_organ must be true or false, got {self.per_organ!r}")
        recipe = RECIPES[self.name]
        whole = {"beta", "steps"} | ({"low", "high"} if recipe.whole_radii else set())
        for parameter, rule in RULES.items():
            value = getattr(self, parameter)
            if parameter != "alpha" and parameter not in recipe.parameters:
                if value is not None:
                    raise ValueError(
                        f"{parameter} does not belong to the recipe {self.name}, got {value!r}; "
                        f"leave it out (the recipe takes {' and '.join(recipe.parameters) or 'none but alpha'})"
                    )
                continue
            if value is None:
                raise ValueError(f"the recipe {self.name} needs {parameter}; give it a value {rule.range}")
            if isinstance(value, bool) or not isinstance(value, Integral if parameter in whole else Real):
                raise TypeError(
                    f"{parameter} must be a {'whole ' * (parameter in whole)}number {rule.range}, got {value!r}"
                )
            if not rule.holds(float(value)):
                raise ValueError(f"{parameter} must be {rule.range}, got {value!r}; {rule.reason}")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(
                f"low and high must satisfy low <= high, got low {self.low} and high {self.high}; "
                "give the smaller radius as low"
            )


def draw_noise(spec: NoiseSpec, rng: np.random.Generator) -> Draw:
    """Draw the noise of one image or organ: `none` with probability 1 - alpha, else what the recipe draws.

    The first number of `rng` decides alone whether there is noise. With the same stream, a larger alpha therefore adds
    noisy labels to those of a smaller one and changes none of them.
    """
    if rng.random() >= spec.alpha:
        return CLEAN
    recipe = RECIPES[spec.name]
    return recipe.draw(rng, *(getattr(spec, parameter) for parameter in recipe.parameters))


def _rng(*key: int | str | None) -> np.random.Generator:
    """A generator that depends on its key alone (not on Python's hash seed, the order of cases or the worker)."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(json.dumps(key).encode()).digest(), "big"))


def apply_noise(
    masks: np.ndarray, case: str, slice_index: int, spec: NoiseSpec, seed: int
) -> tuple[np.ndarray, list[Draw]]:
    """Make the labels of one slice noisy.

    Args:
        masks: bool (K, H, W), one mask per organ, which may overlap and be empty.
        case: stable id of the case.
        slice_index: index of the slice in the case.
        spec: the noise setting.
        seed: integer; the draw is a function of (seed, case, slice_index), and of the organ's index in `masks` with
            `spec.per_organ`. Kinds that need random numbers pixel by pixel have a stream of their own for every organ.

    Returns:
        noisy masks bool (K, H, W), a new array, and the K draws. An empty mask stays empty under every kind; its draw
        is reported as it fell.

    Raises:
        ValueError: if `masks` does not have three dimensions.
        TypeError: if `masks` is not boolean.
    """
    if masks.ndim != 3:
        raise ValueError(f"masks must have the shape (K, H, W), got {masks.shape}; put the classes in the first axis")
    if masks.dtype != bool:
        raise TypeError(f"masks must be boolean, got {masks.dtype}; compare a label map with its class values first")
    sample = int(seed), case, int(slice_index)
    if spec.per_organ:
        draws = [draw_noise(spec, _rng(*sample, organ)) for organ in range(len(masks))]
    else:
        draws = [draw_noise(spec, _rng(*sample, None))] * len(masks)
    noisy = np.empty_like(masks)
    for organ, draw in enumerate(draws):
        noisy[organ] = KINDS[draw.kind](masks[organ], draw, _rng(*sample, organ, "pixels"))
    return noisy, draws
