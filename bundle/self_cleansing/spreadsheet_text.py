# SPDX-License-Identifier: Apache-2.0
"""Names in a table that people open with a spreadsheet."""

from __future__ import annotations

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet runs a cell that begins so


def spreadsheet_text(text: str) -> str:
    """Put an apostrophe before a text that a spreadsheet would run as a formula; any other text stays."""
    return "'" + text if text.startswith(FORMULA_STARTS) else text
