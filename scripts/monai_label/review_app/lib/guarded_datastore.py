# SPDX-License-Identifier: Apache-2.0
"""The studies folder of a review: what was given is never written again, whatever a client asks for."""

from __future__ import annotations

import re
from typing import Any

from fastapi import HTTPException
from monailabel.datastore.local import LocalDatastore

ORIGINAL, PROPOSED, PREDICTED = "original", "proposed", "predicted"
GIVEN = (ORIGINAL, PROPOSED)
PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]+")


def refused(sentence: str) -> HTTPException:
    """The error a client gets: status 409 and the sentence."""
    return HTTPException(status_code=409, detail=sentence)


class GuardedDatastore(LocalDatastore):
    """MONAI Label's local folder, with images and the labels `original` and `proposed` as they were prepared.

    Raises:
        HTTPException: if a given label or an image would be replaced or removed, or a tag is no plain name.
    """

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        check_writable(label_tag)
        return super().save_label(image_id, label_filename, label_tag, label_info)

    def remove_label(self, label_id: str, label_tag: str) -> None:
        check_writable(label_tag)
        super().remove_label(label_id, label_tag)

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        raise refused("images are not added to a review; prepare another studies folder with prepare_review.py")

    def remove_image(self, image_id: str) -> None:
        raise refused("images are not removed from a review; prepare another studies folder with prepare_review.py")


def check_writable(tag: str) -> None:
    """Raise unless labels may be stored under this tag."""
    tag = str(getattr(tag, "value", tag))
    if tag in GIVEN:
        raise refused(f"labels tagged {tag} are given and never changed; store a correction under the tag final")
    if not PLAIN_NAME.fullmatch(tag):  # it becomes the name of a folder
        raise refused(f"a tag consists of letters, digits, _ and -, got {tag!r}; use final")


def writable_tag(tag: str | None) -> str:
    """Where a predicted label goes: as asked, but never over a given one. MONAI Label's default is `original`."""
    tag = str(getattr(tag, "value", tag or ORIGINAL))
    return PREDICTED if tag in GIVEN else tag
