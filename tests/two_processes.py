# SPDX-License-Identifier: Apache-2.0
"""What test_distributed.py runs in several processes: handlers for its trainings, and, as a program, label updates."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, distributed

NUM_SAMPLES = (
    70,
    3,
)  # nine batches of eight: four for one process, five for the other; one batch: none for one of them


class Dump:
    """Write the state of `objects` in this process to <folder>/<moment>_<rank>.pt, at the start (after loading; list it
    last) and at the end."""

    def __init__(self, folder: str, objects: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.objects = dict(objects)

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.write, "start")
        engine.add_event_handler(Events.COMPLETED, self.write, "end")

    def write(self, engine: Engine, moment: str) -> None:
        rank = distributed.get_rank() if distributed.is_initialized() else 0
        self.folder.mkdir(exist_ok=True)
        states = {name: value.state_dict() for name, value in self.objects.items()}
        torch.save(states, self.folder / f"{moment}_{rank}.pt")


class Sabotage:
    """In process 1 alone, reject every label after the first epoch: its loader will find nothing to train on."""

    def __init__(self, label_bank: Any) -> None:
        self.label_bank = label_bank

    def attach(self, engine: Engine) -> None:
        if distributed.get_rank() == 1:
            engine.add_event_handler(Events.EPOCH_COMPLETED(once=1), lambda: self.label_bank.takes_part.fill_(False))


def updated_bank(count: int, may_filter: bool = True) -> dict[str, Tensor]:
    """The label bank of `count` samples after two updates by a network with random weights."""
    from tiny import random_bank

    from bundle.self_cleansing.handlers import History, LabelCleansing
    from bundle.self_cleansing.label_bank import LabelBank
    from bundle.self_cleansing.label_filter import PublishedFilter
    from bundle.self_cleansing.losses import LabelSchedule
    from bundle.self_cleansing.networks import ResidualUNet
    from bundle.self_cleansing.sweep import Cleanser

    torch.manual_seed(0)
    dataset = random_bank((count,))
    network = ResidualUNet(num_classes=2)
    bank = LabelBank(dataset)
    label_filter = PublishedFilter("none", "class") if may_filter else None
    cleanser, schedule, history = Cleanser(grid_size=8, mu=0.5), LabelSchedule(1, 1), History("unused")
    cleansing = LabelCleansing(network, dataset, bank, label_filter, cleanser, schedule, 1, history, batch_size=8)
    for epoch in (1, 2):
        network(dataset.images)  # in train mode: other batch-norm statistics, other predictions
        cleansing.update(epoch)
    return dict(bank.named_buffers())


def started_over(seed: int, may_correct: bool = True) -> dict[str, dict[str, Tensor]]:
    """Label bank and network after a correction that only the first process can make, from weights of any process."""
    from types import SimpleNamespace

    from tiny import random_bank

    from bundle.self_cleansing.handlers import History, averaged_network
    from bundle.self_cleansing.label_bank import LabelBank
    from bundle.self_cleansing.methods import CorrectAndStartOver, PeerNetworks

    dataset = random_bank((7,))
    bank = LabelBank(dataset)
    changed = torch.zeros(7, 2, dtype=torch.bool)
    changed[2:4, 1] = True

    def correct() -> Tensor:
        bank.write(slice(None), dataset.labels.bool() ^ changed[..., None, None])
        return changed

    torch.manual_seed(seed)
    network = PeerNetworks(torch.nn.Conv2d(1, 2, 3))
    averaged = averaged_network(network, 0.5)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    scheduler = torch.optim.lr_scheduler.ConstantLR(optimizer)
    best = SimpleNamespace(forget=lambda: None)
    first_only: Any = correct if may_correct else None
    handler = CorrectAndStartOver(first_only, 1, network, averaged, optimizer, scheduler, best, bank, History("unused"))
    handler(SimpleNamespace(state=SimpleNamespace(epoch=1)))
    return {"bank": dict(bank.named_buffers()), "network": network.first.state_dict()}


def validated() -> float:
    """The Dice of 15 random slices of three volumes; both processes have a part of the second."""
    from tiny import random_bank

    from bundle.self_cleansing.loader import SliceLoader
    from bundle.self_cleansing.metrics import VolumeDice

    metric = VolumeDice("label")
    metric.reset()
    for batch in SliceLoader(random_bank((3, 9, 3)), 4):
        logits = (batch["image"] - 0.5).expand_as(batch["label"])  # the image as prediction: exact
        metric.update((logits, batch))
    return metric.compute()


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    distributed.init_process_group("gloo")
    rank = distributed.get_rank()
    banks = [updated_bank(count, may_filter=rank == 0) for count in NUM_SAMPLES]
    found = {"banks": banks, "dice": validated(), "over": started_over(rank, may_correct=rank == 0)}
    torch.save(found, Path(sys.argv[1]) / f"process_{rank}.pt")
    distributed.destroy_process_group()
