# SPDX-License-Identifier: Apache-2.0
"""The configs of a run as files that stand alone: overlays merged, one JSON each."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai.bundle import ConfigParser

from bundle.self_cleansing import DISTRIBUTION, __version__

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
# What inference has to know of a training; the names are the same in train.yaml and inference.yaml.
OF_THE_TRAINING = (
    "class_names",
    "orient",
    "intensity",
    "patch_size",
    "plane_size",
    "shrink",
    "network_size",
    "head_channels",
)
NOT_RECORDED_ALIKE = ("path", "device", "dataset_dir", "samples")  # of the machine and the data, not of the method
RUN_RECORD = "write_run_record"


def merged(files: Sequence[str | Path], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Merge config files as `monai.bundle run` does, later over earlier, then set the overrides ('a#b' reaches deep).

    Raises:
        FileNotFoundError: if a file does not exist.
        ValueError: if an override names no key of the files: it would do nothing.
    """
    for file in files:
        if not Path(file).is_file():
            raise FileNotFoundError(f"config file {file} does not exist; name the files the run was trained with")
    parser = ConfigParser(ConfigParser.load_config_files([str(file) for file in files]))
    for key, value in overrides.items():
        if key.split("#")[0] not in parser.get():
            raise ValueError(f"--{key} is no key of {', '.join(map(str, files))}; check its spelling")
        parser[key] = value
    return parser.get()


def check_run(training: Mapping[str, Any], record: Mapping[str, Any], run_dir: Path) -> list[str]:
    """Refuse configs that are not those of the run: whatever the run recorded of itself, the configs must say too.

    Args:
        training: merged training config.
        record: the run's run.json.
        run_dir: its folder, for the messages.

    Returns:
        Warnings, a sentence each: of settings that the run did not record and that could therefore not be compared
        (runs of earlier versions), and of a filter with other options in a run that another version of this code
        trained.

    Raises:
        ValueError: names the first settings that differ.
    """
    parser = ConfigParser(dict(training))
    place = next(number for number, step in enumerate(training["run"]) if _target(step).endswith(RUN_RECORD))
    names = [name for name in training["run"][place] if name != "_target_" and name not in NOT_RECORDED_ALIKE]
    trained = record.get("settings", {})
    version = record.get("versions", {}).get(DISTRIBUTION)
    differing, otherwise = [], []
    for name in (name for name in names if name in trained):
        present = json.loads(json.dumps(parser.get_parsed_content(f"run#{place}#{name}")))
        if trained[name] == present:
            continue
        difference = f"{name} ({_difference(trained[name], present)})"
        # The filter's defaults are recorded, too; those of another version are no other training of the user's.
        if name == "label_filter" and version != __version__ and _kind(trained[name]) == _kind(present):
            otherwise.append(difference)
        else:
            differing.append(difference)
    if differing:
        raise ValueError(
            f"{run_dir} was not trained with these config files: they differ in {', '.join(differing[:4])}; name the "
            "config files and options of its training"
        )
    warnings = []
    if otherwise:
        warnings.append(
            f"{run_dir} was trained by {f'version {version}' if version else 'an earlier version'} of this code, "
            f"which differs in {', '.join(otherwise)}; train.json trains as version {__version__} does"
        )
    if unknown := [name for name in names if name not in trained]:
        warnings.append(f"{run_dir} does not record {', '.join(unknown)}; make sure that the config files are its own")
    return warnings


def bundle_configs(files: Sequence[str | Path], overrides: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the configs of a bundle by file name.

    Each is complete in itself but multi_gpu_train, an overlay on train as everywhere in the zoo: MONAI Label lists it
    after its own copy of train.json, and a complete file would undo the data lists set there. inference and
    inference_dicom are configs/inference.yaml with the classes, grid and intensities of the training.
    """
    places = {"dataset_dir": "$@bundle_root + '/data'", "output_dir": "$@bundle_root + '/eval'"}
    model = "$str(pathlib.Path(@bundle_root).resolve() / 'models' / 'model.pt')"
    train = merged(files, overrides) | {"dataset_dir": places["dataset_dir"]}
    train = with_overlay(train, CONFIGS / "export.yaml")
    evaluate = merged([*files, CONFIGS / "evaluate.yaml"], overrides) | places
    evaluate["evaluation"]["models"] = {"model": model}
    several = ConfigParser.load_config_file(str(CONFIGS / "multi_gpu_train.yaml"))
    known = {key: train[key] for key in OF_THE_TRAINING} | places
    return {
        "train.json": led_by_the_trainer(train),
        "evaluate.json": evaluate,
        "multi_gpu_train.json": led_by_the_trainer(several),
        "inference.json": merged([CONFIGS / "inference.yaml"], known),
        "inference_dicom.json": merged([CONFIGS / "inference.yaml", CONFIGS / "dicom.yaml"], known),
    }


def with_overlay(config: Mapping[str, Any], overlay: Path) -> dict[str, Any]:
    """Lay one more file over a config that is merged already."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base.json"
        base.write_text(json.dumps(config))
        return merged([base, overlay], {})


def led_by_the_trainer(config: Mapping[str, Any]) -> dict[str, Any]:
    """Let all follow the trainer's max_epochs, the only one that MONAI Label sets; --max_epochs works as before."""
    config = json.loads(json.dumps(config).replace("@max_epochs", "@train#trainer#max_epochs"))
    if "trainer" in config.get("train", {}):
        config["train"]["trainer"]["max_epochs"] = "@max_epochs"
    return config


def _difference(trained: Any, present: Any) -> str:
    """Where two settings differ, in words; of two mappings the first key that does, of printed objects all options."""
    if isinstance(trained, dict) and isinstance(present, dict):
        key = next(key for key in trained | present if trained.get(key) != present.get(key))
        return f"{key}: {_difference(trained.get(key), present.get(key))}"
    if _is_one_line(trained) and _is_one_line(present) and _kind(trained) == _kind(present):
        options = [[one for one in re.split(r"\s*[,(){}]\s*", text) if one] for text in (trained, present)]
        trained, present = (", ".join(one for one in these if one not in others) or "nothing else"
                            for these, others in (options, options[::-1]))  # fmt: skip
        return f"{trained} in the run, {present} by the configs"
    return f"{trained!r} in the run, {present!r} by the configs"


def _is_one_line(value: Any) -> bool:
    """Whether it is an object's class and options, printed in a line; networks and losses print a tree."""
    return isinstance(value, str) and "(" in value and "\n" not in value


def _kind(printed: Any) -> str:
    """Of what class a printed object is."""
    return str(printed).partition("(")[0]


def _target(step: Any) -> str:
    return str(step.get("_target_", "")) if isinstance(step, dict) else ""
