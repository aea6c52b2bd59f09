# SPDX-License-Identifier: Apache-2.0
"""Fixtures shared by the tests that train: a tiny phantom, its noisy copy, and finished runs on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # tiny tensors: more threads only wait for each other

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


@pytest.fixture(scope="session")
def noisy_phantom(phantom) -> Path:
    """Its noisy copy: 70 % of the slices, beta 10."""
    folder = phantom.parent / "noisy"
    script = [sys.executable, str(ROOT / "scripts" / "make_noisy_labels.py"), "--seed", "0"]
    recipe = ["--recipe", str(ROOT / "configs" / "noise" / "paper_alpha70_beta10.yaml")]
    folders = ["--dataset_dir", str(phantom), "--output_dir", str(folder)]
    subprocess.run([*script, *recipe, *folders], check=True, capture_output=True)
    return folder


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
