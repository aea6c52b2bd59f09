# SPDX-License-Identifier: Apache-2.0
"""What networks say of all training samples, in eval mode and without augmentation, one batch after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from monai.networks.utils import eval_mode
from torch import Tensor, nn

from ..slice_bank import SliceBank


def predict_batches(
    network: nn.Module,
    dataset: SliceBank,
    predict: Callable[[Tensor, Tensor], Tensor],
    device: torch.device | str = "cpu",
    batch_size: int = 32,
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield (index, result, label) of every batch in order, without gradients.

    Args:
        network: is in eval mode meanwhile, and back in its own mode afterwards.
        dataset: the samples.
        predict: maps image (B, C, H, W) and index (B,) to logits (B, ..., K, H, W).
        device: of the network.
        batch_size: samples per batch.

    Yields:
        index int64 (B,), float32 result and uint8 label (B, K, H, W), the last two on the device.
    """
    for index in torch.arange(len(dataset)).split(batch_size):
        with eval_mode(network):
            image = dataset.images[index].to(device).contiguous(memory_format=torch.channels_last)
            logits = predict(image, index).float().contiguous()
        yield index, logits, dataset.labels[index].to(device)
