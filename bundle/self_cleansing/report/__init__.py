# SPDX-License-Identifier: Apache-2.0
"""What a run leaves for people to look at: a figure, and the repaired labels with their provenance."""

from __future__ import annotations

from .figure import draw_run as draw_run
from .figure import save_png as save_png
from .repaired_labels import export_repaired_labels as export_repaired_labels
from .repaired_labels import repaired_masks as repaired_masks
from .samples import PanelSample as PanelSample
from .samples import choose_samples as choose_samples
from .samples import verdict_word as verdict_word
