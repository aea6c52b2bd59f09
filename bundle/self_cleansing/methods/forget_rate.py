# SPDX-License-Identifier: Apache-2.0
"""Which share of the largest losses a small-loss method leaves out, and from when on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor, nn

from .. import distributed
from ..handlers.history import History

logger = logging.getLogger(__name__)
UNKNOWN = -1


class ForgetRate(nn.Module):
    """A noise rate that is acted on gradually: its share rises linearly from 0 to 1 over `ramp_epochs`.

    Args:
        known: float tensor of any shape, or a number, in [0, 1); None: unknown at first, and nothing is left out.
        shape: of the rate if it is unknown.
        ramp_epochs: at least 1.

    Buffers:
        rate: float32.
        since: int64, completed epochs when it became known, -1 before.
    """

    rate: Tensor
    since: Tensor

    def __init__(self, known: Tensor | float | None = None, shape: tuple[int, ...] = (), ramp_epochs: int = 5) -> None:
        super().__init__()
        if ramp_epochs < 1:
            raise ValueError(f"ramp_epochs must be at least 1, got {ramp_epochs!r}")
        self.ramp_epochs = ramp_epochs
        self.register_buffer("rate", torch.zeros(shape) if known is None else torch.as_tensor(known).float().clone())
        self.register_buffer("since", torch.tensor(UNKNOWN if known is None else 0))

    @property
    def is_known(self) -> bool:
        return int(self.since) != UNKNOWN

    def learn(self, rate: Tensor | float, epoch: int) -> None:
        """Act on `rate` from now on, after `epoch` completed epochs."""
        self.rate.copy_(torch.as_tensor(rate))
        self.since.fill_(epoch)

    def at(self, epoch: int) -> Tensor:
        """The share to leave out after `epoch` completed epochs, of the rate's shape."""
        if not self.is_known:
            return torch.zeros_like(self.rate)
        return self.rate * min(1.0, max(0, epoch - int(self.since)) / self.ramp_epochs)

    def extra_repr(self) -> str:
        return f"ramp_epochs={self.ramp_epochs}"


class EstimateNoise:
    """Set a rate that is unknown, once, after `at_epoch` completed epochs. List it before the checkpoint.

    Args:
        forget_rate: is set, unless it is known already.
        estimate: returns the rate, of its shape; called in the first process.
        at_epoch: early enough that the network has not yet learnt the errors.
        history: gets the rate's mean.
    """

    def __init__(
        self, forget_rate: ForgetRate, estimate: Callable[[], Tensor | float], at_epoch: int, history: History
    ) -> None:
        self.forget_rate = forget_rate
        self.estimate = estimate
        self.at_epoch = at_epoch
        self.history = history

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_COMPLETED(once=self.at_epoch), self)

    def __call__(self, engine: Any) -> None:
        if self.forget_rate.is_known:
            return
        rate = torch.as_tensor(distributed.from_first(self.estimate))
        self.forget_rate.learn(rate, engine.state.epoch)
        self.history.log(estimated_noise=rate.mean().item())
        shown = ", ".join(f"{value:.3f}" for value in rate.flatten().tolist())
        logger.info("epoch %d: estimated share of wrong labels: %s", engine.state.epoch, shown)
