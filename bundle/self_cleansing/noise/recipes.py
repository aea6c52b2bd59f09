# SPDX-License-Identifier: Apache-2.0
"""Noise recipes: which labels become noisy, in which way and by how much.

A *recipe* draws a `Draw` (kind, radius) and a *kind* turns a mask into a noisy mask. A further noise model is one more
entry of `RECIPES`, and of `KINDS` if it changes masks in a new way.

References:
    missing_or_boundary: the self-cleansing paper (see docs/methods.md), whose discs of beta +/- 3 pixels come from
        Zhang et al., Characterizing label errors, MICCAI 2020. The paper names the two mixtures (missing or boundary,
        erosion or dilation) without their probabilities: both are even here.
    boundary_range: Zhu et al., Pick-and-Learn, MICCAI 2019 (noise 1: 1 to 8 px, noise 2: 5 to 13 px), and the type I
        noise of Co-Seg (1 to 8 px).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np

from .morphology import dilate, erode

BETA_MARGIN_PX = 3


class Draw(NamedTuple):
    """What happens to one mask: a key of `KINDS` and its radius (0 for `none` and `missing`)."""

    kind: str
    radius_px: int


CLEAN = Draw("none", 0)

#: kind -> function of (mask bool (H, W), radius_px) that returns a new mask bool (H, W).
KINDS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "none": lambda mask, radius_px: mask.copy(),
    "missing": lambda mask, radius_px: np.zeros_like(mask),
    "erode": erode,
    "dilate": dilate,
}


@dataclass(frozen=True)
class NoiseSpec:
    """One noise setting, checked when it is made.

    Args:
        name: a key of `RECIPES`.
        alpha: the probability in [0, 1] that an image (with `per_organ`: an organ of an image) is noisy.
        beta: `missing_or_boundary` only: the radius is a uniform integer in [beta - 3, beta + 3], both ends included.
            At least 4, because a radius of 0 would call an unchanged label noisy.
        low, high: `boundary_range` only: the radius is a uniform integer in [low, high], both ends included; 1 <= low.
        per_organ: draw for every organ of an image by itself. By default one draw holds for all organs of an image.

    All radii count native pixels, before any crop or resampling.

    Raises:
        ValueError: if a value is out of its range, missing, or belongs to another recipe.
        TypeError: if a radius is not an integer or alpha is not a number.
    """

    name: str
    alpha: float
    beta: int | None = None
    low: int | None = None
    high: int | None = None
    per_organ: bool = False

    def __post_init__(self) -> None:
        if self.name not in RECIPES:
            raise ValueError(f"noise recipe must be one of {', '.join(RECIPES)}, got {self.name!r}")
        if isinstance(self.alpha, bool) or not isinstance(self.alpha, Real):
            raise TypeError(f"alpha must be a number in [0, 1], got {self.alpha!r}")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha must be in [0, 1], got {self.alpha!r}; for 70 % of the images pass 0.7, not 70")
        if not isinstance(self.per_organ, bool):
            raise TypeError(f"per_organ must be true or false, got {self.per_organ!r}")
        needed = RECIPES[self.name].parameters
        for parameter in ("beta", "low", "high"):
            value = getattr(self, parameter)
            if parameter not in needed:
                if value is not None:
                    raise ValueError(
                        f"{parameter} does not belong to the recipe {self.name}, got {value!r}; "
                        f"leave it out (the recipe takes {' and '.join(needed)})"
                    )
            elif value is None:
                raise ValueError(f"the recipe {self.name} needs {parameter}; give it a radius in pixels")
            elif isinstance(value, bool) or not isinstance(value, Integral):
                raise TypeError(f"{parameter} must be a whole number of pixels, got {value!r}")
        if self.beta is not None and self.beta <= BETA_MARGIN_PX:
            raise ValueError(
                f"beta must be at least {BETA_MARGIN_PX + 1}, got {self.beta}; "
                f"the radius is drawn from beta - {BETA_MARGIN_PX} on, and a radius below 1 changes nothing"
            )
        if self.low is not None and self.high is not None and not 1 <= self.low <= self.high:
            raise ValueError(
                f"low and high must satisfy 1 <= low <= high, got low {self.low} and high {self.high}; "
                "give the smaller radius as low"
            )


def _draw_boundary(rng: np.random.Generator, low: int, high: int) -> Draw:
    kind = "erode" if rng.random() < 0.5 else "dilate"
    return Draw(kind, int(rng.integers(low, high, endpoint=True)))


def _draw_missing_or_boundary(rng: np.random.Generator, beta: int) -> Draw:
    if rng.random() < 0.5:
        return Draw("missing", 0)
    return _draw_boundary(rng, beta - BETA_MARGIN_PX, beta + BETA_MARGIN_PX)


class Recipe(NamedTuple):
    """How to draw the noise of a label that is to be noisy: `draw(rng, *parameters)`, the fields of `NoiseSpec`."""

    parameters: tuple[str, ...]
    draw: Callable[..., Draw]


RECIPES: dict[str, Recipe] = {
    "missing_or_boundary": Recipe(("beta",), _draw_missing_or_boundary),
    "boundary_range": Recipe(("low", "high"), _draw_boundary),
}


def draw_noise(spec: NoiseSpec, rng: np.random.Generator) -> Draw:
    """Draw the noise of one image or organ: `none` with probability 1 - alpha, else what the recipe draws.

    The first number of `rng` decides alone whether there is noise. With the same stream, a larger alpha therefore adds
    noisy labels to those of a smaller one and changes none of them.
    """
    if rng.random() >= spec.alpha:
        return CLEAN
    parameters, draw = RECIPES[spec.name]
    return draw(rng, *(getattr(spec, parameter) for parameter in parameters))


def _rng(seed: int, case: str, slice_index: int, organ: int | None) -> np.random.Generator:
    """A generator that depends on its four keys alone (not on Python's hash seed, the order of cases or the worker)."""
    key = json.dumps([int(seed), case, int(slice_index), organ])
    return np.random.default_rng(int.from_bytes(hashlib.sha256(key.encode()).digest(), "big"))


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
            `spec.per_organ`.

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
    if spec.per_organ:
        draws = [draw_noise(spec, _rng(seed, case, slice_index, organ)) for organ in range(len(masks))]
    else:
        draws = [draw_noise(spec, _rng(seed, case, slice_index, None))] * len(masks)
    noisy = np.empty_like(masks)
    for organ, (kind, radius_px) in enumerate(draws):
        noisy[organ] = KINDS[kind](masks[organ], radius_px)
    return noisy, draws
