# SPDX-License-Identifier: Apache-2.0
"""What networks say of the training samples, in eval mode and without augmentation, one batch after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from monai.networks.utils import eval_mode
from torch import Tensor, nn

from ..slice_bank import SliceBank


def predict_batches(
    network: nn.Module,
    dataset: SliceBank,
    device: torch.device | str = "cpu",
    batch_size: int = 32,
    predict: Callable[[Tensor, Tensor], Tensor] | None = None,
    samples: Tensor | None = None,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (index, result, label) of every batch in order, without gradients.

    Args:
        network: is in eval mode meanwhile, and back in its own mode afterwards.
        dataset: the samples.
        device: of the network.
        batch_size: samples per batch.
        predict: maps image (B, C, H, W) and index (B,) to the result; None: the network's own output for the image.
        samples: int64, indices of the samples to go through; None: all.

    Yields:
        index int64 (B,); the result in float32, (B, ...), and the given label, uint8 (B, K, H, W), on the device.
    """
    samples = torch.arange(len(dataset)) if samples is None else samples
    for index in samples.split(batch_size):
        with eval_mode(network):
            image = dataset.images[index].to(device).contiguous(memory_format=torch.channels_last)
            result = network(image) if predict is None else predict(image, index)
        yield index, result.float().contiguous(), dataset.labels[index].to(device)
