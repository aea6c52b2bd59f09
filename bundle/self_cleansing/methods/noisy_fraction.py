# SPDX-License-Identifier: Apache-2.0
"""How much of the labels is wrong: a number, looked up in a simulation ('oracle'), or to be estimated ('auto').

Co-Seg, JoCoR and superpixel-guided learning need to be told. In their papers the fraction is known, which no user of
real data can match: an 'oracle' has to be asked for by name, and its results marked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .. import distributed
from ..handlers.noise_audit import NoiseAudit

Setting = float | str | Mapping[str, Any]
NO_ORACLE = (
    "is 'oracle', which needs the clean labels and the noise_manifest.csv of a simulation; "
    "on real data give a number or 'auto'"
)


def check_fraction(value: Any, name: str) -> float:
    """Return `value` as a float; raise ValueError unless it is a number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
        raise ValueError(f"{name} must be a fraction in [0, 1), 'oracle' or 'auto', got {value!r}")
    return float(value)


def image_noise(setting: Setting, audit: NoiseAudit | None) -> float | None:
    """Return the fraction of images of which any label is wrong; None: to be estimated.

    Args:
        setting: a number in [0, 1), 'oracle' or 'auto'.
        audit: knows the truth of a simulation; on the first process.

    Raises:
        ValueError: another setting, or 'oracle' without a truth.
    """

    def look_up() -> float:
        if audit is None:
            raise ValueError(f"noisy_image_fraction {NO_ORACLE}")
        return 1 - audit.identical.all(dim=1).double().mean().item()

    if setting == "auto":
        return None
    return distributed.from_first(look_up) if setting == "oracle" else check_fraction(setting, "noisy_image_fraction")


def pixel_noise(
    setting: Setting, audit: NoiseAudit | None, labels: Tensor, class_names: Sequence[str]
) -> Tensor | None:
    """Return the fraction of wrong pixels of those labelled background and foreground, float32 (K, 2); None: estimate.

    Args:
        setting: a number for everything, a mapping with `background` and `foreground`, a mapping from class names to
            such mappings, 'oracle' or 'auto'.
        audit: as in `image_noise`.
        labels: the given labels, uint8 (N, K, H, W).
        class_names: K names.

    Raises:
        ValueError: another setting, or 'oracle' without a truth.
    """

    def look_up() -> Tensor:
        if audit is None:
            raise ValueError(f"noisy_pixel_fraction {NO_ORACLE}")
        return wrong_pixels(labels, audit.clean_labels)

    if setting == "auto":
        return None
    if setting == "oracle":
        return distributed.from_first(look_up)
    if not isinstance(setting, Mapping):
        return torch.full((len(class_names), 2), check_fraction(setting, "noisy_pixel_fraction"))
    per_class: list[Any] = (
        [setting.get(name) for name in class_names] if "foreground" not in setting else [setting] * len(class_names)
    )
    if any(not isinstance(one, Mapping) or set(one) != {"background", "foreground"} for one in per_class):
        raise ValueError(
            f"noisy_pixel_fraction must give background and foreground, for all classes or for each of "
            f"{', '.join(class_names)}, got {dict(setting)!r}"
        )
    names = ("background", "foreground")
    return torch.tensor(
        [[check_fraction(one[name], f"noisy_pixel_fraction {name}") for name in names] for one in per_class]
    )


def wrong_pixels(labels: Tensor, clean_labels: Tensor) -> Tensor:
    """Return the fraction of wrong pixels among those labelled 0 and 1, float32 (K, 2); 0 where there are none.

    Args:
        labels, clean_labels: uint8 (N, K, H, W) in {0, 1}.
    """
    wrong, total = (
        torch.zeros(labels.shape[1], 2, dtype=torch.float64),
        torch.zeros(labels.shape[1], 2, dtype=torch.float64),
    )
    for given, clean in zip(labels.split(256), clean_labels.split(256), strict=True):
        given, clean = given.cpu().bool(), clean.cpu().bool()
        for value, chosen in enumerate((~given, given)):
            wrong[:, value] += (chosen & (given != clean)).sum(dim=(0, 2, 3))
            total[:, value] += chosen.sum(dim=(0, 2, 3))
    return (wrong / total.clamp(min=1)).float()
