# SPDX-License-Identifier: Apache-2.0
"""How the filter saw the labels: the features it split, and the mixture it split them with."""

from __future__ import annotations

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse
from numpy.typing import ArrayLike, NDArray

from ..filtering import Fit, component_densities, crossing_between_means
from .colours import CLEAN, GREY, NOISY, THRESHOLD

BINS = 40
CUT_ABOVE = 2.5  # times the second highest bar
ELLIPSE_DEVIATIONS = 2.0


def draw_losses(ax: Axes, losses: ArrayLike, title: str) -> None:
    """Histogram of the losses (any shape) of a method that has no filter."""
    ax.hist(np.asarray(losses, dtype=float).ravel(), bins=BINS, range=(0, 1), color=GREY)
    ax.set(xlabel="Dice loss against the given label", ylabel="labels (slice and class)", xlim=(0, 1))
    ax.set_title(title, loc="left", fontweight="bold")


def draw_fit(ax: Axes, fit: Fit, clean: NDArray[np.bool_], title: str) -> None:
    """Draw one fit of a filter: a histogram for one feature, a scatter plot for two.

    Args:
        ax: to draw on.
        fit: of `Verdicts.fits`.
        clean: bool (N,), the verdicts on the samples of the fit.
        title: of the axes.

    Raises:
        ValueError: if the fit has more than two features.
    """
    features = fit.values.shape[1]
    if features not in (1, 2):
        raise ValueError(f"a fit of 1 or 2 features can be drawn, got {features}; draw two of them at a time")
    draw = _draw_densities if features == 1 else _draw_ellipses
    draw(ax, fit, clean[fit.fitted])
    by_rule = ~fit.fitted
    note = f"{fit.fitted.sum()} compared; by rule {(by_rule & clean).sum()} clean, {(by_rule & ~clean).sum()} not"
    if fit.mixture is None:
        note += "\n" + textwrap.fill(fit.reason, 60)
    ax.set_title(title, loc="left", fontweight="bold")
    ax.text(1.0, 1.01, note, transform=ax.transAxes, ha="right", va="bottom", fontsize="small")
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.02), frameon=False, fontsize="small")


def _draw_densities(ax: Axes, fit: Fit, clean: NDArray[np.bool_]) -> None:
    """Eqs. 2-3: normalised losses in [0, 1], stacked by verdict, under the weighted components."""
    losses = fit.values[fit.fitted, 0]
    edges = np.linspace(0, 1, BINS + 1)
    weight = BINS / max(len(losses), 1)  # the two parts together have area 1, as the mixture has
    groups = [losses[clean], losses[~clean]]
    heights, _, _ = ax.hist(
        groups,
        bins=edges.tolist(),
        weights=[np.full(len(group), weight) for group in groups],
        stacked=True,
        color=[CLEAN, NOISY],
        alpha=0.45,
        label=["clean", "not clean"],
    )
    if fit.mixture is not None:
        grid = np.linspace(0, 1, 1001)
        densities = component_densities(fit.mixture, grid).T
        for density, colour, words in zip(densities, (CLEAN, NOISY), ("low component", "high component"), strict=True):
            ax.plot(grid, density, color=colour, label=words)
        ax.axvline(crossing_between_means(fit.mixture), color=THRESHOLD, linestyle="--", label="crossing")
    # Missing labels put an atom at 1; it, and the component that collapses on it, would dwarf everything else.
    second, highest = np.sort(np.max(heights, axis=0))[-2:]
    if highest > CUT_ABOVE * second > 0:
        ax.set_ylim(0, CUT_ABOVE * second)
        note = f"cut: the highest bar is {highest:.3g} "
        ax.text(0.98, 0.97, note, transform=ax.transAxes, ha="right", va="top", fontsize="small")
    else:
        ax.set_ylim(0, 1.25 * max(highest, 1e-6))
    ax.set(xlabel="Dice loss against the given label, min-max normalised", ylabel="density", xlim=(0, 1))


def _draw_ellipses(ax: Axes, fit: Fit, clean: NDArray[np.bool_]) -> None:
    """Signed against absolute displacement; |signed| <= absolute, so all points lie above the two gray lines."""
    absolute, signed = fit.values[fit.fitted].T
    for chosen, colour, marker, words in ((clean, CLEAN, "o", "clean"), (~clean, NOISY, "x", "not clean")):
        ax.scatter(
            signed[chosen], absolute[chosen], s=14, c=colour, marker=marker, alpha=0.5, linewidths=1, label=words
        )
    top = max(absolute.max(initial=1.0), 1.0) * 1.05
    ax.plot([-top, 0, top], [top, 0, top], color=GREY, linewidth=0.8)
    for number in range(0 if fit.mixture is None else len(fit.mixture.weights)):
        ax.add_patch(_ellipse(fit, number))
    ax.set(xlabel="signed displacement (px, positive: label larger)", ylabel="absolute displacement (px)")
    ax.set(xlim=(-top, top), ylim=(min(-0.03 * top, 0), top))


def _ellipse(fit: Fit, number: int) -> Ellipse:
    """The ellipse ELLIPSE_DEVIATIONS standard deviations around a component, in axes (signed, absolute).

    The first one of each kind is labelled, for the legend.
    """
    assert fit.mixture is not None
    is_clean = number in fit.clean_group
    is_first = not any((earlier in fit.clean_group) == is_clean for earlier in range(number))
    words = "taken for clean" if is_clean else "other component"
    center, covariance = fit.mixture.means[number][::-1], fit.mixture.covariances[number][::-1, ::-1]
    variances, axes = np.linalg.eigh(covariance)
    width, height = 2 * ELLIPSE_DEVIATIONS * np.sqrt(variances)
    return Ellipse(
        (float(center[0]), float(center[1])),
        width,
        height,
        angle=float(np.degrees(np.arctan2(axes[1, 0], axes[0, 0]))),
        fill=False,
        edgecolor=CLEAN if is_clean else THRESHOLD,
        linestyle="-" if is_clean else "--",
        linewidth=2.5 if is_clean else 1.2,
        label=words if is_first else None,
        zorder=3,
    )
