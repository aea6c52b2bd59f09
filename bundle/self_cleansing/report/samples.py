# SPDX-License-Identifier: Apache-2.0
"""Samples that tell the story of a run: which ones, and how a row of pictures shows one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from ..filtering import Provenance
from .colours import class_colour

WORDS = {Provenance.KEPT: "kept", Provenance.RENEWED: "renewed", Provenance.REJECTED: "left out"}


@dataclass(frozen=True)
class PanelSample:
    """One row of the panel.

    Attributes:
        sample_id: `<case>/<slice>`.
        verdict: in words, '' for a method without a filter.
        posterior: in [0, 1], that the given label is clean; None without a filter.
        image: float (H, W), any scale.
        given: (K, H, W), foreground where non-zero.
        in_force: y' likewise; None without a filter.
        prediction: likewise.
    """

    sample_id: str
    verdict: str
    posterior: float | None
    image: NDArray
    given: NDArray
    in_force: NDArray | None
    prediction: NDArray

    @property
    def title(self) -> str:
        """Sample id, verdict and posterior in one line."""
        parts = [self.sample_id, self.verdict, f"P(clean) = {self.posterior:.2f}" if self.posterior is not None else ""]
        return "   ".join(part for part in parts if part)


def verdict_word(provenance: ArrayLike, takes_part: ArrayLike) -> str:
    """What became of a sample, from its K entries: clean only if all are, else what the first other one became.

    A label left out of the loss stays "left out" also when it was repaired for export at the end.

    Args:
        provenance: K values of `Provenance`.
        takes_part: K booleans.
    """
    for value, used in zip(np.asarray(provenance), np.asarray(takes_part), strict=True):
        if value != Provenance.MANUAL:
            return WORDS[Provenance(int(value))] if used else "left out"
    return "clean"


def choose_samples(
    label_area: ArrayLike,
    pred_area: ArrayLike,
    difference_area: ArrayLike,
    posterior: ArrayLike,
    case_index: ArrayLike,
    count: int = 6,
) -> list[int]:
    """Pick samples in this order, each once: two missing labels, the largest surplus, the largest deficit, good ones.

    A missing label is an empty one where the network predicts something. Surplus and deficit (of non-empty labels)
    are measured in pixels, over all classes, among the half of the samples that is believed least; a method without a
    filter gives everyone the same posterior and is judged by the pixels alone. Good ones are those with the highest
    posterior, then the least disagreement, among samples whose label is at least half as large as the median one.
    Of each, a case that is not shown yet comes before one that is.

    Args:
        label_area, pred_area, difference_area: int (N, K), as `filtering.compare_areas` counts them.
        posterior: float (N, K) in [0, 1], that the given label is clean.
        case_index: int (N,), the case of each sample.
        count: how many at most; the order above decides who is left out.

    Returns:
        indices, fewer than `count` if there are fewer samples; [] if there are none.
    """
    label, pred, difference = (np.asarray(area, dtype=np.int64) for area in (label_area, pred_area, difference_area))
    belief = np.asarray(posterior, dtype=float).mean(axis=1)
    area, marked = label.sum(axis=1), label > 0
    missing = (pred * ~marked).sum(axis=1)
    surplus = ((label - pred) * marked).sum(axis=1)
    doubtful = belief <= np.median(belief) if len(belief) else belief.astype(bool)
    large = area >= np.median(area[area > 0]) / 2 if (area > 0).any() else area > 0
    disagreement = difference.sum(axis=1) / np.maximum(area, 1)

    wanted = [
        (_by(-missing, missing > 0), 2),
        (_by(-surplus, doubtful & (surplus > 0)), 1),
        (_by(surplus, doubtful & (surplus < 0) & (area > 0)), 1),
        (_by(disagreement, large, first=-belief), count),
        (_by(-area, area >= 0), count),
    ]
    case = np.asarray(case_index)
    chosen: list[int] = []
    for candidates, most in wanted:
        for _ in range(min(most, count - len(chosen))):
            left = [index for index in candidates if index not in chosen]
            unseen = [index for index in left if case[index] not in case[chosen]]
            chosen += (unseen or left)[:1]
    return chosen


def _by(key: NDArray, allowed: NDArray, first: NDArray | None = None) -> list[int]:
    """Indices of the allowed samples, ascending by `first`, then `key`, then index."""
    order = np.lexsort((np.arange(len(key)), key, np.zeros(len(key)) if first is None else first))
    return [int(index) for index in order if allowed[index]]


def draw_sample(axes: Sequence[Axes], sample: PanelSample) -> None:
    """Draw image, given label, label in force (if any) and prediction of one sample, as contours on the image."""
    stages = [None, sample.given, sample.in_force, sample.prediction]
    if sample.in_force is None:
        del stages[2]
    for ax, masks in zip(axes, stages, strict=True):
        ax.imshow(sample.image.T, cmap="gray", interpolation="nearest", vmin=0, vmax=max(sample.image.max(), 1e-6))
        ax.set(xticks=[], yticks=[])
        for k, mask in enumerate([] if masks is None else masks):
            if (mask != 0).any():
                _outline(ax, mask.T != 0, class_colour(k))
        if masks is not None and not (masks != 0).any():
            box = {"facecolor": "black", "edgecolor": "none", "pad": 2}
            ax.text(0.5, 0.05, "empty", transform=ax.transAxes, color="white", ha="center", fontsize="small", bbox=box)


def _outline(ax: Axes, mask: NDArray[np.bool_], colour: str) -> None:
    """Draw the pixel edges between foreground and background, those at the border of the image included."""
    height, width = mask.shape
    padded = np.pad(mask, 1)
    rows, columns = np.nonzero(padded[1:] != padded[:-1])
    ax.hlines(rows - 0.5, columns - 1.5, columns - 0.5, colors=colour, linewidth=1.4)
    rows, columns = np.nonzero(padded[:, 1:] != padded[:, :-1])
    ax.vlines(columns - 0.5, rows - 1.5, rows - 0.5, colors=colour, linewidth=1.4)
    ax.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
