# SPDX-License-Identifier: Apache-2.0
"""Confident learning on pixels: which labels does an out-of-sample prediction contradict? In bounded memory.

All that the method asks of the pixels is in two histograms of the predicted probability per class: of the pixels
labelled 0 and of those labelled 1. A first pass adds them up, a second one compares every pixel with one cut.

Each class is a two-class problem of its own (label 0 or 1). There the two rankings of the published rule 'both' (by
self-confidence, and by margin) are the same ranking with the same count, so that one cut per label says it all.

Symbols, per class: p_1 foreground probability, p_0 = 1 - p_1; t_j threshold of label j; C_ij joint counts of the given
label i and the likely true label j; n_i pixels labelled i. A level is a probability in steps of 1 / (LEVELS - 1); the
number of levels is odd, so that 0, 1/2 and 1 are levels and p_0 mirrors p_1 exactly.

Reference: Northcutt, Jiang, Chuang, Confident learning, JAIR 2021, doi 10.1613/jair.1.12125; on segmentations: Zhang et
al., MICCAI 2020, doi 10.1007/978-3-030-59710-8_70. We differ: probabilities have 16 bits, and see `cut` on ties.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

LEVELS = 2**16 - 1
MIDDLE = LEVELS // 2  # the level of probability 1/2
_SLACK = 1e-6  # a probability this little below a threshold reaches it, as in cleanlab


class ConfidentJoint(NamedTuple):
    """What the histograms say of K classes; the last axes are labels.

    Attributes:
        thresholds: float64 (K, 2), the mean probability t_i of the label i among the pixels labelled i; 2, which no
            probability reaches, where no pixel has this label.
        joint: int64 (K, 2, 2), the counts C_ij of confident pixels, at least 1 on the diagonal.
        errors: int64 (K, 2), how many pixels of each label are likely wrong: C_ij off the diagonal, scaled to n_i.
            Less than n_i where n_i > 0, as C_ii is at least 1.
        cut: int64 (K, 2); a pixel is flagged if the level of its own label's probability is below. Pixels of one level
            are flagged together or not at all, and never more than `errors`: the level at which the sum would exceed
            it is left alone. Levels from 1/2 up are never flagged. Confident pixels always fit, as `errors` counts them
            all, so that saturated predictions, which share a level, are flagged. (But where C_ii had to be raised to 1
            there is one less, and a label all of whose pixels share a level keeps all of them.)
    """

    thresholds: Tensor
    joint: Tensor
    errors: Tensor
    cut: Tensor


def quantise(probs: Tensor) -> Tensor:
    """Round probabilities to levels.

    Args:
        probs: float, any shape, in [0, 1].

    Returns:
        int64, same shape, in [0, LEVELS); halves are rounded to even.

    Raises:
        ValueError: if a value lies outside [0, 1] or is NaN.
    """
    if probs.numel():
        low, high = torch.stack(probs.aminmax()).tolist()
        if not 0 <= low <= high <= 1:
            raise ValueError(f"probs must be in [0, 1], got {low:g} to {high:g}; apply a sigmoid to logits")
    return (probs.float() * (LEVELS - 1)).round().long()


def label_histograms(probs: Tensor, label: Tensor) -> Tensor:
    """Count the pixels per class, label and level; the counts of several batches add up.

    Args:
        probs: float (B, K, H, W) in [0, 1].
        label: any dtype, same shape and device, in {0, 1}.

    Returns:
        int64 (K, 2, LEVELS), on the same device. B = 0 gives zeros.

    Raises:
        ValueError: if the shapes differ, a probability lies outside [0, 1] or a label is neither 0 nor 1.
    """
    given = _checked(probs, label)
    classes = probs.shape[1]
    row = torch.arange(classes, device=probs.device)[:, None, None] * 2 + given  # (B, K, H, W)
    index = row * LEVELS + quantise(probs)
    return torch.bincount(index.flatten(), minlength=classes * 2 * LEVELS).reshape(classes, 2, LEVELS)


def sum_histograms(batches: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Add up `label_histograms` of all (probs, label) in `batches`, at least one: int64 (K, 2, LEVELS)."""
    total: Tensor | None = None
    for probs, label in batches:
        counts = label_histograms(probs, label)
        total = counts if total is None else total + counts
    if total is None:
        raise ValueError("there is no batch to count; check the data set")
    return total


def confident_joint(histograms: Tensor) -> ConfidentJoint:
    """Estimate how many labels of each kind are wrong, and where to cut.

    Args:
        histograms: int64 (K, 2, LEVELS), the sum of `label_histograms` over all pixels.

    Returns:
        the estimates, on the same device. A class without pixels of one label has no errors in either.

    Raises:
        ValueError: if the shape is another one.
    """
    if histograms.ndim != 3 or histograms.shape[1:] != (2, LEVELS):
        raise ValueError(
            f"histograms must be (K, 2, {LEVELS}), got {tuple(histograms.shape)}; add up what label_histograms returns"
        )
    level = torch.arange(LEVELS, device=histograms.device)
    # By level of the own label's probability: p_0 for pixels labelled 0, p_1 for those labelled 1.
    own = torch.stack([histograms[:, 0].flip(-1), histograms[:, 1]], dim=1)  # (K, 2, LEVELS)
    count = own.sum(dim=-1)  # n_i, (K, 2)
    mean = (own * level).sum(dim=-1).double() / ((LEVELS - 1) * count.clamp(min=1))
    # Above the slack, or a probability of 0 would be confident.
    thresholds = torch.where(count > 0, mean.clamp(min=2 * _SLACK), 2.0)

    # A pixel counts for the true label j if p_j >= t_j; if both reach their thresholds, for the larger p_j.
    foreground = level.double() / (LEVELS - 1)
    probs = torch.stack([foreground.flip(0), foreground])  # p_j of every level, (2, LEVELS)
    is_0, is_1 = (probs >= thresholds[..., None] - _SLACK).unbind(dim=1)  # (K, LEVELS) each
    larger_1 = level > MIDDLE
    true = torch.stack([is_0 & ~(is_1 & larger_1), is_1 & ~(is_0 & ~larger_1)], dim=1)  # (K, j, LEVELS)
    joint = torch.stack([(histograms * true[:, None, j]).sum(dim=-1) for j in range(2)], dim=-1)  # (K, i, j)
    diagonal = torch.eye(2, dtype=torch.bool, device=joint.device)
    joint = torch.where(diagonal, joint.clamp(min=1), joint)

    wrong = torch.stack([joint[:, 0, 1], joint[:, 1, 0]], dim=1)
    errors = (wrong.double() / joint.sum(dim=-1) * count).round().long()
    cut = (own[..., :MIDDLE].cumsum(dim=-1) <= errors[..., None]).sum(dim=-1)
    return ConfidentJoint(thresholds, joint, errors, cut)


def flag_label_errors(probs: Tensor, label: Tensor, cut: Tensor) -> Tensor:
    """Mark the pixels whose label is likely wrong.

    Args:
        probs: float (B, K, H, W) in [0, 1], as counted in the first pass.
        label: any dtype, same shape and device, in {0, 1}.
        cut: int64 (K, 2), of `confident_joint`.

    Returns:
        bool (B, K, H, W).

    Raises:
        ValueError: as `label_histograms`, or if `cut` is not (K, 2).
    """
    given = _checked(probs, label)
    if cut.shape != (probs.shape[1], 2):
        raise ValueError(f"cut must be (K, 2) = {(probs.shape[1], 2)}, got {tuple(cut.shape)}")
    level = quantise(probs)
    limit = cut.to(level.device)[:, :, None, None]
    return torch.where(given, level < limit[:, 1], LEVELS - 1 - level < limit[:, 0])


def _checked(probs: Tensor, label: Tensor) -> Tensor:
    """The label as booleans, of a shape that fits."""
    if probs.ndim != 4 or probs.shape != label.shape:
        raise ValueError(f"probs and label must both be (B, K, H, W), got {tuple(probs.shape)}, {tuple(label.shape)}")
    given = label != 0
    if not torch.equal(given.to(label.dtype), label):
        raise ValueError(
            f"label must be 0 or 1, got {label[given].unique().tolist()[:5]}; pass one binary channel per class"
        )
    return given
