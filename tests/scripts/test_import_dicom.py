# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from dicom.generated import ellipse, write_rtstruct, write_seg, write_series
from running import ROOT, load_script

from bundle.self_cleansing.data import find_cases, label_names, read_label
from bundle.self_cleansing.dicom import find_series
from bundle.self_cleansing.dicom.reader import series_values

SHARED = Path(os.environ.get("SELF_CLEANSING_DATA", ROOT.parent / "shared" / "data")) / "dicom"
REAL = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no real DICOM: {SHARED} does not exist; set SELF_CLEANSING_DATA to the data's folder"
)
SIZE = (24, 30)


@pytest.fixture(scope="module")
def script():
    return load_script("import_dicom")


@pytest.fixture
def data(tmp_path) -> dict:
    """Two patients: one with a SEG (two overlapping segments) and a series without label, one with an RTSTRUCT."""
    folder = tmp_path / "dicom"
    a = write_series(folder / "p1" / "ct", size=SIZE, patient="A")
    write_series(folder / "p1" / "plain", size=SIZE, patient="A")
    b = write_series(folder / "p2" / "ct", size=SIZE, patient="B", spacing=(0.5, 0.5, 2.0))
    liver, spleen = np.zeros((2, 4, *SIZE), bool)
    liver[1:3, 3:12, 5:20] = True
    spleen[2, 10:15, 15:25] = True
    write_seg(folder / "p1" / "labels" / "seg.dcm", a, {"Liver": liver, "Spleen_left": spleen})
    write_rtstruct(folder / "p2" / "rt", b, {"LIVER": [ellipse((-3, 10), (3, 3), 32.0)], "spleen left": []})
    return {"folder": folder, "liver": liver, "spleen": spleen, "a": a, "b": b}


def run(script, data, tmp_path, *words: str) -> str:
    out = tmp_path / "data" / "x"
    script.main(["--dicom_dir", str(data["folder"]), "--output_dir", str(out), *words])
    return out


def error(script, data, tmp_path, *words: str) -> str:
    """The sentence with which the command ends; it must leave nothing behind."""
    with pytest.raises(SystemExit) as ended:
        run(script, data, tmp_path, *words)
    assert not (tmp_path / "data").exists() or list((tmp_path / "data").iterdir()) == []
    return str(ended.value)


def test_every_labelled_series_becomes_a_case(script, data, tmp_path, capsys):
    out = run(script, data, tmp_path, "--label_names", "liver", "spleen", "--segments", "liver", "spleen left")
    printed = capsys.readouterr().out
    assert "1 series without label left out: p1/plain" in printed and "2 cases of 2 patients" in printed
    cases = find_cases(out)
    assert [(case["case"], case["patient"]) for case in cases] == [
        ("case_0001", "patient_0001"),
        ("case_0002", "patient_0002"),
    ]
    assert label_names(out) == {1: "liver", 2: "spleen"}
    assert json.loads((out / "dataset.json").read_text())["modality"] == {"0": "CT"}
    series = {one.folder.parent.name: one for one in find_series(data["folder"]) if one.folder.name == "ct"}
    for case, one in zip(cases, (series["p1"], series["p2"]), strict=True):
        image = nib.load(case["image"])
        np.testing.assert_array_equal(image.get_fdata(), series_values(one))
        assert image.get_data_dtype() == np.int16
        for path in (case["image"], case["label"]):
            np.testing.assert_allclose(nib.load(path).affine, one.affine, atol=1e-5)
    first, second = (read_label(case["label"], ["liver", "spleen"]) for case in cases)
    np.testing.assert_array_equal(first[0].T, data["liver"])  # they overlap, and both are kept
    np.testing.assert_array_equal(first[1].T, data["spleen"])
    assert second[0][..., 1].sum() == pytest.approx(np.pi * 9 / 0.25, rel=0.02) and second[0].sum() > 0
    assert not second[1].any()
    mapping = tmp_path / "data" / "x_private_mapping.csv"
    assert stat.S_IMODE(mapping.stat().st_mode) == 0o600
    assert str(series["p1"].folder) in mapping.read_text() and "plain" not in mapping.read_text()
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["x", "x_private_mapping.csv"]


def test_label_files_may_be_flipped_against_the_series_but_not_resampled(script, data, tmp_path):
    (plain,) = (one for one in find_series(data["folder"]) if one.folder.name == "plain")
    label = np.random.default_rng(0).choice([0, 4, 9], plain.shape).astype(np.uint8)
    flip = plain.affine @ np.diag([1.0, -1.0, 1.0, 1.0])
    flip[:3, 3] += plain.affine[:3, 1] * (plain.shape[1] - 1)
    nib.save(nib.Nifti1Image(label[:, ::-1], flip), tmp_path / "plain_seg.nii.gz")
    words = ["--label_file", f"p1/plain={tmp_path / 'plain_seg.nii.gz'}", "--label_values", "9"]
    out = run(script, data, tmp_path, "--label_names", "liver", *words)
    case = find_cases(out)[1]  # p1/ct, p1/plain, p2/ct
    np.testing.assert_array_equal(read_label(case["label"], ["liver"])[0], label == 9)
    assert case["patient"] == find_cases(out)[0]["patient"]


def test_label_files_on_another_grid_or_with_other_values_are_refused(script, data, tmp_path):
    (plain,) = (one for one in find_series(data["folder"]) if one.folder.name == "plain")
    label, moved = np.full(plain.shape, 7, np.uint8), plain.affine.copy()
    moved[0, 3] += 1
    nib.save(nib.Nifti1Image(label, moved), tmp_path / "moved.nii.gz")
    nib.save(nib.Nifti1Image(label[..., 1:], plain.affine), tmp_path / "short.nii.gz")
    nib.save(nib.Nifti1Image(label, plain.affine), tmp_path / "value.nii.gz")
    for name, message in {
        "moved": "image case_0002 and its label moved.nii.gz have different affines (corners up to 1 apart",
        "short": "image case_0002 has shape 30x24x4 but its label short.nii.gz has shape 30x24x3",
        "value": "label value.nii.gz holds the value 7, outside the declared classes (0 background, 1 liver)",
    }.items():
        words = ["--label_names", "liver", "--label_file", f"p1/plain={tmp_path / f'{name}.nii.gz'}"]
        assert message in error(script, data, tmp_path, *words)


def test_a_folder_of_label_files_is_matched_by_series_folder_uid_or_case(script, data, tmp_path):
    series = {one.folder.name: one for one in find_series(data["folder"]) if "p1" in str(one.folder)}
    labels = tmp_path / "labels"
    labels.mkdir()
    ones = np.ones(series["ct"].shape, np.uint8)
    nib.save(nib.Nifti1Image(ones, series["plain"].affine), labels / "plain.nii.gz")
    nib.save(nib.Nifti1Image(ones, series["ct"].affine), labels / f"{series['ct'].series_uid}_seg.nii.gz")
    out = run(script, data, tmp_path, "--label_names", "liver", "--labels", str(labels))
    assert [read_label(case["label"], ["liver"]).all() for case in find_cases(out)] == [True, True, False]
    for file in labels.iterdir():
        file.unlink()
    nib.save(nib.Nifti1Image(ones, series["plain"].affine), labels / "case_0002_seg.nii.gz")
    mapping = tmp_path / "data" / "x_private_mapping.csv"
    script.main(
        ["--dicom_dir", str(data["folder"]), "--output_dir", str(tmp_path / "y"), "--label_names", "liver"]
        + ["--labels", str(labels), "--mapping_file", str(mapping)]
    )
    assert [read_label(case["label"], ["liver"]).all() for case in find_cases(tmp_path / "y")] == [False, True, False]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["lung"],
            "no segment or region of any series is called lung; there are: LIVER, Liver, Spleen_left, spleen left",
        ),
        (["liver", "spleen", "--segments", "liver"], "segments must be as many as label_names (2: liver, spleen)"),
        (["liver", "--label_file", "nowhere=x.nii"], "--label_file names a folder that holds no image series"),
        (
            ["liver", "--label_file", "p1/plain=none.nii"],
            "label file none.nii of --label_file p1/plain=none.nii does not",
        ),
        (
            ["liver", "--label_file", "p1/plain=README.md", "./p1/plain=b.nii"],
            "--label_file names series folder ./p1/plain twice, with README.md and b.nii; a series has one label file",
        ),
        (["liver", "Liver"], "label_names must differ in more than case and signs, got Liver twice"),
        (
            ["a", "b", "--segments", "liver", "liver"],
            "segments must differ in more than case and signs, got liver twice",
        ),
        (["liver", "--label_file", "p1/plain=README.md"], "file README.md is no SEG or RTSTRUCT (modality none)"),
        (["liver", "--mapping_file", "{out}/map.csv"], "must lie outside the data set"),
        (["liver", "--labels", "nowhere"], "is no folder; check --labels"),
        (["liver", "--labels", "{tmp}/labels"], "label file stray.nii fits 0 series; name it after the series' folder"),
    ],
)
def test_mistakes_are_refused_in_one_sentence(words, message, script, data, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "stray.nii").write_bytes(b"")
    words = [word.format(out=tmp_path / "data" / "x", tmp=tmp_path) for word in words]
    assert message in error(script, data, tmp_path, "--label_names", *words)


def test_a_class_that_one_series_lacks_is_an_error_or_empty(script, data, tmp_path):
    write_series(data["folder"] / "p3", size=SIZE)
    (third,) = (one for one in find_series(data["folder"]) if one.folder.name == "p3")
    import pydicom

    images = [pydicom.dcmread(file) for file in third.files]
    write_rtstruct(data["folder"] / "rt3", images, {"liver": []})
    words = ["--label_names", "liver", "spleen left"]
    assert "no segment or region of series p3 is called spleen left; there are: liver" in error(
        script, data, tmp_path, *words
    )
    out = run(script, data, tmp_path, *words, "--absent_is_empty")
    assert len(find_cases(out)) == 3


def test_labels_of_series_that_are_not_there_are_listed(script, data, tmp_path, capsys):
    images = write_series(tmp_path / "elsewhere", size=SIZE)
    write_rtstruct(data["folder"] / "p2" / "stray", images, {"liver": []})
    run(script, data, tmp_path, "--label_names", "liver")
    assert "1 SEG or RTSTRUCT of series that were not found: p2/stray\n" in capsys.readouterr().out
    (tmp_path / "alone").mkdir()
    write_series(tmp_path / "alone" / "ct", size=SIZE)
    (data["folder"] / "p2" / "stray").rename(tmp_path / "alone" / "stray")
    with pytest.raises(ValueError, match=r"no SEG or RTSTRUCT refers to one \(stray to others\); add them"):
        script.import_dicom(tmp_path / "alone", tmp_path / "y", ["liver"])


def test_a_patient_keeps_its_number_in_the_next_import(script, data, tmp_path):
    words = ["--label_names", "liver", "--mapping_file", str(tmp_path / "map.csv")]
    first = {case["case"]: case["patient"] for case in find_cases(run(script, data, tmp_path, *words))}
    assert first == {"case_0001": "patient_0001", "case_0002": "patient_0002"}
    (data["folder"] / "p1").rename(tmp_path / "gone")
    images = write_series(data["folder"] / "p0" / "ct", size=SIZE, patient="C")
    write_rtstruct(data["folder"] / "p0" / "rt", images, {"liver": []})
    script.main(["--dicom_dir", str(data["folder"]), "--output_dir", str(tmp_path / "y"), *words])
    second = {case["case"]: case["patient"] for case in find_cases(tmp_path / "y")}
    assert second == {"case_0002": "patient_0002", "case_0003": "patient_0003"}


def test_errors_of_the_system_do_not_show_paths(script, data, tmp_path, monkeypatch):
    def denied(*words: object) -> None:
        raise PermissionError(13, "Permission denied", "/data/DOE_JANE/ct/1")

    monkeypatch.setattr(script, "series_values", denied)
    message = error(script, data, tmp_path, "--label_names", "liver")
    assert "could not be read or written (Permission denied); check" in message and "DOE" not in message


def test_a_label_file_in_a_patient_s_folder_is_named_without_it(script, tmp_path):
    write_series(tmp_path / "dicom" / "ct", size=SIZE)  # of DOE^JANE
    folder = tmp_path / ("DOE_JANE" * 15)  # the reader's text is cut within the path
    folder.mkdir(parents=True)
    (folder / "ct.nii").write_bytes(b"no NIfTI")
    words = ["--label_names", "liver", "--label_file", f"ct={folder / 'ct.nii'}"]
    message = error(script, {"folder": tmp_path / "dicom"}, tmp_path, *words)
    assert "ct.nii cannot be read" in message and "DOE" not in message


def test_one_class_in_two_label_files_is_refused(script, data, tmp_path):
    write_rtstruct(data["folder"] / "p1" / "again", data["a"], {"liver": []})
    message = error(script, data, tmp_path, "--label_names", "liver")
    assert "class liver of series p1/ct is in 2 label files (p1/again, p1/labels/seg.dcm); name the one" in message


def test_series_without_any_label_are_an_error(script, tmp_path):
    write_series(tmp_path / "dicom" / "a", size=SIZE)
    message = error(script, {"folder": tmp_path / "dicom"}, tmp_path, "--label_names", "liver")
    assert "none of the 1 series below" in message and "has a label: no SEG or RTSTRUCT refers to one" in message


@pytest.mark.slow
def test_the_command_runs_from_any_folder(data, tmp_path):
    command = [sys.executable, str(ROOT / "scripts" / "import_dicom.py"), "--dicom_dir", str(data["folder"])]
    words = ["--output_dir", "x", "--label_names", "liver"]
    result = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads((tmp_path / "x" / "dataset.json").read_text())["modality"] == {"0": "CT"}
    again = subprocess.run([*command, *words], cwd=tmp_path, capture_output=True, text=True)
    assert again.returncode == 1 and "exists and is not empty" in again.stderr


@REAL
def test_real_series_with_seg_nifti_and_rtstruct(script, tmp_path):
    out = tmp_path / "x"
    script.main(
        ["--dicom_dir", str(SHARED), "--output_dir", str(out), "--label_names", "liver", "--absent_is_empty"]
        + ["--label_file", f"abdominal_ct_dicom={SHARED / 'abdominal_ct_dicom_seg.nii.gz'}", "--label_values", "5"]
    )
    cases = {case["case"]: case for case in find_cases(out)}
    labels = [read_label(case["label"], ["liver"]) for case in cases.values()]
    assert [label.sum() for label in labels[1:]] == [107098, 0]
    # Inside the liver the values are those of liver in CT with contrast: the label lies where the organ is.
    image, liver = nib.load(cases["case_0001"]["image"]).get_fdata(), labels[0][0].astype(bool)
    assert 40 < np.median(image[liver]) < 180 and image[liver].std() < 60
    mirrored = image[:, ::-1][liver]
    assert mirrored.std() > 2 * image[liver].std()
