# SPDX-License-Identifier: Apache-2.0
"""JoCoR for pixels: two networks learn to agree with each other and with the labels they both find plausible.

Source: Wei et al., "Combating noisy labels by agreement: a joint training method with co-regularization", CVPR 2020;
the selection of pixels by label value follows Li, Gao and He, MICCAI 2021, who compare with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..slice_bank import SliceBank
from .confident_joint import confident_joint, label_histograms
from .forget_rate import ForgetRate
from .joint_loss import balanced_mean, joint_loss, keep_small_loss
from .peers import PeerNetworks
from .predictions import predict_batches


class JoCoRLoss(nn.Module):
    """The joint loss over the pixels of the batch whose joint loss is small.

    Several processes each choose within their own batch.

    Args:
        forget_rate: share of pixels to leave out, (K, 2), among those labelled background and foreground.
        agreement: lambda in [0, 1], the weight of the networks' agreement against that of the labels.
    """

    def __init__(self, forget_rate: ForgetRate, agreement: float = 0.65) -> None:
        super().__init__()
        if not 0 <= agreement <= 1:
            raise ValueError(f"agreement must be in [0, 1], got {agreement!r}")
        self.forget_rate = forget_rate
        self.agreement = agreement

    def forward(self, logits: Tensor, targets: Mapping[str, Any]) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: float (B, 2, K, H, W) of both networks; half precision is raised to float32.
            targets: `label` float (B, K, H, W) in {0, 1}; `epoch`, completed epochs.
        """
        label = targets["label"]
        first, second = logits.float().unbind(dim=1)
        loss = joint_loss(first, second, label, self.agreement)
        selected = keep_small_loss(loss.detach(), label, self.forget_rate.at(int(targets["epoch"])))
        return balanced_mean(loss, label, selected)

    def extra_repr(self) -> str:
        return f"agreement={self.agreement}"


class EstimatePixelNoise:
    """Estimate the share of wrong pixels per class and label value: what the confident joint would prune.

    Args:
        averaged: the averaged `PeerNetworks`, whose mean probability is taken.
        dataset: the training samples.
        device, batch_size: of the predictions.
    """

    def __init__(
        self, averaged: Any, dataset: SliceBank, device: torch.device | str = "cpu", batch_size: int = 32
    ) -> None:
        self.peers: PeerNetworks = averaged.module
        self.dataset = dataset
        self.device = device
        self.batch_size = batch_size

    def __call__(self) -> Tensor:
        """Return float32 (K, 2), for label 0 and label 1; 0 where no pixel has that label."""
        histograms = torch.zeros((), dtype=torch.int64)
        peers = self.peers
        predictions = predict_batches(peers, self.dataset, lambda image, _: peers(image), self.device, self.batch_size)
        for _, logits, label in predictions:
            counts = label_histograms(torch.sigmoid(logits).mean(dim=1), label)
            histograms = histograms.to(counts.device) + counts
        errors, total = confident_joint(histograms).errors, histograms.sum(dim=-1)
        return (errors / total.clamp(min=1)).float()
