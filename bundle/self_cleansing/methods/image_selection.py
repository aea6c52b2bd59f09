# SPDX-License-Identifier: Apache-2.0
"""Co-Seg: images of small loss teach the peer, images of large loss take what both peers agree on.

Reference: Huang et al., Co-Seg: an image segmentation framework against label corruption, ISBI 2021, arXiv 2102.00523.
We differ: scores are means over the pixels, not sums, so that they do not depend on the size.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from .pixel_selection import floor_of


def corruption_scores(logits: Tensor, label: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of every image, over its pixels and classes.

    Args:
        logits: float (B, K, H, W).
        label: any dtype, same shape, in {0, 1}.

    Returns:
        float32 (B,), at least 0.

    Raises:
        ValueError: if the shapes differ.
    """
    if logits.ndim != 4 or logits.shape != label.shape:
        raise ValueError(f"logits and label must both be (B, K, H, W), got {tuple(logits.shape)}, {tuple(label.shape)}")
    return F.binary_cross_entropy_with_logits(logits.float(), label.float(), reduction="none").mean(dim=(1, 2, 3))


def small_loss_images(scores: Tensor, keep: float) -> Tensor:
    """Mark the floor(keep * N) images of smallest score, at least one; among equal scores the first ones.

    Args:
        scores: float (N,).
        keep: fraction to keep, in (0, 1].

    Returns:
        bool (N,). N = 0 gives an empty mask.

    Raises:
        ValueError: if the scores are not one-dimensional or the fraction lies outside (0, 1].
    """
    if scores.ndim != 1:
        raise ValueError(f"scores must be (N,), one per image, got {tuple(scores.shape)}")
    if not 0 < keep <= 1:
        raise ValueError(f"keep must be in (0, 1], got {keep!r}; to keep 70 % of the images pass 0.7, not 70")
    kept = torch.zeros_like(scores, dtype=torch.bool)
    kept[scores.argsort(stable=True)[: max(1, floor_of(keep, len(scores)))]] = True
    return kept


def agreed_correction(first: Tensor, second: Tensor, label: Tensor) -> Tensor:
    """Replace the label where both predictions agree on something else.

    Args:
        first, second: bool (B, K, H, W), predictions of the two peers.
        label: same shape, in {0, 1}.

    Returns:
        new labels, dtype of `label`.

    Raises:
        ValueError: if the shapes differ or a prediction is not boolean.
    """
    if not first.shape == second.shape == label.shape:
        raise ValueError(
            f"first, second and label must have one shape, got {tuple(first.shape)}, {tuple(second.shape)} and "
            f"{tuple(label.shape)}"
        )
    if first.dtype != torch.bool or second.dtype != torch.bool:
        raise ValueError(f"predictions must be boolean, got {first.dtype} and {second.dtype}; threshold them first")
    return torch.where(first == second, first.to(label.dtype), label)
