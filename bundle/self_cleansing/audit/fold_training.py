# SPDX-License-Identifier: Apache-2.0
"""Train the network of one fold by the configs of an ordinary training, and predict the patients held out."""

from __future__ import annotations

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
from torch import nn
from tqdm import tqdm

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
        if not (folder / LAST_MODEL).is_file():
            is_begun = (folder / CHECKPOINT).is_file()
            if not is_begun:
                shutil.rmtree(folder, ignore_errors=True)  # of a training that was killed before its first checkpoint
            parser = self.parser(overrides | {"resume": is_begun})
            for stage in ("initialize", "run"):
                for number in range(len(parser[stage])):
                    parser.get_parsed_content(f"{stage}#{number}")
            gc.collect()  # the training's own slices, before the next fold's take the room
        parser = self.parser(overrides)
        network = parser.get_parsed_content("network_on_device")
        network.load_state_dict(torch.load(folder / LAST_MODEL, map_location="cpu", weights_only=True))
        return network


def predict(
    network: nn.Module, dataset: SliceBank, samples: NDArray[np.int64], path: Path, batch_size: int = 32
) -> None:
    """Write the probabilities of some samples to a .npy file, batch by batch: uint8 (n, K, H, W) in steps of 1/255."""
    device = next(network.parameters()).device
    shape = (len(samples), *dataset.labels.shape[1:])
    probs = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
    starts = range(0, len(samples), batch_size)
    with eval_mode(network):
        for start in tqdm(starts, desc="predicting", unit="batch", leave=False):
            image = dataset.images[samples[start : start + batch_size]].to(device)
            logits = network(image.contiguous(memory_format=torch.channels_last))
            probs[start : start + batch_size] = torch.sigmoid(logits.float()).mul(255).round().byte().cpu().numpy()
    probs.flush()
