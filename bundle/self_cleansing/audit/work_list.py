# SPDX-License-Identifier: Apache-2.0
"""What a coordinator hands out: cases with suspect labels, the least trusted first, as a table for a spreadsheet."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable

from ..data.whole_file import whole_file
from ..slice_ranges import slice_ranges
from ..spreadsheet_text import spreadsheet_text
from .findings import KINDS, SUSPECT, Findings, LabelFinding

COLUMNS = (
    *("rank", "case", "suspect_labels", "slices_counted_from_0", "classes", "likely_kinds", "least_trust"),
    *("largest_boundary_error_mm", "largest_boundary_error_px"),
)


def write_work_list(path: str | os.PathLike[str], findings: Findings) -> None:
    """Write one row per case with at least one suspect label; without any the table has its header only.

    Cases are sorted by their least trust, then by the number of suspect labels (most first), then by name. Every column
    after `case` speaks of the case's suspect labels only. Classes are in the order of the audit, kinds in that of
    `KINDS`; ranges include both ends. Boundary errors are sizes, without a direction; a cell is empty where no suspect
    label of the case has one.

    Args:
        path: the CSV file, UTF-8; an existing one is replaced, whole.
        findings: of an audit.
    """
    suspects: dict[str, list[LabelFinding]] = {}
    for label in findings.labels:
        if label.verdict == SUSPECT:
            suspects.setdefault(label.case, []).append(label)
    order = sorted(
        suspects, key=lambda case: (min(label.trust for label in suspects[case]), -len(suspects[case]), case)
    )
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for rank, case in enumerate(order, start=1):
            labels = suspects[case]
            table.writerow(
                [
                    rank,
                    spreadsheet_text(case),
                    len(labels),
                    slice_ranges(label.slice for label in labels),
                    spreadsheet_text(_listed(findings.classes, {label.class_name for label in labels})),
                    _listed(KINDS, {label.kind for label in labels}),
                    f"{min(label.trust for label in labels):.4f}",
                    _largest(label.boundary_error_mm for label in labels),
                    _largest(label.boundary_error_px for label in labels),
                ]
            )


def _listed(order: Iterable[str], found: set[str]) -> str:
    return "; ".join(name for name in order if name in found)


def _largest(errors: Iterable[float | None]) -> str:
    sizes = [abs(error) for error in errors if error is not None]
    return f"{max(sizes):.2f}" if sizes else ""
