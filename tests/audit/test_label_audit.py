# SPDX-License-Identifier: Apache-2.0
"""The audit through `python -m monai.bundle run audit`, as a user types it, from another folder."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from running import ROOT, TINY, TINY_METHOD

from bundle.self_cleansing.audit.findings import KINDS, SUSPECT
from bundle.self_cleansing.data import find_cases, read_label

RESULTS = ("labels.csv", "labels.json", "work_list.csv", "report.html", "run.json")


def audit_command(dataset_dir: Path, output_dir: Path, **options: object) -> list[str]:
    settings = {
        **{name: str(value) if isinstance(value, Path) else value for name, value in TINY.items()},
        **TINY_METHOD["methods/self_cleansing_practical"],
        "max_epochs": 2,
        "ramp_end_epoch": 2,
        "bundle_root": str(ROOT),
    }
    options = {
        "dataset_dir": dataset_dir,
        "output_dir": output_dir,
        "training_config": [str(ROOT / "configs" / "train.yaml")],
        "settings": settings,
        "folds": 2,
        **options,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    base = [sys.executable, "-m", "monai.bundle", "run", "audit", "--bundle_root", str(ROOT)]
    return [*base, "--config_file", str(ROOT / "configs" / "audit.yaml"), *words]


def run_audit(dataset_dir: Path, output_dir: Path, **options: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = audit_command(dataset_dir, output_dir, **options)
    return subprocess.run(command, cwd=output_dir.parent, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def audited(noisy_phantom, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("audit") / "audit"
    result = run_audit(noisy_phantom, folder)
    assert result.returncode == 0, result.stderr[-3000:]
    return folder


def test_every_label_of_every_case_is_judged_by_a_network_that_never_saw_its_patient(audited, noisy_phantom):
    found = json.loads((audited / "labels.json").read_text())
    cases = {case["case"]: case for case in find_cases(noisy_phantom)}
    assert [case["case"] for case in found["cases"]] == sorted(cases)
    expected = [
        f"{name}/{number}/{label}"
        for name in sorted(cases)
        for number in range(nib.load(cases[name]["label"]).shape[2])
        for label in found["classes"]
    ]
    assert [f"{label['sample']}/{label['class_name']}" for label in found["labels"]] == expected
    for label in found["labels"]:
        assert 0 <= label["trust"] <= 1 and label["kind"] in KINDS
        assert (label["verdict"] == SUSPECT) == (label["trust"] < 0.5)
    held_out = []
    for fold in sorted((audited / "folds").iterdir()):
        bank = np.load(fold / "evidence.npz")["samples"]
        names = {found["samples"][index]["case"] for index in bank}
        held_out.append({cases[name]["patient"] for name in names})
    assert held_out[0].isdisjoint(held_out[1])


def test_the_csv_says_what_the_json_says(audited):
    found = json.loads((audited / "labels.json").read_text())
    with open(audited / "labels.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(found["labels"])
    for row, label in zip(rows, found["labels"], strict=True):
        assert row["sample"] == label["sample"] and row["verdict"] == label["verdict"]
        assert float(row["trust"]) == pytest.approx(label["trust"], abs=1e-4)
        assert (row["boundary_error_px"] == "") == (label["boundary_error_px"] is None)


def test_trusted_labels_are_proposed_as_they_were_given(audited, noisy_phantom):
    found = json.loads((audited / "labels.json").read_text())
    labels = audited / "proposed_labels"
    suspect = {(one["case"], one["slice"], one["class_name"]) for one in found["labels"] if one["verdict"] == SUSPECT}
    changed = 0
    for case in find_cases(noisy_phantom):
        given = np.asarray(nib.load(case["label"]).dataobj)
        proposed = np.asarray(
            nib.load(audited / "proposed_labels" / Path(case["label"]).relative_to(noisy_phantom)).dataobj
        )
        for number in range(given.shape[2]):
            for k, name in enumerate(found["classes"]):
                masks = [
                    one[:, :, number, k] if one.ndim == 4 else one[:, :, number] == k + 1 for one in (given, proposed)
                ]
                if (case["case"], number, name) not in suspect:
                    assert (masks[0] == masks[1]).all()
                else:
                    changed += (masks[0] != masks[1]).any()
    assert changed or not suspect


def test_a_killed_audit_resumes_to_the_same_files(audited, noisy_phantom, tmp_path):
    folder = tmp_path / "audit"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(audit_command(noisy_phantom, folder), cwd=tmp_path, env=environment, **quiet)
    while not (folder / "folds" / "1" / "run" / "history.csv").is_file() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL, "the audit ended before it could be killed"
    first_fold = (folder / "folds" / "0" / "evidence.npz").stat().st_mtime_ns
    result = run_audit(noisy_phantom, folder, resume="true")
    assert result.returncode == 0, result.stderr[-3000:]
    assert (folder / "folds" / "0" / "evidence.npz").stat().st_mtime_ns == first_fold
    for name in RESULTS:
        assert (folder / name).read_bytes() == (audited / name).read_bytes(), name


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "already holds an audit; continue it with --resume true"),
        ({"resume": "true", "seed": 5}, "is another one: it differs in seed"),
        ({"resume": "true", "folds": 3}, "is another one: it differs in folds"),
    ],
)
def test_the_folder_of_an_audit_is_never_taken_by_another(options, sentence, audited, noisy_phantom):
    before = {path: path.stat().st_mtime_ns for path in audited.rglob("*")}
    result = run_audit(noisy_phantom, audited, **options)
    assert result.returncode != 0 and sentence in result.stderr and "Traceback" not in result.stderr
    assert before == {path: path.stat().st_mtime_ns for path in audited.rglob("*")}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"folds": 1}, "folds must be at least 2, got 1"),
        ({"folds": 9}, "9 folds need as many patients, the data have 5"),
        ({"parts": "['training']"}, "part must be one of train, validation, test, holdout, got 'training'"),
        ({"training_config": "['nowhere.yaml']"}, "training config nowhere.yaml does not exist"),
        ({"resume": "true"}, "nothing to resume"),
        ({"dataset_dir": "no_data"}, "no_data"),
    ],
)
def test_bad_input_is_said_in_one_sentence_and_nothing_is_written(options, sentence, noisy_phantom, tmp_path):
    folder = tmp_path / "audit"
    result = run_audit(noisy_phantom, folder, **options)
    assert result.returncode != 0 and "Traceback" not in result.stderr
    assert sentence in [line for line in result.stderr.splitlines() if line.startswith("error: ")][0]
    assert not folder.exists()
