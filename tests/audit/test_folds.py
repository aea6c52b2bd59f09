# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from bundle.self_cleansing.audit.folds import FoldSplit, patient_folds
from bundle.self_cleansing.data import find_cases, write_json


def test_every_patient_is_held_out_once_and_folds_are_of_equal_size():
    patients = [f"p{number}" for number in range(11)] * 2
    folds = patient_folds(patients, 3, seed=4)
    assert sorted(name for fold in folds for name in fold) == sorted(set(patients))
    assert sorted(map(len, folds)) == [3, 4, 4]
    assert folds == patient_folds(list(reversed(patients)), 3, seed=4) != patient_folds(patients, 3, seed=5)


@pytest.mark.parametrize(
    ("patients", "folds", "sentence"),
    [(["a", "b"], 3, "3 folds need as many patients, the data have 2"), (["a", "b"], 1, "at least 2, got 1")],
)
def test_folds_that_cannot_be_are_refused(patients, folds, sentence):
    with pytest.raises(ValueError, match=sentence):
        patient_folds(patients, folds)


def test_a_fold_trains_on_all_cases_of_other_patients_and_on_none_of_its_own(phantom, tmp_path):
    cases = find_cases(phantom)
    patients = sorted({case["patient"] for case in cases})
    write_json(tmp_path / "patients.json", {"train": patients[1:], "held_out": patients[:1]})
    split = FoldSplit(phantom, tmp_path / "patients.json")
    assert {case["patient"] for case in split["train"]} == set(patients[1:])
    assert {case["patient"] for case in split["validation"]} == {patients[0]}
    assert len(split["train"]) + len(split["validation"]) == len(cases)
    assert split["test"] == split["holdout"] == []
