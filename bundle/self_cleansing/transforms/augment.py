# SPDX-License-Identifier: Apache-2.0
"""Augment a batch of slices and their labels together, as one batched operation on their device."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class Augmentation:
    """Ranges from which one draw per sample is made, uniformly; zeros switch a part off.

    Args:
        flip_rotate: mirror and turn by multiples of 90 degrees, all eight equally likely.
        rotation_deg: further rotation in [-r, r] degrees.
        scale: relative size change in [-s, s]; 0.1 is 10 %.
        shift: translation in [-t, t] of the image's side.
        contrast: intensities are multiplied by a factor in [1 - c, 1 + c] around their mean.
        brightness: a constant in [-b, b] is added.
        noise: standard deviation of Gaussian noise, drawn in [0, n].
    """

    flip_rotate: bool = True
    rotation_deg: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    noise: float = 0.0

    def __post_init__(self) -> None:
        for name in ("rotation_deg", "scale", "shift", "contrast", "brightness", "noise"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be a number from 0 on, got {getattr(self, name)!r}; 0 switches it off")
        if self.scale >= 1:
            raise ValueError(f"scale must be below 1, at which nothing is left of an image, got {self.scale!r}")

    def __call__(self, image: Tensor, masks: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Transform images and masks alike.

        Args:
            image: float (B, C, H, W), square.
            masks: float (B, M, H, W) in {0, 1}; any number of masks per sample.
            generator: CPU generator; the draws are made on the CPU, so that they do not depend on the device.

        Returns:
            image and masks of the same shapes. What comes from outside of the image is zero before
            contrast, brightness and noise change; masks stay in {0, 1} (bilinear interpolation, at least one half).
        """
        image, masks, _ = self.with_map(image, masks, None, generator)
        return image, masks

    def with_map(
        self, image: Tensor, masks: Tensor, index_map: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Transform a map of numbered regions, int (B, H, W), along with image and masks (see `__call__`).

        Returns:
            image, masks, and the map of the same shape and type (nearest neighbour, 0 outside of the image).
        """
        batch, channels = image.shape[:2]

        def draw(limit: float) -> Tensor:
            return (2 * torch.rand(batch, generator=generator) - 1) * limit

        angle, scale, shift = draw(math.radians(self.rotation_deg)), 1 + draw(self.scale), (draw(1), draw(1))
        contrast, brightness = 1 + draw(self.contrast), draw(self.brightness)
        level = torch.rand(batch, generator=generator) * self.noise
        noise = torch.randn(image.shape, generator=generator) if self.noise > 0 else None
        turns = torch.randint(0, 4, (batch,), generator=generator) * self.flip_rotate
        mirrored = torch.randint(0, 2, (batch,), generator=generator) * self.flip_rotate
        angle = angle + turns * (math.pi / 2)
        cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
        flip = 1.0 - 2.0 * mirrored
        matrix = torch.stack(
            [
                torch.stack([cos * flip, -sin, 2 * self.shift * shift[0]], dim=1),
                torch.stack([sin * flip, cos, 2 * self.shift * shift[1]], dim=1),
            ],
            dim=1,
        )
        grid = F.affine_grid(matrix, [batch, 1, *image.shape[2:]], align_corners=False).to(image.device, image.dtype)
        moved = F.grid_sample(torch.cat([image, masks], dim=1), grid, padding_mode="zeros", align_corners=False)
        image, masks = moved[:, :channels], (moved[:, channels:] >= 0.5).to(masks.dtype)
        if index_map is not None:
            numbers = index_map[:, None].to(grid.dtype)  # exact up to 2**24 regions
            numbers = F.grid_sample(numbers, grid, mode="nearest", padding_mode="zeros", align_corners=False)
            index_map = numbers[:, 0].to(index_map.dtype)

        def column(values: Tensor) -> Tensor:
            return values.view(-1, 1, 1, 1).to(image.device, image.dtype)

        mean = image.mean(dim=(1, 2, 3), keepdim=True)
        image = (image - mean) * column(contrast) + mean + column(brightness)
        if noise is not None:
            image = image + column(level) * noise.to(image.device, image.dtype)
        return image, masks, index_map
