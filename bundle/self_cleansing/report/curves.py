# SPDX-License-Identifier: Apache-2.0
"""What happened over the epochs: loss, validation Dice, and what became of the labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .colours import BLACK, BLUE, GREY, ORANGE, PROVENANCE_COLOURS, PURPLE, VERMILION

Rows = Sequence[Mapping[str, float]]  # of History: one mapping per epoch, with the columns that epoch has
SHARES = {"manual": "clean", "kept": "kept", "renewed": "renewed", "rejected": "left out"}
DICE = {
    "val_mean_dice": ("against clean labels", BLUE, "-"),
    "val_dice_given_labels": ("against given labels", ORANGE, "--"),
}
BEST_EPOCH, WARMUP_END = "best epoch", "end of warm-up"
AUDIT = {"filter_precision": ("precision", BLACK, "o"), "filter_recall": ("recall", PURPLE, "s")}


def column(rows: Rows, name: str) -> tuple[list[float], list[float]]:
    """Epochs and values of the rows that have column `name`; both empty if none has."""
    found = [row for row in rows if row.get(name) is not None]
    return [row["epoch"] for row in found], [row[name] for row in found]


def draw_loss(ax: Axes, rows: Rows, marks: Mapping[str, int]) -> None:
    """Training loss over epochs. `marks`: words -> epoch, drawn as vertical lines."""
    ax.plot(*column(rows, "train_loss"), color=VERMILION, label="training loss")
    ax.set(xlabel="epoch", ylabel="training loss")
    ax.set_ylim(bottom=0)
    _finish(ax, rows, "Training loss", marks)


def draw_dice(ax: Axes, rows: Rows, marks: Mapping[str, int]) -> None:
    """Validation Dice in [0, 1] against clean and given labels; one line if the two agree everywhere."""
    series = {name: column(rows, name) for name in DICE}
    same = series["val_mean_dice"] == series["val_dice_given_labels"]
    for name, (epochs, values) in series.items():
        words, colour, style = DICE[name]
        if epochs and not (same and name == "val_dice_given_labels"):
            words = "against given labels (no others)" if same else words
            ax.plot(epochs, values, style, color=colour, marker="." if len(epochs) < 60 else "", label=words)
    ax.set(xlabel="epoch", ylabel="mean Dice per volume", ylim=(0, 1.03))
    _finish(ax, rows, "Validation Dice", marks)


def draw_shares(ax: Axes, rows: Rows, marks: Mapping[str, int]) -> None:
    """Shares of the labels by verdict, held until the next update, and precision and recall where they are known."""
    last = max((row["epoch"] for row in rows), default=1)
    epochs, _ = column(rows, "labels_manual")
    if epochs:
        table = [column(rows, f"labels_{name}")[1] for name in SHARES]
        ax.stackplot(
            [*epochs, max(last, epochs[-1] + 0.5)],  # one update at the very end still shows
            *([*values, values[-1]] for values in table),
            labels=SHARES.values(),
            colors=[PROVENANCE_COLOURS[name] for name in SHARES],
            step="post",
            alpha=0.55,
            linewidth=0,
        )
    else:
        ax.text(0.5, 0.5, "every label is believed:\nthe method has no filter", transform=ax.transAxes, ha="center")
    for name, (words, colour, marker) in AUDIT.items():
        if column(rows, name)[0]:
            ax.plot(*column(rows, name), color=colour, marker=marker, markersize=4, label=f"filter {words}")
    ax.set(xlabel="epoch", ylabel="share of labels", ylim=(0, 1.03))
    _finish(ax, rows, "What became of the labels", marks)


def _finish(ax: Axes, rows: Rows, title: str, marks: Mapping[str, int]) -> None:
    last = max((row["epoch"] for row in rows), default=1)
    for words, epoch in marks.items():
        ax.axvline(epoch, color=GREY, linestyle="-." if words == BEST_EPOCH else ":", label=words)
    ax.set_xlim(0, last + 0.5)
    cast(MaxNLocator, ax.xaxis.get_major_locator()).set_params(integer=True)
    ax.set_title(title, loc="left", fontweight="bold")
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), frameon=False, fontsize="small")
