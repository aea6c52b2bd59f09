# SPDX-License-Identifier: Apache-2.0
"""Score finished audits where the truth is known, beside the scores of cleanlab and MONAI on the same predictions.

    python scripts/compare_audit.py --audit runs/audit --dataset_dir data/phantom_noisy --name phantom \\
        --output docs/results/audit.json

The data set must hold the clean labels (clean_labels/, as scripts/make_noisy_labels.py leaves them), or be clean itself
(--clean). Each call replaces the entry --name of the output file. All comparisons are made on the network's grid: a
label is wrong if its Dice to the clean one is below 0.9, a slice is noisy if its label differs from the clean one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr
from sklearn.metrics import average_precision_score

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from finished_audit import FinishedAudit, add_arguments, from_options  # noqa: E402

from bundle.self_cleansing.audit.damage import WRONG_BELOW  # noqa: E402
from bundle.self_cleansing.audit.findings import KINDS, SUSPECT  # noqa: E402
from bundle.self_cleansing.audit.fold_evidence import proposals  # noqa: E402
from bundle.self_cleansing.data import read_json, write_json  # noqa: E402

BINS = 10

Masks = NDArray[np.bool_]


def score_audit(audit: FinishedAudit, is_clean: bool = False) -> dict[str, Any]:
    """Compare an audit with the truth.

    Args:
        audit: of data with clean labels beside; cases without one of their own are left out.
        is_clean: take the given labels for the truth.

    Returns:
        plain numbers for JSON; what needs wrong labels is left out if there are none.

    Raises:
        ValueError: if there are no clean labels.
    """
    known = np.ones(len(audit.bank), dtype=bool) if is_clean else audit.is_known
    if not known.any():
        raise ValueError("the data set has no clean_labels; pass --clean if its labels are the truth")
    found, probs = audit.found, audit.probs[known]
    given = audit.bank.labels[known].bool().numpy()
    clean = given if is_clean else audit.bank.reference_labels[known].bool().numpy()
    trust, suspect, kind = (audit.column(name)[known] for name in ("trust", "verdict", "kind"))
    suspect = suspect == SUSPECT
    sample_trust = np.array([sample["trust"] for sample in found["samples"]])[known]
    true_dice = dice(given, clean)
    wrong, noisy = true_dice < WRONG_BELOW, (given != clean).any((1, 2, 3))
    result: dict[str, Any] = {
        "samples": len(given),
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
    result["precision_of_suspect"] = _mean(wrong[suspect])
    result["recall_of_suspect"] = float(suspect[wrong].mean())
    truth = error_kinds(given, clean)
    result["kind_right"] = _mean((kind == truth)[flagged])
    result["kinds"] = {
        name: {
            "flagged": int((flagged & (truth == name)).sum()),
            "right": int((flagged & (truth == name) & (kind == name)).sum()),
            "wrong_labels": int((wrong & (truth == name)).sum()),
        }
        for name in KINDS
        if (wrong & (truth == name)).any()
    }
    proposed = proposals(probs)
    proposed_dice = dice(proposed, clean)
    result["proposed_nearer"] = _mean((proposed_dice > true_dice)[suspect])
    result["mean_dice_of_suspect"] = {"given": _mean(true_dice[suspect]), "proposed": _mean(proposed_dice[suspect])}
    agreement = dice(given, proposed).mean(axis=1)
    for name, score in (("trust", sample_trust), ("dice_to_prediction", agreement)):
        result[f"spearman_{name}_dice"] = float(spearmanr(score, true_dice.mean(axis=1)).statistic)
    clean_px = np.maximum(clean.sum((2, 3)), 1)
    result["median_area_to_clean"] = {
        name: float(np.median(masks.sum((2, 3)) / clean_px))
        for name, masks in (("given", given), ("proposed", proposed))
    }
    return result


def _mean(values: NDArray[Any]) -> float | None:
    return float(values.mean()) if values.size else None


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
    and where given labels overlap the first class counts. Its second score is the share of pixels it finds wrong, found
    here in one process: with several it does not end.
    """
    import torch
    from cleanlab.segmentation.filter import find_label_issues
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
        "cleanlab num_pixel_issues": find_label_issues(classes, softmax, n_jobs=1, verbose=False).mean((1, 2)),
        "MONAI LabelQualityScore": monai_score(torch.from_numpy(certain), torch.from_numpy(given)).numpy(),
        "share of differing pixels": pixels,
        "1 - Dice to the prediction": 1 - dice(given, certain > 0.5).mean(axis=1),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--clean", action="store_true", help="the given labels are the truth")
    parser.add_argument("--name", required=True, help="entry of the output file")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "results" / "audit.json")
    options = parser.parse_args(arguments)
    try:
        scores = score_audit(from_options(options), options.clean)
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    earlier = read_json(options.output) if options.output.is_file() else {}
    write_json(options.output, dict(sorted({**earlier, options.name: scores}.items())))
    for key, value in scores.items():
        print(f"{key}: {value}")


if __name__ == "__main__":
    main()
