# SPDX-License-Identifier: Apache-2.0
"""Train and evaluate every cell of a grid of data sets, noises, methods and seeds, and go on where it was stopped.

    python scripts/run_grid.py configs/grids/acdc_quick.yaml --output_dir runs/grid --set acdc=data/acdc_clean

Kill it whenever you like and start it again: finished cells are skipped, the others go on from their last epoch.
scripts/grid_cells.py explains grid files, scripts/tabulate_results.py makes tables and plots of the results. Below the
output folder:
    data/<data set>/<noise>_seed<N>                 noisy copies, each made once
                   /identity.json                   of the data set; another one of the same name is refused
    <data set>/<noise>/<method>/seed<N>/cell.json   figures and cost; it is there when the cell is finished
                                       /run         the run's folder, as the bundle writes it
                                       /log.txt     what the commands printed
                                       /steps.json  cost so far, over all attempts
One run_grid works in an output folder at a time; --parallel trains several cells side by side.
Seconds are of the training, summed over its attempts: by the clock, waiting for a busy machine included, and of the
processor, over all threads. The peak memory is the greatest resident memory of its process (of the host; that of a GPU
is not recorded).
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from accuracy_rows import FILTER  # noqa: E402
from child_process import Child  # noqa: E402
from data_identity import check_identity, identity  # noqa: E402
from git_commit import git_commit  # noqa: E402
from grid_cells import Cell, noise_level, read_grid, recipe_of  # noqa: E402
from job_queue import Failed, Job, side_by_side  # noqa: E402

from bundle.self_cleansing import DISTRIBUTION  # noqa: E402
from bundle.self_cleansing.folder_lock import lock_folder  # noqa: E402  (light: a supervisor should not load torch)
from bundle.self_cleansing.leftovers import remove_leftovers  # noqa: E402

SAVE_EVERY_S = 5.0
NEW_STEP = {"seconds": 0.0, "cpu_seconds": 0.0, "peak_memory_mb": 0.0, "finished": False}
CURVES = ("epoch", "val_mean_dice", "val_dice_given_labels", *FILTER)


class NoisyData(Job):
    """Make the noisy data set of some cells. Its folder appears when it is complete."""

    def __init__(self, cell: Cell, output_dir: Path, environment: Mapping[str, str], held: int) -> None:
        self.cell = cell
        self.folder = output_dir / str(cell.data_name)
        log = self.folder.with_name(f"{self.folder.name}.log")
        super().__init__(str(cell.data_name), log, ROOT, environment, held)

    def commands(self) -> Iterator[Sequence[str]]:
        for abandoned in self.folder.parent.glob(f".{self.folder.name}.partial-*"):
            shutil.rmtree(abandoned)
        yield [
            *(sys.executable, "scripts/make_noisy_labels.py", "--link_images", "--recipe", str(self.cell.recipe)),
            *("--dataset_dir", str(self.cell.dataset_dir), "--output_dir", str(self.folder)),
            *("--seed", str(self.cell.seed)),
            *(word for key, value in self.cell.noise_options.items() for word in (f"--{key}", str(value))),
        ]


class Run(Job):
    """Train and evaluate one cell, and write its cell.json."""

    def __init__(self, cell: Cell, output_dir: Path, environment: Mapping[str, str], held: int) -> None:
        self.cell = cell
        self.folder = output_dir / cell.name
        self.run = self.folder / "run"
        self.data = output_dir / cell.data_name if cell.data_name else cell.dataset_dir
        self.state: dict[str, Any] = {"definition": cell.definition, "commits": [], "steps": {}}
        if (self.folder / "steps.json").is_file():
            self.state = read_json(self.folder / "steps.json")
        self.step: dict[str, Any] = {}
        self.earlier: dict[str, Any] = {}
        self.saved = 0.0
        super().__init__(cell.name, self.folder / "log.txt", ROOT, environment, held)

    def commands(self) -> Iterator[Sequence[str]]:
        if (missing := self.cell.missing_file()) is not None:
            raise Failed(f"{missing} does not exist")
        if (commit := git_commit()) not in self.state["commits"]:
            self.state["commits"].append(commit)
        remove_leftovers(self.run)
        if self.start("training"):
            checkpoint = (self.run / "models" / "checkpoint.pt").is_file()
            if not checkpoint and self.run.exists():  # killed in its first epoch
                shutil.rmtree(self.run)
            yield self.bundle("training", self.cell.config_files, ["--resume", "true"] if checkpoint else [])
            self.end()
        if self.start("evaluating"):
            yield self.bundle("evaluating", [*self.cell.config_files, "configs/evaluate.yaml"], [])
            self.end()
        write_json(self.folder / "cell.json", self.result())

    def bundle(self, action: str, config_files: Sequence[str], more: Sequence[str]) -> list[str]:
        """The command line of the bundle."""
        overrides = [word for key, value in self.cell.overrides.items() for word in (f"--{key}", str(value))]
        return [
            *(sys.executable, "-m", "monai.bundle", "run", action, "--config_file", str(list(config_files))),
            *("--dataset_dir", str(self.data), "--output_dir", str(self.run), "--seed", str(self.cell.seed)),
            *(*overrides, *more),
        ]

    def start(self, name: str) -> bool:
        """Whether a step is still to be done; its cost is added to that of earlier attempts."""
        self.step = self.state["steps"].setdefault(name, dict(NEW_STEP))
        self.step.setdefault("threads", int(self.environment["OMP_NUM_THREADS"]))
        self.earlier = dict(self.step)
        self.save()
        return not self.step["finished"]

    def end(self) -> None:
        self.step["finished"] = True
        self.save()

    def measured(self, child: Child) -> None:
        self.step["seconds"] = round(self.earlier["seconds"] + child.seconds, 1)
        self.step["cpu_seconds"] = round(self.earlier["cpu_seconds"] + child.cpu_seconds, 1)
        self.step["peak_memory_mb"] = round(max(self.earlier["peak_memory_mb"], child.peak_memory_mb), 1)
        if child.process.returncode is not None or time.monotonic() - self.saved > SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        write_json(self.folder / "steps.json", self.state)
        self.saved = time.monotonic()

    def done(self) -> float:
        """The part of the training that is done, in [0, 1]."""
        try:
            epochs = read_json(self.run / "run.json")["settings"]["max_epochs"]
            return min(1.0, len(_history(self.run)) / epochs)
        except OSError:
            return 0.0

    def result(self) -> dict[str, Any]:
        """What cell.json holds: all that a table or a plot needs, and no path of this machine."""
        cell, steps = self.cell, self.state["steps"]
        record = read_json(self.run / "run.json")
        history = _history(self.run)
        return {
            "dataset": cell.dataset,
            "preset": cell.preset,
            "noise": cell.noise,
            **noise_level(cell),
            "method": cell.method,
            "oracle_noise": cell.oracle_noise,
            "noise_seed": cell.seed,
            "training_seed": cell.seed,
            "definition": cell.definition,
            "seconds": steps["training"]["seconds"],
            "cpu_seconds": steps["training"]["cpu_seconds"],
            "evaluation_seconds": steps["evaluating"]["seconds"],
            "peak_memory_mb": steps["training"]["peak_memory_mb"],
            "device": record["device"],
            "arithmetic": record.get("arithmetic"),  # not recorded before 0.13.0
            "threads": steps["training"]["threads"],  # an evaluation that was made up for may have had others
            "commit": ", ".join(self.state["commits"]),
            "version": record["versions"][DISTRIBUTION],  # that trained, maybe not this one
            "versions": record["versions"],
            "curves": {name: [float(row[name]) if row.get(name) else None for row in history] for name in CURVES},
            "evaluation": read_json(self.run / "evaluation.json"),
        }


def read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all. (The package's own function would bring torch with it.)"""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".partial-{path.name}")
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(json.dumps(content, indent=1) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def run_grid(cells: Sequence[Cell], output_dir: Path, parallel: int, threads: int) -> dict[str, str]:
    """Run all cells that are not finished.

    Args:
        cells: as from `read_grid`.
        output_dir: see the top of this file.
        parallel: how many cells run side by side.
        threads: of each.

    Returns:
        name of a cell or noisy data set -> why it failed. Those that depend on a data set that failed are not run.

    Raises:
        ValueError: a cell in the folder was made from another definition or data set, or another process works there.
    """
    held = lock_folder(output_dir)
    environment = {"OMP_NUM_THREADS": str(threads), "TQDM_DISABLE": "1"}
    try:
        for cell in cells:
            check_definition(cell, output_dir)
        for dataset, folder in {cell.dataset: cell.dataset_dir for cell in cells if cell.dataset_dir.is_dir()}.items():
            check_data_set(dataset, folder, output_dir)
        waiting = [cell for cell in cells if not (output_dir / cell.name / "cell.json").is_file()]
        needed = {cell.data_name: cell for cell in waiting if cell.data_name and cell.missing_file() is None}
        new = [cell for name, cell in needed.items() if not (output_dir / name).is_dir()]
        failures = side_by_side([NoisyData(cell, output_dir, environment, held) for cell in new], parallel)
        runs = [Run(cell, output_dir, environment, held) for cell in waiting if cell.data_name not in failures]
        return failures | side_by_side(runs, parallel, len(cells) - len(waiting))
    finally:
        os.close(held)


def check_data_set(dataset: str, folder: Path, output_dir: Path) -> None:
    """Refuse another data set of this name than the one the output folder was begun with, which the first time records.

    An output folder that was begun before this was recorded (0.16.0) is said to be taken on trust.
    """
    if output_dir.is_relative_to(folder):
        raise ValueError(f"--output_dir {output_dir} lies in the data set {folder}; give one outside of it")
    record = output_dir / "data" / dataset / "identity.json"
    if record.is_file():
        check_identity(folder, read_json(record), record)
        return
    if (output_dir / dataset).is_dir() or record.parent.is_dir():
        print(f"{output_dir} does not say which data set {dataset} it was begun with; taken to be {folder}")
    write_json(record, identity(folder))


def check_definition(cell: Cell, output_dir: Path) -> None:
    """Refuse a cell whose folder holds what another definition made: its figures would be taken for this one's.

    Refused as well: noise options that its recipe does not have.
    """
    expected = json.loads(json.dumps(cell.definition))
    paths = [output_dir / cell.name / name for name in ("cell.json", "steps.json")]
    found = [(path, read_json(path)["definition"], expected) for path in paths if path.is_file()]
    recipe = recipe_of(cell) if cell.recipe and (ROOT / cell.recipe).is_file() else {}
    if cell.data_name and (path := output_dir / cell.data_name / "noise.json").is_file():
        found.append((path, read_json(path)["recipe"], recipe))
    for path, made_with, asked in found:
        for key, value in asked.items():
            if made_with.get(key) != value:
                raise ValueError(
                    f"{path} was made with {key} = {made_with.get(key)!r}, the grid now says {value!r}; "
                    f"remove {path.parent}, or give another --output_dir"
                )


def _history(run: Path) -> list[dict[str, str]]:
    with open(run / "history.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _state(cell: Cell, output_dir: Path) -> str:
    folder = output_dir / cell.name
    if (folder / "cell.json").is_file():
        return "finished"
    if (missing := cell.missing_file()) is not None:
        return f"cannot run, {missing} does not exist"
    return "to be resumed" if (folder / "run" / "models" / "checkpoint.pt").is_file() else "to be run"


def _name_and_folder(text: str) -> tuple[str, Path]:
    name, _, folder = text.partition("=")
    if not folder:
        raise argparse.ArgumentTypeError(f"expected <data set>=<folder>, got {text!r}")
    return name, Path(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and run; the exit status is 1 if a cell failed, 2 if nothing could be started."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("grid", type=Path, help="a YAML file of configs/grids")
    add("--output_dir", type=Path, default=Path("runs/grid"), help="folder of all cells (default runs/grid)")
    add("--set", nargs="+", type=_name_and_folder, default=[], metavar="DATA_SET=FOLDER", help="where a data set is")
    add("--only", nargs="+", default=["*"], metavar="PATTERN", help="cells to run, e.g. 'acdc/*/baseline/*'")
    add("--dry_run", action="store_true", help="list the cells and their state, run nothing")
    add("--parallel", type=int, default=1, help="cells side by side (default 1)")
    add("--threads", type=int, help="of each cell (default: the processors, shared out)")
    options = parser.parse_args(arguments)
    if options.parallel < 1 or (options.threads is not None and options.threads < 1):
        parser.error("--parallel and --threads must be at least 1")
    threads = options.threads or max(1, (os.cpu_count() or 1) // options.parallel)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # through the `finally` that ends the children
    output_dir = options.output_dir.resolve()
    try:
        cells = read_grid(options.grid, dict(options.set))
        cells = [cell for cell in cells if any(fnmatchcase(cell.name, pattern) for pattern in options.only)]
        if not cells:
            raise ValueError(f"--only {' '.join(options.only)} matches no cell of {options.grid}; see --dry_run")
        if options.dry_run:
            for cell in cells:
                print(f"{cell.name}: {_state(cell, output_dir)}")
            return
        failures = run_grid(cells, output_dir, options.parallel, threads)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except KeyboardInterrupt:
        parser.exit(130, "stopped; the same command goes on from here\n")
    finished = sum((output_dir / cell.name / "cell.json").is_file() for cell in cells)
    print(f"{finished} of {len(cells)} cells finished in {options.output_dir}")
    for name, reason in failures.items():
        print(f"{name}: {reason}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
