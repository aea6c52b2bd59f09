# SPDX-License-Identifier: Apache-2.0
"""Training through `python -m monai.bundle run training`, as a user types it, from another folder."""

from __future__ import annotations

import csv
import math
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from running import ROOT, bundle_command, kill_once, run_bundle

from bundle.self_cleansing.folder_lock import LOCK, lock_folder
from bundle.self_cleansing.inferers.mixed_precision import arithmetic

METHODS = ["self_cleansing_practical", "self_cleansing_paper"]


def equal(one, other) -> bool:
    """Deep equality, bit for bit, of what a checkpoint holds."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def checkpoint(run: Path) -> dict:
    return torch.load(run / "models" / "checkpoint.pt", map_location="cpu", weights_only=True)


def rows(run: Path) -> list[dict[str, str]]:
    path = run / "history.csv"
    return list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []


@pytest.mark.parametrize(
    ("method", "killed_in"), [(METHODS[0], 2), (METHODS[0], 4), pytest.param(METHODS[1], 3, marks=pytest.mark.slow)]
)
def test_a_killed_run_resumes_to_the_same_bits(method, killed_in, trained, noisy_phantom, tmp_path):
    unbroken = trained(method)
    assert not checkpoint(unbroken)["label_bank"]["takes_part"].all() or method != "self_cleansing_practical"
    run = tmp_path / "run"
    settings = {"dataset_dir": noisy_phantom, "output_dir": run}
    file = run / "models" / "checkpoint.pt"  # the first one comes after the first row
    command = bundle_command("training", [f"methods/{method}"], **settings)
    kill_once(lambda: len(rows(run)) >= killed_in - 1 and file.is_file(), command, tmp_path, delay_s=0.3)
    assert len(rows(run)) < 4

    resumed = run_bundle("training", [f"methods/{method}"], tmp_path, resume="true", **settings)
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert equal(checkpoint(unbroken), checkpoint(run))
    for name in ("model_best.pt", "model_last.pt"):
        one, other = (torch.load(folder / "models" / name, weights_only=True) for folder in (unbroken, run))
        assert equal(one, other), name
    assert (unbroken / "history.csv").read_text() == (run / "history.csv").read_text()


@pytest.mark.cuda
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("first", "then"), [("cuda:0", "cuda:0"), ("cuda:0", "cpu"), ("cpu", "cuda:0")])
def test_a_killed_run_goes_on_on_another_device(method, first, then, noisy_phantom, tmp_path):
    run = tmp_path / "run"
    settings = {"dataset_dir": noisy_phantom, "output_dir": run}
    command = bundle_command("training", [f"methods/{method}"], **settings, device=first)
    kill_once((run / "models" / "checkpoint.pt").is_file, command, tmp_path)
    before = checkpoint(run)["history"]["rows"]
    assert 0 < len(before) < 4
    resumed = run_bundle("training", [f"methods/{method}"], tmp_path, resume="true", **settings, device=then)
    assert resumed.returncode == 0, resumed.stderr[-3000:]
    assert checkpoint(run)["history"]["rows"][: len(before)] == before
    assert [row["epoch"] for row in rows(run)] == ["1", "2", "3", "4"]
    assert all(math.isfinite(float(row["train_loss"])) for row in rows(run))


@pytest.mark.parametrize(
    ("precision", "dtype"), [("auto", torch.float16), ("bfloat16", torch.bfloat16), ("float32", None)]
)
def test_the_precision_asked_for_is_that_of_the_gpu(precision, dtype):
    """What the config gives MONAI's trainer and evaluator; no GPU is needed to ask for one."""
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "train.yaml"))
    parser.update({"device": "cuda:0", "precision": precision})
    assert arithmetic(precision, torch.device("cuda:0")) == str(dtype or torch.float32).removeprefix("torch.")
    for engine in ("train#trainer", "validate#evaluator"):
        assert parser.get_parsed_content(f"{engine}#amp") is (dtype is not None)
        if dtype is not None:  # MONAI's default is float16
            assert parser.get_parsed_content(f"{engine}#amp_kwargs").get("dtype", torch.float16) == dtype


@pytest.mark.slow
def test_training_never_reads_clean_labels_of_training_cases(noisy_phantom, trained, tmp_path):
    """With these files destroyed, and the audit off, the result is that of the `trained` run, which audits."""
    data = tmp_path / "data"
    shutil.copytree(noisy_phantom, data)
    destroyed = [path for n in (1, 2, 3) for path in (data / "clean_labels").rglob(f"patient00{n}_*_gt.nii.gz")]
    assert len(destroyed) == 6
    for path in destroyed:
        path.write_bytes(b"not a NIfTI file")
    settings = {"dataset_dir": data, "output_dir": tmp_path / "run"}
    audited = run_bundle("training", ["methods/self_cleansing_practical"], tmp_path, **settings)
    assert destroyed[0].parent.name in refused(audited)  # whoever reads them notices
    result = run_bundle("training", ["methods/self_cleansing_practical"], tmp_path, noise_manifest="none", **settings)
    assert result.returncode == 0, result.stderr[-3000:]
    unbroken = trained("self_cleansing_practical")
    assert rows(unbroken)[-1]["filter_precision"] and not rows(tmp_path / "run")[-1].get("filter_precision")
    for part in ("network", "averaged_network", "label_bank"):
        assert equal(checkpoint(unbroken)[part], checkpoint(tmp_path / "run")[part]), part


def test_same_seed_same_result_other_seed_other(trained, noisy_phantom, tmp_path):
    first = trained("self_cleansing_practical")
    settings = {"dataset_dir": noisy_phantom, "max_epochs": 1}
    for seed in (0, 1):
        result = run_bundle(
            "training",
            ["methods/self_cleansing_practical"],
            tmp_path,
            output_dir=tmp_path / str(seed),
            seed=seed,
            **settings,
        )
        assert result.returncode == 0, result.stderr[-3000:]
    loss = [rows(folder)[0]["train_loss"] for folder in (first, tmp_path / "0", tmp_path / "1")]
    assert loss[0] == loss[1] != loss[2]


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """The one sentence a refused command ends with."""
    assert result.returncode != 0
    lines = result.stderr.strip().splitlines()
    assert "Traceback" not in result.stderr
    assert lines[-2].startswith("error: "), result.stderr[-3000:]
    return lines[-2]


def test_an_output_folder_with_another_run_is_refused(trained, noisy_phantom, tmp_path):
    run = trained("self_cleansing_practical")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    result = run_bundle("training", [], tmp_path, dataset_dir=noisy_phantom, output_dir=run)
    sentence = refused(result)
    assert str(run) in sentence and "--resume" in sentence
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_an_output_folder_that_another_process_works_in_is_refused(noisy_phantom, tmp_path):
    """It holds no run before the end of its first epoch."""
    held = lock_folder(tmp_path / "run")
    result = run_bundle("training", [], tmp_path, dataset_dir=noisy_phantom, output_dir=tmp_path / "run")
    os.close(held)
    assert f"{tmp_path / 'run'} is in use by another process; let it end, or give another" in refused(result)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK]


def test_a_checkpoint_of_other_samples_is_refused(trained, noisy_phantom, tmp_path):
    """The first three patients were trained on; resuming with a split that trains on others names the first sample."""
    import json

    run = tmp_path / "run"
    shutil.copytree(trained("self_cleansing_practical"), run)
    split = json.loads((noisy_phantom / "split.json").read_text())
    split["parts"]["train"] = ["patient002", "patient003"]
    split["parts"]["test"] = ["patient001", "patient014"]
    (tmp_path / "split.json").write_text(json.dumps(split))
    result = run_bundle(
        "training",
        ["methods/self_cleansing_practical"],
        tmp_path,
        dataset_dir=noisy_phantom,
        output_dir=run,
        split_file=tmp_path / "split.json",
        resume="true",
    )
    sentence = refused(result)
    assert "'patient001_frame01/0'" in sentence and "'patient002_frame01/0'" in sentence


@pytest.mark.slow
@pytest.mark.parametrize(
    "fault", ["missing label", "other shape", "undeclared value", "nan", "constant", "unreadable", "4-D", "colour"]
)
def test_bad_cases_are_refused_before_anything_is_written(fault, phantom, tmp_path):
    import nibabel as nib
    import numpy as np

    data = tmp_path / "data"
    shutil.copytree(phantom, data)
    image_path = data / "training" / "patient002" / "patient002_frame01.nii.gz"
    label_path = image_path.with_name("patient002_frame01_gt.nii.gz")
    image, label = nib.load(image_path), nib.load(label_path)
    pixels, classes = image.get_fdata(), np.asarray(label.dataobj).copy()
    named = image_path
    if fault == "missing label":
        label_path.unlink()
        named = label_path
    elif fault == "other shape":
        nib.save(nib.Nifti1Image(classes[:-1], label.affine), label_path)
        named = label_path
    elif fault == "undeclared value":
        classes[0, 0, 0] = 7
        nib.save(nib.Nifti1Image(classes, label.affine), label_path)
        named = label_path
    elif fault == "nan":
        pixels[0, 0, 0] = np.nan
        nib.save(nib.Nifti1Image(pixels.astype(np.float32), image.affine), image_path)
    elif fault == "constant":
        nib.save(nib.Nifti1Image(np.full_like(pixels, 3.0), image.affine), image_path)
    elif fault == "4-D":
        nib.save(nib.Nifti1Image(np.stack([pixels, pixels], axis=-1), image.affine), image_path)
    elif fault == "colour":
        colours = np.zeros(pixels.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
        nib.save(nib.Nifti1Image(colours, image.affine), image_path)
    else:
        image_path.write_bytes(image_path.read_bytes()[:1000])
    result = run_bundle("training", [], tmp_path, dataset_dir=data, output_dir=tmp_path / "run")
    sentence = refused(result)
    assert named.name in sentence
    assert {"4-D": "2 channels", "colour": "is in colour", "undeclared value": "7"}.get(fault, "") in sentence
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_empty_data_folder_is_refused(tmp_path):
    (tmp_path / "data").mkdir()
    result = run_bundle("training", [], tmp_path, dataset_dir=tmp_path / "data", output_dir=tmp_path / "run")
    assert str(tmp_path / "data") in refused(result)
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_patient_in_two_parts_is_refused(phantom, tmp_path):
    split = '{"rule": "by hand", "parts": {"train": ["patient001", "patient002"], "validation": ["patient012"], '
    split += '"test": ["patient002", "patient003", "patient014"], "holdout": []}}'
    (tmp_path / "split.json").write_text(split)
    result = run_bundle(
        "training", [], tmp_path, dataset_dir=phantom, output_dir=tmp_path / "run", split_file=tmp_path / "split.json"
    )
    assert "patient002" in refused(result)
    assert not (tmp_path / "run").exists()
