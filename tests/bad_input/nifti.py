# SPDX-License-Identifier: Apache-2.0
"""NIfTI images and labels, given to training, audit, evaluation, inference and the programs that read data sets."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from bad_input.row import Row
from bad_input.worlds import AFFINE, SETTINGS, volume

CONFIG = "--config_file {root}/configs/train.yaml " + SETTINGS + " --class_names ['ring','core']"
TRAIN = f"run training {CONFIG} --dataset_dir {{w}}/data --output_dir {{w}}/out"
IMAGE, LABEL = "data/images/a.nii.gz", "data/labels/a.nii.gz"
Spoil = Callable[[Path], object]


def replace(name: str, values: np.ndarray, affine: np.ndarray = AFFINE) -> Spoil:
    """Put other voxels into the place of a file."""
    return lambda world: nib.save(nib.Nifti1Image(values, affine), world / name)


def change(name: str, edit: Callable[[np.ndarray], object], dtype: type = np.float32) -> Spoil:
    """Edit the voxels of a file in place."""

    def spoil(world: Path) -> None:
        values = nib.load(world / name).get_fdata().astype(dtype)
        edit(values)
        replace(name, values)(world)

    return spoil


def put(name: str, index: tuple, value: float, dtype: type = np.float32) -> Spoil:
    """Set one voxel, or several."""
    return change(name, lambda values: values.__setitem__(index, value), dtype)


def raw(name: str, edit: Callable[[bytes], bytes], packed: bool = False) -> Spoil:
    """Edit the bytes of a file; `packed`: those of the gzip archive itself."""

    def spoil(world: Path) -> None:
        stored = (world / name).read_bytes()
        (world / name).write_bytes(edit(stored) if packed else gzip.compress(edit(gzip.decompress(stored))))

    return spoil


def header(name: str, offset: int, format: str, *values: float) -> Spoil:
    """Overwrite numbers of the header."""
    new = struct.pack(format, *values)
    return raw(name, lambda stored: stored[:offset] + new + stored[offset + len(new) :])


def folder_instead(name: str) -> Spoil:
    """Put an empty folder into the place of a file."""

    def spoil(world: Path) -> None:
        (world / name).unlink()
        (world / name).mkdir()

    return spoil


def linked(name: str, target: str) -> Spoil:
    """Put a link into the place of a file."""

    def spoil(world: Path) -> None:
        (world / name).unlink()
        (world / name).symlink_to(target)

    return spoil


def unreadable(name: str, reason: str = "~") -> str:
    """What is said of a file that no reader makes sense of."""
    return (
        f"error: {{w}}/{name} cannot be read: the file is damaged, incomplete or not in the format of its extension "
        f"({reason}); copy it again from its source or take it out of the data set"
    )


def outside(name: str, values: str, classes: str = "1 ring, 2 core") -> str:
    return (
        f"error: label {{w}}/{name} holds {values}, outside the declared classes (0 background, {classes}); "
        f"declare them "
        'under "labels" in dataset.json, or set those pixels to 0 in the file'
    )


AFFINE_ERROR = "has no usable affine (two of its axes fall together, or it is not finite); repair it"
NO_VOLUME = "is neither a picture nor a volume (shape ~); convert it, or take it out of the data set"
CHANNELS = (
    "channels, this network takes 1; convert a colour picture to gray, or split a series of volumes (4-D) into one"
)
NOT_FINITE = "holds NaN or infinite values (1 of 2048); repair the file or take it out"
GIVE = "give a label drawn on this image"
MISSING = "named in {w}/data/dataset.json, is missing; restore it or remove it"
RGB = np.zeros((32, 32, 2), [("R", "u1"), ("G", "u1"), ("B", "u1")])
IMAGE_VALUES, LABEL_VALUES = volume(0)
FIVE = np.repeat(LABEL_VALUES[..., None, None], 2, 4)


def image(name: str, spoil: Spoil, says: str) -> Row:
    """A bad image in a training."""
    return Row(
        f"image {name}", spoil, TRAIN, says if says.startswith("error: {w}") else f"error: image {{w}}/{IMAGE} {says}"
    )


def label(name: str, spoil: Spoil, says: str) -> Row:
    """A bad label in a training."""
    return Row(f"label {name}", spoil, TRAIN, says)


ROWS = [
    image("cut short", raw(IMAGE, lambda b: b[:-200], True), unreadable(IMAGE)),
    image("of no bytes", raw(IMAGE, lambda b: b"", True), unreadable(IMAGE)),
    image("that is text", raw(IMAGE, lambda b: b"not an image\n" * 50), unreadable(IMAGE)),
    image("that is no archive", raw(IMAGE, lambda b: b"not an image\n" * 50, True), unreadable(IMAGE)),
    image("with another magic number", header(IMAGE, 344, "4s", b"oops"), unreadable(IMAGE)),
    image("without its last voxels", raw(IMAGE, lambda b: b[:-900]), unreadable(IMAGE)),
    image(
        "with a wrong checksum", raw(IMAGE, lambda b: b[:-8] + bytes(8), True), unreadable(IMAGE, "CRC check failed ~")
    ),
    image("with a NaN", put(IMAGE, (3, 4, 1), np.nan), NOT_FINITE),
    image("with an infinite value", put(IMAGE, (3, 4, 1), -np.inf), NOT_FINITE),
    image(
        "of one value",
        change(IMAGE, lambda values: values.fill(7)),
        "is constant (every pixel is 7); repair the file or take it out",
    ),
    image("of no voxel", replace(IMAGE, IMAGE_VALUES[:0]), "has no pixels (shape ~); take it out of the data set"),
    image("of three volumes", replace(IMAGE, np.repeat(IMAGE_VALUES[..., None], 3, 3)), f"has 3 {CHANNELS} file each"),
    image("of five axes", replace(IMAGE, np.repeat(IMAGE_VALUES[..., None, None], 3, 4)), NO_VOLUME),
    image("of one axis", replace(IMAGE, IMAGE_VALUES[:, 0, 0]), NO_VOLUME),
    image(
        "of complex numbers",
        replace(IMAGE, IMAGE_VALUES.astype(np.complex64)),
        f"error: {{w}}/{IMAGE} holds complex numbers (complex64); convert it to one real value per voxel",
    ),
    image(
        "in colour",
        replace(IMAGE, RGB),
        f"error: {{w}}/{IMAGE} is in colour (R, G, B per voxel); convert it to one gray value per voxel",
    ),
    image("with voxels of no size", header(IMAGE, 280, "<12f", *[0.0] * 12), f"error: {{w}}/{IMAGE} {AFFINE_ERROR}"),
    image("with a NaN in its affine", header(IMAGE, 280, "<f", np.nan), f"error: {{w}}/{IMAGE} {AFFINE_ERROR}"),
    image(
        "that claims 128 TB",
        header(IMAGE, 40, "<4h", 3, 32767, 32767, 32767),
        unreadable(IMAGE, "shape 32767x32767x32767 of float32 needs more than its ~ bytes"),
    ),
    image("that claims 32 GB", header(IMAGE, 40, "<4h", 3, 2000, 2000, 2000), unreadable(IMAGE)),
    image("with a negative size", header(IMAGE, 40, "<4h", 3, -3, 4, 4), unreadable(IMAGE)),
    image("of an unknown data type", header(IMAGE, 70, "<h", 9999), unreadable(IMAGE)),
    image(
        "narrower than its label",
        replace(IMAGE, IMAGE_VALUES[:, :30]),
        f"has shape 32x30x2 but its label {{w}}/{LABEL} has shape 32x32x2; {GIVE}",
    ),
    image(
        "with fewer slices than its label",
        replace(IMAGE, IMAGE_VALUES[:, :, :1]),
        f"has shape 32x32x1 but its label {{w}}/{LABEL} has shape 32x32x2; {GIVE}",
    ),
    image(
        "on another grid than its label",
        replace(IMAGE, IMAGE_VALUES, AFFINE * 2),
        f"and its label {{w}}/{LABEL} have different affines (corners up to 66.2 apart, voxel size 3); resample the "
        "label onto the image or copy the image's header into it",
    ),
    image("that is a folder", folder_instead(IMAGE), unreadable(IMAGE)),
    Row("image linked to nothing", linked(IMAGE, "nowhere.nii.gz"), TRAIN, f"error: image {{w}}/{IMAGE}, {MISSING}"),
    Row("image linked to itself", linked(IMAGE, "a.nii.gz"), TRAIN, f"error: image {{w}}/{IMAGE}, {MISSING}"),
    Row("image missing", lambda w: (w / IMAGE).unlink(), TRAIN, f"error: image {{w}}/{IMAGE}, {MISSING}"),
    label("cut short", raw(LABEL, lambda b: b[:-20], True), unreadable(LABEL)),
    label("of no bytes", raw(LABEL, lambda b: b"", True), unreadable(LABEL)),
    label("of no voxel", header(LABEL, 42, "<h", 0), f"error: label {{w}}/{LABEL} has no pixels ~"),
    label("without axes", header(LABEL, 40, "<h", 0), f"error: label {{w}}/{LABEL} has no pixels ~"),
    label("with a negative value", put(LABEL, (3, 4, 1), -1), outside(LABEL, "the value -1")),
    label("with a fraction", put(LABEL, (3, 4, 1), 0.5), outside(LABEL, "the value 0.5")),
    label("with a NaN", put(LABEL, (3, 4, 1), np.nan), outside(LABEL, "the value nan")),
    label(
        "of 32 classes",
        change(LABEL, lambda values: values.__setitem__((slice(None), 0, 0), np.arange(32))),
        outside(LABEL, "the values 3, 4, 5, 6, 7, 8, ..."),
    ),
    label(
        "of complex numbers",
        replace(LABEL, LABEL_VALUES.astype(np.complex64)),
        f"error: {{w}}/{LABEL} holds complex numbers (complex64); convert it to one real value per voxel",
    ),
    label("of five axes", replace(LABEL, FIVE), f"error: label {{w}}/{LABEL} {NO_VOLUME}"),
    label(
        "of more masks than classes",
        replace(LABEL, np.repeat(LABEL_VALUES[..., None], 3, 3)),
        f"error: label {{w}}/{LABEL} has 3 channels, but 2 classes are declared (1 ring, 2 core); a label must be one "
        "integer map, or one binary mask per declared class",
    ),
    label(
        "of masks that hold a 2",
        replace(LABEL, np.repeat(LABEL_VALUES[..., None], 2, 3)),
        f"error: label {{w}}/{LABEL} holds the value 2 in the mask of class ring; a file with one mask per "
        f"class may hold "
        "only 0 and 1 (or 0 and 255)",
    ),
    label("missing", lambda w: (w / LABEL).unlink(), f"error: label {{w}}/{LABEL}, {MISSING}"),
    label(
        "smaller than its image",
        replace(LABEL, LABEL_VALUES[:30]),
        f"error: image {{w}}/{IMAGE} has shape 32x32x2 but its label {{w}}/{LABEL} has shape 30x32x2; {GIVE}",
    ),
    label(
        "on another grid than its image",
        replace(LABEL, LABEL_VALUES, np.diag([1.5, 1.5, 7, 1])),
        f"error: image {{w}}/{IMAGE} and its label {{w}}/{LABEL} have different affines (corners up to 1 apart, voxel "
        "size 1.5); resample the label onto the image or copy the image's header into it",
    ),
    label("with a NaN in its affine", header(LABEL, 280, "<f", np.nan), f"error: {{w}}/{LABEL} {AFFINE_ERROR}"),
    label(
        "of nothing, in every case",
        lambda w: [put(f"data/labels/{name}.nii.gz", (slice(None),), 0)(w) for name in "abcd"],
        "error: the labels of all 4 slices (a, b, ...) mark nothing at all, so there is nothing to learn; "
        "check the label "
        "files and the classes",
    ),
]
