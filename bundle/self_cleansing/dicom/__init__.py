# SPDX-License-Identifier: Apache-2.0
"""DICOM in and out, with the packages of the extra `dicom`: pydicom and ITK read, highdicom writes.

`save_seg`, which needs highdicom, is not imported here.
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
