# SPDX-License-Identifier: Apache-2.0
from .dice import EMPTY_RULE as EMPTY_RULE
from .dice import DiceTable as DiceTable
from .dice import dice_counts as dice_counts
from .ignite_dice import VolumeDice as VolumeDice
from .paired_bootstrap import Difference as Difference
from .paired_bootstrap import paired_difference as paired_difference
