# SPDX-License-Identifier: Apache-2.0
"""The whole way on the phantom: proposed labels of a bank, studies of a review, final labels, a merged data set."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from pathlib import Path
from types import ModuleType, SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
import torch
from report.test_repaired_labels import NAMES, preprocessing_of, replace, run_on
from running import load_script

from bundle.self_cleansing.data import find_cases, read_label, split_cases
from bundle.self_cleansing.report import export_repaired_labels
from bundle.self_cleansing.slice_bank import SliceBank


@pytest.fixture(scope="module")
def prepare_review() -> ModuleType:
    return load_script("monai_label/prepare_review")


@pytest.fixture(scope="module")
def audit(noisy_phantom, tmp_path_factory) -> SimpleNamespace:
    """An audit's folder: of every second slice the clean label is proposed, its given one trusted with 0.1."""
    folder = tmp_path_factory.mktemp("audit") / "audit"
    cases = [{"clean_label": case["label"]} | case for case in find_cases(noisy_phantom)]  # of the test part
    run = run_on(cases, preprocessing_of())
    where = torch.zeros(run.bank.provenance.shape, dtype=torch.bool)
    where[::2] = True
    replace(run, run.clean, where)
    run.bank.clean_posterior.copy_(torch.where(where, 0.1, 0.9))
    export_repaired_labels(
        *(folder / "proposed_labels", noisy_phantom, run.items, run.preprocessing, run.dataset, run.bank, NAMES),
        split_file=noisy_phantom / "split.json",
        link_images=True,
    )
    (folder / "run.json").write_text(json.dumps({"settings": {"class_names": list(NAMES.values())}}))
    return SimpleNamespace(folder=folder, cases={case["case"]: case for case in cases}, preprocessing=run.preprocessing)


def hashes(folder: Path) -> dict[str, str]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def as_map(label: str) -> np.ndarray:
    """The map in which the first of overlapping classes is seen, built class by class from the last."""
    masks = read_label(label, NAMES)
    values = np.zeros(masks.shape[1:], np.uint8)
    for number in (3, 2, 1):
        values[masks[number - 1] == 1] = number
    return values


def test_what_a_reviewer_decides_is_what_the_merged_data_set_holds(
    prepare_review, audit, noisy_phantom, tmp_path, capsys
):
    before = hashes(noisy_phantom)
    studies = tmp_path / "studies"
    prepare_review.main(
        ["--run_dir", str(audit.folder), "--dataset_dir", str(noisy_phantom), "--output_dir", str(studies)]
    )
    redrawn, accepted, confirmed, *others = sorted(audit.cases)
    assert len(others) == 7
    final = studies / "labels" / "final"
    final.mkdir()
    clean = nib.load(audit.cases[redrawn]["clean_label"])
    nib.save(nib.Nifti1Image(np.asarray(clean.dataobj, np.uint8), clean.affine), final / f"{redrawn}.nii.gz")
    for case, tag in {accepted: "proposed", confirmed: "original"}.items():
        shutil.copy(studies / "labels" / tag / f"{case}.nii.gz", final)
    merged = tmp_path / "merged"
    words = ["--studies", str(studies), "--dataset_dir", str(noisy_phantom), "--output_dir", str(merged)]
    load_script("merge_reviewed").main([*words, "--overlaps", "drop"])

    assert hashes(noisy_phantom) == before
    new = {case["case"]: case for case in find_cases(merged)}
    assert new.keys() == audit.cases.keys()
    np.testing.assert_array_equal(
        read_label(new[redrawn]["label"], NAMES), read_label(audit.cases[redrawn]["clean_label"], NAMES)
    )
    assert nib.load(new[redrawn]["label"]).shape == nib.load(audit.cases[redrawn]["label"]).shape  # class masks
    relative = Path(audit.cases[accepted]["label"]).relative_to(noisy_phantom)
    np.testing.assert_array_equal(as_map(new[accepted]["label"]), as_map(audit.folder / "proposed_labels" / relative))
    np.testing.assert_array_equal(as_map(new[confirmed]["label"]), as_map(audit.cases[confirmed]["label"]))
    for case in others:
        assert Path(new[case]["label"]).read_bytes() == Path(audit.cases[case]["label"]).read_bytes()

    with open(merged / "provenance.csv", newline="") as file:
        rows = {row["case"]: row for row in csv.DictReader(file)}
    assert [case for case, row in rows.items() if row["source"] == "final"] == [redrawn, accepted, confirmed]
    given, wanted = (read_label(audit.cases[redrawn][key], NAMES) for key in ("label", "clean_label"))
    assert int(rows[redrawn]["changed_voxels"]) == (given != wanted).any(axis=0).sum()

    bank = SliceBank(
        split_cases(list(new.values()), merged / "split.json")["train"], audit.preprocessing, progress=False
    )
    assert bank.clean_labels is not None
    voxels = {case: int(row["changed_voxels"]) for case, row in rows.items() if row["source"] == "final"}
    hidden = (read_label(audit.cases[confirmed]["label"], NAMES).sum(axis=0) > 1).sum()
    assert voxels[redrawn] > 0 and voxels[accepted] > 0
    assert voxels[confirmed] == hidden > 0  # what lay below another class is gone, as asked
    assert f"3 with a changed label ({sum(voxels.values())} voxels), 0 confirmed, 7 kept" in capsys.readouterr().out


def test_proposed_labels_can_be_the_given_ones_of_a_merge(prepare_review, audit, noisy_phantom, tmp_path):
    """Who believes the audit takes its proposals for the cases that nobody reviewed."""
    proposed, studies = audit.folder / "proposed_labels", tmp_path / "studies"
    prepare_review.prepare_review(audit.folder, noisy_phantom, studies)
    case, *others = sorted(audit.cases)
    clean = nib.load(audit.cases[case]["clean_label"])
    (studies / "labels" / "final").mkdir()
    final = studies / "labels" / "final" / f"{case}.nii.gz"
    nib.save(nib.Nifti1Image(np.asarray(clean.dataobj, np.uint8), clean.affine), final)
    words = ["--studies", str(studies), "--dataset_dir", str(proposed), "--overlaps", "drop"]
    load_script("merge_reviewed").main([*words, "--output_dir", str(tmp_path / "merged")])
    new = {one["case"]: one for one in find_cases(tmp_path / "merged")}
    given = {one["case"]: one for one in find_cases(proposed)}
    np.testing.assert_array_equal(
        read_label(new[case]["label"], NAMES), read_label(audit.cases[case]["clean_label"], NAMES)
    )
    for other in others:
        assert Path(new[other]["label"]).read_bytes() == Path(given[other]["label"]).read_bytes()
    assert (tmp_path / "merged" / "given_provenance.csv").read_bytes() == (proposed / "provenance.csv").read_bytes()
