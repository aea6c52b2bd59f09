# SPDX-License-Identifier: Apache-2.0
"""JoCoR on pixels: one loss of two networks that shall agree, small where both find the label easy.

Symbols: z_1, z_2 logits of the two networks, s = sigmoid(z), p = [1 - s, s]; y label; lambda `agreement_weight`.
Reference: Wei et al., Combating noisy labels by agreement, CVPR 2020, doi 10.1109/CVPR42600.2020.01374; per pixel and
label: Li, Gao, He, MICCAI 2021, arXiv 2107.10100. We differ: exactly the stated number of pixels is dropped.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def joint_loss(first: Tensor, second: Tensor, label: Tensor, agreement_weight: float) -> Tensor:
    """Return (1 - lambda) [BCE(z_1, y) + BCE(z_2, y)] + lambda [KL(p_1 || p_2) + KL(p_2 || p_1)] per pixel.

    The gradient flows into both networks through both terms. Finite for all logits below 1e18 in magnitude.

    Args:
        first, second: float (B, K, H, W), logits.
        label: same shape, in [0, 1].
        agreement_weight: lambda, in [0, 1].

    Returns:
        float32 (B, K, H, W), at least 0.

    Raises:
        ValueError: if the shapes differ or the weight lies outside [0, 1].
    """
    if not first.shape == second.shape == label.shape:
        raise ValueError(
            f"first, second and label must have one shape, got {tuple(first.shape)}, {tuple(second.shape)} and "
            f"{tuple(label.shape)}"
        )
    if not 0 <= agreement_weight <= 1:
        raise ValueError(f"agreement_weight must be in [0, 1], got {agreement_weight!r}; 0.65 is published for pixels")
    first, second, label = first.float(), second.float(), label.float()
    supervised = sum(F.binary_cross_entropy_with_logits(z, label, reduction="none") for z in (first, second))
    # KL(p_1 || p_2) + KL(p_2 || p_1) = sum_c (p_1c - p_2c) (log p_1c - log p_2c). As log s - log(1 - s) = z, the two
    # terms of the sum are one product without any logarithm.
    disagreement = (torch.sigmoid(first) - torch.sigmoid(second)) * (first - second)
    return (1 - agreement_weight) * supervised + agreement_weight * disagreement


def keep_small_loss(loss: Tensor, label: Tensor, forget: Tensor) -> Tensor:
    """Select all but the pixels of largest loss, per class and given label, over the whole mini-batch.

    Exactly floor(forget[k, c] * N) of the N pixels of class k labelled c are dropped (see `floor_of`). Among equal
    losses the first ones in the order of (B, H, W) are dropped.

    Args:
        loss: float (B, K, H, W), not NaN; no gradient is needed.
        label: any dtype, same shape, foreground where not 0.
        forget: float (K, 2) in [0, 1): the fraction of label 0 and of label 1 to drop.

    Returns:
        bool (B, K, H, W).

    Raises:
        ValueError: if shapes do not fit or a fraction lies outside [0, 1).
    """
    if loss.ndim != 4 or loss.shape != label.shape:
        raise ValueError(f"loss and label must both be (B, K, H, W), got {tuple(loss.shape)}, {tuple(label.shape)}")
    if forget.shape != (loss.shape[1], 2):
        raise ValueError(
            f"forget must be (K, 2) = {(loss.shape[1], 2)}, a fraction of label 0 and of label 1 per class, got "
            f"{tuple(forget.shape)}"
        )
    fractions = forget.double().tolist()
    if not all(0 <= fraction < 1 for row in fractions for fraction in row):
        raise ValueError(f"forget must be in [0, 1), got {fractions}; to drop 30 % of the pixels pass 0.3, not 30")

    loss = loss.detach()
    selected = torch.ones_like(loss, dtype=torch.bool)
    for k, row in enumerate(fractions):
        for c, fraction in enumerate(row):
            if fraction == 0:
                continue
            members = (label[:, k] != 0) == bool(c)
            count = floor_of(fraction, int(members.sum()))
            if count > 0:
                selected[:, k] &= ~_largest(loss[:, k].masked_fill(~members, -torch.inf), count)
    return selected


def balanced_mean(loss: Tensor, label: Tensor, selected: Tensor) -> Tensor:
    """Average the loss of the selected pixels, foreground and background of a class weighing alike.

    Per class sum(w l) / sum(w) over the selected pixels, with w = 1 on the background and w = N_bg / N_fg, clipped to
    [1, 1e6], on the foreground; then the mean over the classes.

    Args:
        loss: float (B, K, H, W).
        label: any dtype, same shape, foreground where not 0.
        selected: bool, same shape.

    Returns:
        float, a scalar. A class without selected pixels counts as 0, with zero gradient.

    Raises:
        ValueError: if the shapes differ.
    """
    if not loss.shape == label.shape == selected.shape or loss.ndim != 4:
        raise ValueError(
            f"loss, label and selected must all be (B, K, H, W), got {tuple(loss.shape)}, {tuple(label.shape)} and "
            f"{tuple(selected.shape)}"
        )
    foreground = selected & (label != 0)
    pixels = (0, 2, 3)
    n_fg = foreground.sum(dim=pixels)  # (K,)
    n_bg = selected.sum(dim=pixels) - n_fg
    w_fg = (n_bg / n_fg.clamp(min=1)).clamp(1, 1e6)
    w = torch.where(foreground, w_fg[:, None, None], 1.0)
    total = torch.where(selected, w * loss, 0.0).sum(dim=pixels)
    return (total / (n_bg + w_fg * n_fg).clamp(min=1)).mean()


def floor_of(fraction: float, count: int) -> int:
    """Return floor(fraction * count) for the fraction that was meant.

    The fraction counts to seven digits, which is what float32 holds: (1 - 0.8) * 10 is 2, not 1.99.
    """
    return int(round(fraction, 7) * count + 1e-6)


def _largest(values: Tensor, count: int) -> Tensor:
    """Mark exactly `count` > 0 of the largest values, the first ones among equals. bool, same shape."""
    bound = values.flatten().kthvalue(values.numel() - count + 1).values  # selection: no sort
    marked = values > bound
    ties = (values == bound).nonzero()[: count - int(marked.sum())]
    marked[ties.unbind(dim=1)] = True
    return marked
