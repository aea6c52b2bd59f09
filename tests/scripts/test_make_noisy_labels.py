# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import yaml
from PIL import Image

from bundle.self_cleansing.data import find_cases, read_label, split_cases
from bundle.self_cleansing.data.phantom import write_patients

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "make_noisy_labels.py"
RECIPE = str(ROOT / "configs" / "noise" / "paper_alpha70_beta10.yaml")
OPTIONS = ["--beta", "5", "--seed", "4"]  # a seed with every kind of noise on labelled slices of the two patients
CLASSES = {1: "RV", 2: "Myo", 3: "LV"}


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_noisy_labels", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    """One patient in each part of the standard split: train, validation, test, holdout."""
    folder = tmp_path_factory.mktemp("data") / "phantom"
    write_patients(folder, [1, 12, 14, 17], seed=0)
    return folder


@pytest.fixture(scope="module")
def noisy(script, phantom) -> Path:
    folder = phantom.parent / "noisy"
    script.main(["--dataset_dir", str(phantom), "--output_dir", str(folder), "--recipe", RECIPE, *OPTIONS])
    return folder


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest(folder: Path) -> list[dict[str, str]]:
    with open(folder / "noise_manifest.csv", newline="") as file:
        return list(csv.DictReader(file))


def test_images_and_unnoised_labels_are_byte_identical_and_nothing_is_lost(phantom, noisy):
    before, after = files_of(phantom), files_of(noisy)
    assert set(before) <= set(after)
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {name for name in before if "_gt" in name and ("patient001" in name or "patient012" in name)}
    added = set(after) - set(before)
    assert added == {f"clean_labels/{name}" for name in changed} | {"split.json", "noise_manifest.csv", "noise.json"}
    assert all(after[f"clean_labels/{name}"] == before[name] for name in changed)


def test_noisy_labels_are_one_mask_per_class_on_the_same_grid(phantom, noisy):
    name = "training/patient001/patient001_frame01_gt.nii.gz"
    clean, label = nib.load(phantom / name), nib.load(noisy / name)
    assert label.shape == (*clean.shape, 3) and label.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(label.affine, clean.affine)
    assert label.header.get_zooms()[:3] == clean.header.get_zooms()
    assert label.header.get_xyzt_units() == clean.header.get_xyzt_units()
    assert set(np.unique(label.dataobj)) == {0, 1}


def test_the_manifest_tells_the_truth_about_every_mask(phantom, noisy):
    """Kinds and Dice recomputed from the files alone, with nibabel."""
    rows = {(row["case"], int(row["slice"]), row["class"]): row for row in manifest(noisy)}
    assert list(manifest(noisy)[0]) == ["case", "slice", "class", "kind", "radius_px", "dice"]
    seen = set()
    for case in find_cases(noisy):
        if case["patient"] not in ("patient001", "patient012"):
            assert "clean_label" not in case
            continue
        clean = np.asarray(nib.load(phantom / Path(case["label"]).relative_to(noisy)).dataobj)
        label = np.asarray(nib.load(case["label"]).dataobj)
        for k in range(clean.shape[2]):
            draws = set()
            for value, name in CLASSES.items():
                row = rows.pop((case["case"], k, name))
                reference, mask = clean[:, :, k] == value, label[:, :, k, value - 1] > 0
                total = reference.sum() + mask.sum()
                dice = 2 * (reference & mask).sum() / total if total else 1.0
                assert float(row["dice"]) == pytest.approx(dice, abs=1e-15)
                assert (float(row["dice"]) == 1) == np.array_equal(reference, mask)
                kind, radius = row["kind"], int(row["radius_px"])
                assert (2 <= radius <= 8) if kind in ("erode", "dilate") else radius == 0
                if kind == "none":
                    assert np.array_equal(reference, mask)
                elif kind == "missing":
                    assert not mask.any()
                elif kind == "erode":
                    assert not (mask & ~reference).any()
                else:
                    assert not (reference & ~mask).any()
                if total and kind != "none":
                    assert dice < 1
                draws.add((kind, radius))
            assert len(draws) == 1  # one draw for all organs of a slice
            seen |= draws
    assert not rows
    assert {kind for kind, _ in seen} == {"none", "missing", "erode", "dilate"}


def test_the_report_agrees_with_the_manifest(noisy):
    report = json.loads((noisy / "noise.json").read_text())
    rows, realised = manifest(noisy), report["realised"]
    assert report["recipe"] == {"name": "missing_or_boundary", "alpha": 0.7, "beta": 5, "per_organ": False}
    assert report["seed"] == 4 and report["parts"] == ["train", "validation"]
    assert realised["images"] == len(rows) / 3
    kinds = [row["kind"] for row in rows[::3]]
    assert realised["noisy_image_fraction"] == pytest.approx(1 - kinds.count("none") / len(kinds), abs=1e-4)
    # Pixel precision and recall, from the files.
    common = noisy_px = clean_px = 0
    for case in find_cases(noisy):
        if "clean_label" in case:
            mask, clean = (read_label(case[key], CLASSES).astype(bool) for key in ("label", "clean_label"))
            clean_px, noisy_px, common = clean_px + clean.sum(), noisy_px + mask.sum(), common + (clean & mask).sum()
    assert realised["all"]["pixel_precision"] == pytest.approx(common / noisy_px, abs=1e-4)
    assert realised["all"]["pixel_recall"] == pytest.approx(common / clean_px, abs=1e-4)
    assert realised["kinds"]["missing"]["mean_dice"] == 0 and realised["kinds"]["missing"]["pixel_precision"] is None
    assert realised["kinds"]["none"]["mean_dice"] == 1
    assert realised["kinds"]["dilate"]["pixel_recall"] == 1
    assert realised["kinds"]["erode"]["pixel_precision"] == 1


@pytest.mark.parametrize(
    ("recipe", "options", "kinds"),
    [
        ("confident_learning", ["--beta", "5"], {"erode", "dilate", "distort_edge"}),
        ("superpixel_alpha50_beta50", ["--area_fraction", "0.7"], {"erode_by_area", "dilate_by_area", "move_by_area"}),
        ("markov_jsrt_lung_over", ["--steps", "40", "--theta1", "0.6"], {"boundary_walk"}),
        ("markov_brats_under", ["--theta2", "0.1", "--theta3", "0.1"], {"boundary_walk"}),
        ("level_jsrt_clavicle", ["--low", "2", "--high", "2.5"], {"erode", "dilate"}),
        ("pymic", ["--low", "3"], {"erode_cross", "dilate_cross", "bump_edge"}),
    ],
)
def test_every_noise_model_writes_a_manifest_and_a_report_that_agree_with_the_files(
    script, tmp_path, recipe, options, kinds
):
    """One class in 24 small pictures, all noisy; figures recomputed from the files."""
    root, out = tmp_path / "pictures", tmp_path / "out"
    y, x = np.mgrid[:60, :64]
    entries = []
    for i in range(24):
        for folder, picture in (("images", x), ("labels", (y - 30) ** 2 + (x - 20 - i) ** 2 < 16**2)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture.astype(np.uint8)).save(root / f"{folder}/{i}.png")
        entries.append({"image": f"./images/{i}.png", "label": f"./labels/{i}.png"})
    (root / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "disc"}, "training": entries}))

    path = ROOT / "configs" / "noise" / f"{recipe}.yaml"
    arguments = ["--dataset_dir", str(root), "--output_dir", str(out), "--recipe", str(path), "--alpha", "1", *options]
    script.main(arguments)
    report = json.loads((out / "noise.json").read_text())
    values = yaml.safe_load(path.read_text())
    values |= {"alpha": 1} | {key[2:]: float(value) for key, value in zip(options[::2], options[1::2], strict=True)}
    assert report["recipe"] == values
    rows = {row["case"]: row for row in manifest(out)}
    assert {row["kind"] for row in rows.values()} == kinds == set(report["realised"]["kinds"])
    common = noisy_px = clean_px = 0
    for case in find_cases(out):
        if "clean_label" not in case:
            continue
        mask, clean = (read_label(case[key], ["disc"]).astype(bool) for key in ("label", "clean_label"))
        row = rows.pop(case["case"])
        assert float(row["dice"]) == pytest.approx(2 * (mask & clean).sum() / (mask.sum() + clean.sum()))
        if recipe.startswith("level"):
            assert 2 <= float(row["radius_px"]) <= 2.5
        clean_px, noisy_px, common = clean_px + clean.sum(), noisy_px + mask.sum(), common + (clean & mask).sum()
    assert not rows
    figures = report["realised"]["all"]
    assert figures["changed_label_fraction"] == 1
    assert figures["pixel_precision"] == pytest.approx(common / noisy_px, abs=1e-4)
    assert figures["pixel_recall"] == pytest.approx(common / clean_px, abs=1e-4)


def test_the_split_is_the_one_that_decided_what_is_noisy(phantom, noisy):
    split = split_cases(find_cases(noisy), noisy / "split.json")
    patients = {part: {case["patient"] for case in cases} for part, cases in split.items()}
    assert patients == {
        "train": {"patient001"}, "validation": {"patient012"}, "test": {"patient014"}, "holdout": {"patient017"}
    }  # fmt: skip


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_labels(script, phantom, noisy, tmp_path):
    common = ["--dataset_dir", str(phantom), "--recipe", RECIPE, *OPTIONS]
    script.main([*common, "--output_dir", str(tmp_path / "same")])
    script.main([*common, "--output_dir", str(tmp_path / "other"), "--seed", "5", "--link_images"])
    assert files_of(tmp_path / "same") == files_of(noisy)
    assert manifest(tmp_path / "other") != manifest(noisy)
    image = tmp_path / "other/training/patient001/patient001_frame01.nii.gz"
    assert image.is_symlink() and image.resolve() == (phantom / image.relative_to(tmp_path / "other")).resolve()


def test_a_split_file_and_parts_decide_what_is_noisy(script, phantom, tmp_path):
    parts = {"train": ["patient017"], "validation": ["patient001"], "test": ["patient012", "patient014"]}
    (tmp_path / "mine.json").write_text(json.dumps({"rule": "mine", "seed": None, "parts": parts}))
    out = tmp_path / "out"
    script.main(
        ["--dataset_dir", str(phantom), "--output_dir", str(out), "--recipe", RECIPE, "--parts", "train"]
        + ["--split_file", str(tmp_path / "mine.json"), "--per_organ"]
    )
    assert {row["case"][:10] for row in manifest(out)} == {"patient017"}
    assert json.loads((out / "split.json").read_text())["parts"] == parts
    rows = manifest(out)
    assert any(len({row["kind"] for row in rows[i : i + 3]}) > 1 for i in range(0, len(rows), 3))


def test_a_killed_run_leaves_no_output_folder(phantom, tmp_path):
    """The program, started from another folder, dies by SIGKILL at its third noisy volume."""
    code = (
        "import importlib.util, os, signal, sys;"
        f"spec = importlib.util.spec_from_file_location('make_noisy_labels', {str(SCRIPT)!r});"
        "script = importlib.util.module_from_spec(spec); sys.modules[spec.name] = script;"
        "spec.loader.exec_module(script);"
        "work, calls = script.noisy_volume, [];"
        "script.noisy_volume = lambda *a: calls.append(0) or (len(calls) > 2 and os.kill(os.getpid(), signal.SIGKILL))"
        " or work(*a);"
        "script.main(sys.argv[1:])"
    )
    arguments = ["--dataset_dir", str(phantom), "--output_dir", "out", "--recipe", RECIPE]
    result = subprocess.run([sys.executable, "-c", code, *arguments], cwd=tmp_path, capture_output=True)
    assert result.returncode == -9
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == [".out.partial"]
    assert list(tmp_path.rglob("*_gt.nii.gz"))  # it was under way


def test_an_error_half_way_leaves_nothing(script, phantom, tmp_path, capsys):
    broken = tmp_path / "broken"
    shutil.copytree(phantom, broken)
    label = broken / "training/patient012/patient012_frame01_gt.nii.gz"
    nib.save(nib.Nifti1Image(np.full((4, 4, 2), 7, np.uint8), np.eye(4)), label)
    with pytest.raises(SystemExit, match="2"):
        script.main(["--dataset_dir", str(broken), "--output_dir", str(tmp_path / "out"), "--recipe", RECIPE])
    error = capsys.readouterr().err.splitlines()[-1]
    assert str(label) in error and "7" in error
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alpha", "70"], "alpha must be in [0, 1], got 70.0; for 70 % of the images pass 0.7, not 70"),
        (["--low", "3"], "low does not belong to the recipe missing_or_boundary, got 3"),
        (["--beta", "5.5"], "beta must be a whole number at least 4, got 5.5"),
        (["--steps", "9"], "steps does not belong to the recipe missing_or_boundary, got 9"),
        (["--theta1", "half"], "argument --theta1: invalid number value: 'half'"),
        (["--recipe", "nowhere.yaml"], "recipe nowhere.yaml does not exist"),
        (["--split_file", "nowhere.json"], "split_file nowhere.json does not exist"),
        (["--dataset_dir", "NOISY"], "is a noisy copy already"),
        (["--output_dir", "NOISY"], "is not empty"),
    ],
)
def test_bad_arguments_end_in_one_sentence(script, phantom, noisy, tmp_path, capsys, arguments, message):
    before = files_of(noisy)
    base = ["--dataset_dir", str(phantom), "--output_dir", str(tmp_path / "out"), "--recipe", RECIPE]
    with pytest.raises(SystemExit, match="2"):
        script.main([*base, *(str(noisy) if argument == "NOISY" else argument for argument in arguments)])
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not list(tmp_path.iterdir()) and files_of(noisy) == before


@pytest.mark.parametrize("text", ["- 1", "name: missing_or_boundary", "name: x\nalpha: 0.5\nbta: 3", "a: b: c"])
def test_a_file_that_is_no_recipe_is_named(script, tmp_path, text):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"recipe\.yaml"):
        script.read_recipe(path)


@pytest.mark.parametrize(("axis", "options"), [(0, []), (1, []), (0, ["--in_plane", "LP"])])
def test_slices_are_those_of_the_training_whatever_the_axes_of_the_file(
    script, phantom, noisy, tmp_path, axis, options
):
    """The same volumes, stored with the slices along another axis, get the same noise, and the same manifest."""
    order = [0, 1]
    order.insert(axis, 2)
    for path in phantom.rglob("*.nii.gz"):
        stored = nib.load(path)
        affine = stored.affine[:, [*order, 3]]
        turned = tmp_path / "turned" / path.relative_to(phantom)
        turned.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(np.asarray(stored.dataobj).transpose(order), affine), turned)
    arguments = ["--dataset_dir", str(tmp_path / "turned"), "--output_dir", str(tmp_path / "out"), "--recipe", RECIPE]
    script.main([*arguments, *OPTIONS, *options])
    rows, usual = manifest(tmp_path / "out"), manifest(noisy)
    if options:  # LP turns and mirrors the slices, which moves the noise; it has as many of them
        assert [list(row.values())[:3] for row in rows] == [list(row.values())[:3] for row in usual]
        return
    assert rows == usual
    for case in find_cases(tmp_path / "out"):
        made = read_label(case["label"], CLASSES)
        expected = read_label(noisy / Path(case["label"]).relative_to(tmp_path / "out"), CLASSES)
        np.testing.assert_array_equal(np.moveaxis(made, axis + 1, -1), expected)


def test_the_clean_label_is_left_as_it_is(script, phantom):
    """It is written beside the noisy one where the file is of another format than NIfTI."""
    file = next(phantom.rglob("*_gt.nii.gz"))
    clean = read_label(file, CLASSES)
    before = clean.copy()
    names, spec = list(CLASSES.values()), script.read_recipe(Path(RECIPE), alpha=1.0)
    noisy, _ = script.noisy_label(clean, file, script.OrientSlicesd("label"), "case", names, spec, 0)
    np.testing.assert_array_equal(clean, before)
    assert (noisy != clean).any()


def test_pictures_with_dataset_json_become_masks_that_read_back(script, tmp_path):
    """PNG labels of two classes: noisy and clean copies are NIfTI, and dataset.json names them."""
    root, out = tmp_path / "pictures", tmp_path / "out"
    rng = np.random.default_rng(0)
    entries = []
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for i in range(20):
        label = np.zeros((40, 50), np.uint8)
        label[5:25, 5:30], label[18:30, 25:45] = 1, 2
        Image.fromarray(rng.integers(0, 255, (40, 50), dtype=np.uint8)).save(root / f"images/{i}.png")
        Image.fromarray(label).save(root / f"labels/{i}.png")
        entries.append({"image": f"./images/{i}.png", "label": f"./labels/{i}.png"})
    description = {"labels": {"0": "background", "1": "cup", "2": "disc"}, "training": entries, "name": "pictures"}
    (root / "dataset.json").write_text(json.dumps(description))

    recipe = str(ROOT / "configs" / "noise" / "co_seg_type1.yaml")
    script.main(["--dataset_dir", str(root), "--output_dir", str(out), "--recipe", recipe, "--alpha", "1"])
    copied = json.loads((out / "dataset.json").read_text())
    assert {key: copied[key] for key in ("labels", "name")} == {key: description[key] for key in ("labels", "name")}
    originals = {case["case"]: case for case in find_cases(root)}
    split = split_cases(find_cases(out), out / "split.json")
    for case in split["train"] + split["validation"]:
        reference = read_label(originals[case["case"]]["label"], ["cup", "disc"])
        np.testing.assert_array_equal(read_label(case["clean_label"], ["cup", "disc"]), reference)
        label = read_label(case["label"], ["cup", "disc"])
        assert label.shape == reference.shape == (2, 50, 40, 1)
        assert all((label[k] != reference[k]).any() for k in range(2))
    for case in split["test"]:
        assert "clean_label" not in case
        assert Path(case["label"]).read_bytes() == Path(originals[case["case"]]["label"]).read_bytes()
    assert len(split["train"]) > 5 and split["test"]
    assert {row["class"] for row in manifest(out)} == {"cup", "disc"}
