# SPDX-License-Identifier: Apache-2.0
"""The processes of one training: which one is this, and how do all of them come to hold the same.

Without a process group (no torchrun) a process is the first and only one, and nothing here communicates or copies.
Objects travel through the group's CPU backend; configs/multi_gpu_train.yaml sets it up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import distributed as dist
from torch import nn

T = TypeVar("T")


def world_size() -> int:
    """Number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def is_first() -> bool:
    """Whether this is the process that writes files and talks to the user."""
    return rank() == 0


def share(count: int) -> slice:
    """Return this process's contiguous share of `count` things; the shares of all ranks, in order, are all of them."""
    return slice(count * rank() // world_size(), count * (rank() + 1) // world_size())


def gather(items: Sequence[T]) -> list[T]:
    """Join the lists of all processes in order of their rank; everybody gets the whole. Lengths may differ.

    All processes must call it. Tensors in it should be on the CPU.
    """
    if world_size() == 1:
        return list(items)
    shares: list[Any] = [None] * world_size()
    dist.all_gather_object(shares, list(items))
    return [item for one in shares for item in one]


def from_first(compute: Callable[[], T]) -> T:
    """Call `compute` in the first process only and return its result in all of them.

    All processes must call it. The result must be picklable.

    Raises:
        SystemExit: in the other processes, if `compute` raised in the first one, which raises that error: it says
            once what is wrong, and nobody waits for ever.
    """
    if world_size() == 1:
        return compute()
    outcome: list[Any] = [None, False]  # result, whether there is one
    try:
        if is_first():
            outcome = [compute(), True]
    finally:
        dist.broadcast_object_list(outcome, src=0)
    if not outcome[1]:
        raise SystemExit(1)
    return outcome[0]


@torch.no_grad()
def share_buffers(module: nn.Module) -> None:
    """Overwrite the buffers of `module` by those of the first process. All processes must call it."""
    if world_size() > 1:
        for buffer in module.buffers():
            # Copies on the CPU: processes may keep the same buffer on different devices, by their own free memory.
            shared = buffer.cpu()
            dist.broadcast(shared, src=0)
            buffer.copy_(shared)
