# SPDX-License-Identifier: Apache-2.0
"""One pass over the samples in eval mode: what the network thinks of every label, and what it would write instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

import torch
from monai.networks.utils import eval_mode
from torch import Tensor, nn
from tqdm import tqdm

from . import distributed
from .cleansing import check_grid, cleanse, postprocess
from .cleansing.pseudo_label import Variant
from .filtering import Areas, compare_areas
from .label_bank import ALL, LabelBank, pack_bits, unpack_bits
from .losses import soft_dice_loss
from .slice_bank import SliceBank


@dataclass(frozen=True)
class Cleanser:
    """How pseudo labels are made: options of `cleansing.cleanse` and `cleansing.postprocess`.

    Args:
        variant: 'prototypes' as in the paper, 'mean' (LCM(avg)) or 'prediction' (LCM(pred)).
        grid_size: G of Eq. 4.
        sigma: threshold on the representation degree (Eq. 5).
        mu: threshold on the similarity (Eq. 6).
        min_fraction: components and holes below this fraction of the foreground are dropped and filled.
        narrow_features: take the features after the output block's first convolution, the paper's literal
            "Residual_block_6" when the network's `head_channels` is 2; else the 32 channels before it.
    """

    variant: Variant = "prototypes"
    grid_size: int = 64
    sigma: float = 0.7
    mu: float = 0.7
    min_fraction: float = 0.1
    narrow_features: bool = False

    def __post_init__(self) -> None:
        if self.variant not in get_args(Variant):
            raise ValueError(f"variant must be one of {', '.join(get_args(Variant))}, got {self.variant!r}")
        for name in ("sigma", "mu"):
            if not -1 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [-1, 1], the range of a cosine, got {getattr(self, name)!r}")
        if not 0 <= self.min_fraction <= 1:
            raise ValueError(f"min_fraction must be in [0, 1], got {self.min_fraction!r}")

    def check(self, height: int, width: int) -> None:
        """Raise ValueError unless slices of this size can be cleansed: better before a training than in its midst."""
        if self.variant == "prototypes":
            check_grid(self.grid_size, height, width)

    def __call__(self, network: Any, features: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
        """Return post-processed pseudo labels bool (B, K, H, W) and whether there was anything to make them from."""
        if self.narrow_features:
            features = network.narrow(features)
        made = cleanse(features, region, variant=self.variant, grid_size=self.grid_size, sigma=self.sigma, mu=self.mu)
        return postprocess(made.label, self.min_fraction), made.found


@dataclass(frozen=True)
class Sweep:
    """What one pass found, on the CPU. N samples, K classes.

    Attributes:
        manual_loss, pseudo_loss: float32 (N, K), soft Dice loss (Eq. 1) against y and y'.
        manual_areas: pixel counts of y against the prediction, int64 (N, K) each.
        pseudo_area: int64 (N, K), pixels of y'.
        packed_prediction: uint8 (N, K, H, W / 8), the prediction above one half.
        packed_candidate: uint8 likewise, what the cleanser would write.
        found: bool (N, K), whether the cleanser had anything to work from.
        case_index: int64 (N,), the case of each sample; those of a case follow one another slice by slice.
    """

    manual_loss: Tensor
    pseudo_loss: Tensor
    manual_areas: Areas
    pseudo_area: Tensor
    packed_prediction: Tensor
    packed_candidate: Tensor
    found: Tensor
    case_index: Tensor

    def prediction(self, index: Tensor | slice = ALL) -> Tensor:
        """The predicted masks of the samples at `index`, uint8 (B, K, H, W)."""
        return unpack_bits(self.packed_prediction[index])

    def candidate(self, index: Tensor | slice = ALL) -> Tensor:
        """The cleanser's masks of the samples at `index`, uint8 (B, K, H, W)."""
        return unpack_bits(self.packed_candidate[index])


def sweep(
    network: nn.Module,
    dataset: SliceBank,
    label_bank: LabelBank,
    cleanser: Cleanser | None,
    device: torch.device | str = "cpu",
    batch_size: int = 32,
    progress: bool = False,
) -> Sweep:
    """Compare the network with all labels, without augmentation.

    Of several processes each sweeps its share of the batches, and all return the whole. The batches are those of a
    single process, and so are the results, bit for bit.

    Args:
        network: a ResidualUNet, or an averaged model around one (`.module`); left in the mode it was in.
        dataset: the samples.
        label_bank: y' of the same samples.
        cleanser: writes the candidates; None: the prediction stands in for them, unprocessed, which is faster.
        device: of the network.
        batch_size: samples per forward pass; nothing larger than a batch of features is kept.
        progress: show a bar.
    """
    inner: Any = getattr(network, "module", network)
    batches = torch.arange(len(dataset)).split(batch_size)
    batches = batches[distributed.share(len(batches))]
    samples, done = sum(map(len, batches)), 0
    # Allocated whole, at the first batch: small results that stay between the large blocks of each batch would keep the
    # allocator from using these again, and memory would grow by a megabyte per sample.
    columns: list[Tensor] = []
    with eval_mode(inner):
        for index in tqdm(batches, desc="label sweep", unit="batch", leave=False, disable=not progress):
            image = dataset.images[index].to(device).contiguous(memory_format=torch.channels_last)
            label = dataset.labels[index].to(device)
            pseudo = label_bank.pseudo_label(index).to(device)
            features = inner.features(image)
            probs = torch.sigmoid(inner.head(features).float()).contiguous()  # planes, as the labels are stored
            region = probs > 0.5
            if cleanser is None:
                candidates, found = [], region.flatten(2).any(dim=2)
            else:
                candidate, found = cleanser(inner, features, region)
                candidates = [pack_bits(candidate)]
            row = (
                soft_dice_loss(probs, label),
                soft_dice_loss(probs, pseudo),
                *compare_areas(label.bool(), region),
                pseudo.flatten(2).sum(dim=2, dtype=torch.int64),
                found,
                pack_bits(region),
                *candidates,
            )
            if not columns:
                columns = [torch.empty(samples, *value.shape[1:], dtype=value.dtype) for value in row]
            for column, value in zip(columns, row, strict=True):
                column[done : done + len(index)] = value
            done += len(index)
    shares = [share for share in distributed.gather([columns]) if share]
    joined = [parts[0] if len(parts) == 1 else torch.cat(parts) for parts in zip(*shares, strict=True)]
    manual_loss, pseudo_loss, *areas, pseudo_area, found, prediction = joined[:9]
    # The last one is the candidates, or, without a cleanser, the predictions: kept once.
    cases = dataset.case_index
    return Sweep(manual_loss, pseudo_loss, Areas(*areas), pseudo_area, prediction, joined[-1], found, cases)
