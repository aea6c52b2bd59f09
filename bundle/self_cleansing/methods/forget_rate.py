# SPDX-License-Identifier: Apache-2.0
"""Which share of the largest losses a small-loss method leaves out, and from when on."""

from __future__ import annotations

import torch
from torch import Tensor, nn

UNKNOWN = -1


class ForgetRate(nn.Module):
    """A share to leave out that rises linearly from 0 to the fraction of wrong labels over `ramp_epochs`.

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
        self.setting = "auto" if known is None else torch.as_tensor(known).tolist()
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
        return f"{self.setting}, ramp_epochs={self.ramp_epochs}"
