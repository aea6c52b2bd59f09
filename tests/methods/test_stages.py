# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine, Events
from tiny import random_bank
from torch import nn

from bundle.self_cleansing.filtering import Provenance
from bundle.self_cleansing.handlers import BestModel, History, averaged_network
from bundle.self_cleansing.label_bank import LabelBank
from bundle.self_cleansing.methods import CorrectAndStartOver, PeerNetworks

EPOCHS, STAGE = 6, 3


def run(folder, epochs=EPOCHS, stage=STAGE, interval=1):
    """Train two tiny peers on nothing but weight decay; returns what was seen after every epoch, and all parts."""
    torch.manual_seed(0)
    dataset = random_bank()
    bank = LabelBank(dataset)
    network = PeerNetworks(nn.Conv2d(1, 2, 3, padding=1))
    averaged = averaged_network(network, 0.5)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=epochs - stage)
    evaluator = SimpleNamespace(state=SimpleNamespace(metrics={"dice": 0.0}, key_metric_name="dice"))
    history = History(folder / "history.csv")
    best = BestModel(evaluator, averaged.module.first, folder, history, interval)
    changed = torch.zeros(dataset.labels.shape[:2], dtype=torch.bool)
    changed[1, 0] = True
    calls = []

    def correct():
        calls.append(engine.state.epoch)
        flipped = dataset.labels.bool() ^ changed[..., None, None]
        bank.write(slice(None), flipped, torch.ones_like(changed))
        return changed

    handler = CorrectAndStartOver(
        correct, stage, network, averaged, optimizer, scheduler, best, bank, history, audit=None
    )
    seen = []

    def step(engine, _):
        optimizer.zero_grad()
        network(torch.ones(1, 1, 8, 8)).square().sum().backward()
        optimizer.step()
        averaged.update_parameters(network)
        return {"loss": torch.zeros(())}

    engine = Engine(step)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda _: scheduler.step())
    engine.add_event_handler(
        Events.EPOCH_COMPLETED,
        lambda engine: evaluator.state.metrics.update(dice=1.0 - 0.1 * engine.state.epoch),  # worse and worse
    )
    best.attach(engine)
    handler.attach(engine)
    history.attach(engine)
    engine.add_event_handler(
        Events.EPOCH_COMPLETED,
        lambda engine: seen.append((optimizer.param_groups[0]["lr"], best.best_epoch, len(optimizer.state))),
    )
    engine.run([0], max_epochs=epochs)
    return SimpleNamespace(seen=seen, calls=calls, bank=bank, network=network, averaged=averaged, handler=handler)


def test_everything_begins_anew_once(tmp_path):
    found = run(tmp_path)
    assert found.calls == [STAGE]
    rates, best_epochs, states = zip(*found.seen, strict=True)
    assert rates[STAGE - 1] == 0.1 and rates[:2] == pytest.approx(rates[STAGE : STAGE + 2])
    # Validation gets worse all the time: the best epoch is the first one of its stage.
    assert best_epochs == (1, 1, 0, 4, 4, 4)
    assert states[STAGE - 1] == 0 and states[STAGE - 2] == 4 and states[STAGE] == 2


def test_the_label_bank_knows_what_changed_and_when(tmp_path):
    bank = run(tmp_path).bank
    expected = torch.full((5, 2), int(Provenance.MANUAL))
    expected[1, 0] = int(Provenance.RENEWED)
    assert torch.equal(bank.provenance.long(), expected)
    assert bank.changed_epoch[1, 0] == STAGE and bank.changed_epoch.sum() == STAGE
    assert bank.is_set.all() and bank.takes_part.all()


def test_the_second_stage_starts_from_weights_of_its_own_and_forgets_the_average(tmp_path):
    found = run(tmp_path, epochs=STAGE + 1)
    fresh = found.handler.weights
    assert not torch.equal(fresh["weight"], found.network.second.weight)
    # One step of AdamW moves a weight by about the learning rate: it is near the fresh ones, and so is the average.
    for module in (found.network.first, found.averaged.module.first):
        assert (module.weight - fresh["weight"]).abs().max() < 0.11
    assert torch.equal(found.averaged.module.first.weight, found.network.first.weight)


@pytest.mark.parametrize(("stage", "interval"), [(6, 1), (7, 1), (4, 3)])
def test_a_second_stage_without_a_validated_epoch_is_refused(stage, interval, tmp_path):
    with pytest.raises(ValueError, match=f"stage_epochs is {stage}"):
        run(tmp_path, stage=stage, interval=interval)
