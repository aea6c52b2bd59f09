# SPDX-License-Identifier: Apache-2.0
"""Findings and pictures of ellipses, as an audit could make them: small, and known number by number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bundle.self_cleansing.audit.findings import (
    KINDS,
    SUSPECT,
    TRUSTED,
    CaseFinding,
    Findings,
    LabelFinding,
    SampleFinding,
    Share,
)
from bundle.self_cleansing.audit.report_page import SamplePicture

SHARE = Share(0.25, 0.2, 0.31)


def ellipse(centre: tuple[float, float], radii: tuple[float, float], shape: tuple[int, int] = (32, 24)) -> np.ndarray:
    """bool (h, w): pixels whose middle is in the ellipse."""
    x, y = np.mgrid[: shape[0], : shape[1]]
    return ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 <= 1


def generated(
    cases: Sequence[str] = ("case1", "case2", "case10"),
    classes: Sequence[str] = ("RV", "Myo"),
    depth: int = 4,
    suspect: bool = True,
) -> tuple[Findings, list[SamplePicture]]:
    """Findings and their pictures; slices are numbered from 3.

    The i-th of all N labels has trust (i + 1) / (N + 1), times 0.5 and plus 0.5 where no label shall be `suspect`. Its
    kind is the i-th by turns. The first label of each case is empty, its boundary error undefined.
    """
    total = len(cases) * depth * len(classes)
    labels, samples, rows, pictures = [], [], [], []
    for case in cases:
        of_case = []
        for d in range(depth):
            picture = _picture(len(classes), d)
            pictures.append(picture)
            row = []
            for k, name in enumerate(classes):
                i = len(labels)
                trust = (i + 1) / (total + 1)
                row.append(_label(case, d, name, trust if suspect else 0.5 + trust / 2, i, picture, k))
                labels.append(row[-1])
            names = tuple(label.class_name for label in row if label.verdict == SUSPECT)
            samples.append(SampleFinding(row[0].sample, case, d + 3, min(label.trust for label in row), names))
            of_case += row
        doubted = sum(label.verdict == SUSPECT for label in of_case)
        rows.append(CaseFinding(case, depth, min(label.trust for label in of_case), doubted, SHARE))
    settings = {"folds": 3, "training": {"max_epochs": 30}}
    shares = dict.fromkeys(classes, SHARE)
    return Findings(tuple(classes), labels, samples, rows, SHARE, shares, settings), pictures


def _picture(num_classes: int, d: int) -> SamplePicture:
    clean = [ellipse((16, 8 + 4 * (k % 3)), (6, 4)) for k in range(num_classes)]
    given = [mask & (d > 0 or k > 0) for k, mask in enumerate(clean)]
    image = np.where(np.any(clean, axis=0), 180, 40).astype(np.uint8)
    return SamplePicture(image, np.stack(given), np.stack([np.roll(mask, d, axis=0) for mask in clean]))


def _label(case: str, d: int, name: str, trust: float, i: int, picture: SamplePicture, k: int) -> LabelFinding:
    given, proposed = (int(masks[k].sum()) for masks in (picture.given, picture.proposed))
    error = (i % 5 - 2) * 0.7 if given and proposed else None
    return LabelFinding(
        sample=f"{case}/{d + 3}",
        case=case,
        slice=d + 3,
        class_name=name,
        trust=trust,
        verdict=SUSPECT if trust < 0.5 else TRUSTED,
        kind=KINDS[i % len(KINDS)],
        kind_probability=0.6,
        boundary_error_px=error,
        boundary_error_mm=None,
        dice=2 * int((picture.given[k] & picture.proposed[k]).sum()) / (given + proposed),
        given_px=given,
        proposed_px=proposed,
    )
