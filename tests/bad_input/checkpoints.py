# SPDX-License-Identifier: Apache-2.0
"""Checkpoints, trained models and records of a run, given to resume, evaluation, inference, export and review."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from bad_input.dataset_json import edit, text
from bad_input.row import Row, nothing
from bad_input.worlds import SETTINGS, TRAINED

CONFIG = f"--config_file {TRAINED} {SETTINGS} --class_names ['ring','core'] --dataset_dir {{w}}/data"
RESUME = f"run training {CONFIG} --output_dir {{w}}/run --resume true"
EVALUATE = f"run evaluating {CONFIG} --output_dir {{w}}/run".replace(
    "baseline.yaml'", "baseline.yaml','{root}/configs/evaluate.yaml'"
)
SEGMENT = (
    "run inference --config_file {root}/configs/inference.yaml --bundle_root {root} --network_size 32 "
    "--class_names ['ring','core'] --dataset_dir {w}/data/images --checkpoint "
    "{w}/run/models/model_last.pt --output_dir {w}/out"
)
EXPORT = (
    "export_bundle --run_dir {w}/run --card {root}/docs/cards/cardiac_mr.yaml --config_file "
    "{root}/configs/train.yaml {root}/configs/methods/baseline.yaml --output_dir {w}/out "
    + SETTINGS.replace("--bundle_root {root} ", "")
    + " --class_names ['ring','core']"
)
STATE, MODEL, BEST = "run/models/checkpoint.pt", "run/models/model_last.pt", "run/models/model_best.pt"


def row(name: str, spoil: Callable[[Path], object], command: str, sentence: str) -> Row:
    """A row on a finished run."""
    return Row(f"run: {name}", spoil, command, sentence, "run")


def stored(name: str, change: Callable[[dict], object]) -> Callable[[Path], object]:
    """Change what a file of torch.save holds, in place or by returning something else."""

    def spoil(world: Path) -> None:
        content = torch.load(world / name, weights_only=True)
        changed = change(content)
        torch.save(content if changed is None else changed, world / name)

    return spoil


def cut(name: str) -> Callable[[Path], object]:
    """Cut the end off a file."""
    return lambda w: (w / name).write_bytes((w / name).read_bytes()[:-3000])


class Code:
    """Unpickled, it would call a function of the file's choice."""

    def __reduce__(self) -> tuple:
        return print, ("code of the file was run",)


def code(name: str) -> Callable[[Path], object]:
    """Put code into the place of a file's tensors."""
    return lambda w: torch.save({"a": Code()}, w / name)


def evaluated(world: Path, part: str = "test") -> None:
    """evaluation.json as an evaluation writes it, without figures."""
    content = {"part": part, "cases": ["d"], "slices": 2, "classes": ["ring", "core"], "results": {"B": {}, "L": {}}}
    (world / "run/evaluation.json").write_text(json.dumps(content | {"empty_rule": "", "protocols": {}}))


ROWS = [
    row(
        "checkpoint of garbage, resumed",
        text(STATE, b"garbage"),
        RESUME,
        "error: {w}/run/models/checkpoint.pt cannot be read as a checkpoint (UnpicklingError); it is "
        "damaged or of another program: start again in a new --output_dir",
    ),
    row(
        "checkpoint of no bytes, resumed",
        text(STATE, b""),
        RESUME,
        "error: {w}/run/models/checkpoint.pt cannot be read as a checkpoint (EOFError); it is damaged or "
        "of another program: start again in a new --output_dir",
    ),
    row(
        "checkpoint cut short, resumed",
        cut(STATE),
        RESUME,
        "error: {w}/run/models/checkpoint.pt cannot be read as a checkpoint (~); it is damaged or of "
        "another program: start again in a new --output_dir",
    ),
    row(
        "checkpoint that holds code, resumed",
        code(STATE),
        RESUME,
        "error: {w}/run/models/checkpoint.pt cannot be read as a checkpoint (UnpicklingError); it is "
        "damaged or of another program: start again in a new --output_dir",
    ),
    row(
        "checkpoint of a list, resumed",
        stored(STATE, lambda s: [1]),
        RESUME,
        "error: {w}/run/models/checkpoint.pt cannot be read as a checkpoint (it has no progress and "
        "settings of a training); it is damaged or of another program: start again in a new --output_dir",
    ),
    row(
        "model for a checkpoint, resumed",
        lambda w: shutil.copy(w / MODEL, w / STATE),
        RESUME,
        "error: {w}/run/models/checkpoint.pt cannot be read as a checkpoint (it has no progress and "
        "settings of a training); it is damaged or of another program: start again in a new --output_dir",
    ),
    row(
        "checkpoint without its network, resumed",
        stored(STATE, lambda s: s.pop("network") and None),
        RESUME,
        "error: {w}/run/models/checkpoint.pt has no 'network'; it was written by another method or version",
    ),
    row(
        "checkpoint without its progress, resumed",
        stored(STATE, lambda s: s.pop("progress") and None),
        RESUME,
        "error: {w}/run/models/checkpoint.pt cannot be read as a checkpoint (it has no progress and "
        "settings of a training); it is damaged or of another program: start again in a new --output_dir",
    ),
    row(
        "checkpoint whose settings are a number, resumed",
        stored(STATE, lambda s: s.update(settings=3)),
        RESUME,
        "error: {w}/run/models/checkpoint.pt cannot be read as a checkpoint (it has no progress and "
        "settings of a training); it is damaged or of another program: start again in a new --output_dir",
    ),
    row(
        "checkpoint of another seed, resumed",
        stored(STATE, lambda s: s["settings"].update(seed=7)),
        RESUME,
        "error: {w}/run/models/checkpoint.pt was written with seed = 7, this run has 0; resume with the "
        "same settings, or start a new run in another --output_dir",
    ),
    row(
        "checkpoint of another learning rate, resumed",
        stored(STATE, lambda s: s["settings"].update(learning_rate=0.1)),
        RESUME,
        "error: {w}/run/models/checkpoint.pt was written with learning_rate = 0.1, this run has 0.0005; resume with "
        "the same settings, or start a new run in another --output_dir",
    ),
    row(
        "checkpoint with a layer of another name, resumed",
        stored(STATE, lambda s: s["network"].update(odd=s["network"].popitem()[1])),
        RESUME,
        "error: {w}/run/models/checkpoint.pt does not fit this run: its 'network' cannot be taken over "
        "(~); resume with the config files and the version that wrote it, or start again in a new "
        "--output_dir",
    ),
    row(
        "checkpoint with a layer of another size, resumed",
        stored(STATE, lambda s: s["network"].update({next(iter(s["network"])): torch.zeros(3)})),
        RESUME,
        "error: {w}/run/models/checkpoint.pt does not fit this run: its 'network' cannot be taken over "
        "(~); resume with the config files and the version that wrote it, or start again in a new "
        "--output_dir",
    ),
    row(
        "checkpoint with an empty optimizer, resumed",
        stored(STATE, lambda s: s.update(optimizer={})),
        RESUME,
        "error: {w}/run/models/checkpoint.pt does not fit this run: its 'optimizer' cannot be taken over "
        "(~); resume with the config files and the version that wrote it, or start again in a new "
        "--output_dir",
    ),
    row(
        "checkpoint with an empty label bank, resumed",
        stored(STATE, lambda s: s.update(label_bank={})),
        RESUME,
        "error: {w}/run/models/checkpoint.pt does not fit this run: its 'label_bank' cannot be taken "
        "over (~); resume with the config files and the version that wrote it, or start again in a new "
        "--output_dir",
    ),
    row(
        "checkpoint of other cases, resumed",
        lambda w: edit("data/dataset.json", lambda c: c["training"].pop(0))(w),
        RESUME,
        "error: the checkpoint belongs to other data: sample 0 is 'a/0' there and 'b/0' here; resume "
        "with the data set and split of that run, or start a new run in another --output_dir",
    ),
    row(
        "checkpoint of other labels, resumed",
        lambda w: shutil.copy(w / "data/labels/b.nii.gz", w / "data/labels/a.nii.gz"),
        RESUME,
        "error: the checkpoint belongs to other labels: the samples have the same names, but their given "
        "labels differ; resume with the data set of that run, or start a new run in another --output_dir",
    ),
    row(
        "checkpoint whose history is a number, resumed",
        stored(STATE, lambda s: s.update(history={"rows": 3})),
        RESUME,
        "error: {w}/run/models/checkpoint.pt does not fit this run: its 'history' cannot be taken over "
        "(~); resume with the config files and the version that wrote it, or start again in a new "
        "--output_dir",
    ),
    row(
        "checkpoint without its random numbers, resumed",
        stored(STATE, lambda s: s.update(random_state={})),
        RESUME,
        "error: {w}/run/models/checkpoint.pt does not fit this run: its 'random_state' cannot be taken "
        "over (~); resume with the config files and the version that wrote it, or start again in a new "
        "--output_dir",
    ),
    row(
        "no checkpoint, resumed",
        lambda w: (w / STATE).unlink(),
        RESUME,
        "error: nothing to resume: output_dir {w}/run has no models/checkpoint.pt; name the folder of "
        "the run to continue, or start a new one without --resume",
    ),
    row(
        "folder of another run",
        nothing,
        RESUME.replace(" --resume true", ""),
        "error: output_dir {w}/run already holds another run (models/checkpoint.pt); continue it with "
        "--resume true, or give another --output_dir",
    ),
    row(
        "more epochs, resumed",
        nothing,
        RESUME.replace("max_epochs 1", "max_epochs 2"),
        "error: {w}/run/models/checkpoint.pt was written with max_epochs = 1, this run has 2; resume "
        "with the same settings, or start a new run in another --output_dir",
    ),
    row(
        "record of the run cut short, resumed",
        text("run/run.json", "{"),
        RESUME,
        "error: {w}/run/run.json is not valid JSON (line 1: ~); correct that line",
    ),
    row(
        "no model, evaluated",
        lambda w: (w / BEST).unlink(),
        EVALUATE,
        "error: model B of the run, {w}/run/models/model_best.pt, does not exist; let the training "
        "finish (--resume true), or pass --output_dir of a finished run",
    ),
    row(
        "model of garbage, evaluated",
        text(BEST, b"garbage"),
        EVALUATE,
        "error: {w}/run/models/model_best.pt cannot be read as weights (UnpicklingError); evaluate with the "
        "config files the run was trained with",
    ),
    row(
        "model of a list, evaluated",
        stored(BEST, lambda s: [1]),
        EVALUATE,
        "error: {w}/run/models/model_best.pt does not hold weights of this network (~); evaluate with "
        "the config files the run was trained with",
    ),
    row(
        "model of NaN, evaluated",
        stored(BEST, lambda s: {k: v * float("nan") if v.is_floating_point() else v for k, v in s.items()}),
        EVALUATE,
        "error: {w}/run/models/model_best.pt holds NaN or infinite weights: its training broke down; "
        "evaluate with the config files the run was trained with",
    ),
    row(
        "record of the run cut short, evaluated",
        text("run/run.json", "{"),
        EVALUATE,
        "error: {w}/run/run.json is not valid JSON (line 1: ~); correct that line",
    ),
    row(
        "another size, evaluated",
        nothing,
        EVALUATE.replace("network_size 32", "network_size 64"),
        "error: {w}/run/models/model_last.pt was trained with network_size = 32 ({w}/run/run.json), this has 64; add "
        "the config files and options of the training",
    ),
    row(
        "other intensities, evaluated",
        nothing,
        EVALUATE.replace("configs/evaluate.yaml", "configs/datasets/ct.yaml','{root}/configs/evaluate.yaml"),
        "error: {w}/run/models/model_last.pt was trained with intensity.class = 'ScaleIntensityRangePercentilesd' "
        "({w}/run/run.json), this has 'ScaleIntensityRanged'; add the config files and options of the training",
    ),
    row(
        "size that cannot be halved, evaluated without a record",
        lambda world: (world / "run/run.json").unlink(),
        EVALUATE.replace("network_size 32", "network_size 30"),
        "error: network_size must be a positive multiple of 8, which the network halves three times, got 30; use the "
        "network_size of the training",
    ),
    row(
        "unknown part, evaluated",
        nothing,
        EVALUATE + " --part nonsense",
        "error: part must be one of train, validation, test, holdout, got 'nonsense'",
    ),
    row(
        "empty part, evaluated",
        nothing,
        EVALUATE + " --part holdout",
        "error: part holdout of the split has no case to evaluate on; name another with --part, or add "
        "patients to that part of the split file",
    ),
    row(
        "no run, evaluated",
        nothing,
        EVALUATE.replace("{w}/run", "{w}/nowhere"),
        "error: run folder {w}/nowhere does not exist; pass --output_dir of a finished run",
    ),
    row(
        "image of no bytes, evaluated",
        text("data/images/d.nii.gz", b""),
        EVALUATE,
        "error: {w}/data/images/d.nii.gz cannot be read: the file is damaged, incomplete or not in the "
        "format of its extension (~); copy it again from its source or take it out of the data set",
    ),
    row(
        "model of garbage, inference",
        text(MODEL, b"garbage"),
        SEGMENT,
        "error: {w}/run/models/model_last.pt cannot be read as weights (UnpicklingError); name the model with "
        "--checkpoint, and the config files and options of its training",
    ),
    row(
        "no model, inference",
        lambda w: (w / MODEL).unlink(),
        SEGMENT,
        "error: model {w}/run/models/model_last.pt does not exist; name the model with --checkpoint, and "
        "the config files and options of its training",
    ),
    row(
        "checkpoint for a model, inference",
        lambda w: shutil.copy(w / STATE, w / MODEL),
        SEGMENT,
        "error: {w}/run/models/model_last.pt does not hold weights of this network (~); name the model "
        "with --checkpoint, and the config files and options of its training",
    ),
    row(
        "model with other names, inference",
        stored(MODEL, lambda s: {"odd." + k: v for k, v in s.items()}),
        SEGMENT,
        "error: {w}/run/models/model_last.pt does not hold weights of this network (~); name the model "
        "with --checkpoint, and the config files and options of its training",
    ),
    row(
        "model of more classes, inference",
        nothing,
        SEGMENT.replace("['ring','core']", "['ring']"),
        "error: {w}/run/models/model_last.pt was trained with class_names = ['ring', 'core'] ({w}/run/run.json), this "
        "has ['ring']; add the config files and options of the training",
    ),
    row(
        "model of more classes without a record, inference",
        lambda world: (world / "run/run.json").unlink(),
        SEGMENT.replace("['ring','core']", "['ring']"),
        "error: {w}/run/models/model_last.pt does not hold weights of this network (~size mismatch~); "
        "name the model with --checkpoint, and the config files and options of its training",
    ),
    row(
        "model of another size, inference",
        nothing,
        SEGMENT.replace("--network_size 32", "--network_size 64"),
        "error: {w}/run/models/model_last.pt was trained with network_size = 32 ({w}/run/run.json), this has 64; add "
        "the config files and options of the training",
    ),
    row(
        "model of other intensities, inference",
        nothing,
        SEGMENT.replace("configs/inference.yaml", "configs/inference.yaml','{root}/configs/datasets/ct.yaml']").replace(
            "--config_file {root}", "--config_file ['{root}"
        ),
        "error: {w}/run/models/model_last.pt was trained with intensity.class = 'ScaleIntensityRangePercentilesd' "
        "({w}/run/run.json), this has 'ScaleIntensityRanged'; add the config files and options of the training",
    ),
    row(
        "model of a list, inference",
        stored(MODEL, lambda s: [1]),
        SEGMENT,
        "error: {w}/run/models/model_last.pt does not hold weights of this network (~); name the model "
        "with --checkpoint, and the config files and options of its training",
    ),
    row(
        "model that holds code, inference",
        code(MODEL),
        SEGMENT,
        "error: {w}/run/models/model_last.pt cannot be read as weights (UnpicklingError); name the model with "
        "--checkpoint, and the config files and options of its training",
    ),
    row(
        "model of NaN, inference",
        stored(MODEL, lambda s: {k: v * float("nan") if v.is_floating_point() else v for k, v in s.items()}),
        SEGMENT,
        "error: {w}/run/models/model_last.pt holds NaN or infinite weights: its training broke down; "
        "name the model with --checkpoint, and the config files and options of its training",
    ),
    row(
        "image of no bytes, inference",
        text("data/images/c.nii.gz", b""),
        SEGMENT,
        "error: {w}/data/images/c.nii.gz cannot be read: it is damaged or no NIfTI (~); copy it again "
        "from its source or take it out of the folder",
    ),
    row(
        "no folder, inference",
        nothing,
        SEGMENT.replace("{w}/data/images", "{w}/nowhere"),
        "error: {w}/nowhere does not exist; pass --dataset_dir with an image or a folder of them",
    ),
    row(
        "folder without an image, inference",
        nothing,
        SEGMENT.replace("{w}/data/images", "{w}/data"),
        "error: {w}/data holds no image (*.nii or *.nii.gz, else *.png, *.jpg, *.bmp or *.tif; names ending in "
        "_gt, _4d or _seg aside); pass --dataset_dir with an image or the folder they lie in, sub-folders are not "
        "searched",
    ),
    row(
        "text for an image, inference",
        nothing,
        SEGMENT.replace("{w}/data/images", "{w}/data/dataset.json"),
        "error: {w}/data/dataset.json cannot be read: the file is damaged, incomplete or not in the "
        "format of its extension (~); copy it again from its source or take it out of the data set",
    ),
    row(
        "two images of one name, inference",
        lambda w: (w / "data/images/a.nii").write_bytes(b""),
        SEGMENT,
        "error: {w}/data/images/a.nii and {w}/data/images/a.nii.gz would get one name of result; rename one of the two",
    ),
    row(
        "file for a folder of results, inference",
        text("out", "x"),
        SEGMENT,
        "error: output_dir {w}/out is a file; give a folder with --output_dir",
    ),
    row(
        "run without evaluation, exported",
        nothing,
        EXPORT,
        "error: run {w}/run has no evaluation.json; evaluate it with configs/evaluate.yaml first",
    ),
    row(
        "no run, exported",
        nothing,
        EXPORT.replace("{w}/run", "{w}/nowhere"),
        "error: run folder {w}/nowhere does not exist; pass --run_dir of a finished run",
    ),
    row(
        "evaluation cut short, exported",
        text("run/evaluation.json", "{"),
        EXPORT,
        "error: {w}/run/evaluation.json is not valid JSON (line 1: ~); correct that line",
    ),
    row(
        "evaluation of nothing, exported",
        text("run/evaluation.json", "{}"),
        EXPORT,
        "error: {w}/run/evaluation.json lacks part, cases, slices, classes, results; restore it, or make it again",
    ),
    row(
        "evaluation on training cases, exported",
        lambda w: evaluated(w, "train"),
        EXPORT,
        "error: run {w}/run was evaluated on part train, which its training has seen; evaluate it on one "
        "of test, holdout",
    ),
    row(
        "record of nothing, exported",
        lambda w: (evaluated(w), (w / "run/run.json").write_text("{}")),
        EXPORT,
        "error: {w}/run/run.json lacks settings, versions, device; restore it, or make it again",
    ),
    row(
        "config of another method, exported",
        evaluated,
        EXPORT.replace("baseline", "gce"),
        "error: {w}/run was not trained with these config files: they differ in loss (~); name the "
        "config files and options of its training",
    ),
    row(
        "model of garbage, exported",
        lambda w: (evaluated(w), (w / MODEL).write_bytes(b"g")),
        EXPORT,
        "error: {w}/run/models/model_last.pt cannot be read as weights (UnpicklingError); let the training "
        "finish, and name the config files it was trained with",
    ),
    row(
        "no model, exported",
        lambda w: (evaluated(w), (w / MODEL).unlink()),
        EXPORT,
        "error: model {w}/run/models/model_last.pt does not exist; let the training finish, and name the "
        "config files it was trained with",
    ),
    row(
        "no card, exported",
        nothing,
        EXPORT.replace("cardiac_mr", "nowhere"),
        "error: card {root}/docs/cards/nowhere.yaml does not exist; docs/cards has examples to copy",
    ),
    row(
        "card that is no YAML, exported",
        text("card.yaml", "a: [b"),
        EXPORT.replace("{root}/docs/cards/cardiac_mr", "{w}/card"),
        "error: card {w}/card.yaml is not valid YAML (~); correct it",
    ),
    row(
        "card of a list, exported",
        text("card.yaml", "- a"),
        EXPORT.replace("{root}/docs/cards/cardiac_mr", "{w}/card"),
        "error: card {w}/card.yaml must hold fields like `name: ...`, got a list; see docs/cards",
    ),
    row(
        "no config, exported",
        evaluated,
        EXPORT.replace("configs/train", "configs/nowhere"),
        "error: config file {root}/configs/nowhere.yaml does not exist; name the files the run was trained with",
    ),
    row(
        "unknown option, exported",
        evaluated,
        EXPORT + " --nonsense 3",
        "error: --nonsense is no key of {root}/configs/train.yaml, {root}/configs/methods/baseline.yaml; "
        "check its spelling",
    ),
    row(
        "option without a value, exported",
        evaluated,
        EXPORT + " --nonsense",
        "error: options of the training must be pairs like --shrink 2, got ~",
    ),
    row(
        "no history, exported",
        lambda w: (evaluated(w), (w / "run/history.csv").unlink()),
        EXPORT,
        "error: {w}/run/history.csv does not exist; restore it, or name another run",
    ),
    row(
        "history with a word for a number, exported",
        lambda w: (evaluated(w), (w / "run/history.csv").write_text("epoch\nx\n")),
        EXPORT,
        "error: {w}/run/history.csv is damaged (~); restore it, or name another run",
    ),
    row(
        "run without evaluation, compared",
        nothing,
        "compare_runs {w}/run",
        "error: run {w}/run has no evaluation.json; evaluate it first: python -m monai.bundle run "
        "evaluating with configs/evaluate.yaml as the last config file and --output_dir of the run",
    ),
    row(
        "evaluation of nothing, compared",
        text("run/evaluation.json", "{}"),
        "compare_runs {w}/run",
        "error: {w}/run/evaluation.json lacks part, cases, classes, empty_rule, protocols, results; "
        "evaluate the run again",
    ),
    row(
        "one run twice, compared",
        evaluated,
        "compare_runs {w}/run {w}/run",
        "error: run {w}/run is given twice; name each run once",
    ),
]
