# SPDX-License-Identifier: Apache-2.0
"""Dice against the noise level, and validation Dice over the epochs, as pictures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from accuracy_rows import AVERAGE, Row  # noqa: E402
from matplotlib import pyplot as plt  # noqa: E402
from result_tables import DAGGER, MODELS, Figures, grouped, in_order, rank  # noqa: E402

from bundle.self_cleansing.data.whole_file import whole_file  # noqa: E402
from bundle.self_cleansing.report.colours import (  # noqa: E402
    BLACK,
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILION,
)

COLOURS = (VERMILION, BLUE, GREEN, ORANGE, SKY, PURPLE, GREY, BLACK)
STYLES = ("-", "--", ":")  # after each round of colours
MARKERS = "osD^vP*X"


def plot_noise_levels(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Mean Dice (label-centred where there is such a figure) against the noise, a line per method, bars of one sd.

    One picture per data set and preset with at least two noise levels, which are `none` and the noises that a grid
    calls alpha...: of one kind, more or less of it; noise of another kind, such as dilation50, is left out, as are
    methods with one level. No line runs over a level that its method has not been run at.

    Returns:
        the files written.
    """
    written = []
    for (dataset, preset), group in grouped(rows, "dataset", "preset"):
        protocol = min((row["protocol"] for row in group), key=lambda name: name != "label_centred")
        figures = Figures([row for row in group if row["protocol"] == protocol and _is_level(row["noise"])], [])
        methods = [one for one in figures.methods if len({key[0] for key in figures.values if key[1] == one}) > 1]
        if not methods:
            continue
        fig, axes = plt.subplots(1, len(MODELS), figsize=(11, 4.6), sharey=True, layout="constrained")
        for ax, (model, words) in zip(axes, MODELS.items(), strict=True):
            for position, method in enumerate(methods):
                every = [figures.values.get((noise[2], method, AVERAGE, model), []) for noise in figures.noises]
                shift = 0.04 * (position - (len(methods) - 1) / 2)  # bars beside each other, not on each other
                ax.errorbar(
                    [place + shift for place in range(len(every))],
                    [statistics.mean(values) if values else math.nan for values in every],
                    [statistics.stdev(values) if len(values) > 1 else 0.0 for values in every],
                    **_look(method),
                    marker=MARKERS[sum(divmod(rank(method), len(COLOURS))) % len(MARKERS)],  # another in each round
                    markersize=5,
                    capsize=2,
                    label=figures.method_name(method),
                )
            names = [figures.noise_name(noise) for noise in figures.noises]
            ax.set_xticks(range(len(names)), names, rotation=25, ha="right", rotation_mode="anchor")
            ax.set(title=f"{model}: {words}", xlabel="noise of the training labels")
            ax.grid(axis="y", alpha=0.3)
        axes[0].set_ylabel("test Dice / %")
        fig.suptitle(
            f"{dataset}, {preset}, {protocol.replace('_', '-')}: mean of all structures, \u00b1 1 sd over seeds"
        )
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
        written.append(_save(fig, folder / f"{dataset}_{preset}_noise_levels.png"))
    return written


def plot_learning_curves(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Validation Dice on clean labels over the epochs, a line per method: mean over seeds, band from least to greatest.

    A dot marks the best epoch of each seed: the B-model's, unless the method starts over on the way. One picture per
    data set, preset and noise of the rows of curves.csv. Epochs without validation are left out; an epoch counts the
    seeds that reached it.

    Returns:
        the files written.
    """
    written = []
    for names, group in grouped(rows, "dataset", "preset", "noise"):
        fig, ax = plt.subplots(figsize=(9, 5.2), layout="constrained")
        for method in in_order({row["method"] for row in group}):
            seeds = [row for row in group if row["method"] == method]
            points = curve(seeds)
            look = _look(method)
            label = f"{method}{DAGGER if seeds[0]['oracle_noise'] == 'yes' else ''} ({max(map(len, points.values()))})"
            ax.plot(list(points), [statistics.mean(values) for values in points.values()], **look, label=label)
            low, high = ([pick(values) for values in points.values()] for pick in (min, max))
            ax.fill_between(list(points), low, high, color=look["color"], alpha=0.15, linewidth=0)
            ax.plot(*zip(*best_epochs(seeds), strict=True), ".", color=look["color"], markersize=7)
        title = f"{', '.join(names)} (number of seeds; dots: best epoch of each)"
        ax.set(xlabel="epoch", ylabel="validation Dice on clean labels / %", title=title)
        ax.grid(alpha=0.3)
        fig.legend(loc="outside right center", frameon=False, fontsize=9)
        written.append(_save(fig, folder / f"{'_'.join(names)}_curves.png"))
    return written


def curve(rows: Sequence[Row]) -> dict[int, list[float]]:
    """Epoch -> validation Dice in percent of the seeds that have one, epochs in order."""
    points: dict[int, list[float]] = {}
    for row in rows:
        points.setdefault(int(row["epoch"]), []).append(float(row["dice"]))
    return dict(sorted(points.items()))


def best_epochs(rows: Sequence[Row]) -> list[tuple[int, float]]:
    """(epoch, Dice in percent) of the best epoch of each seed; of equal ones the first, as training keeps it."""
    seeds = [curve(some) for _, some in grouped(rows, "noise_seed", "training_seed")]
    return [max(((epoch, dice) for epoch, (dice,) in one.items()), key=lambda point: point[1]) for one in seeds]


def _is_level(noise: str) -> bool:
    return noise == "none" or noise.startswith("alpha")


def _look(method: str) -> dict[str, Any]:
    """The same in all pictures; methods that `ORDER` does not know look alike."""
    colour, style = rank(method) % len(COLOURS), rank(method) // len(COLOURS) % len(STYLES)
    return {"color": COLOURS[colour], "linestyle": STYLES[style], "linewidth": 1.5}


def _save(fig: Any, path: Path) -> Path:
    with whole_file(path) as temporary:
        fig.savefig(temporary, dpi=110, metadata={"Software": None})  # the same figures, the same file
    plt.close(fig)
    return path
