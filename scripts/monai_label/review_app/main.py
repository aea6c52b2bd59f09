# SPDX-License-Identifier: Apache-2.0
"""MONAI Label app: review the labels that an audit or a finished run doubts, the least trusted first.

    python -m monailabel.main start_server --app scripts/monai_label/review_app --studies studies \\
        --conf run runs/mine [--conf bundle <exported bundle>] --host 127.0.0.1 --port 8000

studies is made by prepare_review.py. See docs/monai_label.md.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

import torch
from lib.guarded_datastore import PROPOSED, GuardedDatastore, writable_tag
from lib.review_queue import LeastTrustedFirst, TrustScoring
from lib.stored_label import StoredLabel
from lib.trust import read_trust, recorded_classes
from monailabel.config import settings
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.interfaces.tasks.train import TrainTask
from monailabel.tasks.infer.bundle import BundleInferTask
from monailabel.tasks.train.bundle import BundleTrainTask

logger = logging.getLogger(__name__)


class QuietModel(BundleInferTask):
    """A bundle's model that declares no labels to the client; see `StoredLabel` for why."""

    def info(self) -> dict[str, Any]:
        return super().info() | {"labels": []}


class ReviewApp(MONAILabelApp):
    """Conf: `run`, the folder of an audit or of a run; optionally `bundle`, an exported bundle to infer and train."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        run_dir = conf.get("run")
        if not run_dir:
            raise ValueError("conf names no run; start the server with --conf run <folder of an audit or of a run>")
        if studies.startswith(("http://", "https://")):
            raise ValueError(f"studies must be a folder made by prepare_review.py, got {studies}")
        self.trust = read_trust(run_dir)
        # Lower case, as MONAI Label spells the classes of a bundle: the same segment must not appear twice.
        self.label_names = {name.lower(): value for value, name in enumerate(recorded_classes(run_dir), start=1)}
        self.bundle = os.path.abspath(conf["bundle"]) if conf.get("bundle") else None
        if self.bundle is not None and not os.path.isdir(os.path.join(self.bundle, "configs")):
            raise ValueError(f"bundle {self.bundle} has no folder configs; name the folder that was in the zip")
        super().__init__(
            app_dir,
            studies,
            conf,
            name="Label review",
            description="Review the labels that an audit or a finished run doubts, the least trusted first",
            labels=list(self.label_names),
        )
        # The scores of a finished run do not change. MONAI Label would compute them again in a second process at every
        # sample, which rewrites the datastore's file from what it read earlier.
        self._auto_update_scoring = False

    def init_datastore(self) -> Datastore:
        return GuardedDatastore(
            self.studies,
            extensions=settings.MONAI_LABEL_DATASTORE_FILE_EXT,
            auto_reload=settings.MONAI_LABEL_DATASTORE_AUTO_RELOAD,
            read_only=settings.MONAI_LABEL_DATASTORE_READ_ONLY,
        )

    def init_infers(self) -> dict[str, InferTask]:
        infers: dict[str, InferTask] = {"proposed_label": StoredLabel(self._datastore, PROPOSED, self.label_names)}
        if self.bundle is not None:
            infers[os.path.basename(self.bundle)] = QuietModel(self.bundle, self.conf)
        return infers

    def init_trainers(self) -> dict[str, TrainTask]:
        if self.bundle is None:
            return {}
        return {os.path.basename(self.bundle): BundleTrainTask(self.bundle, self.conf)}

    def init_strategies(self) -> dict[str, Strategy]:
        return {"least_trusted": LeastTrustedFirst()}

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        return {"trust": TrustScoring(self.trust, self.label_names)}

    def on_init_complete(self) -> None:
        self.scoring({"method": "trust"})
        super().on_init_complete()

    def next_sample(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return super().next_sample({"strategy": "least_trusted", **request})

    def infer(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Like every app, but a predicted label that is stored does not become the original one."""
        return super().infer({**request, "label_tag": writable_tag(request.get("label_tag"))}, datastore)

    def batch_infer(self, request: Mapping[str, Any], datastore: Datastore | None = None) -> dict[str, Any]:
        """Like every app, also without a GPU: MONAI Label's default, several GPUs, divides by their number."""
        several = torch.cuda.is_available() and request.get("multi_gpu", True)
        return super().batch_infer({**request, "multi_gpu": several}, datastore)
