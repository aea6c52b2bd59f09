# SPDX-License-Identifier: Apache-2.0
"""Slice numbers as a person reads them, and as no spreadsheet takes for a date or a number with decimals."""

from __future__ import annotations

from collections.abc import Iterable


def slice_ranges(numbers: Iterable[int]) -> str:
    """Write numbers as ranges: 4, 0, 1, 2 as '0 to 2; 4'. Repeated numbers count once; none give ''."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1][1:] = [number]
        else:
            ranges.append([number])
    return "; ".join(" to ".join(map(str, ends)) for ends in ranges)
