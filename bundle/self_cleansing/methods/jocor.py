# SPDX-License-Identifier: Apache-2.0
"""JoCoR for pixels: two networks learn to agree with each other and with the labels they both find plausible.

Source: Wei et al., "Combating noisy labels by agreement: a joint training method with co-regularization", CVPR 2020;
the selection of pixels by label value follows Li, Gao and He, MICCAI 2021, who compare with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from .forget_rate import ForgetRate
from .pixel_selection import balanced_mean, joint_loss, keep_small_loss


class JoCoRLoss(nn.Module):
    """The joint loss over the pixels of the batch whose joint loss is small.

    Several processes each choose within their own batch.

    Args:
        forget_rate: share of pixels to leave out, (K, 2), among those labelled background and foreground.
        agreement: lambda in [0, 1], the weight of the networks' agreement against that of the labels.
    """

    def __init__(self, forget_rate: ForgetRate, agreement: float = 0.65) -> None:
        super().__init__()
        if not 0 <= agreement <= 1:
            raise ValueError(f"agreement must be in [0, 1], got {agreement!r}")
        self.forget_rate = forget_rate
        self.agreement = agreement

    def forward(self, logits: Tensor, targets: Mapping[str, Any]) -> Tensor:
        """Return the loss, a scalar.

        Args:
            logits: float (B, 2, K, H, W) of both networks; half precision is raised to float32.
            targets: `label` float (B, K, H, W) in {0, 1}; `epoch`, completed epochs.
        """
        label = targets["label"]
        first, second = logits.float().unbind(dim=1)
        loss = joint_loss(first, second, label, self.agreement)
        selected = keep_small_loss(loss.detach(), label, self.forget_rate.at(int(targets["epoch"])))
        return balanced_mean(loss, label, selected)

    def extra_repr(self) -> str:
        return f"agreement={self.agreement}"
