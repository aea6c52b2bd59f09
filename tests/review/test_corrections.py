# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundle.self_cleansing.review import changed_cases, corrections_of_folder, corrections_of_studies

CASES = [{"case": case, "label": f"/data/{case}_gt.nii.gz"} for case in ("a", "b")]


def studies(folder: Path, *final: str, record: object = None) -> Path:
    """A studies folder with final labels (empty files) and MONAI Label's record."""
    for tag, names in {"original": ("a.nii.gz", "b.nii.gz"), "final": final}.items():
        (folder / "labels" / tag).mkdir(parents=True)
        for name in names:
            (folder / "labels" / tag / name).touch()
    if record is not None:
        text = record if isinstance(record, str) else json.dumps({"objects": record})
        (folder / "datastore_v2.json").write_text(text)
    return folder


def stored(**final: dict) -> dict:
    """The record's entry of each case with a final label, as MONAI Label 0.8.5 writes it."""
    return {
        case: {
            "image": {"ext": ".nii.gz", "info": {}},
            "labels": {"original": {"ext": ".nii.gz", "info": {}}, "final": {"ext": ".nii.gz", "info": info}},
        }
        for case, info in final.items()
    }


def test_final_labels_come_with_what_the_server_recorded(tmp_path):
    info = {"ts": 1767225600, "name": "a.nii.gz", "client_id": "radiologist 2", "label_info": [{"name": "rv"}]}
    record = stored(a=info) | {"b": {"image": {}, "labels": {"original": {"info": {}}}}}
    found = corrections_of_studies(studies(tmp_path / "s", "a.nii.gz", "b.nii", record=record))
    assert list(found) == ["a", "b"]
    assert found["a"].file == tmp_path / "s" / "labels" / "final" / "a.nii.gz"
    assert found["a"].shown == (tmp_path / "s" / "labels" / "original" / "a.nii.gz",)
    assert found["a"].reviewed_at == "2026-01-01T00:00:00Z"
    assert json.loads(found["a"].client_info) == {"client_id": "radiologist 2", "label_info": [{"name": "rv"}]}
    assert (found["b"].client_info, found["b"].reviewed_at) == ("", "")


def test_without_a_server_the_files_are_enough(tmp_path):
    assert list(corrections_of_studies(studies(tmp_path / "s", "b.nii.gz"))) == ["b"]


@pytest.mark.parametrize(
    ("final", "record", "error", "message"),
    [
        ([], None, FileNotFoundError, "hold no label tagged final; review a case first"),
        (["a.nii.gz"], stored(a={}, b={}), FileNotFoundError, "records a final label of b, but .*final holds none"),
        (["a.nii.gz", "a.nii"], None, ValueError, "a.nii and .*a.nii.gz correct one case; keep one"),
        (["a.nii.gz"], "{", ValueError, r"datastore_v2.json is not valid JSON \(line 1"),
        (["a.nii.gz"], "{}", ValueError, r"datastore_v2.json is no record of MONAI Label \(KeyError\('objects'\)\)"),
        (["a.nii.gz"], {"a": {"labels": {"final": 3}}}, ValueError, "is no record of MONAI Label"),
    ],
)
def test_studies_that_cannot_be_merged_are_refused(tmp_path, final, record, error, message):
    with pytest.raises(error, match=message):
        corrections_of_studies(studies(tmp_path / "s", *final, record=record))


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (None, FileNotFoundError, "is no folder; give the one that holds the corrected labels"),
        ([], FileNotFoundError, "holds no label file"),
        (["notes.txt", ".a.nii.gz"], FileNotFoundError, "holds no label file"),
        (["c.nii.gz"], ValueError, "c.nii.gz is named after no case of the data; name it .* as in a.nii.gz"),
        (["a.nii.gz", "a.png"], ValueError, "a.nii.gz and .*a.png correct one case; keep one of them"),
        (["a.nii.gz", "a_gt.nii.gz"], ValueError, "a.nii.gz and .*a_gt.nii.gz correct one case; keep one of them"),
    ],
)
def test_folders_that_cannot_be_merged_are_refused(tmp_path, names, error, message):
    if names is not None:
        (tmp_path / "new").mkdir()
        for name in names:
            (tmp_path / "new" / name).touch()
    with pytest.raises(error, match=message):
        corrections_of_folder(tmp_path / "new", CASES)


def test_a_name_that_two_labels_share_belongs_to_neither(tmp_path):
    (tmp_path / "label.png").touch()
    cases = [{"case": case, "label": f"/data/{case}/label.png"} for case in ("a", "b")]
    with pytest.raises(ValueError, match=r"label.png is named after 2 cases of the data; .* as in a.png"):
        corrections_of_folder(tmp_path, cases)


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("case,verdict\nb,manual\na,renewed\na,manual\nc,left out\nd,kept\n", ["a", "c", "d"]),
        ("case,verdict\nb,manual\n", []),
    ],
)
def test_changed_cases_of_a_run_or_an_audit_are_those_with_another_verdict_than_manual(tmp_path, table, expected):
    (tmp_path / "provenance.csv").write_text(table)
    assert changed_cases(tmp_path) == expected


def test_the_word_for_an_unreplaced_label_is_that_of_the_export():
    from bundle.self_cleansing.filtering import Provenance
    from bundle.self_cleansing.report.repaired_labels import VERDICTS
    from bundle.self_cleansing.review.provenance import UNCHANGED

    assert VERDICTS[Provenance.MANUAL] == UNCHANGED


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        (None, FileNotFoundError, "provenance.csv does not exist, so nobody knows which labels changed"),
        ("a,b\n1,2\n", ValueError, "provenance.csv must have the columns case and verdict, got a, b"),
        ("case,verdict\na\n", ValueError, "provenance.csv must have the columns"),
    ],
)
def test_a_table_that_says_nothing_of_changes_is_refused(tmp_path, table, error, message):
    if table is not None:
        (tmp_path / "provenance.csv").write_text(table)
    with pytest.raises(error, match=message):
        changed_cases(tmp_path)
