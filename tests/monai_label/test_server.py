# SPDX-License-Identifier: Apache-2.0
"""From the zip to a corrected label, with real servers: MONAI Label's own bundle app, then the review app."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.error
from datetime import datetime, timezone
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai_label.exported import METHOD, NAME, exported_bundle
from monai_label.server import Server
from running import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.monai_label, pytest.mark.timeout(1500)]

REVIEW_APP = ROOT / "scripts" / "monai_label" / "review_app"


@pytest.fixture(scope="module")
def run(monai_label_python, trained) -> Path:
    return trained(METHOD.split("/")[1])


@pytest.fixture(scope="module")
def bundle(run, noisy_phantom, tmp_path_factory) -> Path:
    return exported_bundle(run, noisy_phantom, tmp_path_factory.mktemp("export"))


def frames(phantom: Path) -> list[Path]:
    """The labels of the phantom's volumes, sorted; an image has the same name without _gt."""
    return sorted(phantom.rglob("*_gt.nii.gz"))


def image_of(label: Path) -> Path:
    return label.with_name(label.name.replace("_gt", ""))


def turned(file: Path, axes: str, tilt_deg: float, target: Path) -> None:
    """Store a volume with its axes in another order, and lying askew in space."""
    volume = nib.load(file)
    codes = nib.orientations.axcodes2ornt(axes)
    now = nib.orientations.io_orientation(volume.affine)
    volume = volume.as_reoriented(nib.orientations.ornt_transform(now, codes))
    c, s = np.cos(np.deg2rad(tilt_deg)), np.sin(np.deg2rad(tilt_deg))
    tilt = np.array([[1, 0, 0, 12.5], [0, c, -s, -40.25], [0, s, c, 7], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(np.asarray(volume.dataobj), tilt @ volume.affine), target)


def inferred(bundle: Path, images: Path, output_dir: Path) -> dict[str, Path]:
    """The same images through `monai.bundle run inference` in the project's own environment."""
    command = [sys.executable, "-m", "monai.bundle", "run", "inference"]
    command += ["--config_file", str(bundle / "configs" / "inference.json"), "--bundle_root", str(bundle)]
    command += ["--dataset_dir", str(images), "--output_dir", str(output_dir)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    result = subprocess.run(command, cwd=output_dir.parent, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    return {file.name.removesuffix("_seg.nii.gz"): file for file in output_dir.glob("*_seg.nii.gz")}


def assert_same_segmentation(found: Path, expected: Path, image: Path) -> None:
    one, other, source = nib.load(found), nib.load(expected), nib.load(image)
    assert one.shape == source.shape
    np.testing.assert_array_equal(np.asarray(one.dataobj), np.asarray(other.dataobj))
    # MONAI Label writes through ITK, which stores rotations as 32-bit quaternions.
    np.testing.assert_allclose(one.affine, source.affine, atol=1e-3)


def hashes(folder: Path) -> dict[Path, str]:
    return {file: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.rglob("*.nii.gz"))}


def test_the_bundle_infers_and_trains_in_monai_labels_own_app(monai_label_python, bundle, phantom, tmp_path):
    environment = {**os.environ, "PYTHONPATH": ""}
    fetch = [str(monai_label_python), "-m", "monailabel.main", "apps", "--download", "--name", "monaibundle"]
    subprocess.run([*fetch, "--output", str(tmp_path)], check=True, env=environment, capture_output=True)
    app, studies = tmp_path / "monaibundle", tmp_path / "studies"
    shutil.copytree(bundle, app / "model" / NAME)
    bundle = app / "model" / NAME
    model = bundle / "models" / "model.pt"
    (studies / "labels" / "original").mkdir(parents=True)
    labels = frames(phantom)
    turned(image_of(labels[0]), "RSA", 0.0, studies / "turned.nii.gz")
    turned(image_of(labels[1]), "LPS", 17.0, studies / "askew.nii.gz")
    shutil.copy(labels[2], studies / "labels" / "original" / "askew.nii.gz")  # whatever it shows, it must not change
    expected = inferred(bundle, studies, tmp_path / "before")
    assert any(np.asarray(nib.load(file).dataobj).any() for file in expected.values())
    corrected = {label.name.replace("_gt.nii.gz", ""): label for label in labels[2:5]}
    for name, label in corrected.items():
        shutil.copy(image_of(label), studies / f"{name}.nii.gz")
    given = hashes(studies)
    conf = {"models": NAME, "zoo_source": "ngc", "sam2": "false"}

    with Server(monai_label_python, app, studies, conf, tmp_path) as server:
        # The numbers of the classes are those in the saved map, 1..K.
        assert server.info["models"][NAME]["labels"] == {"rv": 1, "myo": 2, "lv": 3}
        assert list(server.info["trainers"]) == [NAME]
        for name in ("turned", "askew"):
            found = server.infer(NAME, name, tmp_path / f"{name}_before.nii.gz")
            assert_same_segmentation(found, expected[name], studies / f"{name}.nii.gz")

        batch = {"images": ["turned", "askew"], "label_tag": "predicted", "multi_gpu": False}
        assert set(server.json("POST", f"/batch/infer/{NAME}", batch, run_sync=True)) == {"turned", "askew"}
        for name in ("turned", "askew"):
            found = studies / "labels" / "predicted" / f"{name}.nii.gz"
            assert_same_segmentation(found, expected[name], studies / f"{name}.nii.gz")

        for name, label in corrected.items():
            server.put_label(name, label, "final")
        weights = [model.read_bytes()]
        for _ in range(2):  # a second training must not stumble over the first
            assert server.json("POST", f"/train/{NAME}", {"max_epochs": 1}, run_sync=True) == {}
            weights.append(model.read_bytes())
        assert len(set(weights)) == 3
        after = inferred(bundle, studies / "turned.nii.gz", tmp_path / "after")
        found = server.infer(NAME, "turned", tmp_path / "turned_after.nii.gz")
        assert_same_segmentation(found, after["turned"], studies / "turned.nii.gz")
    assert server.process.poll() is not None
    now = hashes(studies)
    assert {file: now[file] for file in given} == given


def test_the_review_app_serves_the_least_trusted_label_and_never_touches_the_given_ones(
    monai_label_python, run, bundle, noisy_phantom, tmp_path
):
    studies, app = tmp_path / "studies", tmp_path / "review_app"
    script = [sys.executable, str(REVIEW_APP.parent / "prepare_review.py"), "--run_dir", str(run)]
    script += ["--dataset_dir", str(noisy_phantom), "--output_dir", str(studies)]
    subprocess.run(script, check=True, capture_output=True)
    shutil.copytree(REVIEW_APP, app, ignore=shutil.ignore_patterns("model", "logs", "bin", "__pycache__"))
    given = hashes(studies)

    # The order by a second route: from the run's table and the files.
    with open(run / "repaired_labels" / "provenance.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    trust = {row["case"]: 1.0 for row in rows}
    for row in rows:
        trust[row["case"]] = min(trust[row["case"]], float(row["clean_posterior"]))

    def changed(case: str) -> int:
        pair = [nib.load(studies / "labels" / tag / f"{case}.nii.gz").dataobj for tag in ("original", "proposed")]
        return int((np.asarray(pair[0]) != np.asarray(pair[1])).sum())

    order = sorted(trust, key=lambda case: (trust[case], -changed(case), case))
    assert len(order) >= 3

    with Server(monai_label_python, app, studies, {"run": run, "bundle": bundle}, tmp_path) as server:
        assert list(server.info["strategies"]) == ["least_trusted"]
        assert server.info["labels"] == ["rv", "myo", "lv"]
        assert server.info["datastore"]["label_tags"] == {"original": len(order), "proposed": len(order)}
        for place, case in enumerate(order[:2]):
            sample = server.json("POST", "/activelearning/least_trusted")
            assert sample["id"] == case, f"place {place} of the queue"
            assert sample["review"]["trust"] == trust[case]
            assert sample["review"]["changed_voxels"] == changed(case)
            proposed = server.infer("proposed_label", case, tmp_path / "proposed.nii.gz")
            assert proposed.read_bytes() == (studies / "labels" / "proposed" / f"{case}.nii.gz").read_bytes()
            server.put_label(case, proposed, "final", {"client_id": f"reader {place}"})
            final = studies / "labels" / "final" / f"{case}.nii.gz"
            assert final.read_bytes() == proposed.read_bytes()
        assert server.json("POST", "/activelearning/least_trusted")["id"] == order[2]

        for tag in ("original", "proposed", "../labels/original"):
            with pytest.raises(urllib.error.HTTPError, match="409"):
                server.put_label(order[2], proposed, tag)
        # MONAI Label's own default for batch inference is the tag original.
        assert set(server.json("POST", f"/batch/infer/{NAME}", images="labeled", run_sync=True)) == set(order[:2])
        tags = server.json("GET", "/datastore/")["label_tags"]
        assert tags == {"original": len(order), "proposed": len(order), "final": 2, "predicted": 2}
    now = hashes(studies)
    assert {file: now[file] for file in given} == given
    check_merged(studies, noisy_phantom, tmp_path / "merged", order[:2])


def check_merged(studies: Path, dataset_dir: Path, merged: Path, reviewed: list[str]) -> None:
    """One command makes a data set with the stored labels; all others are as they were."""
    script = [sys.executable, str(ROOT / "scripts" / "merge_reviewed.py"), "--studies", str(studies)]
    script += ["--dataset_dir", str(dataset_dir), "--output_dir", str(merged), "--overlaps", "drop"]
    result = subprocess.run(script, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr[-3000:]
    with open(merged / "provenance.csv", newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert [case for case, row in rows.items() if row["source"] == "final"] == sorted(reviewed)
    assert len(rows) == len(frames(dataset_dir / "training"))
    for case, row in rows.items():
        label = merged / row["label"]
        if case not in reviewed:
            assert label.read_bytes() == (dataset_dir / row["label"]).read_bytes()
            continue
        masks = np.asarray(nib.load(label).dataobj)  # one per class, as they were given
        final = np.asarray(nib.load(studies / "labels" / "final" / f"{case}.nii.gz").dataobj)
        np.testing.assert_array_equal(masks, final[..., None] == [1, 2, 3])
        assert json.loads(row["client_info"]) == {"client_id": f"reader {reviewed.index(case)}"}
        stored = datetime.strptime(row["reviewed_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        assert abs(stored.timestamp() - (studies / "labels" / "final" / f"{case}.nii.gz").stat().st_mtime) < 60
