# SPDX-License-Identifier: Apache-2.0
"""A VGG-16-like network that gives an image with its labels one number: how good are the labels?

Source: Zhu, Shi and Wu, "Pick-and-Learn: automatic quality evaluation for noisy-labeled image segmentation",
MICCAI 2019, whose quality awareness module it is; for the layers, Simonyan and Zisserman, "Very deep convolutional
networks for large-scale image recognition", ICLR 2015; for the initial weights, He et al., "Delving deep into
rectifiers", ICCV 2015.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

STAGES = (1, 1), (2, 2), (4, 4, 4), (8, 8, 8), (8, 8, 8)  # channels of the convolutions, in units of the width


class QualityNetwork(nn.Module):
    """VGG-16's convolutions, with He's initial weights, then one 1x1 convolution to a score, averaged over the image.

    Args:
        in_channels: image channels and classes together.
        width: channels of the first stage; 64 is VGG-16's.

    Shapes:
        image float (B, C, H, W) and label float (B, K, H, W), H and W at least 16 -> score float (B,), unbounded.
    """

    def __init__(self, in_channels: int, width: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for number, stage in enumerate(STAGES):
            if number:
                layers.append(nn.MaxPool2d(2))
            for units in stage:
                # With PyTorch's own initial weights all fresh scores are the same to seven digits.
                convolution = nn.Conv2d(in_channels, units * width, 3, padding=1)
                nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
                nn.init.zeros_(convolution.get_parameter("bias"))
                layers += [convolution, nn.ReLU(inplace=True)]
                in_channels = units * width
        self.trunk = nn.Sequential(*layers)
        self.score = nn.Conv2d(in_channels, 1, 1)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        seen = torch.cat([image, label], dim=1).contiguous(memory_format=torch.channels_last)
        return self.score(self.trunk(seen)).mean(dim=(1, 2, 3))
