# SPDX-License-Identifier: Apache-2.0
"""Inference on full-size volumes."""

from .patch_inferer import LocalisingPatchInferer as LocalisingPatchInferer
