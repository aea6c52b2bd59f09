# SPDX-License-Identifier: Apache-2.0
"""Superpixel-guided learning: two networks choose pixels by superpixel, and relabel when the choice stops improving.

Source: Li, Gao and He, "Superpixel-guided iterative learning from noisy labels for medical image segmentation",
MICCAI 2021 (arXiv 2107.10100).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from .. import distributed
from ..handlers.history import History
from ..handlers.noise_audit import NoiseAudit
from ..label_bank import LabelBank
from ..losses import LabelSchedule
from ..slice_bank import SliceBank
from .confident_joint import sum_histograms
from .forget_rate import ForgetRate
from .pixel_selection import balanced_mean, joint_loss, keep_small_loss
from .predictions import predict_batches
from .relabelling import put_in_force
from .superpixels import refine, refine_thresholds, superpixel_mean


class SuperpixelLoss(nn.Module):
    """The joint loss over the pixels that two networks find plausible, judged by superpixel averages.

    Several processes each choose within their own batch.

    Args:
        forget_rate: share of pixels to leave out, (K, 2), among those labelled background and foreground.
        schedule: tells whether the refined labels count already.
        agreement: lambda in [0, 1], see `joint_loss`.

    Buffers:
        gap: float64 (2,), sum over the batches of this epoch of loss(left out) - loss(chosen), and their number.
    """

    gap: Tensor

    def __init__(self, forget_rate: ForgetRate, schedule: LabelSchedule, agreement: float = 0.65) -> None:
        super().__init__()
        self.forget_rate = forget_rate
        self.schedule = schedule
        self.agreement = agreement
        self.register_buffer("gap", torch.zeros(2, dtype=torch.float64))

    def forward(self, logits: Tensor, targets: Mapping[str, Any]) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: float (B, 2, K, H, W) of both networks; half precision is raised to float32.
            targets: `label` and, after the refinement, `pseudo_label`, float (B, K, H, W) in {0, 1}; `superpixel`
                int (B, H, W); `epoch`, completed epochs.
        """
        epoch = int(targets["epoch"])
        label = targets["pseudo_label"] if self.schedule(epoch)[1] > 0 else targets["label"]
        first, second = logits.float().unbind(dim=1)
        smooth_first, smooth_second = (
            torch.logit(superpixel_mean(torch.sigmoid(one.detach()), targets["superpixel"]), eps=1e-6)
            for one in (first, second)
        )
        score = joint_loss(smooth_first, smooth_second, label, self.agreement)
        selected = keep_small_loss(score, label, self.forget_rate.at(epoch))
        loss = joint_loss(first, second, label, self.agreement)
        kept = balanced_mean(loss, label, selected)
        left_out = balanced_mean(loss.detach(), label, ~selected)
        self.gap += torch.tensor([(left_out - kept.detach()).item(), 1.0], dtype=torch.float64)
        return kept

    def extra_repr(self) -> str:
        return f"agreement={self.agreement}"


class SuperpixelRefinement:
    """Relabel when the gap between the losses of left-out and chosen pixels has stopped growing.

    A label is changed where the mean of both networks over its superpixel contradicts it most, at most as many pixels
    as the forget rate says. Afterwards less is left out. List it before the checkpoint. Of several processes the first
    one relabels, and all hold its labels.

    Args:
        averaged: the averaged `PeerNetworks`.
        loss: gives the gap.
        dataset, label_bank, superpixels: the training samples, their labels in force and their superpixels.
        schedule: makes the refined labels count.
        history: gets the gap.
        audit: in simulations, compares with the clean labels for the log.
        patience: epochs without a new greatest gap after which labels are refined.
        max_refinements: how often; the published code refines once.
        decay: of the share to correct.
        remember_limit: greatest share to choose after a refinement, of background and foreground.
        device, batch_size: of the predictions.
    """

    def __init__(
        self,
        averaged: AveragedModel,
        loss: SuperpixelLoss,
        dataset: SliceBank,
        label_bank: LabelBank,
        superpixels: Tensor,
        schedule: LabelSchedule,
        history: History,
        audit: NoiseAudit | None = None,
        patience: int = 5,
        max_refinements: int = 1,
        decay: float = 1.0,
        remember_limit: Sequence[float] = (0.95, 0.90),
        device: torch.device | str = "cpu",
        batch_size: int = 32,
    ) -> None:
        self.peers = averaged.module
        self.loss = loss
        self.dataset = dataset
        self.label_bank = label_bank
        self.superpixels = superpixels
        self.schedule = schedule
        self.history = history
        self.audit = audit
        self.patience = patience
        self.max_refinements = max_refinements
        self.decay = decay
        self.remember_limit = tuple(remember_limit)
        self.device = device
        self.batch_size = batch_size
        self.best_gap = -math.inf
        self.best_epoch = 0
        self.refinements = 0

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __repr__(self) -> str:
        """What must be the same when a run is resumed."""
        names = ("patience", "max_refinements", "decay", "remember_limit")
        return f"SuperpixelRefinement({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    def state_dict(self) -> dict[str, Any]:
        return {"best_gap": self.best_gap, "best_epoch": self.best_epoch, "refinements": self.refinements}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.best_gap, self.best_epoch = state["best_gap"], state["best_epoch"]
        self.refinements = state["refinements"]

    def __call__(self, engine: Any) -> None:
        epoch = engine.state.epoch
        total, batches = torch.stack(distributed.gather([self.loss.gap.cpu()])).sum(dim=0).tolist()
        self.loss.gap.zero_()
        gap = total / max(batches, 1)
        self.history.log(superpixel_gap=gap)
        rate = self.loss.forget_rate
        if not rate.is_known or self.refinements >= self.max_refinements:
            return
        # While the rate rises the gap falls, for that reason alone: what is left out becomes less extreme.
        if epoch <= int(rate.since) + rate.ramp_epochs:
            return
        if gap > self.best_gap:
            self.best_gap, self.best_epoch = gap, epoch
        elif epoch - self.best_epoch >= self.patience:
            self.refine(epoch)

    def refine(self, epoch: int) -> None:
        """Write the refined labels, make them count, and choose more pixels from now on."""
        put_in_force(self.relabel, self.label_bank, epoch, self.history, self.audit)
        self.schedule.begin(epoch)
        self.refinements += 1
        self.best_gap = -math.inf
        rate = self.loss.forget_rate
        remember = 1 - rate.rate
        limit = torch.tensor(self.remember_limit).to(remember)
        rate.rate.copy_(1 - torch.maximum(remember, torch.minimum(1.1 * remember, limit)))

    def relabel(self) -> Tensor:
        """Write the labels in force; return which changed, bool (N, K). Memory does not grow with the data."""
        histograms = sum_histograms((smooth, label) for _, smooth, label in self.smooth_predictions())
        thresholds = refine_thresholds(histograms, self.decay * self.loss.forget_rate.rate)
        changed = torch.zeros(self.dataset.labels.shape[:2], dtype=torch.bool)
        for index, smooth, label in self.smooth_predictions():
            refined = refine(smooth, label, thresholds)
            changed[index] = (refined != label).flatten(2).any(dim=2).cpu()
            self.label_bank.write(index, refined)
        return changed

    def smooth_predictions(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield index, mean probability of both networks over the superpixels, and the label it is compared with.

        The first refinement corrects the given labels, later ones those in force.
        """
        for index, logits, label in predict_batches(self.peers, self.dataset, self.device, self.batch_size):
            if self.refinements:
                label = self.label_bank.pseudo_label(index).to(label.device)
            superpixels = self.superpixels[index].to(logits.device)
            yield index, superpixel_mean(torch.sigmoid(logits).mean(dim=1), superpixels), label
