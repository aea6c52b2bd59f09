# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai_label.test_trust import write_run
from PIL import Image
from running import ROOT

SCRIPT = ROOT / "scripts" / "monai_label" / "prepare_review.py"
AFFINE = np.diag([1.5, 1.5, 8.0, 1.0])
SHAPE = (6, 5, 3)
CASES = ("patient001_frame01", "patient002_frame01")


@pytest.fixture(scope="module")
def prepare_review():
    spec = importlib.util.spec_from_file_location("prepare_review", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module.prepare_review


def save(path: Path, values) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.asarray(values), AFFINE), path)


def place(root: Path, case: str, suffix: str = "") -> Path:
    return root / "training" / case.split("_")[0] / f"{case}{suffix}.nii.gz"


@pytest.fixture
def run_and_data(tmp_path):
    """Two cases of three, the first with a map, the second with one mask per class that overlap."""
    run, data = tmp_path / "run", tmp_path / "data"
    rng = np.random.default_rng(0)
    given = rng.integers(0, 3, SHAPE).astype(np.int16)
    masks = rng.integers(0, 2, (*SHAPE, 2)).astype(np.uint8)
    for case in (*CASES, "patient003_frame01"):  # the third was not trained on
        save(place(data, case), rng.normal(size=SHAPE).astype(np.float32))
    for case, label in zip(CASES, (given, masks), strict=True):
        save(place(data, case, "_gt"), label)
        save(place(run / "repaired_labels", case, "_gt"), np.roll(label, 1, axis=0))
        save(data / "clean_labels" / place(Path(), case, "_gt"), label)
    save(place(data, "patient003_frame01", "_gt"), given)
    write_run(run, *(f"{case}/0,{case},0,RV,renewed,0,4,0.9,1,0.1" for case in CASES))
    return run, data


def hashes(folder: Path) -> dict[str, str]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def test_the_folder_holds_images_and_two_labels_of_each_case_of_the_run_and_nothing_else(
    prepare_review, run_and_data, tmp_path
):
    run, data = run_and_data
    before = hashes(run) | hashes(data)
    assert prepare_review(run, data, tmp_path / "studies") == list(CASES)
    names = [f"{case}.nii.gz" for case in CASES]
    expected = [f"labels/{tag}/{name}" for tag in ("original", "proposed") for name in names] + names
    found = hashes(tmp_path / "studies")
    assert sorted(found) == sorted(expected)
    assert not any(file.is_symlink() for file in (tmp_path / "studies").rglob("*"))
    assert hashes(run) | hashes(data) == before
    for case in CASES:
        assert found[f"{case}.nii.gz"] == hashlib.sha256(place(data, case).read_bytes()).hexdigest()


def test_a_label_map_is_copied_byte_for_byte(prepare_review, run_and_data, tmp_path):
    run, data = run_and_data
    prepare_review(run, data, tmp_path / "studies")
    for tag, root in (("original", data), ("proposed", run / "repaired_labels")):
        copy = tmp_path / "studies" / "labels" / tag / f"{CASES[0]}.nii.gz"
        assert copy.read_bytes() == place(root, CASES[0], "_gt").read_bytes()


def test_masks_become_a_map_in_which_the_first_class_wins(prepare_review, run_and_data, tmp_path):
    run, data = run_and_data
    prepare_review(run, data, tmp_path / "studies")
    for tag, root in (("original", data), ("proposed", run / "repaired_labels")):
        masks = np.asarray(nib.load(place(root, CASES[1], "_gt")).dataobj)
        assert (masks.sum(axis=-1) == 2).any()
        expected = np.zeros(SHAPE, np.uint8)
        for number in (2, 1):  # the first class last, so that it covers the others
            expected[masks[..., number - 1] == 1] = number
        found = nib.load(tmp_path / "studies" / "labels" / tag / f"{CASES[1]}.nii.gz")
        np.testing.assert_array_equal(np.asarray(found.dataobj), expected)
        np.testing.assert_allclose(found.affine, AFFINE)


def test_no_path_of_this_machine_is_in_the_folder(prepare_review, run_and_data, tmp_path):
    run, data = run_and_data
    prepare_review(run, data, tmp_path / "studies")
    for file in (tmp_path / "studies").rglob("*.nii.gz"):
        assert str(tmp_path).encode() not in gzip.decompress(file.read_bytes())


def test_a_bad_last_case_leaves_no_folder(prepare_review, run_and_data, tmp_path):
    run, data = run_and_data
    place(run / "repaired_labels", CASES[1], "_gt").unlink()
    with pytest.raises(FileNotFoundError, match=f"{CASES[1]}_gt.nii.gz does not exist; the run did not finish"):
        prepare_review(run, data, tmp_path / "studies")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["data", "run"]


def test_an_audit_gives_the_same_folder_as_a_run(prepare_review, run_and_data, tmp_path):
    run, data = run_and_data
    prepare_review(run, data, tmp_path / "of_run")
    (run / "repaired_labels").rename(run / "proposed_labels")
    prepare_review(run, data, tmp_path / "of_audit")
    assert hashes(tmp_path / "of_audit") == hashes(tmp_path / "of_run")


def test_a_proposed_label_with_a_new_name_is_found_by_dataset_json(prepare_review, run_and_data, tmp_path):
    """A NIfTI slice whose label was a JPEG: the proposal is a PNG."""
    run, data = tmp_path / "audit", tmp_path / "own"
    save(data / "a.nii.gz", np.arange(30.0).reshape(6, 5))
    mask = np.zeros((6, 5), np.uint8)
    Image.fromarray(mask.T).save(data / "a.jpg")
    mask[1:3, 2] = 1
    write_run(run, "a/0,a,0,lesion,renewed,1,0,0.9,0,0.1", classes=("lesion",), labels="proposed_labels")
    Image.fromarray(mask.T * 255).save(run / "proposed_labels" / "a_label.png")
    for folder, label in {data: "a.jpg", run / "proposed_labels": "a_label.png"}.items():
        entries = [{"image": "./a.nii.gz", "label": f"./{label}"}]
        (folder / "dataset.json").write_text(json.dumps({"labels": {"1": "lesion"}, "training": entries}))
    assert prepare_review(run, data, tmp_path / "studies") == ["a"]
    proposed = nib.load(tmp_path / "studies" / "labels" / "proposed" / "a.nii.gz")
    np.testing.assert_array_equal(np.asarray(proposed.dataobj), mask)


def test_data_of_another_run_are_refused(prepare_review, run_and_data, tmp_path):
    run, data = run_and_data
    write_run(run, "patient009_frame01/0,patient009_frame01,0,RV,manual,1,0,0.1,1,1")
    with pytest.raises(FileNotFoundError, match="case patient009_frame01 of run .* is not in .*; pass --dataset_dir"):
        prepare_review(run, data, tmp_path / "studies")


def test_a_label_of_another_size_is_refused(prepare_review, run_and_data, tmp_path):
    run, data = run_and_data
    save(place(data, CASES[0], "_gt"), np.zeros((4, 5, 3), np.uint8))
    with pytest.raises(ValueError, match=f"{CASES[0]}_gt.nii.gz has the shape 4x5x3 and its image 6x5x3"):
        prepare_review(run, data, tmp_path / "studies")


def test_the_command_refuses_a_folder_that_is_taken_in_one_line(run_and_data, tmp_path):
    run, data = run_and_data
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "mine").touch()
    folders = ["--run_dir", run, "--dataset_dir", data, "--output_dir", tmp_path / "studies"]
    result = subprocess.run([sys.executable, str(SCRIPT), *map(str, folders)], capture_output=True, text=True)
    assert result.returncode == 2
    assert "exists and is not empty; give a new folder" in result.stderr and "Traceback" not in result.stderr
