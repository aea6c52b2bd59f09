# SPDX-License-Identifier: Apache-2.0
"""A label that is already there, offered as a model, so that one click in a viewer shows it."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from .guarded_datastore import refused


class StoredLabel(InferTask):
    """Answer an inference request with the label stored under a tag.

    It declares no labels to the client: 3D Slicer can be set to run, on every new image, a model that declares labels
    of the app, and would put its result over the given label.

    Args:
        datastore: where the label is looked up.
        tag: of the label.
        label_names: name -> label value, returned with the label.
    """

    def __init__(self, datastore: Datastore, tag: str, label_names: Mapping[str, int]) -> None:
        super().__init__(InferType.SEGMENTATION, [], 3, f"The label stored as {tag}; nothing is computed")
        self.datastore = datastore
        self.tag = tag
        self.label_names = dict(label_names)

    def is_valid(self) -> bool:
        return True

    def __call__(self, request: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        path = request["image"]
        image = next((one for one in self.datastore.list_images() if self.datastore.get_image_uri(one) == path), "")
        label = self.datastore.get_label_uri(image, self.tag)
        if not label:
            raise refused(f"this image has no label tagged {self.tag}; ask for an image of the review")
        # A copy: the server removes the file after it has been sent.
        extension = ".nii.gz" if label.endswith(".nii.gz") else os.path.splitext(label)[1]
        handle, copy = tempfile.mkstemp(suffix=extension)
        os.close(handle)
        shutil.copyfile(label, copy)
        return copy, {"label_names": self.label_names}
