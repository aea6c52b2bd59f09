# SPDX-License-Identifier: Apache-2.0
"""A few slices in memory and a network whose output is written into the image: exact expectations, no training."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bundle.self_cleansing.slice_bank import SliceBank


def disc(size: int, row: float, column: float, radius: float) -> Tensor:
    """A filled disc as bool (size, size)."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    return (rows - row) ** 2 + (columns - column) ** 2 <= radius**2


def bank_of(
    images: Tensor, labels: Tensor, depths: Sequence[int] | None = None, clean_labels: Tensor | None = None
) -> SliceBank:
    """A SliceBank of images (N, C, H, W) and labels (N, K, H, W), cut into cases 'a', 'b', ... of the given depths."""
    depths = [len(images)] if depths is None else list(depths)
    names = [chr(ord("a") + position) for position in range(len(depths))]
    parts = {"image": images.split(depths), "label": labels.split(depths)}
    if clean_labels is not None:
        parts["clean_label"] = clean_labels.split(depths)
    volumes = {
        name: {key: value[position].movedim(0, -1) for key, value in parts.items()}
        for position, name in enumerate(names)
    }
    return SliceBank([{"case": name} for name in names], lambda item: volumes[item["case"]], progress=False)


def random_bank(depths: Sequence[int] = (3, 2), classes: int = 2, size: int = 16, seed: int = 0) -> SliceBank:
    """Random images (one channel) and random labels."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(sum(depths), 1, size, size, generator=generator)
    labels = torch.rand(sum(depths), classes, size, size, generator=generator) > 0.5
    return bank_of(images, labels, depths)


class WrittenNetwork(nn.Module):
    """Features = the image, logits = its first K channels; in train mode the logits are wrong on purpose."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes

    def features(self, image: Tensor) -> Tensor:
        return image

    def narrow(self, features: Tensor) -> Tensor:
        return features[:, -2:]

    def head(self, features: Tensor) -> Tensor:
        logits = features[:, : self.num_classes]
        return -logits if self.training else logits

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image))
