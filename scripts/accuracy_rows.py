# SPDX-License-Identifier: Apache-2.0
"""The figures of all cells, of all machines: docs/results/accuracy.csv, curves.csv and volumes.csv.

accuracy.csv has one row per cell, protocol, model and structure; curves.csv one per cell and validated epoch;
volumes.csv one per cell, protocol, test volume and structure.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

AVERAGE = "average"
MODELS = ("B", "L")
CELL = ("dataset", "preset", "noise", "method", "noise_seed", "training_seed")
COLUMNS = (
    *("dataset", "preset", "protocol", "method", "oracle_noise", "noise", "alpha", "beta"),
    *("noise_seed", "training_seed", "model", "structure", "dice_per_volume", "dice_per_slice"),
    *("seconds", "cpu_seconds", "peak_memory_mb", "device", "arithmetic", "threads", "commit", "version"),
)
SORTED_BY = ("dataset", "preset", "protocol", "alpha", "beta", *CELL[2:], "model", "structure")
FILTER = ("filter_precision", "filter_recall", "filter_recall_marked")
CURVE_COLUMNS = (
    *("dataset", "preset", "noise", "method", "oracle_noise", "noise_seed", "training_seed", "epoch", "dice"),
    *FILTER,
)
CURVES_SORTED_BY = (*CELL, "epoch")
VOLUME_COLUMNS = (*CELL, "protocol", "case", "structure", "patient", *MODELS)

Row = dict[str, str]


def read_cells(grid_dirs: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """Yield the content of every cell.json below the folders.

    Raises:
        FileNotFoundError: a folder does not exist or holds no finished cell.
    """
    for folder in grid_dirs:
        paths = sorted(folder.rglob("cell.json"))
        if not paths:
            raise FileNotFoundError(f"{folder} holds no cell.json; give the --output_dir of scripts/run_grid.py")
        for path in paths:
            yield json.loads(path.read_text(encoding="utf-8"))


def rows_of(cell: Mapping[str, Any]) -> list[Row]:
    """The rows of one cell.json: both models, both protocols, each structure and their mean ('average').

    Dice is in percent, "" for a structure that no test volume shows. `arithmetic` is "" for a cell of before 0.13.0.
    """
    rows = []
    for model, by_protocol in cell["evaluation"]["results"].items():
        for protocol, numbers in by_protocol.items():
            volumes = {**numbers["per_volume"], AVERAGE: numbers["mean"]}
            slices = {**numbers["per_slice"], AVERAGE: numbers["mean_per_slice"]}
            for structure in volumes:
                values = {"arithmetic": None, **cell, "protocol": protocol, "model": model, "structure": structure}
                values |= {"dice_per_volume": volumes[structure], "dice_per_slice": slices[structure]}
                values["oracle_noise"] = "yes" if cell["oracle_noise"] else "no"
                rows.append({name: "" if values[name] is None else str(values[name]) for name in COLUMNS})
    return rows


def curve_of(cell: Mapping[str, Any]) -> list[Row]:
    """The validation Dice (on clean labels) of one cell.json, a row per validated epoch, in percent.

    Beside it, what the noise manifest says of the verdicts of that epoch; "" where there were none.
    """
    same = {**cell, "oracle_noise": "yes" if cell["oracle_noise"] else "no"}
    curves = cell["curves"]
    rows = []
    for place, (epoch, dice) in enumerate(zip(curves["epoch"], curves["val_mean_dice"], strict=True)):
        if dice is not None:
            verdicts = {name: curves[name][place] if name in curves else None for name in FILTER}
            percent = {name: "" if share is None else round(100 * share, 2) for name, share in verdicts.items()}
            values = {**same, "epoch": int(epoch), "dice": round(100 * dice, 2), **percent}
            rows.append({name: str(values[name]) for name in CURVE_COLUMNS})
    return rows


def volumes_of(cell: Mapping[str, Any]) -> list[Row]:
    """The Dice of every test volume and structure of one cell.json, in percent, "" where there is nothing to score.

    [] for a cell that was evaluated by a version that kept no volumes.
    """
    evaluation = cell["evaluation"]
    if "patients" not in evaluation:
        return []
    rows = []
    for protocol in evaluation["results"]["B"]:
        volumes = {model: evaluation["results"][model][protocol]["volumes"] for model in MODELS}
        for structure in volumes["B"]:
            each = zip(*(volumes[model][structure] for model in MODELS), strict=True)
            for case, patient, scores in zip(evaluation["cases"], evaluation["patients"], each, strict=True):
                values = {**cell, "protocol": protocol, "case": case, "patient": patient, "structure": structure}
                values |= dict(zip(MODELS, scores, strict=True))
                rows.append({name: "" if values[name] is None else str(values[name]) for name in VOLUME_COLUMNS})
    return rows


def merge(old: Iterable[Row], new: Iterable[Row], sorted_by: Sequence[str] = SORTED_BY) -> list[Row]:
    """All rows, without those of `old` whose cell `new` has, sorted."""
    new = list(new)
    again = {tuple(row[name] for name in CELL) for row in new}
    kept = [row for row in old if tuple(row[name] for name in CELL) not in again]
    return sorted([*kept, *new], key=lambda row: tuple(by_value(row[name]) for name in sorted_by))


def read_rows(path: Path, columns: Iterable[str] = COLUMNS) -> list[Row]:
    """Read a CSV file with at least these columns; [] if there is no such file.

    Raises:
        ValueError: a column is missing.
    """
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        table = csv.DictReader(file)
        if missing := [name for name in columns if name not in (table.fieldnames or [])]:
            raise ValueError(f"{path} has no column {missing[0]!r}; was it written by another version? Remove it then")
        return list(table)


def by_value(text: str) -> tuple[float, str]:
    """A sort key: numbers by their value, before text; of a range such as 1-8 the first number counts."""
    try:
        return float(text.partition("-")[0]), text
    except ValueError:
        return float("inf"), text
