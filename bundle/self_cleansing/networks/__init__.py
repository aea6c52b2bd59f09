# SPDX-License-Identifier: Apache-2.0
from .residual_unet import ResidualUNet as ResidualUNet
