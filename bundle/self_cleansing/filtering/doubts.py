# SPDX-License-Identifier: Apache-2.0
"""What speaks against believing a filter: sentences for the user, made from its verdicts alone.

A filter that compares labels with a network leans on the majority, which the network has learnt. Where labels err in
one direction only, their share does not say which group is right: a network taught by enlarged outlines sees correct
ones as too small. What is left is that right labels differ from the network by its own errors alone, wrong ones by
theirs as well, and so mostly scatter more, even if it was they that taught the network.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .verdicts import Verdicts

ONE_SIDED_SHARE = 0.2  # of the labels compared; fewer one-sided errors than that leave the majority right
OTHER_SIDE = 0.25  # of the larger side; random errors fall on both
SCATTER = 1.25  # times as much is more
IQR_ERROR = 1.17  # an interquartile range of n normal values is known to within this over the root of n, of itself
SAME_PX = 1e-6  # nearer to each other than rounding, neither is the larger one
CHANGED_SHARE = 0.1  # of the verdicts, at the last update
UNSURE_SHARE = 0.2  # of the labels compared
UNSURE = (0.05, 0.95)  # posteriors between these


def doubts(verdicts: Verdicts) -> tuple[str, ...]:
    """List the reasons to look at some labels before the verdicts of `displacement_filter` are relied on.

    Returns:
        sentences without a full stop; empty if nothing is odd. Labels that a rule judged are not looked at.
    """
    found: list[str] = []
    for k, fit in enumerate(verdicts.fits):
        if fit.mixture is None:
            found.append(f"the labels could not be told apart ({fit.reason}), so none was left out for its outline")
            continue
        if len(fit.mixture.weights) == 1:
            found.append("the labels form one group, so none was left out for its outline")
            continue
        # One fit for all classes: where a rule turned one class down, the others still have the sample's verdict.
        classes = slice(None) if len(verdicts.fits) == 1 else slice(k, k + 1)
        clean, posterior = verdicts.clean[fit.fitted, classes], verdicts.posterior[fit.fitted, classes]
        found += _of_mixture(fit.values[fit.fitted, 1], np.max(clean, axis=1), np.max(posterior, axis=1))
    return tuple(found)


def unsettled(changed_share: float) -> tuple[str, ...]:
    """Say so if the last update changed a large share, in [0, 1], of the verdicts; else empty."""
    if changed_share <= CHANGED_SHARE:
        return ()
    return (f"{changed_share:.0%} of the verdicts changed at the last update: the training has not settled",)


def undecided(declined: int, updates: int) -> tuple[str, ...]:
    """Say so if the filter declined at some of its updates after the first that it did not decline; else empty."""
    if not declined:
        return ()
    return (f"the filter could not tell at {declined} of {updates} updates, and kept the verdicts it had",)


def _of_mixture(signed_px: NDArray[np.float64], clean: NDArray[np.bool_], posterior: NDArray[np.float64]) -> list[str]:
    """Doubts about the n > 0 labels of one mixture: signed displacement, verdict and posterior of each, all (n,)."""
    found = []
    believed_px = np.median(signed_px[clean]) if clean.any() else 0.0  # not 0: the network may draw too large or small
    off_px = signed_px - believed_px
    beside = "those believed" if clean.any() else "predicted"
    larger, smaller = (~clean & (off_px > SAME_PX)).mean(), (~clean & (off_px < -SAME_PX)).mean()
    if max(larger, smaller) >= ONE_SIDED_SHARE and min(larger, smaller) < OTHER_SIDE * max(larger, smaller):
        word, other, sign = ("larger", "smaller", 1) if larger > smaller else ("smaller", "larger", -1)
        side = signed_px[~clean & (sign * off_px > SAME_PX)]
        found.append(
            f"{max(larger, smaller):.0%} of the labels are {word} than {beside} and only "
            f"{min(larger, smaller):.0%} {other}: if the {word} ones are right, the filter believes the wrong ones"
            + (_which_are_right(side, signed_px[clean]) if clean.any() else "")
        )
    unsure = float(((posterior > UNSURE[0]) & (posterior < UNSURE[1])).mean())
    if unsure > UNSURE_SHARE:
        found.append(f"{unsure:.0%} of the labels are neither clearly clean nor clearly noisy: there are no two groups")
    return found


def _which_are_right(side_px: NDArray[np.float64], believed_px: NDArray[np.float64]) -> str:
    """What the interquartile ranges of the labels on one side and of those believed say; each (m,), m > 0.

    '' where a quartile is the most extreme value of all: displacements are clipped, and clipped ones look alike.
    """
    quartiles = np.stack([np.percentile(signed, [25, 75]) for signed in (side_px, believed_px)])
    if (np.abs(quartiles) >= np.abs(np.concatenate([side_px, believed_px])).max()).any():
        return ""
    side, believed = np.diff(quartiles)[:, 0]
    beside = f"({side:.2f} px beside {believed:.2f})"
    clearly = max(SCATTER, np.exp(2 * IQR_ERROR * np.sqrt(1 / len(side_px) + 1 / len(believed_px))))
    if side > clearly * believed:
        return f"; they scatter more than those believed {beside}, which speaks for the filter: wrong labels mostly do"
    if believed > clearly * side:
        return f"; they scatter less than those believed {beside}, which speaks against it: right labels mostly do"
    return f"; both scatter alike {beside}, which does not say which are right"
