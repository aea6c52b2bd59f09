# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from bundle.self_cleansing.slice_ranges import slice_ranges


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([], ""),
        ([7], "7"),
        ([4, 0, 2, 1], "0 to 2; 4"),
        ([3, 3, 4], "3 to 4"),
        ([9, 10, 11, 1, 99, 100], "1; 9 to 11; 99 to 100"),
    ],
)
def test_numbers_become_ranges(numbers, text):
    assert slice_ranges(numbers) == text


def test_the_ranges_hold_the_same_numbers():
    numbers = {number for number in range(60) if number**2 % 7 < 4}
    found = set()
    for one in slice_ranges(iter(sorted(numbers, reverse=True))).split("; "):
        first, *last = map(int, one.split(" to "))
        found |= set(range(first, (last or [first])[0] + 1))
    assert found == numbers
