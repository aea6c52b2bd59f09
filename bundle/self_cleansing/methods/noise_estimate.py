# SPDX-License-Identifier: Apache-2.0
"""Estimate how much of the labels is wrong, where nobody knows: once, early in the training."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from numpy.typing import ArrayLike
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from .. import distributed
from ..filtering import fit_mixture
from ..handlers.history import History
from ..slice_bank import SliceBank
from .confident_joint import confident_joint, sum_histograms
from .forget_rate import ForgetRate
from .predictions import predict_batches

logger = logging.getLogger(__name__)

MIN_SEPARATION = 2.0  # Ashman's D: two normal components further apart than this have two peaks
MAX_SHARE = 0.9


class EstimateNoise:
    """Set a fraction that is unknown, once, after `at_epoch` completed epochs. List it before the checkpoint.

    Args:
        forget_rate: is set, unless it is known already.
        estimate: returns the fraction, of its shape; called in the first process.
        at_epoch: early enough that the network has not yet learnt the errors.
        before_epoch: when the stage ends that needs it.
        history: gets the mean.
    """

    def __init__(
        self,
        forget_rate: ForgetRate,
        estimate: Callable[[], Tensor | float],
        at_epoch: int,
        before_epoch: int,
        history: History,
    ) -> None:
        self.forget_rate = forget_rate
        self.estimate = estimate
        self.at_epoch = at_epoch
        self.before_epoch = before_epoch
        self.history = history

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.check)
        if self.at_epoch > 0:
            engine.add_event_handler(Events.EPOCH_COMPLETED(once=self.at_epoch), self)

    def check(self, engine: Any) -> None:
        """Raise ValueError if the estimate would come of nothing, or too late to be of use."""
        if not self.forget_rate.is_known and not 0 < self.at_epoch < self.before_epoch:
            raise ValueError(
                f"the noisy fraction is to be estimated after {self.at_epoch} epochs (warmup_epochs), but is needed "
                f"in a stage of {self.before_epoch}; set --warmup_epochs between 0 and that, or give a number"
            )

    def __call__(self, engine: Any) -> None:
        if self.forget_rate.is_known:
            return
        rate = torch.as_tensor(distributed.from_first(self.estimate))
        self.forget_rate.learn(rate, engine.state.epoch)
        self.history.log(estimated_noise=rate.mean().item())
        shown = ", ".join(f"{value:.3f}" for value in rate.flatten().tolist())
        logger.info("epoch %d: estimated share of wrong labels: %s", engine.state.epoch, shown)


class EstimatePixelNoise:
    """Estimate the share of wrong pixels per class and label value: what the confident joint would prune.

    It is cautious: a pixel labelled foreground counts only if it is as surely background as the background is on
    average, nearly all of which is far from any structure. The rim of a grown label never is (docs/decisions/0005).

    Args:
        averaged: the averaged `PeerNetworks`, whose mean probability is taken.
        dataset: the training samples.
        device, batch_size: of the predictions.
    """

    def __init__(
        self, averaged: AveragedModel, dataset: SliceBank, device: torch.device | str = "cpu", batch_size: int = 32
    ) -> None:
        self.peers = averaged.module
        self.dataset = dataset
        self.device = device
        self.batch_size = batch_size

    def __call__(self) -> Tensor:
        """Return float32 (K, 2), for label 0 and label 1, on the CPU; 0 where no pixel has that label."""
        batches = predict_batches(self.peers, self.dataset, self.device, self.batch_size)
        histograms = sum_histograms((torch.sigmoid(logits).mean(dim=1), label) for _, logits, label in batches)
        errors, total = confident_joint(histograms).errors, histograms.sum(dim=-1)
        return (errors / total.clamp(min=1)).float().cpu()


def share_of_high(scores: ArrayLike, seed: int = 0) -> float:
    """Estimate which share of `scores` (N,), all positive, belongs to the upper of two groups.

    A mixture of two normal distributions on the logarithms. It is 0 where nothing speaks for two groups: if their peaks
    are not apart, or if the upper one would be nearly all, because then the few others are the special ones (slices
    that show little, say) and not the many.

    Returns:
        in [0, MAX_SHARE].
    """
    values = np.log(np.asarray(scores, dtype=float).clip(min=1e-6))
    if len(values) < 8 or np.ptp(values) < 1e-3:
        return 0.0
    found = fit_mixture(values, 2, seed=seed)
    (low, high), spread = found.means[:, 0], found.covariances[:, 0, 0]
    separation = (high - low) / np.sqrt(spread.mean())
    share = float(found.weights[1])  # components are ordered by their mean
    return share if separation > MIN_SEPARATION and share <= MAX_SHARE else 0.0
