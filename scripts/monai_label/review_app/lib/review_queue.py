# SPDX-License-Identifier: Apache-2.0
"""Scores from the run go into the datastore; the least trusted case without a final label is served next."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import nibabel as nib
import numpy as np
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy

from .guarded_datastore import GIVEN, ORIGINAL, PROPOSED
from .trust import SCORE, CaseTrust, place_in_queue

logger = logging.getLogger(__name__)


class TrustScoring(ScoringMethod):
    """Write the run's trust in every image, and how much the proposed label changes, into the datastore.

    The image's info gets `review`: the fields of `CaseTrust`, `changed_voxels`, and `look_at`, the slice (counted from
    0 along the file's last axis) with the most changed voxels, -1 if there is none. Both given labels get the names of
    the classes, as 3D Slicer reads them. What is already there is not written again.

    Args:
        trust: by image id.
        label_names: name -> label value.
    """

    def __init__(self, trust: Mapping[str, CaseTrust], label_names: Mapping[str, int]) -> None:
        super().__init__("How far the finished run trusts the given label")
        self.trust = trust
        self.label_names = dict(label_names)

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, Any]:
        scores = {}
        for image in sorted(datastore.list_images()):
            if image not in self.trust:
                logger.warning("image %s is not of this run and comes last; prepare the studies from the run", image)
                continue
            changed, slice_number = changed_voxels(
                datastore.get_label_uri(image, ORIGINAL), datastore.get_label_uri(image, PROPOSED)
            )
            scores[image] = asdict(self.trust[image]) | {"changed_voxels": changed, "look_at": slice_number}
            if datastore.get_image_info(image).get(SCORE) != scores[image]:
                datastore.update_image_info(image, {SCORE: scores[image]})
            named = {"params": {"label_names": self.label_names}}
            for tag in GIVEN:
                if datastore.get_label_uri(image, tag) and datastore.get_label_info(image, tag).get("params") is None:
                    datastore.update_label_info(image, tag, named)
        return scores


class LeastTrustedFirst(Strategy):
    """Serve the image whose label is trusted least; among equals the one the proposal changes most.

    An image with a final label has been reviewed and is not served; one without a score comes last.
    """

    def __init__(self) -> None:
        super().__init__("Least trusted label first")

    def __call__(self, request: Mapping[str, Any], datastore: Datastore) -> dict[str, str] | None:
        waiting = datastore.get_unlabeled_images(request.get("label_tag"), request.get("labels"))
        if not waiting:
            return None
        return {"id": min(waiting, key=lambda image: place_in_queue(image, datastore.get_image_info(image)))}


def changed_voxels(original: str, proposed: str) -> tuple[int, int]:
    """Count the voxels in which two label maps differ, and name the slice with most of them; (0, -1) without a file."""
    if not original or not proposed:
        return 0, -1
    changed = np.asarray(nib.load(original).dataobj) != np.asarray(nib.load(proposed).dataobj)
    per_slice = changed.sum(axis=(0, 1)).reshape(-1)
    total = int(per_slice.sum())
    return total, int(per_slice.argmax()) if total else -1
