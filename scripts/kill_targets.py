# SPDX-License-Identifier: Apache-2.0
"""What scripts/kill_and_restart.py kills: every entry point that works long enough to be killed, made tiny.

Each works in a folder of its own: its results are in `out`, preprocessed slices in `cache`. What they need is prepared
once: a phantom, its noisy copy, and a finished and evaluated run.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bundle.self_cleansing.data.phantom import write_patients  # noqa: E402
from bundle.self_cleansing.data.whole_folder import whole_folder  # noqa: E402
from bundle.self_cleansing.run_folder import CHECKPOINT  # noqa: E402

OUT, CACHE = "out", "cache"
# Killed between the history of its first epoch and its first checkpoint, a training has nothing to go on from, and
# does not remove by itself what somebody may want to look at.
NO_CHECKPOINT = r"output_dir \S+ already holds another run \(history\.csv\); .+"
# Killed after all its work, before its end: the copy is there, complete, and is not overwritten.
IS_THERE = r"output_dir \S+ exists and is not empty; .+"
PATIENTS = (1, 2, 3, 12, 14)  # three to train on, one to validate, one to test
RECIPE = ROOT / "configs" / "noise" / "paper_alpha70_beta10.yaml"
CARD = ROOT / "docs" / "cards" / "cardiac_mr.yaml"
# Every phase (warm-up, ramp, update) within four epochs of a second each, and a filter that never declines.
TINY = {
    "network_size": 32,
    "batch_size": 4,
    "max_epochs": 4,
    "warmup_epochs": 1,
    "ramp_end_epoch": 3,
    "update_every": 1,
    "cleanser#grid_size": 32,
    "label_filter#options": {"min_dice": 0.0, "min_agreement": 0.0, "min_samples": 8, "max_components": 2},
}


@dataclass(frozen=True)
class Target:
    """An entry point.

    Args:
        command: folder -> the command line that works in it.
        resumable: file below `out` by whose presence the command wants --resume true; "": it needs no such word.
        share: of the kills, relative to the others.
        refusal: pattern of the one sentence that may refuse a restart after a kill; "": none may.
        is_whole: `out` appears when it is complete, and not before.
    """

    command: Callable[[Path], list[str]]
    resumable: str = ""
    share: int = 1
    refusal: str = ""
    is_whole: bool = False

    def command_line(self, folder: Path) -> list[str]:
        """To start, or to go on, in a folder."""
        go_on = self.resumable and (folder / OUT / self.resumable).is_file()
        return self.command(folder) + (["--resume", "true"] if go_on else [])


def targets(prepared: Path) -> dict[str, Target]:
    """All entry points, on data in the folder that `prepare` made."""
    phantom, noisy, run = prepared / "phantom", prepared / "noisy", prepared / "run"

    def training(folder: Path) -> list[str]:
        return _bundle("training", ["train"], _places(folder, noisy) | {"cache_dir": folder / CACHE} | TINY)

    def audit(folder: Path) -> list[str]:
        of_training = TINY | {"max_epochs": 2, "ramp_end_epoch": 2, "cache_dir": str(folder / CACHE)}
        of_training["bundle_root"] = str(ROOT)
        options = {"training_config": [str(ROOT / "configs" / "train.yaml")], "settings": of_training, "folds": 2}
        return _bundle("audit", ["audit"], _places(folder, noisy) | options)

    def grid(folder: Path) -> list[str]:
        words = [str(_grid_file(folder)), "--threads", "1", "--set", f"tiny={phantom}", "--output_dir"]
        return [*_script("run_grid"), *words, str(folder / OUT)]

    def export(folder: Path) -> list[str]:
        files = {"run_dir": run, "card": CARD, "output_dir": folder / OUT, "config_file": ROOT / "configs/train.yaml"}
        return [*_script("export_bundle"), *_words(files | TINY)]

    def noise(folder: Path) -> list[str]:
        options = {"dataset_dir": phantom, "output_dir": folder / OUT, "recipe": RECIPE, "seed": 0}
        return [*_script("make_noisy_labels"), *_words(options)]

    return {
        "training": Target(training, CHECKPOINT, share=3, refusal=NO_CHECKPOINT),
        "audit": Target(audit, "plan.json", share=2),
        "grid": Target(grid, share=2),
        "export": Target(export),
        "noise": Target(noise, share=2, refusal=IS_THERE, is_whole=True),
    }


def prepare(folder: Path, with_run: bool) -> None:
    """Make what the entry points need, as far as it is not there.

    Args:
        folder: to fill.
        with_run: a finished run as well, which only the export needs.

    Raises:
        subprocess.CalledProcessError: a command failed.
    """
    if not (folder / "phantom").is_dir():
        with whole_folder(folder / "phantom") as phantom:
            write_patients(phantom, list(PATIENTS), seed=0)
    if not (folder / "noisy").is_dir():
        words = {"dataset_dir": folder / "phantom", "output_dir": folder / "noisy", "recipe": RECIPE, "seed": 0}
        subprocess.run([*_script("make_noisy_labels"), *_words(words)], check=True, capture_output=True)
    if with_run and not (folder / "run").is_dir():
        with whole_folder(folder / "run") as run:
            settings = {"dataset_dir": folder / "noisy", "output_dir": run, "cache_dir": folder / CACHE} | TINY
            for action, configs in (("training", ["train"]), ("evaluating", ["train", "evaluate"])):
                subprocess.run(_bundle(action, configs, settings), check=True, capture_output=True)


def _grid_file(folder: Path) -> Path:
    """One cell: noisy labels are made, a network is trained and evaluated."""
    overrides = TINY | {"cache_dir": str(folder / CACHE)}
    grid = {
        "datasets": {"tiny": {"dataset_dir": "given", "overlay": "acdc", "preset": "quick", "overrides": overrides}},
        "noise": {"alpha70": {"recipe": RECIPE.stem}},
        "methods": {},
        "blocks": [{"datasets": ["tiny"], "noise": ["alpha70"], "methods": ["self_cleansing_off"], "seeds": [0]}],
    }
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(grid), encoding="utf-8")
    return path


def _places(folder: Path, dataset_dir: Path) -> dict[str, object]:
    return {"bundle_root": ROOT, "dataset_dir": dataset_dir, "output_dir": folder / OUT}


def _bundle(action: str, configs: list[str], settings: dict[str, object]) -> list[str]:
    files = str([str(ROOT / "configs" / f"{name}.yaml") for name in configs])
    words = ["--config_file", files, *_words({"bundle_root": ROOT} | settings)]
    return [sys.executable, "-m", "monai.bundle", "run", action, *words]


def _script(name: str) -> list[str]:
    return [sys.executable, str(ROOT / "scripts" / f"{name}.py")]


def _words(options: dict[str, object]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]
