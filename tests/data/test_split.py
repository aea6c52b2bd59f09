# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest

from bundle.self_cleansing.data import PARTS, SplitOnDemand, find_cases, split_cases

SHARED = Path(os.environ.get("SELF_CLEANSING_DATA", Path(__file__).parents[3] / "shared" / "data"))


def cases_of(*patients: str, each: int = 2, **parts: str) -> list[dict]:
    return [
        {"case": f"{patient}_{i}", "patient": patient, "image": "", "label": ""}
        | ({"part": parts[patient]} if patient in parts else {})
        for patient in patients
        for i in range(each)
    ]


def acdc(*numbers: int) -> list[dict]:
    return cases_of(*(f"patient{number:03d}" for number in numbers))


def patients(split: dict[str, list[dict]]) -> dict[str, list[str]]:
    return {part: sorted({case["patient"] for case in cases}) for part, cases in split.items()}


def numbers(split: dict[str, list[dict]], part: str) -> list[int]:
    return [int(patient[-3:]) for patient in patients(split)[part]]


def test_the_standard_acdc_split_is_drawn_within_blocks_of_twenty():
    split = split_cases(acdc(*range(1, 151)))
    assert list(split) == list(PARTS)
    assert numbers(split, "train") == [20 * block + place for block in range(5) for place in range(1, 12)]
    assert numbers(split, "validation") == [20 * block + place for block in range(5) for place in (12, 13)]
    assert numbers(split, "test") == [20 * block + place for block in range(5) for place in (14, 15, 16)]
    assert numbers(split, "holdout") == [
        number for number in range(1, 151) if number > 100 or number % 20 in (17, 18, 19, 0)
    ]


def test_a_seed_shuffles_acdc_within_blocks_and_leaves_the_holdout():
    standard, one, again, two = (split_cases(acdc(*range(1, 101)), seed=seed) for seed in (None, 1, 1, 2))
    assert one == again
    assert numbers(one, "holdout") == numbers(two, "holdout") == numbers(standard, "holdout")
    assert len({tuple(numbers(split, "train")) for split in (standard, one, two)}) == 3
    for block in range(5):
        inside = range(20 * block + 1, 20 * block + 21)
        counts = [sum(number in inside for number in numbers(one, part)) for part in PARTS]
        assert counts == [11, 2, 3, 4]


def test_an_acdc_patient_keeps_its_part_when_others_are_missing():
    whole = split_cases(acdc(*range(1, 101)), seed=3)
    some = split_cases(acdc(*range(1, 101, 2)), seed=3)
    assert all(set(numbers(some, part)) <= set(numbers(whole, part)) for part in PARTS)


def test_a_handful_of_acdc_patients_is_divided_by_fractions_without_its_holdout():
    split = split_cases(acdc(1, 2, 3, 4, 5, 6, 17, 101))
    assert [len(patients(split)[part]) for part in PARTS] == [4, 1, 1, 2]
    assert numbers(split, "holdout") == [17, 101]


@pytest.mark.parametrize(("count", "expected"), [(3, [1, 1, 1]), (4, [2, 1, 1]), (10, [7, 1, 2]), (122, [86, 12, 24])])
def test_other_data_is_shuffled_by_patient(count, expected):
    cases = cases_of(*(f"p{i}" for i in range(count)), each=3)
    split = split_cases(cases)
    assert [len(patients(split)[part]) for part in PARTS] == [*expected, 0]
    assert sorted(case["case"] for part in PARTS for case in split[part]) == sorted(case["case"] for case in cases)
    assert split == split_cases(cases, seed=0)
    assert split == {part: sorted(split_cases(cases[::-1])[part], key=cases.index) for part in PARTS}  # order is moot


def test_another_seed_gives_another_split():
    cases = cases_of(*(f"p{i}" for i in range(20)))
    assert patients(split_cases(cases, seed=1)) != patients(split_cases(cases, seed=2))


def test_predefined_parts_are_kept_and_only_the_others_are_drawn():
    names = [f"p{i}" for i in range(12)]
    split = patients(split_cases(cases_of(*names, p0="test", p1="test")))
    assert split["test"] == ["p0", "p1"]
    assert [len(split[part]) for part in PARTS] == [9, 1, 2, 0]  # 10 left, 0.7 : 0.1
    split = patients(split_cases(cases_of(*names, p0="test", p1="validation")))
    assert (len(split["train"]), split["validation"], split["test"]) == (10, ["p1"], ["p0"])


def test_too_few_patients_are_refused():
    with pytest.raises(
        ValueError, match=r"2 patients \(p0, p1\) cannot fill train, validation, test; give a split file"
    ):
        split_cases(cases_of("p0", "p1"))


@pytest.mark.parametrize("fractions", [(0.8, 0.2), (0.8, 0.2, 0.0), (70, 10, 20)])
def test_fractions_must_be_three_positive_numbers_with_sum_one(fractions):
    with pytest.raises(ValueError, match=rf"sum 1, got \({fractions[0]}"):
        split_cases(cases_of("p0", "p1", "p2"), fractions=fractions)


def test_the_split_is_written_and_reused_whatever_the_seed(tmp_path, caplog):
    file = tmp_path / "run" / "split.json"
    cases = cases_of(*(f"p{i}" for i in range(9)))
    first = split_cases(cases, file, seed=1)
    content = json.loads(file.read_text())
    assert content["seed"] == 1 and "fractions 0.7, 0.1, 0.2" in content["rule"]
    assert content["parts"] == patients(first)
    assert [path.name for path in file.parent.iterdir()] == ["split.json"]  # no temporary file is left
    assert split_cases(cases, file) == split_cases(cases[:4] + cases[4:], file, seed=1) == first
    assert not caplog.records
    assert split_cases(cases, file, seed=2) == first
    assert "its seed is 1, not the given 2" in caplog.text


def test_a_folder_that_cannot_be_written_only_warns(tmp_path, caplog):
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        split = split_cases(cases_of("p0", "p1", "p2"), tmp_path / "file" / "split.json")
    assert sum(len(part) for part in split.values()) == 6
    assert [record.getMessage().count("split.json cannot be written") for record in caplog.records] == [1]


def write(path: Path, **parts: object) -> Path:
    path.write_text(json.dumps({"rule": "by hand", "seed": None, "parts": parts}))
    return path


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": ["p0", "p1"], "test": ["p1", "p2"]}, r"patient p1 is in two parts of .*split\.json, train and test"),
        ({"train": ["p0"], "test": ["p2"]}, r"patient p1 is in no part of .*split\.json \(1 such patients\)"),
        ({"train": ["x"], "test": ["y"]}, r"split\.json names none of the data's patients \(the first is p0\)"),
        ({"training": ["p0"]}, r'split\.json must have "parts"'),
        ({"train": "p0"}, r"part train of .*split\.json must be a list of patients, got 'p0'"),
    ],
)
def test_a_wrong_split_file_is_refused(tmp_path, parts, message):
    with pytest.raises(ValueError, match=message):
        split_cases(cases_of("p0", "p1", "p2"), write(tmp_path / "split.json", **parts))


def test_a_split_file_by_hand_may_name_absent_patients_and_needs_no_more_than_it_says(tmp_path):
    file = write(tmp_path / "split.json", train=["p0", "absent"], test=["p1"])
    assert patients(split_cases(cases_of("p0", "p1"), file)) == {
        "train": ["p0"],
        "validation": [],
        "test": ["p1"],
        "holdout": [],
    }


def test_a_split_file_may_not_contradict_dataset_json(tmp_path):
    file = write(tmp_path / "split.json", train=["p0", "p1", "p2"])
    with pytest.raises(
        ValueError, match=r"patient p2 is in two parts, test by dataset\.json and train by .*split\.json"
    ):
        split_cases(cases_of("p0", "p1", "p2", p2="test"), file)


def test_a_patient_in_two_predefined_parts_is_refused():
    cases = cases_of("p0", "p1", "p2", "p3") + [{"case": "p3_9", "patient": "p3", "part": "test"}]
    with pytest.raises(ValueError, match="patient p3 is in two parts of the data set, train and test"):
        split_cases(cases)


@pytest.mark.skipif(not (SHARED / "acdc").is_dir(), reason=f"no real ACDC at {SHARED} (set SELF_CLEANSING_DATA)")
def test_the_standard_split_of_real_acdc_has_55_10_15_patients():
    split = split_cases(find_cases(SHARED / "acdc"))
    assert [len(patients(split)[part]) for part in PARTS] == [55, 10, 15, 0]  # its last four of a block are kept back
    assert [len(split[part]) for part in PARTS] == [110, 20, 30, 0]


def test_a_split_on_demand_is_that_of_the_cases_and_looks_only_when_asked(tmp_path):
    split = SplitOnDemand(tmp_path / "nowhere", seed=3)
    assert list(split) == list(PARTS) and len(split) == len(PARTS)
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        split["train"]
    for number in (1, 2, 3, 12, 14):
        folder = tmp_path / "data" / f"patient{number:03d}"
        folder.mkdir(parents=True)
        for suffix in ("", "_gt"):
            (folder / f"{folder.name}_frame01{suffix}.nii.gz").touch()
    split = SplitOnDemand(tmp_path / "data", seed=3)
    assert dict(split) == split_cases(find_cases(tmp_path / "data"), seed=3)
    with pytest.raises(KeyError, match="tset"):
        split["tset"]
