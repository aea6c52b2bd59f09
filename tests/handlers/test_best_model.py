# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from torch import nn

from bundle.self_cleansing.handlers import BestModel, History, averaged_network

DICE = {1: 0.2, 2: 0.5, 3: 0.4, 4: 0.5, 5: 0.7, 6: 0.1}


def run(folder, stop=6, start=0, state=None, interval=1, averaged=False):
    """A network whose weight is the epoch, validated as above; returns what is in the two files after each epoch."""
    network: nn.Module = nn.Linear(1, 1, bias=False)
    network = averaged_network(network, 0.0) if averaged else network
    inner = network.module if averaged else network
    evaluator = SimpleNamespace(state=SimpleNamespace(metrics={}, key_metric_name="dice"))
    best = BestModel(evaluator, network, folder, History(folder / "h.csv"), interval)
    if state is not None:
        best.load_state_dict(state)
    engine = Engine(lambda engine, _: None)
    engine.add_event_handler(Events.STARTED, lambda engine: setattr(engine.state, "epoch", start))
    weights = []

    @engine.on(Events.EPOCH_COMPLETED)
    def validate(engine):
        with torch.no_grad():
            inner.weight.fill_(engine.state.epoch)
        evaluator.state.metrics = {"dice": DICE[engine.state.epoch], "other": 3.0}

    best.attach(engine)

    @engine.on(Events.EPOCH_COMPLETED)
    def look(engine):
        path = folder / "model_best.pt"
        weights.append(torch.load(path, weights_only=True)["weight"].item() if path.exists() else None)

    engine.run([0], max_epochs=stop)
    return best, weights


@pytest.mark.parametrize("averaged", [True, False])
def test_the_best_and_the_last_weights_are_kept_flat(averaged, tmp_path):
    best, weights = run(tmp_path, averaged=averaged)
    assert weights == [1, 2, 2, 2, 5, 5]  # an equal value does not replace the earlier one
    last = torch.load(tmp_path / "model_last.pt", weights_only=True)
    assert list(last) == ["weight"] and last["weight"].item() == 6
    assert (best.best_metric, best.best_epoch) == (0.7, 5)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model_best.pt", "model_last.pt"]


def test_only_epochs_with_a_validation_count(tmp_path):
    best, weights = run(tmp_path, interval=3)
    assert weights == [None, None, 3, 3, 3, 3]
    assert (best.best_metric, best.best_epoch) == (0.4, 3)


def test_a_resumed_run_remembers_the_best(tmp_path):
    best, _ = run(tmp_path, stop=2)
    resumed, weights = run(tmp_path, start=2, stop=6, state=best.state_dict())
    assert weights == [2, 2, 5, 5]
    assert resumed.state_dict() == {"best_metric": 0.7, "best_epoch": 5}


def test_all_metrics_go_to_the_history(tmp_path):
    evaluator = SimpleNamespace(state=SimpleNamespace(metrics={"dice": 0.25, "other": 3}, key_metric_name="dice"))
    history = History(tmp_path / "h.csv")
    engine = Engine(lambda engine, _: {"loss": torch.tensor(1.0)})
    BestModel(evaluator, nn.Linear(1, 1), tmp_path, history).attach(engine)
    history.attach(engine)
    engine.run([0], max_epochs=1)
    assert history.rows == [{"epoch": 1, "train_loss": 1.0, "dice": 0.25, "other": 3.0}]


def test_a_validation_without_foreground_is_never_the_best(tmp_path):
    """Its Dice is NaN, against which no later value would compare as greater."""
    engine, evaluator = Engine(lambda engine, batch: None), Engine(lambda engine, batch: None)
    engine.state.max_epochs, evaluator.state.key_metric_name = 1, "dice"
    handler = BestModel(evaluator, torch.nn.Linear(1, 1), tmp_path, History(tmp_path / "h.csv"))
    for epoch, dice, best in [(1, float("nan"), 0), (2, 0.1, 2), (3, float("nan"), 2), (4, 0.05, 2)]:
        engine.state.epoch, evaluator.state.metrics = epoch, {"dice": dice}
        handler(engine)
        assert handler.best_epoch == best


def test_no_validation_within_the_training_is_refused(tmp_path):
    engine = Engine(lambda engine, batch: None)
    engine.state.max_epochs = 4
    handler = BestModel(engine, torch.nn.Linear(1, 1), tmp_path, History(tmp_path / "h.csv"), interval=5)
    with pytest.raises(ValueError, match="val_interval is 5"):
        handler.check(engine)
