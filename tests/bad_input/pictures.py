# SPDX-License-Identifier: Apache-2.0
"""Folders of PNG and JPEG, given to training and to the programs that read data sets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from bad_input.nifti import outside, unreadable
from bad_input.row import Row, nothing
from bad_input.worlds import SETTINGS, SIZE
from PIL import Image

CONFIG = "--config_file {root}/configs/train.yaml " + SETTINGS + " --class_names ['cell']"
TRAIN = f"run training {CONFIG} --dataset_dir {{w}}/data --output_dir {{w}}/out"
NOISE = (
    "make_noisy_labels --dataset_dir {w}/data --output_dir {w}/out "
    "--recipe {root}/configs/noise/paper_alpha70_beta10.yaml"
)
DESCRIBE = "make_dataset_json --images {w}/data/images --labels {w}/data/labels --output {w}/data/new.json"
IMAGE, LABEL = "data/images/a.png", "data/labels/a.png"


def row(name: str, spoil: Callable[[Path], object], command: str, sentence: str) -> Row:
    return Row(f"picture: {name}", spoil, command, sentence, "pictures")


def picture(name: str, pixels: np.ndarray, **options: object) -> Callable[[Path], object]:
    """Save pixels in the place of a file, in the format of its extension."""
    return lambda world: Image.fromarray(pixels).save(world / name, **options)


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda world: (world / name).write_bytes(content)


def shortened(name: str, by: int) -> Callable[[Path], object]:
    return lambda world: (world / name).write_bytes((world / name).read_bytes()[:-by])


RNG = np.random.default_rng(0)
GRAY = RNG.integers(0, 255, (SIZE, SIZE), dtype=np.uint8)
COLOUR = RNG.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8)
CHANNELS = (
    "channels, this network takes 1; convert a colour picture to gray, or split a series of volumes (4-D) into one"
)
MANY = "the values 2, 3, 4, 5, 6, 7, ..."


def by(program: str, sentence: str) -> str:
    """The sentence as a program with a parser says it."""
    return sentence.replace("error", f"{program}.py", 1)


ROWS = [
    row("image cut short", shortened(IMAGE, 60), TRAIN, unreadable(IMAGE)),
    row("image of no bytes", write(IMAGE, b""), TRAIN, unreadable(IMAGE)),
    row("image that is text", write(IMAGE, b"text"), TRAIN, unreadable(IMAGE)),
    row("image in colour", picture(IMAGE, COLOUR), TRAIN, f"error: image {{w}}/{IMAGE} has 3 {CHANNELS} file each"),
    row(
        "image in colour with alpha",
        picture(IMAGE, np.dstack([COLOUR, GRAY])),
        TRAIN,
        f"error: image {{w}}/{IMAGE} has 4 {CHANNELS} file each",
    ),
    row(
        "image of one value",
        picture(IMAGE, GRAY * 0),
        TRAIN,
        f"error: image {{w}}/{IMAGE} is constant (every pixel is 0); repair the file or take it out",
    ),
    row(
        "image smaller than its label",
        picture(IMAGE, GRAY[:20]),
        TRAIN,
        f"error: image {{w}}/{IMAGE} has shape 32x20x1 but its label {{w}}/{LABEL} has shape 32x32x1; give a "
        f"label drawn "
        "on this image",
    ),
    row("label of many values", picture(LABEL, GRAY), TRAIN, outside(LABEL, MANY, "1 cell")),
    row(
        "label of 1 and 255",
        picture(LABEL, np.where(GRAY > 99, 255, GRAY > 50).astype(np.uint8)),
        TRAIN,
        outside(LABEL, "the value 255", "1 cell"),
    ),
    row(
        "label in colour",
        picture(LABEL, COLOUR),
        TRAIN,
        f"error: label {{w}}/{LABEL} has 3 channels, but 1 classes are declared (1 cell); a label must be one integer "
        "map, or one binary mask per declared class",
    ),
    row("label cut short", shortened(LABEL, 40), TRAIN, unreadable(LABEL)),
    row("label that is text, made noisy", write(LABEL, b"x"), NOISE, by("make_noisy_labels", unreadable(LABEL))),
    row(
        "label of many values, made noisy",
        picture(LABEL, GRAY),
        NOISE,
        by("make_noisy_labels", outside(LABEL, MANY, "1 cell")),
    ),
    row(
        "label without an image, described",
        lambda w: (w / LABEL).rename(w / "data/labels/x.png"),
        DESCRIBE,
        f"error: 2 of 4 images and 4 labels have no partner by name: {{w}}/{IMAGE}, {{w}}/data/labels/x.png; rename or "
        "remove them, or pass --label_suffix",
    ),
    row(
        "no label of that suffix",
        nothing,
        DESCRIBE + " --label_suffix _seg",
        "error: 4 of 4 images and 0 labels have no partner by name: {w}/data/images/a.png, {w}/data/images/b.png, "
        "{w}/data/images/c.png, {w}/data/images/d.png; rename or remove them, or pass --label_suffix",
    ),
    row("label cut short, described", shortened(LABEL, 40), DESCRIBE, unreadable(LABEL)),
    row(
        "two images of one name",
        picture("data/images/a.jpg", GRAY),
        DESCRIBE,
        "error: {w}/data/images/a.jpg and {w}/data/images/a.png differ only in their extension; keep one of them",
    ),
    row(
        "pattern that is none",
        nothing,
        DESCRIBE + " --patient_regex (",
        "error: --patient_regex '(' is not a regular expression (~)",
    ),
    row(
        "pattern that finds nobody",
        nothing,
        DESCRIBE + " --patient_regex z(.*)",
        f"error: --patient_regex 'z(.*)' finds no patient in the name a of {{w}}/{IMAGE}",
    ),
    row(
        "description that is there",
        nothing,
        DESCRIBE.replace("new", "dataset"),
        "error: {w}/data/dataset.json exists already; pass --overwrite to replace it",
    ),
    row(
        "folder that is not there",
        nothing,
        DESCRIBE.replace("data/images", "nowhere"),
        "error: folder {w}/nowhere does not exist; check --images and --labels",
    ),
    row(
        "description elsewhere",
        nothing,
        DESCRIBE.replace("data/new", "other/new"),
        f"error: {{w}}/{IMAGE} lies outside {{w}}/other, the folder of dataset.json; choose an --output_dir "
        f"that contains "
        "both images and labels",
    ),
    row(
        "images for labels",
        nothing,
        DESCRIBE.replace("/labels", "/images"),
        "error: images and labels are one folder ({w}/data/images); tell them apart with --label_suffix",
    ),
    row(
        "labels of nothing, described",
        lambda w: [picture(f"data/labels/{name}.png", GRAY * 0)(w) for name in "abcd"],
        DESCRIBE,
        "error: no classes follow from label files that hold nothing but 0; correct them, or pass --label_names",
    ),
    row(
        "one name for two classes",
        nothing,
        DESCRIBE + " --label_names cell cell",
        "error: two classes are called cell; give each its own name",
    ),
    row(
        "folder in the place of the description",
        lambda w: (w / "data/new.json").mkdir(),
        DESCRIBE,
        "error: {w}/data/new.json exists already; pass --overwrite to replace it",
    ),
]
