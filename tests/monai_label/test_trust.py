# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
import json
import sys

import pytest
from running import ROOT

COLUMNS = "sample,case,slice,class,verdict,takes_part,changed_epoch,manual_loss,pseudo_loss,clean_posterior"


@pytest.fixture(scope="module")
def trust():
    path = ROOT / "scripts" / "monai_label" / "review_app" / "lib" / "trust.py"
    spec = importlib.util.spec_from_file_location("review_trust", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def write_run(folder, *rows: str, classes=("RV", "LV"), labels="repaired_labels") -> None:
    (folder / labels).mkdir(parents=True, exist_ok=True)
    (folder / labels / "provenance.csv").write_text("\n".join((COLUMNS, *rows)) + "\n")
    (folder / "run.json").write_text(json.dumps({"settings": {"class_names": list(classes)}}))


def test_a_case_is_trusted_as_far_as_its_least_trusted_entry(trust, tmp_path):
    write_run(
        tmp_path,
        "a/0,a,0,RV,manual,1,0,0.1,1,1",
        "a/0,a,0,LV,kept,1,8,0.2,0.3,0.4",
        "a/1,a,1,RV,renewed,0,30,0.6,1,0.02",
        "b/0,b,0,RV,manual,1,0,0.1,1,0.97",
    )
    found = trust.read_trust(tmp_path)
    assert list(found) == ["a", "b"]
    assert found["a"] == trust.CaseTrust(0.02, "a/1", "RV", "renewed", doubtful=2, entries=3)
    assert found["b"] == trust.CaseTrust(0.97, "b/0", "RV", "manual", doubtful=0, entries=1)


def test_of_entries_equally_trusted_the_one_with_the_larger_loss_is_named(trust, tmp_path):
    write_run(tmp_path, "a/0,a,0,RV,renewed,0,30,0.4,1,0", "a/7,a,7,LV,renewed,0,30,0.9,1,0")
    assert trust.read_trust(tmp_path)["a"].sample == "a/7"


def test_a_case_name_may_hold_a_slash_and_a_comma(trust, tmp_path):
    write_run(tmp_path, '"x/a,1/0","x/a,1",0,RV,manual,1,0,0.1,1,1')
    assert trust.read_trust(tmp_path)["x/a,1"].sample == "x/a,1/0"


def test_an_audit_is_read_like_a_run(trust, tmp_path):
    write_run(tmp_path, "a/0,a,0,RV,renewed,1,0,0.1,0.2,0.25", labels="proposed_labels")
    assert trust.label_folder(tmp_path) == tmp_path / "proposed_labels"
    assert trust.read_trust(tmp_path)["a"] == trust.CaseTrust(0.25, "a/0", "RV", "renewed", doubtful=1, entries=1)


def test_classes_are_those_the_run_recorded(trust, tmp_path):
    write_run(tmp_path, classes=("liver",))
    assert trust.recorded_classes(tmp_path) == ["liver"]


@pytest.mark.parametrize("wanted", ["read_trust", "recorded_classes"])
def test_a_folder_that_is_no_run_is_named(trust, tmp_path, wanted):
    with pytest.raises(FileNotFoundError, match=f"run {tmp_path} has no .*; name the folder of a finished run .*audit"):
        getattr(trust, wanted)(tmp_path)


def test_both_places_of_the_table_are_named(trust, tmp_path):
    message = "has no repaired_labels/provenance.csv and no proposed_labels/provenance.csv; name"
    with pytest.raises(FileNotFoundError, match=message):
        trust.label_folder(tmp_path)


@pytest.mark.parametrize("row", ["a/0,a", "a/0,a,0,RV,manual,1,0,low,1,1", "a/0,a,0,RV,manual,1,0,0.1,1,high"])
def test_a_damaged_table_is_refused(trust, tmp_path, row):
    write_run(tmp_path, row)
    with pytest.raises(ValueError, match="provenance.csv is damaged"):
        trust.read_trust(tmp_path)


def test_an_empty_table_is_refused(trust, tmp_path):
    write_run(tmp_path)
    with pytest.raises(ValueError, match="provenance.csv has no row"):
        trust.read_trust(tmp_path)


@pytest.mark.parametrize(
    "content", ["{", "{}", '{"settings": {"class_names": []}}', '{"settings": {"class_names": 3}}']
)
def test_a_record_without_classes_is_refused(trust, tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(ValueError, match="run.json names no classes"):
        trust.recorded_classes(tmp_path)
