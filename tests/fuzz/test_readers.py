# SPDX-License-Identifier: Apache-2.0
"""A damaged file is read, or refused in one sentence; nothing else happens."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom.generated import write_series
from fuzz.strategies import damaged
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bundle.self_cleansing.data import check_image, find_cases, label_names, read_file, read_label, split_cases
from bundle.self_cleansing.dicom import find_series
from bundle.self_cleansing.dicom.headers import read_header
from bundle.self_cleansing.dicom.reader import series_values

# Pillow's file is left to the garbage collector by MONAI where a picture ends too early.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")

NAMES = {1: "ring", 2: "core"}
VALUES = np.arange(6 * 5 * 2).reshape(6, 5, 2) % 3


def encoded(kind: str) -> bytes:
    """A small valid file."""
    if kind == ".png":
        stored = io.BytesIO()
        Image.fromarray(VALUES[..., 0].astype(np.uint8)).save(stored, "PNG")
        return stored.getvalue()
    return nib.Nifti1Image(VALUES.astype(np.uint8 if kind == "label" else np.float32), np.eye(4)).to_bytes()


def series() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        write_series(Path(folder), slices=1)
        return (Path(folder) / "slice0").read_bytes()


IMAGE, LABEL, PICTURE, SLICE = encoded("image"), encoded("label"), encoded(".png"), series()
DESCRIPTION = json.dumps(
    {"labels": {"0": "background", "1": "ring"}, "training": [{"image": "./a.nii", "label": "./b.nii", "patient": "p"}]}
).encode()
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.sampled_from(["train", "test", "a"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["train", "test", "parts", "a"]), inner)
    ),
    max_leaves=6,
)


def result_of(name: str, content: bytes, read: Callable[[Path], object]) -> object:
    """What a reader makes of a file, None if it refuses it in one sentence."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            return read(path)
        except (ValueError, FileNotFoundError) as refusal:
            sentence = str(refusal)
            assert len(sentence) > 20 and "\n" not in sentence.strip() and not sentence.startswith("["), sentence
            # A library's own error would name neither. A path that holds the patient's name is given by its place.
            assert name in sentence or folder in sentence or "[entry 1]" in sentence, sentence
            return None


def checked_image(path: Path) -> np.ndarray:
    image = read_file(path).numpy()
    check_image(image, path)
    return image


@given(damaged(IMAGE))
def test_a_damaged_volume(content):
    image = result_of("image.nii", content, checked_image)
    assert image is None or (np.isfinite(image).all() and image.dtype == np.float32)


@given(damaged(LABEL))
def test_a_damaged_label(content):
    label = result_of("label.nii", content, lambda path: read_label(path, NAMES))
    assert label is None or (label.dtype == np.uint8 and label.shape[0] == 2 and label.ndim == 4 and label.max() <= 1)


@given(damaged(PICTURE))
def test_a_damaged_picture(content):
    image = result_of("image.png", content, checked_image)
    assert image is None or np.isfinite(image).all()


@given(damaged(DESCRIPTION))
def test_a_damaged_description(content):
    def read(path: Path) -> tuple[list[dict], dict[int, str]]:
        for name in ("a.nii", "b.nii"):
            (path.parent / name).touch()
        return find_cases(path.parent), label_names(path.parent)

    found = result_of("dataset.json", content, read)
    assert found is None or (len(found[0]) == 1 and all(isinstance(name, str) for name in found[1].values()))


@given(ANYTHING)
def test_a_split_file_of_anything(content):
    cases = [{"case": name, "patient": name} for name in "abc"]
    parts = result_of("split.json", json.dumps(content).encode(), lambda path: split_cases(cases, path))
    assert parts is None or sorted(case["case"] for part in parts.values() for case in part) == ["a", "b", "c"]


@given(damaged(SLICE))
def test_a_damaged_slice(content):
    def read(path: Path) -> np.ndarray:
        read_header(path)  # never raises
        return series_values(find_series(path.parent)[0])

    image = result_of("slice0", content, read)
    assert image is None or image.ndim == 3
