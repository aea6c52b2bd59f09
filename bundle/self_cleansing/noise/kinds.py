# SPDX-License-Identifier: Apache-2.0
"""What can happen to one mask: a drawn change, and the function behind each word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np

from .cross import dilate_cross, erode_cross
from .edge_distortion import bump_edge, distort_edge
from .markov_walk import boundary_walk
from .morphology import dilate, erode
from .relative_area import dilate_by_area, erode_by_area, move_by_area


class Draw(NamedTuple):
    """What happens to one mask.

    Attributes:
        kind: a key of `KINDS`.
        radius_px: the radius of a disc, the steps of a cross or the mean radius of circles; 0 where the kind has none.
        settings: further arguments of the kind, in the order of its function.
    """

    kind: str
    radius_px: float = 0
    settings: tuple[Any, ...] = ()  # each kind has its own types


CLEAN = Draw("none")


def _walk(mask: np.ndarray, draw: Draw, rng: np.random.Generator) -> np.ndarray:
    steps, theta1, theta2, theta3 = draw.settings
    return boundary_walk(mask, steps, theta1, theta2, theta3, rng)


def _bump(mask: np.ndarray, draw: Draw, rng: np.random.Generator) -> np.ndarray:
    low, high = draw.settings
    return bump_edge(mask, low, high, rng)


# A cast: recipes draw whole radii for the kinds that want them.
#: kind -> function of (mask bool (H, W), draw, rng) that returns a new mask bool (H, W).
KINDS: dict[str, Callable[[np.ndarray, Draw, np.random.Generator], np.ndarray]] = {
    "none": lambda mask, draw, rng: mask.copy(),
    "missing": lambda mask, draw, rng: np.zeros_like(mask),
    "erode": lambda mask, draw, rng: erode(mask, draw.radius_px),
    "dilate": lambda mask, draw, rng: dilate(mask, draw.radius_px),
    "distort_edge": lambda mask, draw, rng: distort_edge(mask, cast(int, draw.radius_px), rng),
    "erode_by_area": lambda mask, draw, rng: erode_by_area(mask, *draw.settings),
    "dilate_by_area": lambda mask, draw, rng: dilate_by_area(mask, *draw.settings),
    "move_by_area": lambda mask, draw, rng: move_by_area(mask, *draw.settings),
    "boundary_walk": _walk,
    "erode_cross": lambda mask, draw, rng: erode_cross(mask, cast(int, draw.radius_px)),
    "dilate_cross": lambda mask, draw, rng: dilate_cross(mask, cast(int, draw.radius_px)),
    "bump_edge": _bump,
}
