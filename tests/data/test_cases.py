# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import logging
import os
import shutil
from pathlib import Path

import pytest
from monai.data import load_decathlon_datalist

from bundle.self_cleansing.data import clean_items, find_cases, known_cases, label_names, training_items
from bundle.self_cleansing.data.cases import check_classes

SHARED = Path(os.environ.get("SELF_CLEANSING_DATA", Path(__file__).parents[3] / "shared" / "data"))


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def frames(folder: str, *numbers: int, suffix: str = ".nii.gz") -> list[str]:
    patient = Path(folder).name
    return [f"{folder}/{patient}_frame{number:02d}{gt}{suffix}" for number in numbers for gt in ("", "_gt")]


def describe(root: Path, **content: object) -> None:
    root.mkdir(exist_ok=True)
    (root / "dataset.json").write_text(json.dumps({"labels": {"0": "background", "1": "liver"}} | content))


@pytest.mark.parametrize("parent", ["", "training/", "database/training/"])
def test_acdc_patients_are_found_up_to_three_levels_down(tmp_path, parent):
    touch(tmp_path, *frames(f"{parent}patient002", 1, 12), *frames(f"{parent}patient001", 1))
    assert find_cases(tmp_path) == [
        {
            "case": f"{patient}_frame{frame}",
            "patient": patient,
            "image": str(tmp_path / f"{parent}{patient}/{patient}_frame{frame}.nii.gz"),
            "label": str(tmp_path / f"{parent}{patient}/{patient}_frame{frame}_gt.nii.gz"),
        }
        for patient, frame in [("patient001", "01"), ("patient002", "01"), ("patient002", "12")]
    ]
    assert label_names(tmp_path) == {1: "RV", 2: "Myo", 3: "LV"}


def test_everything_else_in_an_acdc_folder_is_tolerated(tmp_path, caplog):
    touch(tmp_path, *frames("training/patient001", 1), *frames("testing/patient150", 10, suffix=".nii"))
    touch(tmp_path, "training/patient001/Info.cfg", "training/patient001/patient001_4d.nii.gz", "README.md")
    touch(tmp_path, "training/patient001/._patient001_frame01.nii.gz", "training/.cache/patient009/x")
    touch(tmp_path, "testing/patient101/patient101_frame01.nii.gz", "testing/patient101/Info.cfg")  # unlabelled
    with caplog.at_level(logging.INFO):
        cases = find_cases(tmp_path)
    assert [case["case"] for case in cases] == ["patient001_frame01", "patient150_frame10"]
    assert "patient101 has no labelled frame" in caplog.text


def test_a_missing_label_is_named(tmp_path):
    touch(tmp_path, *frames("patient001", 1), "patient001/patient001_frame12.nii.gz")
    with pytest.raises(
        FileNotFoundError, match=r"patient001_frame12_gt\.nii\.gz is missing.*other frames of patient001"
    ):
        find_cases(tmp_path)


def test_a_label_without_image_is_named(tmp_path):
    touch(tmp_path, *frames("patient001", 1), "patient001/patient001_frame12_gt.nii.gz")
    with pytest.raises(FileNotFoundError, match=r"patient001_frame12_gt\.nii\.gz has no image"):
        find_cases(tmp_path)


@pytest.mark.parametrize("other", [frames("testing/patient001", 1), frames("training/patient001", 1, suffix=".nii")])
def test_an_acdc_case_found_twice_is_named_with_both_files(tmp_path, other):
    touch(tmp_path, *frames("training/patient001", 1), *other)
    with pytest.raises(ValueError, match=r"patient001_frame01 is there twice, .*patient001_frame01\.nii.* and "):
        find_cases(tmp_path)


def test_an_empty_data_set_says_what_was_looked_for(tmp_path):
    with pytest.raises(ValueError, match=f"{tmp_path.name} holds no labelled case.*patientNNN_frameMM"):
        find_cases(tmp_path)
    describe(tmp_path, training=[])
    with pytest.raises(ValueError, match="dataset.json lists no image with a label"):
        find_cases(tmp_path)


def test_a_missing_data_folder_says_how_to_get_data(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist; run `python scripts/make_phantom\.py"):
        find_cases(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="nowhere does not exist.*--dataset_dir"):
        label_names(tmp_path / "nowhere")


def test_msd_cases_have_ids_patients_and_predefined_parts(tmp_path):
    touch(tmp_path, "im/b.nii.gz", "la/b.nii.gz", "im/a.png", "la/a.png", "im/c.jpg", "la/c.png", "im/d.nii")
    describe(
        tmp_path,
        training=[
            {"image": "./im/b.nii.gz", "label": "./la/b.nii.gz"},
            {"image": "im/a.png", "label": str(tmp_path / "la/a.png"), "patient": 7},
        ],
        test=["./im/d.nii", {"image": "im/d.nii"}, {"image": "im/c.jpg", "label": "la/c.png", "case": "last"}],
    )
    assert [(case["case"], case["patient"], case.get("part")) for case in find_cases(tmp_path)] == [
        ("a", "7", None),
        ("b", "b", None),
        ("last", "last", "test"),
    ]
    assert find_cases(tmp_path)[0]["label"] == str(tmp_path / "la/a.png")


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ({"0": "background", "2": "tumour", "1": "liver"}, {1: "liver", 2: "tumour"}),
        ({"background": 0, "tumour": 10, "liver": 9}, {9: "liver", 10: "tumour"}),
    ],
)
def test_label_names_in_both_directions(tmp_path, labels, names):
    describe(tmp_path, labels=labels)
    assert list(label_names(tmp_path).items()) == list(names.items())


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, 'must declare "labels"'),
        ({"0": "background"}, "no foreground class is declared"),
        ({"background": 0, "whole": [1, 2]}, r"must be a whole number >= 0, got '\[1, 2\]' for class 'whole'"),
        ({"liver": 1, "tumour": 1}, "the same value"),
    ],
)
def test_malformed_label_declarations_are_refused(tmp_path, labels, message):
    describe(tmp_path, labels=labels)
    with pytest.raises(ValueError, match=rf"dataset\.json.*{message}"):
        label_names(tmp_path)


@pytest.mark.parametrize(
    ("training", "error", "message"),
    [
        (None, ValueError, 'must have a list "training"'),
        (["im/a.nii"], ValueError, "every entry of 'training'.*got 'im/a.nii'"),
        ([{"image": ["im/a.nii", "im/b.nii"], "label": "la/a.nii"}], ValueError, "with one file each"),
        ([{"image": "../secret.nii", "label": "la/a.nii"}], ValueError, r"image \.\./secret\.nii.*lies outside"),
        ([{"image": "im/a.nii", "label": "/etc/hosts"}], ValueError, "label /etc/hosts .*lies outside"),
        ([{"image": "im/a.nii", "label": "la/b.nii"}], FileNotFoundError, r"label .*la/b\.nii, named in .*is missing"),
        (
            [{"image": "im/a.nii", "label": "la/a.nii"}, {"image": "other/a.nii", "label": "la/a.nii"}],
            ValueError,
            "has case a twice, .*im/a.nii and .*other/a.nii",
        ),
    ],
)
def test_malformed_entries_are_named(tmp_path, training, error, message):
    touch(tmp_path, "data/im/a.nii", "data/la/a.nii", "data/other/a.nii", "data/im/b.nii", "secret.nii")
    describe(tmp_path / "data", training=training)
    with pytest.raises(error, match=message):
        find_cases(tmp_path / "data")


def test_classes_are_those_of_the_data_set_in_the_order_of_its_values(tmp_path):
    check_classes(tmp_path, ["RV", "myo", "LV"], "")  # ACDC's, whatever the case
    for other in (["LV", "Myo", "RV"], ["RV", "Myo"], ["RV", "Myo", "LA"]):
        with pytest.raises(ValueError, match=r"classes RV, Myo, LV, the training .*; pass \['RV', 'Myo', 'LV'\]"):
            check_classes(tmp_path, other, "pass {0}")


def test_a_link_that_somebody_put_into_the_folder_is_followed(tmp_path):
    """The one way to a file elsewhere: noisy copies and repaired labels link their images so."""
    touch(tmp_path, "elsewhere/a.nii", "data/la/a.nii")
    (tmp_path / "data" / "a.nii").symlink_to(tmp_path / "elsewhere" / "a.nii")
    describe(tmp_path / "data", training=[{"image": "a.nii", "label": "la/a.nii"}])
    (case,) = find_cases(tmp_path / "data")
    assert case["image"] == str(tmp_path / "data" / "a.nii")
    describe(tmp_path / "data", training=[{"image": "../elsewhere/a.nii", "label": "la/a.nii"}])
    with pytest.raises(ValueError, match="lies outside .*or link it there"):
        find_cases(tmp_path / "data")


def test_broken_json_is_named_with_its_line(tmp_path):
    (tmp_path / "dataset.json").write_text('{\n"training": [,]}')
    with pytest.raises(ValueError, match=r"dataset\.json is not valid JSON \(line 2"):
        find_cases(tmp_path)
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(ValueError, match=r"dataset\.json must hold a JSON object .* got a list"):
        find_cases(tmp_path)


@pytest.mark.parametrize("layout", ["acdc", "msd"])
def test_training_never_sees_a_clean_label(tmp_path, layout):
    if layout == "acdc":
        touch(tmp_path, *frames("training/patient001", 1, 2))
        touch(tmp_path, "clean_labels/training/patient001/patient001_frame01_gt.nii.gz")
        noisy, clean = "training/patient001/patient001_frame01_gt.nii.gz", "clean_labels/training/patient001"
    else:
        touch(tmp_path, "im/a.nii", "im/b.nii", "la/a.nii", "la/b.nii", "clean_labels/la/a.nii")
        describe(tmp_path, training=[{"image": f"im/{name}.nii", "label": f"la/{name}.nii"} for name in "ab"])
        noisy, clean = "la/a.nii", "clean_labels/la"
    cases = find_cases(tmp_path)
    assert len(cases) == 2  # the folder clean_labels adds no case
    assert [sorted(item) for item in training_items(cases)] == [["case", "image", "label", "patient"]] * 2
    assert "clean_label" not in json.dumps(training_items(cases))
    assert training_items(cases)[0]["label"] == str(tmp_path / noisy)

    assert Path(cases[0]["clean_label"]).parent == tmp_path / clean
    assert "clean_label" not in cases[1]
    assert [item["label"] for item in clean_items(cases)] == [cases[0]["clean_label"], cases[1]["label"]]
    assert cases[0]["label"] == str(tmp_path / noisy)  # the input is left as it was


def test_nothing_in_nothing_out():
    assert training_items([]) == clean_items([]) == []


def test_monai_reads_the_same_entries_from_dataset_json(tmp_path):
    touch(tmp_path, "imagesTr/a.nii.gz", "labelsTr/a.nii.gz", "imagesTr/b.nii.gz", "labelsTr/b.nii.gz")
    describe(
        tmp_path,
        training=[
            {"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz", "patient": f"p{name}"}
            for name in "ab"
        ],
    )
    theirs = load_decathlon_datalist(tmp_path / "dataset.json")
    ours = [{key: case[key] for key in ("image", "label", "patient")} for case in find_cases(tmp_path)]
    assert ours == theirs


@pytest.mark.skipif(not (SHARED / "acdc").is_dir(), reason=f"no real ACDC at {SHARED} (set SELF_CLEANSING_DATA)")
def test_real_acdc_has_two_labelled_frames_of_each_of_eighty_patients():
    cases = find_cases(SHARED / "acdc")
    assert len(cases) == 160
    patients = {case["patient"] for case in cases}
    assert patients == {f"patient{20 * block + place:03d}" for block in range(5) for place in range(1, 17)}
    assert all(sum(case["patient"] == patient for case in cases) == 2 for patient in patients)


@pytest.mark.skipif(not (SHARED / "acdc").is_dir(), reason=f"no real ACDC at {SHARED} (set SELF_CLEANSING_DATA)")
def test_a_linked_patient_folder_counts(tmp_path):
    (tmp_path / "patient001").symlink_to(SHARED / "acdc/training/patient001")
    shutil.copytree(SHARED / "acdc/training/patient002", tmp_path / "patient002")
    assert len(find_cases(tmp_path)) == 4


def test_known_cases_are_those_of_the_list_and_the_rest(tmp_path):
    for number in (1, 2, 3):
        name = f"patient{number:03d}"
        touch(tmp_path / "data", *(f"{name}/{name}_frame01{suffix}.nii.gz" for suffix in ("", "_gt")))
    one, two, three = find_cases(tmp_path / "data")
    known = known_cases([{"image": three["image"]}, {"image": one["image"], "label": "x"}], tmp_path / "data")
    assert known == {"trained": [three, one], "others": [two]}


@pytest.mark.parametrize("data_set", ["nowhere", "data"])
def test_a_list_of_foreign_images_has_no_known_cases(tmp_path, data_set):
    touch(tmp_path / "data", "patient001/patient001_frame01.nii.gz", "patient001/patient001_frame01_gt.nii.gz")
    known = known_cases([{"image": str(tmp_path / "studies" / "a.nii.gz")}], tmp_path / data_set)
    assert known == {"trained": [], "others": []}
