# SPDX-License-Identifier: Apache-2.0
"""At the end of a training: write the repaired labels as a data set."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from ..data.labels import Labels, class_names
from ..distributed import is_first
from ..filtering import Provenance
from ..label_bank import LabelBank
from ..report.repaired_labels import export_repaired_labels
from ..slice_bank import SliceBank

logger = logging.getLogger(__name__)


class ExportRepairedLabels:
    """Write `<output_dir>/repaired_labels` when training is completed; the rules are in `report.repaired_labels`.

    List it after LabelCleansing, which repairs the labels left out at the same event. It has no state: a resumed run
    that completes writes the same files again.

    Args:
        output_dir: of the run.
        dataset_dir, data, preprocessing, dataset, label_bank, class_names, split_file, others, link_images: see
            `export_repaired_labels`.

    Raises:
        ValueError: if the number of classes is not that of the bank.
    """

    def __init__(
        self,
        output_dir: str | os.PathLike[str],
        dataset_dir: str | os.PathLike[str],
        data: Sequence[Mapping[str, Any]],
        preprocessing: Any,
        dataset: SliceBank,
        label_bank: LabelBank,
        class_names: Labels,
        split_file: str | os.PathLike[str] | None = None,
        others: Sequence[Mapping[str, Any]] = (),
        link_images: bool = False,
    ) -> None:
        self.folder = Path(output_dir) / "repaired_labels"
        self.dataset_dir = dataset_dir
        self.data = data
        self.preprocessing = preprocessing
        self.dataset = dataset
        self.label_bank = label_bank
        self.class_names = _matching_names(class_names, label_bank)
        self.split_file = split_file
        self.others = others
        self.link_images = link_images

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        if not is_first():
            return
        written = export_repaired_labels(
            self.folder,
            self.dataset_dir,
            self.data,
            self.preprocessing,
            self.dataset,
            self.label_bank,
            self.class_names,
            self.split_file,
            self.others,
            self.link_images,
        )
        changed = ((self.label_bank.provenance != Provenance.MANUAL) & self.label_bank.is_set).sum().item()
        total = self.label_bank.provenance.numel()
        logger.info("%d of %d labels replaced; %d label files in %s", changed, total, len(written), self.folder)


def _matching_names(names: Labels, label_bank: LabelBank) -> dict[int, str]:
    declared, present = class_names(names), label_bank.provenance.shape[1]
    if len(declared) != present:
        raise ValueError(
            f"class_names must name the {present} classes of the label bank, got {list(declared.values())}"
        )
    return declared
