# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from bundle.self_cleansing.handlers import WeightAveraging, averaged_network


def trained(decay: float, updates: int, state=None):
    """Train a small network for some updates; return network, average and the weights after each update."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2))
    averaged = averaged_network(network, decay)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    if state is not None:
        network.load_state_dict(state["network"])
        averaged.load_state_dict(state["averaged"])
    history = []

    def step(engine, batch):
        network.train()
        optimizer.zero_grad()
        network(batch).pow(2).sum().backward()
        optimizer.step()
        history.append({name: value.clone() for name, value in network.state_dict().items()})

    engine = Engine(step)
    WeightAveraging(averaged, network).attach(engine)
    start = 0 if state is None else state["done"]
    engine.run([torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(i)) for i in range(start, updates)], 1)
    return network, averaged, history


@pytest.mark.parametrize("decay", [0.0, 0.15, 0.9])
def test_average_by_hand(decay):
    """The first update copies; then w := d w + (1 - d) new, d = min(decay, (1 + t) / (10 + t)), buffers too."""
    network, averaged, history = trained(decay, 6)
    expected = {name: value.double() for name, value in history[0].items()}
    for t, weights in enumerate(history[1:], start=1):
        d = min(decay, (1 + t) / (10 + t))
        expected = {name: d * expected[name] + (1 - d) * weights[name].double() for name in expected}
    found = averaged.module.state_dict()
    for name in ("0.weight", "0.bias", "1.weight", "1.running_mean", "1.running_var"):
        torch.testing.assert_close(found[name].double(), expected[name], atol=1e-6, rtol=1e-5)
        if decay > 0 and name != "0.bias":
            assert not torch.allclose(found[name], network.state_dict()[name], atol=1e-4), name
    assert found["1.num_batches_tracked"] == 6
    assert averaged.n_averaged == 6


def test_decay_zero_is_the_network_itself():
    network, averaged, _ = trained(0.0, 4)
    for name, value in network.state_dict().items():
        assert torch.equal(averaged.module.state_dict()[name], value), name


def test_the_average_is_a_copy_without_gradients():
    network, averaged, _ = trained(0.5, 2)
    assert all(not parameter.requires_grad for parameter in averaged.parameters())
    assert all(parameter.requires_grad for parameter in network.parameters())
    before = averaged.module[0].weight.clone()
    with torch.no_grad():
        network[0].weight.add_(1)
    assert torch.equal(averaged.module[0].weight, before)


@pytest.mark.parametrize("done", [1, 3])
def test_its_state_is_all_there_is(done):
    _, unbroken, _ = trained(0.9, 6)
    network, averaged, _ = trained(0.9, done)
    state = {"network": network.state_dict(), "averaged": averaged.state_dict(), "done": done}
    _, resumed, _ = trained(0.9, 6, state)
    for name, value in unbroken.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_training_that_has_diverged_ends():
    network = nn.Linear(2, 1)
    averaging = WeightAveraging(averaged := averaged_network(network, 0.5), network)
    engine = SimpleNamespace(state=SimpleNamespace(epoch=3))
    averaging(engine)
    averaging.agree(engine)
    with torch.no_grad():
        network.bias.fill_(float("inf"))
    averaging(engine)
    with pytest.raises(ValueError, match="has diverged: after epoch 3 .*; lower the learning rate"):
        averaging.agree(engine)
    assert not averaged.module.bias.isfinite().all()


@pytest.mark.parametrize("decay", [-0.1, 1.0, 99])
def test_impossible_decays_are_refused(decay):
    with pytest.raises(ValueError, match=str(decay)):
        averaged_network(nn.Linear(1, 1), decay)
