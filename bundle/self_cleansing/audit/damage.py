# SPDX-License-Identifier: Apache-2.0
"""Damage labels on purpose, in every way a label can be wrong, to learn what wrong labels look like to a network."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ..noise import dilate, distort_edge, erode
from .findings import KINDS

WRONG_BELOW = 0.9  # a label with a smaller Dice to the clean one counts as wrong
WHOLE_SAMPLE = 0.5  # probability that all classes of a sample are damaged in the same way
TRIES = 4
MAX_RADIUS = 0.6  # of boundary moves and shifts, in sizes (square root of the area) of the label
EXTRA = KINDS.index("extra")

Masks = NDArray[np.bool_]


def damage(
    labels: Masks,
    sources: Sequence[int] | NDArray[np.int64],
    rng: np.random.Generator,
    marked: NDArray[np.bool_] | None = None,
) -> tuple[Masks, NDArray[np.int8]]:
    """Damage labels, each in a random way.

    A label that marks something is emptied, grown, shrunk, moved, bent, or replaced by that of another class; one that
    marks nothing gets the label of another sample. In half of the samples all classes suffer alike, in the others each
    class is drawn for itself. A damage that leaves a Dice of WRONG_BELOW or more is drawn again, TRIES times at most.

    Args:
        labels: bool (N, K, H, W), all samples: those to damage, and those that extra labels are taken from.
        sources: indices of the M samples to damage, repeats allowed.
        rng: of all draws.
        marked: which labels mark something, bool (N, K); None: it is looked up.

    Returns:
        the damaged labels, bool (M, K, H, W), and per label the position in KINDS of what was done, int8 (M, K); -1
        where the label is as it was.
    """
    damaged = labels[sources].copy()
    kinds = np.full(damaged.shape[:2], -1, dtype=np.int8)
    marks = np.asarray(labels.any((2, 3))) if marked is None else marked
    for row, source in enumerate(sources):
        together = rng.random() < WHOLE_SAMPLE
        drawn = _draw(labels.shape[1], rng)
        for k in range(labels.shape[1]):
            before = labels[source, k]
            for _ in range(TRIES):
                kind, radius = drawn if together else _draw(labels.shape[1], rng)
                if not before.any():
                    kind = EXTRA
                    after = _of_another_sample(labels[:, k], marks[:, k], rng)
                else:
                    after = _damaged(labels[source], k, kind, radius, rng)
                if _dice(before, after) < WRONG_BELOW:
                    damaged[row, k], kinds[row, k] = after, kind
                    break
                together = False
    return damaged, kinds


def _draw(num_classes: int, rng: np.random.Generator) -> tuple[int, float]:
    """A kind other than "extra", and a radius relative to the size of the label."""
    possible = [kind for kind, name in enumerate(KINDS) if kind != EXTRA and (num_classes > 1 or name != KINDS[-1])]
    return int(rng.choice(possible)), float(rng.uniform(0.0, MAX_RADIUS))


def _damaged(masks: Masks, k: int, kind: int, relative_radius: float, rng: np.random.Generator) -> Masks:
    mask = masks[k]
    radius = max(1.0, relative_radius * float(np.sqrt(mask.sum())))
    return _WAYS[KINDS[kind]](masks, k, radius, rng)


def _grown(masks: Masks, k: int, radius: float, rng: np.random.Generator) -> Masks:
    return dilate(masks[k], radius)


def _shrunk(masks: Masks, k: int, radius: float, rng: np.random.Generator) -> Masks:
    smaller = erode(masks[k], radius)
    return smaller if smaller.any() else masks[k]  # that would be a missing one


def _moved(masks: Masks, k: int, radius: float, rng: np.random.Generator) -> Masks:
    angle = rng.uniform(0, 2 * np.pi)
    offset = 2 * radius * np.array([np.sin(angle), np.cos(angle)])
    return ndimage.shift(masks[k].astype(np.uint8), np.round(offset).astype(int), order=0) > 0


def _bent(masks: Masks, k: int, radius: float, rng: np.random.Generator) -> Masks:
    bent = distort_edge(masks[k], max(1, round(radius / 2)), rng)
    return bent if bent.any() else masks[k]


def _swapped(masks: Masks, k: int, radius: float, rng: np.random.Generator) -> Masks:
    others = [j for j in range(len(masks)) if j != k and masks[j].any()]
    return masks[rng.choice(others)] if others else masks[k]


def _emptied(masks: Masks, k: int, radius: float, rng: np.random.Generator) -> Masks:
    return np.zeros_like(masks[k])


def _of_another_sample(masks: Masks, marked: NDArray[np.bool_], rng: np.random.Generator) -> Masks:
    if not marked.any():
        return np.zeros_like(masks[0])
    return masks[rng.choice(np.flatnonzero(marked))]


_WAYS: dict[str, Callable[[Masks, int, float, np.random.Generator], Masks]] = {
    "missing": _emptied,
    "too large": _grown,
    "too small": _shrunk,
    "shifted": _moved,
    "boundary": _bent,
    "swapped class": _swapped,
}


def _dice(one: Masks, other: Masks) -> float:
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0
