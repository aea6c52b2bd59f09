# SPDX-License-Identifier: Apache-2.0
"""The audit through `python -m monai.bundle run audit`, as a user types it, from another folder."""

from __future__ import annotations

import ast
import csv
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image
from running import ROOT, TINY, TINY_METHOD, kill_once, load_script, run_quietly
from tiny import disc

from bundle.self_cleansing.audit import LabelAudit
from bundle.self_cleansing.audit.findings import KINDS, SUSPECT
from bundle.self_cleansing.audit.fold_training import FoldTraining
from bundle.self_cleansing.data import find_cases, read_label, write_json
from bundle.self_cleansing.folder_lock import LOCK, lock_folder

RESULTS = ("labels.csv", "labels.json", "work_list.csv", "report.html", "run.json")


SETTINGS = {
    **{name: value for name, value in TINY.items() if name != "cache_dir"},
    **{name: ast.literal_eval(text) for name, text in TINY_METHOD["methods/self_cleansing_practical"].items()},
    "max_epochs": 2,
    "ramp_end_epoch": 2,
    "bundle_root": str(ROOT),
    "cache_dir": "none",
}


def audit_command(dataset_dir: Path, output_dir: Path, **options: object) -> list[str]:
    options = {
        "dataset_dir": dataset_dir,
        "output_dir": output_dir,
        "training_config": [str(ROOT / "configs" / "train.yaml")],
        "settings": SETTINGS,
        "folds": 2,
        **options,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    base = [sys.executable, "-m", "monai.bundle", "run", "audit", "--bundle_root", str(ROOT)]
    return [*base, "--config_file", str(ROOT / "configs" / "audit.yaml"), *words]


def run_audit(dataset_dir: Path, output_dir: Path, **options: object) -> subprocess.CompletedProcess[str]:
    return run_quietly(audit_command(dataset_dir, output_dir, **options), output_dir.parent)


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
        judged = {found["samples"][index]["sample"] for index in bank}
        state = torch.load(fold / "run" / "models" / "checkpoint.pt", weights_only=True)
        learned = set(state["label_bank"]["_extra_state"]["sample_ids"])
        assert len(judged) + len(learned) == len(found["samples"])
        patients = [{cases[name.rpartition("/")[0]]["patient"] for name in names} for names in (judged, learned)]
        assert patients[0].isdisjoint(patients[1])
        held_out.append(patients[0])
    assert held_out[0].isdisjoint(held_out[1]) and held_out[0] | held_out[1] == {
        one["patient"] for one in cases.values()
    }


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
        relative = Path(case["label"]).relative_to(noisy_phantom)
        given, proposed = (read_label(folder / relative, found["classes"]) for folder in (noisy_phantom, labels))
        for number in range(given.shape[-1]):
            for k, name in enumerate(found["classes"]):
                is_same = (given[k, ..., number] == proposed[k, ..., number]).all()
                assert is_same or (case["case"], number, name) in suspect
                changed += not is_same
    assert changed or not suspect


def test_a_killed_audit_resumes_to_the_same_files(audited, noisy_phantom, tmp_path):
    folder = tmp_path / "audit"
    second_fold = folder / "folds" / "1" / "run" / "history.csv"
    kill_once(second_fold.is_file, audit_command(noisy_phantom, folder), tmp_path)
    first_fold = (folder / "folds" / "0" / "evidence.npz").stat().st_mtime_ns
    result = run_audit(noisy_phantom, folder, resume="true")
    assert result.returncode == 0, result.stderr[-3000:]
    assert (folder / "folds" / "0" / "evidence.npz").stat().st_mtime_ns == first_fold
    for name in RESULTS:
        assert (folder / name).read_bytes() == (audited / name).read_bytes(), name


def test_what_is_said_of_the_truth_and_drawn(audited, noisy_phantom, tmp_path, capsys):
    options = ["--audit", str(audited), "--dataset_dir", str(noisy_phantom)]
    load_script("compare_audit").main([*options, "--name", "tiny", "--output", str(tmp_path / "audit.json")])
    scores = json.loads((tmp_path / "audit.json").read_text())["tiny"]
    found = json.loads((audited / "labels.json").read_text())
    cases = {case["case"]: case for case in find_cases(noisy_phantom) if "clean_label" in case}
    known = [label for label in found["labels"] if label["case"] in cases]
    assert scores["labels"] == len(known) < len(found["labels"])
    assert scores["suspect_labels"] == pytest.approx(np.mean([one["verdict"] == SUSPECT for one in known]))
    noisy, trust = [], []
    for sample in found["samples"]:  # by the files themselves
        if case := cases.get(sample["case"]):
            masks = [read_label(case[key], found["classes"]) for key in ("label", "clean_label")]
            noisy.append((masks[0] != masks[1])[..., sample["slice"]].any())
            trust.append(sample["trust"])
    assert scores["average_precision"]["audit"] == pytest.approx(average_precision(noisy, trust), abs=0.02)
    load_script("draw_least_trusted").main([*options, "--count", "3", "--output", str(tmp_path / "least.png")])
    assert plt.imread(tmp_path / "least.png").shape[2] == 4


def average_precision(noisy: list[bool], trust: list[float]) -> float:
    """Mean, over the noisy ones, of the share of noisy ones among all that are trusted no more."""
    order = np.array(noisy)[np.argsort(trust)]
    return float((np.cumsum(order) / np.arange(1, len(order) + 1))[order].mean())


def in_process(dataset_dir: Path, output_dir: Path, **options: object) -> LabelAudit:
    """The audit of `audit_command`, without a process of its own."""
    plain = {"training_config": [str(ROOT / "configs" / "train.yaml")], "settings": SETTINGS, "folds": 2}
    return LabelAudit(dataset_dir, output_dir, **{**plain, **options})


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, "already holds an audit; continue it with --resume true"),
        ({"resume": True, "seed": 5}, "is another one: it differs in seed"),
        ({"resume": True, "folds": 3}, "is another one: it differs in folds"),
        ({"resume": True, "settings": {}}, "is another one: it differs in images, labels, training"),
    ],
)
def test_the_folder_of_an_audit_is_never_taken_by_another(options, sentence, audited, noisy_phantom):
    before = {path: path.stat().st_mtime_ns for path in audited.rglob("*")}
    with pytest.raises((ValueError, FileExistsError), match=sentence):
        in_process(noisy_phantom, audited, **options).run()
    assert before == {path: path.stat().st_mtime_ns for path in audited.rglob("*")}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"folds": 1}, "folds must be a whole number from 2 on, got 1"),
        ({"folds": 9}, "9 folds need as many patients, the data have 5"),
        ({"parts": ["training"]}, "part must be one of train, validation, test, holdout, got 'training'"),
        ({"parts": ["holdout"]}, "no case of .* is in part holdout"),
        ({"training_config": "nowhere.yaml"}, "training config nowhere.yaml does not exist"),
        ({"settings": {"max_epoch": 3}}, "settings names 'max_epoch', which the training config does not have"),
        ({"settings": {**SETTINGS, "class_names": ["heart"]}}, "declares the classes RV, Myo, LV, the training heart"),
        ({"settings": "max_epochs=3"}, "settings must be a mapping"),
        ({"copies": 0}, "copies must be a whole number from 1 on, got 0"),
        ({"resume": True}, "nothing to resume"),
    ],
)
def test_bad_input_is_refused_before_anything_is_written(options, sentence, noisy_phantom, tmp_path):
    folder = tmp_path / "audit"
    with pytest.raises((ValueError, FileNotFoundError), match=sentence):
        in_process(noisy_phantom, folder, **options).run()
    assert not folder.exists()


def test_an_audit_does_not_write_into_the_data(noisy_phantom):
    with pytest.raises(ValueError, match="lies in the data"):
        in_process(noisy_phantom, noisy_phantom / "audit").run()
    assert not (noisy_phantom / "audit").exists()


def test_a_bad_image_leaves_nothing_behind(noisy_phantom, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(noisy_phantom, data)
    image = nib.load(find_cases(data)[-1]["image"])
    broken = np.asarray(image.dataobj).astype(np.float32)
    broken[0, 0, 0] = np.nan
    nib.save(nib.Nifti1Image(broken, image.affine), find_cases(data)[-1]["image"])
    with pytest.raises(ValueError, match="not finite|NaN|infinite"):
        in_process(data, tmp_path / "audit").run()
    assert not (tmp_path / "audit").exists()


class Threshold(torch.nn.Module):
    """A network that knows: what is bright is foreground."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(20.0))

    def forward(self, image):
        return (image - 0.5) * self.scale


WRONG = {3, 11, 17}


def audit_of_pictures(data: Path, output_dir: Path, **options: object) -> LabelAudit:
    """Of 24 discs, one slice per case, one class, no spacing; the labels of those in WRONG are empty."""
    rng, entries = np.random.default_rng(0), []
    for number in range(24):
        mask = disc(64, *rng.uniform(26, 38, 2), rng.uniform(9, 14)).numpy()
        given = np.zeros_like(mask) if number in WRONG else mask
        for kind, values in (("images", mask * 200 + rng.integers(0, 40, mask.shape)), ("labels", given * 255)):
            (data / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(values.astype(np.uint8)).save(data / kind / f"{number:02d}.png")
        entries.append({"image": f"./images/{number:02d}.png", "label": f"./labels/{number:02d}.png"})
    write_json(data / "dataset.json", {"labels": {"0": "background", "1": "disc"}, "training": entries})
    return in_process(
        data,
        output_dir,
        training_config=[str(ROOT / "configs" / "train.yaml"), str(ROOT / "configs" / "datasets" / "crowd.yaml")],
        settings={**SETTINGS, "class_names": ["disc"], "network_size": 64, "plane_size": 64},
        folds=3,
        **options,
    )


def test_pictures_are_audited_and_proposed_as_pictures(tmp_path, monkeypatch):
    """The training is left out, all else runs."""
    monkeypatch.setattr(FoldTraining, "network", lambda *_: Threshold())
    findings = audit_of_pictures(tmp_path / "data", tmp_path / "audit").run()
    assert {int(one.case) for one in findings.labels if one.verdict == SUSPECT} == WRONG
    assert {one.kind for one in findings.labels if one.verdict == SUSPECT} == {"missing"}
    assert all(one.boundary_error_mm is None for one in findings.labels)
    proposed = tmp_path / "audit" / "proposed_labels"
    for number in range(24):
        written = np.asarray(Image.open(proposed / "labels" / f"{number:02d}.png"))
        assert set(np.unique(written)) == {0, 255}
    assert (tmp_path / "audit" / "report.html").stat().st_size > 10_000


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_what_an_audit_kept_and_is_damaged_is_found_out_again(tmp_path, monkeypatch, caplog):
    """On a resume, and nothing else is; what a killed process left half-written goes."""
    trained: list[str] = []
    monkeypatch.setattr(
        FoldTraining, "network", lambda _, folder, *__: trained.append(folder.parent.name) or Threshold()
    )
    data, folder = tmp_path / "data", tmp_path / "audit"
    audit_of_pictures(data, folder).run()
    whole = {name: (folder / name).read_bytes() for name in RESULTS}
    flip_a_bit(folder / "folds" / "0" / "probs.npy")
    flip_a_bit(folder / "folds" / "2" / "evidence.npz")
    (folder / "proposed_labels" / "labels" / ".partial-1-03.png").touch()
    (folder / "folds" / "0" / ".partial-1-probs.npy").touch()
    trained.clear()
    audit_of_pictures(data, folder, resume=True).run()
    assert trained == ["0", "2"]
    damaged = [record.message for record in caplog.records if "is damaged" in record.message]
    assert [str(folder / "folds" / number) in line for number, line in zip("02", damaged, strict=True)] == [True, True]
    assert whole == {name: (folder / name).read_bytes() for name in RESULTS}
    assert not list(folder.rglob(".partial-*"))


def test_a_folder_that_another_process_audits_in_is_refused(tmp_path):
    held = lock_folder(tmp_path / "audit")
    with pytest.raises(ValueError, match="audit is in use by another process; let it end"):
        audit_of_pictures(tmp_path / "data", tmp_path / "audit").run()
    os.close(held)
    assert [path.name for path in (tmp_path / "audit").iterdir()] == [LOCK]


def test_the_command_says_it_in_one_sentence(tmp_path):
    result = run_audit(tmp_path / "nowhere", tmp_path / "audit")
    assert result.returncode != 0 and "Traceback" not in result.stderr
    assert [line for line in result.stderr.splitlines() if line.startswith("error: ") and "nowhere" in line]
    assert not (tmp_path / "audit").exists()
