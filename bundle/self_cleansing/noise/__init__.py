# SPDX-License-Identifier: Apache-2.0
"""Simulated label noise: pure functions from masks to noisy masks, and the recipes that draw them."""

from __future__ import annotations

from .morphology import dilate as dilate
from .morphology import erode as erode
from .recipes import KINDS as KINDS
from .recipes import RECIPES as RECIPES
from .recipes import Draw as Draw
from .recipes import NoiseSpec as NoiseSpec
from .recipes import apply_noise as apply_noise
from .recipes import draw_noise as draw_noise
