# SPDX-License-Identifier: Apache-2.0
"""What an audit says of every given label, and the two files that machines read: labels.csv and labels.json."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..data.json_file import write_json
from ..data.whole_file import whole_file
from ..spreadsheet_text import spreadsheet_text

FORMAT, VERSION = "label audit", 1

#: Kinds of error, in the order of the columns of probabilities.
KINDS = ("missing", "extra", "too large", "too small", "shifted", "boundary", "swapped class")
SUSPECT, TRUSTED = "suspect", "trusted"


@dataclass(frozen=True)
class Share:
    """An estimated share of wrong labels in [0, 1] with its 95 % interval, low <= estimate <= high."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True)
class LabelFinding:
    """One given label: one class in one slice.

    Attributes:
        sample: `<case>/<slice>`.
        case: its case.
        slice: number of the slice, from 0 along the file's slice axis.
        class_name: its class.
        trust: probability in [0, 1] that the label has a Dice of at least 0.9 to the clean one.
        verdict: SUSPECT if trust is below one half, else TRUSTED.
        kind: one of KINDS, the likeliest error if it is one.
        kind_probability: in [0, 1], of that kind among all kinds, given that the label is wrong.
        boundary_error_px: mean signed distance of the given boundary from the proposed one in pixels of the image,
            positive where the given label is larger; None if one of the two is empty.
        boundary_error_mm: likewise in mm; None also where the image has no spacing.
        dice: of the given to the proposed label, in [0, 1]; 1 if both are empty.
        given_px, proposed_px: areas in pixels of the network's grid.
    """

    sample: str
    case: str
    slice: int
    class_name: str
    trust: float
    verdict: str
    kind: str
    kind_probability: float
    boundary_error_px: float | None
    boundary_error_mm: float | None
    dice: float
    given_px: int
    proposed_px: int


@dataclass(frozen=True)
class SampleFinding:
    """One slice: `trust` is the mean of its labels', `suspect` names the classes with that verdict."""

    sample: str
    case: str
    slice: int
    trust: float
    suspect: tuple[str, ...]


@dataclass(frozen=True)
class CaseFinding:
    """One case: `trust` is that of its least trusted label, `suspect` the number of labels with that verdict."""

    case: str
    samples: int
    trust: float
    suspect: int
    share: Share


@dataclass(frozen=True)
class Findings:
    """All an audit found. Labels are in the order sample by sample, class by class; samples case by case.

    Attributes:
        classes: K names.
        labels: N * K findings.
        samples: N.
        cases: C.
        share: estimated share of wrong labels in the data set.
        class_shares: likewise by class.
        settings: how the audit was made: folds, seed, training; plain values.
        warnings: sentences a reader must see before trusting the rest; usually none.
    """

    classes: tuple[str, ...]
    labels: Sequence[LabelFinding]
    samples: Sequence[SampleFinding]
    cases: Sequence[CaseFinding]
    share: Share
    class_shares: Mapping[str, Share]
    settings: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def suspect(self) -> int:
        """Number of labels with verdict SUSPECT."""
        return sum(label.verdict == SUSPECT for label in self.labels)


def write_csv(path: str | os.PathLike[str], findings: Findings) -> None:
    """Write one row per label, the columns those of `LabelFinding`; an undefined number is an empty cell.

    Names that a spreadsheet would run as formulas begin with an apostrophe.
    """
    columns = [one.name for one in fields(LabelFinding)]
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(columns)
        for label in findings.labels:
            table.writerow([_cell(getattr(label, name)) for name in columns])


def write_findings(path: str | os.PathLike[str], findings: Findings) -> None:
    """Write everything as JSON; docs/audit.md documents the fields."""
    content = {"format": FORMAT, "version": VERSION, "kinds": KINDS, **asdict(findings)}
    write_json(Path(path), _rounded(content))


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.4f}" if isinstance(value, float) else spreadsheet_text(value) if isinstance(value, str) else value


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value
