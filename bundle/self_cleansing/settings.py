# SPDX-License-Identifier: Apache-2.0
"""What numbers and names a config may hold, said before anything is read or written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from numbers import Integral, Real
from typing import Any, NamedTuple

import torch


class Rule(NamedTuple):
    """Which values a setting may have, and how that reads."""

    holds: Callable[[Any], bool]
    words: str


def _whole(least: int) -> Rule:
    return Rule(lambda value: _is(value, Integral) and value >= least, f"a whole number from {least} on")


def _or_none(rule: Rule) -> Rule:
    return Rule(lambda value: value is None or rule.holds(value), f"{rule.words}, or null")


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _are_names(value: Any) -> bool:
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return is_list and all(isinstance(name, str) and name for name in value) and 0 < len(value) == len(set(value))


def _is_there(device: Any) -> bool:
    try:
        return torch.empty(0, device=device).numel() == 0
    except Exception:  # no such name, not compiled in, no such number
        return False


RULES: dict[str, Rule] = {
    **dict.fromkeys(("max_epochs", "stage_epochs", "update_every", "val_interval"), _whole(1)),
    **dict.fromkeys(("batch_size", "shrink", "head_channels", "copies"), _whole(1)),
    **dict.fromkeys(("seed", "warmup_epochs", "ramp_end_epoch"), _whole(0)),
    **dict.fromkeys(("patch_size", "patience"), _or_none(_whole(1))),
    "plane_size": _whole(8),
    "folds": _whole(2),
    "split_seed": _or_none(_whole(0)),
    "learning_rate": Rule(lambda value: _is(value, Real) and 0 <= value < inf, "a number from 0 on"),
    "network_size": Rule(
        lambda value: _is(value, Integral) and value >= 8 and value % 8 == 0,
        "a positive multiple of 8, because the network halves it three times",
    ),
    "device": Rule(_is_there, "a device that is there, such as cpu or cuda:0"),
    "class_names": Rule(_are_names, "a list of different names such as ['RV', 'Myo', 'LV']"),
}


def check_settings(**settings: Any) -> None:
    """Refuse a setting that breaks its rule.

    Args:
        settings: names of RULES, and their values.

    Raises:
        ValueError: names the first that breaks one, and its value.
    """
    for name, value in settings.items():
        if not RULES[name].holds(value):
            raise ValueError(
                f"{name} must be {RULES[name].words}, got {value!r}; correct it in the config or on the command line"
            )
