# SPDX-License-Identifier: Apache-2.0
"""docs/results/accuracy.csv: one row per cell, protocol, model and structure, of all machines."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

AVERAGE = "average"
KEY = ("dataset", "preset", "protocol", "noise", "method", "noise_seed", "training_seed", "model", "structure")
COLUMNS = (
    *("dataset", "preset", "protocol", "method", "oracle_noise", "noise", "alpha", "beta"),
    *("noise_seed", "training_seed", "model", "structure", "dice_per_volume", "dice_per_slice"),
    *("seconds", "cpu_seconds", "peak_memory_mb", "device", "threads", "commit", "version"),
)
SORTED_BY = ("dataset", "preset", "protocol", "alpha", "beta", *KEY[3:])

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

    Dice is in percent, "" for a structure that no test volume shows.
    """
    rows = []
    for model, by_protocol in cell["evaluation"]["results"].items():
        for protocol, numbers in by_protocol.items():
            volumes = {**numbers["per_volume"], AVERAGE: numbers["mean"]}
            slices = {**numbers["per_slice"], AVERAGE: numbers["mean_per_slice"]}
            for structure in volumes:
                values = {**cell, "protocol": protocol, "model": model, "structure": structure}
                values |= {"dice_per_volume": volumes[structure], "dice_per_slice": slices[structure]}
                values["oracle_noise"] = "yes" if cell["oracle_noise"] else "no"
                rows.append({name: "" if values[name] is None else str(values[name]) for name in COLUMNS})
    return rows


def merge(old: Iterable[Row], new: Iterable[Row]) -> list[Row]:
    """All rows, those of `new` in place of those of `old` with the same `KEY`, sorted."""
    merged = {tuple(row[name] for name in KEY): row for rows in (old, new) for row in rows}
    return sorted(merged.values(), key=lambda row: tuple(by_value(row[name]) for name in SORTED_BY))


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
