# SPDX-License-Identifier: Apache-2.0
"""The series of a folder as cases with running numbers, for inference."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from .identifiers import Place
from .private_mapping import PrivateMapping
from .series import Series, find_series


def dicom_cases(
    dicom_dir: str | os.PathLike, mapping_file: str | os.PathLike, referable: bool = False, modality: str | None = None
) -> list[dict[str, str]]:
    """Check every series below a folder and give each a number.

    Args:
        dicom_dir: see `find_series`.
        mapping_file: says afterwards which series each case is; if it exists, known series keep their number. Written
            last, and only by a call that succeeds. Results are expected beside it.
        referable: also demand what a DICOM SEG must refer to: UIDs of study, series, images and frame of reference.
        modality: "CT", "MR", "PT", ...: pass over series of any other, and say so in one line; None: take all.

    Returns:
        One {"image": folder of the series, "case": "case_0001"} per series.

    Raises:
        FileNotFoundError, ValueError: as `find_series` and `PrivateMapping`; nothing is written.
    """
    if modality is not None and not re.fullmatch(r"[A-Z0-9_ ]{2,16}", modality):
        raise ValueError(f"modality must be null or a word of DICOM such as CT, MR or PT, got {modality!r}")
    series = find_series(dicom_dir, modality)
    if referable:
        check_referable(series, dicom_dir)
    mapping = PrivateMapping(mapping_file)
    cases = mapping.number(series, results_dir=Path(mapping_file).parent)
    mapping.write()
    return [{"image": str(one.folder), "case": case} for one, case in zip(series, cases, strict=True)]


def check_referable(series: Sequence[Series], dicom_dir: str | os.PathLike) -> None:
    """Refuse series whose images a DICOM SEG cannot name.

    Raises:
        ValueError: if one of the UIDs is missing, or two images share one.
    """
    for one in series:
        name = Place(_absolute(dicom_dir), one.identifiers)(one.folder)
        uids = {"StudyInstanceUID": one.study_uid, "SeriesInstanceUID": one.series_uid}
        uids |= {"SOPClassUID": one.sop_class_uid, "SOPInstanceUID": "all" if all(one.sop_instance_uids) else ""}
        uids |= {"FrameOfReferenceUID": one.frame_of_reference_uid}
        missing = [keyword for keyword, uid in uids.items() if not uid]
        if missing:
            raise ValueError(
                f"series {name} has no {', '.join(missing)}, so a DICOM SEG cannot refer to it; replace UIDs when you "
                "anonymise instead of emptying them, or bring the series to NIfTI (scripts/import_dicom.py)"
            )
        if len(set(one.sop_instance_uids)) < len(one.sop_instance_uids):
            raise ValueError(f"two images of series {name} have one SOPInstanceUID; export the series again")


def _absolute(folder: str | os.PathLike) -> Path:
    return Path(os.path.abspath(os.path.expanduser(folder)))
