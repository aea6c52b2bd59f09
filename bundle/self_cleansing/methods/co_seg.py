# SPDX-License-Identifier: Apache-2.0
"""Co-Seg, stages 1 and 2: two networks choose each other's training images, then correct the labels they both doubt.

Source: Huang et al., "Co-Seg: An image segmentation framework against label corruption", ISBI 2021.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..label_bank import LabelBank
from ..slice_bank import SliceBank
from .forget_rate import ForgetRate
from .image_selection import agreed_correction, corruption_scores, small_loss_images
from .noise_estimate import share_of_high
from .predictions import predict_batches


class CoTeachingLoss(nn.Module):
    """Each of two networks learns from the images of the batch whose labels the *other* one finds most plausible.

    Plausibility is the mean cross-entropy of an image. Several processes each choose within their own batch.

    Args:
        loss: of one network, called with (logits, label, weight, epoch).
        forget_rate: share of the images to leave out, a scalar; at least one image is kept.
    """

    def __init__(self, loss: nn.Module, forget_rate: ForgetRate) -> None:
        super().__init__()
        self.loss = loss
        self.forget_rate = forget_rate

    def forward(self, logits: Tensor, label: Tensor, weight: Tensor, epoch: int = 0) -> Tensor:
        """Return the sum of both networks' losses, a scalar.

        Args:
            logits: float (B, 2, K, H, W).
            label: float (B, K, H, W) in {0, 1}.
            weight: float (B, K).
            epoch: completed epochs.
        """
        keep = 1.0 - float(self.forget_rate.at(epoch))
        peers = logits.unbind(dim=1)
        chosen = [small_loss_images(corruption_scores(one.detach(), label), keep) for one in peers]
        return sum(
            (
                self.loss(one, label, weight * by_other[:, None], epoch)
                for one, by_other in zip(peers, chosen[::-1], strict=True)
            ),
            start=logits.new_zeros(()),
        )


class CoSegCorrection:
    """Stage 2: in the images with the highest scores, pixels where both networks agree against the label change.

    The paper does not say whose score ranks the images of the whole set; it is the mean of both networks' here.

    Args:
        averaged: the averaged `PeerNetworks`.
        dataset, label_bank: the training samples and their labels in force, which are written.
        forget_rate: share of the images taken for noisy.
        device, batch_size: of the predictions.
    """

    def __init__(
        self,
        averaged: AveragedModel,
        dataset: SliceBank,
        label_bank: LabelBank,
        forget_rate: ForgetRate,
        device: torch.device | str = "cpu",
        batch_size: int = 32,
    ) -> None:
        self.peers = averaged.module
        self.dataset = dataset
        self.label_bank = label_bank
        self.forget_rate = forget_rate
        self.device = device
        self.batch_size = batch_size

    def predictions(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        return predict_batches(self.peers, self.dataset, self.device, self.batch_size)

    def scores(self) -> Tensor:
        """Mean cross-entropy of every training image over both networks, float32 (N,) on the CPU."""
        found = [
            torch.stack([corruption_scores(one, label) for one in logits.unbind(dim=1)]).mean(dim=0).cpu()
            for _, logits, label in self.predictions()
        ]
        return torch.cat(found)

    def estimate(self) -> float:
        """The share of noisy images, from a mixture on the scores of those in which anything is labelled.

        Images without any label are mostly ones that show nothing: their scores are far below all others.
        """
        labelled = torch.cat([label.bool().flatten(1).any(dim=1).cpu() for label in self.dataset.labels.split(256)])
        return share_of_high(self.scores()[labelled].numpy())

    def __call__(self) -> Tensor:
        """Write the labels in force; return which changed, bool (N, K)."""
        clean = small_loss_images(self.scores(), 1.0 - float(self.forget_rate.rate))
        changed = torch.zeros(self.dataset.labels.shape[:2], dtype=torch.bool)
        for index, logits, label in self.predictions():
            first, second = (logits > 0).unbind(dim=1)
            corrected = torch.where(
                clean[index].to(label.device)[:, None, None, None], label, agreed_correction(first, second, label)
            )
            changed[index] = (corrected != label).flatten(2).any(dim=2).cpu()
            self.label_bank.write(index, corrected)
        return changed
