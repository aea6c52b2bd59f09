# SPDX-License-Identifier: Apache-2.0
"""From corrected labels to a new data set with its provenance."""

from __future__ import annotations

from .corrections import Correction as Correction
from .corrections import corrections_of_folder as corrections_of_folder
from .corrections import corrections_of_studies as corrections_of_studies
from .merge import Merged as Merged
from .merge import merge_reviewed as merge_reviewed
from .provenance import changed_cases as changed_cases
