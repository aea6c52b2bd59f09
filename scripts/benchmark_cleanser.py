# SPDX-License-Identifier: Apache-2.0
"""What filter and cleanser cost: functions that time competitors in turns and return numbers.

    OMP_NUM_THREADS=1 python -c "from scripts.benchmark_cleanser import *; print(cleanser_against_pairwise(9))"

Competitors take turns (A, B, A, B, ...), so that whatever else the machine does slows all of them alike: read the
ratios, not the seconds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from monai.networks.utils import eval_mode
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from bundle.self_cleansing.cleansing import (
    cleanse,
    grid_features,
    postprocess,
    prototype_direction,
    representation_degree,
    similarity,
)
from bundle.self_cleansing.label_bank import LabelBank
from bundle.self_cleansing.label_filter import DisplacementFilter
from bundle.self_cleansing.networks import ResidualUNet
from bundle.self_cleansing.slice_bank import SliceBank
from bundle.self_cleansing.sweep import Cleanser, sweep

CLASSES = 3


def take_turns(competitors: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, dict[str, float]]:
    """Time each competitor `repeats` times, one after the other, after one round that does not count.

    Returns:
        per name: `median_s`, `min_s`, `max_s`, and `ratio`, its median over that of the first competitor.
    """
    seconds: dict[str, list[float]] = {name: [] for name in competitors}
    for turn in range(repeats + 1):
        for name, run in competitors.items():
            start = time.perf_counter()
            run()
            if turn > 0:
                seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    reference = next(iter(medians.values()))
    return {
        name: {
            "median_s": medians[name],
            "min_s": min(values),
            "max_s": max(values),
            "ratio": medians[name] / reference,
        }
        for name, values in seconds.items()
    }


def hearts(count: int, size: int, seed: int = 0) -> NDArray[np.bool_]:
    """Draw masks like those of a heart (crescent, ring, disc), the disc with specks and pinholes.

    Returns:
        bool (count, 3, size, size). The last slice of every ten is empty, as at the apex.
    """
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] / size
    masks = np.zeros((count, CLASSES, size, size), dtype=bool)
    for index, (crescent, ring, disc) in enumerate(masks):
        if index % 10 == 9:
            continue
        row, column = rng.uniform(0.4, 0.6, size=2)
        radius = rng.uniform(0.07, 0.13)
        distance = np.hypot(rows - row, columns - column)
        disc[:] = distance < radius
        ring[:] = (distance < radius + 0.06) & ~disc
        crescent[:] = (np.hypot(rows - row, columns - column + 1.6 * radius) < 1.4 * radius) & ~disc & ~ring
        disc[tuple(rng.integers(0, size, size=(2, 6)))] ^= True
        disc[int(row * size), int(column * size)] = False
    return masks


def tissue_features(masks: NDArray[np.bool_], channels: int = 32, seed: int = 0) -> Tensor:
    """Give every class, and the background, a direction of its own, with noise, after a ReLU.

    Args:
        masks: bool (B, K, H, W).

    Returns:
        float32 (B, channels, H, W), channels_last, as the network's features are.
    """
    generator = torch.Generator().manual_seed(seed)
    tissue = torch.cat([torch.ones(len(masks), 1, *masks.shape[2:]), 2 * torch.from_numpy(masks).float()], dim=1)
    directions = torch.randn(tissue.shape[1], channels, generator=generator)
    features = torch.einsum("bkhw,kf->bfhw", tissue, directions)
    features = (features + 0.5 * torch.randn(features.shape, generator=generator)).relu()
    return features.contiguous(memory_format=torch.channels_last)


def pairwise(features: Tensor, region: Tensor, grid_size: int = 64, sigma: float = 0.7) -> tuple[Tensor, Tensor]:
    """Evaluate Eqs. 4-6 as printed, for one class of one image: all pairs of cells, all pixels with all prototypes.

    Args:
        features: float (F, H, W).
        region: bool (H, W), not empty.

    Returns:
        representation degree (n,), zero outside the region, and similarity (H, W).
    """
    cells = (grid_size, region.shape[0] // grid_size, grid_size, region.shape[1] // grid_size)
    count = region.float().view(cells).sum(dim=(1, 3)).flatten()
    total = (features * region).unflatten(2, cells[2:]).unflatten(1, cells[:2]).sum(dim=(2, 4)).flatten(1)
    inside = count > 0
    directions = torch.nn.functional.normalize(total[:, inside] / count[inside], dim=0)  # (F, cells inside)
    degree = torch.zeros(grid_size**2)
    degree[inside] = (directions.T @ directions).sum(dim=1)  # Eq. 5
    degree /= degree.max()
    prototypes = directions[:, degree[inside] > sigma]
    pixels = torch.nn.functional.normalize(features, dim=0).flatten(1)
    return degree, (prototypes.T @ pixels).mean(dim=0).view(region.shape)  # Eq. 6


def difference_from_pairwise() -> float:
    """Largest absolute difference, in degree and similarity, between `cleanse`'s steps and `pairwise`, at 256 x 256."""
    masks = hearts(4, 256)
    features, region = tissue_features(masks), torch.from_numpy(masks)
    grid = grid_features(features, region)
    ours = representation_degree(*grid), similarity(features, prototype_direction(*grid))
    return max(
        float((one[b, k] - other).abs().max())
        for b, k in np.ndindex(masks.shape[:2])
        for one, other in zip(ours, pairwise(features[b], region[b, k]), strict=True)
    )


def cleanser_against_pairwise(repeats: int = 9) -> dict[str, dict[str, float]]:
    """Time `cleanse` against reading its features once (`sum`, the first) and the pairwise form.

    One image of 256 x 256 pixels, 32 channels, a region of a quarter of the image, grid 64.
    """
    region = np.zeros((1, 1, 256, 256), dtype=bool)
    region[..., 64:192, 64:192] = True
    features = tissue_features(region)
    mask = torch.from_numpy(region)
    return take_turns(
        {
            "sum": features.sum,
            "cleanse": lambda: cleanse(features, mask),
            "pairwise": lambda: pairwise(features[0], mask[0, 0])[1] > 0.7,
        },
        repeats,
    )


def loop_postprocess(masks: NDArray[np.bool_], min_fraction: float = 0.1) -> NDArray[np.bool_]:
    """Do what `postprocess` does, one mask after the other."""
    result = masks.copy()
    for mask in result.reshape(-1, *masks.shape[-2:]):
        components, _ = ndimage.label(mask, structure=np.ones((3, 3)))
        sizes = np.bincount(components.ravel())
        mask &= (sizes / max(mask.sum(), 1) >= min_fraction)[components]
        holes, _ = ndimage.label(~mask)
        fills = np.bincount(holes.ravel()) / max(mask.sum(), 1) < min_fraction
        for edge in (holes[0], holes[-1], holes[:, 0], holes[:, -1]):
            fills[edge] = False
        mask |= fills[holes]
    return result


def postprocess_against_scipy_loop(repeats: int = 9) -> dict[str, dict[str, float]]:
    """Time `postprocess` (the first) against a loop over the masks: 32 samples, 3 classes, 128 x 128 pixels."""
    masks = hearts(32, 128)
    return take_turns({"postprocess": lambda: postprocess(masks), "loop": lambda: loop_postprocess(masks)}, repeats)


def heart_bank(samples: int, size: int) -> SliceBank:
    """Noisy images of `hearts`, half of the labels shifted by a few pixels."""
    masks = hearts(samples, size)
    rng = np.random.default_rng(1)
    signal = np.einsum("nkhw,k->nhw", masks, [0.6, 0.3, 1.0]) + 0.1 * rng.normal(size=(samples, size, size))
    labels = masks.copy()
    labels[::2] = np.roll(labels[::2], size // 32, axis=2)
    volume = {"image": torch.from_numpy(signal).movedim(0, -1)[None], "label": torch.from_numpy(labels).movedim(0, -1)}
    return SliceBank([{"case": "hearts"}], lambda item: volume, progress=False)


@torch.no_grad()
def heart_network(dataset: SliceBank) -> ResidualUNet:
    """A network with random weights whose last layer is fitted to the labels by least squares: it predicts blobs."""
    torch.manual_seed(0)
    network = ResidualUNet(1, CLASSES).to(memory_format=torch.channels_last)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the plain average over what follows
    network(dataset.images[:16])
    network.eval()
    narrow = network.narrow(network.features(dataset.images[:16])).movedim(1, -1).flatten(0, 2)
    wanted = dataset.labels[:16].movedim(1, -1).flatten(0, 2).float() - 0.5
    fitted = torch.linalg.lstsq(torch.cat([narrow, torch.ones(len(narrow), 1)], dim=1), wanted).solution
    network.classify.weight.copy_(fitted[:-1].T[..., None, None])
    # As many pixels above one half as are labelled: a least-squares fit alone hardly ever reaches it.
    scores = (narrow @ fitted[:-1]).T
    for channel, labelled in enumerate((wanted > 0).float().mean(dim=0).tolist()):
        network.classify.bias[channel] = -torch.quantile(scores[channel], 1 - labelled)
    return network


def sweep_against_forward(size: int = 128, samples: int = 64, repeats: int = 5) -> dict[str, dict[str, float]]:
    """Time the label sweep and the filter's fit against bare forward passes (the first) over the same samples.

    Batches of 32, three classes, grid 64, images of size x size pixels. The sweep contains the forward passes.
    """
    dataset = heart_bank(samples, size)
    network, bank, cleanser = heart_network(dataset), LabelBank(dataset), Cleanser()

    def forward() -> None:
        with eval_mode(network):
            for batch in dataset.images.split(32):
                network(batch)

    found = sweep(network, dataset, bank, cleanser)
    return take_turns(
        {
            "forward": forward,
            "sweep": lambda: sweep(network, dataset, bank, cleanser),
            "filter": lambda: DisplacementFilter()(found, bank),
        },
        repeats,
    )
