# SPDX-License-Identifier: Apache-2.0
"""Write masks the way a given label file is stored: what the writer of a data set changes are labels, not their layout.

* A NIfTI keeps its name, affine and header. An integer map stays one, with its data type, unless two classes overlap
  in a pixel: no map can hold that, and the file becomes one binary mask per class, uint8 (H, W, D, K), class axis last.
  A file of class masks stays one.
* A PNG keeps its name, mode and palette. Any other picture becomes PNG under its own stem: JPEG would blur the label.
* NIfTI under its own stem becomes what no picture can hold (overlapping classes of a map), and what is neither.
* The value inside stays what it is: a mask of 0 and 255 stays one. Of a label without foreground it is that of the
  other labels of the data set.
"""

from __future__ import annotations

import os
from collections.abc import Container, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from .label_encoding import Encoding, encoded, read_encoded
from .label_picture import PNG, label_picture
from .labels import Labels, class_names, is_picture
from .msd import case_name
from .read import read_file
from .whole_file import whole_file

NIFTI = (".nii", ".nii.gz")


class LabelWriter:
    """Write labels of one data set.

    Args:
        label_names: K foreground classes, as `class_names` takes them.
        labels: all label files of the data set; the first that has foreground is asked for its value inside where the
            given label is empty.
        reserved: paths that a new name must not take: those of all images and labels to be written.
    """

    def __init__(
        self, label_names: Labels, labels: Iterable[str | os.PathLike[str]] = (), reserved: Container[Path] = ()
    ) -> None:
        self.names = class_names(label_names)
        self.labels = [Path(label) for label in labels]
        self.reserved = reserved
        self._inside: dict[tuple[bool, bool], int | None] = {}

    def write(self, masks: NDArray[np.uint8], given: str | os.PathLike[str], target: str | os.PathLike[str]) -> Path:
        """Write masks as a whole file.

        Args:
            masks: uint8 (K, H, W, D) of 0 and 1, on the grid of the given label.
            given: the label that the masks replace.
            target: where it would go if its name stayed. Named as NIfTI, it becomes NIfTI.

        Returns:
            The path written: target, or another name in its folder (`<stem>.png`, `<stem>.nii.gz`, or with `_label`
            behind the stem where that is reserved).

        Raises:
            FileNotFoundError, ValueError: if the given label cannot be read.
        """
        given, target = Path(given), Path(target)
        _, encoding = read_encoded(given, self.names)
        if encoding.inside is None and (not encoding.is_map or len(self.names) == 1):
            encoding = replace(encoding, inside=self._usual_inside(encoding.is_map, is_picture(given)))
        as_picture = is_picture(given) and not is_nifti(target)
        picture = label_picture(masks, self.names, encoding, given) if as_picture else None
        if picture is not None:
            target = target if target.name.lower().endswith(PNG) else self._renamed(target, PNG)
            with whole_file(target) as temporary:
                picture.save(temporary)
            return target
        if not is_nifti(target):
            target = self._renamed(target, ".nii.gz")
        with whole_file(target) as temporary:
            nib.save(_nifti(masks, self.names, encoding, given), temporary)
        return target

    def _usual_inside(self, is_map: bool, picture: bool) -> int | None:
        """The value inside of the first label of the same kind that has foreground, looked up once."""
        if (is_map, picture) not in self._inside:
            found = (self._stored(label) for label in self.labels if is_picture(label) == picture)
            values = (one.inside for one in found if one is not None and one.is_map == is_map and one.inside)
            self._inside[is_map, picture] = next(values, None)
        return self._inside[is_map, picture]

    def _stored(self, label: Path) -> Encoding | None:
        try:
            return read_encoded(label, self.names)[1]
        except (FileNotFoundError, ValueError):  # the label of another case is only asked for its habit
            return None

    def _renamed(self, target: Path, extension: str) -> Path:
        stem = case_name(target)
        path = target.with_name(stem + extension)
        return target.with_name(f"{stem}_label{extension}") if path in self.reserved else path


def _nifti(masks: NDArray[np.uint8], names: Mapping[int, str], encoding: Encoding, given: Path) -> Any:
    """A NIfTI with affine and header of the given file, as a map if that is one and can stay one."""
    source: Any = nib.load(given) if is_nifti(given) else None
    is_map = encoding.is_map and masks.sum(axis=0).max(initial=0) <= 1
    values = encoded(masks, names, is_map, encoding.inside)
    if source is None:
        affine = np.asarray(read_file(given).affine, float)
        return nib.Nifti1Image(values, affine)
    if is_map:
        stored = source.get_data_dtype()
        values = values.astype(stored if _fits(values, stored) else values.dtype).reshape(source.shape)
    nifti = nib.Nifti1Image(values, source.affine, source.header)
    nifti.set_data_dtype(values.dtype)
    return nifti


def _fits(values: NDArray[Any], kind: np.dtype[Any]) -> bool:
    return kind.kind == "f" or (kind.kind in "iu" and values.max(initial=0) <= np.iinfo(kind).max)


def is_nifti(path: str | os.PathLike[str]) -> bool:
    """Whether a file is NIfTI by its extension."""
    return os.path.basename(os.fspath(path)).lower().endswith(NIFTI)
