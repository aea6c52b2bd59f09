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
from monai.utils import ensure_tuple
from numpy.typing import NDArray

from ..data import find_cases, training_items, write_json
from ..data.cases import check_classes
from ..data.whole_file import whole_file
from ..distributed import world_size
from ..folder_lock import keep_folder
from ..label_bank import pack_bits, packed_width
from ..leftovers import remove_leftovers
from ..run_folder import write_run_record
from ..settings import check_settings
from ..slice_bank import SliceBank
from .findings import Findings
from .fold_evidence import FoldEvidence, fold_evidence, proposals
from .fold_training import FoldTraining, predict
from .folds import patient_folds
from .gather import gather_findings
from .plan import PLACES, PLAN, audited_cases, check_output_dir, check_plan, make_plan
from .results import AuditedData, write_results
from .trust import judge

logger = logging.getLogger(__name__)

PATIENTS, EVIDENCE, PROBS = "patients.json", "evidence.npz", "probs.npy"
OTHER_CLASSES = (  # remedy
    "choose the training config of these data, or add class_names to the settings: {{'class_names': {0!r}}}"
)
CHUNK = 256  # samples whose proposals are made at a time


class LabelAudit:
    """Judge the given labels of a data set by cross-validation over its patients, and write a report.

    What is done is never done again: a fold that has been trained, or judged, is kept in `<output_dir>/folds`, and an
    audit that was stopped goes on with `resume`. Memory is bounded: slices and predictions are files mapped into it.

    Args:
        dataset_dir: see `find_cases`.
        output_dir: where the report goes; not inside the data.
        training_config: files of the training, see `FoldTraining`.
        bundle_root: of that training.
        settings: entries of the training's config to override.
        folds: number of networks; each learns from the patients of all folds but one.
        parts: the parts of the split to audit; None: every labelled case, whatever the split.
        split_file: of the data set, for `parts`.
        copies: damaged copies of every label that its evidence is compared with, at least 1.
        seed: of folds, trainings and damage.
        resume: go on with an audit that was stopped.

    Raises (all before any training):
        FileExistsError: if output_dir holds an audit and `resume` is false.
        NotADirectoryError: if output_dir is a file.
        WriteError: if there is no room, or no leave to write there.
        FileNotFoundError: if `resume` is true and there is none, or a config or the data set is missing.
        ValueError: if the audit in output_dir is another one, another process works there, it lies in the data, a part
            is unknown or empty, there are fewer patients than folds, the training's classes are not those of the data,
            a setting is none of the training, no label marks anything, or a case is bad input.
    """

    def __init__(
        self,
        dataset_dir: str | os.PathLike[str],
        output_dir: str | os.PathLike[str],
        training_config: str | Sequence[str],
        bundle_root: str | os.PathLike[str] = ".",
        settings: Mapping[str, Any] | None = None,
        folds: int = 3,
        parts: str | Sequence[str] | None = None,
        split_file: str | os.PathLike[str] | None = None,
        copies: int = 3,
        seed: int = 0,
        resume: bool = False,
    ) -> None:
        check_settings(folds=folds, copies=copies, seed=seed)
        if not isinstance(settings or {}, Mapping):
            raise ValueError(f"settings must be a mapping like {{'max_epochs': 50}}, got {settings!r}")
        self.dataset_dir = Path(os.path.abspath(os.path.expanduser(dataset_dir)))
        self.output_dir = Path(os.path.abspath(os.path.expanduser(output_dir)))
        places = {"bundle_root": str(bundle_root), "dataset_dir": str(self.dataset_dir)}
        self.training = FoldTraining(ensure_tuple(training_config), {**places, **(settings or {}), "seed": seed})
        self.folds = folds
        self.parts = None if parts is None else list(ensure_tuple(parts))
        self.split_file = split_file
        self.copies = copies
        self.seed = seed
        self.resume = resume

    def run(self) -> Findings:
        """Do what is left to do, write all results, and return them."""
        if world_size() > 1:
            raise ValueError("an audit runs in one process; start it without torchrun")
        cases = audited_cases(self.dataset_dir, self.parts, self.split_file)
        folds = patient_folds([case["patient"] for case in cases], self.folds, self.seed)
        parser = self.training.parser()
        check_classes(self.dataset_dir, parser.get_parsed_content("class_names"), OTHER_CLASSES)
        check_output_dir(self.output_dir, self.dataset_dir, self.resume)
        dataset = SliceBank(
            training_items(cases),
            parser.get_parsed_content("train#preprocessing"),
            cache_dir=parser.get_parsed_content("cache_dir"),
        )
        if not dataset.labels.any():
            raise ValueError(f"the labels of {self.dataset_dir} mark nothing at all; there is nothing to audit")
        plan = make_plan(dataset, self.training.files, self._settings())
        check_plan(self.output_dir, plan)
        keep_folder(self.output_dir)
        check_output_dir(self.output_dir, self.dataset_dir, self.resume)  # another process may have been there since
        remove_leftovers(self.output_dir)
        write_json(self.output_dir / PLAN, plan)
        for number, held_out in enumerate(folds):
            if self._is_judged(number):
                continue
            logger.info("fold %d of %d: %d patients held out", number + 1, self.folds, len(held_out))
            train = [name for fold in folds for name in fold if fold is not held_out]
            self._judge_fold(number, train, held_out, cases, dataset)
        return self._conclude(cases, dataset, parser)

    def _is_judged(self, number: int) -> bool:
        """Whether all is kept that `_judge_fold` found out, and is what was written; if it is not, the log says so."""
        evidence = self._fold_file(number, EVIDENCE)
        if not evidence.is_file():
            return False
        try:
            FoldEvidence.load(evidence).check(self.probs(number))
        except Exception as error:  # zipfile and NumPy raise what they like of a damaged file
            folder, why = evidence.parent, f"{type(error).__name__}: {error}"
            logger.warning("%s is damaged, or of an earlier version (%s); this fold is predicted again", folder, why)
            return False
        return True

    def probs(self, number: int) -> NDArray[np.uint8]:
        """The out-of-sample probabilities of a fold, uint8 (n, K, H, W) in steps of 1/255, mapped from its file."""
        return np.load(self._fold_file(number, PROBS), mmap_mode="r", allow_pickle=False)

    def _judge_fold(
        self, number: int, train: list[str], held_out: list[str], cases: list[dict], dataset: SliceBank
    ) -> None:
        patients = self._fold_file(number, PATIENTS)
        write_json(patients, {"train": train, "held_out": held_out})
        network = self.training.network(self._fold_file(number, "run"), self.dataset_dir, patients)
        is_held_out = np.array([case["patient"] in set(held_out) for case in cases])
        case_index = dataset.case_index.numpy()
        samples = np.flatnonzero(is_held_out[case_index])
        with whole_file(self._fold_file(number, PROBS)) as temporary:
            any_orientation = self.training.parser().get_parsed_content("any_orientation")
            predict(network, dataset, samples, temporary, any_orientation)
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
            for start in range(0, len(probs), CHUNK):
                rows = slice(start, start + CHUNK)
                proposal[fold.samples[rows]] = pack_bits(torch.from_numpy(proposals(probs[rows])))
        findings = gather_findings(cases, dataset, trust, proposal, class_names, preprocessing, self._settings())
        device = parser.get_parsed_content("device")
        write_run_record(self.output_dir / "run.json", device, class_names=class_names, **self._settings())
        audited = {case["case"] for case in cases}
        others = [case for case in find_cases(self.dataset_dir) if case["case"] not in audited]
        data = AuditedData(self.dataset_dir, cases, others, self.split_file)
        write_results(self.output_dir, data, dataset, preprocessing, findings, proposal)
        return findings

    def _settings(self) -> dict[str, Any]:
        training = {name: value for name, value in self.training.settings.items() if name not in PLACES}
        return {
            "folds": self.folds,
            "seed": self.seed,
            "copies": self.copies,
            "parts": self.parts or "all",
            "training": {name: _plain(value) for name, value in sorted(training.items())},
        }

    def _fold_file(self, number: int, name: str) -> Path:
        return self.output_dir / "folds" / str(number) / name


def _plain(value: Any) -> Any:
    """A setting as JSON gives it back."""
    return value if value is None or isinstance(value, bool | int | float | str | list | dict) else repr(value)
