# SPDX-License-Identifier: Apache-2.0
"""Put corrected labels in force: the same in all processes, recorded, and compared with the truth if it is known."""

from __future__ import annotations

import logging
from collections.abc import Callable

import torch
from torch import Tensor

from .. import distributed
from ..filtering import Provenance
from ..handlers.history import History
from ..handlers.noise_audit import NoiseAudit
from ..label_bank import LabelBank

logger = logging.getLogger(__name__)


def put_in_force(
    correct: Callable[[], Tensor], label_bank: LabelBank, epoch: int, history: History, audit: NoiseAudit | None
) -> None:
    """Let the first process correct the labels, share them, and log what changed. All processes must call it.

    Args:
        correct: writes labels in force to `label_bank` and returns which differ from the given ones, bool (N, K), CPU.
        label_bank: of the training samples.
        epoch: completed epochs.
        history: gets the share of labels changed.
        audit: in simulations, on the first process, adds Dice to the clean labels.
    """
    changed = distributed.from_first(correct)
    distributed.share_buffers(label_bank)
    label_bank.record(torch.where(changed, int(Provenance.RENEWED), int(Provenance.MANUAL)), epoch)
    numbers = {"labels_renewed": changed.float().mean().item()}
    line = f"epoch {epoch}: {int(changed.sum())} of {changed.numel()} labels corrected"
    if audit is not None:
        numbers |= audit(label_bank)
        line += f"; {audit.sentence(numbers)}"
    history.log(**numbers)
    logger.info(line)
