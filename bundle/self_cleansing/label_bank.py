# SPDX-License-Identifier: Apache-2.0
"""The label in force for every sample and class, and why: the only long-lived label state of a training."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .filtering import Provenance

ALL = slice(None)  # an index of every sample
_BIT_VALUES = 2 ** torch.arange(7, -1, -1)


def packed_width(width: int) -> int:
    """Bytes that `width` packed pixels take; raises ValueError unless it is divisible by 8."""
    if width % 8:
        raise ValueError(f"the last axis must be divisible by 8 to be packed, got {width} pixels")
    return width // 8


def pack_bits(mask: Tensor) -> Tensor:
    """Pack a mask (..., W), W divisible by 8, into uint8 (..., W / 8), first pixel in the highest bit."""
    packed_width(mask.shape[-1])
    bits = mask.to(torch.uint8).unflatten(-1, (-1, 8))
    return (bits * _BIT_VALUES.to(mask.device, torch.uint8)).sum(dim=-1, dtype=torch.uint8)


def unpack_bits(packed: Tensor) -> Tensor:
    """Undo `pack_bits`: uint8 (..., n) to uint8 (..., 8 n) in {0, 1}."""
    bits = packed.unsqueeze(-1).bitwise_and(_BIT_VALUES.to(packed.device, torch.uint8))
    return (bits != 0).to(torch.uint8).flatten(-2)


class LabelBank(nn.Module):
    """Pseudo labels y' with their provenance, per sample and class.

    At first y' is all zeros and not set. All state is in buffers: it moves with `.to()` and is saved with
    `state_dict()`. It starts on the device of the given labels.

    Args:
        dataset: gives `labels` uint8 (N, K, H, W), the given labels y, and `sample_ids`.

    Buffers:
        packed_pseudo_label: uint8 (N, K, H, W / 8), y' in the un-augmented space.
        is_set: bool (N, K), whether an update has written y' at all; until then it is all zeros.
        takes_part: bool (N, K), whether y' takes part in the loss.
        provenance: uint8 (N, K), values of `Provenance`.
        changed_epoch: int32 (N, K), completed epochs when the provenance last changed; 0 if never.
        manual_loss, pseudo_loss: float32 (N, K), soft Dice loss of the last update's prediction against y and y'.
        clean_posterior: float32 (N, K), probability that y is clean at the last update; 1 before any.
    """

    packed_pseudo_label: Tensor
    is_set: Tensor
    takes_part: Tensor
    provenance: Tensor
    changed_epoch: Tensor
    manual_loss: Tensor
    pseudo_loss: Tensor
    clean_posterior: Tensor

    def __init__(self, dataset: Any) -> None:
        super().__init__()
        self.sample_ids: list[str] = list(dataset.sample_ids)
        self.given_labels: str = content_hash(dataset.labels)
        *shape, width = dataset.labels.shape
        entries = tuple(shape[:2])
        self.register_buffer("packed_pseudo_label", torch.zeros(*shape, packed_width(width), dtype=torch.uint8))
        self.register_buffer("is_set", torch.zeros(entries, dtype=torch.bool))
        self.register_buffer("takes_part", torch.ones(entries, dtype=torch.bool))
        self.register_buffer("provenance", torch.full(entries, int(Provenance.MANUAL), dtype=torch.uint8))
        self.register_buffer("changed_epoch", torch.zeros(entries, dtype=torch.int32))
        self.register_buffer("manual_loss", torch.zeros(entries))
        self.register_buffer("pseudo_loss", torch.zeros(entries))
        self.register_buffer("clean_posterior", torch.ones(entries))
        self.to(dataset.labels.device)

    def pseudo_label(self, index: Tensor | slice = ALL) -> Tensor:
        """Return y' of the samples at `index` as uint8 (B, K, H, W) in {0, 1}."""
        return unpack_bits(self.packed_pseudo_label[self._here(index)])

    def write(self, index: Tensor | slice, label: Tensor, where: Tensor | None = None) -> None:
        """Set y' of samples `index` to `label` (B, K, H, W) where the flag `where` (B, K) is True; None: everywhere."""
        index = self._here(index)
        where = torch.ones_like(self.is_set[index]) if where is None else where.to(self.is_set.device)
        packed = pack_bits(label).to(self.packed_pseudo_label.device)
        self.packed_pseudo_label[index] = torch.where(where[..., None, None], packed, self.packed_pseudo_label[index])
        self.is_set[index] |= where

    def _here(self, index: Tensor | slice) -> Tensor | slice:
        return index.to(self.is_set.device) if isinstance(index, Tensor) else index

    def record(self, provenance: Tensor, epoch: int) -> None:
        """Store the provenance (N, K) of an update and, where it changed, the epoch."""
        provenance = provenance.to(self.provenance)
        self.changed_epoch[provenance != self.provenance] = epoch
        self.provenance.copy_(provenance)

    def get_extra_state(self) -> dict[str, Any]:
        return {"sample_ids": self.sample_ids, "given_labels": self.given_labels}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        check_sample_ids(state["sample_ids"], self.sample_ids)
        if state["given_labels"] != self.given_labels:
            raise ValueError(
                "the checkpoint belongs to other labels: the samples have the same names, but their given labels "
                "differ; resume with the data set of that run, or start a new run in another --output_dir"
            )

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        # Names before shapes: a different data set should be reported by its first different sample.
        self.set_extra_state(state_dict["_extra_state"])
        return super().load_state_dict(state_dict, strict=strict, assign=assign)


def content_hash(labels: Tensor) -> str:
    """SHA-256 of the values, in hexadecimal; `labels` (N, ...) is read in blocks, wherever it lives."""
    digest = hashlib.sha256()
    for block in labels.split(256):
        digest.update(block.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def check_sample_ids(stored: Sequence[str], present: Sequence[str]) -> None:
    """Raise ValueError naming the first difference unless both lists of sample ids agree."""
    for position, (old, new) in enumerate(zip(stored, present, strict=False)):
        if old != new:
            raise ValueError(
                f"the checkpoint belongs to other data: sample {position} is {old!r} there and {new!r} here; "
                "resume with the data set and split of that run, or start a new run in another --output_dir"
            )
    if len(stored) != len(present):
        longer, place = (stored, "checkpoint") if len(stored) > len(present) else (present, "data")
        first = longer[min(len(stored), len(present))]
        raise ValueError(
            f"the checkpoint belongs to other data: it has {len(stored)} samples and the data {len(present)}; "
            f"{first!r} is only in the {place}; resume with the data set and split of that run"
        )
