# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from monai.transforms import Compose, Lambdad

from bundle.self_cleansing.data import case_id
from bundle.self_cleansing.slice_bank import SliceBank

DEPTHS = {"p2": 3, "p10": 1, "p1": 2}


def volume(name: str, clean: bool = False) -> dict:
    """Every voxel tells its case and slice: image 100 * case + slice, label on iff the slice is odd."""
    number, depth = int(name[1:]), DEPTHS[name]
    slices = torch.arange(depth, dtype=torch.float64)
    made = {"image": (100 * number + slices).expand(1, 8, 4, depth), "label": (slices % 2).expand(2, 8, 4, depth)}
    return {**made, "clean_label": 1 - made["label"]} if clean else made


def items(**extra) -> list[dict]:
    return [{"case": name, "image": "none.nii.gz", **extra} for name in DEPTHS]


def test_order_ids_and_contents():
    bank = SliceBank(items(), lambda item: volume(item["case"]), progress=False)
    assert bank.sample_ids == ["p2/0", "p2/1", "p2/2", "p10/0", "p1/0", "p1/1"]
    assert bank.cases == ["p2", "p10", "p1"]
    assert bank.case_index.tolist() == [0, 0, 0, 1, 2, 2]
    assert torch.equal(bank.patient_index, bank.case_index)  # no entry names a patient
    assert len(bank) == 6
    assert bank.images.shape == (6, 1, 8, 4) and bank.images.dtype == torch.float32
    assert bank.labels.shape == (6, 2, 8, 4) and bank.labels.dtype == torch.uint8
    assert bank.images[:, 0, 7, 3].tolist() == [200, 201, 202, 1000, 100, 101]
    assert bank.labels[:, 1, 0, 0].tolist() == [0, 1, 0, 0, 0, 1]
    assert bank.images.is_contiguous() and bank.labels.is_contiguous()


def test_cases_of_one_patient_have_its_number():
    data = [item | {"patient": name} for item, name in zip(items(), ("b", "a", "b"), strict=True)]
    bank = SliceBank(data, lambda item: volume(item["case"]), progress=False)
    assert bank.patient_index.tolist() == [0, 0, 0, 1, 0, 0] and bank.case_index.tolist() == [0, 0, 0, 1, 2, 2]


def test_items():
    bank = SliceBank(items(), lambda item: volume(item["case"]), progress=False)
    assert bank[3]["image"].shape == (1, 8, 4) and bank[3]["image"][0, 0, 0] == 1000
    assert bank[torch.tensor([5, 1])]["image"][:, 0, 0, 0].tolist() == [101, 201]
    assert bank[torch.tensor([5, 2])]["label"][:, 0, 0, 0].tolist() == [1, 0]


def test_rows_and_columns_are_not_swapped():
    image = torch.zeros(1, 8, 4, 2)
    image[0, 6, 1, 1] = 1
    bank = SliceBank([{"case": "a"}], lambda item: {"image": image, "label": image}, progress=False)
    assert torch.nonzero(bank.images).tolist() == [[1, 0, 6, 1]]


def test_reference_labels_are_the_clean_ones_only_if_all_are_there():
    every = SliceBank(items(), lambda item: volume(item["case"], clean=True), progress=False)
    assert torch.equal(every.reference_labels, 1 - every.labels)
    some = SliceBank(items(), lambda item: volume(item["case"], clean=item["case"] != "p10"), progress=False)
    assert some.clean_labels is None
    assert torch.equal(some.reference_labels, some.labels)


@pytest.mark.parametrize(
    ("item", "name"),
    [
        ({"case": "x", "image": "/d/y.nii.gz"}, "x"),
        ({"image": "/d.1/patient001_frame01.nii.gz"}, "patient001_frame01"),
        ({"image": "slice.png"}, "slice"),
        ({"image": "1.2.840.1.nii.gz"}, "1.2.840.1"),  # names made of UIDs differ behind their dots
    ],
)
def test_case_id(item, name):
    assert case_id(item) == name


def test_an_empty_list_is_refused():
    with pytest.raises(ValueError, match="no case"):
        SliceBank([], lambda item: item)


def test_a_list_that_stands_in_for_an_empty_one_is_used_only_then(caplog):
    def read(item):
        return volume(item["case"])

    others = items()[:2]
    assert SliceBank([], read, if_empty=others, progress=False).cases == ["p2", "p10"]
    assert "no case to validate on" in caplog.text
    assert SliceBank(items()[2:], read, if_empty=others, progress=False).cases == ["p1"]


def test_a_case_twice_is_refused_before_anything_is_read():
    data = [{"image": "/one/scan.nii"}, {"image": "/one/other.nii"}, {"image": "/two/scan.nii.gz"}]
    with pytest.raises(ValueError, match="'scan' occurs twice"):
        SliceBank(data, lambda item: pytest.fail("read"))


def test_the_sentence_of_a_transform_comes_through_monai():
    """Compose hides it below "applying transform ..."; nested Compose twice."""

    def refuse(value):
        raise ValueError("none.nii.gz holds NaN; mend it")

    inner = Compose([Lambdad(keys="image", func=refuse)])
    with pytest.raises(ValueError, match="^none.nii.gz holds NaN; mend it$"):
        SliceBank([{"case": "none", "image": torch.zeros(1)}], Compose([inner]), progress=False)
