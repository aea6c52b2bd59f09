# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine
from tiny import WrittenNetwork, bank_of, disc

from bundle.self_cleansing.cleansing import postprocess
from bundle.self_cleansing.filtering import (
    FilterGuards,
    Judgement,
    Provenance,
    Verdicts,
    believe_with_other_classes,
    compare_areas,
    displacement_filter,
    published_filter,
)
from bundle.self_cleansing.handlers import History, LabelCleansing
from bundle.self_cleansing.label_bank import LabelBank
from bundle.self_cleansing.label_filter import DisplacementFilter, Filtered, PublishedFilter
from bundle.self_cleansing.losses import LabelSchedule
from bundle.self_cleansing.sweep import Cleanser

SIZE, COUNT, CLASSES = 16, 32, 2
PREDICTION = Cleanser("prediction", min_fraction=0)
MANUAL, KEPT, RENEWED, REJECTED = (int(kind) for kind in Provenance)


def written(logits: torch.Tensor, labels: torch.Tensor):
    """Data whose predictions are `logits` (N, K, H, W); two more channels are features for the cleanser."""
    features = torch.rand(len(logits), 2, *logits.shape[2:], generator=torch.Generator().manual_seed(9))
    return bank_of(torch.cat([logits, features], dim=1), labels)


@pytest.fixture
def dataset():
    """Predicted discs; labels are the same discs, or larger, smaller or missing ones; three predictions are empty."""
    rng = np.random.default_rng(0)
    pred, label = torch.zeros(2, COUNT, CLASSES, SIZE, SIZE, dtype=torch.bool)
    for n in range(COUNT):
        for k in range(CLASSES):
            row, column = rng.uniform(6, 9, 2)
            change = [0, 0, 0, 1.5, -1.5, None][n % 6]
            pred[n, k] = disc(SIZE, row, column, 4)
            if change is not None:
                label[n, k] = disc(SIZE, row + rng.normal(0, 0.3), column, 4 + change + rng.normal(0, 0.2))
    pred[[7, 13, 20], 0] = False
    sharpness = torch.from_numpy(rng.uniform(1, 6, (COUNT, CLASSES, 1, 1))).float()
    return written(torch.where(pred, sharpness, -sharpness), label)


def handler(dataset, label_filter, tmp_path, cleanser=PREDICTION, bank=None, schedule=(2, 2), every=1, **options):
    bank = LabelBank(dataset) if bank is None else bank
    return LabelCleansing(
        WrittenNetwork(dataset.labels.shape[1]),
        dataset,
        bank,
        label_filter,
        cleanser,
        LabelSchedule(*schedule),
        every,
        History(tmp_path / "h.csv"),
        **options,
    )


def fixed(provenance, reason: str = ""):
    """A filter whose outcome is given."""
    provenance = np.asarray(provenance, dtype=np.uint8)
    judgement = Judgement.unsplit(np.zeros((1, 1)), clean=True, reason=reason)
    posterior = (provenance == MANUAL) * 0.75 + 0.125
    verdicts = Verdicts(
        provenance == MANUAL, posterior, provenance < 0, (SimpleNamespace(reason=judgement.reason, values=None),)
    )
    return lambda found, bank: Filtered(verdicts, None, provenance)


def dice_loss(probs: torch.Tensor, label: torch.Tensor) -> float:
    return 1 - (2 * float((probs * label).sum()) + 1e-5) / (float(probs.sum() + label.sum()) + 1e-5)


def predictions(dataset) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities and masks that WrittenNetwork predicts."""
    probs = torch.sigmoid(dataset.images[:, : dataset.labels.shape[1]])
    return probs, probs > 0.5


@pytest.mark.parametrize("unit", ["image", "class"])
@pytest.mark.parametrize("guards", ["none", "all", {"unset_pseudo_is_noisy": True}])
def test_published_filter_by_a_loop(unit, guards, dataset, tmp_path):
    """Two updates; the second network is more certain, so the verdicts move, and there are pseudo labels to keep."""
    cleansing = handler(dataset, PublishedFilter(guards, unit), tmp_path)
    options = FilterGuards(**guards) if isinstance(guards, dict) else getattr(FilterGuards, guards)()
    labels = dataset.labels.bool()
    y, is_set, seen = torch.zeros_like(labels), torch.zeros(COUNT, CLASSES, dtype=torch.bool), set()
    for epoch in (2, 3):
        if epoch == 3:  # between the updates the network changes its mind
            dataset.images[:, :CLASSES] = dataset.images[:, :CLASSES].roll(1, dims=-1) * 2
        probs, region = predictions(dataset)
        losses = [
            np.array([[dice_loss(probs[n, k], t[n, k]) for k in range(CLASSES)] for n in range(COUNT)])
            for t in (labels, y)
        ]
        area = [x.flatten(2).sum(2).numpy() for x in (labels, y, region)]
        manual = published_filter(
            losses[0].astype(np.float32), "manual", options, label_area=area[0], pred_area=area[2], unit=unit
        )
        pseudo = published_filter(
            losses[1].astype(np.float32),
            "pseudo",
            options,
            label_area=area[1],
            pred_area=area[2],
            is_set=is_set.numpy(),
            manual_empty_and_clean=(area[0] == 0) & manual.clean,
            unit=unit,
        )
        expected = np.zeros((COUNT, CLASSES), int)
        old = y.clone()
        for n in range(COUNT):
            for k in range(CLASSES):
                if manual.clean[n, k]:
                    expected[n, k], y[n, k], is_set[n, k] = MANUAL, labels[n, k], True
                elif pseudo.clean[n, k]:
                    expected[n, k] = KEPT
                else:
                    expected[n, k], is_set[n, k] = RENEWED, True
                    y[n, k] = region[n, k] if region[n, k].any() else old[n, k] if old[n, k].any() else labels[n, k]
        cleansing(SimpleNamespace(state=SimpleNamespace(epoch=epoch)))
        bank = cleansing.label_bank
        np.testing.assert_array_equal(bank.provenance.numpy(), expected)
        assert torch.equal(bank.pseudo_label().bool(), y)
        assert torch.equal(bank.is_set, is_set)
        assert bank.takes_part.all()
        np.testing.assert_allclose(bank.manual_loss.numpy(), losses[0], atol=1e-5)
        np.testing.assert_allclose(bank.pseudo_loss.numpy(), losses[1], atol=1e-5)
        np.testing.assert_allclose(bank.clean_posterior.numpy(), manual.posterior, atol=1e-5)
        seen |= set(expected.flatten().tolist())
    assert {MANUAL, RENEWED} <= seen or guards == "none"


@pytest.mark.parametrize("unit", ["image", "class"])
def test_displacement_filter_by_a_loop(unit, dataset, tmp_path):
    cleansing = handler(dataset, DisplacementFilter({"min_samples": 10}, unit), tmp_path)
    labels, bank = dataset.labels.bool(), cleansing.label_bank
    y, is_set = torch.zeros_like(labels), torch.zeros(COUNT, CLASSES, dtype=torch.bool)
    for epoch in (2, 3):
        if epoch == 3:
            dataset.images[:, :CLASSES] = dataset.images[:, :CLASSES].roll(1, dims=-1)
        _, region = predictions(dataset)
        verdicts = displacement_filter(*compare_areas(labels, region), unit=unit, min_samples=10)
        if unit == "image":
            areas = (masks.flatten(2).sum(2) for masks in (labels, region))
            verdicts = believe_with_other_classes(verdicts, *areas, dataset.case_index)
        clean = verdicts.clean
        for n in range(COUNT):
            for k in range(CLASSES):
                if clean[n, k]:
                    y[n, k], is_set[n, k] = labels[n, k], True
        cleansing(SimpleNamespace(state=SimpleNamespace(epoch=epoch)))
        np.testing.assert_array_equal(bank.provenance.numpy(), np.where(clean, MANUAL, REJECTED))
        np.testing.assert_array_equal(bank.takes_part.numpy(), clean)
        assert torch.equal(bank.pseudo_label().bool(), y) and torch.equal(bank.is_set, is_set)
        assert 4 < clean.sum() < clean.size - 4


def test_every_kind_of_outcome(dataset, tmp_path):
    """Restore, keep, renew and leave out, each on its own entry and nowhere else."""
    provenance = torch.arange(COUNT * CLASSES).reshape(COUNT, CLASSES) % 4
    bank = LabelBank(dataset)
    earlier = torch.rand(COUNT, CLASSES, SIZE, SIZE, generator=torch.Generator().manual_seed(3)) > 0.8
    bank.write(slice(None), earlier, torch.ones(COUNT, CLASSES, dtype=torch.bool))
    cleanser = Cleanser("mean", mu=0.9, min_fraction=0.1, narrow_features=True)
    cleansing = handler(dataset, fixed(provenance), tmp_path, cleanser, bank)
    cleansing.update(6)
    _, region = predictions(dataset)
    renewed = earlier.clone()
    for n in range(COUNT):
        for k in range(CLASSES):
            features = dataset.images[n, CLASSES:].double()
            if region[n, k].any():
                unit = features / features.norm(dim=0)
                prototype = features[:, region[n, k]].mean(dim=1)
                similar = torch.einsum("f,fhw->hw", prototype / prototype.norm(), unit) > 0.9
                renewed[n, k] = postprocess(similar, 0.1)
    expected = {MANUAL: dataset.labels.bool(), KEPT: earlier, RENEWED: renewed, REJECTED: earlier}
    for kind, wanted in expected.items():
        chosen = provenance == kind
        found = bank.pseudo_label().bool()[chosen]
        assert (found != wanted[chosen]).float().mean() < 1e-3, kind  # similarities at the threshold
    assert not torch.equal(renewed[provenance == RENEWED], earlier[provenance == RENEWED])
    assert torch.equal(bank.takes_part, provenance != REJECTED)
    assert torch.equal(bank.changed_epoch, (provenance != MANUAL).int() * 6)
    assert torch.equal(bank.clean_posterior, torch.where(provenance == MANUAL, 0.875, 0.125))


@pytest.mark.parametrize(
    ("warmup", "every", "epochs"), [(2, 1, [2, 3, 4, 5, 6, 7]), (3, 2, [3, 5, 7]), (1, 5, [1, 6]), (8, 1, [])]
)
def test_updates_come_at_e1_and_every_k_epochs(warmup, every, epochs, dataset, tmp_path):
    cleansing = handler(dataset, None, tmp_path, schedule=(warmup, warmup), every=every)
    updates, repairs = [], []
    cleansing.update = updates.append
    cleansing.repair = lambda engine: repairs.append(engine.state.epoch)
    engine = Engine(lambda engine, _: None)
    cleansing.attach(engine)
    engine.run([0], max_epochs=7)
    assert updates == epochs
    assert repairs == [7]


def test_zero_epochs_between_updates_are_refused(dataset, tmp_path):
    with pytest.raises(ValueError, match="got 0"):
        handler(dataset, None, tmp_path, every=0)


@pytest.fixture
def repairable():
    """Class 0: the prediction equals the label, the cleanser's mask does not; class 1 the other way round.

    One feature channel marks the pixels that the cleanser will find similar to the prediction.
    """
    label = torch.zeros(6, 2, SIZE, SIZE, dtype=torch.bool)
    label[:, 0, 2:6, 2:6] = True
    label[:, 1, 8:14, 8:14] = True
    pred = label.clone()
    pred[:, 1, 8:14, 11:14] = False  # half of it; all of its pixels and the other half look alike
    features = torch.ones(6, 2, SIZE, SIZE)
    features[:, 0] = 0
    features[:, :, 8:14, 8:14] = torch.tensor([1.0, 0.0])[:, None, None]
    dataset = bank_of(torch.cat([torch.where(pred, 4.0, -4.0), features], dim=1), label)
    dataset.labels[4:] = 0  # the labels of two samples are missing
    dataset.labels[3, 1] = pred[3, 1]  # and one is wrong in a way that speaks for the prediction
    return dataset, label, pred


def test_repair_writes_left_out_labels_only_each_class_from_its_better_source(repairable, tmp_path):
    dataset, truth, pred = repairable
    provenance = torch.tensor([[MANUAL, MANUAL]] * 3 + [[MANUAL, REJECTED], [REJECTED, REJECTED], [REJECTED, MANUAL]])
    cleansing = handler(dataset, fixed(provenance), tmp_path, Cleanser("mean", mu=0.99, narrow_features=True))
    bank = cleansing.label_bank
    cleansing.update(2)
    before = bank.pseudo_label().clone()
    takes_part = bank.takes_part.clone()
    cleansing.repair(SimpleNamespace(state=SimpleNamespace(epoch=9)))
    after = bank.pseudo_label().bool()
    for n in range(6):
        for k in range(2):
            if provenance[n, k] == REJECTED:
                assert torch.equal(after[n, k], truth[n, k])  # prediction for class 0, cleanser for class 1
                assert not torch.equal(pred[n, 1], truth[n, 1])
            else:
                assert torch.equal(after[n, k], before[n, k].bool())
    assert torch.equal(bank.takes_part, takes_part)
    assert torch.equal(bank.provenance, torch.where(provenance == REJECTED, RENEWED, provenance).to(torch.uint8))
    assert torch.equal(bank.changed_epoch, torch.where(provenance == REJECTED, 9, 0).int())

    state = {name: value.clone() for name, value in bank.named_buffers()}
    cleansing.repair(SimpleNamespace(state=SimpleNamespace(epoch=9)))  # as after resuming a finished run
    assert all(torch.equal(value, state[name]) for name, value in bank.named_buffers())


def test_repair_erases_nothing_where_the_network_sees_nothing(repairable, tmp_path, caplog):
    dataset = repairable[0]
    dataset.images[0, 0] = -4.0  # class 0 of the first sample is marked, but not predicted
    provenance = torch.tensor([[REJECTED, MANUAL]] + [[MANUAL, MANUAL]] * 4 + [[REJECTED, REJECTED]])
    cleansing = handler(dataset, fixed(provenance), tmp_path)
    cleansing.update(2)
    with caplog.at_level(logging.INFO, "bundle.self_cleansing"):
        cleansing.repair(SimpleNamespace(state=SimpleNamespace(epoch=9)))
    bank = cleansing.label_bank
    assert bank.provenance[0, 0] == REJECTED and not bank.is_set[0, 0] and not bank.takes_part[0, 0]
    assert (bank.provenance[5] == RENEWED).all() and bank.pseudo_label()[5].flatten(1).any(dim=1).all()
    assert caplog.messages[-1].startswith("repaired 2 labels that were left out (per class by: prediction, prediction)")
    assert caplog.messages[-1].endswith(", 1 more stay as given, for the network sees nothing there")


def test_repair_touches_nothing_if_nothing_was_left_out(repairable, tmp_path):
    dataset = repairable[0]
    cleansing = handler(dataset, fixed(torch.full((6, 2), RENEWED)), tmp_path)
    cleansing.update(2)
    state = {name: value.clone() for name, value in cleansing.label_bank.named_buffers()}
    cleansing.sweep = lambda: pytest.fail("a sweep for nothing")
    cleansing.repair(SimpleNamespace(state=SimpleNamespace(epoch=9)))
    assert all(torch.equal(value, state[name]) for name, value in cleansing.label_bank.named_buffers())


def test_counts_and_the_reason_are_logged(dataset, tmp_path, caplog):
    provenance = torch.full((COUNT, CLASSES), MANUAL)
    provenance[:5], provenance[5:7], provenance[7, 0] = REJECTED, RENEWED, KEPT
    cleansing = handler(dataset, fixed(provenance, "all look alike"), tmp_path)
    with caplog.at_level(logging.INFO, "bundle.self_cleansing"):
        cleansing.update(4)
    assert caplog.messages == ["epoch 4: of 64 labels clean 49, kept 1, renewed 4, left out 10 (all look alike)"]
    expected = {"labels_manual": 49, "labels_kept": 1, "labels_renewed": 4, "labels_rejected": 10}
    expected["verdicts_changed"] = 64 - 49  # at first all were believed
    assert cleansing.history._current == {name: count / 64 for name, count in expected.items()}
    cleansing.update(6)
    assert cleansing.history._current["verdicts_changed"] == 0


def test_the_audit_speaks_but_is_not_listened_to(dataset, tmp_path, caplog):
    class Audit:
        def __call__(self, bank):
            return {"filter_precision": 0.5}

        def sentence(self, numbers):
            return f"precision {numbers['filter_precision']}"

    provenance = torch.arange(COUNT * CLASSES).reshape(COUNT, CLASSES) % 4
    with caplog.at_level(logging.INFO, "bundle.self_cleansing"):
        banks = []
        for audit in (Audit(), None):
            cleansing = handler(dataset, fixed(provenance), tmp_path, audit=audit)
            cleansing.update(2)
            banks.append(cleansing.label_bank)
            assert ("filter_precision" in cleansing.history._current) == (audit is not None)
    assert caplog.messages[0].endswith("; precision 0.5") and "precision" not in caplog.messages[1]
    for name, value in banks[0].named_buffers():
        assert torch.equal(value, getattr(banks[1], name)), name


@pytest.mark.cuda
@pytest.mark.parametrize("bank_device", ["cpu", "cuda"])
@pytest.mark.parametrize("label_filter", [PublishedFilter("all"), DisplacementFilter({"min_samples": 10})])
def test_cuda_equals_cpu(label_filter, bank_device, dataset, tmp_path):
    banks = []
    for device in ("cpu", "cuda"):
        bank = LabelBank(dataset).to(bank_device if device == "cuda" else "cpu")
        cleansing = handler(dataset, label_filter, tmp_path, Cleanser(grid_size=8), bank, device=device)
        cleansing.update(2)
        cleansing.repair(SimpleNamespace(state=SimpleNamespace(epoch=3)))
        banks.append(bank.cpu())
    assert torch.equal(banks[0].provenance, banks[1].provenance)
    assert torch.equal(banks[0].takes_part, banks[1].takes_part)
    assert (banks[0].pseudo_label() != banks[1].pseudo_label()).float().mean() < 1e-3


def test_a_filter_that_declines_prolongs_the_warm_up_and_later_keeps_the_verdicts(dataset, tmp_path, caplog):
    """Declined at E1 = 2: nothing changes and E1 moves to 4. Accepted there. Declined at 6: the verdicts of 4 stay."""
    provenance = np.full((COUNT, CLASSES), MANUAL)
    provenance[::2] = REJECTED
    outcome = fixed(provenance, "too far off")
    declines = {2: True, 4: False, 6: True}
    cleansing = handler(dataset, None, tmp_path, every=2)
    untouched = {name: value.clone() for name, value in cleansing.label_bank.named_buffers()}
    for epoch in range(1, 7):

        def label_filter(found, bank, epoch=epoch):
            return replace(outcome(found, bank), declined=declines[epoch])

        cleansing.label_filter = label_filter
        cleansing(SimpleNamespace(state=SimpleNamespace(epoch=epoch)))
        if epoch == 3:
            assert cleansing.schedule(3) == (1.0, 0.0)  # still the given labels
            assert all(torch.equal(value, untouched[name]) for name, value in cleansing.label_bank.named_buffers())
        if epoch == 4:
            assert cleansing.schedule(4) == (0.0, 1.0)
            updated = {name: value.clone() for name, value in cleansing.label_bank.named_buffers()}
    assert not updated["takes_part"][::2].any() and updated["takes_part"][1::2].all()
    assert all(torch.equal(value, updated[name]) for name, value in cleansing.label_bank.named_buffers())
    messages = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert ["the warm-up goes on" in m or "the last verdicts stay" in m for m in messages] == [True, True]
    assert all("too far off" in message for message in messages)


def test_a_postponed_schedule_survives_a_checkpoint():
    schedule, fresh = LabelSchedule(2, 6), LabelSchedule(2, 6)
    schedule.postpone(3)
    fresh.load_state_dict(schedule.state_dict())
    assert [fresh(epoch) for epoch in (4, 5, 7, 9)] == [(1.0, 0.0), (1.0, 0.0), (0.5, 0.5), (0.0, 1.0)]


def test_a_grid_that_does_not_fit_is_refused_before_training(dataset, tmp_path):
    with pytest.raises(ValueError, match="grid_size must divide the image's height and width, got 64 for 16 x 16"):
        handler(dataset, DisplacementFilter(), tmp_path, Cleanser())
