# SPDX-License-Identifier: Apache-2.0
"""Write the folder an audit leaves: report, tables, work list, and the proposed labels as a data set."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..filtering import Provenance
from ..label_bank import LabelBank, unpack_bits
from ..report.repaired_labels import export_repaired_labels
from ..slice_bank import SliceBank
from .findings import SUSPECT, Findings, write_csv, write_findings
from .report_page import SamplePicture, write_report_page
from .work_list import write_work_list

logger = logging.getLogger(__name__)

LARGEST_PICTURE_PX = 128  # in the report; larger slices are thinned out, or the page would grow too large to open


@dataclass(frozen=True)
class AuditedData:
    """Where the labels come from.

    Attributes:
        dataset_dir: the folder of the data set.
        cases: the audited ones.
        others: its other cases, whose labels are taken over.
        split_file: of the data set, taken over if it exists.
    """

    dataset_dir: Path
    cases: Sequence[Mapping[str, Any]]
    others: Sequence[Mapping[str, Any]]
    split_file: str | os.PathLike[str] | None


def write_results(
    output_dir: Path,
    data: AuditedData,
    dataset: SliceBank,
    preprocessing: Any,
    findings: Findings,
    packed_proposal: Tensor,
) -> None:
    """Write labels.csv, labels.json, work_list.csv, proposed_labels/ and, last, report.html.

    Args:
        output_dir: of the audit.
        data: what was audited, cases in the order of `dataset`.
        dataset: all samples.
        preprocessing: what `dataset` was made with.
        findings: on the same samples.
        packed_proposal: uint8 (N, K, H, W / 8), see `pack_bits`.
    """
    write_csv(output_dir / "labels.csv", findings)
    write_findings(output_dir / "labels.json", findings)
    write_work_list(output_dir / "work_list.csv", findings)
    export_repaired_labels(
        output_dir / "proposed_labels",
        data.dataset_dir,
        data.cases,
        preprocessing,
        dataset,
        label_bank(dataset, findings, packed_proposal),
        list(findings.classes),
        data.split_file,
        data.others,
        link_images=True,
    )
    title = f"Label report: {data.dataset_dir.name}"
    write_report_page(output_dir / "report.html", findings, _pictures(dataset, packed_proposal), title)
    logger.info("%d of %d labels are suspect; %s", findings.suspect, len(findings.labels), output_dir / "report.html")


def label_bank(dataset: SliceBank, findings: Findings, packed_proposal: Tensor) -> LabelBank:
    """The findings as a label bank: a suspect label is renewed by its proposal, trust is the posterior."""
    bank = LabelBank(dataset)
    shape = tuple(bank.provenance.shape)
    suspect = torch.tensor([label.verdict == SUSPECT for label in findings.labels]).reshape(shape)
    for samples in _by_case(dataset):
        bank.write(samples, unpack_bits(packed_proposal[samples]), suspect[samples])
    bank.record(torch.where(suspect, int(Provenance.RENEWED), int(Provenance.MANUAL)), epoch=0)
    bank.clean_posterior.copy_(torch.tensor([label.trust for label in findings.labels]).reshape(shape))
    bank.manual_loss.copy_(torch.tensor([1 - label.dice for label in findings.labels]).reshape(shape))
    return bank


def _pictures(dataset: SliceBank, packed_proposal: Tensor) -> Iterator[SamplePicture]:
    for samples in _by_case(dataset):
        images = dataset.images[samples][:, 0].cpu().numpy()
        low, high = np.quantile(images, [0.005, 0.995])
        gray = (np.clip((images - low) / max(float(high - low), 1e-6), 0, 1) * 255).astype(np.uint8)
        given = dataset.labels[samples].bool().cpu().numpy()
        proposed = unpack_bits(packed_proposal[samples]).bool().numpy()
        step = -(-max(gray.shape[1:]) // LARGEST_PICTURE_PX)
        for row in range(len(samples)):
            yield SamplePicture(*(one[..., ::step, ::step] for one in (gray[row], given[row], proposed[row])))


def _by_case(dataset: SliceBank) -> Iterator[Tensor]:
    for number in range(len(dataset.cases)):
        yield torch.nonzero(dataset.case_index == number).flatten()
