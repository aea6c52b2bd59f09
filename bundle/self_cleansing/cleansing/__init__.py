# SPDX-License-Identifier: Apache-2.0
"""Write a new label from what the network has learnt: features -> prototypes -> pseudo label -> post-processing.

Pure torch functions after Sec. 2.3 of the paper, for all classes of a batch at once, each in its closed form.
"""

from __future__ import annotations

from .grid import GridFeatures as GridFeatures
from .grid import check_grid as check_grid
from .grid import grid_features as grid_features
from .postprocess import drop_small_components as drop_small_components
from .postprocess import fill_small_holes as fill_small_holes
from .postprocess import postprocess as postprocess
from .prototypes import mean_direction as mean_direction
from .prototypes import prototype_direction as prototype_direction
from .prototypes import representation_degree as representation_degree
from .pseudo_label import PseudoLabel as PseudoLabel
from .pseudo_label import cleanse as cleanse
from .pseudo_label import resolve_empty as resolve_empty
from .pseudo_label import similarity as similarity
