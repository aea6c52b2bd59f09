# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.bundle import ConfigParser
from monai.transforms import Compose, Flipd
from PIL import Image

from bundle.self_cleansing.data import find_cases, read_label, split_cases, training_items
from bundle.self_cleansing.data.phantom import write_patients
from bundle.self_cleansing.filtering import Provenance
from bundle.self_cleansing.handlers.export_labels import ExportRepairedLabels
from bundle.self_cleansing.label_bank import LabelBank
from bundle.self_cleansing.report import export_repaired_labels, repaired_masks
from bundle.self_cleansing.slice_bank import SliceBank

ROOT = Path(__file__).resolve().parents[2]
RECIPE = str(ROOT / "configs" / "noise" / "paper_alpha70_beta10.yaml")
NAMES = {1: "RV", 2: "Myo", 3: "LV"}


def preprocessing_of(names=NAMES, **settings) -> Compose:
    """The preprocessing of configs/train.yaml."""
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs" / "train.yaml"))
    parser.update({"class_names": list(names.values()), **settings})
    parser.parse()
    return parser.get_parsed_content("train#preprocessing")


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


def run_on(cases: list[dict], preprocessing: Compose, names=NAMES) -> SimpleNamespace:
    """What a run has at its end, before anything is replaced; `clean` is the reference in the network's grid."""
    items = training_items(cases)
    dataset = SliceBank(items, preprocessing, progress=False)
    clean = SliceBank(cases, preprocessing, progress=False).reference_labels
    bank = LabelBank(dataset)
    return SimpleNamespace(
        items=items, dataset=dataset, bank=bank, clean=clean, preprocessing=preprocessing, names=list(names.values())
    )


def replace(run: SimpleNamespace, label: torch.Tensor, where: torch.Tensor, epoch: int = 4) -> None:
    run.bank.write(slice(None), label, where)
    run.bank.record(where.to(torch.uint8) * int(Provenance.RENEWED), epoch)


def export(run: SimpleNamespace, folder: Path, dataset_dir: Path, **options) -> dict[str, Path]:
    return export_repaired_labels(
        folder, dataset_dir, run.items, run.preprocessing, run.dataset, run.bank, run.names, **options
    )


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    """One patient of two frames in each part of the standard split."""
    folder = tmp_path_factory.mktemp("data") / "phantom"
    write_patients(folder, [1, 12, 14, 17], seed=0)
    return folder


@pytest.fixture(scope="module")
def noisy(phantom) -> Path:
    spec = importlib.util.spec_from_file_location("make_noisy_labels", ROOT / "scripts" / "make_noisy_labels.py")
    script = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = script  # dataclasses look their module up
    spec.loader.exec_module(script)
    folder = phantom.parent / "noisy"
    script.main(["--dataset_dir", str(phantom), "--output_dir", str(folder), "--recipe", RECIPE, "--beta", "5"])
    del sys.modules[spec.name]
    return folder


def train_part(dataset_dir: Path) -> dict[str, list[dict]]:
    return split_cases(find_cases(dataset_dir), dataset_dir / "split.json")


@pytest.mark.parametrize(("network_size", "least"), [(128, 1.0), (64, 0.9)])
def test_labels_that_went_through_the_network_grid_come_back_where_they_were(noisy, network_size, least):
    run = run_on(train_part(noisy)["train"], preprocessing_of(network_size=network_size))
    found, clean = [], []
    for number, (case, item) in enumerate(zip(train_part(noisy)["train"], run.items, strict=True)):
        members = run.dataset.case_index == number
        everything = torch.ones(run.clean[members].shape[:2], dtype=torch.bool)
        found.append(repaired_masks(item, run.clean[members], everything, run.preprocessing, NAMES))
        clean.append(read_label(case["clean_label"], NAMES))
        assert found[-1].shape == clean[-1].shape and found[-1].dtype == np.uint8
    for k in range(3):
        pooled = (np.concatenate([masks[k].ravel() for masks in group]).astype(bool) for group in (found, clean))
        assert dice(*pooled) >= least


def test_believed_slices_are_the_given_ones_bit_for_bit_and_the_others_are_repaired(noisy, tmp_path):
    cases = train_part(noisy)["train"]
    run = run_on(cases, preprocessing_of())
    where = torch.zeros(run.bank.provenance.shape, dtype=torch.bool)
    where[run.dataset.case_index == 0] = True
    where[::2] = False
    where[1, 2] = False  # one class of a slice that is replaced otherwise
    where[run.dataset.case_index == 1] = False
    replace(run, run.clean, where)
    written = export(run, tmp_path / "repaired", noisy, split_file=noisy / "split.json")

    given, clean = (read_label(cases[0][key], NAMES) for key in ("label", "clean_label"))
    repaired = read_label(written[cases[0]["case"]], NAMES)
    for d, row in enumerate(where[run.dataset.case_index == 0]):
        for k in range(3):
            np.testing.assert_array_equal(repaired[k, :, :, d], (clean if row[k] else given)[k, :, :, d])
    assert (repaired != given).any()
    before, after = nib.load(cases[0]["label"]), nib.load(written[cases[0]["case"]])
    np.testing.assert_array_equal(before.affine, after.affine)
    assert before.header.get_zooms() == after.header.get_zooms() and before.shape == after.shape
    assert after.get_data_dtype() == np.uint8
    relative = Path(cases[1]["label"]).relative_to(noisy)
    assert (tmp_path / "repaired" / relative).read_bytes() == Path(cases[1]["label"]).read_bytes()
    assert (tmp_path / "repaired" / "split.json").read_bytes() == (noisy / "split.json").read_bytes()
    assert not list((tmp_path / "repaired").rglob(".partial*"))


def test_the_rows_of_provenance_are_those_of_the_bank(noisy, tmp_path):
    run = run_on(train_part(noisy)["train"], preprocessing_of())
    generator = torch.Generator().manual_seed(0)
    bank = run.bank
    bank.record(torch.randint(0, 4, bank.provenance.shape, generator=generator, dtype=torch.uint8), epoch=6)
    bank.takes_part.copy_(bank.provenance != Provenance.REJECTED)
    for key in ("manual_loss", "pseudo_loss", "clean_posterior"):
        getattr(bank, key).copy_(torch.rand(bank.provenance.shape, generator=generator))
    written = export(run, tmp_path, noisy)
    with open(tmp_path / "provenance.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    words = ["manual", "kept", "renewed", "left out"]
    expected = [(sample, k) for sample in range(len(run.dataset)) for k in range(3)]
    assert len(rows) == len(expected)
    for row, at in zip(rows, expected, strict=True):
        assert row["sample"] == f"{row['case']}/{row['slice']}" == run.dataset.sample_ids[at[0]]
        assert row["class"] == NAMES[at[1] + 1]
        assert row["verdict"] == words[bank.provenance[at]]
        assert int(row["takes_part"]) == bank.takes_part[at] and int(row["changed_epoch"]) == bank.changed_epoch[at]
        for key in ("manual_loss", "pseudo_loss", "clean_posterior"):
            assert float(row[key]) == pytest.approx(getattr(bank, key)[at].item(), rel=1e-5)
    # no y' was ever written: every label is the given one, whatever its verdict
    assert all(
        Path(item["label"]).read_bytes() == written[case].read_bytes()
        for item, case in zip(run.items, run.dataset.cases, strict=True)
    )


def test_an_integer_map_stays_one_unless_repaired_classes_overlap(phantom, tmp_path):
    run = run_on(train_part(phantom)["train"], preprocessing_of())
    where = torch.zeros(run.bank.provenance.shape, dtype=torch.bool)
    middle = len(run.dataset) // 4
    where[middle] = True
    label = run.clean.clone()
    label[middle] = 0
    label[middle, 1, 40:60, 40:60] = 1
    replace(run, label, where)
    case, item = run.dataset.cases[0], run.items[0]
    path = export(run, tmp_path / "map", phantom)[case]
    given, after = nib.load(item["label"]), nib.load(path)
    assert after.shape == given.shape and after.get_data_dtype() == given.get_data_dtype()
    assert np.unique(np.asarray(after.dataobj)[..., middle]).tolist() == [0, 2]
    others = np.arange(given.shape[-1]) != middle
    np.testing.assert_array_equal(np.asarray(after.dataobj)[..., others], np.asarray(given.dataobj)[..., others])

    label[middle, 0, 50:70, 50:70] = 1
    replace(run, label, where)
    path = export(run, tmp_path / "masks", phantom)[case]
    assert nib.load(path).shape == (*given.shape, 3)
    masks = read_label(path, NAMES)
    assert masks[:2, :, :, middle].sum(axis=(1, 2)).tolist() == [400, 400]
    assert (masks.sum(axis=0) == 2).sum() == 100
    np.testing.assert_array_equal(masks[..., others], read_label(item["label"], NAMES)[..., others])


def test_pixels_outside_the_patch_are_dropped_from_a_replaced_label_only(phantom, tmp_path):
    run = run_on(train_part(phantom)["train"], preprocessing_of(patch_size=32, network_size=32))
    where = torch.zeros(run.bank.provenance.shape, dtype=torch.bool)
    where[3] = True
    replace(run, run.dataset.labels, where)  # y' is what the network sees of the given label
    path = export(run, tmp_path, phantom)[run.dataset.cases[0]]
    given, after = read_label(run.items[0]["label"], NAMES), read_label(path, NAMES)
    inside = run.dataset.labels[3].sum().item()
    assert after[..., 3].sum() == inside < given[..., 3].sum()
    np.testing.assert_array_equal(np.delete(after, 3, axis=-1), np.delete(given, 3, axis=-1))


def test_a_slice_that_the_preprocessing_moved_is_found_again(phantom):
    steps = preprocessing_of().transforms
    turned = Compose([*steps[:3], Flipd(["image", "label"], spatial_axis=[0, 2]), *steps[3:]])
    case = train_part(phantom)["train"][0]
    bank = SliceBank([case], turned, progress=False)
    where = torch.zeros(bank.labels.shape[:2], dtype=torch.bool)
    where[0] = True  # the last slice of the file
    made = repaired_masks(case, torch.zeros_like(bank.labels), where, turned, NAMES)
    given = read_label(case["label"], NAMES)
    where[:] = True
    np.testing.assert_array_equal(repaired_masks(case, bank.labels, where, turned, NAMES), given)
    np.testing.assert_array_equal(made[..., :-1], given[..., :-1])
    assert not made[..., -1].any()


@pytest.mark.parametrize("axis", [0, 1])
def test_slices_along_another_axis_of_the_file_are_found_again(phantom, tmp_path, axis):
    """The same case, stored with its slices along the first or second axis, gets the same masks."""
    usual = train_part(phantom)["train"][0]
    case = dict(usual)
    for key in ("image", "label"):
        stored = nib.load(usual[key])
        order = [0, 1]
        order.insert(axis, 2)
        affine = stored.affine[:, [*order, 3]]
        case[key] = str(tmp_path / f"{key}.nii.gz")
        nib.save(nib.Nifti1Image(np.asarray(stored.dataobj).transpose(order), affine), case[key])
    steps = preprocessing_of()
    banks = [SliceBank([one], steps, progress=False) for one in (usual, case)]
    torch.testing.assert_close(banks[0].labels, banks[1].labels)
    where = torch.zeros(banks[0].labels.shape[:2], dtype=torch.bool)
    where[1], where[3, 0] = True, True  # one slice, and one class of another
    blank = torch.zeros_like(banks[0].labels)
    expected, made = (repaired_masks(one, blank, where, steps, NAMES) for one in (usual, case))
    np.testing.assert_array_equal(np.moveaxis(made, axis + 1, -1), expected)
    assert (expected != read_label(usual["label"], NAMES)).any()


def test_the_folder_with_linked_images_can_be_trained_on(noisy, tmp_path):
    split = train_part(noisy)
    run = run_on(split["train"], preprocessing_of())
    replace(run, run.clean, torch.ones(run.bank.provenance.shape, dtype=torch.bool))
    others = [case for part in ("validation", "test", "holdout") for case in split[part]]
    handler = ExportRepairedLabels(
        *(tmp_path, noisy, run.items, run.preprocessing, run.dataset, run.bank, run.names),
        split_file=noisy / "split.json",
        others=others,
        link_images=True,
    )
    engine = Engine(lambda engine, batch: None)
    handler.attach(engine)
    for _ in range(2):  # the second time over the files of the first
        engine.run([0], max_epochs=1)
    new = train_part(tmp_path / "repaired_labels")
    assert {part: [case["case"] for case in cases] for part, cases in new.items()} == {
        part: [case["case"] for case in cases] for part, cases in split.items()
    }
    again = SliceBank(new["train"], run.preprocessing, progress=False)
    assert again.sample_ids == run.dataset.sample_ids
    assert (again.labels.sum() - run.clean.sum()).abs() < 0.01 * run.clean.sum()  # the patch follows the labels


@pytest.fixture
def pictures(tmp_path) -> Path:
    """An MSD-style set of one class: a 2-D NIfTI pair, a PNG pair, a PNG with a JPEG mask."""
    root, rng = tmp_path / "own", np.random.default_rng(0)
    image = rng.integers(0, 255, (48, 40), dtype=np.uint8)
    label = np.zeros((48, 40), np.uint8)
    label[10:30, 12:20] = 1
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    nib.save(nib.Nifti1Image(image, np.diag([2.0, 3, 1, 1])), root / "images" / "a.nii.gz")
    nib.save(nib.Nifti1Image(label, np.diag([2.0, 3, 1, 1])), root / "labels" / "a.nii.gz")
    Image.fromarray(image).save(root / "images" / "b.png")
    Image.fromarray(label * 255).save(root / "labels" / "b.png")
    Image.fromarray(image[::-1]).save(root / "images" / "c.png")
    Image.fromarray(np.kron(label[::2, ::2] * 255, np.ones((2, 2), np.uint8))).save(root / "labels" / "c.jpg")
    pairs = {"a.nii.gz": "a.nii.gz", "b.png": "b.png", "c.png": "c.jpg"}
    entries = [{"image": f"./images/{image}", "label": f"./labels/{label}"} for image, label in pairs.items()]
    description = {"labels": {"0": "background", "1": "lesion"}, "training": entries, "test": ["./images/d.png"]}
    (root / "dataset.json").write_text(json.dumps(description))
    return root


def test_two_dimensional_data_with_dataset_json_come_back_in_their_layout(pictures, tmp_path):
    names = {1: "lesion"}
    run = run_on(find_cases(pictures), preprocessing_of(names, patch_size=32, network_size=32), names)
    where = torch.ones(run.bank.provenance.shape, dtype=torch.bool)
    label = run.dataset.labels.clone()
    label[:, :, ::2] = 0  # every second row
    replace(run, label, where)
    export(run, tmp_path / "repaired", pictures, link_images=True)
    description = json.loads((tmp_path / "repaired" / "dataset.json").read_text())
    labels = ["./labels/a.nii.gz", "./labels/b.png", "./labels/c.png"]
    assert [entry["label"] for entry in description["training"]] == labels
    assert sorted(file.name for file in (tmp_path / "repaired" / "labels").iterdir()) == ["a.nii.gz", "b.png", "c.png"]
    assert description["test"] == [] and description["labels"] == {"0": "background", "1": "lesion"}
    assert nib.load(tmp_path / "repaired" / "labels" / "a.nii.gz").shape == (48, 40)
    new = find_cases(tmp_path / "repaired")
    for old, found in zip(run.items, new, strict=True):
        before, after = (read_label(case["label"], names) for case in (old, found))
        assert before.shape == after.shape and 2 * after.sum() == before.sum() and (after <= before).all()
    for name in ("b.png", "c.png"):
        with Image.open(tmp_path / "repaired" / "labels" / name) as picture:
            assert picture.mode == "L" and np.unique(np.asarray(picture)).tolist() == [0, 255]
    SliceBank(new, run.preprocessing, progress=False)  # image and label still have one grid


def test_a_renamed_label_does_not_take_the_place_of_its_image(pictures, tmp_path):
    """Image c.png and label c.jpg in one folder: the new label cannot be called c.png."""
    description = json.loads((pictures / "dataset.json").read_text())
    (pictures / "images" / "c.png").rename(pictures / "labels" / "c.png")
    description["training"][2]["image"] = "./labels/c.png"
    (pictures / "dataset.json").write_text(json.dumps(description))
    names = {1: "lesion"}
    run = run_on(find_cases(pictures), preprocessing_of(names, patch_size=32, network_size=32), names)
    replace(run, run.dataset.labels * 0, torch.ones(run.bank.provenance.shape, dtype=torch.bool))
    written = export(run, tmp_path / "repaired", pictures, link_images=True)
    assert written["c"] == tmp_path / "repaired" / "labels" / "c_label.png"
    assert (tmp_path / "repaired" / "labels" / "c.png").resolve() == (pictures / "labels" / "c.png").resolve()
    (case,) = (case for case in find_cases(tmp_path / "repaired") if case["case"] == "c")
    assert not read_label(case["label"], names).any()


def test_data_of_another_run_are_refused(phantom, tmp_path):
    run = run_on(train_part(phantom)["train"], preprocessing_of())
    run.items = run.items[::-1]
    with pytest.raises(ValueError, match="data and dataset must list the same cases in the same order"):
        export(run, tmp_path, phantom)
    with pytest.raises(ValueError, match=r"must name the 3 classes of the label bank, got \['RV'\]"):
        ExportRepairedLabels(tmp_path, phantom, run.items, run.preprocessing, run.dataset, run.bank, ["RV"])
