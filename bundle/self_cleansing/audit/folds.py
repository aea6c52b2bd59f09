# SPDX-License-Identifier: Apache-2.0
"""Cross-validation over patients: every label is judged by a network that never saw its patient."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from ..data import PARTS, find_cases, read_json


def patient_folds(patients: Sequence[str], num_folds: int, seed: int = 0) -> list[list[str]]:
    """Divide patients into folds whose sizes differ by one at most.

    Args:
        patients: names, repeats allowed.
        num_folds: at least 2.
        seed: of the shuffle.

    Returns:
        one sorted list of patients per fold; together they are all patients, once each.

    Raises:
        ValueError: if there are fewer than two folds, or fewer patients than folds.
    """
    names = sorted(set(patients))
    if num_folds < 2:
        raise ValueError(f"folds must be at least 2, got {num_folds}: a network must not judge labels it has learned")
    if len(names) < num_folds:
        raise ValueError(
            f"{num_folds} folds need as many patients, the data have {len(names)}; lower --folds or add patients"
        )
    order = np.random.default_rng(seed).permutation(len(names))
    return [sorted(names[i] for i in order[fold::num_folds]) for fold in range(num_folds)]


class FoldSplit(Mapping[str, list[dict]]):
    """The cases of one fold by part: `train` without the held-out patients, which are `validation`; the rest is empty.

    Takes the place of `SplitOnDemand` in a training's config. The last model of a training does not depend on what is
    validated, and that model alone is used.

    Args:
        dataset_dir: see `find_cases`.
        patients: JSON file of two lists of patients, {"train": [...], "held_out": [...]}.
    """

    def __init__(self, dataset_dir: str | os.PathLike, patients: str | os.PathLike) -> None:
        self.dataset_dir = dataset_dir
        listed = read_json(patients)
        self.patients = {"train": frozenset(listed["train"]), "validation": frozenset(listed["held_out"])}

    @cached_property
    def cases(self) -> list[dict]:
        return find_cases(self.dataset_dir)

    def __getitem__(self, part: str) -> list[dict]:
        if part not in PARTS:
            raise KeyError(part)
        return [case for case in self.cases if case["patient"] in self.patients.get(part, ())]

    def __iter__(self) -> Iterator[str]:
        return iter(PARTS)

    def __len__(self) -> int:
        return len(PARTS)
