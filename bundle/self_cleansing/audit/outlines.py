# SPDX-License-Identifier: Apache-2.0
"""The outline of a mask along the edges of its pixels, as the path of an SVG."""

from __future__ import annotations

import numpy as np


def outline_path(mask: np.ndarray) -> str:
    """Draw around the pixels of a mask, exactly: the even-odd fill of the path is the mask, without smoothing.

    Pixel (i, j) is the unit square from (i, j) to (i + 1, j + 1): the first axis runs to the right, the second down.
    Corners alone are written, as `M` to the start of a loop and then `h` and `v` by turns, relative, up to `z`. A loop
    round an object runs clockwise on the screen, one round a hole the other way.

    The corners of such polygons need no search: along every line of the pixel grid the first is joined to the second,
    the third to the fourth, and so on. A point where two pixels touch diagonally is two corners.

    Args:
        mask: bool (h, w).

    Returns:
        The path, "" for an empty mask.

    Raises:
        ValueError: if the mask is not two-dimensional.
    """
    if mask.ndim != 2:
        raise ValueError(f"mask must be of shape (h, w), got {mask.shape}")
    filled = np.pad(np.asarray(mask, bool), 1)
    before, after = filled[:-1], filled[1:]
    around = before[:, :-1].astype(np.int8) + before[:, 1:] + after[:, :-1] + after[:, 1:]
    diagonal = (around == 2) & (before[:, :-1] == after[:, 1:])
    corners = np.repeat(np.argwhere((around % 2 == 1) | diagonal), 1 + diagonal[(around % 2 == 1) | diagonal], axis=0)
    if not len(corners):
        return ""
    # Corners are in the order of x, then y: neighbours in it are joined vertically.
    along_rows = np.lexsort((corners[:, 0], corners[:, 1]))
    horizontal = np.empty(len(corners), int)
    horizontal[along_rows] = along_rows.reshape(-1, 2)[:, ::-1].ravel()
    inside = filled[corners[:, 0] + 1, corners[:, 1] + 1]  # the pixel right of and below each corner
    return _walk(corners.tolist(), horizontal.tolist(), inside.tolist())


def _walk(corners: list[list[int]], horizontal: list[int], inside: list[bool]) -> str:
    """Join the corners to loops. `horizontal` is each corner's partner in its row; in its column it is the other of
    its pair. The first corner of a loop is its topmost of the leftmost, where `inside` tells an object from a hole."""
    words = []
    unseen = [True] * len(corners)
    for start, (x, y) in enumerate(corners):
        if not unseen[start]:
            continue
        words.append(f"M{x} {y}")
        at, across = start, inside[start]
        while True:
            unseen[at] = False
            to = horizontal[at] if across else at ^ 1
            if to == start:
                break
            words.append(f"h{corners[to][0] - corners[at][0]}" if across else f"v{corners[to][1] - corners[at][1]}")
            at, across = to, not across
        words.append("z")
    return "".join(words)
