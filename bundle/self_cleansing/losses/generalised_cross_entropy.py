# SPDX-License-Identifier: Apache-2.0
"""Generalised cross-entropy: between cross-entropy (learns fast) and mean absolute error (tolerates wrong labels).

Reference: Zhang and Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural Networks with Noisy Labels",
NeurIPS 2018, arXiv 1805.07836. We differ: every class is a binary problem; the truncated variant, which drops pixels
of large loss, is not there.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class GeneralisedCrossEntropy(nn.Module):
    """L = (1 - p_y^q) / q, averaged over the pixels of the labels that take part; p_y is the probability of the label.

    Its gradient is that of cross-entropy times p_y^q, so that pixels whose label the network does not believe pull
    less. A pixel that a share r of like labels marks is driven to the logit log(r / (1 - r)) / (1 - q): the majority's
    side, as with cross-entropy, but more firmly.

    Args:
        q: in (0, 1]; towards 0 the loss becomes cross-entropy, at 1 it is the mean absolute error. 0.7 is the
            authors' value.
    """

    def __init__(self, q: float = 0.7) -> None:
        super().__init__()
        if not 0 < q <= 1:
            raise ValueError(f"q must be in (0, 1], got {q!r}; for the limit q = 0 use BinaryCrossEntropy")
        self.q = q

    def forward(self, logits: Tensor, label: Tensor, weight: Tensor, epoch: int = 0) -> Tensor:
        """Return the weighted mean loss, a scalar in [0, 1 / q].

        Args:
            logits: float (B, K, H, W).
            label: float, same shape, in {0, 1}.
            weight: float (B, K), at least 0; 0 leaves a label out. All zero: the loss is 0, with zero gradient.
            epoch: completed epochs; not used.
        """
        log_probs = F.logsigmoid(torch.where(label > 0, logits, -logits))  # log p_y
        # exp and its difference to 1 in one, since p_y^q is close to 1 where the network is right.
        per_label = (-torch.expm1(self.q * log_probs) / self.q).mean(dim=(2, 3))
        return (per_label * weight).sum() / weight.sum().clamp(min=1)

    def extra_repr(self) -> str:
        return f"q={self.q}"
