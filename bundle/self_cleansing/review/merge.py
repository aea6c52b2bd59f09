# SPDX-License-Identifier: Apache-2.0
"""A new data set in which corrected labels stand in the place of the given ones; the given data are only read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from ..data import class_names as declared_classes
from ..data import find_cases, read_file, read_label, write_json
from ..data.cases import CLEAN_LABELS, check_one_label_each
from ..data.checks import check_same_grid
from ..data.copied_files import copy_file, copy_image, description_with_labels, link_image, sha256
from ..data.label_encoding import read_encoded
from ..data.label_writer import LabelWriter
from ..data.labels import Labels, is_picture, label_map
from ..data.msd import DATASET_JSON
from ..data.whole_folder import whole_folder
from ..slice_ranges import slice_ranges
from .corrected_masks import Overlaps, corrected_masks
from .corrections import Correction
from .provenance import FINAL, GIVEN_PROVENANCE, KEPT, PROVENANCE, CaseRow, read_rows, write_rows

SPLIT = "split.json"


@dataclass(frozen=True)
class Merged:
    """What was written: number of cases, of cases with a changed label and with a confirmed one, and of voxels."""

    cases: int
    changed: int
    confirmed: int
    changed_voxels: int


def merge_reviewed(
    dataset_dir: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    corrections: Mapping[str, Correction],
    class_names: Labels,
    overlaps: Overlaps | None = None,
    copy_images: bool = False,
    progress: bool = False,
) -> Merged:
    """Write the data set, whole or not at all.

    It has the layout of the given one and can be trained on. A label without correction, or whose correction changes no
    voxel, is copied byte for byte; any other is stored as the given one (see `LabelWriter`). `split.json`, clean labels
    of a simulation and dataset.json come along. `provenance.csv` has a row per case, of which those of an earlier merge
    are kept where the label is still the one that merge wrote. If the given data have another provenance.csv (of a run
    or an audit), it is copied to `given_provenance.csv`.

    Args:
        dataset_dir: the given data, as `find_cases` reads them.
        output_dir: the folder to make, outside dataset_dir.
        corrections: by case.
        class_names: K foreground classes.
        overlaps: see `corrected_masks`.
        copy_images: copy the images; else they are linked.
        progress: show a bar on standard error.

    Returns:
        counts.

    Raises:
        FileNotFoundError, FileExistsError: if a file is missing, or output_dir is taken.
        ValueError: if a correction is of no case, lies on another grid, holds a value that is no class, or was made
            for another label; the file is named, and nothing is left behind.
    """
    root, output_dir = (Path(os.path.abspath(os.path.expanduser(one))) for one in (dataset_dir, output_dir))
    if output_dir.is_relative_to(root):
        raise ValueError(f"output_dir {output_dir} lies in the data {root}, which are not touched; give another folder")
    cases, names = find_cases(root), declared_classes(class_names)
    if unknown := sorted(corrections.keys() - {case["case"] for case in cases}):
        raise ValueError(
            f"correction {corrections[unknown[0]].file} is of case {unknown[0]}, which {root} does not hold; "
            "pass --dataset_dir with the data that were reviewed"
        )
    check_one_label_each(cases)
    earlier = read_rows(root / PROVENANCE)
    with whole_folder(output_dir) as folder:
        reserved = {folder / Path(case[key]).relative_to(root) for case in cases for key in ("image", "label")}
        writer = LabelWriter(names, [case["label"] for case in cases], reserved)
        rows, places = [], {}
        cases.sort(key=lambda case: case["case"] not in corrections)  # what may be refused comes first
        for case in tqdm(cases, unit="case", desc="merge", disable=not progress):
            place_image = copy_image if copy_images else link_image
            place_image(Path(case["image"]), folder / Path(case["image"]).relative_to(root))
            correction = corrections.get(case["case"])
            row = _place_label(case, correction, root, folder, writer, overlaps)
            rows.append(_with_history(row, earlier.get(case["case"])))
            places[case["label"]] = Path(row.label)
        _place_rest(root, folder, places)
        write_rows(folder / PROVENANCE, sorted(rows, key=lambda row: row.case))
        find_cases(folder)  # what cannot be read back is not left behind
    final = [row for row in rows if row.case in corrections]
    changed = sum(row.changed_voxels > 0 for row in final)
    return Merged(len(rows), changed, len(final) - changed, sum(row.changed_voxels for row in final))


def _place_label(
    case: Mapping[str, Any],
    correction: Correction | None,
    root: Path,
    folder: Path,
    writer: LabelWriter,
    overlaps: Overlaps | None,
) -> CaseRow:
    """Write the label of a case, and its clean one, and say where it comes from."""
    given = Path(case["label"])
    target = folder / given.relative_to(root)
    changed = np.zeros((0, 0, 0), bool)
    if correction is not None:
        before, after = _checked(case, correction, writer.names, overlaps)
        changed = (before != after).any(axis=0)
    if changed.any():
        target = writer.write(after, given, target)
    else:
        copy_file(given, target)
    if "clean_label" in case:
        _place_clean_label(Path(case["clean_label"]), given, target, folder, writer)
    return CaseRow(
        case=case["case"],
        label=target.relative_to(folder).as_posix(),
        source=KEPT if correction is None else FINAL,
        correction="" if correction is None else correction.file.name,
        client_info="" if correction is None else correction.client_info,
        reviewed_at="" if correction is None else correction.reviewed_at,
        changed_voxels=int(changed.sum()),
        changed_slices=slice_ranges(np.flatnonzero(changed.any(axis=(0, 1))).tolist()),
        given_sha256=sha256(given),
        correction_sha256="" if correction is None else sha256(correction.file),
        label_sha256=sha256(target),
    )


def _checked(
    case: Mapping[str, Any], correction: Correction, names: Mapping[int, str], overlaps: Overlaps | None
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Given and corrected masks (K, H, W, D) of a case, if the correction is one of this label."""
    image, label = read_file(case["image"]), read_file(correction.file)
    in_space = not is_picture(case["image"]) and not is_picture(correction.file)
    affines = [np.asarray(one.affine) if in_space else None for one in (image, label)]
    check_same_grid(image.shape[1:], label.shape[1:], case["image"], correction.file, *affines)
    final, encoding = read_encoded(correction.file, names)
    given = read_label(case["label"], names)
    shown = (label_map(read_label(label, names)) for label in correction.shown)
    if correction.shown and not any(np.array_equal(label_map(given), one) for one in shown):
        raise ValueError(
            f"label {case['label']} is not the one that was reviewed, {correction.shown[0]}; pass --dataset_dir with "
            "the data that the review was prepared from"
        )
    try:
        return given, corrected_masks(given, final, encoding.is_map, overlaps)
    except ValueError as error:
        raise ValueError(f"label {case['label']}: {error}") from error


def _place_clean_label(clean: Path, given: Path, target: Path, folder: Path, writer: LabelWriter) -> None:
    """Put the clean label of a simulation where `find_cases` looks for that of the new label."""
    place = folder / CLEAN_LABELS / target.relative_to(folder)
    if target.name == given.name:
        copy_file(clean, place)
    else:
        writer.write(read_label(clean, writer.names), clean, place)


def _with_history(row: CaseRow, earlier: CaseRow | None) -> CaseRow:
    """A kept label's row of an earlier merge, if that wrote this very file."""
    if row.source == KEPT and earlier is not None and earlier.label_sha256 == row.given_sha256:
        return replace(earlier, label=row.label)
    return row


def _place_rest(root: Path, folder: Path, places: Mapping[str, Path]) -> None:
    """Copy what else belongs to the data, with the new names of labels (absolute path -> relative one)."""
    if (root / SPLIT).is_file():
        copy_file(root / SPLIT, folder / SPLIT)
    if (root / DATASET_JSON).is_file():
        write_json(folder / DATASET_JSON, description_with_labels(root, places))
    of_labels = root / (GIVEN_PROVENANCE if read_rows(root / PROVENANCE) else PROVENANCE)
    if of_labels.is_file():
        copy_file(of_labels, folder / GIVEN_PROVENANCE)
