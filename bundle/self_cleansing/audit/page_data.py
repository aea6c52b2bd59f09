# SPDX-License-Identifier: Apache-2.0
"""What the report page says of the findings, in columns, and JSON that may stand in a page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ..report.colours import class_colour
from .findings import KINDS, SUSPECT, Findings, Share


def inert_json(value: Any) -> str:
    """JSON that ends no `<script type="application/json">` and starts nothing in it, whatever the texts are.

    Args:
        value: anything `json.dumps` takes; lone surrogates of undecodable file names may be in the texts.

    Returns:
        ASCII text without `<`.

    Raises:
        ValueError: if a number is not finite.
    """
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


def page_data(findings: Findings, title: str) -> dict[str, Any]:
    """Lay the findings out in columns: one entry per label, sample or case, in the order of the findings.

    Args:
        findings: those of an audit; a data set without any sample is allowed.
        title: heading of the page.

    Returns:
        Plain values: `classes`, `colours`, `kinds`, `cases` are lists that the numbers in the columns count; shares are
        [estimate, low, high] or None; the settings are pairs of texts.

    Raises:
        ValueError: if the samples are not case by case, or the labels not sample by sample and class by class.
    """
    _check_order(findings)
    number = {case.case: c for c, case in enumerate(findings.cases)}
    labels = findings.labels
    return {
        "title": title,
        "classes": list(findings.classes),
        "colours": [class_colour(k) for k in range(len(findings.classes))],
        "kinds": list(KINDS),
        "cases": [case.case for case in findings.cases],
        "caseShare": [_share(case.share) for case in findings.cases],
        "share": _share(findings.share),
        "classShare": [_share(findings.class_shares.get(name)) for name in findings.classes],
        "sampleCase": [number[sample.case] for sample in findings.samples],
        "sampleSlice": [sample.slice for sample in findings.samples],
        "trust": [round(label.trust, 4) for label in labels],
        "suspect": [int(label.verdict == SUSPECT) for label in labels],
        "kind": [KINDS.index(label.kind) for label in labels],
        "kindProbability": [round(label.kind_probability, 3) for label in labels],
        "errorPx": [_rounded(label.boundary_error_px) for label in labels],
        "errorMm": [_rounded(label.boundary_error_mm) for label in labels],
        "dice": [round(label.dice, 4) for label in labels],
        "givenPx": [label.given_px for label in labels],
        "proposedPx": [label.proposed_px for label in labels],
        "settings": list(_flat(findings.settings)),
        "warnings": list(findings.warnings),
    }


def _check_order(findings: Findings) -> None:
    known = {case.case for case in findings.cases}
    left = set(known)
    before = None
    for sample in findings.samples:
        if sample.case != before and sample.case not in left:
            what = "comes twice" if sample.case in known else "is not among the cases"
            raise ValueError(f"samples must be case by case, got {sample.sample!r} whose case {what}; sort them")
        before = sample.case
        left.discard(before)
    classes = findings.classes
    expected = len(findings.samples) * len(classes)
    if len(findings.labels) != expected:
        raise ValueError(f"labels must be {expected}, one per sample and class, got {len(findings.labels)}")
    for n, label in enumerate(findings.labels):
        place, name = findings.samples[n // len(classes)].sample, classes[n % len(classes)]
        if (label.sample, label.class_name) != (place, name):
            raise ValueError(
                f"labels must be in the order of samples and classes, got {label.class_name!r} of {label.sample!r} "
                f"in place of {name!r} of {place!r}; sort them"
            )


def _share(share: Share | None) -> list[float] | None:
    return None if share is None else [round(value, 4) for value in (share.estimate, share.low, share.high)]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as pairs of a dotted name and a text."""
    pairs = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{name}.")
        else:
            pairs.append((f"{prefix}{name}", str(value)))
    return pairs
