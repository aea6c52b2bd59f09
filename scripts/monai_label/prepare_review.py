# SPDX-License-Identifier: Apache-2.0
"""Make the studies folder of a label review from an audit or a finished run, and the data it is about.

    python scripts/monai_label/prepare_review.py --run_dir runs/mine --dataset_dir <data> --output_dir studies

For every case that was audited, or that the run was trained on, it holds a copy of the image, the given label
(labels/original) and the proposed or repaired one (labels/proposed), all under the name of the case. The data and the
run are only read. The folder appears whole or not at all, and no path of this machine is in it. Files are copied as
they are, header included: whoever reviews sees the names of the cases and what is in the headers.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent / "review_app")]

from lib.trust import label_folder, read_trust, recorded_classes  # noqa: E402
from tqdm import tqdm  # noqa: E402

from bundle.self_cleansing.data import find_cases, read_label  # noqa: E402
from bundle.self_cleansing.data.labels import label_map  # noqa: E402
from bundle.self_cleansing.data.msd import DATASET_JSON, msd_labels  # noqa: E402
from bundle.self_cleansing.data.whole_folder import whole_folder  # noqa: E402

EXTENSIONS = (".nii.gz", ".nii")
ORIGINAL, PROPOSED = "original", "proposed"


def prepare_review(
    run_dir: str | os.PathLike[str],
    dataset_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    progress: bool = False,
) -> list[str]:
    """Write the studies folder.

    A label that is an integer map is copied byte for byte. One binary mask per class, which no viewer of label maps can
    show, becomes a map; where masks overlap the first class is shown.

    Args:
        run_dir: of an audit, or of a finished run that repairs labels.
        dataset_dir: the data that were audited or trained on.
        output_dir: the folder to make.
        progress: show a bar on standard error.

    Returns:
        the names of the cases, sorted.

    Raises:
        FileNotFoundError: if the run lacks a file, or the data a case of the run.
        FileExistsError: if output_dir exists and is not empty.
        ValueError: if an image is no NIfTI, a case's name is no file name, or a label does not fit its image.
    """
    run_dir, root = Path(run_dir), Path(os.path.abspath(os.path.expanduser(dataset_dir)))
    names = dict(enumerate(recorded_classes(run_dir), start=1))
    wanted = sorted(read_trust(run_dir))
    labels = label_folder(run_dir)
    renamed = msd_labels(labels) if (labels / DATASET_JSON).is_file() else {}
    cases = {case["case"]: case for case in find_cases(root)}
    missing = [name for name in wanted if name not in cases]
    if missing:
        raise FileNotFoundError(
            f"case {missing[0]} of run {run_dir} is not in {root} ({len(missing)} such cases); "
            "pass --dataset_dir with the data it is about"
        )
    with whole_folder(output_dir) as folder:
        for tag in (ORIGINAL, PROPOSED):
            (folder / "labels" / tag).mkdir(parents=True)
        for name in tqdm(wanted, unit="case", disable=not progress):
            case = cases[name]
            image, given = Path(case["image"]), Path(case["label"])
            shutil.copyfile(image, folder / (_file_stem(name) + _extension(image)))
            proposed = renamed.get(name, labels / given.relative_to(root))
            if not proposed.is_file():
                raise FileNotFoundError(
                    f"{proposed} does not exist; the run did not finish, or its folder is incomplete: make it again"
                )
            _write_map(given, names, image, folder / "labels" / ORIGINAL / name)
            _write_map(proposed, names, image, folder / "labels" / PROPOSED / name)
    return wanted


def _file_stem(name: str) -> str:
    if name != os.path.basename(name) or name.startswith("."):
        raise ValueError(f"case {name!r} cannot be the name of a file; give it another name in dataset.json")
    return name


def _extension(path: Path) -> str:
    for extension in EXTENSIONS:
        if path.name.lower().endswith(extension):
            return extension
    raise ValueError(f"{path} is no NIfTI, and the review shows NIfTI only; convert the data and train on that")


def _write_map(label: Path, names: dict[int, str], image: Path, target: Path) -> None:
    """Write a label as an integer map on the image's grid to `target` plus extension: a copy if it is one."""
    masks = read_label(label, names)  # also refuses values that are no class
    grid: Any = nib.load(image)  # type: ignore[attr-defined]
    if label.name.lower().endswith(EXTENSIONS):
        file: Any = nib.load(label)  # type: ignore[attr-defined]
        if file.shape == grid.shape and np.issubdtype(file.get_data_dtype(), np.integer):
            shutil.copyfile(label, target.with_name(target.name + _extension(label)))
            return
    values = label_map(masks)  # the first of overlapping classes
    if values.shape != (*grid.shape, 1)[:3]:
        raise ValueError(
            f"label {label} has the shape {'x'.join(map(str, values.shape))} and its image "
            f"{'x'.join(map(str, grid.shape))}; give a label drawn on this image"
        )
    labelled = nib.Nifti1Image(values.reshape(grid.shape), grid.affine)  # type: ignore[attr-defined]
    nib.save(labelled, target.with_name(target.name + ".nii.gz"))  # type: ignore[attr-defined]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", required=True, help="folder of an audit, or of a finished run that repairs labels")
    parser.add_argument("--dataset_dir", required=True, help="the data that were audited or trained on")
    parser.add_argument("--output_dir", required=True, help="studies folder to make; it must not exist or be empty")
    options = parser.parse_args(arguments)
    try:
        names = prepare_review(options.run_dir, options.dataset_dir, options.output_dir, progress=True)
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    print(f"{len(names)} cases to review in {options.output_dir}")


if __name__ == "__main__":
    main()
