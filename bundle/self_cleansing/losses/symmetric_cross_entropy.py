# SPDX-License-Identifier: Apache-2.0
"""Symmetric cross-entropy: cross-entropy plus its reverse, in which network and label change places.

Reference: Wang et al., "Symmetric Cross Entropy for Robust Learning with Noisy Labels", ICCV 2019, arXiv 1908.06112.
log 0 stands for log 1e-4 as in the authors' code. We differ: every class is a binary problem.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LOG_ZERO = math.log(1e-4)


class SymmetricCrossEntropy(nn.Module):
    """L = alpha CE + beta RCE, averaged over the pixels of the labels that take part.

    With p_y the probability of the label: CE = -log p_y. The reverse is RCE = -sum_k p_k log y_k over foreground and
    background; log 1 = 0, so that LOG_ZERO (p_y - 1) is left. RCE of a label and RCE of its opposite add up to a
    constant, whatever the prediction: labels flipped at random with a rate r only scale its gradient by 1 - 2r.

    Args:
        alpha: of CE, at least 0. The authors' code has 0.1 for CIFAR-10 and 6 for CIFAR-100.
        beta: of RCE, at least 0, not both 0. The authors' code has 1 for CIFAR-10 and 0.1 for CIFAR-100.
    """

    def __init__(self, alpha: float = 0.1, beta: float = 1.0) -> None:
        super().__init__()
        if not (alpha >= 0 and beta >= 0 and alpha + beta > 0):
            raise ValueError(
                f"alpha and beta must be at least 0 and not both 0, got {alpha!r} and {beta!r}; "
                "for plain cross-entropy pass 1 and 0"
            )
        self.alpha = alpha
        self.beta = beta

    def forward(self, logits: Tensor, label: Tensor, weight: Tensor, epoch: int = 0) -> Tensor:
        """Return the weighted mean loss, a scalar, at least 0.

        Args:
            logits: float (B, K, H, W).
            label: float, same shape, in {0, 1}.
            weight: float (B, K), at least 0; 0 leaves a label out. All zero: the loss is 0, with zero gradient.
            epoch: completed epochs; not used.
        """
        against = torch.where(label > 0, -logits, logits)  # logit of 1 - p_y
        cross_entropy = -F.logsigmoid(-against)
        reverse = -LOG_ZERO * torch.sigmoid(against)
        per_label = (self.alpha * cross_entropy + self.beta * reverse).mean(dim=(2, 3))
        return (per_label * weight).sum() / weight.sum().clamp(min=1)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, beta={self.beta}"
