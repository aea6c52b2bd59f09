# SPDX-License-Identifier: Apache-2.0
from .quality_network import QualityNetwork as QualityNetwork
from .residual_unet import ResidualUNet as ResidualUNet
