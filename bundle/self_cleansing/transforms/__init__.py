# SPDX-License-Identifier: Apache-2.0
"""MONAI transforms of this bundle."""

from ..data.read import clear_error as clear_error
from .augment import Augmentation as Augmentation
from .check_case import CheckCased as CheckCased
from .check_case import EnsureVolumed as EnsureVolumed
from .check_case import LabelToChannelsd as LabelToChannelsd
from .label_map import LabelMapd as LabelMapd
from .label_map import label_map as label_map
from .orient import OrientSlicesd as OrientSlicesd
from .patch import LabelPatchd as LabelPatchd
from .patch import label_center as label_center
from .patch import patch_slices as patch_slices
