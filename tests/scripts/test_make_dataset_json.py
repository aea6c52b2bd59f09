# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.data import load_decathlon_datalist
from PIL import Image

from bundle.self_cleansing.data import find_cases, label_names, read_label, split_cases

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("SELF_CLEANSING_DATA", ROOT.parent / "shared" / "data"))


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_dataset_json", ROOT / "scripts" / "make_dataset_json.py")
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


def nifti(path: Path, values=(0, 1)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.resize(np.array(values, np.uint8), (4, 4, 2)), np.eye(4)), path)


def png(path: Path, values=(0, 255)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.resize(np.array(values, np.uint8), (4, 4))).save(path)


def make(script, root: Path, **options) -> dict:
    return script.make_dataset_json(root / "images", root / "labels", root / "dataset.json", **options)


def test_the_command_writes_what_monai_and_find_cases_read(tmp_path, script, capsys):
    for name in ("p1_a", "p1_b", "p2_a"):
        nifti(tmp_path / f"images/{name}.nii.gz", range(30))
        nifti(tmp_path / f"labels/{name}.nii.gz", (0, 1, 2))
    (tmp_path / "images/notes.txt").write_text("ignored")
    folders = ["--images", f"{tmp_path}/images", "--labels", f"{tmp_path}/labels", "--output_dir", str(tmp_path)]
    script.main([*folders, "--label_names", "liver", "tumour", "--patient_regex", "([^_]+)_", "--modality", "CT"])
    assert "3 cases of 2 patients; labels 0 background, 1 liver, 2 tumour" in capsys.readouterr().out
    content = json.loads((tmp_path / "dataset.json").read_text())
    assert content["training"][0] == {"image": "./images/p1_a.nii.gz", "label": "./labels/p1_a.nii.gz", "patient": "p1"}
    assert content["modality"] == {"0": "CT"} and content["numTraining"] == 3
    assert label_names(tmp_path) == {1: "liver", 2: "tumour"}
    cases = find_cases(tmp_path)
    assert [case["patient"] for case in cases] == ["p1", "p1", "p2"]
    assert load_decathlon_datalist(tmp_path / "dataset.json") == [
        {key: case[key] for key in ("image", "label", "patient")} for case in cases
    ]


def test_nnunet_names_and_label_suffixes_pair(tmp_path, script):
    nifti(tmp_path / "images/case1_0000.nii.gz")
    nifti(tmp_path / "images/case2.nii.gz")
    nifti(tmp_path / "labels/case1_seg.nii.gz")
    nifti(tmp_path / "labels/case2_seg.nii")
    pairs = [(entry["image"], entry["label"]) for entry in make(script, tmp_path, label_suffix="_seg")["training"]]
    assert pairs == [
        ("./images/case1_0000.nii.gz", "./labels/case1_seg.nii.gz"),
        ("./images/case2.nii.gz", "./labels/case2_seg.nii"),
    ]


def test_images_and_labels_may_share_a_folder(tmp_path, script):
    png(tmp_path / "a.png")
    png(tmp_path / "a_mask.png")
    content = script.make_dataset_json(tmp_path, tmp_path, tmp_path / "dataset.json", label_suffix="_mask")
    assert content["training"] == [{"image": "./a.png", "label": "./a_mask.png"}]
    with pytest.raises(ValueError, match="are one folder .*--label_suffix"):
        script.make_dataset_json(tmp_path, tmp_path, tmp_path / "other.json")


@pytest.mark.parametrize(
    ("values", "labels"),
    [((0, 255), {"1": "foreground"}), ((0, 1), {"1": "class_1"}), ((0, 5, 2), {"2": "class_2", "5": "class_5"})],
)
def test_label_values_are_looked_up_when_no_names_are_given(tmp_path, script, values, labels):
    png(tmp_path / "images/a.png", range(16))
    png(tmp_path / "labels/a.png", values)
    assert make(script, tmp_path)["labels"] == {"0": "background"} | labels
    channels = read_label(tmp_path / "labels/a.png", label_names(tmp_path))
    assert (channels.sum(0) == 1).sum() == np.count_nonzero(np.resize(values, 16))


def test_masks_per_class_count_as_classes(tmp_path, script):
    nifti(tmp_path / "images/a.nii.gz", range(30))
    (tmp_path / "labels").mkdir()
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 2, 2), np.uint8), np.eye(4)), tmp_path / "labels/a.nii.gz")
    assert make(script, tmp_path)["labels"] == {"0": "background", "1": "class_1", "2": "class_2"}


@pytest.mark.parametrize(
    ("images", "labels", "options", "message"),
    [
        (["a", "b"], ["a"], {}, r"1 of 2 images and 1 labels have no partner by name: .*b\.png"),
        (["a"], ["a", "c"], {}, r"1 of 1 images and 2 labels have no partner by name: .*c\.png"),
        (list("abcdefg"), ["a"], {}, r"6 of 7 .*b\.png, .*c\.png, .*d\.png, .*e\.png, \.\.\.; rename"),
        (["a_0000", "a_0001"], ["a"], {}, r"no partner by name: .*a_0001\.png"),
        (["a_0000", "a"], ["a"], {}, "images a and a_0000 claim one label"),
        ([], [], {}, "no image with a label was found"),
        (["a"], ["a"], {"patient_regex": "([0-9]+)"}, r"'\(\[0-9\]\+\)' finds no patient in the name a of .*a\.png"),
        (["a"], ["a"], {"patient_regex": "("}, r"'\(' is not a regular expression"),
    ],
)
def test_what_cannot_be_paired_is_refused_and_nothing_is_written(tmp_path, script, images, labels, options, message):
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    for folder, names in (("images", images), ("labels", labels)):
        for name in names:
            png(tmp_path / folder / f"{name}.png")
    with pytest.raises(ValueError, match=message):
        make(script, tmp_path, **options)
    assert not (tmp_path / "dataset.json").exists()


def test_one_name_with_two_extensions_is_refused(tmp_path, script):
    png(tmp_path / "images/a.png")
    png(tmp_path / "images/a.bmp")
    png(tmp_path / "labels/a.png")
    with pytest.raises(ValueError, match=r"a\.bmp and .*a\.png differ only in their extension"):
        make(script, tmp_path)


def test_labels_without_foreground_or_with_fractions_name_no_classes(tmp_path, script):
    png(tmp_path / "images/a.png")
    png(tmp_path / "labels/a.png", (0,))
    with pytest.raises(ValueError, match="that hold nothing but 0; .*--label_names"):
        make(script, tmp_path)
    (tmp_path / "labels/a.png").unlink()
    nib.save(nib.Nifti1Image(np.full((4, 4), 0.5, np.float32), np.eye(4)), tmp_path / "labels/a.nii")
    with pytest.raises(ValueError, match="that hold the value 0.5"):
        make(script, tmp_path)


def test_files_outside_the_data_folder_and_missing_folders_are_refused(tmp_path, script):
    png(tmp_path / "images/a.png")
    png(tmp_path / "labels/a.png")
    with pytest.raises(ValueError, match=rf"a\.png lies outside {tmp_path}/out.*--output_dir that contains both"):
        script.make_dataset_json(tmp_path / "images", tmp_path / "labels", tmp_path / "out" / "dataset.json")
    with pytest.raises(SystemExit, match="error: folder .*/nowhere does not exist"):
        script.main(
            ["--images", f"{tmp_path}/nowhere", "--labels", f"{tmp_path}/labels", "--output_dir", str(tmp_path)]
        )


def test_an_existing_description_is_kept_unless_told_otherwise(tmp_path, script):
    png(tmp_path / "images/a.png")
    png(tmp_path / "labels/a.png")
    (tmp_path / "dataset.json").write_text("mine")
    with pytest.raises(ValueError, match=r"dataset\.json exists already; pass --overwrite"):
        make(script, tmp_path)
    assert (tmp_path / "dataset.json").read_text() == "mine"
    assert make(script, tmp_path, overwrite=True)["numTraining"] == 1


@pytest.mark.skipif(
    not (SHARED / "chest_xray").is_dir(), reason=f"no chest X-rays at {SHARED} (set SELF_CLEANSING_DATA)"
)
def test_real_chest_x_rays_with_jpeg_masks(tmp_path, script):
    source = SHARED / "chest_xray/valid"
    for name in sorted(file.name for file in (source / "images").iterdir())[:4]:
        for folder, target in (("images", "images"), ("masks", "labels")):
            (tmp_path / target).mkdir(exist_ok=True)
            shutil.copy(source / folder / name, tmp_path / target / name)
    assert make(script, tmp_path, modality="XR")["labels"] == {"0": "background", "1": "foreground"}
    cases = find_cases(tmp_path)
    assert len(cases) == 4
    shares = [read_label(case["label"], label_names(tmp_path)).mean() for case in cases]
    assert all(0.1 < share < 0.5 for share in shares)  # two lungs


@pytest.mark.skipif(
    not (SHARED / "liver_ct_slices").is_dir(), reason=f"no liver CT slices at {SHARED} (set SELF_CLEANSING_DATA)"
)
def test_real_liver_slices_are_split_by_patient(tmp_path, script):
    source = SHARED / "liver_ct_slices"
    for name in sorted(file.name for file in (source / "images").iterdir())[:30]:
        for folder, target in (("images", "images"), ("masks", "labels")):
            (tmp_path / target).mkdir(exist_ok=True)
            shutil.copy(source / folder / name, tmp_path / target / name)
    make(script, tmp_path, label_names=["liver"], patient_regex="([^_]+)_", modality="CT")
    cases = find_cases(tmp_path)
    split = split_cases(cases)
    assert len(cases) == 30 and len({case["patient"] for case in cases}) < 30
    parts = [{case["patient"] for case in split[part]} for part in ("train", "validation", "test")]
    assert all(parts) and sum(map(len, parts)) == len(set().union(*parts))
    assert all(read_label(case["label"], ["liver"]).any() for case in cases)
