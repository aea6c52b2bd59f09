# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest
import torch
from ignite.engine import Engine
from monai.metrics import DiceMetric

from bundle.self_cleansing.metrics import DiceTable, VolumeDice, dice_counts

CASES = torch.tensor([0, 0, 0, 1, 1, 3])  # volume 2 has no slice


@pytest.fixture
def masks():
    """Six slices, three classes; class 1 is absent from volume 1, class 2 is only predicted in volume 0."""
    generator = torch.Generator().manual_seed(0)
    pred = torch.rand(6, 3, 7, 5, generator=generator) > 0.4
    label = torch.rand(6, 3, 7, 5, generator=generator) > 0.6
    pred[3:5, 1] = label[3:5, 1] = False
    label[:3, 2] = False
    pred[0, 0] = label[0, 0] = False
    pred[5, 0] = False
    return pred, label


def table(pred, label) -> DiceTable:
    return DiceTable.from_counts(dice_counts(pred, label), CASES, 4)


def test_counts(masks):
    pred, label = masks
    counts = dice_counts(pred, label)
    assert counts.shape == (6, 3, 3) and counts.dtype == torch.int64
    for n in range(6):
        for k in range(3):
            p, y = pred[n, k].flatten().tolist(), label[n, k].flatten().tolist()
            overlap = sum(one and other for one, other in zip(p, y, strict=True))
            assert counts[n, k].tolist() == [overlap, sum(p), sum(y)]
    assert torch.equal(dice_counts(pred.to(torch.uint8), label.float()), counts)


def test_slices_equal_monai(masks):
    """MONAI with ignore_empty=False has the rule of ours: both empty 1, one empty 0."""
    pred, label = masks
    expected = DiceMetric(include_background=True, ignore_empty=False)(pred.float(), label.float())
    found = table(pred, label).per_slice
    torch.testing.assert_close(found, expected.double(), atol=1e-6, rtol=0)
    assert found[0, 0] == found[3, 1] == 1 and found[0, 2] == found[5, 0] == 0


def test_volumes_equal_monai_on_concatenated_slices(masks):
    pred, label = masks
    found = table(pred, label).per_volume
    for volume in (0, 1, 3):
        stack = [x[volume == CASES].movedim(0, -1)[None].float() for x in (pred, label)]
        expected = DiceMetric(include_background=True, ignore_empty=False)(*stack)[0].double()
        both_empty = ~stack[0].bool().flatten(2).any(2)[0] & ~stack[1].bool().flatten(2).any(2)[0]
        torch.testing.assert_close(
            found[volume], expected.masked_fill(both_empty, math.nan), atol=1e-6, rtol=0, equal_nan=True
        )
    assert found[0, 2] == 0  # predicted, not there
    assert found[1, 1].isnan() and found[2].isnan().all()


def test_means_leave_out_what_is_not_there(masks):
    pred, label = masks
    made = table(pred, label)
    per_class = [sum(v for v in made.per_volume[:, k].tolist() if v == v) for k in range(3)]
    expected = [per_class[0] / 3, per_class[1] / 2, per_class[2] / 3]
    assert made.volume_means() == pytest.approx(expected)
    assert made.mean == pytest.approx(sum(expected) / 3)
    assert made.slice_means() == pytest.approx(made.per_slice.mean(0).tolist())


def test_a_class_that_no_volume_shows_is_left_out_of_the_mean():
    pred = torch.zeros(6, 2, 4, 4, dtype=torch.bool)
    pred[:, 0, :2] = True
    label = pred.clone()
    label[:, 0, 2] = True  # 8 of 12 pixels: Dice 0.8
    made = table(pred, label)
    assert made.volume_means()[0] == pytest.approx(0.8) and math.isnan(made.volume_means()[1])
    assert made.mean == pytest.approx(0.8)
    assert made.slice_means() == pytest.approx([0.8, 1.0])


def test_the_order_of_slices_does_not_matter(masks):
    pred, label = masks
    order = torch.tensor([5, 2, 4, 0, 3, 1])
    shuffled = DiceTable.from_counts(dice_counts(pred[order], label[order]), CASES[order], 4)
    assert torch.equal(shuffled.per_volume.nan_to_num(-1), table(pred, label).per_volume.nan_to_num(-1))
    assert torch.equal(shuffled.per_slice, table(pred, label).per_slice[order])


@pytest.mark.parametrize("sizes", [[6], [4, 2], [1, 1, 1, 1, 1, 1]])
@pytest.mark.parametrize("target", ["label", "reference_label"])
def test_metric_on_an_engine_does_not_depend_on_the_batches(sizes, target, masks):
    """Volumes spread over batches are put together; a second run of the engine starts from nothing."""
    pred, label = masks
    logits = torch.where(pred, 0.1, -0.1)
    logits[5, 2, 0, 0] = 0  # a probability of one half is background
    pred = pred.clone()
    pred[5, 2, 0, 0] = False
    whole = {"label": label.to(torch.uint8), "reference_label": (~label).to(torch.uint8), "case_index": CASES}
    batches = [
        {"logits": piece, **{key: whole[key].split(sizes)[i] for key in whole}}
        for i, piece in enumerate(logits.split(sizes))
    ]
    engine = Engine(lambda engine, batch: {"image": None, "pred": batch["logits"], "label": batch})
    VolumeDice(target).attach(engine, "dice")
    expected = table(pred, whole[target]).mean
    for _ in range(2):
        assert engine.run(batches).metrics["dice"] == pytest.approx(expected)
