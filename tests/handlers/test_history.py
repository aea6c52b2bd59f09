# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import io

import pytest
import torch
from ignite.engine import Engine, Events

from bundle.self_cleansing.handlers import History

LOSSES = [[1.0, 2.0], [3.0, 5.0], [0.5, 0.25]]


def run(path, start: int = 0, stop: int = 3, state=None, tensorboard=None) -> History:
    """Losses above; after the second epoch another handler logs two numbers, after the third one of them."""
    history = History(path, tensorboard)
    losses = {2 * epoch + i: value for epoch, pair in enumerate(LOSSES) for i, value in enumerate(pair)}
    engine = Engine(lambda engine, _: {"loss": torch.tensor(losses[engine.state.iteration - 1])})

    @engine.on(Events.STARTED)
    def resume(engine):
        engine.state.epoch, engine.state.iteration = start, 2 * start
        if state is not None:
            history.load_state_dict(state)

    @engine.on(Events.EPOCH_COMPLETED)
    def log(engine):
        if engine.state.epoch >= 2:
            history.log(dice=torch.tensor(0.25 * engine.state.epoch))
        if engine.state.epoch == 2:
            history.log(kept=7)

    history.attach(engine)
    engine.run([0, 1], max_epochs=stop)
    return history


def test_rows_and_file(tmp_path):
    history = run(tmp_path / "deep" / "history.csv")
    expected = [
        {"epoch": 1, "train_loss": 1.5},
        {"epoch": 2, "train_loss": 4.0, "dice": 0.5, "kept": 7.0},
        {"epoch": 3, "train_loss": 0.375, "dice": 0.75},
    ]
    assert history.rows == expected
    text = (tmp_path / "deep" / "history.csv").read_text()
    assert text == "epoch,train_loss,dice,kept\n1,1.5,,\n2,4.0,0.5,7.0\n3,0.375,0.75,\n"
    assert [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(io.StringIO(text))] == expected


@pytest.mark.parametrize("done", [1, 2])
def test_a_resumed_run_writes_the_same_file(done, tmp_path):
    run(tmp_path / "unbroken.csv")
    state = run(tmp_path / "broken.csv", stop=done).state_dict()
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    run(tmp_path / "broken.csv", start=done, state=torch.load(file, weights_only=True))
    assert (tmp_path / "broken.csv").read_bytes() == (tmp_path / "unbroken.csv").read_bytes()


def test_a_row_more_than_the_checkpoint_had_is_not_written_twice(tmp_path):
    """Killed between the row of epoch 2 and the checkpoint of epoch 2."""
    state = {"rows": [dict(row) for row in run(tmp_path / "a.csv", stop=1).rows]}
    run(tmp_path / "a.csv", stop=2)
    run(tmp_path / "a.csv", start=1, state=state)
    assert [line.split(",")[0] for line in (tmp_path / "a.csv").read_text().splitlines()] == ["epoch", "1", "2", "3"]


def test_the_file_is_there_after_every_epoch(tmp_path):
    lengths = []
    history = History(tmp_path / "h.csv")
    engine = Engine(lambda engine, _: {"loss": torch.tensor(1.0)})
    history.attach(engine)
    engine.add_event_handler(
        Events.EPOCH_COMPLETED, lambda: lengths.append(len((tmp_path / "h.csv").read_text().splitlines()))
    )
    engine.run([0], max_epochs=3)
    assert lengths == [2, 3, 4]


def test_tensorboard_has_the_same_numbers(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run(tmp_path / "h.csv", stop=2, tensorboard=tmp_path / "tb")
    events = EventAccumulator(str(tmp_path / "tb")).Reload()
    found = {name: [(e.step, e.value) for e in events.Scalars(name)] for name in events.Tags()["scalars"]}
    assert found["train_loss"] == [(1, 1.5), (2, 4.0)]
    assert found["dice"] == [(2, 0.5)] and found["kept"] == [(2, 7.0)]
