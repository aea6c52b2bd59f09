# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv

import pytest

from bundle.self_cleansing.audit.findings import (
    SUSPECT,
    TRUSTED,
    CaseFinding,
    Findings,
    LabelFinding,
    SampleFinding,
    Share,
)
from bundle.self_cleansing.audit.work_list import COLUMNS, write_work_list
from bundle.self_cleansing.spreadsheet_text import spreadsheet_text

SHARE = Share(0.1, 0.0, 0.2)


def finding(case: str, number: int, name: str, trust: float, kind: str = "missing", mm=None, px=None) -> LabelFinding:
    verdict = SUSPECT if trust < 0.5 else TRUSTED
    return LabelFinding(f"{case}/{number}", case, number, name, trust, verdict, kind, 0.9, px, mm, 0.5, 10, 20)


def findings(labels: list[LabelFinding], classes=("RV", "Myo", "LV")) -> Findings:
    samples = [SampleFinding(one.sample, one.case, one.slice, one.trust, ()) for one in labels]
    cases = [CaseFinding(case, 1, 0.0, 1, SHARE) for case in sorted({one.case for one in labels})]
    return Findings(classes, labels, samples, cases, SHARE, dict.fromkeys(classes, SHARE))


def written(tmp_path, labels: list[LabelFinding], **options) -> list[list[str]]:
    write_work_list(tmp_path / "work_list.csv", findings(labels, **options))
    with open(tmp_path / "work_list.csv", newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert tuple(header) == COLUMNS
    return rows


def test_a_row_speaks_of_the_suspect_labels_of_its_case_only(tmp_path):
    rows = written(
        tmp_path,
        [
            finding("a", 0, "RV", 0.9, "swapped class", mm=90.0, px=60.0),  # trusted
            finding("a", 3, "LV", 0.3, "too large", mm=4.5, px=3.0),
            finding("a", 4, "LV", 0.2, "too small", mm=-7.25, px=-4.8),
            finding("a", 4, "RV", 0.4999, "missing"),
            finding("a", 7, "Myo", 0.5, "extra"),  # trusted
            finding("a", 9, "RV", 0.1, "missing"),
        ],
    )
    assert rows == [["1", "a", "4", "3 to 4; 9", "RV; LV", "missing; too large; too small", "0.1000", "7.25", "4.80"]]


def test_the_least_trusted_case_comes_first_then_the_one_with_more_suspects_then_the_name(tmp_path):
    labels = [
        finding(case, 0, "RV", trust) for case, trust in {"d": 0.2, "c": 0.2, "b": 0.2, "a": 0.4, "e": 0.1}.items()
    ]
    rows = written(tmp_path, [*labels, finding("d", 1, "RV", 0.3), finding("f", 0, "RV", 0.99)])
    assert [row[:2] for row in rows] == [["1", "e"], ["2", "d"], ["3", "b"], ["4", "c"], ["5", "a"]]


def test_an_error_without_boundary_or_spacing_leaves_an_empty_cell(tmp_path):
    rows = written(tmp_path, [finding("a", 0, "RV", 0.1), finding("b", 0, "RV", 0.2, px=-2.0)])
    assert [row[-2:] for row in rows] == [["", ""], ["", "2.00"]]


def test_an_audit_without_suspects_gives_the_header_alone(tmp_path):
    assert written(tmp_path, [finding("a", 0, "RV", 0.8)]) == []


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("patient001", "patient001"),
        ("a=b", "a=b"),
        ("'quoted", "'quoted"),
        ("", ""),
    ],
)
def test_no_name_is_run_as_a_formula(text, cell):
    assert spreadsheet_text(text) == cell


def test_names_of_cases_and_classes_are_made_harmless_and_numbers_stay_numbers(tmp_path):
    rows = written(tmp_path, [finding("=cmd()", 0, "-LV", 0.25, mm=-1.5, px=-1.0)], classes=("-LV", "RV"))
    assert rows == [["1", "'=cmd()", "1", "0", "'-LV", "missing", "0.2500", "1.50", "1.00"]]
