# SPDX-License-Identifier: Apache-2.0
"""How far a finished run or an audit trusts the given label of every case, from the files it leaves.

Needs no MONAI Label.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCORE = "review"  # under this key the datastore keeps the score of an image
LABEL_FOLDERS = ("repaired_labels", "proposed_labels")  # what a run leaves, what an audit leaves
PROVENANCE = "provenance.csv"
DOUBTFUL = 0.5  # a label is believed above this probability of being clean


@dataclass(frozen=True)
class CaseTrust:
    """What the run (or the audit) thinks of one case. An entry is one structure in one slice.

    Attributes:
        trust: the probability that the label is clean, of the least trusted entry; in [0, 1].
        sample: that entry's slice, `<case>/<number>`, and
        class_name: its structure. Of entries equally trusted, the one whose label the prediction overlaps least.
        verdict: the run's word on it: manual, kept, renewed, left out.
        doubtful: number of entries with a probability of at most one half.
        entries: number of all.
    """

    trust: float
    sample: str
    class_name: str
    verdict: str
    doubtful: int
    entries: int


def label_folder(run_dir: str | os.PathLike[str]) -> Path:
    """The folder of new labels in that of a run or an audit: the one of LABEL_FOLDERS that holds a provenance.csv.

    Raises:
        FileNotFoundError: if none does.
    """
    for name in LABEL_FOLDERS:
        if (Path(run_dir) / name / PROVENANCE).is_file():
            return Path(run_dir) / name
    raise FileNotFoundError(
        f"run {run_dir} has no {f'/{PROVENANCE} and no '.join(LABEL_FOLDERS)}/{PROVENANCE}; name the folder of a "
        "finished run whose method repairs labels, such as self_cleansing_practical, or that of an audit"
    )


def read_trust(run_dir: str | os.PathLike[str]) -> dict[str, CaseTrust]:
    """Read the provenance.csv of a run or an audit.

    Returns:
        by case, in the file's order; every case the run was trained on, or that was audited, is there.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file has no row or lacks a column.
    """
    path = label_folder(run_dir) / PROVENANCE
    rows: dict[str, list[dict[str, str]]] = {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                rows.setdefault(row["case"], []).append(row)
        trust = {case: _judge(entries) for case, entries in rows.items()}
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"{path} is damaged ({error}); make it again, or restore the file") from error
    if not trust:
        raise ValueError(f"{path} has no row; make it again, or restore the file")
    return trust


def _judge(entries: list[dict[str, str]]) -> CaseTrust:
    for row in entries:
        if not 0 <= float(row["clean_posterior"]) <= 1:  # also refuses NaN
            raise ValueError(f"clean_posterior must be in [0, 1], got {row['clean_posterior']}")
    worst = min(entries, key=lambda row: (float(row["clean_posterior"]), -float(row["manual_loss"])))
    return CaseTrust(
        trust=float(worst["clean_posterior"]),
        sample=worst["sample"],
        class_name=worst["class"],
        verdict=worst["verdict"],
        doubtful=sum(float(row["clean_posterior"]) <= DOUBTFUL for row in entries),
        entries=len(entries),
    )


def place_in_queue(image: str, info: Mapping[str, Any]) -> tuple[float, int, str]:
    """What the queue is sorted by: trust, then how much the proposal changes, then the name; without a score last.

    Args:
        image: its id.
        info: what the datastore knows of it.
    """
    score = info.get(SCORE)
    return (score["trust"], -score["changed_voxels"], image) if score else (float("inf"), 0, image)


def recorded_classes(run_dir: str | os.PathLike[str]) -> list[str]:
    """The classes of a run or an audit by its run.json, in the order of the label values 1, 2, ...

    Raises:
        FileNotFoundError: if there is no run.json.
        ValueError: if that names no classes.
    """
    path = Path(run_dir) / "run.json"
    if not path.is_file():
        raise FileNotFoundError(f"run {run_dir} has no run.json; name the folder of a finished run or of an audit")
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["settings"]["class_names"]
        if not isinstance(names, list) or not names:
            raise TypeError(f"got {names!r:.40}")
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} names no classes ({error}); make it again, or restore the file") from error
    return [str(name) for name in names]
