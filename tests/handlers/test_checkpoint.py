# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from bundle.self_cleansing.handlers import RandomState, TrainingCheckpoint, WeightAveraging, averaged_network


class Box:
    """Something with a state."""

    def __init__(self, value=None):
        self.value = value

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


def engine_at(epoch: int = 0, max_epochs: int = 10) -> SimpleNamespace:
    return SimpleNamespace(state=SimpleNamespace(epoch=epoch, iteration=3 * epoch, max_epochs=max_epochs))


def draws() -> list[float]:
    """From all three generators; gauss keeps a second number for the next call, in Python and in NumPy."""
    return [random.random(), random.gauss(0, 1), np.random.normal(), np.random.rand(), float(torch.randn(()))]


def test_random_numbers_go_on_where_they_were(tmp_path):
    random.seed(1), np.random.seed(2), torch.manual_seed(3)
    draws()
    checkpoint = TrainingCheckpoint(tmp_path / "c.pt", {"random": RandomState()})
    checkpoint.save(engine_at(1))
    expected = [draws() for _ in range(3)]
    random.seed(7), np.random.seed(7), torch.manual_seed(7)
    assert draws() != expected[0]
    checkpoint.load(engine_at())
    assert [draws() for _ in range(3)] == expected


def train(path, stop: int, resume: bool = False) -> dict:
    """Dropout (torch), a NumPy and a Python number in every step; momentum, schedule, average."""
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    averaged = averaged_network(network, 0.9)
    optimizer = torch.optim.SGD(network.parameters(), 0.05, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)

    def step(engine, batch):
        optimizer.zero_grad()
        loss = (network(batch + np.random.rand() + random.random()) - 1).pow(2).mean()
        loss.backward()
        optimizer.step()

    engine = Engine(step)
    WeightAveraging(averaged, network).attach(engine)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: scheduler.step())
    objects = {
        "network": network,
        "averaged": averaged,
        "optimizer": optimizer,
        "scheduler": scheduler,
        "random": RandomState(),
        "absent": None,
    }
    TrainingCheckpoint(path, objects, {"seed": 0}, resume=resume).attach(engine)
    seen = []
    engine.add_event_handler(Events.EPOCH_STARTED, lambda engine: seen.append(engine.state.epoch))
    data = [torch.randn(6, 4, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    engine.run(data, max_epochs=stop)
    return {
        "epochs": seen,
        "iteration": engine.state.iteration,
        "weights": {**network.state_dict(), **{f"mean {k}": v for k, v in averaged.state_dict().items()}},
        "lr": optimizer.param_groups[0]["lr"],
    }


@pytest.mark.parametrize("done", [1, 2, 4])
def test_a_resumed_training_is_the_unbroken_one(done, tmp_path):
    unbroken = train(tmp_path / "unbroken.pt", 5)
    train(tmp_path / "broken.pt", done)
    resumed = train(tmp_path / "broken.pt", 5, resume=True)
    assert resumed["epochs"] == unbroken["epochs"][done:]
    assert resumed["iteration"] == unbroken["iteration"] == 15
    assert resumed["lr"] == unbroken["lr"]
    for name, value in unbroken["weights"].items():
        assert torch.equal(resumed["weights"][name], value), name


def test_a_finished_training_is_not_trained_again(tmp_path):
    first = train(tmp_path / "c.pt", 3)
    again = train(tmp_path / "c.pt", 3, resume=True)
    assert again["epochs"] == []
    assert all(torch.equal(again["weights"][name], value) for name, value in first["weights"].items())


def test_without_resume_nothing_is_loaded(tmp_path):
    train(tmp_path / "c.pt", 2)
    assert train(tmp_path / "c.pt", 2)["epochs"] == [1, 2]


def test_the_scaler_is_saved_and_restored(tmp_path):
    checkpoint = TrainingCheckpoint(tmp_path / "c.pt", {})
    engine, fresh = engine_at(1), engine_at()
    engine.scaler, fresh.scaler = Box(2048.0), Box(65536.0)
    checkpoint.save(engine)
    checkpoint.load(fresh)
    assert fresh.scaler.value == 2048.0
    checkpoint.save(engine_at(1))  # written on a CPU, where there is no scaler
    fresh.scaler = Box(65536.0)
    checkpoint.load(fresh)
    assert fresh.scaler.value == 65536.0


class Unpicklable:
    def state_dict(self):
        return {"value": lambda: None}


class Interrupted:
    def state_dict(self):
        raise KeyboardInterrupt


def fails_in_replace(monkeypatch):
    def replace(*_):
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", replace)
    return Box(2)


@pytest.mark.parametrize(
    "failing", [lambda _: Unpicklable(), lambda _: Interrupted(), fails_in_replace], ids=["save", "state", "rename"]
)
def test_a_failing_save_leaves_the_old_file(failing, tmp_path, monkeypatch):
    path = tmp_path / "c.pt"
    TrainingCheckpoint(path, {"box": Box(1)}).save(engine_at(1))
    before = path.read_bytes()
    with pytest.raises((Exception, KeyboardInterrupt)):
        TrainingCheckpoint(path, {"filler": Box(torch.zeros(10000)), "box": failing(monkeypatch)}).save(engine_at(2))
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["c.pt"]


def test_what_was_written_is_plain(tmp_path):
    TrainingCheckpoint(tmp_path / "models" / "c.pt", {"box": Box(5)}, {"seed": 3}).save(engine_at(2))
    state = torch.load(tmp_path / "models" / "c.pt", weights_only=True)
    assert state == {"box": {"value": 5}, "progress": {"epoch": 2, "iteration": 6}, "settings": {"seed": 3}}


def test_nothing_to_resume(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing to resume.*c.pt.*without --resume"):
        TrainingCheckpoint(tmp_path / "c.pt", {}).load(engine_at())


@pytest.mark.parametrize("damage", ["empty", "truncated", "text", "pickled code", "head", "body", "tail"])
def test_a_damaged_file_is_refused(damage, tmp_path):
    path = tmp_path / "c.pt"
    TrainingCheckpoint(path, {"box": Box(torch.zeros(1000))}).save(engine_at(1))
    if damage == "pickled code":
        torch.save({"box": Box(1)}, path)
    elif damage in ("head", "body", "tail"):
        content = bytearray(path.read_bytes())
        # The tail: the length of the table of contents. Other bytes there are told twice, or say nothing.
        content[{"head": 0, "body": len(content) // 2, "tail": -58}[damage]] ^= 0x55
        path.write_bytes(content)
    else:
        path.write_bytes({"empty": b"", "truncated": path.read_bytes()[:-300], "text": b"epoch,loss\n1,2\n"}[damage])
    with pytest.raises(ValueError, match=r"c\.pt cannot be read as a checkpoint .*new --output_dir"):
        TrainingCheckpoint(path, {"box": Box()}).load(engine_at())


def test_other_settings_are_refused_before_anything_is_loaded(tmp_path):
    path, box = tmp_path / "c.pt", Box("mine")
    TrainingCheckpoint(path, {"box": Box(1)}, {"seed": 0, "batch_size": 16}).save(engine_at(1))
    with pytest.raises(ValueError, match="batch_size = 16, this run has 8"):
        TrainingCheckpoint(path, {"box": box}, {"seed": 0, "batch_size": 8}).load(engine_at())
    with pytest.raises(ValueError, match="patch_size = None, this run has 64"):
        TrainingCheckpoint(path, {"box": box}, {"seed": 0, "patch_size": 64}).load(engine_at())
    assert box.value == "mine"
    TrainingCheckpoint(path, {"box": box}, {"seed": 0}).load(engine_at())
    assert box.value == 1


def test_a_missing_part_is_named(tmp_path):
    TrainingCheckpoint(tmp_path / "c.pt", {"box": Box(1)}).save(engine_at(1))
    with pytest.raises(ValueError, match="has no 'label_bank'"):
        TrainingCheckpoint(tmp_path / "c.pt", {"box": Box(), "label_bank": Box()}).load(engine_at())
