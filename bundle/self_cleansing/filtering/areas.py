# SPDX-License-Identifier: Apache-2.0
"""The four integers per sample and class from which labels and predictions are compared."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad


class Areas(NamedTuple):
    """Pixel counts, int64 (N, K) each, on the device of the masks.

    `boundary_length` is at least 1 wherever `pred_area` is.
    """

    label_area: Tensor
    pred_area: Tensor
    difference_area: Tensor
    boundary_length: Tensor


def compare_areas(label: Tensor, pred: Tensor) -> Areas:
    """Count the pixels of label, prediction, their difference and the boundary of the prediction.

    A boundary pixel is a predicted pixel with at least one of its four neighbours outside the prediction. What lies
    beyond the image counts as outside, so that every non-empty prediction has a boundary to divide by.

    Args:
        label: bool (N, K, H, W).
        pred: bool, same shape and device.

    Returns:
        four int64 tensors (N, K).

    Raises:
        ValueError: if the shapes differ or a mask is not boolean.
    """
    if label.shape != pred.shape or label.ndim != 4:
        raise ValueError(f"label and pred must both be (N, K, H, W), got {tuple(label.shape)} and {tuple(pred.shape)}")
    if label.dtype != torch.bool or pred.dtype != torch.bool:
        raise ValueError(f"label and pred must be boolean, got {label.dtype} and {pred.dtype}; threshold them first")
    padded = pad(pred, (1, 1, 1, 1), value=False)
    interior = pred & padded[..., :-2, 1:-1] & padded[..., 2:, 1:-1] & padded[..., 1:-1, :-2] & padded[..., 1:-1, 2:]
    masks = (label, pred, label ^ pred, pred & ~interior)
    return Areas(*(mask.sum(dim=(-2, -1)) for mask in masks))
