# SPDX-License-Identifier: Apache-2.0
"""T-Loss: label errors as draws from a Student t distribution, whose heavy tail forgives labels that are far off.

Reference: Gonzalez-Jimenez et al., "Robust T-Loss for Medical Image Segmentation", MICCAI 2023, arXiv 2306.00753.
We differ: the scale matrix is the identity (in the authors' code it is e^-1 times that, which an open question on
their tracker, Digital-Dermatology/t-loss issue 2, doubts); the loss is divided by the number of pixels, so that its
size does not depend on the image's; there are several classes, all with the same nu, where the authors have one.
"""

from __future__ import annotations

import math

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..distributed import world_size


def student_t_loss(squared_error: Tensor, log_nu: Tensor, num_pixels: int) -> Tensor:
    """Return the negative log-likelihood per pixel of errors that follow a multivariate Student t distribution.

    Args:
        squared_error: float, any shape, at least 0: the squared length of each vector of errors.
        log_nu: float, a scalar, on the CPU or where `squared_error` is: the logarithm of the degrees of freedom nu.
        num_pixels: D, length of the vectors, at least 1.

    Returns:
        float64, shape of `squared_error`. Differences of large log-gammas need the precision.
    """
    nu = log_nu.double().exp()
    tail = (nu + num_pixels) / 2
    log_scale = torch.lgamma(nu / 2) - torch.lgamma(tail) + num_pixels / 2 * (math.log(math.pi) + log_nu.double())
    return (log_scale + tail * torch.log1p(squared_error.double() / nu)) / num_pixels


def mean_over_processes(gradient: Tensor) -> Tensor:
    """Return the mean of this tensor over all processes, which all must call it; of one process, the tensor itself."""
    if world_size() == 1:
        return gradient
    total = gradient.clone()
    dist.all_reduce(total)
    return total / world_size()


class TLoss(nn.Module):
    """Student t negative log-likelihood of the errors p - y of each image and class, with learned degrees of freedom.

    `log_nu`, the authors' start 1, must be among the optimiser's parameters (configs/methods/t_loss.yaml) and in the
    checkpoint. A small nu makes the loss logarithmic in the error: a label far from the prediction pulls little.
    DDP does not know it, therefore its gradient is averaged here.

    Args:
        device: of the network. On another one the loss is the same, but on CUDA MONAI's loss scaling would unscale the
            gradient of a parameter on the CPU by a number that is still being copied there.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__()
        self.log_nu = nn.Parameter(torch.tensor(1.0, device=device))
        self.log_nu.register_hook(mean_over_processes)

    def forward(self, logits: Tensor, label: Tensor, weight: Tensor, epoch: int = 0) -> Tensor:
        """Return the weighted mean loss, a scalar of any sign.

        Args:
            logits: float (B, K, H, W).
            label: float, same shape, in {0, 1}.
            weight: float (B, K), at least 0; 0 leaves a label out. All zero: the loss is 0, with zero gradient.
            epoch: completed epochs; not used.
        """
        squared_error = (torch.sigmoid(logits) - label).square().sum(dim=(2, 3))
        per_label = student_t_loss(squared_error, self.log_nu, logits[0, 0].numel()).to(logits.dtype)
        return (per_label * weight).sum() / weight.sum().clamp(min=1)
