# SPDX-License-Identifier: Apache-2.0
"""The picture of a run: curves, labels, filter and samples on one page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from ..data.whole_file import whole_file
from ..filtering import Verdicts
from .colours import class_colour
from .curves import BEST_EPOCH, WARMUP_END, Rows, draw_dice, draw_loss, draw_shares
from .filter_plot import draw_fit, draw_losses
from .samples import PanelSample, draw_sample

SIZE_PX = (1600, 1500)
DPI = 100


def draw_run(
    rows: Rows,
    samples: Sequence[PanelSample],
    class_names: Sequence[str],
    losses: ArrayLike,
    verdicts: Verdicts | None = None,
    warmup_epochs: int | None = None,
    best_epoch: int = 0,
    title: str = "",
    doubts: Sequence[str] = (),
) -> Figure:
    """Draw a run: on the left training loss, validation Dice, shares of labels and the filter, on the right samples.

    Args:
        rows: of `History`, one mapping per epoch.
        samples: one row of pictures each, about six, all with y' or all without. Empty: no panel.
        class_names: K names, in channel order.
        losses: (N, K) in [0, 1], Dice losses against the given labels; drawn if there are no verdicts.
        verdicts: of the filter; None for a method without one. Every fit gets axes of its own.
        warmup_epochs: E1, marked in the curves; None where the method has no warm-up.
        best_epoch: marked likewise; 0: none.
        title: of the page.
        doubts: sentences about the verdicts that the reader should see first.

    Returns:
        a figure of SIZE_PX at DPI; it belongs to no window and no global state.
    """
    figure = Figure(figsize=(SIZE_PX[0] / DPI, SIZE_PX[1] / DPI), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle("\n".join([title, *(f"doubtful: {doubt}" for doubt in doubts)]), fontweight="bold")
    left, right = figure.subfigures(1, 2, width_ratios=[1, 1.1], squeeze=False)[0]
    marks = {WARMUP_END: warmup_epochs} if warmup_epochs is not None else {}
    marks |= {BEST_EPOCH: best_epoch} if best_epoch else {}
    fits = verdicts.fits if verdicts is not None else ()
    plots = left.subplots(3 + max(len(fits), 1), 1)
    draw_loss(plots[0], rows, marks)
    draw_dice(plots[1], rows, marks)
    draw_shares(plots[2], rows, marks)
    if verdicts is None:
        draw_losses(plots[3], losses, "Losses at the end of training")
    for k, fit in enumerate(fits):
        clean = np.asarray(verdicts.clean.any(axis=1)) if len(fits) == 1 else verdicts.clean[:, k]  # type: ignore[union-attr]
        of_class = "" if len(fits) == 1 else f" ({class_names[k]})"
        draw_fit(plots[3 + k], fit, clean, f"Filter, final network{of_class}")
    if samples:
        _draw_panel(right, samples, class_names)
    return figure


def _draw_panel(place: Any, samples: Sequence[PanelSample], class_names: Sequence[str]) -> None:
    headings = ["image", "given label", "label after cleansing", "prediction"]
    if samples[0].in_force is None:
        headings.remove("label after cleansing")
    lines = [Line2D([], [], color=class_colour(k), linewidth=2, label=name) for k, name in enumerate(class_names)]
    place.legend(handles=lines, loc="outside upper right", ncols=len(lines), frameon=False)
    for number, (strip, sample) in enumerate(
        zip(place.subfigures(len(samples), 1, squeeze=False)[:, 0], samples, strict=True)
    ):
        axes = strip.subplots(1, len(headings))
        draw_sample(axes, sample)
        strip.suptitle(sample.title, x=0.01, ha="left", fontsize="medium", fontweight="bold")
        if number == 0:
            for ax, heading in zip(axes, headings, strict=True):
                ax.set_title(heading, fontsize="medium")


def save_png(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as PNG, whole, at its own resolution; equal figures give equal files."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi="figure", format="png", metadata={"Software": None})
