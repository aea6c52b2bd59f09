# SPDX-License-Identifier: Apache-2.0
"""The ACDC challenge's own layout: patientNNN/patientNNN_frameMM.nii.gz beside ..._frameMM_gt.nii.gz.

Bernard et al., Deep learning techniques for automatic MRI cardiac multi-structures segmentation and diagnosis: is the
problem solved?, IEEE TMI 2018, https://doi.org/10.1109/TMI.2018.2837502
"""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

logger = logging.getLogger(__name__)

ACDC_LABEL_NAMES = {1: "RV", 2: "Myo", 3: "LV"}
PATIENT_FOLDER = re.compile(r"patient\d{3}")
FRAME_FILE = re.compile(r"(?P<case>(?P<patient>patient\d{3})_frame\d{2})(?P<gt>_gt)?\.nii(\.gz)?")
DEEPEST_PATIENT_FOLDER = 3  # database/training/patient001


def acdc_cases(dataset_dir: str | os.PathLike) -> list[dict]:
    """List the labelled frames of an ACDC-layout data set.

    Patient folders may lie up to three levels down; Info.cfg, 4-D files and anything else beside the frames are
    ignored, and so is a folder clean_labels at the top. A patient without any label (the challenge's test patients,
    as first released) is left out and logged.

    Args:
        dataset_dir: the folder that was unpacked.

    Returns:
        One dict per labelled frame: case ("patient001_frame01"), patient ("patient001"), image, label (absolute
        paths); in no particular order. Empty if there is no labelled patient.

    Raises:
        ValueError: if a case is found twice.
        FileNotFoundError: if a frame has no label although another frame of the patient has one, or a label has no
            image.
    """
    cases: list[dict] = []
    found: dict[str, dict[str, str]] = {}
    for folder in sorted(_patient_folders(Path(os.path.abspath(dataset_dir)), depth=1)):
        images, labels = _frames(folder, found)
        if labels:
            cases += _pairs(images, labels, folder.name)
        elif images:
            logger.info("%s has no labelled frame and is left out", folder)
    return cases


def _patient_folders(folder: Path, depth: int) -> list[Path]:
    patients = []
    for entry in folder.iterdir():
        if not entry.is_dir() or entry.name.startswith(".") or (depth == 1 and entry.name == "clean_labels"):
            continue
        if PATIENT_FOLDER.fullmatch(entry.name):
            patients.append(entry)
        elif depth < DEEPEST_PATIENT_FOLDER:
            patients += _patient_folders(entry, depth + 1)
    return patients


def _frames(folder: Path, found: dict[str, dict[str, str]]) -> tuple[dict[str, str], dict[str, str]]:
    """Images and labels of a patient folder by case; `found` remembers all folders, to see a case twice."""
    images: dict[str, str] = {}
    labels: dict[str, str] = {}
    for file in sorted(folder.iterdir()):
        match = FRAME_FILE.fullmatch(file.name)
        if not match or match["patient"] != folder.name or not file.is_file():
            continue
        kind = "label" if match["gt"] else "image"
        earlier = found.setdefault(match["case"], {}).setdefault(kind, str(file))
        if earlier != str(file):
            raise ValueError(f"case {match['case']} is there twice, {earlier} and {file}; remove one of the two")
        (labels if match["gt"] else images)[match["case"]] = str(file)
    return images, labels


def _pairs(images: dict[str, str], labels: dict[str, str], patient: str) -> list[dict]:
    for case, image in images.items():
        if case not in labels:
            label = image.replace(".nii", "_gt.nii")
            raise FileNotFoundError(
                f"label {label} is missing, but other frames of {patient} have labels; restore it, or remove {image}"
            )
    for case, label in labels.items():
        if case not in images:
            raise FileNotFoundError(f"label {label} has no image {label.replace('_gt.nii', '.nii')}; restore the image")
    return [{"case": case, "patient": patient, "image": images[case], "label": labels[case]} for case in images]
