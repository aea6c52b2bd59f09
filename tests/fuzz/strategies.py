# SPDX-License-Identifier: Apache-2.0
"""What the properties draw: damaged bytes, masks, probabilities."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """A few bytes of a file changed, and perhaps its end cut off."""
    stored = bytearray(content)
    places = st.one_of(st.integers(0, min(len(stored), 400) - 1), st.integers(0, len(stored) - 1))  # headers come first
    for place, value in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        stored[place] = value
    return bytes(stored[: draw(st.one_of(st.just(len(stored)), st.integers(0, len(stored))))])


def masks(*shape: int) -> st.SearchStrategy[np.ndarray]:
    """Boolean masks: of discs, which look like organs, and of anything."""
    return st.one_of(_discs(shape), hnp.arrays(bool, shape))


@st.composite
def _discs(draw: st.DrawFn, shape: tuple[int, ...]) -> np.ndarray:
    """A disc of its own for every plane, some of them empty."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    height, width = shape[-2:]
    rows, columns = np.mgrid[:height, :width]
    planes = int(np.prod(shape[:-2]))
    centers, radii = rng.uniform(0, (height, width), (planes, 2)), rng.uniform(-1, min(height, width) / 2, planes)
    made = [
        (rows - row) ** 2 + (columns - column) ** 2 <= radius * abs(radius)
        for (row, column), radius in zip(centers, radii, strict=True)
    ]
    return np.stack(made).reshape(shape)


def floats(*shape: int, low: float, high: float) -> st.SearchStrategy[np.ndarray]:
    """float32 arrays within bounds."""
    return hnp.arrays(np.float32, shape, elements=st.floats(low, high, width=32))


seeds = st.integers(0, 2**32 - 1)
