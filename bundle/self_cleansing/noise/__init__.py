# SPDX-License-Identifier: Apache-2.0
"""Simulated label noise: pure functions from masks to noisy masks, and the recipes that draw them."""

from __future__ import annotations

from .cross import dilate_cross as dilate_cross
from .cross import erode_cross as erode_cross
from .cross import inner_rim as inner_rim
from .cross import outer_rim as outer_rim
from .edge_distortion import bump_edge as bump_edge
from .edge_distortion import distort_edge as distort_edge
from .kinds import KINDS as KINDS
from .kinds import Draw as Draw
from .markov_walk import boundary_walk as boundary_walk
from .morphology import dilate as dilate
from .morphology import erode as erode
from .recipes import RECIPES as RECIPES
from .recipes import NoiseSpec as NoiseSpec
from .recipes import apply_noise as apply_noise
from .recipes import draw_noise as draw_noise
from .relative_area import dilate_by_area as dilate_by_area
from .relative_area import erode_by_area as erode_by_area
from .relative_area import move_by_area as move_by_area
from .relative_area import rotate as rotate
