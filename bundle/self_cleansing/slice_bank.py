# SPDX-License-Identifier: Apache-2.0
"""A list of volumes as one indexed bank of slices: each sample has an index and a stable id `<case>/<slice>`."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from .data import case_id
from .distributed import from_first, is_first, world_size
from .slice_cache import cached, fingerprint
from .transforms import clear_error

logger = logging.getLogger(__name__)

KINDS = {"image": torch.float32, "label": torch.uint8, "clean_label": torch.uint8}


def check_same_shape(item: Mapping[str, Any], slices: Mapping[str, Tensor], first: Tensor) -> None:
    """Raise ValueError unless a case's labels have the slices of its image, and its plane is that of the first case."""
    image = slices["image"]
    for key, name in (("label", "label"), ("clean_label", "clean label")):
        label = slices.get(key, image)
        if image.shape[2:] != label.shape[2:] or len(image) != len(label):
            raise ValueError(
                f"{item['image']} has {len(image)} slices of {tuple(image.shape[2:])} after preprocessing and its "
                f"{name} {len(label)} of {tuple(label.shape[2:])}; check that they belong together"
            )
    if image.shape[1:] != first.shape[1:]:
        raise ValueError(
            f"{item['image']} has slices of shape {tuple(image.shape[1:])} (channels, H, W) after preprocessing, the "
            f"first case {tuple(first.shape[1:])}; all must agree: convert colour images to one channel, or resize"
        )


class SliceBank(Dataset):
    """Preprocess volumes once and keep their slices as indexed tensors.

    The order of samples is that of `data`, slice by slice, and never changes. Samples are addressed by index;
    `sample_ids` names them.

    Where the slices live: on a CUDA device if they take at most half of its free memory; else in files below
    `cache_dir`, mapped into memory, which another run on the same data reuses; without `cache_dir`, in memory.

    Args:
        data: one entry per volume: `image` and `label` paths, optionally `case` (id) and `clean_label`, the
            reference, which only evaluation may list. MONAI Label passes this list.
        preprocessing: deterministic transforms from an entry to tensors `image` (C, H, W, D), `label` and
            `clean_label` (K, H, W, D), the same H and W for every case.
        cache_dir: folder of preprocessed slices, one subfolder per bank, see `slice_cache`; None or 'none': no files.
        device: of the training.
        progress: show a progress bar on standard error.
        in_step: all processes of a training make this bank; then the first one writes the files for all.
        if_empty: stands in for `data` if that is empty: MONAI Label divides one or two cases so that none validates.

    Attributes:
        images: float32 (N, C, H, W).
        labels: uint8 (N, K, H, W) in {0, 1}, one binary mask per class.
        clean_labels: uint8 like `labels`, or None unless every entry has one.
        sample_ids: N strings `<case>/<slice>`, slices counted from 0 along the last axis.
        case_index: int64 (N,), position of the sample's case in `cases`.
        patient_index: int64 (N,), the sample's patient, numbered by first appearance; a case whose entry names no
            `patient` is one.
        cases: case ids.

    Raises:
        ValueError: no data, a case id that occurs twice, or any bad input that the transforms report, in the
            transform's own sentence.
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        preprocessing: Callable[[Any], Any],
        cache_dir: str | os.PathLike[str] | None = None,
        device: torch.device | str = "cpu",
        progress: bool = True,
        in_step: bool = True,
        if_empty: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        if len(data) == 0 and len(if_empty) > 0:
            logger.warning("no case to validate on: the training cases are used, too few are labelled to be divided")
            data = if_empty
        if len(data) == 0:
            raise ValueError("the data list has no case; check --dataset_dir and the split file")
        self.cases = [case_id(item) for item in data]
        if len(set(self.cases)) < len(self.cases):
            twice = next(name for name in self.cases if self.cases.count(name) > 1)
            raise ValueError(f"case id {twice!r} occurs twice in the data list; give each case its own file name")
        progress = progress and is_first()
        volumes = preprocessed(
            tqdm(data, desc="preprocessing", unit="case", disable=not progress, leave=False), preprocessing
        )
        name = None if cache_dir in (None, "none") else fingerprint(data, preprocessing)
        if name is None:
            place, (depths, arrays) = "memory", in_memory(volumes)
        else:
            folder = Path(str(cache_dir)) / name
            if in_step and world_size() > 1:
                from_first(lambda: len(cached(folder, volumes)))  # it writes the files, the others wait for them
            place, (depths, arrays) = f"{folder}, mapped", cached(folder, volumes)
        size = sum(array.nbytes for array in arrays.values())
        if torch.device(device).type == "cuda" and size <= torch.cuda.mem_get_info(device)[0] / 2:
            arrays, place = {key: array.to(device) for key, array in arrays.items()}, str(device)
        logger.info("%d slices of %d cases, %.0f MB, in %s", sum(depths), len(depths), size / 1e6, place)
        self.sample_ids = [
            f"{case}/{index}" for case, depth in zip(self.cases, depths, strict=True) for index in range(depth)
        ]
        self.case_index = torch.repeat_interleave(torch.arange(len(depths)), torch.tensor(depths))
        patients = [str(item.get("patient", case)) for item, case in zip(data, self.cases, strict=True)]
        number = {name: place for place, name in enumerate(dict.fromkeys(patients))}
        self.patient_index = torch.tensor([number[name] for name in patients])[self.case_index]
        self.images, self.labels = arrays["image"], arrays["label"]
        self.clean_labels = arrays.get("clean_label")

    def __len__(self) -> int:
        return len(self.sample_ids)

    @property
    def reference_labels(self) -> Tensor:
        """The clean labels where there are any, else the given ones: uint8 (N, K, H, W)."""
        return self.labels if self.clean_labels is None else self.clean_labels

    def __getitem__(self, index: int | Tensor) -> dict[str, Tensor]:
        """Return image and label of one sample, or of several if `index` is an index tensor."""
        return {"image": self.images[index], "label": self.labels[index]}


def check_marked(dataset: SliceBank) -> None:
    """Raise ValueError if no label of a bank marks anything: there is nothing to learn from it."""
    if not dataset.labels.any():
        raise ValueError(
            f"the labels of all {len(dataset)} slices ({', '.join(dataset.cases[:2])}, ...) mark nothing at all, "
            "so there is nothing to learn; check the label files and the classes"
        )


def preprocessed(data: Iterable[Mapping[str, Any]], preprocessing: Callable[[Any], Any]) -> Iterator[dict[str, Tensor]]:
    """Yield the slices of one case after the other: image float32, label and clean_label uint8, (D, channels, H, W).

    Raises:
        ValueError: bad input, in the transform's own sentence, or a shape that does not fit, see `check_same_shape`.
    """
    first: Tensor | None = None
    for item in data:
        try:
            volume = preprocessing(dict(item))
        except Exception as error:
            raise clear_error(error, item) from error
        slices = {
            key: torch.as_tensor(np.asarray(volume[key])).movedim(-1, 0).to(kind).contiguous()
            for key, kind in KINDS.items()
            if key in volume
        }
        first = slices["image"][:1] if first is None else first
        check_same_shape(item, slices, first)
        yield slices


def in_memory(volumes: Iterable[Mapping[str, Tensor]]) -> tuple[list[int], dict[str, Tensor]]:
    """Collect the slices of all cases, and how many each has; arrays that not every case has are dropped."""
    stacks: dict[str, list[Tensor]] = {}
    for volume in volumes:
        for key, slices in volume.items():
            stacks.setdefault(key, []).append(slices)
    depths = [len(image) for image in stacks["image"]]
    return depths, {key: torch.cat(stack) for key, stack in stacks.items() if len(stack) == len(depths)}
