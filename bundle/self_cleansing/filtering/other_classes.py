# SPDX-License-Identifier: Apache-2.0
"""What the believed labels of a sample say about those at odds with the network, where errors come by the sample.

A network that was taught without empty labels draws a structure where there is none: at the ends of the heart the
right ventricle stops before the left one does. It also misses structures where they are thin. A rule that asks the
network alone (`displacement_filter`: predicted but not marked, marked but not predicted) turns such labels down, and
the network goes on as it was taught. If one hand drew all labels of a sample, those believed for their outline speak
for the others. Not in the paper: the measurements behind it are in docs/decisions/0002-practical-filter.md.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .verdicts import Verdicts


def marked_before_and_after(marked: ArrayLike, case_index: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether other slices of the same case mark a class, before and after each sample.

    Args:
        marked: bool (N, K); the samples of a case follow one another, in the order of its slices.
        case_index: int (N,), the case of each sample.

    Returns:
        before, after: bool (N, K) each. A structure in one piece lies in all slices that have both.

    Raises:
        ValueError: if the shapes do not fit.
    """
    marked, case_index = np.asarray(marked, dtype=bool), np.asarray(case_index)
    if marked.ndim != 2 or case_index.shape != marked.shape[:1]:
        raise ValueError(f"marked (N, K) and case_index (N,) must agree, got {marked.shape} and {case_index.shape}")
    before, after = np.zeros_like(marked), np.zeros_like(marked)
    for case in np.unique(case_index):
        mine = np.flatnonzero(case_index == case)
        before[mine[1:]] = np.logical_or.accumulate(marked[mine])[:-1]
        after[mine[:-1]] = np.logical_or.accumulate(marked[mine][::-1])[::-1][1:]
    return before, after


def believe_with_other_classes(
    verdicts: Verdicts,
    label_area: ArrayLike,
    pred_area: ArrayLike,
    case_index: ArrayLike,
    *,
    seen_area_px: int = 8,
    max_missing_fraction: float = 0.05,
    min_samples: int = 24,
) -> Verdicts:
    """Believe labels at odds with the network where another class of the same sample is believed for its outline.

      - Marked, but not predicted: believed.
      - Empty, in a slice beyond the first or last one of its case that marks the class: believed, unless labels of
        this class go missing one at a time. That shows between marked slices: of the samples there in which another
        class is believed, at most `max_missing_fraction` may lack this one while the network predicts it, and there
        must be `min_samples` of them to tell. Where a case marks the class nowhere, nothing is believed: it may have
        been skipped.

    What this cannot see: labels of one class that end too early in many cases leave no gap, and are believed.

    Args:
        verdicts: of `displacement_filter`, (N, K).
        label_area, pred_area: int (N, K), as `compare_areas` counts them.
        case_index: int (N,), see `marked_before_and_after`.
        seen_area_px: predictions up to this many pixels do not count as seen.
        max_missing_fraction: in [0, 1]. Where errors come by the sample there was none, at 30 and 70 % noise.
        min_samples: at least 1.

    Returns:
        the verdicts with more clean ones, never fewer; their posterior is that of the class they are believed for, and
        they are not by a rule any more.

    Raises:
        ValueError: if the shapes do not fit.
    """
    label_area, pred_area = np.asarray(label_area), np.asarray(pred_area)
    if not verdicts.clean.shape == label_area.shape == pred_area.shape:
        shapes = f"{verdicts.clean.shape}, {label_area.shape} and {pred_area.shape}"
        raise ValueError(f"verdicts, label_area and pred_area must all have shape (N, K), got {shapes}")
    marked, found = label_area > 0, pred_area > 0
    by_outline = verdicts.clean & marked & found
    another = by_outline.sum(axis=1, keepdims=True) > by_outline  # (N, K): a class other than this one is believed
    before, after = marked_before_and_after(marked, case_index)

    inside = before & after & another
    missing = inside & ~marked & (pred_area > seen_area_px)
    enough = inside.sum(axis=0) >= min_samples  # (K,)
    errs_by_sample = enough & (missing.sum(axis=0) <= max_missing_fraction * inside.sum(axis=0))
    absent = ~marked & (before ^ after) & errs_by_sample
    believed = another & ((marked & ~found) | absent)
    posterior = np.where(by_outline, verdicts.posterior, 0.0).max(axis=1, keepdims=True, initial=0.0)
    return replace(
        verdicts,
        clean=verdicts.clean | believed,
        posterior=np.where(believed, posterior, verdicts.posterior),
        by_rule=verdicts.by_rule & ~believed,
    )
