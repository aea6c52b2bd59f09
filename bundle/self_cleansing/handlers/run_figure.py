# SPDX-License-Identifier: Apache-2.0
"""At the end of a training: one sweep with the final network, and the figure of the run."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import nn

from ..distributed import is_first
from ..filtering import undecided, unsettled
from ..label_bank import LabelBank, unpack_bits
from ..label_filter import Filtered
from ..losses import LabelSchedule
from ..report.figure import draw_run, save_png
from ..report.samples import PanelSample, choose_samples, verdict_word
from ..slice_bank import SliceBank
from ..sweep import Sweep, sweep
from .best_model import BestModel
from .history import History

logger = logging.getLogger(__name__)


class RunFigure:
    """Draw `report.draw_run` when training is completed and write it to `path`. Warn of what makes verdicts doubtful.

    List it after LabelCleansing, which repairs the labels left out at the same event, and after the checkpoint.
    Network, bank and history are read, never changed. The mixture is that of the final network; the verdicts in the
    titles of the samples are those of the last update, which is what training went by.

    Args:
        path: of the PNG file.
        history: its rows are the curves.
        network: the one that judges labels; usually the averaged one.
        dataset: the training samples.
        label_bank: of the same samples.
        class_names: K names, in channel order.
        schedule: gives E1.
        best_model: gives the best epoch.
        label_filter: maps (Sweep, LabelBank) to `Filtered`; None for a method that has none.
        device: of the network.
        batch_size: of the sweep.
        num_samples: rows of the panel.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        history: History,
        network: nn.Module,
        dataset: SliceBank,
        label_bank: LabelBank,
        class_names: Sequence[str],
        schedule: LabelSchedule,
        best_model: BestModel,
        label_filter: Any = None,
        device: torch.device | str = "cpu",
        batch_size: int = 32,
        num_samples: int = 6,
    ) -> None:
        self.path = Path(path)
        self.history = history
        self.network = network
        self.dataset = dataset
        self.label_bank = label_bank
        self.class_names = list(class_names)
        self.schedule = schedule
        self.best_model = best_model
        self.label_filter = label_filter
        self.device = device
        self.batch_size = batch_size
        self.num_samples = num_samples

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Any) -> None:
        found = sweep(self.network, self.dataset, self.label_bank, None, self.device, self.batch_size)
        if not is_first():  # all sweep, one draws
            return
        outcome = self.label_filter(found, self.label_bank) if self.label_filter is not None else None
        doubts = self.doubts(outcome)
        for doubt in doubts:
            logger.warning(f"look at some labels before you rely on this run: {doubt}")
        areas = found.manual_areas
        chosen = choose_samples(
            areas.label_area.numpy(),
            areas.pred_area.numpy(),
            areas.difference_area.numpy(),
            self.label_bank.clean_posterior.cpu().numpy(),
            self.dataset.case_index.numpy(),
            self.num_samples,
        )
        figure = draw_run(
            self.history.rows,
            [self.panel_sample(index, found) for index in chosen],
            self.class_names,
            found.manual_loss.numpy(),
            outcome.manual if outcome is not None else None,
            None if self.label_filter is None else self.schedule.warmup_epochs,
            self.best_model.best_epoch,
            f"{len(self.dataset)} training slices of {len(self.dataset.cases)} cases, {engine.state.epoch} epochs",
            doubts,
        )
        save_png(figure, self.path)
        logger.info("figure of the run: %s", self.path)

    def doubts(self, outcome: Filtered | None) -> tuple[str, ...]:
        """What speaks against the verdicts: those of the final network, and how they went from update to update."""
        if outcome is None:
            return ()
        updates = [row for row in self.history.rows if "verdicts_changed" in row or "filter_declined" in row]
        since = next((n for n, row in enumerate(updates) if "verdicts_changed" in row), len(updates))
        updates = updates[since:]
        changed = [row["verdicts_changed"] for row in updates if "verdicts_changed" in row]
        found = outcome.doubts + undecided(len(updates) - len(changed), len(updates))
        return found + (unsettled(changed[-1]) if len(changed) > 1 else ())  # the first one changes the most

    def panel_sample(self, index: int, found: Sweep) -> PanelSample:
        """Collect what the panel shows of one sample."""
        bank, at, filtered = self.label_bank, slice(index, index + 1), self.label_filter is not None
        return PanelSample(
            sample_id=self.dataset.sample_ids[index],
            verdict=verdict_word(bank.provenance[index].cpu(), bank.takes_part[index].cpu()) if filtered else "",
            posterior=bank.clean_posterior[index].mean().item() if filtered else None,
            image=self.dataset.images[index, 0].cpu().numpy(),
            given=self.dataset.labels[index].cpu().numpy(),
            in_force=bank.pseudo_label(at)[0].cpu().numpy() if filtered else None,
            prediction=unpack_bits(found.packed_prediction[index]).numpy(),
        )
