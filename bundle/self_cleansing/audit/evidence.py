# SPDX-License-Identifier: Apache-2.0
"""What speaks for and against a given label, as numbers: the label against an out-of-sample prediction.

Symbols, per slice and class: G the given label, P the prediction above one half, p its probabilities, X = G xor P the
pixels where they differ, L the mean length of both boundaries (at least 1 px). All lengths are in pixels of the
network's grid.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from ..filtering import compare_areas

#: Columns of `evidence`. NaN where a column is undefined.
COLUMNS = (
    "signed displacement",  # (|G| - |P|) / L: positive where the label is too large
    "absolute displacement",  # |X| / L
    "dice",  # of G and P, 1 if both are empty
    "confident surplus",  # sum of 1 - 2p over G \ P, over L: what the network is sure does not belong there
    "confident lack",  # sum of 2p - 1 over P \ G, over L: what it is sure is missing
    "uncertainty",  # sum of 4 p (1 - p) over the slice, over L: its doubt of its own boundary
    "deepest surplus",  # largest distance of a pixel of G from P, px
    "deepest lack",  # largest distance of a pixel of P from G, px
    "label size",  # square root of |G|, px
    "predicted size",  # square root of |P|, px
    "largest probability",
    "shift",  # distance of the centroids over the predicted size
    "label on other classes",  # share of G predicted as another class
    "prediction on other labels",  # share of P labelled as another class
    "label beside its neighbours",  # size of G less the mean of the neighbouring slices' labels, px
    "prediction beside its neighbours",  # likewise of P
    "neighbouring labels",  # the mean size of the neighbouring slices' labels, px
    "slices to the end",  # of the volume, at most 3
)
FARTHEST_PX = 32.0


def evidence(
    given: NDArray[np.bool_], probs: NDArray[np.float32], context: NDArray[np.bool_] | None = None
) -> NDArray[np.float32]:
    """Compare the labels of one case with what a network that never saw them predicts.

    Args:
        given: bool (D, K, H, W), the slices of a volume in order.
        probs: float (D, K, H, W) in [0, 1].
        context: labels of the neighbouring slices, bool (D, K, H, W), where they are not `given`: each slice of
            `given` is then judged as the only one that differs from them.

    Returns:
        float32 (D, K, F), columns as in COLUMNS.

    Raises:
        ValueError: if the shapes differ.
    """
    if given.shape != probs.shape or given.ndim != 4:
        raise ValueError(f"given and probs must both be (D, K, H, W), got {given.shape} and {probs.shape}")
    pred = probs > 0.5
    areas = [one.numpy() for one in compare_areas(torch.from_numpy(given), torch.from_numpy(pred))]
    label_area, pred_area, difference, pred_length = (one.astype(np.float64) for one in areas)
    label_length = compare_areas(torch.from_numpy(pred), torch.from_numpy(given)).boundary_length.numpy()
    length = np.maximum((pred_length + label_length) / 2, 1.0)
    surplus, lack = given & ~pred, pred & ~given
    common = (given & pred).sum((2, 3))
    total = label_area + pred_area
    label_size, pred_size = np.sqrt(label_area), np.sqrt(pred_area)
    beside = _neighbours(label_size if context is None else np.sqrt(context.sum((2, 3))))
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = (
            (label_area - pred_area) / length,
            difference / length,
            np.where(total > 0, 2 * common / np.maximum(total, 1), 1.0),
            ((1 - 2 * probs) * surplus).sum((2, 3)) / length,
            ((2 * probs - 1) * lack).sum((2, 3)) / length,
            (4 * probs * (1 - probs)).sum((2, 3)) / length,
            _farthest(given, pred),
            _farthest(pred, given),
            label_size,
            pred_size,
            probs.max((2, 3)),
            _centroid_distance(given, pred) / pred_size,
            (given & _others(pred)).sum((2, 3)) / label_area,
            (pred & _others(given)).sum((2, 3)) / pred_area,
            label_size - beside,
            pred_size - _neighbours(pred_size),
            beside,
            _to_the_end(given.shape[:2]),
        )
    return np.stack(columns, axis=-1).astype(np.float32)


def _others(masks: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where any other class is, (D, K, H, W)."""
    return (masks.sum(axis=1, keepdims=True) - masks) > 0


def _farthest(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Largest distance of a pixel of `mask` from `other`, (D, K); 0 for an empty mask, FARTHEST_PX at most."""
    farthest = np.zeros(mask.shape[:2])
    for at in zip(*np.nonzero((mask & ~other).any((2, 3))), strict=True):
        if other[at].any():
            farthest[at] = ndimage.distance_transform_edt(~other[at])[mask[at]].max()
        else:
            farthest[at] = FARTHEST_PX
    return np.minimum(farthest, FARTHEST_PX)


def _centroid_distance(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance of the centroids in pixels, (D, K); NaN where one mask is empty."""
    rows, columns = np.indices(mask.shape[-2:], dtype=np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        centres = [
            np.stack([(one * axis).sum((2, 3)) / one.sum((2, 3)) for axis in (rows, columns)]) for one in (mask, other)
        ]
    return np.hypot(*(centres[0] - centres[1]))


def _neighbours(size: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean of the slices before and after, (D, K); NaN for a volume of one slice."""
    padded = np.pad(size, ((1, 1), (0, 0)), constant_values=np.nan)
    both = np.stack([padded[:-2], padded[2:]])
    count = np.isfinite(both).sum(axis=0)
    return np.where(count > 0, np.nansum(both, axis=0) / np.maximum(count, 1), np.nan)


def _to_the_end(shape: tuple[int, ...]) -> NDArray[np.float64]:
    depth, classes = shape
    number = np.arange(depth)
    nearest = np.minimum(number, depth - 1 - number)
    return np.repeat(np.minimum(nearest, 3)[:, None], classes, axis=1).astype(np.float64)
