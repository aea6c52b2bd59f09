# SPDX-License-Identifier: Apache-2.0
"""In a simulation the truth is known: how good are the filter and the labels in force?"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..data import case_id
from ..filtering import Provenance
from ..label_bank import LabelBank
from ..metrics import dice_counts
from ..noise import KINDS as NOISE_KINDS
from ..slice_bank import SliceBank

KINDS = tuple(NOISE_KINDS)


def _rows(manifest: str | os.PathLike[str]) -> list[tuple[str, str, int, bool]]:
    """Sample, class, number of the kind of noise, and whether the label is unchanged, of every row."""
    try:
        with open(manifest, newline="", encoding="utf-8") as file:
            return [
                (f"{row['case']}/{row['slice']}", row["class"], KINDS.index(row["kind"]), float(row["dice"]) == 1.0)
                for row in csv.DictReader(file)
            ]
    except (csv.Error, KeyError, TypeError, ValueError) as error:
        reason = f"no column {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"{manifest} is damaged ({reason}); make the noisy copy again, or pass --noise_manifest none"
        ) from None


class NoiseAudit:
    """Compare verdicts and labels with the noise manifest and the clean labels.

    This is the only place in a training that opens clean labels of training cases. It reads from the label bank and
    returns numbers for the log; nothing flows back.

    Args:
        manifest: `noise_manifest.csv` written by scripts/make_noisy_labels.py.
        data: the training cases with their `clean_label`.
        preprocessing: as for training, so that the grids agree.
        class_names: K names, in channel order.
        cache_dir: see `SliceBank`.
    """

    def __init__(
        self,
        manifest: str | os.PathLike[str],
        data: Sequence[Mapping[str, Any]],
        preprocessing: Any,
        class_names: Sequence[str],
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        dataset = SliceBank(data, preprocessing, cache_dir, in_step=False)  # the first process alone audits
        self.class_names = list(class_names)
        if dataset.clean_labels is None:
            missing = next(case_id(item) for item in data if "clean_label" not in item)
            raise ValueError(
                f"{manifest} is there but case {missing!r} has no clean label below clean_labels/; "
                "make the noisy copy again, or pass --noise_manifest none"
            )
        self.clean_labels = dataset.clean_labels
        position = {name: row for row, name in enumerate(dataset.sample_ids)}
        column = {name: k for k, name in enumerate(class_names)}
        self.kind = torch.zeros(self.clean_labels.shape[:2], dtype=torch.int64)
        self.identical = torch.ones(self.clean_labels.shape[:2], dtype=torch.bool)
        listed = torch.zeros_like(self.identical)
        cases = set(dataset.cases)
        for sample, class_name, kind, identical in _rows(manifest):
            if sample in position and class_name in column:
                entry = position[sample], column[class_name]
                self.kind[entry], self.identical[entry], listed[entry] = kind, identical, True
            elif sample not in position and (case := sample.rpartition("/")[0]) in cases:
                raise ValueError(
                    f"{manifest} has a row for sample {sample!r}, which the training does not have: it counts the "
                    f"slices of {case} along another axis; make the noisy copy again with --in_plane as in the data's "
                    "config, or pass --noise_manifest none"
                )
        if not listed.all():
            sample, k = torch.nonzero(~listed)[0].tolist()
            raise ValueError(
                f"{manifest} has no row for sample {dataset.sample_ids[sample]!r}, class {self.class_names[k]!r}; "
                "it belongs to another data set or split: make the noisy copy again, or pass --noise_manifest none"
            )

    def __call__(self, bank: LabelBank) -> dict[str, float]:
        """Return precision and recall of "clean", accepted shares by noise kind, Dice of the labels in force.

        "Clean" means identical to the reference. `filter_recall_marked` is the recall among labels that mark something:
        whether an empty label is rightly empty is the harder question, and matters less to a training. Dice is per
        class over entries whose clean label is not empty, for labels that take part, for pseudo labels (kept or
        renewed) among them, and for those that were left out and repaired at the end. Empty groups are left out.
        """
        accepted = (bank.provenance == Provenance.MANUAL).cpu()
        right = (accepted & self.identical).sum()
        marked = self.identical & self.clean_labels.flatten(2).any(dim=2)
        numbers = {
            "filter_precision": right / accepted.sum().clamp(min=1),
            "filter_recall": right / self.identical.sum().clamp(min=1),
            "filter_recall_marked": (accepted & marked).sum() / marked.sum().clamp(min=1),
        }
        for number, kind in enumerate(KINDS):
            chosen = (self.kind == number) & (~self.identical | (number == 0))
            if chosen.any():
                numbers[f"accepted_{kind}"] = (accepted & chosen).sum() / chosen.sum()
        counts = [
            dice_counts(bank.pseudo_label(index).cpu(), self.clean_labels[index])
            for index in torch.arange(len(self.clean_labels)).split(256)
        ]
        overlap, area, clean_area = torch.cat(counts).double().unbind(dim=2)
        dice = 2 * overlap / (area + clean_area).clamp(min=1)
        takes_part, renewed = bank.takes_part.cpu(), (bank.provenance == Provenance.RENEWED).cpu()
        groups = {"in_force": takes_part, "pseudo": ~accepted & takes_part, "repaired": renewed & ~takes_part}
        for group, members in groups.items():
            for k, name in enumerate(self.class_names):
                chosen = members[:, k] & (clean_area[:, k] > 0)
                if chosen.any():
                    numbers[f"dice_{group}_{name}"] = dice[chosen, k].mean()
        return {name: float(value) for name, value in numbers.items()}

    def sentence(self, numbers: Mapping[str, float]) -> str:
        """The same as words for the log."""
        shares = ", ".join(f"{k} {numbers[f'accepted_{k}']:.0%}" for k in KINDS if f"accepted_{k}" in numbers)
        dice = {
            group: " / ".join(
                f"{numbers[key]:.2f}" for name in self.class_names if (key := f"dice_{group}_{name}") in numbers
            )
            for group in ("in_force", "pseudo")
        }
        text = (
            f"filter precision {numbers['filter_precision']:.2f}, recall {numbers['filter_recall']:.2f} "
            f"(accepted: {shares}); Dice to clean of labels in force {dice['in_force'] or '-'}"
        )
        return text + (f", of pseudo labels {dice['pseudo']}" if dice["pseudo"] else "")
