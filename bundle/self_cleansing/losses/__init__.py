# SPDX-License-Identifier: Apache-2.0
"""Losses that leave rejected labels out. Each takes logits, label and a weight per sample and class."""

from .cross_entropy import BinaryCrossEntropy as BinaryCrossEntropy
from .dice import DiceLoss as DiceLoss
from .dice import soft_dice_loss as soft_dice_loss
from .hybrid import HybridLoss as HybridLoss
from .hybrid import LabelSchedule as LabelSchedule
from .total import SumLoss as SumLoss
