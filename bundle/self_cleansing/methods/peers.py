# SPDX-License-Identifier: Apache-2.0
"""Two networks of one architecture in one module, which one optimiser trains and one checkpoint saves."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


def fresh_copy(network: nn.Module) -> nn.Module:
    """Return a copy of `network` with new weights, as if just made; draws from the global generator."""
    fresh = copy.deepcopy(network)
    for module in fresh.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
    return fresh


class TwoNetworks(nn.Module):
    """The networks, and whether the second one has done its work.

    Args:
        first: the one that is kept for inference.

    Buffers:
        alone: bool, whether only the first network is left.
    """

    alone: Tensor

    def __init__(self, first: nn.Module) -> None:
        super().__init__()
        self.first = first
        self.second = fresh_copy(first)
        self.register_buffer("alone", torch.zeros((), dtype=torch.bool))

    def stand_alone(self, weights: dict[str, Tensor]) -> None:
        """Begin anew with the first network, from `weights`."""
        self.first.load_state_dict(weights)
        self.alone.fill_(True)


class PeerNetworks(TwoNetworks):
    """Both networks see the same images.

    Shapes:
        image (B, C, H, W) -> logits (B, 2, K, H, W), the first network's and the second's; (B, K, H, W) when alone.
    """

    def forward(self, image: Tensor) -> Tensor:
        if self.alone:
            return self.first(image)
        return torch.stack([self.first(image), self.second(image)], dim=1)


class HalfSetTeachers(TwoNetworks):
    """Each network sees the samples of one half of the patients only.

    The halves are drawn by patient, not by slice: slices and frames of one patient share their anatomy, and a network
    that has seen one would not judge the other out of sample.

    Args:
        first: as in `TwoNetworks`; it sees the first half.
        patient_index: int64 (N,), the patient of every training sample.
        seed: of the halves.

    Shapes:
        image (B, C, H, W), index int64 (B,) of the samples -> logits (B, K, H, W), each sample by its own teacher.

    Buffers:
        in_second_half: bool (N,).

    Raises:
        ValueError: if there is one patient only.
    """

    in_second_half: Tensor

    def __init__(self, first: nn.Module, patient_index: Tensor, seed: int = 0) -> None:
        super().__init__(first)
        patients = torch.unique(patient_index)
        if len(patients) < 2:
            raise ValueError(
                "two half sets need at least two training patients, got one; add patients to the split's train part"
            )
        order = torch.randperm(len(patients), generator=torch.Generator().manual_seed(seed))
        halves = torch.isin(patient_index, patients[order[len(patients) // 2 :]])
        self.register_buffer("in_second_half", halves.to(next(first.parameters()).device))

    def forward(self, image: Tensor, index: Tensor) -> Tensor:
        if self.alone:
            return self.first(image)
        return self.each_by(image, self.in_second_half[index.to(self.in_second_half.device)])

    def each_by(self, image: Tensor, second: Tensor) -> Tensor:
        """Return the logits (B, K, H, W) of the second network where `second` (B,) is True, else the first's."""
        order = torch.argsort(second.int(), stable=True)
        parts = image[order].split([int((~second).sum()), int(second.sum())])
        logits = [
            network(part.contiguous(memory_format=torch.channels_last))
            for network, part in zip((self.first, self.second), parts, strict=True)
            if len(part)  # batch norm knows no empty batch
        ]
        return torch.cat(logits)[torch.argsort(order)]

    def out_of_sample(self, image: Tensor, index: Tensor) -> Tensor:
        """Return the logits (B, K, H, W) of every sample by the teacher that never saw its patient."""
        return self.each_by(image, ~self.in_second_half[index.to(self.in_second_half.device)])
