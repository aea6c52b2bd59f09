# SPDX-License-Identifier: Apache-2.0
"""Judge whether what a network sees in a patch is the structure it was trained on.

A network trained on centred patches sees something everywhere. On the structure its answer is large, in one piece
through the slices, has every class, and is certain; elsewhere at least one of these fails.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from scipy import ndimage
from torch import Tensor

SEEN = 0.5
UNCERTAIN = (0.1, 0.9)


@dataclass(frozen=True)
class Sighting:
    """What was seen in one patch.

    Attributes:
        score: the higher the more like the structure; positive; comparable between patches of one volume.
        center: row and column of the middle of its in-plane box, in pixels of the probabilities, in [0, h] and [0, w].
    """

    score: float
    center: tuple[float, float]


def sighting(probs: Tensor) -> Sighting | None:
    """Find the main body in a patch and score it.

    Symbols: C the largest 26-connected component of the pixels where any class is above one half, "largest" by the
    sum of the highest class probability; m_k the sum of class k's probabilities above one half inside C, plus 1;
    u the number of values, of any pixel and class, in (0.1, 0.9).

    m = (m_1 ... m_K)^(1/K): large only if every class is there.
    score = m * m / (m + u): size times certainty.

    Args:
        probs: float (D, K, h, w) in [0, 1], the slices in order.

    Returns:
        score and place of C; None if no probability is above one half.
    """
    highest = probs.amax(dim=1)
    label, count = ndimage.label((highest > SEEN).cpu().numpy(), structure=torch.ones(3, 3, 3).numpy())
    if count == 0:
        return None
    label = torch.as_tensor(label, device=probs.device)
    size = torch.zeros(count + 1, dtype=probs.dtype, device=probs.device)
    size.index_add_(0, label.flatten().long(), highest.flatten())
    body = label == 1 + int(size[1:].argmax())
    mass = (probs * (probs > SEEN) * body[:, None]).sum(dim=(0, 2, 3)) + 1
    mean_mass = float(mass.log().mean().exp())
    uncertain = int(((probs > UNCERTAIN[0]) & (probs < UNCERTAIN[1])).sum())
    plane = body.any(dim=0)
    rows, columns = (torch.nonzero(plane.any(dim=1 - axis)).flatten() for axis in (0, 1))
    center = (int(rows[0] + rows[-1] + 1) / 2, int(columns[0] + columns[-1] + 1) / 2)
    return Sighting(mean_mass * mean_mass / (mean_mass + uncertain), center)
