# SPDX-License-Identifier: Apache-2.0
"""Score finished audits where the truth is known, beside the scores of cleanlab and MONAI on the same predictions.

    python scripts/compare_audit.py --audit runs/audit --dataset_dir data/phantom_noisy [--settings "{'shrink': 2}"] \\
        --output docs/results/audit.json --name phantom

The data set must hold the clean labels (clean_labels/, as scripts/make_noisy_labels.py leaves them), or be clean itself
(--clean). Each call replaces the entry --name of the output file. All comparisons are made on the network's grid: a
label is wrong if its Dice to the clean one is below 0.9, a slice is noisy if its label differs from the clean one.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bundle.self_cleansing.audit.damage import WRONG_BELOW  # noqa: E402
from bundle.self_cleansing.audit.findings import KINDS, SUSPECT  # noqa: E402
from bundle.self_cleansing.audit.fold_evidence import FoldEvidence, proposals  # noqa: E402
from bundle.self_cleansing.audit.fold_training import FoldTraining  # noqa: E402
from bundle.self_cleansing.audit.label_audit import EVIDENCE, PROBS  # noqa: E402
from bundle.self_cleansing.data import find_cases, read_json, write_json  # noqa: E402
from bundle.self_cleansing.slice_bank import SliceBank  # noqa: E402

BINS = 10
TRAINING = ("configs/train.yaml", "configs/presets/quick.yaml")

Masks = NDArray[np.bool_]


def score_audit(
    audit: Path, dataset_dir: Path, training_config: Sequence[str], settings: Mapping[str, Any], is_clean: bool = False
) -> dict[str, Any]:
    """Compare an audit with the truth.

    Args:
        audit: its folder.
        dataset_dir: the data it judged, with clean labels beside (unless `is_clean`).
        training_config, settings: as the audit was made with: the labels are brought to the network's grid again.
        is_clean: take the given labels for the truth.

    Returns:
        plain numbers for JSON; what needs wrong labels is left out if there are none.
    """
    found = read_json(audit / "labels.json")
    names = [case["case"] for case in found["cases"]]
    by_name = {case["case"]: case for case in find_cases(dataset_dir)}
    cases = [by_name[name] for name in names]
    if not is_clean and not all("clean_label" in case for case in cases):
        raise ValueError(f"{dataset_dir} has no clean_labels for every case; pass --clean if its labels are the truth")
    parser = FoldTraining(training_config, {**settings, "dataset_dir": str(dataset_dir)}).parser()
    bank = SliceBank(cases, parser.get_parsed_content("train#preprocessing"), progress=False)
    classes = found["classes"]
    given, clean = bank.labels.bool().numpy(), bank.reference_labels.bool().numpy()
    probs = audit_probs(audit, len(bank))
    shape = (len(bank), len(classes))

    def column(name: str) -> NDArray[Any]:
        return np.array([label[name] for label in found["labels"]]).reshape(shape)

    trust, suspect, kind = column("trust"), column("verdict") == SUSPECT, column("kind")
    sample_trust = np.array([sample["trust"] for sample in found["samples"]])
    true_dice = dice(given, clean)
    wrong, noisy = true_dice < WRONG_BELOW, (given != clean).any((1, 2, 3))
    result: dict[str, Any] = {
        "samples": shape[0],
        "labels": int(trust.size),
        "wrong_labels": float(wrong.mean()),
        "estimated_share": found["share"],
        "suspect_labels": float(suspect.mean()),
        "suspect_samples": float(suspect.any(axis=1).mean()),
        "calibration_error": calibration_error(trust.ravel(), ~wrong.ravel()),
    }
    if not wrong.any():
        return result
    result["average_precision"] = {
        "audit": precision(noisy, 1 - sample_trust),
        **{name: precision(noisy, score) for name, score in rival_scores(given, probs).items()},
    }
    result["average_precision_of_labels"] = precision(wrong.ravel(), 1 - trust.ravel())
    flagged = suspect & wrong
    result["precision_of_suspect"] = float(wrong[suspect].mean())
    result["recall_of_suspect"] = float(suspect[wrong].mean())
    truth = error_kinds(given, clean)
    result["kind_right"] = float((kind == truth)[flagged].mean())
    result["kinds"] = {
        name: {
            "flagged": int((flagged & (truth == name)).sum()),
            "right": int((flagged & (truth == name) & (kind == name)).sum()),
            "wrong_labels": int((wrong & (truth == name)).sum()),
        }
        for name in KINDS
        if (wrong & (truth == name)).any()
    }
    proposed_dice = dice(proposals(probs), clean)
    result["proposed_nearer"] = float((proposed_dice > true_dice)[suspect].mean())
    result["mean_dice_of_suspect"] = {
        "given": float(true_dice[suspect].mean()),
        "proposed": float(proposed_dice[suspect].mean()),
    }
    result["spearman_trust_dice"] = float(spearmanr(sample_trust, true_dice.mean(axis=1)).statistic)
    return result


def audit_probs(audit: Path, samples: int) -> NDArray[np.uint8]:
    """The out-of-sample probabilities of all samples in the audit's order, uint8 (N, K, H, W)."""
    gathered: NDArray[np.uint8] | None = None
    for folder in sorted((audit / "folds").iterdir()):
        index = FoldEvidence.load(folder / EVIDENCE).samples
        values = np.load(folder / PROBS, mmap_mode="r", allow_pickle=False)
        if gathered is None:
            gathered = np.zeros((samples, *values.shape[1:]), dtype=np.uint8)
        gathered[index] = values
    if gathered is None:
        raise FileNotFoundError(f"{audit / 'folds'} is empty; let the audit finish")
    return gathered


def dice(one: Masks, other: Masks) -> NDArray[np.float64]:
    """(N, K, H, W) each to (N, K); 1 where both are empty."""
    total = one.sum((2, 3)) + other.sum((2, 3))
    return np.where(total > 0, 2 * (one & other).sum((2, 3)) / np.maximum(total, 1), 1.0)


def precision(is_noisy: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    return float(average_precision_score(is_noisy[:, None], score[:, None]))


def calibration_error(trust: NDArray[np.float64], is_right: NDArray[np.bool_]) -> float:
    """Expected calibration error: mean gap between trust and share of right labels over ten bins, by their sizes."""
    bins = np.minimum((trust * BINS).astype(int), BINS - 1)
    gaps = [
        abs(trust[bins == one].mean() - is_right[bins == one].mean()) * (bins == one).mean()
        for one in range(BINS)
        if (bins == one).any()
    ]
    return float(sum(gaps))


def error_kinds(given: Masks, clean: Masks) -> NDArray[np.str_]:
    """What a wrong label is, by the masks alone: (N, K). Only kinds that the paper's noise makes are told apart."""
    is_missing = clean.any((2, 3)) & ~given.any((2, 3))
    is_extra = given.any((2, 3)) & ~clean.any((2, 3))
    larger = given.sum((2, 3)) > clean.sum((2, 3))
    return np.select([is_missing, is_extra, larger], [KINDS[0], KINDS[1], KINDS[2]], KINDS[3])


def rival_scores(given: Masks, probs: NDArray[np.uint8]) -> dict[str, NDArray[np.float64]]:
    """What others say of the same labels and predictions, (N,) each, larger for noisier.

    cleanlab takes one class per pixel: its probabilities are ours with a background of prod(1 - p), scaled to sum 1,
    and where given labels overlap the first class counts.
    """
    import torch
    from cleanlab.segmentation.rank import get_label_quality_scores
    from monai.metrics import LabelQualityScore

    certain = probs.astype(np.float32) / 255
    background = np.prod(1 - certain, axis=1, keepdims=True)
    softmax = np.concatenate([background, certain], axis=1)
    softmax /= softmax.sum(axis=1, keepdims=True)
    classes = np.where(given.any(axis=1), given.argmax(axis=1) + 1, 0)
    pixels = (softmax.argmax(axis=1) != classes).mean((1, 2))
    monai_score = LabelQualityScore(include_background=True, scalar_reduction="sum")
    return {
        "cleanlab softmin": -get_label_quality_scores(classes, softmax, method="softmin", verbose=False)[0],
        "MONAI LabelQualityScore": monai_score(torch.from_numpy(certain), torch.from_numpy(given)).numpy(),
        "share of differing pixels": pixels,
        "1 - Dice to the prediction": 1 - dice(given, certain > 0.5).mean(axis=1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--audit", required=True, type=Path, help="folder of a finished audit")
    parser.add_argument("--dataset_dir", required=True, type=Path, help="the data it judged")
    parser.add_argument("--training_config", nargs="+", default=list(TRAINING), help="as the audit was made with")
    parser.add_argument("--settings", default="{}", help="as the audit was made with")
    parser.add_argument("--clean", action="store_true", help="the given labels are the truth")
    parser.add_argument("--name", required=True, help="entry of the output file")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "results" / "audit.json")
    options = parser.parse_args(arguments)
    try:
        settings = ast.literal_eval(options.settings)
        scores = score_audit(options.audit, options.dataset_dir, options.training_config, settings, options.clean)
    except (OSError, ValueError, SyntaxError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    earlier = read_json(options.output) if options.output.is_file() else {}
    write_json(options.output, dict(sorted({**earlier, options.name: scores}.items())))
    for key, value in scores.items():
        print(f"{key}: {value}")


if __name__ == "__main__":
    main()
