# SPDX-License-Identifier: Apache-2.0
"""Write dataset.json (the style of the Medical Segmentation Decathlon) for a folder of images and a folder of labels.

    python scripts/make_dataset_json.py --images my_data/images --labels my_data/masks --output_dir my_data \\
        --label_names liver --patient_regex '([^_]+)_' --modality CT

An image and a label belong together if their file names are equal up to the extension, to --label_suffix, and to
nnU-Net's channel number: image case_0000.nii.gz, label case.nii.gz. Volumes (NIfTI) and pictures (PNG, JPEG) both work.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bundle.self_cleansing.data.json_file import write_json  # noqa: E402
from bundle.self_cleansing.data.labels import JPEG_EXTENSIONS, PICTURE_EXTENSIONS, class_names  # noqa: E402
from bundle.self_cleansing.data.msd import DATASET_JSON, case_name  # noqa: E402
from bundle.self_cleansing.data.read import read_file  # noqa: E402

EXTENSIONS = (".nii", ".nii.gz", ".nrrd", ".mha", *PICTURE_EXTENSIONS)
NNUNET_CHANNEL = "_0000"


def make_dataset_json(
    images: str | os.PathLike,
    labels: str | os.PathLike,
    output: str | os.PathLike,
    label_names: Sequence[str] = (),
    patient_regex: str | None = None,
    modality: str | None = None,
    label_suffix: str = "",
    overwrite: bool = False,
) -> dict:
    """Pair the files of two folders and write the pairs as dataset.json.

    Args:
        images: folder of images; other files and sub-folders are ignored.
        labels: folder of labels, likewise; it may be the folder of images if label_suffix tells them apart.
        output: the file to write; images and labels must lie in or below its folder.
        label_names: names of the label values 1..K. Empty: the values are looked up in all label files and named
            class_1, class_2, ...; a mask of 0 and 255 has one class, "foreground".
        patient_regex: searched in each case name; its first group (or the whole match) is the patient, so that
            several cases of one patient stay in one part of the split. None: each case is a patient of its own.
        modality: "CT", "MR", ...; None leaves it out.
        label_suffix: what a label's name has beyond its image's, for example "_seg".
        overwrite: replace an existing file.

    Returns:
        What was written.

    Raises:
        FileNotFoundError: if a folder does not exist.
        ValueError: if a file has no partner (the first few are listed), no pair is found, two files have one name, a
            file lies outside the folder of output, patient_regex does not match, or output exists already.
    """
    output = Path(os.path.abspath(output))
    if output.exists() and not overwrite:
        raise ValueError(f"{output} exists already; pass --overwrite to replace it")
    pairs = _pairs(images, labels, label_suffix)
    entries = []
    for case, (image, label) in pairs.items():
        entry = {"image": _relative(image, output.parent), "label": _relative(label, output.parent)}
        if patient_regex is not None:
            entry["patient"] = _patient(case, patient_regex, image)
        entries.append(entry)
    names = class_names(label_names) if label_names else _found_names([label for _, label in pairs.values()])
    content = {
        "name": output.parent.name,
        **({"modality": {"0": modality}} if modality else {}),
        "labels": {"0": "background"} | {str(value): name for value, name in names.items()},
        "numTraining": len(entries),
        "numTest": 0,
        "training": entries,
        "test": [],
    }
    write_json(output, content)
    return content


def _files(folder: str | os.PathLike, suffix: str = "") -> dict[str, Path]:
    """Image files of a folder whose name ends in suffix, by name without suffix and extension."""
    folder = Path(os.path.abspath(folder))
    if not folder.is_dir():
        raise FileNotFoundError(f"folder {folder} does not exist; check --images and --labels")
    files: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        name = case_name(file)
        if not file.name.lower().endswith(EXTENSIONS) or file.name.startswith(".") or not name.endswith(suffix):
            continue
        name = name[: len(name) - len(suffix)]
        if name in files:
            raise ValueError(f"{files[name]} and {file} differ only in their extension; keep one of them")
        files[name] = file
    return files


def _pairs(images: str | os.PathLike, labels: str | os.PathLike, label_suffix: str) -> dict[str, tuple[Path, Path]]:
    label_files = _files(labels, label_suffix)
    image_files = _files(images)
    if os.path.abspath(images) == os.path.abspath(labels):
        if not label_suffix:
            raise ValueError(f"images and labels are one folder ({images}); tell them apart with --label_suffix")
        image_files = {name: file for name, file in image_files.items() if file not in label_files.values()}
    partner = {  # exact names first: an image may be called case_0000 for reasons of its own
        name: name if name in label_files else name.removesuffix(NNUNET_CHANNEL) for name in image_files
    }
    pairs = {
        name: (file, label_files[partner[name]]) for name, file in image_files.items() if partner[name] in label_files
    }
    lonely = [str(file) for name, file in image_files.items() if name not in pairs]
    lonely += [str(file) for name, file in label_files.items() if name not in {partner[image] for image in pairs}]
    if lonely:
        raise ValueError(
            f"{len(lonely)} of {len(image_files)} images and {len(label_files)} labels have no partner by name: "
            + ", ".join(lonely[:4])
            + (", ..." if len(lonely) > 4 else "")
            + "; rename or remove them, or pass --label_suffix"
        )
    if not pairs:
        raise ValueError(f"no image with a label was found in {images} and {labels} (known: {', '.join(EXTENSIONS)})")
    twice = [name for name in pairs if name + NNUNET_CHANNEL in pairs and partner[name + NNUNET_CHANNEL] == name]
    if twice:
        raise ValueError(f"images {twice[0]} and {twice[0]}{NNUNET_CHANNEL} claim one label; remove one of them")
    return pairs


def _relative(file: Path, root: Path) -> str:
    if not file.is_relative_to(root):
        raise ValueError(
            f"{file} lies outside {root}, the folder of dataset.json; "
            "choose an --output_dir that contains both images and labels"
        )
    return f"./{file.relative_to(root).as_posix()}"


def _patient(case: str, patient_regex: str, image: Path) -> str:
    try:
        match = re.search(patient_regex, case)
    except re.error as error:
        raise ValueError(f"--patient_regex {patient_regex!r} is not a regular expression ({error})") from error
    patient = match and (match[1] if match.re.groups else match[0])
    if not patient:
        raise ValueError(f"--patient_regex {patient_regex!r} finds no patient in the name {case} of {image}")
    return patient


def _found_names(labels: Sequence[Path]) -> dict[int, str]:
    """Names for the values that the label files hold."""
    values: set[float] = set()
    for path in labels:
        label = read_file(path).numpy()
        is_picture = path.name.lower().endswith(PICTURE_EXTENSIONS)
        if path.name.lower().endswith(JPEG_EXTENSIONS):
            values |= {255} if label.max() > 127 else set()
        elif len(label) > 1 and not is_picture:  # one mask per class
            values |= set(range(1, len(label) + 1))
        else:
            values |= set(np.unique(label).tolist())
    values -= {0}
    if values == {255}:
        return {1: "foreground"}
    odd = sorted(value for value in values if value < 0 or value != int(value))
    if odd or not values:
        raise ValueError(
            f"no classes follow from label files that hold {f'the value {odd[0]:g}' if odd else 'nothing but 0'}; "
            "correct them, or pass --label_names"
        )
    return {int(value): f"class_{int(value)}" for value in sorted(values)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, write the file, print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", required=True, help="folder of images")
    parser.add_argument("--labels", required=True, help="folder of labels")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--output_dir", help="data folder, which contains both; dataset.json is written there")
    target.add_argument("--output", help="the same, naming the file")
    parser.add_argument("--label_names", nargs="+", default=(), help="names of label values 1, 2, ...; default: found")
    parser.add_argument("--patient_regex", help="first group = patient, searched in the file name: '([^_]+)_'")
    parser.add_argument("--modality", help="CT, MR, ...")
    parser.add_argument("--label_suffix", default="", help="what label names have beyond image names: _seg")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    options = vars(parser.parse_args(arguments))
    output_dir = options.pop("output_dir")
    options["output"] = options["output"] or os.path.join(output_dir, DATASET_JSON)
    try:
        content = make_dataset_json(**options)
    except (ValueError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")
    patients = len({entry.get("patient", entry["image"]) for entry in content["training"]})
    classes = ", ".join(f"{value} {name}" for value, name in content["labels"].items())
    print(f"{options['output']}: {content['numTraining']} cases of {patients} patients; labels {classes}")


if __name__ == "__main__":
    main()
