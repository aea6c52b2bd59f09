# SPDX-License-Identifier: Apache-2.0
"""Take over the weights that a file holds, or say in one sentence why not."""

from __future__ import annotations

import os

from torch import nn

from .checkpoint_file import UnreadableFile, load_checkpoint_file


def load_weights(network: nn.Module, path: str | os.PathLike[str], remedy: str = "name another model") -> None:
    """Load a state dict of exactly this network; every byte is checked, no code of the file is run.

    Args:
        network: gets the weights.
        path: file of `torch.save`: a state dict, or one under the key "model".
        remedy: what to do if they do not fit, the end of the error.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, holds no weights, those of another network, or a NaN or infinite one.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"model {path} does not exist; {remedy}")
    try:
        state = load_checkpoint_file(path)
    except UnreadableFile as error:
        raise ValueError(f"{path} cannot be read as weights ({error.reason}); {remedy}") from None
    state = state.get("model", state) if isinstance(state, dict) else state
    try:
        network.load_state_dict(state)
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise ValueError(f"{path} does not hold weights of this network ({reason}); {remedy}") from None
    if not all(bool(value.isfinite().all()) for value in state.values()):
        raise ValueError(f"{path} holds NaN or infinite weights: its training broke down; {remedy}")
