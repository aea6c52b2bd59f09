# SPDX-License-Identifier: Apache-2.0
"""The methods this project compares itself with: their networks, losses and handlers, as configs/methods names them."""

from .co_seg import CoSegCorrection as CoSegCorrection
from .co_seg import CoTeachingLoss as CoTeachingLoss
from .co_training import CoTraining as CoTraining
from .co_training import CoTrainingLoss as CoTrainingLoss
from .co_training import SwappedBanks as SwappedBanks
from .confident_learning import FlagByConfidentJoint as FlagByConfidentJoint
from .confident_learning import SmoothedLabelLoss as SmoothedLabelLoss
from .forget_rate import ForgetRate as ForgetRate
from .jocor import JoCoRLoss as JoCoRLoss
from .noise_estimate import EstimateNoise as EstimateNoise
from .noise_estimate import EstimatePixelNoise as EstimatePixelNoise
from .noisy_fraction import image_noise as image_noise
from .noisy_fraction import pixel_noise as pixel_noise
from .peers import HalfSetTeachers as HalfSetTeachers
from .peers import PeerNetworks as PeerNetworks
from .pick_and_learn import ExportQuality as ExportQuality
from .pick_and_learn import PickAndLearn as PickAndLearn
from .pick_and_learn import WeighedDiceLoss as WeighedDiceLoss
from .stages import CorrectAndStartOver as CorrectAndStartOver
from .superpixel_learning import SuperpixelLoss as SuperpixelLoss
from .superpixel_learning import SuperpixelRefinement as SuperpixelRefinement
from .superpixels import slic_superpixels as slic_superpixels
