# SPDX-License-Identifier: Apache-2.0
"""Losses that leave rejected labels out. Each takes logits, label and a weight per sample and class."""

from .cross_entropy import BinaryCrossEntropy as BinaryCrossEntropy
from .dice import DiceLoss as DiceLoss
from .dice import soft_dice_loss as soft_dice_loss
from .generalised_cross_entropy import GeneralisedCrossEntropy as GeneralisedCrossEntropy
from .hybrid import HybridLoss as HybridLoss
from .hybrid import LabelSchedule as LabelSchedule
from .noise_robust_dice import NoiseRobustDice as NoiseRobustDice
from .symmetric_cross_entropy import SymmetricCrossEntropy as SymmetricCrossEntropy
from .t_loss import TLoss as TLoss
from .t_loss import student_t_loss as student_t_loss
from .total import SumLoss as SumLoss
