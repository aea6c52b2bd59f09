# SPDX-License-Identifier: Apache-2.0
"""Turn a finished, evaluated run into one zip in the format of MONAI's Model Zoo.

    python scripts/export_bundle.py --run_dir runs/acdc --card docs/cards/cardiac_mr.yaml --output_dir exports \\
        --config_file configs/train.yaml configs/datasets/acdc.yaml configs/presets/quick.yaml

Name the config files of the run's training, and options as on its command line (--shrink 2); they are compared with
what the run recorded of itself. The same run gives the same bytes.

A network that has learned from every patient cannot be scored. Train alike without some of them, evaluate that run on
them, and name it with --scores_of: the card gives its scores, and says whose they are.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import math
import os
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from monai.bundle import ConfigParser

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from bundle.self_cleansing.errors import explain_errors  # noqa: E402

explain_errors()  # also of the imports that follow, which need packages of an extra

from export_configs import bundle_configs, check_run  # noqa: E402
from export_models import save_models  # noqa: E402
from model_card import bundle_metadata, draw_curves, read_card, write_card  # noqa: E402

from bundle.self_cleansing.data.json_file import read_json, write_json  # noqa: E402
from bundle.self_cleansing.data.whole_file import whole_file, write_text  # noqa: E402
from bundle.self_cleansing.weights import load_weights  # noqa: E402

MODELS = {"best": ("B", "models/model_best.pt"), "last": ("L", "models/model_last.pt")}
NEEDED = {
    "run.json": ("settings", "versions", "device"),
    "evaluation.json": ("part", "cases", "slices", "classes", "results"),
}
NEEDED_SETTINGS = ("class_names", "dataset_dir", "samples")  # of run.json, that no config could give
UNSEEN_PARTS = ("test", "holdout")
LARGE_FILE = 25 * 2**20  # bytes; the zoo keeps larger ones elsewhere and lists them
LARGE_FILES = "large_files.yml"
ZIP_TIME = (1980, 1, 1, 0, 0, 0)  # the earliest a zip can hold: times would make two exports differ


def export_bundle(
    run_dir: Path,
    card_file: Path,
    config_files: Sequence[Path],
    overrides: Mapping[str, Any],
    output_dir: Path,
    model: str = "last",
    scores_of: Path | None = None,
) -> Path:
    """Write `<output_dir>/<name>_v<version>.zip`, complete or not at all; an earlier one is replaced.

    Args:
        run_dir: of a finished run; `run evaluating` has scored it, or `scores_of`.
        card_file: what the bundle says of itself, see docs/cards.
        config_files: of the run's training.
        overrides: options of the run's training.
        output_dir: where the zip goes.
        model: 'best' or 'last'.
        scores_of: folder of an evaluated run of the same training on fewer patients, whose scores stand in for this
            one's. None: the run's own.

    Returns:
        The zip. In it everything lies in one folder named after the bundle.

    Raises:
        FileNotFoundError: if a file of the run, the card or a config is missing.
        ValueError: if the configs are not those of both runs, the weights do not fit their network, or the evaluation
            is of a part that the training has seen; or if the run of `scores_of` had no fewer slices.
        RuntimeError: if the exported forms of the network disagree.
    """
    card = read_card(card_file)
    label, weights = MODELS[model]
    scored_dir = scores_of or run_dir
    record, scored = _of_the_run(run_dir, "run.json"), _of_the_run(scored_dir, "run.json", "--scores_of")
    evaluation = _of_the_run(scored_dir, "evaluation.json")
    if evaluation["part"] not in UNSEEN_PARTS:
        raise ValueError(
            f"run {scored_dir} was evaluated on part {evaluation['part']}, which its training has seen; evaluate it "
            f"on one of {', '.join(UNSEEN_PARTS)}"
        )
    configs = bundle_configs(config_files, overrides)
    configs["inference_dicom.json"]["modality"] = card["modality"]
    for run, own in {run_dir: record, scored_dir: scored}.items():
        for warning in check_run(configs["train.json"], own, run):
            print(f"warning: {warning}")
    if scores_of:
        _check_stand_in(record["settings"], scored["settings"], run_dir, scores_of)
    network = _network(configs["inference.json"], run_dir / weights)
    base = read_json(ROOT / "configs" / "metadata.json")
    metadata = bundle_metadata(base, card, record, scored, evaluation["results"][label])
    target = output_dir / f"{card['name']}_v{metadata['version']}.zip"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / card["name"]
        for name in ("configs", "docs", "models"):
            (folder / name).mkdir(parents=True)
        for name, config in configs.items():
            write_json(folder / "configs" / name, config)
        write_json(folder / "configs" / "metadata.json", metadata)
        shutil.copy(ROOT / "configs" / "logging.conf", folder / "configs")
        shutil.copy(ROOT / "LICENSE", folder)
        write_text(folder / "docs" / "data_license.txt", card["data_license"].rstrip() + "\n")
        rows = _history(run_dir / "history.csv")
        best_epoch = _best_epoch(rows, record["settings"])
        draw_curves(folder / "docs" / "training_curves.png", rows, best_epoch)
        write_card(
            folder / "docs" / "README.md", card, record, scored, evaluation, label, best_epoch,
            parameters=sum(one.numel() for one in network.parameters()), in_channels=network.stem[0].in_channels,
            requirements=" ".join(["monai", "torch", *metadata["required_packages_version"]]),
        )  # fmt: skip
        save_models(network, folder / "models", metadata)
        _copy_package(folder)
        _list_large_files(folder)
        _write_zip(folder, target)
    return target


def _of_the_run(run_dir: Path, name: str, option: str = "--run_dir") -> dict[str, Any]:
    if not run_dir.is_dir():
        raise FileNotFoundError(f"run folder {run_dir} does not exist; pass {option} of a finished run")
    if not (run_dir / name).is_file():
        remedy = "evaluate it with configs/evaluate.yaml first" if name == "evaluation.json" else "let it finish first"
        raise FileNotFoundError(f"run {run_dir} has no {name}; {remedy}")
    content = read_json(run_dir / name)
    missing = [key for key in NEEDED[name] if key not in content]
    if name == "run.json" and not missing:
        missing = [f"settings: {key}" for key in NEEDED_SETTINGS if key not in content["settings"]]
    if missing:
        raise ValueError(f"{run_dir / name} lacks {', '.join(missing)}; restore it, or make it again")
    return content


def _check_stand_in(trained: Mapping[str, Any], scored: Mapping[str, Any], run_dir: Path, scored_dir: Path) -> None:
    """Whether a run can lend its scores to another: their configs are the same, so what is left are the data."""
    if scored["samples"] >= trained["samples"]:
        raise ValueError(
            f"{scored_dir} was trained on {scored['samples']} slices, {run_dir} on {trained['samples']}; --scores_of "
            "wants the same training with patients left out"
        )
    if scored["dataset_dir"] != trained["dataset_dir"]:
        print(
            f"warning: {scored_dir} was trained on {scored['dataset_dir']}, {run_dir} on {trained['dataset_dir']}; "
            "make sure that these are the same data"
        )


def _network(inference: Mapping[str, Any], weights: Path) -> torch.nn.Module:
    network = ConfigParser(dict(inference)).get_parsed_content("network_def")
    load_weights(network, weights, "let the training finish, and name the config files it was trained with")
    return network.eval()


def _history(path: Path) -> list[dict[str, float]]:
    """Rows of history.csv, each with the columns that epoch has."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; restore it, or name another run")
    try:
        with open(path, newline="", encoding="utf-8") as file:
            return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
    except (TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"{path} is damaged ({error}); restore it, or name another run") from error


def _best_epoch(rows: Sequence[Mapping[str, float]], settings: Mapping[str, Any]) -> int | None:
    """Epoch of the highest validation Dice in the last stage, None if none was validated."""
    stage_epochs = settings.get("stage_epochs", settings["max_epochs"])
    first = stage_epochs if stage_epochs < settings["max_epochs"] else 0
    validated = [row for row in rows if row["epoch"] > first and math.isfinite(row.get("val_mean_dice", math.nan))]
    return int(max(validated, key=lambda row: row["val_mean_dice"])["epoch"]) if validated else None


def _copy_package(folder: Path) -> None:
    package = ROOT / "bundle" / "self_cleansing"
    for file in sorted(package.rglob("*.*")):
        if file.is_dir() or "__pycache__" in file.parts:
            continue
        copy = folder / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def _list_large_files(folder: Path) -> None:
    """List what the zoo keeps outside its repository, with checksum; the address is for the uploader to fill in."""
    large = [file for file in sorted(folder.rglob("*")) if file.is_file() and file.stat().st_size > LARGE_FILE]
    if large:
        entries = [
            {
                "path": file.relative_to(folder).as_posix(),
                "url": "",
                "hash_val": hashlib.sha256(file.read_bytes()).hexdigest(),
                "hash_type": "sha256",
            }
            for file in large
        ]
        write_text(folder / LARGE_FILES, yaml.safe_dump({"large_files": entries}, sort_keys=False))


def _write_zip(folder: Path, target: Path) -> None:
    with whole_file(target) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                entry = zipfile.ZipInfo(file.relative_to(folder.parent).as_posix(), ZIP_TIME)
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
                out.writestr(entry, file.read_bytes())


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", type=Path, required=True, help="folder of a finished, evaluated run")
    parser.add_argument("--card", type=Path, required=True, help="name and words of the bundle, see docs/cards")
    parser.add_argument("--config_file", type=Path, nargs="+", required=True, help="config files of the training")
    parser.add_argument("--output_dir", type=Path, required=True, help="where the zip goes")
    parser.add_argument("--scores_of", type=Path, help="evaluated run of the same training on fewer patients")
    parser.add_argument("--model", choices=sorted(MODELS), default="last", help="which weights of the run")
    options, rest = parser.parse_known_args(arguments)
    try:
        overrides = _overrides(rest)
        target = export_bundle(
            options.run_dir, options.card, options.config_file, overrides, options.output_dir, options.model,
            options.scores_of,
        )  # fmt: skip
    except (OSError, ValueError, RuntimeError) as error:
        sys.exit(f"error: {error}")
    print(f"{target} ({os.path.getsize(target) / 1e6:.1f} MB)")


def _overrides(words: Sequence[str]) -> dict[str, Any]:
    """--key value pairs of the training's command line."""
    if len(words) % 2 or any(not word.startswith("--") for word in words[::2]):
        raise ValueError(f"options of the training must be pairs like --shrink 2, got {' '.join(words)!r}")
    return {name.removeprefix("--"): yaml.safe_load(value) for name, value in zip(words[::2], words[1::2], strict=True)}


if __name__ == "__main__":
    main()
