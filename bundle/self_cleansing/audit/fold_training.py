# SPDX-License-Identifier: Apache-2.0
"""Train the network of one fold by the configs of an ordinary training, and predict the patients held out."""

from __future__ import annotations

import errno
import gc
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.bundle import ConfigParser
from monai.networks.utils import eval_mode
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from ..checkpoint_file import load_checkpoint_file
from ..run_folder import CHECKPOINT
from ..slice_bank import SliceBank

SPLIT = "bundle.self_cleansing.audit.folds.FoldSplit"
LAST_MODEL = "models/model_last.pt"
# What a training does besides, and an audit has no use for.
WITHOUT = ("export_labels#_disabled_", "noise_audit#_disabled_")


class FoldTraining:
    """A training's config files, and what an audit sets in them.

    Args:
        files: config files as for `python -m monai.bundle run training`, the base first.
        settings: entries to override, by their id in the config.
    """

    def __init__(self, files: Sequence[str | os.PathLike[str]], settings: Mapping[str, Any]) -> None:
        self.files = [str(file) for file in files]
        self.settings = dict(settings)

    def parser(self, overrides: Mapping[str, Any] | None = None) -> ConfigParser:
        """The config, parsed, with all overrides in place.

        Raises:
            FileNotFoundError: if a config file is missing.
            ValueError: if a setting is no entry of the config.
        """
        for file in self.files:
            if not Path(file).is_file():
                raise FileNotFoundError(f"training config {file} does not exist; check --training_config")
        parser = ConfigParser()
        parser.read_config(self.files)
        unknown = [name for name in self.settings if re.split("#|::", name)[0] not in parser]
        if unknown:
            raise ValueError(
                f"settings names {unknown[0]!r}, which the training config does not have; check its spelling"
            )
        parser.update(dict.fromkeys(WITHOUT, True) | self.settings | dict(overrides or {}))
        parser.parse(True)
        return parser

    def network(self, folder: Path, dataset_dir: Path, patients: Path) -> nn.Module:
        """Return the trained network of a fold, on its device; train it, or go on training, if need be.

        Args:
            folder: of the fold's run.
            dataset_dir, patients: of its `FoldSplit`.
        """
        # The file is named, not the patients: in a config, a name that begins with $ would be run.
        split = {"_target_": SPLIT, "dataset_dir": str(dataset_dir), "patients": str(patients)}
        max_epochs = self.parser().get_parsed_content("max_epochs")
        overrides = {"split": split, "output_dir": str(folder), "val_interval": max_epochs}
        is_begun = (folder / CHECKPOINT).is_file()
        if not is_begun:
            shutil.rmtree(folder, ignore_errors=True)  # of a training that was killed before its first checkpoint
        # A training that has done all its epochs is resumed as well: it may have been killed before it wrote the rest.
        parser = self.parser(overrides | {"resume": is_begun})
        for stage in ("initialize", "run"):
            for number in range(len(parser[stage])):
                parser.get_parsed_content(f"{stage}#{number}")
        del parser
        gc.collect()  # the training's own slices, before the next fold's take the room
        torch.cuda.empty_cache()  # what PyTorch keeps for itself counts as taken; without CUDA this does nothing
        parser = self.parser(overrides)
        network = parser.get_parsed_content("network_on_device")
        network.load_state_dict(load_checkpoint_file(folder / LAST_MODEL))
        return network


def predict(
    network: nn.Module,
    dataset: SliceBank,
    samples: NDArray[np.int64],
    path: Path,
    any_orientation: bool = False,
    batch_size: int = 32,
) -> None:
    """Write the probabilities of some samples to a .npy file, batch by batch: uint8 (n, K, H, W) in steps of 1/255.

    Args:
        network: predicts logits; on its device.
        dataset: the samples' images.
        samples: indices, int64 (n,).
        path: the file.
        any_orientation: take the mean over turned and mirrored images, for a network that was trained on such.
        batch_size: images per forward pass.
    """
    device = next(network.parameters()).device
    shape = (len(samples), *dataset.labels.shape[1:])
    probs = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    _take_room(path)
    starts = range(0, len(samples), batch_size)
    with eval_mode(network):
        for start in tqdm(starts, desc="predicting", unit="batch", leave=False):
            image = dataset.images[samples[start : start + batch_size]].to(device)
            turns = orientations(image) if any_orientation else [(0, False)]
            found = [turned_back(network, image, turn) for turn in turns]
            probs[start : start + batch_size] = torch.stack(found).mean(0).mul(255).round().byte().cpu().numpy()
    probs.flush()


def _take_room(path: Path) -> None:
    """Have the disk set aside what a mapped file will fill: a page that found it full would kill the process."""
    if not hasattr(os, "posix_fallocate"):
        return
    with open(path, "r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # some file systems cannot
                raise


def orientations(image: Tensor) -> list[tuple[int, bool]]:
    """Quarter turns, and whether mirrored first: all eight of a square image, else the four that keep its shape."""
    is_square = image.shape[-1] == image.shape[-2]
    return [(turns, mirrored) for turns in range(0, 4, 1 if is_square else 2) for mirrored in (False, True)]


def turned_back(network: nn.Module, image: Tensor, turn: tuple[int, bool]) -> Tensor:
    """Probabilities float32 (B, K, H, W) of turned images (B, C, H, W), turned back."""
    quarters, mirrored = turn
    plane = (-2, -1)
    seen = torch.rot90(image.flip(-1) if mirrored else image, quarters, plane)
    found = torch.sigmoid(network(seen.contiguous(memory_format=torch.channels_last)).float())
    back = torch.rot90(found, -quarters, plane)
    return back.flip(-1) if mirrored else back
