# SPDX-License-Identifier: Apache-2.0
"""How a network is run: in mixed precision while training, and on full-size volumes."""

from .mixed_precision import MixedPrecisionInferer as MixedPrecisionInferer
from .patch_inferer import LocalisingPatchInferer as LocalisingPatchInferer
