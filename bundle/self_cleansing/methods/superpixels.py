# SPDX-License-Identifier: Apache-2.0
"""Superpixels: averages that smooth predictions along image edges, and the relabelling that trusts them.

Symbols, per class: P~ the mean foreground probability of a pixel's superpixel (of both networks).
Reference: Li, Gao, He, Superpixel-guided iterative learning from noisy labels, MICCAI 2021, arXiv 2107.10100. We
differ: thresholds come from histograms of 16-bit probabilities, see `confident_joint` for levels.
"""

from __future__ import annotations

import torch
from skimage.segmentation import slic
from torch import Tensor
from tqdm import tqdm

from ..distributed import is_first
from .confident_joint import LEVELS, MIDDLE, quantise
from .pixel_selection import floor_of


def slic_superpixels(images: Tensor, segments: int, compactness: float, progress: bool = False) -> Tensor:
    """Divide every image into superpixels (SLIC), once and before any augmentation.

    Each image is rescaled to [0, 1] first, all channels alike; colours are not converted.

    Args:
        images: float (N, C, H, W), finite, any range; a constant image is divided into a grid.
        segments: how many superpixels to aim at, at least 1.
        compactness: weight of closeness against likeness, above 0. Images have values in [0, 1]: at 0.1 superpixels
            follow edges, at 10 they are squares whatever the image shows.
        progress: show a bar.

    Returns:
        (N, H, W) on the CPU, from 1 to the number of superpixels of the image; int16, or int32 for more than 4096
        segments. N = 0 gives an empty tensor.

    Raises:
        ValueError: if an image is not finite or an option out of its range.
    """
    if images.ndim != 4:
        raise ValueError(f"images must be (N, C, H, W), got {tuple(images.shape)}")
    if segments < 1:
        raise ValueError(f"segments must be at least 1, got {segments!r}; 100 to 1200 are published")
    if not compactness > 0:
        raise ValueError(f"compactness must be above 0, got {compactness!r}; start from 0.1")
    # The seeds lie on a grid of whole pixels, up to 2.25 times as many as asked for, and no superpixel is smaller than
    # half the mean one: up to 4.5 times as many, of which int16 holds those of 4096 segments.
    dtype = torch.int16 if segments <= 4096 else torch.int32
    labels = torch.empty(len(images), *images.shape[2:], dtype=dtype)
    bar = tqdm(images, desc="superpixels", unit="image", leave=False, disable=not (progress and is_first()))
    for index, image in enumerate(bar):
        values = image.cpu().double()
        low, high = values.min(), values.max()
        if not torch.isfinite(high - low):
            raise ValueError(f"images must be finite, image {index} has NaN or infinite pixels; clean the data first")
        scaled = (values - low) / (high - low if high > low else 1.0)
        divided = slic(
            scaled.permute(1, 2, 0).numpy(),
            n_segments=segments,
            compactness=compactness,
            convert2lab=False,
            start_label=1,
            channel_axis=-1,
        )
        labels[index] = torch.from_numpy(divided)
    return labels


def superpixel_mean(values: Tensor, superpixels: Tensor) -> Tensor:
    """Replace every pixel by the mean over its superpixel.

    Args:
        values: float (B, K, H, W).
        superpixels: int (B, H, W), at least 0, on the same device. 0, where an augmented image has no counterpart in
            the original, is a superpixel like any other.

    Returns:
        (B, K, H, W), dtype of `values`. Sums are taken in float64, so that the order in which a GPU adds hardly ever
        shows in a float32 result.

    Raises:
        ValueError: if the shapes do not fit.
    """
    if values.ndim != 4 or superpixels.shape != (values.shape[0], *values.shape[2:]):
        raise ValueError(
            f"values must be (B, K, H, W) and superpixels (B, H, W), got {tuple(values.shape)} and "
            f"{tuple(superpixels.shape)}"
        )
    if values.numel() == 0:
        return values.clone()
    index = superpixels.flatten(1).long()[:, None]  # (B, 1, HW)
    flat = values.flatten(2).double()  # (B, K, HW)
    parts = int(index.max()) + 1
    total = flat.new_zeros(*flat.shape[:2], parts).scatter_add(2, index.expand_as(flat), flat)
    count = flat.new_zeros(len(flat), 1, parts).scatter_add(2, index, torch.ones_like(flat[:, :1]))
    mean = total / count.clamp(min=1)
    return mean.gather(2, index.expand_as(flat)).reshape(values.shape).to(values.dtype)


def refine_thresholds(histograms: Tensor, correct: Tensor) -> Tensor:
    """Find the levels of P~ beyond which labels are corrected, over the whole training set.

    With m = floor(correct * number of pixels of the label): label 0 is corrected above the m-th largest P~ of its
    pixels, but not below 1/2; label 1 below the m-th smallest one, but not above 1/2. As both are strict, fewer than m
    pixels of a label are corrected, and pixels of equal P~ (those of one superpixel) together or not at all.

    Args:
        histograms: int64 (K, 2, LEVELS), the sum of `label_histograms` of P~ and the label over all batches.
        correct: float (K, 2) in [0, 1]: the fraction of label 0 and of label 1 to correct at most.

    Returns:
        int64 (K, 2), levels; m = 0 gives the last and the first level, beyond which there is nothing.

    Raises:
        ValueError: if a shape does not fit or a fraction lies outside [0, 1].
    """
    if histograms.ndim != 3 or histograms.shape[1:] != (2, LEVELS) or correct.shape != histograms.shape[:2]:
        raise ValueError(
            f"histograms must be (K, 2, {LEVELS}) and correct (K, 2), got {tuple(histograms.shape)} and "
            f"{tuple(correct.shape)}"
        )
    fractions = correct.double().tolist()
    if not all(0 <= fraction <= 1 for row in fractions for fraction in row):
        raise ValueError(f"correct must be in [0, 1], got {fractions}; to correct 5 % of the labels pass 0.05, not 5")
    # Pixels in the order of how much P~ contradicts the label: label 0 from the last level, label 1 from the first.
    contrary = torch.stack([histograms[:, 0].flip(-1), histograms[:, 1]], dim=1)
    counts = contrary.sum(dim=-1).tolist()
    wanted = [[floor_of(f, n) for f, n in zip(*rows, strict=True)] for rows in zip(fractions, counts, strict=True)]
    limit = torch.tensor(wanted, device=histograms.device)
    steps = (contrary.cumsum(dim=-1) < limit[..., None]).sum(dim=-1).clamp(max=MIDDLE)
    return torch.stack([LEVELS - 1 - steps[:, 0], steps[:, 1]], dim=1)


def refine(mean_prob: Tensor, label: Tensor, thresholds: Tensor) -> Tensor:
    """Correct the labels that P~ contradicts beyond the thresholds.

    Args:
        mean_prob: float (B, K, H, W) in [0, 1], P~ as counted for the thresholds.
        label: same shape and device, in {0, 1}.
        thresholds: int64 (K, 2), of `refine_thresholds`.

    Returns:
        new labels, dtype of `label`, in {0, 1}.

    Raises:
        ValueError: if a shape does not fit or a probability lies outside [0, 1].
    """
    if mean_prob.ndim != 4 or mean_prob.shape != label.shape or thresholds.shape != (label.shape[1], 2):
        raise ValueError(
            f"mean_prob and label must be (B, K, H, W) and thresholds (K, 2), got {tuple(mean_prob.shape)}, "
            f"{tuple(label.shape)} and {tuple(thresholds.shape)}"
        )
    level = quantise(mean_prob)
    limit = thresholds.to(level.device)[:, :, None, None]
    return torch.where(label != 0, level >= limit[:, 1], level > limit[:, 0]).to(label.dtype)
