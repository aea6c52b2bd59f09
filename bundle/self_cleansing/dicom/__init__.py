# SPDX-License-Identifier: Apache-2.0
"""DICOM in and out. Reading images and labels needs pydicom (2 or later) and ITK.

`save_seg` (writing SEG) needs highdicom and with it pydicom 3; it is not imported here.
"""

from __future__ import annotations

from .cases import dicom_cases as dicom_cases
from .identifiers import Identifiers as Identifiers
from .label_objects import LabelObject as LabelObject
from .label_objects import find_label_objects as find_label_objects
from .name_case import NameCased as NameCased
from .private_mapping import PrivateMapping as PrivateMapping
from .reader import DicomSeriesReader as DicomSeriesReader
from .series import Series as Series
from .series import find_series as find_series
from .series import read_series as read_series
