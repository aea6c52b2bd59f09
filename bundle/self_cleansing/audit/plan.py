# SPDX-License-Identifier: Apache-2.0
"""What an audit is going to do, checked before any work, and recorded so that only the same audit goes on with it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..data import PARTS, find_cases, read_json, split_cases
from ..data.cases import check_one_label_each
from ..label_bank import content_hash
from ..run_folder import check_not_a_file
from ..slice_bank import SliceBank

PLAN = "plan.json"
PLACES = ("bundle_root", "dataset_dir", "cache_dir", "device")  # settings that make no other audit


def audited_cases(
    dataset_dir: Path, parts: Sequence[str] | None, split_file: str | os.PathLike[str] | None
) -> list[dict]:
    """The cases to audit, sorted by name.

    Args:
        dataset_dir: see `find_cases`.
        parts: of the split; None: every labelled case.
        split_file: see `split_cases`.

    Raises:
        ValueError: if a part is unknown, no case is in the parts, or two cases share a label file.
    """
    cases = find_cases(dataset_dir)
    if parts is not None:
        unknown = [part for part in parts if part not in PARTS]
        if unknown:
            raise ValueError(f"part must be one of {', '.join(PARTS)}, got {unknown[0]!r}")
        split = split_cases(cases, split_file)
        cases = sorted((case for part in parts for case in split[part]), key=lambda case: case["case"])
        if not cases:
            raise ValueError(f"no case of {dataset_dir} is in part {', '.join(parts)}; name another part")
    check_one_label_each(cases)
    return cases


def check_output_dir(output_dir: Path, dataset_dir: Path, resume: bool) -> None:
    """Refuse a folder that is taken, lies in the data, or, to resume, holds no audit.

    Raises:
        NotADirectoryError, FileExistsError, FileNotFoundError, ValueError: each with what to do instead.
    """
    check_not_a_file(output_dir)
    if output_dir.is_relative_to(dataset_dir):
        raise ValueError(
            f"output_dir {output_dir} lies in the data {dataset_dir}, where the proposed labels would be taken for "
            "cases; give another folder"
        )
    is_there = (output_dir / PLAN).is_file()
    if is_there and not resume:
        raise FileExistsError(
            f"output_dir {output_dir} already holds an audit; continue it with --resume true, or give another "
            "--output_dir"
        )
    if resume and not is_there:
        raise FileNotFoundError(
            f"nothing to resume: output_dir {output_dir} has no {PLAN}; start the audit without --resume"
        )


def make_plan(dataset: SliceBank, training_config: Sequence[str], settings: Mapping[str, Any]) -> dict[str, Any]:
    """What makes this audit another one than that in the same folder: slices, labels, configs and settings."""
    return {
        **settings,
        "cases": dataset.cases,
        "labels": content_hash(dataset.labels),
        "images": content_hash(dataset.images),
        "training_config": [str(file) for file in training_config],
        "config_texts": [Path(file).read_text(encoding="utf-8") for file in training_config],
    }


def check_plan(output_dir: Path, plan: Mapping[str, Any]) -> None:
    """Raise ValueError if `output_dir` holds an audit with another plan; the differing entries are named."""
    if not (output_dir / PLAN).is_file():
        return
    earlier = read_json(output_dir / PLAN)
    differing = sorted(key for key in {**plan, **earlier} if plan.get(key) != earlier.get(key))
    if differing:
        raise ValueError(
            f"the audit in {output_dir} is another one: it differs in {', '.join(differing)}; resume it with the data "
            "and settings it was started with, or give another --output_dir"
        )
