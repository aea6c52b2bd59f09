# SPDX-License-Identifier: Apache-2.0
"""The residual U-Net of Table 1 of "Deep Self-cleansing" (doi 10.1002/mp.70007)."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class ConvNormAct(nn.Sequential):
    """Convolution, batch normalisation and, unless `act` is False, ReLU. Strided or transposed if asked to."""

    def __init__(self, conv: nn.Module, channels: int, act: bool = True) -> None:
        super().__init__(conv, nn.BatchNorm2d(channels), nn.ReLU(inplace=True) if act else nn.Identity())


class Residual(nn.Module):
    """ReLU(x + F(x)), F being `depth` 3x3 convolutions of which the last has no ReLU of its own."""

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(
                ConvNormAct(nn.Conv2d(channels, channels, 3, padding=1), channels, act=i < depth - 1)
                for i in range(depth)
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.layers(x))


class Down(nn.Module):
    """Halve the grid with a strided 2x2 convolution; the residual shortcut starts after it."""

    def __init__(self, in_channels: int, depth: int) -> None:
        super().__init__()
        channels = 2 * in_channels
        self.shrink = ConvNormAct(nn.Conv2d(in_channels, channels, 2, stride=2), channels)
        self.residual = Residual(channels, depth)

    def forward(self, x: Tensor) -> Tensor:
        return self.residual(self.shrink(x))


class Up(nn.Module):
    """Double the grid with a transposed 2x2 convolution, append the encoder's map, then one residual block."""

    def __init__(self, in_channels: int, channels: int, depth: int) -> None:
        super().__init__()
        self.grow = ConvNormAct(nn.ConvTranspose2d(in_channels, channels // 2, 2, stride=2), channels // 2)
        self.residual = Residual(channels, depth)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.residual(torch.cat([self.grow(x), skip], dim=1))


class ResidualUNet(nn.Module):
    """Map images to one logit per class and pixel; every class is a binary problem of its own.

    Args:
        in_channels: image channels.
        num_classes: K, foreground classes.
        head_channels: m, width of the output block. 2 is the paper's (1,151,929 parameters with one class); the
            default 32 (1,160,689) can carry several classes, which two non-negative channels cannot.
        dropout: probability of dropping a whole feature channel at the deepest level and before the last layer;
            MONAI Label sets it for uncertainty scoring. 0 is the paper's.

    Shapes:
        image float (B, in_channels, H, W) with H and W divisible by 8 -> logits float (B, K, H, W).
    """

    def __init__(
        self, in_channels: int = 1, num_classes: int = 1, head_channels: int = 32, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.stem = ConvNormAct(nn.Conv2d(in_channels, 16, 3, padding=1), 16)
        self.down1 = Down(16, depth=1)
        self.down2 = Down(32, depth=2)
        self.down3 = Down(64, depth=3)
        self.up3 = Up(128, 128, depth=3)
        self.up2 = Up(128, 64, depth=2)
        self.up1 = Up(64, 32, depth=1)
        self.drop = nn.Dropout2d(dropout)
        self.narrow = ConvNormAct(nn.Conv2d(32, head_channels, 3, padding=1), head_channels)
        self.classify = nn.Conv2d(head_channels, num_classes, 1)

    def features(self, image: Tensor) -> Tensor:
        """Return the output of the last residual block, float (B, 32, H, W), non-negative."""
        x1 = self.stem(image)
        x2 = self.down1(x1)
        x3 = self.down2(x2)
        x4 = self.drop(self.down3(x3))
        return self.up1(self.up2(self.up3(x4, x3), x2), x1)

    def head(self, features: Tensor) -> Tensor:
        """Turn the features of the last residual block into logits (B, K, H, W)."""
        return self.classify(self.drop(self.narrow(features)))

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image))
