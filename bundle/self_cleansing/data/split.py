# SPDX-License-Identifier: Apache-2.0
"""Divide the cases among train, validation, test and holdout, patient by patient, once per data set.

ACDC numbers its patients by diagnosis in blocks of twenty, so its split is drawn within blocks: of each block, numbers
1-11 train, 12-13 validate, 14-16 test, and 17-20 are held out for a final test, as are the challenge's own test
patients (101-150). A seed shuffles 1-16 within each block and leaves the holdout alone.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from ..distributed import is_first
from .cases import check_classes, find_cases
from .json_file import read_json, write_json

logger = logging.getLogger(__name__)

PARTS = ("train", "validation", "test", "holdout")
ACDC_PATIENT = re.compile(r"patient(\d{3})")
ACDC_BLOCK = 20
ACDC_LAST_TRAINING_PATIENT = 100
ACDC_BLOCK_PARTS = ("train",) * 11 + ("validation",) * 2 + ("test",) * 3  # the other four: holdout


class SplitOnDemand(Mapping[str, list[dict]]):
    """The parts of a data set: `split_cases` of `find_cases`, made when a part is first asked for.

    MONAI Label brings lists of its own and no data set: then nobody asks, and nothing is missed.

    Args:
        dataset_dir: see `find_cases`.
        split_file, seed: see `split_cases`.
        class_names: of the training, in channel order; None: not compared with those of the data set.

    Raises:
        ValueError: when a part is asked for, if the data set declares other classes; or as `split_cases`.
    """

    def __init__(
        self,
        dataset_dir: str | os.PathLike,
        split_file: str | os.PathLike | None = None,
        seed: int | None = None,
        class_names: Sequence[str] | None = None,
    ) -> None:
        self.dataset_dir = dataset_dir
        self.split_file = split_file
        self.seed = seed
        self.class_names = class_names

    @cached_property
    def parts(self) -> dict[str, list[dict]]:
        cases = find_cases(self.dataset_dir)
        if self.class_names is not None:
            check_classes(self.dataset_dir, self.class_names, 'pass --class_names "{0}", or the config of these data')
        return split_cases(cases, self.split_file, self.seed)

    def __getitem__(self, part: str) -> list[dict]:
        return self.parts[part]

    def __iter__(self) -> Iterator[str]:
        return iter(PARTS)

    def __len__(self) -> int:
        return len(PARTS)


def split_cases(
    cases: list[dict],
    split_file: str | os.PathLike | None = None,
    seed: int | None = None,
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
) -> dict[str, list[dict]]:
    """Divide cases by patient, reusing the split file of an earlier run.

    Args:
        cases: as from `find_cases`; a key "part" predefines the part of its patient.
        split_file: JSON {"rule", "seed", "parts": {"train": [patients], ...}}. Read if it exists (the patients it
            names beyond the data are ignored), else written, of several processes by the first: all draw the same. A
            folder that cannot be written only logs a warning.
        seed: None: the standard split for ACDC, seed 0 for other data. An integer draws another one.
        fractions: of the patients, for train, validation, test; positive, with sum 1. Not used for ACDC, unless it
            lacks the patients that would fill all three parts: then for the patients outside the holdout.

    Returns:
        {"train", "validation", "test", "holdout"}: the case dicts themselves, each list in the order of `cases`. A
        computed split leaves none of the first three empty; holdout is [] for data other than ACDC.

    Raises:
        ValueError: if a patient is in two parts or in none, the split file is malformed or belongs to other data, or
            fewer than three patients are there to be divided.
    """
    patients = sorted({case["patient"] for case in cases})
    predefined = _predefined(cases)
    if split_file is not None and os.path.exists(split_file):
        parts = _read(split_file, patients, predefined, seed)
    else:
        rule, parts = _draw(patients, predefined, seed, fractions)
        if split_file is not None and is_first():
            _write(split_file, rule, seed, parts)
    return {part: [case for case in cases if parts[case["patient"]] == part] for part in PARTS}


def _predefined(cases: list[dict]) -> dict[str, str]:
    """Part by patient where the data set gives it; a patient with some cases in "training" belongs there."""
    parts: dict[str, str] = {}
    for case in cases:
        part = case.get("part", "train")
        if parts.setdefault(case["patient"], part) != part:
            raise ValueError(
                f"patient {case['patient']} is in two parts of the data set, {parts[case['patient']]} and {part}; "
                "all cases of a patient must be in one"
            )
    given = {case["patient"] for case in cases if "part" in case}
    return {patient: part for patient, part in parts.items() if patient in given}


def _read(
    split_file: str | os.PathLike, patients: list[str], predefined: dict[str, str], seed: int | None
) -> dict[str, str]:
    content = read_json(split_file)
    listed = content.get("parts")
    if not isinstance(listed, dict) or not set(listed) <= set(PARTS):
        raise ValueError(f'{split_file} must have "parts" with lists of patients for {", ".join(PARTS)}')
    parts: dict[str, str] = {}
    for part, names in listed.items():
        if not isinstance(names, list):
            raise ValueError(f"part {part} of {split_file} must be a list of patients, got {names!r:.80}")
        for patient in map(str, names):
            if parts.setdefault(patient, part) != part:
                raise ValueError(
                    f"patient {patient} is in two parts of {split_file}, {parts[patient]} and {part}; keep one"
                )
    missing = [patient for patient in patients if patient not in parts]
    if len(missing) == len(patients):
        raise ValueError(
            f"{split_file} names none of the data's patients (the first is {patients[0]}); "
            "it belongs to other data: name another split file, or delete this one to draw a new split"
        )
    if missing:
        raise ValueError(
            f"patient {missing[0]} is in no part of {split_file} ({len(missing)} such patients); "
            "add them, or delete the file to draw a new split"
        )
    for patient, part in predefined.items():
        if parts[patient] != part:
            raise ValueError(
                f"patient {patient} is in two parts, {part} by dataset.json and {parts[patient]} by {split_file}; "
                "make the two agree"
            )
    if seed is not None and content.get("seed") != seed:
        logger.warning("%s is reused; its seed is %s, not the given %s", split_file, content.get("seed"), seed)
    return {patient: parts[patient] for patient in patients}


def _write(split_file: str | os.PathLike, rule: str, seed: int | None, parts: dict[str, str]) -> None:
    listed = {part: [patient for patient in parts if parts[patient] == part] for part in PARTS}
    try:
        write_json(split_file, {"rule": rule, "seed": seed, "parts": listed})
    except OSError as error:
        logger.warning("the split is not saved: %s cannot be written (%s)", split_file, error.strerror or error)


def _draw(
    patients: list[str], predefined: dict[str, str], seed: int | None, fractions: Sequence[float]
) -> tuple[str, dict[str, str]]:
    """The rule in words, and the part of every patient, in the order of `patients`."""
    held_out: dict[str, str] = {}
    if patients and not predefined and all(ACDC_PATIENT.fullmatch(patient) for patient in patients):
        parts = {patient: _acdc_part(int(patient[-3:]), seed) for patient in patients}
        if set(PARTS[:3]) <= set(parts.values()):
            rule = "ACDC, within blocks of twenty patients: 11 train, 2 validation, 3 test, 4 holdout"
            return rule, parts
        held_out = {patient: part for patient, part in parts.items() if part == "holdout"}
    fixed = held_out | predefined
    drawn = _by_fractions([patient for patient in patients if patient not in fixed], predefined, seed or 0, fractions)
    rule = f"patients shuffled, then train, validation, test by the fractions {', '.join(map(str, fractions))}"
    if held_out:
        rule += "; ACDC's holdout left alone"
    if predefined:
        rule += "; parts given by dataset.json kept"
    return rule, {patient: fixed.get(patient) or drawn[patient] for patient in patients}


def _acdc_part(number: int, seed: int | None) -> str:
    """Part of ACDC patient `number` (1-based): it depends on the number and the seed, not on who else is there."""
    block, place = divmod(number - 1, ACDC_BLOCK)
    if not 1 <= number <= ACDC_LAST_TRAINING_PATIENT or place >= len(ACDC_BLOCK_PARTS):
        return "holdout"
    if seed is not None:
        place = np.random.default_rng([seed, block]).permutation(len(ACDC_BLOCK_PARTS))[place]
    return ACDC_BLOCK_PARTS[place]


def _by_fractions(
    patients: list[str], predefined: dict[str, str], seed: int, fractions: Sequence[float]
) -> dict[str, str]:
    """Shuffle and divide among the parts that nobody predefined, each getting at least one patient."""
    if len(fractions) != 3 or min(fractions) <= 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(
            f"fractions must be three positive numbers for train, validation, test with sum 1, got {fractions!r}"
        )
    wanted = [part for part in PARTS[:3] if part == "train" or part not in predefined.values()]
    share = {part: fraction for part, fraction in zip(PARTS[:3], fractions, strict=True) if part in wanted}
    if len(patients) < len(share):
        raise ValueError(
            f"{len(patients)} patients ({', '.join(patients)}) cannot fill {', '.join(wanted)}; "
            "give a split file, or more patients"
        )
    total = sum(share.values())
    order = [patients[i] for i in np.random.default_rng(seed).permutation(len(patients))]
    parts: dict[str, str] = {}
    for part in wanted[:0:-1]:  # test, validation; the rest goes to train
        room = len(order) - len(parts) - wanted.index(part)  # leaves one patient for each part before it
        count = min(max(1, round(len(patients) * share[part] / total)), room)
        parts |= dict.fromkeys(order[len(parts) : len(parts) + count], part)
    return parts | dict.fromkeys(order[len(parts) :], "train")
