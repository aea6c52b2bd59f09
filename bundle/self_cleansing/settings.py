# SPDX-License-Identifier: Apache-2.0
"""What numbers and names a config may hold, said before anything is read or written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from numbers import Integral, Real
from typing import Any, NamedTuple

import torch


class Rule(NamedTuple):
    """Which values a setting may have, and how that reads."""

    holds: Callable[[Any], bool]
    words: str


def whole(least: int) -> Rule:
    """A whole number from `least` on; True is none."""
    return Rule(lambda value: _is(value, Integral) and value >= least, f"a whole number from {least} on")


def number(least: float, most: float = inf) -> Rule:
    """A finite number in [least, most]."""
    words = f"a number from {least:g} on" if most == inf else f"a number in [{least:g}, {most:g}]"
    return Rule(lambda value: _is(value, Real) and least <= value <= most and value < inf, words)


def or_none(rule: Rule) -> Rule:
    """What the rule says, or None."""
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
    **dict.fromkeys(("max_epochs", "stage_epochs", "update_every", "val_interval"), whole(1)),
    **dict.fromkeys(("batch_size", "shrink", "head_channels", "copies"), whole(1)),
    **dict.fromkeys(("seed", "warmup_epochs", "ramp_end_epoch"), whole(0)),
    **dict.fromkeys(("patch_size", "patience"), or_none(whole(1))),
    "plane_size": whole(8),
    "folds": whole(2),
    "split_seed": or_none(whole(0)),
    "learning_rate": number(0),
    "network_size": Rule(
        lambda value: _is(value, Integral) and value >= 8 and value % 8 == 0,
        "a positive multiple of 8, because the network halves it three times",
    ),
    "device": Rule(_is_there, "a device that is there, such as cpu or cuda:0"),
    "class_names": Rule(_are_names, "a list of different names such as ['RV', 'Myo', 'LV']"),
}


def check_settings(**settings: Any) -> None:
    """Refuse a setting that breaks its rule in RULES; see `check_rules`."""
    check_rules(settings, RULES)


def check_rules(settings: Mapping[str, Any], rules: Mapping[str, Rule], prefix: str = "") -> None:
    """Refuse a setting that breaks its rule.

    Args:
        settings: names of rules, and their values.
        rules: the rules by name.
        prefix: put before the name in what is said.

    Raises:
        ValueError: names the first setting that breaks its rule, and its value.
    """
    for name, value in settings.items():
        if not rules[name].holds(value):
            raise ValueError(
                f"{prefix}{name} must be {rules[name].words}, got {value!r}; correct it in the config or on the "
                "command line"
            )
