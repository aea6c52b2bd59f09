# SPDX-License-Identifier: Apache-2.0
"""What a finished audit judged, loaded again: findings, slices and out-of-sample probabilities in one order."""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bundle.self_cleansing.audit.fold_evidence import FoldEvidence  # noqa: E402
from bundle.self_cleansing.audit.fold_training import FoldTraining  # noqa: E402
from bundle.self_cleansing.audit.label_audit import EVIDENCE, PROBS  # noqa: E402
from bundle.self_cleansing.data import find_cases, read_json  # noqa: E402
from bundle.self_cleansing.slice_bank import SliceBank  # noqa: E402


@dataclass(frozen=True)
class FinishedAudit:
    """N samples, K classes.

    Attributes:
        found: labels.json.
        bank: the samples, with clean labels where the data set has them.
        is_known: samples of cases with a clean label of their own, bool (N,); all False if the data set has none.
        probs: out-of-sample probabilities, uint8 (N, K, H, W) in steps of 1/255.
    """

    found: dict[str, Any]
    bank: SliceBank
    is_known: NDArray[np.bool_]
    probs: NDArray[np.uint8]

    def column(self, name: str) -> NDArray[Any]:
        """A field of all labels, (N, K)."""
        values = [label[name] for label in self.found["labels"]]
        return np.array(values).reshape(len(self.bank), len(self.found["classes"]))


def open_audit(audit: Path, dataset_dir: Path) -> FinishedAudit:
    """Load an audit and the data it judged; how slices come to the network's grid is in its plan.

    Args:
        audit: its folder.
        dataset_dir: the data.

    Raises:
        FileNotFoundError: if the audit is not finished.
        ValueError: if the data lack a case of the audit.
    """
    plan, found = read_json(audit / "plan.json"), read_json(audit / "labels.json")
    needed = {"training": plan, "training_config": plan, "cases": found, "labels": found, "classes": found}
    if lacking := [key for key, content in needed.items() if key not in content]:
        raise ValueError(
            f"{audit} is no finished audit (its plan or findings lack {', '.join(lacking)}); name the folder of one"
        )
    by_name = {case["case"]: case for case in find_cases(dataset_dir)}
    missing = [case["case"] for case in found["cases"] if case["case"] not in by_name]
    if missing:
        raise ValueError(f"case {missing[0]} of audit {audit} is not in {dataset_dir}; name the data it judged")
    settings = {**plan["training"], "bundle_root": str(ROOT), "dataset_dir": str(dataset_dir)}
    parser = FoldTraining([ROOT / file for file in plan["training_config"]], settings).parser()
    cases = [by_name[case["case"]] for case in found["cases"]]
    is_known = np.array(["clean_label" in case for case in cases])
    if is_known.any():  # a simulation leaves the labels of some parts as they were: a bank has all clean labels or none
        cases = [{"clean_label": case["label"], **case} for case in cases]
    bank = SliceBank(cases, parser.get_parsed_content("train#preprocessing"), progress=False)
    probs = np.zeros(tuple(bank.labels.shape), dtype=np.uint8)
    for folder in (audit / "folds").iterdir():
        samples = FoldEvidence.load(folder / EVIDENCE).samples
        probs[samples] = np.load(folder / PROBS, mmap_mode="r", allow_pickle=False)
    return FinishedAudit(found, bank, is_known[bank.case_index.numpy()], probs)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options that `from_options` reads."""
    parser.add_argument("--audit", required=True, type=Path, help="folder of a finished audit")
    parser.add_argument("--dataset_dir", required=True, type=Path, help="the data it judged")


def from_options(options: argparse.Namespace) -> FinishedAudit:
    """`open_audit` of parsed options."""
    return open_audit(options.audit, options.dataset_dir)
