# SPDX-License-Identifier: Apache-2.0
"""The audit as a config names it: train fold by fold, judge every label, write what was found."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from numpy.typing import NDArray

from ..data import PARTS, find_cases, read_json, split_cases, training_items, write_json
from ..data.whole_file import whole_file
from ..distributed import world_size
from ..label_bank import pack_bits, packed_width
from ..run_folder import write_run_record
from ..slice_bank import SliceBank
from .findings import Findings
from .fold_evidence import FoldEvidence, fold_evidence, proposals
from .fold_training import FoldTraining, predict
from .folds import patient_folds
from .gather import gather_findings
from .results import write_results
from .trust import judge

logger = logging.getLogger(__name__)

SPLIT = "bundle.self_cleansing.audit.folds.FoldSplit"
PLAN, EVIDENCE, PROBS = "plan.json", "evidence.npz", "probs.npy"
ELSEWHERE = ("dataset_dir", "cache_dir", "device")  # settings that make no other audit
CHUNK = 256  # samples whose proposals are made at a time


class LabelAudit:
    """Judge the given labels of a data set by cross-validation over its patients, and write a report.

    What is done is never done again: a fold that has been trained, or judged, is kept in `<output_dir>/folds`, and an
    audit that was stopped goes on with `resume`. Memory is bounded: slices and predictions are files mapped into it.

    Args:
        dataset_dir: see `find_cases`.
        output_dir: where the report goes.
        training_config: files of the training, see `FoldTraining`.
        settings: entries of the training's config to override.
        folds: number of networks; each learns from the patients of all folds but one.
        parts: the parts of the split to audit; None: every labelled case, whatever the split.
        split_file: of the data set, for `parts`.
        copies: damaged copies of every label that its evidence is compared with.
        seed: of folds, trainings and damage.
        resume: go on with an audit that was stopped.

    Raises (all before any work):
        FileExistsError: if output_dir holds an audit and `resume` is false.
        FileNotFoundError: if `resume` is true and there is none, or a config or the data set is missing.
        ValueError: if the audit in output_dir is another one, a part is unknown or empty, or there are fewer patients
            than folds.
    """

    def __init__(
        self,
        dataset_dir: str | os.PathLike[str],
        output_dir: str | os.PathLike[str],
        training_config: Sequence[str],
        settings: Mapping[str, Any] | None = None,
        folds: int = 3,
        parts: Sequence[str] | None = None,
        split_file: str | os.PathLike[str] | None = None,
        copies: int = 3,
        seed: int = 0,
        resume: bool = False,
    ) -> None:
        self.dataset_dir = Path(os.path.abspath(dataset_dir))
        self.output_dir = Path(output_dir)
        self.settings = {**(settings or {}), "seed": seed, "dataset_dir": str(self.dataset_dir)}
        self.training = FoldTraining(training_config, self.settings)
        self.folds = folds
        self.parts = list(parts) if parts else None
        self.split_file = split_file
        self.copies = copies
        self.seed = seed
        self.resume = resume

    def run(self) -> Findings:
        """Do what is left to do, write all results, and return them."""
        if world_size() > 1:
            raise ValueError("an audit runs in one process; start it without torchrun")
        cases = self.cases()
        folds = patient_folds([case["patient"] for case in cases], self.folds, self.seed)
        parser = self.training.parser()
        self._claim(self._plan(cases))
        dataset = SliceBank(
            training_items(cases),
            parser.get_parsed_content("train#preprocessing"),
            cache_dir=parser.get_parsed_content("cache_dir"),
        )
        for number, held_out in enumerate(folds):
            if self._fold_file(number, EVIDENCE).is_file():
                continue
            logger.info("fold %d of %d: %d patients held out", number + 1, self.folds, len(held_out))
            train = [name for fold in folds for name in fold if fold is not held_out]
            self._judge_fold(number, train, held_out, cases, dataset)
        return self._conclude(cases, dataset, parser)

    def cases(self) -> list[dict]:
        """The cases to audit, sorted by name."""
        cases = find_cases(self.dataset_dir)
        if self.parts is None:
            return cases
        unknown = [part for part in self.parts if part not in PARTS]
        if unknown:
            raise ValueError(f"part must be one of {', '.join(PARTS)}, got {unknown[0]!r}")
        split = split_cases(cases, self.split_file)
        chosen = [case for part in self.parts for case in split[part]]
        if not chosen:
            raise ValueError(f"no case of {self.dataset_dir} is in part {', '.join(self.parts)}; name another part")
        return sorted(chosen, key=lambda case: case["case"])

    def probs(self, number: int) -> NDArray[np.uint8]:
        """The out-of-sample probabilities of a fold, uint8 (n, K, H, W) in steps of 1/255, mapped from its file."""
        return np.load(self._fold_file(number, PROBS), mmap_mode="r", allow_pickle=False)

    def _judge_fold(
        self, number: int, train: list[str], held_out: list[str], cases: list[dict], dataset: SliceBank
    ) -> None:
        split = {"_target_": SPLIT, "dataset_dir": str(self.dataset_dir), "train": train, "held_out": held_out}
        network = self.training.network(self._fold_file(number, "run"), split)
        is_held_out = np.array([case["patient"] in set(held_out) for case in cases])
        case_index = dataset.case_index.numpy()
        samples = np.flatnonzero(is_held_out[case_index])
        with whole_file(self._fold_file(number, PROBS)) as temporary:
            predict(network, dataset, samples, temporary)
        labels = dataset.labels[samples].cpu().numpy()
        found = fold_evidence(samples, case_index[samples], labels, self.probs(number), self.copies, self.seed)
        found.save(self._fold_file(number, EVIDENCE))

    def _conclude(self, cases: list[dict], dataset: SliceBank, parser: ConfigParser) -> Findings:
        folds = [FoldEvidence.load(self._fold_file(number, EVIDENCE)) for number in range(self.folds)]
        order = np.argsort(np.concatenate([fold.samples for fold in folds]))
        trust = judge(
            np.concatenate([fold.given for fold in folds])[order],
            np.concatenate([fold.damaged for fold in folds]),
            np.concatenate([fold.kinds for fold in folds]),
            np.concatenate([fold.origin for fold in folds]),
        )
        class_names = parser.get_parsed_content("class_names")
        preprocessing = parser.get_parsed_content("train#preprocessing")
        *shape, width = dataset.labels.shape
        proposal = torch.empty(*shape, packed_width(width), dtype=torch.uint8)
        for number, fold in enumerate(folds):
            probs = self.probs(number)
            for rows in np.array_split(np.arange(len(probs)), max(1, len(probs) // CHUNK)):
                proposal[fold.samples[rows]] = pack_bits(torch.from_numpy(proposals(probs[rows])))
        findings = gather_findings(cases, dataset, trust, proposal, class_names, preprocessing, self._settings())
        write_run_record(self.output_dir / "run.json", class_names=class_names, **self._settings())
        write_results(self.output_dir, self.dataset_dir, cases, dataset, preprocessing, findings, proposal)
        return findings

    def _settings(self) -> dict[str, Any]:
        return {
            "folds": self.folds,
            "seed": self.seed,
            "copies": self.copies,
            "parts": self.parts or "all",
            "training_config": ["/".join(Path(file).parts[-2:]) for file in self.training.files],
        }

    def _plan(self, cases: list[dict]) -> dict[str, Any]:
        """What makes this audit another one than that in the same folder."""
        files = {case["case"]: [os.path.getsize(case[key]) for key in ("image", "label")] for case in cases}
        settings = {key: repr(value) for key, value in self.training.settings.items() if key not in ELSEWHERE}
        return {**self._settings(), "settings": settings, "file_sizes": files}

    def _claim(self, plan: dict[str, Any]) -> None:
        path = self.output_dir / PLAN
        if not self.resume:
            if path.is_file():
                raise FileExistsError(
                    f"output_dir {self.output_dir} already holds an audit; continue it with --resume true, or give "
                    "another --output_dir"
                )
            write_json(path, plan)
            return
        if not path.is_file():
            raise FileNotFoundError(
                f"nothing to resume: output_dir {self.output_dir} has no {PLAN}; start the audit without --resume"
            )
        earlier = read_json(path)
        differing = sorted(key for key in {**plan, **earlier} if plan.get(key) != earlier.get(key))
        if differing:
            raise ValueError(
                f"the audit in {self.output_dir} is another one: it differs in {', '.join(differing)}; resume it with "
                "the data and settings it was started with, or give another --output_dir"
            )

    def _fold_file(self, number: int, name: str) -> Path:
        return self.output_dir / "folds" / str(number) / name
