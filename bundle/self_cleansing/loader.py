# SPDX-License-Identifier: Apache-2.0
"""Batches of augmented samples by gather, the same for a given (seed, epoch) whatever happened before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from torch import Tensor

from .distributed import rank, share, world_size
from .label_bank import LabelBank
from .losses import LabelSchedule
from .slice_bank import SliceBank
from .transforms import Augmentation


def hashed(*numbers: int) -> int:
    """Turn numbers into a seed of 32 bits, as many as PyTorch's CPU generator reads."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def epoch_seed(seed: int, epoch: int) -> int:
    """The seed of an epoch's draws: side by side where that fits into 32 bits, else hashed."""
    return (seed << 20) + epoch if seed < 1 << 12 and epoch < 1 << 20 else hashed(seed, epoch)


class BankLoader:
    """Yield the training batches of one epoch: image, given label y and label in force y', augmented together.

    Order and augmentation depend on (seed, epoch) alone, so a resumed run needs no other state. An epoch has the same
    number of batches, `len(loader)`, for every method and in every phase: one shuffled pass over all samples while
    given labels count; once only y' counts, as many shuffled passes over the samples that take part (at least one of
    their labels does) as fit. LoaderEpoch must be attached to the engine.

    Several processes draw the same order, cut it into batches for all of them, and each takes its part of every batch:
    the samples of an iteration are those of one process with a batch size `world_size()` times as large. The
    augmentation then depends on (seed, epoch, rank).

    Args:
        dataset: the slices.
        label_bank: pseudo labels and which of them take part.
        schedule: tells whether given labels still count.
        batch_size: samples per batch and process; the few that fill no batch wait for another epoch's shuffle,
            because batch statistics of one or two samples are worthless. Fewer samples than one batch per process
            make one batch for each.
        seed: of order and augmentation.
        augmentation: applied to every batch; None: none.
        device: where batches are put; a bank on another device is gathered there first.
        superpixels: int (N, H, W), numbered regions of each image from 1 on, for methods that need them; a batch then
            has `superpixel`, 0 outside of the image.

    Raises:
        ValueError: if there are fewer samples than processes.
    """

    def __init__(
        self,
        dataset: SliceBank,
        label_bank: LabelBank,
        schedule: LabelSchedule,
        batch_size: int,
        seed: int,
        augmentation: Augmentation | None = None,
        device: torch.device | str = "cpu",
        superpixels: Tensor | None = None,
    ) -> None:
        self.dataset = dataset
        self.label_bank = label_bank
        self.schedule = schedule
        check_samples(dataset, "training")
        self.batch_size = min(batch_size, len(dataset) // world_size())
        self.seed = seed
        self.augmentation = augmentation
        self.device = torch.device(device)
        self.superpixels = superpixels
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.dataset) // (self.batch_size * world_size())

    def participants(self) -> Tensor:
        """Indices of the samples to train on in this epoch, int64."""
        if self.schedule(self.epoch)[0] > 0:
            return torch.arange(len(self.dataset))
        chosen = torch.nonzero(self.label_bank.takes_part.any(dim=1).cpu()).flatten()
        if len(chosen) == 0:
            raise RuntimeError(
                f"after {self.epoch} epochs no label is left to train on: all were rejected; "
                "lengthen the warm-up (--warmup_epochs) or check that images and labels belong together"
            )
        return chosen

    def __iter__(self) -> Iterator[dict[str, Any]]:
        generator = torch.Generator().manual_seed(epoch_seed(self.seed, self.epoch))
        chosen = self.participants()
        together = self.batch_size * world_size()
        needed = len(self) * together
        passes = -(-needed // len(chosen))
        order = torch.cat([chosen[torch.randperm(len(chosen), generator=generator)] for _ in range(passes)])
        if rank() > 0:  # draws of its own
            generator.manual_seed(hashed(self.seed, self.epoch, rank()))
        for index in order[:needed].split(together):
            yield self.batch(index[share(together)], generator)

    def batch(self, index: Tensor, generator: torch.Generator) -> dict[str, Any]:
        """Gather and augment the samples at `index` (B,)."""
        classes = self.dataset.labels.shape[1]
        image = self.dataset.images[index].to(self.device)
        label = self.dataset.labels[index].to(self.device)
        at = index.to(self.label_bank.is_set.device)
        pseudo_label = self.label_bank.pseudo_label(at).to(self.device)
        masks = torch.cat([label, pseudo_label], dim=1).float()
        superpixel = None if self.superpixels is None else self.superpixels[index].to(self.device)
        if self.augmentation is not None:
            image, masks, superpixel = self.augmentation.with_map(image, masks, superpixel, generator)
        return {
            "image": image.contiguous(memory_format=torch.channels_last),
            "label": masks[:, :classes],
            "pseudo_label": masks[:, classes:],
            "pseudo_weight": self.label_bank.takes_part[at].float().to(self.device),
            "index": index,
            "epoch": self.epoch,
            **({} if superpixel is None else {"superpixel": superpixel}),
        }


class PrepareBatch:
    """Give SupervisedTrainer the image as input and the whole batch, all its labels, as target.

    Args:
        also: keys of the batch that the network is given after the image, e.g. 'label'.
    """

    def __init__(self, also: Sequence[str] = ()) -> None:
        self.also = tuple(also)

    def __call__(self, batch: dict[str, Any], device: Any = None, non_blocking: bool = False, **_: Any) -> Any:
        image = batch["image"].to(device, non_blocking=non_blocking)
        if not self.also:
            return image, batch
        return image, batch, tuple(batch[key] for key in self.also), {}


class LoaderEpoch:
    """Tell the loader how many epochs are completed before its first batch of an epoch is drawn."""

    def __init__(self, loader: BankLoader) -> None:
        self.loader = loader

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.EPOCH_STARTED, self)

    def __call__(self, engine: Any) -> None:
        self.loader.epoch = engine.state.epoch - 1


class SliceLoader:
    """Yield all samples in order, without augmentation, for validation; of several processes each its share.

    Args:
        dataset: the slices.
        batch_size: samples per batch; the last batch may be smaller.

    Raises:
        ValueError: if there are fewer samples than processes: MONAI's engines skip a run without batches, and the
            others would wait for it.
    """

    def __init__(self, dataset: SliceBank, batch_size: int) -> None:
        check_samples(dataset, "validation")
        self.dataset = dataset
        self.batch_size = batch_size

    def batches(self) -> tuple[Tensor, ...]:
        return torch.arange(len(self.dataset))[share(len(self.dataset))].split(self.batch_size)

    def __len__(self) -> int:
        return len(self.batches())

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for index in self.batches():
            yield {
                "image": self.dataset.images[index].contiguous(memory_format=torch.channels_last),
                "label": self.dataset.labels[index],
                "reference_label": self.dataset.reference_labels[index],
                "case_index": self.dataset.case_index[index],
            }


def check_samples(dataset: SliceBank, purpose: str) -> None:
    """Raise ValueError unless there is a sample for every process."""
    if len(dataset) < world_size():
        raise ValueError(
            f"{len(dataset)} {purpose} slices cannot be shared by {world_size()} processes; "
            f"start torchrun with --nproc_per_node={len(dataset)} or fewer"
        )
