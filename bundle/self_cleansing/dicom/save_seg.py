# SPDX-License-Identifier: Apache-2.0
"""Write a label as a DICOM SEG that refers to the images it was made from. Needs highdicom."""

from __future__ import annotations

import os
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import torch
from highdicom.enum import PatientSexValues
from highdicom.seg import Segmentation, SegmentDescription
from highdicom.sr import CodedConcept
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ImageMetaKey
from pydicom.dataset import Dataset
from pydicom.valuerep import DA, TM

from .. import DISTRIBUTION, __version__
from ..data.labels import label_map
from ..data.whole_file import whole_file
from .codes import SCHEME, Code, coded_class
from .quiet import quiet
from .series import Series, read_series

SERIES_NUMBER = 300  # viewers sort by it: behind the scanner's own series
_MAY_BE_EMPTY = {  # highdicom demands these attributes, and of some that the value is valid; DICOM lets them be empty
    **dict.fromkeys(("PatientID", "PatientName", "AccessionNumber", "StudyID"), str),
    **dict.fromkeys(("PatientBirthDate", "StudyDate"), DA),
    "StudyTime": TM,
    "PatientSex": PatientSexValues,
}


class SaveDicomSegd(MapTransform):
    """Write <output_dir>/<case>_seg.dcm: a binary DICOM SEG, one segment per class, in class order.

    Patient and study are copied from the series (an invalid date or sex is left empty), each frame refers to the image
    it lies on, empty frames are left out. A class without a voxel keeps its segment, without frames. If nothing at all
    is segmented, every frame is written empty: a SEG must hold at least one frame, and an archive then shows that the
    case was processed.

    Args:
        keys: label maps (1, columns, rows, slices), values 0 background and 1..K, on the grid of the series (after
            Invertd), whose metadata name the case (see `NameCased`).
        images: {"image": folder of the series, "case": name} of every case.
        class_names: of 1..K.
        output_dir: for the files; an existing one is replaced.
        allow_missing_keys: if True, a missing key is skipped.

    Raises:
        ValueError: at construction if no class is named; at call if the label does not lie on the series' grid, holds
            another value, or the series' header does not allow a valid SEG.
    """

    def __init__(
        self,
        keys: KeysCollection,
        images: Sequence[Mapping[str, str]],
        class_names: Sequence[str],
        output_dir: str | os.PathLike,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if not class_names:
            raise ValueError("class_names must name at least one class, got none")
        self.folders = {item["case"]: item["image"] for item in images}
        self.class_names = [str(name) for name in class_names]
        self.output_dir = Path(output_dir)

    def __call__(self, data: Mapping[Hashable, torch.Tensor]) -> dict[Hashable, torch.Tensor]:
        for key in self.key_iterator(dict(data)):
            label = data[key]
            case = str(label.meta[ImageMetaKey.FILENAME_OR_OBJ]) if isinstance(label, MetaTensor) else ""
            if case not in self.folders:
                raise ValueError(
                    f"label {key!r} must name a case of `images`, got {case!r}; put NameCased after loading"
                )
            series = read_series(self.folders[case])
            seg = label_to_seg(torch.as_tensor(label).cpu().numpy()[0], series, self.class_names, case)
            with whole_file(self.output_dir / f"{case}_seg.dcm") as temporary, quiet():
                seg.save_as(temporary)
        return dict(data)


def label_to_seg(label: np.ndarray, series: Series, class_names: Sequence[str], case: str) -> Segmentation:
    """Make a DICOM SEG of a label map.

    Args:
        label: integers (columns, rows, slices) of 0 and 1..K, on the series' grid.
        series: that it was made from.
        class_names: of 1..K.
        case: names the case in errors.

    Returns:
        The object, not yet written.

    Raises:
        ValueError: see `SaveDicomSegd`.
    """
    if label.shape != series.shape:
        sizes = ["x".join(map(str, shape)) for shape in (label.shape, series.shape)]
        raise ValueError(f"the label of {case} must have the grid of its series, {sizes[1]}, got {sizes[0]}")
    if label.min() < 0 or label.max() > len(class_names):
        raise ValueError(
            f"the label of {case} must hold values from 0 to {len(class_names)}, one per class of class_names, got "
            f"{label.min():g} to {label.max():g}"
        )
    pixels = np.ascontiguousarray(label.astype(np.uint8 if label.max() < 256 else np.uint16).T)
    return _segmentation(pixels, series, class_names, case, "AUTOMATIC", "Automatic segmentation")


def masks_to_seg(masks: np.ndarray, series: Series, class_names: Sequence[str], case: str) -> Segmentation:
    """Make a DICOM SEG of a corrected label, whose classes may overlap.

    Args:
        masks: bool (K, columns, rows, slices), on the series' grid.
        series, class_names, case: see `label_to_seg`.

    Returns:
        The object, not yet written. Its segments are SEMIAUTOMATIC: partly a person's, partly the network's.

    Raises:
        ValueError: if the header of the series does not allow a valid SEG.
    """
    overlap = (masks.sum(axis=0) > 1).any()
    pixels = np.moveaxis(masks, 0, -1).astype(np.uint8) if overlap else label_map(masks)
    pixels = np.ascontiguousarray(pixels.swapaxes(0, 2))  # slices, rows, columns, and segments if they overlap
    return _segmentation(pixels, series, class_names, case, "SEMIAUTOMATIC", "Corrected labels")


def _segmentation(
    pixels: np.ndarray, series: Series, class_names: Sequence[str], case: str, algorithm_type: str, description: str
) -> Segmentation:
    with quiet():
        try:
            return Segmentation(
                source_images=[_source(file) for file in series.files],
                pixel_array=pixels,
                segmentation_type="BINARY",
                segment_descriptions=[_description(*one, algorithm_type) for one in enumerate(class_names, 1)],
                series_instance_uid=hd.UID(),
                series_number=SERIES_NUMBER,
                sop_instance_uid=hd.UID(),
                instance_number=1,
                manufacturer=DISTRIBUTION,
                manufacturer_model_name="self_cleansing",
                software_versions=__version__,
                device_serial_number=__version__,
                content_label="SEGMENTATION",
                specific_character_set="ISO_IR 192",  # UTF-8 holds every name, whatever the series is written in
                series_description=description,
                omit_empty_frames=bool(pixels.any()),
            )
        except OSError as error:  # its text quotes the path
            raise ValueError(f"an image of {case} cannot be read ({error.strerror}); make its files readable") from None
        except (ValueError, TypeError, AttributeError, KeyError):  # their text quotes values of the header
            raise ValueError(
                f"no DICOM SEG can be made of {case}: a required value in the header of its series is missing or not "
                "valid; export the series again, or use the NIfTI result"
            ) from None


def _source(file: Path) -> Dataset:
    header = pydicom.dcmread(file, stop_before_pixels=True)
    for keyword, kind in _MAY_BE_EMPTY.items():
        value = header.get(keyword)
        try:
            valid = bool(value and kind(value))
        except (ValueError, TypeError):
            valid = False
        if not valid:
            setattr(header, keyword, None)
    return header


def _description(number: int, name: str, algorithm_type: str) -> SegmentDescription:
    category, kind = coded_class(name)
    return SegmentDescription(
        segment_number=number,
        segment_label=name[:64],
        segmented_property_category=_concept(category),
        segmented_property_type=_concept(kind),
        algorithm_type=algorithm_type,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="self_cleansing", version=__version__, family=CodedConcept("123110", "DCM", "Artificial Intelligence")
        ),
    )


def _concept(code: Code) -> CodedConcept:
    return CodedConcept(code.value, SCHEME, code.meaning)
