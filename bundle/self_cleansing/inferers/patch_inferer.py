# SPDX-License-Identifier: Apache-2.0
"""Segment full-size volumes slice by slice with a network that was trained on patches around the structure."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as functional
from monai.inferers import Inferer
from monai.utils import convert_to_dst_type
from torch import Tensor

from ..transforms.patch import patch_slices
from .localise import Sighting, sighting

BACKGROUND_LOGIT = -10.0
Network = Callable[[Tensor], Tensor]


class LocalisingPatchInferer(Inferer):
    """Find the structure in each volume from the image alone, cut the patch there, predict, and paste the logits back.

    The structure is searched in a few slices: the network sees patches on a grid over the whole plane; of each it is
    judged whether the prediction looks like the structure (`localise.sighting`). From the best one the patch is moved
    to the middle of the box of what is predicted in it: once by the searched slices, then by all of them.

    Args:
        patch_size: side of the training patch in pixels of the image; None: there is no patch, whole slices are
            predicted.
        network_size: side to which patches (or whole slices) were resampled for the network; divisible by 8. None:
            `patch_size`, that is, not resampled.
        batch_size: slices per forward pass.
        search_slices: how many slices, spread evenly over the volume, take part in the search.
        search_steps: patches per `patch_size` along each axis of the search grid.
        refinements: how often the patch is moved on by what is predicted in all slices.

    Raises:
        ValueError: if a size is not positive, or network_size is not divisible by 8.
    """

    def __init__(
        self,
        patch_size: int | None = 128,
        network_size: int | None = None,
        batch_size: int = 16,
        search_slices: int = 5,
        search_steps: int = 4,
        refinements: int = 1,
    ) -> None:
        super().__init__()
        network_size = patch_size if network_size is None else network_size
        if network_size is None or network_size < 8 or network_size % 8:
            raise ValueError(
                f"network_size must be a positive multiple of 8, which the network halves three times, got "
                f"{network_size!r}; use the network_size of the training"
            )
        for name, value in {"patch_size": patch_size or 1, "batch_size": batch_size, "search_slices": search_slices,
                            "search_steps": search_steps}.items():  # fmt: skip
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value!r}")
        self.patch_size = patch_size
        self.network_size = network_size
        self.batch_size = batch_size
        self.search_slices = search_slices
        self.search_steps = search_steps
        self.refinements = refinements

    @torch.no_grad()
    def __call__(self, inputs: Tensor, network: Network, *args: Any, **kwargs: Any) -> Tensor:
        """Return logits (B, K, H, W, D) on the grid of the inputs.

        Args:
            inputs: float (B, C, H, W, D), intensities normalised over each whole volume as in training. Any H, W and D,
                also smaller than the patch (padded with zeros at the end, as in training).
            network: float (n, C, network_size, network_size) -> logits (n, K, same, same), in eval mode.

        Returns:
            float32 logits, a MetaTensor with the metadata of `inputs` if that is one; BACKGROUND_LOGIT outside the
            patch. They take K times the memory of the inputs.

        Raises:
            ValueError: if `inputs` is not five-dimensional.
        """
        if inputs.ndim != 5:
            raise ValueError(
                f"inputs must be volumes (batch, channel, H, W, D), got shape {tuple(inputs.shape)}; "
                "make 2-D images volumes of one slice with EnsureVolumed"
            )
        volumes = torch.as_tensor(inputs).as_subclass(Tensor)
        logits = torch.stack([self._segment(volume, network) for volume in volumes])
        return convert_to_dst_type(logits, inputs)[0]

    def _segment(self, volume: Tensor, network: Network) -> Tensor:
        center = None if self.patch_size is None else self.locate(volume, network)
        return self.predict_at(volume, network, center)

    def window(self, plane: tuple[int, int], center: tuple[int, int] | None) -> tuple[slice, slice]:
        """Rows and columns of a plane (H, W) inside the patch around `center`; all of them without a patch."""
        if self.patch_size is None or center is None:
            return slice(0, plane[0]), slice(0, plane[1])
        padded = [max(side, self.patch_size) for side in plane]
        rows, columns = patch_slices(center, padded, self.patch_size)
        return slice(rows.start, min(rows.stop, plane[0])), slice(columns.start, min(columns.stop, plane[1]))

    @torch.no_grad()
    def predict_at(self, volume: Tensor, network: Network, center: tuple[int, int] | None) -> Tensor:
        """Predict the patch around `center` in all slices.

        Args:
            volume: float (C, H, W, D).
            network: as in `__call__`.
            center: row and column in pixels; None, or no patch size: whole slices.

        Returns:
            float32 logits (K, H, W, D), BACKGROUND_LOGIT outside the patch.
        """
        rows, columns = self.window((volume.shape[1], volume.shape[2]), center)
        patch = volume[:, rows, columns].movedim(-1, 0)  # (D, C, h, w)
        height, width = patch.shape[2:]
        logits = torch.cat([self._resampled(part, network) for part in patch.split(self.batch_size)])
        logits = logits[:, :, :height, :width].movedim(0, -1)
        full = logits.new_full((len(logits), *volume.shape[1:]), BACKGROUND_LOGIT)
        full[:, rows, columns] = logits
        return full

    def _resampled(self, slices: Tensor, network: Network) -> Tensor:
        """Logits of slices (n, C, h, w) at the resolution of the slices, padded to the patch if they are smaller."""
        padded = self._pad(slices)
        logits = self._forward(padded, network)
        return functional.interpolate(logits, size=padded.shape[2:], mode="bilinear", align_corners=False)

    def _pad(self, slices: Tensor) -> Tensor:
        if self.patch_size is None:
            return slices
        height, width = slices.shape[2:]
        return functional.pad(slices, (0, max(self.patch_size - width, 0), 0, max(self.patch_size - height, 0)))

    def _forward(self, slices: Tensor, network: Network) -> Tensor:
        """Logits at the network's resolution; the way there is that of training (`Resized`, mode area)."""
        size = (self.network_size, self.network_size)
        image = functional.interpolate(slices, size=size, mode="area")
        return network(image.contiguous(memory_format=torch.channels_last)).float()

    @torch.no_grad()
    def locate(self, volume: Tensor, network: Network) -> tuple[int, int]:
        """Find the structure in a volume (C, H, W, D).

        Returns:
            Row and column of the middle of the box of what was found, in pixels; the middle of the image if nothing is
            found anywhere.

        Raises:
            ValueError: if `patch_size` is None: then there is nothing to locate.
        """
        if self.patch_size is None:
            raise ValueError("patch_size is None, so whole slices are predicted; set it to look for a patch")
        height, width, depth = volume.shape[1:]
        slices = self._pad(volume.movedim(-1, 0))  # (D, C, H, W)
        count = min(self.search_slices, depth)
        few = slices[((torch.arange(count, device=slices.device) + 0.5) * depth / count).long()]
        best: Sighting | None = None
        where = (height // 2, width // 2)
        for center in self._grid(slices.shape[2], slices.shape[3]):
            seen = self._look(few, center, network)
            if seen is not None and (best is None or seen.score > best.score):
                best, where = seen, center
        if best is None:
            return where
        where = self._moved(where, best, slices)
        for _ in range(self.refinements):
            seen = self._look(slices, where, network)
            if seen is None:
                break
            before, where = where, self._moved(where, seen, slices)
            if max(abs(a - b) for a, b in zip(before, where, strict=True)) <= 1:
                break
        return where

    def _grid(self, height: int, width: int) -> list[tuple[int, int]]:
        """Centres of patches that cover a plane, at most patch_size / search_steps apart, from edge to edge."""
        assert self.patch_size is not None
        axes = []
        for side in (height, width):
            room = side - self.patch_size
            steps = math.ceil(room * self.search_steps / self.patch_size)
            axes.append([self.patch_size // 2 + room * step // max(steps, 1) for step in range(steps + 1)])
        return [(row, column) for row in axes[0] for column in axes[1]]

    def _look(self, slices: Tensor, center: tuple[int, int], network: Network) -> Sighting | None:
        """What the network sees in the patch around `center` of padded slices (n, C, H, W)."""
        rows, columns = self.window((slices.shape[2], slices.shape[3]), center)
        patch = slices[:, :, rows, columns]
        return sighting(torch.cat([self._forward(part, network).sigmoid() for part in patch.split(self.batch_size)]))

    def _moved(self, center: tuple[int, int], seen: Sighting, slices: Tensor) -> tuple[int, int]:
        """The middle of what was seen in the patch around `center`, in pixels of the padded plane."""
        assert self.patch_size is not None
        corner = self.window((slices.shape[2], slices.shape[3]), center)
        scale = self.patch_size / self.network_size
        row, column = (int(side.start + scale * at) for side, at in zip(corner, seen.center, strict=True))
        return row, column
