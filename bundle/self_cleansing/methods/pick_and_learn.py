# SPDX-License-Identifier: Apache-2.0
"""Pick-and-Learn: a second network weighs the images of a batch by the quality of their labels.

Source: Zhu, Shi and Wu, "Pick-and-Learn: automatic quality evaluation for noisy-labeled image segmentation",
MICCAI 2019.
Symbols: t_i score of image i, Phi(t) = lambda tanh(t), w = softmax over the batch of Phi(t), L = sum_i w_i L_i.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..data.whole_file import write_text
from ..distributed import is_first
from ..losses import soft_dice_loss
from ..networks import QualityNetwork
from ..slice_bank import SliceBank
from .predictions import predict_batches


class PickAndLearn(nn.Module):
    """A segmentation network and the quality network that looks at the same augmented images and at their labels.

    Args:
        segmentation: is kept for inference.
        quality: scores the labels.

    Shapes:
        image (B, C, H, W), label (B, K, H, W) -> logits (B, K, H, W) and score (B,).
    """

    def __init__(self, segmentation: nn.Module, quality: QualityNetwork) -> None:
        super().__init__()
        self.segmentation = segmentation
        self.quality = quality

    def forward(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        return self.segmentation(image), self.quality(image, label)


def image_weights(score: Tensor, bound: float | None) -> Tensor:
    """Return the weights w of the images of a batch, float32 (B,), positive, sum 1.

    Args:
        score: float (B,), t.
        bound: lambda of the overfitting control Phi, above 0: no weight is more than exp(2 lambda) times another. None:
            Phi(t) = t, without control.
    """
    score = score.float()
    return torch.softmax(score if bound is None else bound * torch.tanh(score), dim=0)


class WeighedDiceLoss(nn.Module):
    """The sum of the images' Dice losses, each the mean over classes, weighed by the quality of their labels.

    Both networks learn from it: the weights pass their gradient on to the quality network. An image alone in its batch
    has weight 1. Several processes each weigh their own batch.

    Args:
        bound: see `image_weights`; 2 in the paper.
    """

    def __init__(self, bound: float | None = 2.0) -> None:
        super().__init__()
        if bound is not None and bound <= 0:
            raise ValueError(f"bound must be above 0, or null for no overfitting control, got {bound!r}")
        self.bound = bound

    def forward(self, output: tuple[Tensor, Tensor], targets: Mapping[str, Any]) -> Tensor:
        """Return the loss, a scalar in [0, 1].

        Args:
            output: of `PickAndLearn`; half precision is raised to float32.
            targets: `label` float (B, K, H, W) in {0, 1}.
        """
        logits, score = output
        per_image = soft_dice_loss(torch.sigmoid(logits.float()), targets["label"]).mean(dim=1)
        return (image_weights(score, self.bound) * per_image).sum()

    def extra_repr(self) -> str:
        return f"bound={self.bound}"


class ExportQuality:
    """At the end of training, write each sample's score to a CSV file: a ranking of the labels, best first.

    Args:
        path: of the file; columns sample, score.
        averaged: the averaged `PickAndLearn`.
        dataset: the training samples.
        device, batch_size: of the predictions.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        averaged: AveragedModel,
        dataset: SliceBank,
        device: torch.device | str = "cpu",
        batch_size: int = 32,
    ) -> None:
        self.path = Path(path)
        self.quality = cast(PickAndLearn, averaged.module).quality
        self.dataset = dataset
        self.device = device
        self.batch_size = batch_size

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def scores(self) -> Tensor:
        """The score of every training sample, float32 (N,)."""

        def predict(image: Tensor, index: Tensor) -> Tensor:
            return self.quality(image, self.dataset.labels[index].to(image))

        batches = predict_batches(self.quality, self.dataset, self.device, self.batch_size, predict)
        return torch.cat([score.cpu() for _, score, _ in batches])

    def __call__(self, engine: Any) -> None:
        if not is_first():
            return
        scores = self.scores()
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["sample", "score"])
        writer.writerows(
            [self.dataset.sample_ids[index], f"{scores[index].item():.6g}"]
            for index in scores.argsort(descending=True, stable=True).tolist()
        )
        write_text(self.path, out.getvalue())
