# SPDX-License-Identifier: Apache-2.0
"""Print one Markdown table over evaluated runs.

    python scripts/compare_runs.py runs/baseline_seed0 runs/baseline_seed1 runs/practical_seed0 --output docs/table.md

Every run folder must hold evaluation.json, which configs/evaluate.yaml writes. Runs whose folder names differ only in
a trailing _seed<number> are one method: the table shows their mean and, in brackets, each seed's value. A second table
has the difference of each method to the first one and its 95 % interval, where each volume's scores were kept.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bundle.self_cleansing.data.json_file import read_json  # noqa: E402
from bundle.self_cleansing.data.whole_file import write_text  # noqa: E402
from bundle.self_cleansing.metrics import paired_difference  # noqa: E402

EVALUATION = "evaluation.json"
SEED = re.compile(r"_seed(\d+)$")
COMPARABLE = ("part", "cases", "classes", "empty_rule", "protocols")


def compare_runs(run_dirs: Sequence[str | os.PathLike[str]]) -> str:
    """Return the table: one row per method, model (B, L) and protocol, mean per-volume Dice and the classes'.

    Args:
        run_dirs: run folders, at least one; methods appear in this order.

    Raises:
        FileNotFoundError: if a run has no evaluation.json.
        ValueError: if a folder is named twice, or two runs were evaluated on different cases, classes or rules.
    """
    runs: dict[str, list[tuple[str, dict]]] = {}
    seen: dict[Path, dict] = {}
    for run in map(Path, run_dirs):
        folder = Path(os.path.abspath(run))
        if folder in seen:
            raise ValueError(f"run {run} is given twice; name each run once")
        seen[folder] = evaluation = _read(run)
        first, reference = next(iter(seen.items()))
        for key in COMPARABLE:
            if evaluation.get(key) != reference.get(key):
                raise ValueError(
                    f"{run} and {first} differ in {key!r} of {EVALUATION} and cannot share a table; "
                    "evaluate both on the same data and part"
                )
        seed = SEED.search(folder.name)
        runs.setdefault(SEED.sub("", folder.name), []).append((seed[1] if seed else "-", evaluation))
    return _markdown(runs, next(iter(seen.values())))


def _read(run: Path) -> dict[str, Any]:
    if not (run / EVALUATION).is_file():
        raise FileNotFoundError(
            f"run {run} has no {EVALUATION}; evaluate it first: python -m monai.bundle run evaluating "
            "with configs/evaluate.yaml as the last config file and --output_dir of the run"
        )
    evaluation = read_json(run / EVALUATION)
    if missing := [key for key in (*COMPARABLE, "results") if key not in evaluation]:
        raise ValueError(f"{run / EVALUATION} lacks {', '.join(missing)}; evaluate the run again")
    return evaluation


def _markdown(runs: Mapping[str, list[tuple[str, dict]]], reference: Mapping[str, Any]) -> str:
    classes = reference["classes"]
    lines = [
        f"Mean per-volume Dice in percent on part {reference['part']} ({len(reference['cases'])} volumes); "
        "several seeds: mean (each).",
        "",
        f"| method | seeds | model | protocol | mean | {' | '.join(classes)} |",
        "|---|---|---|---|" + "---:|" * (len(classes) + 1),
    ]
    for method, evaluations in runs.items():
        evaluations = sorted(evaluations, key=lambda one: one[0])
        seeds = ", ".join(seed for seed, _ in evaluations)
        for model in reference["results"]:
            for protocol in reference["protocols"]:
                found = [evaluation["results"][model][protocol] for _, evaluation in evaluations]
                cells = [_cell([one["mean"] for one in found])]
                cells += [_cell([one["per_volume"][name] for one in found]) for name in classes]
                lines.append(f"| {method} | {seeds} | {model} | {protocol.replace('_', '-')} | {' | '.join(cells)} |")
    lines += _differences(runs, reference)
    lines += ["", f"B: best epoch on the validation part, L: last epoch. Empty masks: {reference['empty_rule']}."]
    lines += [f"{protocol.replace('_', '-')}: {text}." for protocol, text in reference["protocols"].items()]
    return "\n".join(lines) + "\n"


def _differences(runs: Mapping[str, list[tuple[str, dict]]], reference: Mapping[str, Any]) -> list[str]:
    """The second table; no lines for a single method, or if an evaluation is of a version that kept no volumes."""
    first, *others = runs
    keys = [(model, protocol) for model in reference["results"] for protocol in reference["protocols"]]
    every = [one for some in runs.values() for _, one in some]
    kept = all("volumes" in one["results"][model][protocol] for one in every for model, protocol in keys)
    if not others or not kept or "patients" not in reference:
        return []
    lines = [
        "",
        f"Difference to {first} [95 % interval: patients drawn anew; another training would add to it]:",
        "",
        "| method | model | protocol | difference |",
        "|---|---|---|---:|",
    ]
    for method in others:
        for model, protocol in keys:
            scores = (
                [list(one["results"][model][protocol]["volumes"].values()) for _, one in runs[name]]
                for name in (method, first)
            )  # (seeds, classes, volumes)
            scores = (np.array(one, dtype=float).swapaxes(1, 2) for one in scores)
            difference = paired_difference(*scores, reference["patients"])
            lines.append(f"| {method} | {model} | {protocol.replace('_', '-')} | {difference} |")
    return lines


def _cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    mean = f"{sum(known) / len(known):.1f}"
    each = ", ".join("-" if value is None else f"{value:.1f}" for value in values)
    return mean if len(values) == 1 else f"{mean} ({each})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, print the table, write it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", metavar="RUN_DIR", help="folder of an evaluated run")
    parser.add_argument("--output", help="write the table to this Markdown file, too")
    options = parser.parse_args(arguments)
    try:
        table = compare_runs(options.runs)
        if options.output:
            write_text(options.output, table)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    print(table)


if __name__ == "__main__":
    main()
