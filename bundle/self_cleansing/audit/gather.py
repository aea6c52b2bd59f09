# SPDX-License-Identifier: Apache-2.0
"""Put trust, proposals and geometry together into findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor
from torch import Tensor

from ..data.labels import PICTURE_EXTENSIONS
from ..filtering import compare_areas
from ..label_bank import unpack_bits
from ..slice_bank import SliceBank
from .findings import KINDS, SUSPECT, TRUSTED, CaseFinding, Findings, LabelFinding, SampleFinding
from .trust import Trust, share_interval

SUSPECT_BELOW = 0.5
LARGE_SHARE = 0.5
FEW_CASES = 10
LEARNT_DICE = 0.5


def gather_findings(
    cases: Sequence[Mapping[str, Any]],
    dataset: SliceBank,
    trust: Trust,
    packed_proposal: Tensor,
    class_names: Sequence[str],
    preprocessing: Callable[[Any], Any],
    settings: Mapping[str, Any],
) -> Findings:
    """Describe every label.

    Args:
        cases: in the order of `dataset`.
        dataset: all samples.
        trust: of the same samples.
        packed_proposal: what to put in place of each label, uint8 (N, K, H, W / 8), see `pack_bits`.
        class_names: K.
        preprocessing: what `dataset` was made with; the size of its pixels is asked of it.
        settings: for the record.
    """
    labels: list[LabelFinding] = []
    samples: list[SampleFinding] = []
    found_cases: list[CaseFinding] = []
    case_index = dataset.case_index.numpy()
    for number, case in enumerate(cases):
        members = np.flatnonzero(case_index == number)
        given = dataset.labels[torch.from_numpy(members)].bool()
        pred = unpack_bits(packed_proposal[torch.from_numpy(members)]).bool()
        scale, spacing_mm = pixel_size(case, preprocessing)
        areas = compare_areas(given, pred)
        length = (areas.boundary_length + compare_areas(pred, given).boundary_length) / 2
        common = (given & pred).sum((2, 3))
        here: list[LabelFinding] = []
        for row, sample in enumerate(members):
            name = dataset.sample_ids[sample]
            for k, class_name in enumerate(class_names):
                given_px, proposed_px = int(areas.label_area[row, k]), int(areas.pred_area[row, k])
                total, error = given_px + proposed_px, None
                if given_px and proposed_px:
                    error = (given_px - proposed_px) / float(length[row, k]) * scale
                kind = int(trust.kinds[sample, k].argmax())
                value = float(trust.trust[sample, k])
                here.append(
                    LabelFinding(
                        sample=name,
                        case=case["case"],
                        slice=row,
                        class_name=class_name,
                        trust=value,
                        verdict=SUSPECT if value < SUSPECT_BELOW else TRUSTED,
                        kind=KINDS[kind],
                        kind_probability=float(trust.kinds[sample, k, kind]),
                        boundary_error_px=error,
                        boundary_error_mm=None if error is None or spacing_mm is None else error * spacing_mm,
                        dice=2 * int(common[row, k]) / total if total else 1.0,
                        given_px=given_px,
                        proposed_px=proposed_px,
                    )
                )
            suspect = tuple(one.class_name for one in here[-len(class_names) :] if one.verdict == SUSPECT)
            samples.append(SampleFinding(name, case["case"], row, float(trust.trust[sample].mean()), suspect))
        share = share_interval(trust.trust[members], np.zeros(len(members), dtype=np.int64))
        suspects = sum(one.verdict == SUSPECT for one in here)
        lowest = min((one.trust for one in here), default=1.0)
        found_cases.append(CaseFinding(case["case"], len(members), lowest, suspects, share))
        labels += here
    findings = Findings(
        classes=tuple(class_names),
        labels=labels,
        samples=samples,
        cases=found_cases,
        share=share_interval(trust.trust, case_index),
        class_shares={name: share_interval(trust.trust[:, k], case_index) for k, name in enumerate(class_names)},
        settings=settings,
    )
    return replace(findings, warnings=tuple(warnings(findings)))


def pixel_size(case: Mapping[str, Any], preprocessing: Callable[[Any], Any]) -> tuple[float, float | None]:
    """How many pixels of the file one pixel of the network's grid spans, and what a pixel of the file measures.

    Returns:
        the first as a mean of both directions; the second in mm, None for a picture, which does not say.
    """
    loaded = preprocessing({"image": case["image"], "label": case["label"]})["image"]
    if not isinstance(loaded, MetaTensor):
        return 1.0, None
    after = np.asarray(loaded.affine, dtype=float)[:3, :2]  # what one step along the two axes of a slice is in space
    native = np.asarray(loaded.meta.get("original_affine", np.eye(4)), dtype=float)[:3, :3]
    alike = np.abs(native.T @ after) / np.linalg.norm(native, axis=0)[:, None]  # the file's axes, whichever they are
    before_mm = np.linalg.norm(native[:, alike.argmax(axis=0)], axis=0)
    scale = float(np.mean(np.linalg.norm(after, axis=0) / before_mm))
    is_picture = Path(str(case["image"])).suffix.lower() in PICTURE_EXTENSIONS
    return scale, None if is_picture else float(np.mean(before_mm))


def warnings(findings: Findings) -> list[str]:
    """Sentences that a reader has to know before trusting the rest."""
    sentences = []
    if findings.share.estimate > LARGE_SHARE:
        sentences.append(
            f"About {findings.share.estimate:.0%} of the labels look wrong. Where most labels err in the same way, the "
            "networks learn the error and nothing in the data tells it from the truth: have some of the trusted labels "
            "checked as well."
        )
    if len(findings.cases) < FEW_CASES:
        sentences.append(
            f"{len(findings.cases)} cases are few: the networks that judge the labels have seen little, and may take "
            "what is rare for wrong."
        )
    for name in findings.classes:
        dice = [one.dice for one in findings.labels if one.class_name == name and (one.given_px or one.proposed_px)]
        if dice and median(dice) < LEARNT_DICE:
            sentences.append(
                f"The networks have hardly learnt {name}: half of its labels have a Dice below {median(dice):.2f} to "
                "the prediction. Train longer or on finer slices before you believe what is said of it."
            )
    return sentences
