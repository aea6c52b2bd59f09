# SPDX-License-Identifier: Apache-2.0
"""Handlers for MONAI's SupervisedTrainer."""

from .attach import Attach as Attach
from .averaging import WeightAveraging as WeightAveraging
from .averaging import averaged_network as averaged_network
from .best_model import BestModel as BestModel
from .checkpoint import RandomState as RandomState
from .checkpoint import TrainingCheckpoint as TrainingCheckpoint
from .early_stopping import EarlyStopping as EarlyStopping
from .export_labels import ExportRepairedLabels as ExportRepairedLabels
from .history import History as History
from .label_cleansing import LabelCleansing as LabelCleansing
from .noise_audit import NoiseAudit as NoiseAudit
from .progress import InferenceProgress as InferenceProgress
from .progress import TrainingProgress as TrainingProgress
from .publish_model import PublishModel as PublishModel
from .run_figure import RunFigure as RunFigure
