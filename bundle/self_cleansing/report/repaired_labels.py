# SPDX-License-Identifier: Apache-2.0
"""The labels of a run as a data set in the layout of the input, with the provenance of every slice and class.

What is believed is copied; what is not is replaced by y' of the label bank, mapped back to the grid of the given file:

* A case of which nothing is replaced is copied file by file, byte for byte.
* Elsewhere a slice and class with provenance MANUAL, or whose y' was never written, keeps its given pixels.
* Where y' replaces a label it does so in the whole slice. y' knows nothing outside the patch the network sees, so
  given pixels outside the patch are dropped there: they belong to a label that is not believed. With LabelPatchd,
  which centres the patch on the given labels, that concerns far-reaching labels only.
* A file that changes is stored as it was, NIfTI as NIfTI, PNG as PNG, a map as a map, by the rules of `LabelWriter`.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import allow_missing_keys_mode, convert_applied_interp_mode
from numpy.typing import NDArray
from torch import Tensor

from ..data import class_names as declared_classes
from ..data import read_label, write_json
from ..data.cases import case_id
from ..data.copied_files import copy_file, description_with_labels, link_image, place_below
from ..data.label_writer import LabelWriter
from ..data.labels import Labels
from ..data.msd import DATASET_JSON
from ..data.whole_file import write_text
from ..filtering import Provenance
from ..label_bank import LabelBank
from ..slice_bank import SliceBank

VERDICTS = {
    Provenance.MANUAL: "manual",
    Provenance.KEPT: "kept",
    Provenance.RENEWED: "renewed",
    Provenance.REJECTED: "left out",
}
PROVENANCE_COLUMNS = (
    *("sample", "case", "slice", "class", "verdict", "takes_part", "changed_epoch"),
    *("manual_loss", "pseudo_loss", "clean_posterior"),
)


def export_repaired_labels(
    folder: str | os.PathLike[str],
    dataset_dir: str | os.PathLike[str],
    data: Sequence[Mapping[str, Any]],
    preprocessing: Any,
    dataset: SliceBank,
    label_bank: LabelBank,
    class_names: Labels,
    split_file: str | os.PathLike[str] | None = None,
    others: Sequence[Mapping[str, Any]] = (),
    link_images: bool = False,
) -> dict[str, Path]:
    """Write the repaired labels, `provenance.csv`, and copies of `split.json` and `dataset.json` where there are any.

    Files are replaced one by one, each whole, so that exporting twice gives the same folder.

    Args:
        folder: the data set to write.
        dataset_dir: the data set trained on. A label below it keeps its relative path; any other is written to
            `<case>/<file name>`.
        data: the training cases, in the order of `dataset`: `label` and `image` paths.
        preprocessing: what `dataset` was made with: an invertible Compose (or transform) with the key `label`.
        dataset: the training samples.
        label_bank: y' and provenance of the same samples.
        class_names: K foreground classes, as `data.class_names` takes them.
        split_file: copied to `split.json` if it exists.
        others: cases that were not trained on (validation, test); their labels are copied as they are, because a data
            set without them cannot be trained on.
        link_images: put symbolic links to the images (and Info.cfg) beside the labels. Else the folder can be trained
            on once the images are copied into it.

    Returns:
        label path written, by case id, of `data` and `others`.

    Raises:
        ValueError: if the data do not belong to the samples, or the preprocessing cannot be undone.
    """
    folder, root = Path(folder), Path(os.path.abspath(dataset_dir))
    ids = [case_id(item) for item in data]
    if ids != dataset.cases:
        raise ValueError(
            f"data and dataset must list the same cases in the same order, got {len(ids)} and {len(dataset.cases)} "
            f"cases ({ids[:1]} and {dataset.cases[:1]} first); give the list that the dataset was made from"
        )
    names, every = declared_classes(class_names), (*data, *others)
    images = [folder / place_below(item["image"], root, "") for item in every]
    labels = [folder / place_below(item["label"], root, case_id(item)) for item in every]
    writer = LabelWriter(names, [item["label"] for item in every], reserved={*images, *labels})
    replaced = ((label_bank.provenance != Provenance.MANUAL) & label_bank.is_set).cpu()  # (N, K)
    written: dict[str, Path] = {}
    for number, (case, item) in enumerate(zip(ids, data, strict=True)):
        given, target = Path(item["label"]), folder / place_below(item["label"], root, case)
        members = torch.nonzero(dataset.case_index == number).flatten()
        if replaced[members].any():
            pseudo_label = label_bank.pseudo_label(members).cpu()
            masks = repaired_masks(item, pseudo_label, replaced[members], preprocessing, names)
            target = writer.write(masks, given, target)
        else:
            copy_file(given, target)
        written[case] = target
    for item in others:
        case = case_id(item)
        written[case] = folder / place_below(item["label"], root, case)
        copy_file(item["label"], written[case])
    if link_images:
        for item, link in zip(every, images, strict=True):
            link_image(Path(item["image"]), link)
    if split_file is not None and Path(split_file).is_file():
        copy_file(split_file, folder / "split.json")
    if (root / DATASET_JSON).is_file():
        renamed = {os.path.abspath(item["label"]): written[case_id(item)].relative_to(folder) for item in every}
        write_json(folder / DATASET_JSON, description_with_labels(root, renamed))
    write_text(folder / "provenance.csv", provenance_table(label_bank, list(names.values())))
    return written


def repaired_masks(
    item: Mapping[str, Any], pseudo_label: Tensor, replaced: Tensor, preprocessing: Any, class_names: Labels
) -> NDArray[np.uint8]:
    """Put y' of some slices and classes of a case into its given label.

    y' is mapped back by the inverse of `preprocessing`, as MONAI's Invertd does, with linear interpolation in place of
    the mode used forwards, and thresholded at one half.

    Args:
        item: `image` and `label` paths of the case.
        pseudo_label: uint8 (D, K, h, w) in {0, 1}, in the grid of the network.
        replaced: bool (D, K), where y' replaces the given label.
        preprocessing: as for `export_repaired_labels`.
        class_names: K classes.

    Returns:
        uint8 (K, H, W, D) of 0 and 1 in the grid of the given file, D = 1 if that is 2-D; slices may be counted along
        any of its axes, as the preprocessing turns them. Equal to the given label
        wherever `replaced` is False, even if everything else changes.

    Raises:
        ValueError: if the preprocessing turns slices into something that is no slice of the file.
    """
    label = read_label(item["label"], class_names)
    traced = preprocessing({"image": item["image"], "label": item["label"]})["label"]
    if not isinstance(traced, MetaTensor):
        raise ValueError("the preprocessing drops the metadata of the label, so it cannot be undone; keep MetaTensors")
    depth = len(pseudo_label)
    number = torch.arange(1.0, depth + 1).expand(1, *pseudo_label.shape[2:], depth)
    native = _invert(torch.cat([pseudo_label.movedim(0, -1).float(), number]), traced, preprocessing)
    found = None if native.shape[1:] != label.shape[1:] else _slice_axis(native[-1], depth)
    if found is None:
        raise ValueError(
            f"the inverse of the preprocessing gives {tuple(native.shape[1:])} for {item['label']} of shape "
            f"{label.shape[1:]}, or other slices; use invertible transforms that keep slices apart"
        )
    axis, order = found
    chosen = replaced[order].T[:, :, None, None].movedim(1, axis + 1)  # (K, 1, 1, D), the D at the slice axis
    return np.where(chosen.numpy(), (native[:-1] >= 0.5).numpy(), label).astype(np.uint8)


def provenance_table(label_bank: LabelBank, class_names: Sequence[str]) -> str:
    """All entries of the bank as CSV, one row per slice and class, in the bank's order; see PROVENANCE_COLUMNS.

    `verdict` is the provenance in words: manual, kept, renewed, left out. `takes_part` is 0 where the label was left
    out of the loss: a label with verdict renewed and takes_part 0 was written at the end, for this data set only.
    """
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(PROVENANCE_COLUMNS)
    columns = [getattr(label_bank, key).tolist() for key in ("provenance", *PROVENANCE_COLUMNS[-5:])]
    for row, sample in enumerate(label_bank.sample_ids):
        case, _, number = sample.rpartition("/")
        for k, name in enumerate(class_names):
            provenance, takes_part, changed_epoch, *numbers = (column[row][k] for column in columns)
            table.writerow(
                (
                    *(sample, case, number, name, VERDICTS[Provenance(provenance)], int(takes_part), changed_epoch),
                    *(f"{value:.6g}" for value in numbers),
                )
            )
    return out.getvalue()


def _invert(masks: Tensor, like: MetaTensor, preprocessing: Any) -> Tensor:
    """Undo on float `masks` (C, h, w, D) what was done to `like`: (C, H, W, D), D = 1 for a 2-D file."""
    operations = convert_applied_interp_mode(like.applied_operations, mode="bilinear", align_corners=False)
    traced = MetaTensor(masks, meta=like.meta, applied_operations=cast(list, operations))
    traced.spatial_ndim = masks.ndim - 1  # else MONAI goes by the affine, of rank 2 for some pictures
    with allow_missing_keys_mode(preprocessing):
        native = preprocessing.inverse({"label": traced})["label"].as_tensor()
    return native[..., None] if native.ndim == 3 else native


def _slice_axis(number: Tensor, depth: int) -> tuple[int, Tensor] | None:
    """Where the samples of a case lie in its file, from their numbers 1..depth brought back into it (H, W, D).

    Returns:
        the axis, and which sample int64 (depth,) each slice along it became; None if samples are no slices of the file.
    """
    for axis in (2, 1, 0):
        order = number.movedim(axis, 0).flatten(1).amax(dim=1).round().long() - 1
        if order.sort().values.tolist() == list(range(depth)):
            return axis, order
    return None
