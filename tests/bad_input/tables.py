# SPDX-License-Identifier: Apache-2.0
"""All rows, by the family of entry points they are given to."""

from __future__ import annotations

from bad_input import checkpoints, command_lines, configs, dataset_json, dicom, nifti, pictures
from bad_input.row import Row

TABLES: dict[str, list[Row]] = {
    one.__name__.rpartition(".")[2]: one.ROWS
    for one in (nifti, pictures, dataset_json, checkpoints, configs, dicom, command_lines)
}
ROWS = [row for rows in TABLES.values() for row in rows]
