# SPDX-License-Identifier: Apache-2.0
"""Every few epochs: ask which labels the network disbelieves, and write down which label is in force."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from .. import distributed
from ..cleansing import PseudoLabel, resolve_empty
from ..filtering import Provenance
from ..label_bank import LabelBank
from ..label_filter import Filtered
from ..losses import LabelSchedule
from ..metrics import dice_counts
from ..slice_bank import SliceBank
from ..sweep import Cleanser, Sweep, sweep
from .history import History
from .noise_audit import NoiseAudit

logger = logging.getLogger(__name__)


class LabelCleansing:
    """Run filter and cleanser over the training set and update the label bank.

    A filter that declines (the network agrees too little, or too little can be compared) changes nothing: before the
    first update the warm-up goes on for another `update_every` epochs, later the last verdicts stay. What the rules
    of such a filter leave over is no random sample: they catch missing and shrunken labels, and training on the rest
    would teach the network the enlarged ones.

    The first update comes after E1 (`schedule.warmup_epochs`) completed epochs, then every `update_every`. Filter and
    cleanser both see the network as it is before any label changes. At the end of training, labels that were left
    out are given a pseudo label for the repaired data set (`repair`); they never enter the loss.

    Args:
        network: judges the labels; usually the averaged one.
        dataset: the training samples.
        label_bank: is updated.
        label_filter: maps (Sweep, LabelBank) to `Filtered`. Unless it says `renews = False` it may ask for new labels,
            and the cleanser has to make them.
        cleanser: makes the pseudo labels.
        schedule: gives E1.
        update_every: k, in epochs.
        history: gets one set of numbers per update.
        audit: compares with clean labels, in simulations; never influences training.
        device: of the network.
        batch_size: of the sweep.
        title: begins each line of the log, where there are several of these.
    """

    def __init__(
        self,
        network: nn.Module,
        dataset: SliceBank,
        label_bank: LabelBank,
        label_filter: Any,
        cleanser: Cleanser,
        schedule: LabelSchedule,
        update_every: int,
        history: History,
        audit: NoiseAudit | None = None,
        device: torch.device | str = "cpu",
        batch_size: int = 32,
        title: str = "",
    ) -> None:
        if update_every < 1:
            raise ValueError(f"update_every must be at least 1 epoch, got {update_every!r}")
        cleanser.check(*dataset.labels.shape[2:])
        self.network = network
        self.dataset = dataset
        self.label_bank = label_bank
        self.label_filter = label_filter
        self.cleanser = cleanser
        self.schedule = schedule
        self.update_every = update_every
        self.history = history
        self.audit = audit
        self.device = device
        self.batch_size = batch_size
        self.title = f"{title}, " if title else ""

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)
        engine.add_event_handler(Events.COMPLETED, self.repair)

    def __call__(self, engine: Any) -> None:
        since = engine.state.epoch - self.schedule.warmup_epochs
        if since >= 0 and since % self.update_every == 0:
            self.update(engine.state.epoch)

    def update(self, epoch: int) -> None:
        """Filter, cascade, cleanse. Of several processes the first one filters, and all write the same labels."""
        found = self.sweep(self.cleanser if getattr(self.label_filter, "renews", True) else None)
        outcome: Filtered = distributed.from_first(lambda: self.label_filter(found, self.label_bank))
        if outcome.declined:
            self.history.log(filter_declined=1)
            first = epoch == self.schedule.warmup_epochs
            if first:
                self.schedule.postpone(self.update_every)
            consequence = "the warm-up goes on" if first else "the last verdicts stay"
            logger.warning(
                f"{self.title}epoch {epoch}: the label filter cannot tell ({outcome.manual.reason}); {consequence}"
            )
            return
        provenance = torch.from_numpy(outcome.provenance)
        bank = self.label_bank
        believed = (bank.provenance == Provenance.MANUAL).cpu()
        bank.manual_loss.copy_(found.manual_loss)
        bank.pseudo_loss.copy_(found.pseudo_loss)
        bank.clean_posterior.copy_(torch.from_numpy(outcome.manual.posterior))
        for index in self.blocks():
            given, renewed = self.dataset.labels[index].cpu(), provenance[index] == Provenance.RENEWED
            if renewed.any():
                made = PseudoLabel(found.candidate(index).bool(), found.found[index])
                label = resolve_empty(made, bank.pseudo_label(index).cpu().bool(), given.bool())
                bank.write(index, label, renewed)
            bank.write(index, given, provenance[index] == Provenance.MANUAL)
        bank.takes_part.copy_(provenance != Provenance.REJECTED)
        bank.record(provenance, epoch)
        changed = (believed != (provenance == Provenance.MANUAL)).float().mean().item()
        self.report(outcome, epoch, changed)

    def blocks(self) -> Sequence[slice]:
        """All samples, in blocks small enough to be unpacked."""
        return [slice(start, start + self.batch_size) for start in range(0, len(self.dataset), self.batch_size)]

    def mean_dice(self, masks: Callable[[slice], Tensor], chosen: Tensor) -> Tensor:
        """Mean Dice to the given labels per class (K,), over the chosen entries (N, K); 0 where none is chosen."""
        counts = torch.cat([dice_counts(masks(index), self.dataset.labels[index].cpu()) for index in self.blocks()])
        overlap, area, given_area = counts.double().unbind(dim=2)
        dice = 2 * overlap / (area + given_area).clamp(min=1)
        return (dice * chosen).sum(dim=0) / chosen.sum(dim=0).clamp(min=1)

    def sweep(self, cleanser: Cleanser | None) -> Sweep:
        """One pass over the training set with the current network."""
        return sweep(self.network, self.dataset, self.label_bank, cleanser, self.device, self.batch_size)

    def repair(self, engine: Any) -> None:
        """Write a pseudo label for the labels left out: the prediction or the cleanser's, whichever is better.

        "Better" is measured per class on the accepted labels, whose pseudo labels can be compared with something
        believed. Where neither marks anything the given label stays, as left out: that the network sees nothing is no
        reason to erase what somebody drew. The outcome is for export and report only.
        """
        left_out = ~self.label_bank.takes_part.cpu()
        if not left_out.any():
            return
        found = self.sweep(self.cleanser)
        accepted = ~left_out & (found.manual_areas.label_area > 0)
        repaired = left_out.clone()
        use_cleanser = self.mean_dice(found.candidate, accepted) > self.mean_dice(found.prediction, accepted)
        for index in self.blocks():
            label = torch.where(use_cleanser[None, :, None, None], found.candidate(index), found.prediction(index))
            repaired[index] &= label.bool().flatten(2).any(dim=2)
            self.label_bank.write(index, label, repaired[index])
        provenance = self.label_bank.provenance.cpu().clone()
        provenance[repaired] = int(Provenance.RENEWED)
        self.label_bank.record(provenance, engine.state.epoch)
        sources = ", ".join("cleanser" if better else "prediction" for better in use_cleanser.tolist())
        line = f"repaired {int(repaired.sum())} labels that were left out (per class by: {sources})"
        if unseen := int((left_out & ~repaired).sum()):
            line += f", {unseen} more stay as given, for the network sees nothing there"
        if self.audit is not None:
            dice = [f"{v:.2f}" for name, v in self.audit(self.label_bank).items() if name.startswith("dice_repaired")]
            line += f"; their Dice to clean is now {' / '.join(dice) or '-'}"
        logger.info(line)

    def report(self, outcome: Filtered, epoch: int, changed: float) -> None:
        """Log one line and the same numbers to the history, among them the share of verdicts that changed."""
        counts = torch.bincount(self.label_bank.provenance.flatten().cpu().long(), minlength=len(Provenance))
        total = counts.sum().item()
        numbers = {f"labels_{kind.name.lower()}": counts[kind].item() / total for kind in Provenance}
        numbers["verdicts_changed"] = changed
        words = ["clean", "kept", "renewed", "left out"]
        line = ", ".join(f"{word} {count}" for word, count in zip(words, counts.tolist(), strict=True))
        line = f"{self.title}epoch {epoch}: of {total} labels {line}"
        if outcome.manual.reason:
            line += f" ({outcome.manual.reason})"
        if self.audit is not None:
            numbers |= self.audit(self.label_bank)
            line += f"; {self.audit.sentence(numbers)}"
        self.history.log(**numbers)
        logger.info(line)
