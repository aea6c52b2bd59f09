# SPDX-License-Identifier: Apache-2.0
"""Keep an exponential moving average of the weights, which filters, cleanses and is evaluated."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from ..distributed import share_buffers

Tensors = tuple[Tensor, ...] | list[Tensor]


class RisingDecay:
    """Average with a decay of min(decay, (1 + t) / (10 + t)) at update t: the random start is soon forgotten."""

    def __init__(self, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"the averaging decay must be in [0, 1), got {decay!r}; 0 switches averaging off")
        self.decay = decay

    @torch.no_grad()
    def __call__(self, averaged: Tensors, current: Tensors, updates: Tensor | int) -> None:
        done = int(updates)
        decay = min(self.decay, (1 + done) / (10 + done))
        if torch.is_floating_point(averaged[0]):
            torch._foreach_lerp_(averaged, current, 1 - decay)
        else:  # batch norm counts its batches
            torch._foreach_copy_(averaged, current)


def averaged_network(network: nn.Module, decay: float) -> AveragedModel:
    """Return a copy of `network` whose weights and batch-norm statistics follow it.

    Args:
        network: the one in training.
        decay: in [0, 1); 0 keeps the copy equal to the network.
    """
    averaged = AveragedModel(network, multi_avg_fn=RisingDecay(decay), use_buffers=True)
    return averaged.requires_grad_(False)


class WeightAveraging:
    """Update an averaged network after every iteration.

    List it before whatever uses a network at the end of an epoch. Several processes have the same weights, but each the
    batch-norm statistics of its own last batch; from the end of an epoch on all have those of the first.

    A training that has diverged ends there, before such weights judge labels or replace good ones.

    Args:
        averaged: made by `averaged_network`; its own state, saved in the checkpoint, is all there is.
        network: the one in training.
    """

    def __init__(self, averaged: AveragedModel, network: nn.Module) -> None:
        self.averaged = averaged
        self.network = network

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.ITERATION_COMPLETED, self)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.agree)

    def __call__(self, engine: Any) -> None:
        self.averaged.update_parameters(self.network)

    def agree(self, engine: Any) -> None:
        share_buffers(self.network)
        share_buffers(self.averaged)
        if not torch.stack([weight.isfinite().all() for weight in self.averaged.parameters()]).all():
            raise ValueError(
                f"the training has diverged: after epoch {engine.state.epoch} weights of the network are not finite; "
                "lower the learning rate (optimizer#lr) or pass --precision float32; models/checkpoint.pt, if there is "
                "one, is of an epoch before"
            )
