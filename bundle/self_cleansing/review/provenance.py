# SPDX-License-Identifier: Apache-2.0
"""Where every label of a merged data set comes from: provenance.csv, one row per case.

| column | says |
|---|---|
| case, label | the case, and its label file in this data set |
| source | `final`: corrected or confirmed by a person; `kept`: as given |
| correction | name of the corrected file |
| client_info, reviewed_at | what the client sent with it, as JSON, and when it was stored (UTC) |
| changed_voxels | voxels in which any class differs from the given label |
| changed_slices | their slices, counted from 0 along the last axis |
| given_sha256, correction_sha256, label_sha256 | of the given label, the corrected file, and the label file here |
"""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..data.whole_file import whole_file

PROVENANCE = "provenance.csv"
GIVEN_PROVENANCE = "given_provenance.csv"  # of the labels that a merge started from, if a run or an audit wrote them
FINAL, KEPT = "final", "kept"
UNCHANGED = "manual"  # the verdict on a slice's label that no run or audit replaced


@dataclass(frozen=True)
class CaseRow:
    """One row; see the module for the columns."""

    case: str
    label: str
    source: str
    correction: str
    client_info: str
    reviewed_at: str
    changed_voxels: int
    changed_slices: str
    given_sha256: str
    correction_sha256: str
    label_sha256: str


COLUMNS = [one.name for one in fields(CaseRow)]


def write_rows(path: str | os.PathLike[str], rows: Sequence[CaseRow]) -> None:
    """Write the table as a whole file."""
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(map(asdict, rows))


def read_rows(path: str | os.PathLike[str]) -> dict[str, CaseRow]:
    """Read such a table, by case.

    Returns:
        Empty if there is no such file, or it is the provenance of a run or an audit (a row per slice and class).

    Raises:
        ValueError: if a row is damaged.
    """
    if not Path(path).is_file():
        return {}
    columns, rows = _table(path)
    if columns != COLUMNS:
        return {}
    try:
        found = [CaseRow(**row | {"changed_voxels": int(row["changed_voxels"])}) for row in rows]  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged ({error}); restore the file") from error
    return {row.case: row for row in found}


def changed_cases(folder: str | os.PathLike[str]) -> list[str]:
    """Cases whose labels a run, an audit or a merge changed, by the provenance.csv of its data set.

    Args:
        folder: repaired_labels, proposed_labels, or a merged data set.

    Returns:
        sorted. Of a run or an audit those with a slice and class that is not `manual`; of a merge those with a changed
        voxel, and those that the run or audit had changed before it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is neither kind of table, or damaged.
    """
    path = Path(folder) / PROVENANCE
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist, so nobody knows which labels changed; restore it")
    if merged := read_rows(path):
        given = Path(folder) / GIVEN_PROVENANCE
        before = _replaced(given) if given.is_file() else set()
        return sorted(before | {case for case, row in merged.items() if row.changed_voxels})
    return sorted(_replaced(path))


def _replaced(path: Path) -> set[str]:
    """Cases of which a run or an audit replaced a label."""
    columns, rows = _table(path)
    if not {"case", "verdict"} <= set(columns) or any(row["verdict"] is None for row in rows):
        raise ValueError(f"{path} must have the columns case and verdict, got {', '.join(columns)}; restore the file")
    return {row["case"] for row in rows if row["verdict"] != UNCHANGED}


def _table(path: str | os.PathLike[str]) -> tuple[list[str], list[dict[str, str]]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            return list(reader.fieldnames or ()), rows
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged ({error}); restore the file") from error
