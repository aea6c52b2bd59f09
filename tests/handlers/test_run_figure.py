# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from PIL import Image

from bundle.self_cleansing.filtering import Provenance
from bundle.self_cleansing.handlers.history import History
from bundle.self_cleansing.handlers.run_figure import RunFigure
from bundle.self_cleansing.label_bank import LabelBank
from bundle.self_cleansing.label_filter import DisplacementFilter, PublishedFilter
from bundle.self_cleansing.losses import LabelSchedule
from bundle.self_cleansing.networks import ResidualUNet
from bundle.self_cleansing.slice_bank import SliceBank


@pytest.fixture
def dataset() -> SliceBank:
    """Three cases of eight slices, 32 x 32, two classes: a bright square and its right half."""
    generator = torch.Generator().manual_seed(0)

    def preprocess(item):
        label = torch.zeros(2, 32, 32, 8)
        label[0, 8:24, 8:24], label[1, 8:24, 16:24] = 1, 1
        label[..., item["case"]] = 0
        return {"image": label[:1] + 0.1 * torch.rand(1, 32, 32, 8, generator=generator), "label": label}

    return SliceBank([{"case": number} for number in range(3)], preprocess, progress=False)


@pytest.mark.parametrize("label_filter", [None, PublishedFilter()])
def test_the_figure_is_written_once_at_the_end_and_nothing_else_changes(tmp_path, caplog, dataset, label_filter):
    torch.manual_seed(0)
    network = ResidualUNet(in_channels=1, num_classes=2).train()
    bank, history = LabelBank(dataset), History(tmp_path / "history.csv")
    path = tmp_path / "figure.png"
    handler = RunFigure(
        path,
        history,
        network,
        dataset,
        bank,
        ["square", "half"],
        LabelSchedule(1, 1),
        SimpleNamespace(best_epoch=2),
        label_filter,
        num_samples=2,
    )
    engine = Engine(lambda engine, batch: None)
    seen = []
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: history.rows.append({"epoch": e.state.epoch}))
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: seen.append(path.exists()))
    handler.attach(engine)
    before = {**network.state_dict(), **{k: v for k, v in bank.state_dict().items() if k != "_extra_state"}}
    before = {name: value.clone() for name, value in before.items()}
    with caplog.at_level(logging.INFO):
        engine.run([0], max_epochs=2)

    assert seen == [False, False] and str(path) in caplog.text
    with Image.open(path) as picture:
        picture.load()
        assert picture.size == (1600, 1500)
    after = {**network.state_dict(), **bank.state_dict()}
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert network.training


def test_doubts_of_the_filter_and_of_the_last_update_are_said_and_drawn(tmp_path, caplog, dataset):
    def doubtful(found, bank):
        return replace(DisplacementFilter()(found, bank), doubts=("all are larger",))

    network, history = ResidualUNet(in_channels=1, num_classes=2), History(tmp_path / "history.csv")
    history.rows += [
        *({"epoch": 1, "filter_declined": 1}, {"epoch": 2, "verdicts_changed": 0.9}, {"epoch": 3}),  # warm-up went on
        *({"epoch": 4, "filter_declined": 1}, {"epoch": 5, "verdicts_changed": 0.25}),
    ]
    handler = RunFigure(
        tmp_path / "figure.png",
        history,
        network,
        dataset,
        LabelBank(dataset),
        ["square", "half"],
        LabelSchedule(1, 1),
        SimpleNamespace(best_epoch=2),
        doubtful,
        num_samples=2,
    )
    handler(SimpleNamespace(state=SimpleNamespace(epoch=2)))
    unsettled = "25% of the verdicts changed at the last update: the training has not settled"
    undecided = "the filter could not tell at 1 of 3 updates, and kept the verdicts it had"
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == [
        f"look at some labels before you rely on this run: {doubt}"
        for doubt in ("all are larger", undecided, unsettled)
    ]
    del history.rows[:4]  # the first update changes the most, and that is no bad sign
    caplog.clear()
    handler(SimpleNamespace(state=SimpleNamespace(epoch=2)))
    assert unsettled not in caplog.text and "could not tell" not in caplog.text and "all are larger" in caplog.text


def test_a_row_of_the_panel_shows_what_the_bank_holds(tmp_path, dataset):
    bank = LabelBank(dataset)
    provenance = torch.zeros(bank.provenance.shape, dtype=torch.uint8)
    provenance[5] = int(Provenance.RENEWED)
    made = torch.ones_like(dataset.labels)
    bank.write(slice(None), made, provenance != 0)
    bank.record(provenance, epoch=3)
    bank.clean_posterior[5] = 0.25
    handler = RunFigure(
        *(tmp_path / "figure.png", None, None, dataset, bank, ["square", "half"], None, None, DisplacementFilter())
    )
    prediction = torch.zeros_like(bank.packed_pseudo_label)
    row = handler.panel_sample(5, SimpleNamespace(packed_prediction=prediction))
    assert row.title == "0/5   renewed   P(clean) = 0.25"
    assert row.in_force.all() and not row.prediction.any()
    assert (row.given == dataset.labels[5].numpy()).all()
