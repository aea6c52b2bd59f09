# SPDX-License-Identifier: Apache-2.0
"""Fixtures shared by the tests that train: a tiny phantom, its noisy copy, and finished runs on it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors: more threads only wait for each other

import nibabel as nib  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
from running import ROOT, TINY, run_bundle  # noqa: E402


def pytest_configure(config):
    """One suite for every machine: where there is a GPU, only its own tests see it, or all trainings would be on it."""
    if config.option.markexpr != "cuda":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_runtest_setup(item):
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("needs a GPU; on a machine with one, run pytest -m cuda")


@pytest.fixture(scope="session", autouse=True)
def cache_dir(tmp_path_factory) -> Path:
    """Preprocessed slices of all bundle commands of the session; nothing of an earlier session is found."""
    TINY["cache_dir"] = tmp_path_factory.mktemp("cache")
    return TINY["cache_dir"]


@pytest.fixture(scope="session")
def phantom(tmp_path_factory) -> Path:
    """Clean phantom: three patients to train on, one to validate, one to test."""
    from bundle.self_cleansing.data.phantom import write_patients

    folder = tmp_path_factory.mktemp("tiny") / "phantom"
    write_patients(folder, [1, 2, 3, 12, 14], seed=0)
    return folder


def noisy_copy(folder: Path, name: str, *options: str) -> Path:
    """A copy beside `folder` with 70 % of the slices noisy, beta 10."""
    script = [sys.executable, str(ROOT / "scripts" / "make_noisy_labels.py"), "--seed", "0", *options]
    recipe = ["--recipe", str(ROOT / "configs" / "noise" / "paper_alpha70_beta10.yaml")]
    folders = ["--dataset_dir", str(folder), "--output_dir", str(folder.with_name(name))]
    subprocess.run([*script, *recipe, *folders], check=True, capture_output=True)
    return folder.with_name(name)


@pytest.fixture(scope="session")
def noisy_phantom(phantom) -> Path:
    """Its noisy copy."""
    return noisy_copy(phantom, "noisy")


@pytest.fixture(scope="session")
def noisy_hearts(phantom) -> Path:
    """The phantom with its three structures as one, class 'heart' of a dataset.json; noisy."""
    from bundle.self_cleansing.data import find_cases, split_cases

    folder = phantom.with_name("hearts")
    folder.mkdir()
    sections: dict[str, list[dict]] = {"training": [], "validation": [], "test": []}
    for part, cases in split_cases(find_cases(phantom)).items():
        for case in cases:
            label = nib.load(case["label"])
            whole = (np.asanyarray(label.dataobj) > 0).astype(np.uint8)
            nib.save(nib.Nifti1Image(whole, label.affine, label.header), folder / f"{case['case']}_label.nii.gz")
            shutil.copy(case["image"], folder / f"{case['case']}.nii.gz")
            entry = {"image": f"{case['case']}.nii.gz", "label": f"{case['case']}_label.nii.gz"}
            sections["training" if part == "train" else part].append(entry | {"patient": case["patient"]})
    (folder / "dataset.json").write_text(json.dumps({"labels": {"1": "heart"}, **sections}))
    return noisy_copy(folder, "noisy_hearts")


@pytest.fixture(scope="session")
def trained(noisy_phantom, tmp_path_factory):
    """Unbroken runs, made once per method: call it with a method's name to get the run's folder."""
    done: dict[str, Path] = {}

    def train(method: str) -> Path:
        if method not in done:
            folder = tmp_path_factory.mktemp("unbroken")
            result = run_bundle(
                "training", [f"methods/{method}"], folder, dataset_dir=noisy_phantom, output_dir=folder / "run"
            )
            assert result.returncode == 0, result.stderr[-3000:]
            done[method] = folder / "run"
        return done[method]

    return train
