# SPDX-License-Identifier: Apache-2.0
"""A list of volumes as one indexed bank of slices: each sample has an index and a stable id `<case>/<slice>`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from .distributed import is_first
from .transforms import clear_error


def case_name(item: Mapping[str, Any]) -> str:
    """Return the case id of a data list entry: its `case`, else its image's file name without extensions."""
    return str(item["case"]) if "case" in item else Path(str(item["image"])).name.split(".")[0]


def check_same_shape(item: Mapping[str, Any], stacks: Mapping[str, list[Tensor]]) -> None:
    """Raise ValueError unless the case's label has the slices of its image, and its plane is that of the first case."""
    first, image, label = stacks["image"][0], stacks["image"][-1], stacks["label"][-1]
    if image.shape[2:] != label.shape[2:] or len(image) != len(label):
        raise ValueError(
            f"{item['image']} has {len(image)} slices of {tuple(image.shape[2:])} after preprocessing and its label "
            f"{len(label)} of {tuple(label.shape[2:])}; check that they belong together"
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

    Args:
        data: one entry per volume: `image` and `label` paths, optionally `case` (id) and `clean_label`, the
            reference, which only evaluation may list. MONAI Label passes this list.
        preprocessing: deterministic transforms from an entry to tensors `image` (C, H, W, D), `label` and
            `clean_label` (K, H, W, D), the same H and W for every case.
        progress: show a progress bar on standard error.

    Attributes:
        images: float32 (N, C, H, W).
        labels: uint8 (N, K, H, W) in {0, 1}, one binary mask per class.
        clean_labels: uint8 like `labels`, or None unless every entry has one.
        sample_ids: N strings `<case>/<slice>`, slices counted from 0 along the last axis.
        case_index: int64 (N,), position of the sample's case in `cases`.
        cases: case ids.

    Raises:
        ValueError: no data, a case id that occurs twice, or any bad input that the transforms report, in the
            transform's own sentence.
    """

    def __init__(
        self, data: Sequence[Mapping[str, Any]], preprocessing: Callable[[Any], Any], progress: bool = True
    ) -> None:
        if len(data) == 0:
            raise ValueError("the data list has no case; check --dataset_dir and the split file")
        self.cases = [case_name(item) for item in data]
        if len(set(self.cases)) < len(self.cases):
            twice = next(name for name in self.cases if self.cases.count(name) > 1)
            raise ValueError(f"case id {twice!r} occurs twice in the data list; give each case its own file name")
        stacks: dict[str, list[Tensor]] = {"image": [], "label": [], "clean_label": []}
        for item in tqdm(data, desc="preprocessing", unit="case", disable=not (progress and is_first()), leave=False):
            try:
                volume = preprocessing(dict(item))
            except Exception as error:
                raise clear_error(error, item) from error
            for key, slices in stacks.items():
                if key in volume:
                    kind = torch.float32 if key == "image" else torch.uint8
                    tensor = torch.as_tensor(np.asarray(volume[key])).movedim(-1, 0).to(kind).contiguous()
                    slices.append(tensor)
            check_same_shape(item, stacks)
        depths = [len(image) for image in stacks["image"]]
        self.sample_ids = [
            f"{case}/{index}" for case, depth in zip(self.cases, depths, strict=True) for index in range(depth)
        ]
        self.case_index = torch.repeat_interleave(torch.arange(len(depths)), torch.tensor(depths))
        self.images = torch.cat(stacks["image"])
        self.labels = torch.cat(stacks["label"])
        complete = len(stacks["clean_label"]) == len(data)
        self.clean_labels = torch.cat(stacks["clean_label"]) if complete else None

    def __len__(self) -> int:
        return len(self.sample_ids)

    @property
    def reference_labels(self) -> Tensor:
        """The clean labels where there are any, else the given ones: uint8 (N, K, H, W)."""
        return self.labels if self.clean_labels is None else self.clean_labels

    def __getitem__(self, index: int | Tensor) -> dict[str, Tensor]:
        """Return image and label of one sample, or of several if `index` is an index tensor."""
        return {"image": self.images[index], "label": self.labels[index]}
