# SPDX-License-Identifier: Apache-2.0
"""A data set described by dataset.json in the style of the Medical Segmentation Decathlon: how people bring their own.

    {"labels": {"0": "background", "1": "liver"}, "modality": {"0": "CT"},
     "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz", "patient": "optional"}],
     "validation": [...], "test": [...]}

Beyond the Decathlon: the keys "patient" and "case" of an entry (default: the image's file name without extension, for
both), and labelled entries under "validation" and "test", which then ARE those parts. Entries of "test" without a
label are ignored.
"""

from __future__ import annotations

import os
from pathlib import Path

from .json_file import read_json
from .labels import class_names

DATASET_JSON = "dataset.json"
PREDEFINED_PARTS = {"training": None, "validation": "validation", "test": "test"}


def case_name(path: str | os.PathLike) -> str:
    """File name without folder and extension; ".nii.gz" and other compressed NIfTI count as one extension."""
    name = os.path.basename(os.fspath(path).rstrip("/"))
    return name[: -len(".nii.gz")] if name.lower().endswith(".nii.gz") else os.path.splitext(name)[0]


def msd_cases(dataset_dir: str | os.PathLike) -> list[dict]:
    """List the labelled entries of <dataset_dir>/dataset.json.

    Args:
        dataset_dir: the folder that holds dataset.json and every file it names.

    Returns:
        One dict per entry: case, patient, image, label (absolute paths), and part ("validation" or "test") for an entry
        listed there; in the file's order. Empty if no entry has a label.

    Raises:
        ValueError: if dataset.json is malformed, names a file outside its folder, or a case twice.
        FileNotFoundError: if a named file does not exist.
    """
    root = Path(os.path.abspath(dataset_dir))
    description = read_json(root / DATASET_JSON)
    if not isinstance(description.get("training"), list):
        raise ValueError(
            f'{root / DATASET_JSON} must have a list "training" of {{"image": ..., "label": ...}}, '
            f"got {description.get('training')!r:.80}; scripts/make_dataset_json.py writes one"
        )
    cases: dict[str, dict] = {}
    for section, part in PREDEFINED_PARTS.items():
        for entry in _entries(root, description, section):
            if section == "test" and not (isinstance(entry, dict) and entry.get("label")):
                continue
            case = _case(root, section, entry)
            earlier = cases.setdefault(case["case"], case)
            if earlier is not case:
                raise ValueError(
                    f"{root / DATASET_JSON} has case {case['case']} twice, {earlier['image']} and {case['image']}; "
                    'give the entries different "case" names'
                )
            cases[case["case"]] = case | ({"part": part} if part else {})
    return list(cases.values())


def msd_labels(dataset_dir: str | os.PathLike) -> dict[str, Path]:
    """Label files that <dataset_dir>/dataset.json names, by case. Unlike in `msd_cases` the images may be absent.

    Raises:
        ValueError: if dataset.json is malformed or names a label outside its folder.
        FileNotFoundError: if there is no dataset.json, or a label is missing.
    """
    root = Path(os.path.abspath(dataset_dir))
    description = read_json(root / DATASET_JSON)
    entries = [entry for section in PREDEFINED_PARTS for entry in _entries(root, description, section)]
    labelled = [entry for entry in entries if isinstance(entry, dict) and entry.get("label") and entry.get("image")]
    return {
        str(entry.get("case") or case_name(entry["image"])): Path(_inside(root, entry["label"], "label"))
        for entry in labelled
    }


def msd_label_names(dataset_dir: str | os.PathLike) -> dict[int, str]:
    """Foreground classes that dataset.json declares, from {"1": "liver"} or {"liver": 1}.

    Args:
        dataset_dir: the folder that holds dataset.json.

    Returns:
        label value -> name, ascending, without background (0).

    Raises:
        ValueError: if no foreground class is declared or a label value is not a whole number.
    """
    path = Path(os.path.abspath(dataset_dir)) / DATASET_JSON
    labels = read_json(path).get("labels")
    if not isinstance(labels, dict):
        raise ValueError(f'{path} must declare "labels" like {{"0": "background", "1": "liver"}}, got {labels!r:.80}')
    is_name = [isinstance(name, str) and not name.isdecimal() for name in labels.values()]
    if not all(str(value).isdecimal() for value in labels) and not any(is_name):  # nnU-Net's way round
        names = list(labels)
        labels = dict(zip(map(str, labels.values()), names, strict=True))
        if len(labels) < len(names):
            raise ValueError(f'{path} gives two classes under "labels" the same value; give each its own')
    try:
        if odd := [name for name in labels.values() if not isinstance(name, str) or not name]:
            raise ValueError(f"the name of a class must be text, got {odd[0]!r:.40}")
        return class_names(labels)
    except ValueError as error:
        raise ValueError(f'"labels" of {path}: {error}') from error


def _entries(root: Path, description: dict, section: str) -> list:
    entries = description.get(section) or []
    if not isinstance(entries, list):
        raise ValueError(f"{section!r} of {root / DATASET_JSON} must be a list of cases, got {entries!r:.80}")
    return entries


def _case(root: Path, section: str, entry: object) -> dict:
    if not isinstance(entry, dict) or not all(isinstance(entry.get(key), str) for key in ("image", "label")):
        raise ValueError(
            f"every entry of {section!r} in {root / DATASET_JSON} must be {{'image': path, 'label': path}} "
            f"with one file each, got {entry!r:.120}"
        )
    for key in ("case", "patient"):
        if not isinstance(entry.get(key, ""), str | int):
            raise ValueError(f"{key} in {root / DATASET_JSON} must be a name, got {entry[key]!r:.80}; give it as text")
    image, label = (_inside(root, entry[key], key) for key in ("image", "label"))
    case = str(entry.get("case") or case_name(image))
    return {"case": case, "patient": str(entry.get("patient") or case), "image": image, "label": label}


def _inside(root: Path, name: str, key: str) -> str:
    path = Path(os.path.abspath(root / name))  # folds "..", keeps symbolic links: data may lie on another disk
    if path == root:
        raise ValueError(f"{key} {name!r} in {root / DATASET_JSON} names no file; give its path relative to {root}")
    if not path.is_relative_to(root):
        raise ValueError(
            f"{key} {name} in {root / DATASET_JSON} lies outside {root}; "
            "move the file into that folder (or link it there) and name it relative to the folder"
        )
    if not os.path.exists(path):  # unlike Path.exists, also of a name too long for any file
        raise FileNotFoundError(f"{key} {path}, named in {root / DATASET_JSON}, is missing; restore it or remove it")
    return str(path)
