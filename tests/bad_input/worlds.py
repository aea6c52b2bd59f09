# SPDX-License-Identifier: Apache-2.0
"""Small valid data sets, runs and recordings; each row of the tables spoils a copy of one."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import fire
import nibabel as nib
import numpy as np
from bad_input.entry_points import BUNDLE
from dicom.generated import write_rtstruct, write_seg, write_series
from PIL import Image
from running import ROOT
from tiny import disc

SIZE, DEPTH, NAMES = 32, 2, "abcd"
AFFINE = np.diag([1.5, 1.5, 8.0, 1.0])
TRAINED = "['{root}/configs/train.yaml','{root}/configs/methods/baseline.yaml']"
_TINY = {"bundle_root": "{root}", "network_size": 32, "batch_size": 4, "max_epochs": 1, "cache_dir": "none"}
SETTINGS = " ".join(f"--{key} {value}" for key, value in _TINY.items())


def volume(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Image float32 and label uint8 (SIZE, SIZE, DEPTH): a disc in a ring, a little elsewhere for every seed."""
    rng = np.random.default_rng(seed)
    row, column = rng.uniform(13, 19, 2)
    outer, inner = (disc(SIZE, row, column, radius).numpy() for radius in (9, 5))
    label = np.repeat((outer + inner.astype(np.uint8))[..., None].astype(np.uint8), DEPTH, axis=2)
    return (label * 40 + rng.normal(100, 5, label.shape)).astype(np.float32), label


def describe(folder: Path, extension: str, labels: dict[str, str]) -> None:
    """dataset.json and split.json of the cases NAMES."""
    entries = [{"image": f"./images/{name}{extension}", "label": f"./labels/{name}{extension}"} for name in NAMES]
    (folder / "dataset.json").write_text(json.dumps({"labels": labels, "training": entries}))
    parts = {"train": ["a", "b"], "validation": ["c"], "test": ["d"]}
    (folder / "split.json").write_text(json.dumps({"rule": "by hand", "seed": None, "parts": parts}))


def volumes(folder: Path) -> None:
    """data/: four NIfTI volumes of two classes."""
    data = folder / "data"
    for kind in ("images", "labels"):
        (data / kind).mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        for kind, values in zip(("images", "labels"), volume(seed), strict=True):
            nib.save(nib.Nifti1Image(values, AFFINE), data / kind / f"{name}.nii.gz")
    describe(data, ".nii.gz", {"0": "background", "1": "ring", "2": "core"})


def acdc(folder: Path) -> None:
    """data/: two patients in ACDC's layout."""
    for number in (1, 2):
        patient = folder / "data" / f"patient{number:03d}"
        patient.mkdir(parents=True)
        for end, values in zip(("", "_gt"), volume(number), strict=True):
            nib.save(nib.Nifti1Image(values, AFFINE), patient / f"{patient.name}_frame01{end}.nii.gz")


def pictures(folder: Path) -> None:
    """data/: four gray PNG with masks of 0 and 255."""
    data = folder / "data"
    for kind in ("images", "labels"):
        (data / kind).mkdir(parents=True)
    for seed, name in enumerate(NAMES):
        image, label = volume(seed)
        Image.fromarray(image[..., 0].clip(0, 255).astype(np.uint8)).save(data / "images" / f"{name}.png")
        Image.fromarray((label[..., 0] > 0).astype(np.uint8) * 255).save(data / "labels" / f"{name}.png")
    describe(data, ".png", {"0": "background", "1": "cell"})


def recordings(folder: Path) -> None:
    """dicom/: one CT series with an RTSTRUCT (region organ) and, in seg/, another with a SEG (segment organ)."""
    square = np.array([[-8.5, 6.5], [-6.0, 6.5], [-6.0, 8.0], [-8.5, 8.0]])
    with_contours = write_series(folder / "contours" / "ct")
    contours = [np.column_stack([square, np.full(4, 30.0 + 2 * number)]) for number in (1, 2)]
    write_rtstruct(folder / "contours" / "rtstruct", with_contours, {"organ": contours})
    with_masks = write_series(folder / "masks" / "ct")
    mask = np.zeros((4, 6, 8), bool)
    mask[1:3, 2:4, 3:6] = True
    write_seg(folder / "masks" / "seg", with_masks, {"organ": mask})


def run(folder: Path) -> None:
    """data/ of `volumes`, and run/, a training of one epoch on them."""
    volumes(folder)
    words = f"run training --config_file {TRAINED} {SETTINGS} --class_names ['ring','core'] --logging_file False"
    words = words.replace("{root}", str(ROOT)).split()
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
        warnings.catch_warnings(action="ignore"),  # MONAI warns of every config
    ):
        fire.Fire(BUNDLE, command=[*words, "--dataset_dir", f"{folder}/data", "--output_dir", f"{folder}/run"])


WORLDS: dict[str, Callable[[Path], None]] = {one.__name__: one for one in (volumes, acdc, pictures, recordings, run)}
