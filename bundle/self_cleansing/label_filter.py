# SPDX-License-Identifier: Apache-2.0
"""From a sweep to verdicts: the two label filters as objects a config can name."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from .filtering import (
    FilterGuards,
    Fit,
    Provenance,
    Verdicts,
    believe_with_other_classes,
    cascade,
    displacement_filter,
    doubts,
    published_filter,
)
from .filtering.verdicts import Unit
from .label_bank import LabelBank
from .settings import Rule, check_rules, number, whole
from .sweep import Sweep


@dataclass(frozen=True)
class Filtered:
    """Verdicts on y (and on y', if the method asks), and what becomes of each label, `Provenance` uint8 (N, K).

    `declined` is True if the filter could not tell: then nothing should be changed on its account. `doubts` are reasons
    for the user not to believe it (`filtering.doubts`).
    """

    manual: Verdicts
    pseudo: Verdicts | None
    provenance: Any
    declined: bool = False
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class PublishedFilter:
    """The paper's filter: a mixture on the losses against y, one on the losses against y', then the cascade.

    Args:
        guards: 'all', 'none' (the literal paper) or a mapping of `FilterGuards` fields.
        unit: 'image', one verdict for all classes of a sample, or 'class'.
        seed: of the mixtures.
    """

    guards: str | Mapping[str, Any] = "all"
    unit: Unit = "image"
    seed: int = 0
    options: FilterGuards = field(init=False, repr=False)
    renews: ClassVar[bool] = True  # a label that neither y nor y' gives is written anew, by the cleanser

    def __post_init__(self) -> None:
        if isinstance(self.guards, Mapping):
            options = FilterGuards(**self.guards)
        elif self.guards in ("all", "none"):
            options = FilterGuards.all() if self.guards == "all" else FilterGuards.none()
        else:
            raise ValueError(f"guards must be 'all', 'none' or a mapping of guard names, got {self.guards!r}")
        object.__setattr__(self, "options", options)

    def __call__(self, found: Sweep, bank: LabelBank) -> Filtered:
        areas = found.manual_areas
        manual = published_filter(
            found.manual_loss.numpy(),
            "manual",
            self.options,
            label_area=areas.label_area.numpy(),
            pred_area=areas.pred_area.numpy(),
            unit=self.unit,
            seed=self.seed,
        )
        pseudo = published_filter(
            found.pseudo_loss.numpy(),
            "pseudo",
            self.options,
            label_area=found.pseudo_area.numpy(),
            pred_area=areas.pred_area.numpy(),
            is_set=bank.is_set.cpu().numpy(),
            manual_empty_and_clean=(areas.label_area.numpy() == 0) & manual.clean,
            unit=self.unit,
            seed=self.seed,
        )
        return Filtered(manual, pseudo, cascade(manual.clean, pseudo.clean))


OPTIONS: dict[str, Rule] = {  # of `displacement_filter`
    **dict.fromkeys(("max_components", "num_starts"), whole(1)),
    "min_samples": whole(2),  # of one sample there is no mixture
    "seen_area_px": whole(0),
    **dict.fromkeys(
        (
            "min_posterior",
            "min_seen_fraction",
            "min_density",
            "as_many",
            "min_dice",
            "min_agreement",
            "no_gap_ratio",
            "max_one_sided",
        ),
        number(0, 1),
    ),
    "max_scatter": number(1),
    **dict.fromkeys(("clip_px", "resolution_px"), number(1e-3)),
    **dict.fromkeys(("same_group_px", "no_gap_px"), number(0)),
    **dict.fromkeys(
        ("noisy_class_rejects_image", "uncompared_is_clean"), Rule(lambda value: type(value) is bool, "true or false")
    ),
}
DEFAULTS = {name: inspect.signature(displacement_filter).parameters[name].default for name in OPTIONS}


@dataclass(frozen=True)
class DisplacementFilter:
    """The practical filter: a mixture on boundary displacements; a noisy label is left out, not replaced.

    It declines where it cannot tell. With unit 'class' it declines if that is so of every class; where some could be
    told, the others keep the verdicts that they have in the label bank.

    Args:
        options: further arguments of `filtering.displacement_filter`. Those not given are filled in, so that a run
            records the values it used and is not resumed with others when a default changes.
        unit: 'image' or 'class'.
        seed: of the mixture.
        ask_other_classes: with unit 'image', believe labels at odds with the network where another class of the
            sample is believed, see `filtering.believe_with_other_classes`.
    """

    options: Mapping[str, Any] = field(default_factory=dict)
    unit: Unit = "image"
    seed: int = 0
    ask_other_classes: bool = True
    renews: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.options) - set(OPTIONS)):
            raise ValueError(
                f"options of the label filter are {', '.join(OPTIONS)}; got {', '.join(map(repr, unknown))}"
            )
        check_rules(self.options, OPTIONS, prefix="label_filter options: ")
        object.__setattr__(self, "options", DEFAULTS | dict(self.options))
        displacement_filter(*np.zeros((4, 0, 1), dtype=np.int64), unit=self.unit)  # refuses a unit that there is not

    def __call__(self, found: Sweep, bank: LabelBank) -> Filtered:
        label_area, pred_area, *others = (area.numpy() for area in found.manual_areas)
        manual = displacement_filter(label_area, pred_area, *others, unit=self.unit, seed=self.seed, **self.options)
        if self.unit == "image" and self.ask_other_classes:
            seen_area_px = self.options["seen_area_px"]
            manual = believe_with_other_classes(
                manual, label_area, pred_area, found.case_index.numpy(), seen_area_px=seen_area_px
            )
        provenance = cascade(manual.clean, both_noisy=Provenance.REJECTED)
        undecided = np.array([fit.mixture is None for fit in manual.fits])  # (1,) or (K,)
        if undecided.any() and not undecided.all():
            provenance[:, undecided] = bank.provenance.cpu().numpy()[:, undecided]
        return Filtered(manual, None, provenance, bool(undecided.all()), doubts(manual))


@dataclass(frozen=True)
class RenewAll:
    """No filter: every label is noisy, and the cleanser writes it anew (the paper's ablation "LCM" alone)."""

    renews: ClassVar[bool] = True

    def __call__(self, found: Sweep, bank: LabelBank) -> Filtered:
        clean = np.zeros(tuple(found.manual_loss.shape), dtype=bool)
        values = np.zeros((len(clean), 1))
        fit = Fit(values, np.zeros(len(clean), dtype=bool), None, (), "no filter, all labels are renewed")
        return Filtered(Verdicts(clean, clean.astype(float), ~clean, (fit,)), None, cascade(clean))
