# SPDX-License-Identifier: Apache-2.0
"""The one list of cases that everything starts from, whatever the layout of the data set."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .acdc import ACDC_LABEL_NAMES, acdc_cases
from .msd import DATASET_JSON, case_name, msd_cases, msd_label_names

CLEAN_LABELS = "clean_labels"
TRAINING_KEYS = ("image", "label", "case", "patient")


def find_cases(dataset_dir: str | os.PathLike) -> list[dict]:
    """List the labelled cases of a data set: MSD style if the folder holds dataset.json, else ACDC.

    Args:
        dataset_dir: the data folder.

    Returns:
        Sorted by case, one dict each: case (unique id), patient, image, label (absolute paths), and
        - clean_label: <dataset_dir>/clean_labels/<path of the label>, where that file exists (a noisy copy made by
          scripts/make_noisy_labels.py). For evaluation and audit; see `training_items`.
        - part: "validation" or "test", where dataset.json says so.
        Never empty.

    Raises:
        FileNotFoundError: if the folder or a file that belongs to a case is missing.
        ValueError: if there is no labelled case, a case is there twice, or dataset.json is malformed.
    """
    root = _folder(dataset_dir)
    is_msd = (root / DATASET_JSON).is_file()
    cases = msd_cases(root) if is_msd else acdc_cases(root)
    if not cases:
        raise ValueError(
            f"{root / DATASET_JSON} lists no image with a label; scripts/make_dataset_json.py writes one from a folder "
            "of images and labels"
            if is_msd
            else f"{root} holds no labelled case: neither {DATASET_JSON} nor patientNNN/patientNNN_frameMM.nii.gz with "
            "_gt.nii.gz; for other files write a dataset.json with scripts/make_dataset_json.py"
        )
    for case in cases:
        clean_label = root / CLEAN_LABELS / os.path.relpath(case["label"], root)
        if clean_label.is_file():
            case["clean_label"] = str(clean_label)
    return sorted(cases, key=lambda case: case["case"])


def label_names(dataset_dir: str | os.PathLike) -> dict[int, str]:
    """Foreground classes of a data set.

    Args:
        dataset_dir: the data folder.

    Returns:
        label value -> name, ascending: the channel order. {1: "RV", 2: "Myo", 3: "LV"} for the ACDC layout, else what
        dataset.json declares, without background.

    Raises:
        FileNotFoundError: if the folder is missing.
        ValueError: if dataset.json declares no foreground class.
    """
    root = _folder(dataset_dir)
    return msd_label_names(root) if (root / DATASET_JSON).is_file() else dict(ACDC_LABEL_NAMES)


def check_classes(dataset_dir: str | os.PathLike, class_names: Sequence[str], remedy: str) -> None:
    """Raise ValueError unless a training has the classes that the data set declares, in the order of its label values.

    The values must be 1, 2, ... without a gap: those that results are written with. Upper and lower case are the same;
    {0} in `remedy`, the end of the sentence, becomes the declared names.
    """
    names = label_names(dataset_dir)
    declared = list(names.values())
    if list(names) != list(range(1, len(names) + 1)):
        raise ValueError(
            f"{dataset_dir} declares the label values {', '.join(map(str, names))} for {', '.join(declared)}; a "
            "training needs 1, 2, ... without a gap: number the classes again, in dataset.json and in the label files"
        )
    if [name.casefold() for name in declared] != [str(name).casefold() for name in class_names]:
        raise ValueError(
            f"{dataset_dir} declares the classes {', '.join(declared)}, the training {', '.join(class_names)}; "
            f"{remedy.format(declared)}"
        )


def training_items(cases: list[dict]) -> list[dict]:
    """Cases as training may see them: image, label, case and patient only, so no clean label can be opened.

    Args:
        cases: as from `find_cases`.

    Returns:
        New dicts in the same order; empty for an empty list.
    """
    return [{key: case[key] for key in TRAINING_KEYS} for case in cases]


def clean_items(cases: list[dict]) -> list[dict]:
    """Cases for evaluation: the label is the clean label where there is one, else the given label.

    Args:
        cases: as from `find_cases`.

    Returns:
        New dicts with the keys of `training_items`, in the same order; empty for an empty list.
    """
    return training_items([case | {"label": case.get("clean_label", case["label"])} for case in cases])


def known_cases(data: Sequence[Mapping[str, Any]], dataset_dir: str | os.PathLike) -> dict[str, list[dict]]:
    """What a data set knows of the cases that are trained on, and its other cases.

    Args:
        data: the training cases: `image` paths.
        dataset_dir: the data folder.

    Returns:
        {"trained": the cases of `data` as `find_cases` gives them, in the order of `data`; "others": the rest}. Both
        are empty where `data` are not of this data set, or there is none: MONAI Label trains on a list of its own.
    """
    images = [os.path.abspath(item["image"]) for item in data]
    try:
        cases = {case["image"]: case for case in find_cases(dataset_dir)}
    except (FileNotFoundError, ValueError):
        cases = {}
    if not cases.keys() >= set(images):
        return {"trained": [], "others": []}
    others = [case for image, case in cases.items() if image not in set(images)]
    return {"trained": [cases[image] for image in images], "others": others}


def case_id(item: Mapping[str, Any]) -> str:
    """Return the case id of a data list entry: its `case`, else its image's file name without the extension."""
    return str(item["case"]) if "case" in item else case_name(item["image"])


def check_one_label_each(cases: Sequence[Mapping[str, Any]]) -> None:
    """Raise ValueError if two cases have the same label file: what is written for one would be that of the other."""
    owners: dict[str, str] = {}
    for case in cases:
        if owners.setdefault(case["label"], case["case"]) != case["case"]:
            raise ValueError(
                f"cases {owners[case['label']]} and {case['case']} share the label {case['label']}, so one cannot be "
                "corrected without the other; give each its own file"
            )


def _folder(dataset_dir: str | os.PathLike) -> Path:
    root = Path(os.path.abspath(os.path.expanduser(dataset_dir)))
    if not root.is_dir():
        raise FileNotFoundError(
            f"data folder {root} does not exist; run `python scripts/make_phantom.py --output_dir {root}` "
            "or pass --dataset_dir with your own data"
        )
    return root
