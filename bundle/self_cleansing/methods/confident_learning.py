# SPDX-License-Identifier: Apache-2.0
"""Confident learning: two teachers judge each other's half of the labels, and a student smooths what they flag.

Source: Zhang et al., "Characterizing label errors: confident learning for noisy-labeled image segmentation",
MICCAI 2020.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..label_bank import LabelBank
from ..losses import LabelSchedule
from ..slice_bank import SliceBank
from .confident_joint import confident_joint, flag_label_errors, sum_histograms
from .peers import HalfSetTeachers
from .predictions import predict_batches


class SmoothedLabelLoss(nn.Module):
    """A loss on labels that are moved by `strength` from the given label towards the label in force, per pixel.

    Where both agree the label is hard; elsewhere, with the published strength, foreground becomes 1 - strength and
    background becomes strength. In the first stage, while only given labels count, nothing is smoothed.

    Args:
        loss: called with (logits, label, weight, epoch), the label in [0, 1].
        strength: epsilon in [0, 1]; 1 replaces the flagged labels.
        schedule: tells how much the label in force counts.
    """

    def __init__(self, loss: nn.Module, strength: float, schedule: LabelSchedule) -> None:
        super().__init__()
        if not 0 <= strength <= 1:
            raise ValueError(f"strength must be in [0, 1], got {strength!r}; 0.25 is usual, 1 flips the flagged pixels")
        self.loss = loss
        self.strength = strength
        self.schedule = schedule

    def forward(self, logits: Tensor, targets: Any) -> Tensor:
        """Return the loss, a scalar; arguments as in `HybridLoss`."""
        logits, epoch = logits.float(), int(targets["epoch"])
        moved = self.strength * self.schedule(epoch)[1]
        label = torch.lerp(targets["label"], targets["pseudo_label"], moved)
        return self.loss(logits, label, logits.new_ones(label.shape[:2]), epoch)

    def extra_repr(self) -> str:
        return f"strength={self.strength}"


class FlagByConfidentJoint:
    """Flag the pixels whose label the confident joint prunes, and write the flipped label as the one in force.

    The joint is counted for each half by itself, over all its pixels and per class, from the probabilities of the
    teacher that has not seen that half. Two passes over the data; memory does not grow with it.

    Args:
        averaged: the averaged `HalfSetTeachers`.
        dataset, label_bank: the training samples and their labels in force, which are written.
        device, batch_size: of the predictions.
    """

    def __init__(
        self,
        averaged: AveragedModel,
        dataset: SliceBank,
        label_bank: LabelBank,
        device: torch.device | str = "cpu",
        batch_size: int = 32,
    ) -> None:
        self.teachers = cast(HalfSetTeachers, averaged.module)
        self.dataset = dataset
        self.label_bank = label_bank
        self.device = device
        self.batch_size = batch_size

    def __call__(self) -> Tensor:
        """Write the labels in force; return in which any pixel was flagged, bool (N, K)."""
        changed = torch.zeros(self.dataset.labels.shape[:2], dtype=torch.bool)
        in_second_half = self.teachers.in_second_half.cpu()
        for half in (~in_second_half, in_second_half):
            samples = torch.nonzero(half).flatten()
            joint = confident_joint(sum_histograms((probs, label) for _, probs, label in self.predictions(samples)))
            for index, probs, label in self.predictions(samples):
                flagged = flag_label_errors(probs, label, joint.cut)
                changed[index] = flagged.flatten(2).any(dim=2).cpu()
                self.label_bank.write(index, label.bool() ^ flagged)
        return changed

    def predictions(self, samples: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield index, probabilities of the teacher that has not seen them, and given labels."""
        teachers = self.teachers
        batches = predict_batches(teachers, self.dataset, self.device, self.batch_size, teachers.out_of_sample, samples)
        for index, logits, label in batches:
            yield index, torch.sigmoid(logits), label
