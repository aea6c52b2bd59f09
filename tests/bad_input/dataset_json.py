# SPDX-License-Identifier: Apache-2.0
"""dataset.json, split.json, noise_manifest.csv and ACDC's layout."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bad_input.nifti import TRAIN, outside
from bad_input.pictures import NOISE
from bad_input.row import Row, nothing

DATA, SPLIT = "data/dataset.json", "data/split.json"
ACDC = TRAIN.replace(" --class_names ['ring','core']", "")


def text(name: str, content: str | bytes) -> Callable[[Path], object]:
    """Write a file."""
    return lambda world: (world / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def edit(name: str, change: Callable[[Any], object]) -> Callable[[Path], object]:
    """Change the content of a JSON file."""

    def spoil(world: Path) -> None:
        content = json.loads((world / name).read_text())
        change(content)
        (world / name).write_text(json.dumps(content))

    return spoil


def entry(**values: object) -> Callable[[Path], object]:
    """Change the first case of dataset.json."""
    return edit(DATA, lambda content: content["training"][0].update(values))


def setting(name: str, key: str, value: object) -> Callable[[Path], object]:
    """Set one key of a JSON file."""
    return edit(name, lambda content: content.__setitem__(key, value))


MANIFEST = "data/noise_manifest.csv"
GOOD_MANIFEST = "case,slice,class,kind,radius_px,dice\n" + "".join(
    f"{case},{number},{name},none,0,1.0\n" for case in "abcd" for number in (0, 1) for name in ("ring", "core")
)


def manifest(content: str) -> Callable[[Path], object]:
    """Make the data a noisy copy with this manifest."""

    def spoil(world: Path) -> None:
        shutil.copytree(world / "data/labels", world / "data/clean_labels/labels")
        (world / MANIFEST).write_text(content)

    return spoil


def damaged_row(old: str, new: str) -> Callable[[Path], object]:
    """The same with one row changed."""
    assert old in GOOD_MANIFEST
    return manifest(GOOD_MANIFEST.replace(old, new))


def acdc(name: str, spoil: Callable[[Path], object], sentence: str) -> Row:
    return Row(f"ACDC: {name}", spoil, ACDC, sentence, "acdc")


def no_json(reason: str, remedy: str = "correct that line", name: str = DATA) -> str:
    return f"error: {{w}}/{name} is not valid JSON ({reason}); {remedy}"


def noisy(sentence: str) -> str:
    return f"make_noisy_labels.py: {sentence}"


PARTS = "for train, validation, test, holdout"
ENTRY = (
    "error: every entry of 'training' in {w}/data/dataset.json must be {'image': path, 'label': path} "
    "with one file each"
)
LIST = 'error: {w}/data/dataset.json must have a list "training" of {"image": ..., "label": ...}, got'
WRITES = "scripts/make_dataset_json.py writes one"
DECLARE = '{w}/data/dataset.json must declare "labels" like {"0": "background", "1": "liver"}, got'
VALUE = '"labels" of {w}/data/dataset.json: a label value must be a whole number >= 0, got'
NO_ROW = "it belongs to another data set or split: make the noisy copy again, or pass --noise_manifest none"
DAMAGED = "error: {w}/data/noise_manifest.csv is damaged (~); make the noisy copy again, or pass --noise_manifest none"
NO_DATA = "`python scripts/make_phantom.py --output_dir {w}/data` or pass --dataset_dir with your own data"
DRAW = "delete the file to draw a new split"
FIRST, FIRST_FRAME = "data/images/a.nii.gz", "data/patient001/patient001_frame01.nii.gz"
ROWS = [
    Row(
        "no dataset.json",
        lambda w: (w / DATA).unlink(),
        TRAIN,
        "error: {w}/data holds no labelled case: neither dataset.json nor patientNNN/patientNNN_frameMM.nii.gz with "
        "_gt.nii.gz; for other files write a dataset.json with scripts/make_dataset_json.py",
    ),
    Row("dataset.json cut short", text(DATA, '{"training": [{"image": "a'), TRAIN, no_json("line 1: ~")),
    Row("dataset.json of no bytes", text(DATA, ""), TRAIN, no_json("line 1: ~")),
    Row(
        "dataset.json of a list",
        text(DATA, "[]"),
        TRAIN,
        f"error: {{w}}/{DATA} must hold a JSON object {{...}}, got a list",
    ),
    Row(
        "dataset.json in Latin-1",
        text(DATA, b'{"name": "\xe9"}'),
        TRAIN,
        no_json("byte 10 is not UTF-8", "save it as UTF-8"),
    ),
    Row(
        "dataset.json in UTF-16",
        text(DATA, '{"training": []}'.encode("utf-16")),
        TRAIN,
        no_json("byte 0 is not UTF-8", "save it as UTF-8"),
    ),
    Row("dataset.json of 200,000 brackets", text(DATA, "[" * 200_000), TRAIN, no_json("~", "restore the file")),
    Row(
        "dataset.json with 5000 digits",
        text(DATA, '{"training": ' + "9" * 5000 + "}"),
        TRAIN,
        no_json("~", "restore the file"),
    ),
    Row("no training", edit(DATA, lambda c: c.pop("training")), TRAIN, f"{LIST} None; {WRITES}"),
    Row("training of one case", setting(DATA, "training", {"image": "x"}), TRAIN, f"{LIST} {{'image': 'x'}}; {WRITES}"),
    Row(
        "training of nobody",
        setting(DATA, "training", []),
        TRAIN,
        f"error: {{w}}/{DATA} lists no image with a label; {WRITES} from a folder of images and labels",
    ),
    Row("training of names", setting(DATA, "training", ["a.nii.gz"]), TRAIN, f"{ENTRY}, got 'a.nii.gz'"),
    Row(
        "validation of a number",
        setting(DATA, "validation", 5),
        TRAIN,
        f"error: 'validation' of {{w}}/{DATA} must be a list of cases, got 5",
    ),
    Row(
        "test of a text",
        setting(DATA, "test", "abc"),
        TRAIN,
        f"error: 'test' of {{w}}/{DATA} must be a list of cases, got 'abc'",
    ),
    Row(
        "case without a label",
        edit(DATA, lambda c: c["training"][0].pop("label")),
        TRAIN,
        f"{ENTRY}, got {{'image': './images/a.nii.gz'}}",
    ),
    Row("case of two images", entry(image=["a", "b"]), TRAIN, f"{ENTRY}, got {{'image': ['a', 'b'], ~"),
    Row(
        "image of no name",
        entry(image=""),
        TRAIN,
        f"error: image '' in {{w}}/{DATA} names no file; give its path relative to {{w}}/data",
    ),
    Row(
        "label that is the data folder",
        entry(label="."),
        TRAIN,
        f"error: label '.' in {{w}}/{DATA} names no file; give its path relative to {{w}}/data",
    ),
    Row(
        "label by an absolute path",
        entry(label="/etc/hostname"),
        TRAIN,
        f"error: label /etc/hostname in {{w}}/{DATA} lies outside {{w}}/data; move the file into that folder "
        f"(or link it "
        "there) and name it relative to the folder",
    ),
    Row(
        "label above the folder",
        entry(label="../../label.nii.gz"),
        TRAIN,
        f"error: label ../../label.nii.gz in {{w}}/{DATA} lies outside {{w}}/data; move the file into that "
        f"folder (or link "
        "it there) and name it relative to the folder",
    ),
    Row(
        "label of 5000 letters",
        entry(label="x" * 5000),
        TRAIN,
        f"error: label {{w}}/data/xxx~, named in {{w}}/{DATA}, is missing; restore it or remove it",
    ),
    Row(
        "label that is not there",
        entry(label="./labels/z.nii.gz"),
        TRAIN,
        f"error: label {{w}}/data/labels/z.nii.gz, named in {{w}}/{DATA}, is missing; restore it or remove it",
    ),
    Row(
        "case listed twice",
        edit(DATA, lambda c: c["training"].append(c["training"][0])),
        TRAIN,
        f"error: {{w}}/{DATA} has case a twice, {{w}}/{FIRST} and {{w}}/{FIRST}; give the entries different "
        f'"case" names',
    ),
    Row(
        "case called by a list",
        entry(case=["a"]),
        TRAIN,
        f"error: case in {{w}}/{DATA} must be a name, got ['a']; give it as text",
    ),
    Row(
        "patient in two parts",
        edit(DATA, lambda c: c.update(test=[c["training"].pop() | {"patient": "a"}])),
        TRAIN,
        "error: patient a is in two parts of the data set, train and test; all cases of a patient must be in one",
    ),
    Row("image for a label", entry(label="./images/a.nii.gz"), TRAIN, outside(FIRST, "the values ~, ...")),
    Row("no labels declared", edit(DATA, lambda c: c.pop("labels")), NOISE, noisy(f"{DECLARE} None")),
    Row("labels of a list", setting(DATA, "labels", ["ring"]), NOISE, noisy(f"{DECLARE} ['ring']")),
    Row(
        "labels of background alone",
        setting(DATA, "labels", {"0": "background"}),
        NOISE,
        noisy(
            f'"labels" of {{w}}/{DATA}: no foreground class is declared; declare at least one, for example '
            '{"1": "liver"}'
        ),
    ),
    Row("labels below zero", setting(DATA, "labels", {"-1": "ring"}), NOISE, noisy(f"{VALUE} '-1' for class 'ring'")),
    Row(
        "labels of fractions", setting(DATA, "labels", {"1.5": "ring"}), NOISE, noisy(f"{VALUE} '1.5' for class 'ring'")
    ),
    Row(
        "labels of regions",
        setting(DATA, "labels", {"background": 0, "whole": [1, 2]}),
        NOISE,
        noisy(f"{VALUE} '[1, 2]' for class 'whole'"),
    ),
    Row(
        "one value for two classes",
        setting(DATA, "labels", {"ring": 1, "core": 1}),
        NOISE,
        noisy(f'{{w}}/{DATA} gives two classes under "labels" the same value; give each its own'),
    ),
    Row(
        "one value for two classes, written in two ways",
        setting(DATA, "labels", {"1": "ring", "01": "core"}),
        NOISE,
        noisy(f'"labels" of {{w}}/{DATA}: label value 1 is declared twice, as ring and core; keep one'),
    ),
    Row(
        "one name for two classes",
        setting(DATA, "labels", {"1": "ring", "2": "ring"}),
        NOISE,
        noisy(f'"labels" of {{w}}/{DATA}: two classes are called ring; give each its own name'),
    ),
    Row(
        "a class without a name",
        setting(DATA, "labels", {"1": "ring", "2": None}),
        NOISE,
        noisy(f'"labels" of {{w}}/{DATA}: the name of a class must be text, got None'),
    ),
    Row(
        "more classes than the training",
        setting(DATA, "labels", {"1": "ring", "2": "core", "3": "more"}),
        TRAIN,
        "error: {w}/data declares the classes ring, core, more, the training ring, core; pass --class_names "
        "\"['ring', 'core', 'more']\", or the config of these data",
    ),
    Row(
        "classes in another order",
        setting(DATA, "labels", {"1": "core", "2": "ring"}),
        TRAIN,
        "error: {w}/data declares the classes core, ring, the training ring, core; pass --class_names "
        "\"['core', 'ring']\", or the config of these data",
    ),
    Row(
        "label values with a gap",
        setting(DATA, "labels", {"1": "ring", "4": "core"}),
        TRAIN,
        "error: {w}/data declares the label values 1, 4 for ring, core; a training needs 1, 2, ... without a gap: "
        "number the classes again, in dataset.json and in the label files",
    ),
    Row(
        "another organ",
        setting(DATA, "labels", {"1": "ring", "2": "spleen"}),
        TRAIN,
        "error: {w}/data declares the classes ring, spleen, the training ring, core; pass --class_names "
        "\"['ring', 'spleen']\", or the config of these data",
    ),
    Row(
        "classes forgotten",
        nothing,
        ACDC,
        "error: {w}/data declares the classes ring, core, the training RV, Myo, LV; pass --class_names "
        "\"['ring', 'core']\", or the config of these data",
    ),
    Row(
        "label of two cases",
        entry(label="./labels/b.nii.gz"),
        NOISE,
        noisy("two cases have the label labels/b.nii.gz, b is one; give each its own file"),
    ),
    Row("split cut short", text(SPLIT, '{"parts"'), TRAIN, no_json("line 1: ~", name=SPLIT)),
    Row(
        "split of a list",
        text(SPLIT, "[1]"),
        TRAIN,
        f"error: {{w}}/{SPLIT} must hold a JSON object {{...}}, got a list",
    ),
    Row(
        "split without parts",
        text(SPLIT, "{}"),
        TRAIN,
        f'error: {{w}}/{SPLIT} must have "parts" with lists of patients {PARTS}',
    ),
    Row(
        "split with a part of its own",
        edit(SPLIT, lambda c: c["parts"].update(extra=["a"])),
        TRAIN,
        f'error: {{w}}/{SPLIT} must have "parts" with lists of patients {PARTS}',
    ),
    Row(
        "split with a name for a list",
        edit(SPLIT, lambda c: c["parts"].update(train="a")),
        TRAIN,
        f"error: part train of {{w}}/{SPLIT} must be a list of patients, got 'a'",
    ),
    Row(
        "split with a patient in two parts",
        edit(SPLIT, lambda c: c["parts"]["test"].append("a")),
        TRAIN,
        f"error: patient a is in two parts of {{w}}/{SPLIT}, train and test; keep one",
    ),
    Row(
        "split without a patient",
        edit(SPLIT, lambda c: c["parts"].update(test=[])),
        TRAIN,
        f"error: patient d is in no part of {{w}}/{SPLIT} (1 such patients); add them, or {DRAW}",
    ),
    Row(
        "split of other data",
        edit(SPLIT, lambda c: c.update(parts={"train": ["z"]})),
        TRAIN,
        f"error: {{w}}/{SPLIT} names none of the data's patients (the first is a); it belongs to other data: "
        f"name another "
        "split file, or delete this one to draw a new split",
    ),
    Row(
        "split with nobody to train on",
        edit(SPLIT, lambda c: c.update(parts={"validation": list("abc"), "test": ["d"]})),
        TRAIN,
        "error: the data list has no case; check --dataset_dir and the split file",
    ),
    Row(
        "split with nobody to validate on",
        edit(SPLIT, lambda c: c.update(parts={"train": list("abc"), "test": ["d"]})),
        TRAIN,
        "error: the data list has no case; check --dataset_dir and the split file",
    ),
    Row(
        "split against dataset.json",
        edit(DATA, lambda c: c.update(test=[c["training"].pop(0)])),
        TRAIN,
        f"error: patient a is in two parts, test by dataset.json and train by {{w}}/{SPLIT}; make the two agree",
    ),
    Row(
        "split that is a folder",
        lambda w: [(w / SPLIT).unlink(), (w / SPLIT).mkdir()],
        TRAIN,
        f"error: {{w}}/{SPLIT} does not exist; check the path",
    ),
    Row(
        "split that is not there",
        nothing,
        NOISE + " --split_file {w}/nowhere.json",
        noisy("split_file {w}/nowhere.json does not exist; leave it out for the standard split"),
    ),
    Row(
        "two patients to divide",
        lambda w: [(w / SPLIT).unlink(), edit(DATA, lambda c: c.update(training=c["training"][:2]))(w)],
        TRAIN,
        "error: 2 patients (a, b) cannot fill train, validation, test; give a split file, or more patients",
    ),
    Row(
        "manifest of no bytes",
        manifest(""),
        TRAIN,
        f"error: {{w}}/{MANIFEST} has no row for sample 'a/0', class 'ring'; {NO_ROW}",
    ),
    Row("manifest without its columns", manifest("case,slice\na,0\n"), TRAIN, DAMAGED),
    Row(
        "manifest without a row",
        damaged_row("a,1,core,none,0,1.0\n", ""),
        TRAIN,
        f"error: {{w}}/{MANIFEST} has no row for sample 'a/1', class 'core'; {NO_ROW}",
    ),
    Row("manifest of an unknown noise", damaged_row("a,1,core,none", "a,1,core,blur"), TRAIN, DAMAGED),
    Row(
        "manifest with a word for a number", damaged_row("a,1,core,none,0,1.0", "a,1,core,none,0,good"), TRAIN, DAMAGED
    ),
    Row("manifest with half a row", damaged_row("a,1,core,none,0,1.0", "a,1,core"), TRAIN, DAMAGED),
    Row(
        "manifest without clean labels",
        text(MANIFEST, GOOD_MANIFEST),
        TRAIN,
        f"error: {{w}}/{MANIFEST} is there but case 'a' has no clean label below clean_labels/; make the "
        f"noisy copy again, "
        "or pass --noise_manifest none",
    ),
    Row(
        "noise upon noise",
        manifest(GOOD_MANIFEST),
        NOISE,
        noisy("dataset_dir {w}/data is a noisy copy already (it has clean_labels); give the original"),
    ),
    Row(
        "no data folder",
        lambda w: shutil.rmtree(w / "data"),
        TRAIN,
        f"error: data folder {{w}}/data does not exist; run {NO_DATA}",
    ),
    Row(
        "file for a data folder",
        lambda w: [shutil.rmtree(w / "data"), (w / "data").write_text("")],
        TRAIN,
        f"error: data folder {{w}}/data does not exist; run {NO_DATA}",
    ),
    acdc(
        "frame without a label",
        lambda w: shutil.copy(w / FIRST_FRAME, w / FIRST_FRAME.replace("frame01", "frame02")),
        "error: label {w}/data/patient001/patient001_frame02_gt.nii.gz is missing, but other frames of patient001 have "
        "labels; restore it, or remove {w}/data/patient001/patient001_frame02.nii.gz",
    ),
    acdc(
        "frame without an image",
        lambda w: (w / FIRST_FRAME).unlink(),
        "error: label {w}/data/patient001/patient001_frame01_gt.nii.gz has no image "
        f"{{w}}/{FIRST_FRAME}; restore the image",
    ),
    acdc(
        "patient in two folders",
        lambda w: shutil.copytree(w / "data/patient001", w / "data/training/patient001"),
        f"error: case patient001_frame01 is there twice, {{w}}/{FIRST_FRAME} and "
        "{w}/data/training/patient001/patient001_frame01.nii.gz; remove one of the two",
    ),
    acdc(
        "frame packed and not",
        lambda w: (w / FIRST_FRAME.removesuffix(".gz")).write_bytes(b""),
        f"error: case patient001_frame01 is there twice, {{w}}/data/patient001/patient001_frame01.nii and "
        f"{{w}}/{FIRST_FRAME}; "
        "remove one of the two",
    ),
    acdc(
        "two patients to divide",
        nothing,
        "error: 2 patients (patient001, patient002) cannot fill train, validation, test; give a split file, or more "
        "patients",
    ),
]
