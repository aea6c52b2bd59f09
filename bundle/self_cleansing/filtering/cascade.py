# SPDX-License-Identifier: Apache-2.0
"""From two verdicts to one action: restore the given label, keep the pseudo label, or write a new one."""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Provenance(IntEnum):
    """Where the label in force comes from. The numbers are stored in checkpoints and reports: never renumber.

    MANUAL: y is believed, and y' := y (restore). KEPT: y is not, the earlier y' is. RENEWED: neither is, and y' is
    to be written by the cleanser. REJECTED: neither is, and the label takes no part in the loss.
    """

    MANUAL = 0
    KEPT = 1
    RENEWED = 2
    REJECTED = 3


def cascade(
    manual_clean: ArrayLike, pseudo_clean: ArrayLike | None = None, *, both_noisy: Provenance = Provenance.RENEWED
) -> NDArray[np.uint8]:
    """Decide, per label, which one is in force (Sec. 2.2 of the paper).

    Both verdicts must come from the network as it was before any y' changes.

    Args:
        manual_clean: bool (N, K), or any shape.
        pseudo_clean: bool, same shape; None if there are no pseudo labels to keep.
        both_noisy: RENEWED as in the paper, or REJECTED to leave such labels out of the loss.

    Returns:
        uint8, same shape, values of `Provenance`.

    Raises:
        ValueError: if the shapes differ or `both_noisy` is neither RENEWED nor REJECTED.

    Reference: Sec. 2.2, Deep self-cleansing, doi 10.1002/mp.70007. We differ: labels may be rejected instead.
    """
    manual = np.asarray(manual_clean, dtype=bool)
    pseudo = np.zeros_like(manual) if pseudo_clean is None else np.asarray(pseudo_clean, dtype=bool)
    if manual.shape != pseudo.shape:
        raise ValueError(f"manual_clean and pseudo_clean must have one shape, got {manual.shape} and {pseudo.shape}")
    if both_noisy not in (Provenance.RENEWED, Provenance.REJECTED):
        raise ValueError(f"both_noisy must be RENEWED or REJECTED, got {both_noisy!r}")
    return np.where(manual, Provenance.MANUAL, np.where(pseudo, Provenance.KEPT, both_noisy)).astype(np.uint8)
