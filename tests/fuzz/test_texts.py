# SPDX-License-Identifier: Apache-2.0
"""Small functions on names and numbers, against what they undo or must keep."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from bundle.self_cleansing.audit.page_data import inert_json
from bundle.self_cleansing.data.labels import class_names, label_map, label_to_channels
from bundle.self_cleansing.slice_ranges import slice_ranges
from bundle.self_cleansing.spreadsheet_text import FORMULA_STARTS, spreadsheet_text


@given(st.lists(st.integers(0, 60)))
def test_slice_ranges_can_be_read_back(numbers):
    found: set[int] = set()
    for part in filter(None, slice_ranges(numbers).split("; ")):
        first, _, last = part.partition(" to ")
        found |= set(range(int(first), int(last or first) + 1))
    assert found == set(numbers)


@given(st.one_of(st.text(), st.tuples(st.sampled_from(FORMULA_STARTS), st.text()).map("".join)))
def test_no_cell_is_a_formula_and_every_text_can_be_read_back(text):
    cell = spreadsheet_text(text)
    assert not cell.startswith(FORMULA_STARTS) and spreadsheet_text(cell) == cell
    assert cell in (text, "'" + text)


@given(
    st.recursive(
        st.text() | st.integers() | st.booleans(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_of_a_page_ends_no_script(value):
    text = inert_json(value)
    assert "<" not in text and text.isascii() and json.loads(text) == value


@given(hnp.arrays(np.uint8, (4, 5, 2), elements=st.integers(0, 3)))
def test_a_map_becomes_masks_and_a_map_again(values):
    masks = label_to_channels(values[None], ["a", "b", "c"], "label.nii.gz", has_channel_axis=False)
    assert masks.dtype == np.uint8 and masks.max(initial=0) <= 1 and np.array_equal(label_map(masks), values)


@given(st.dictionaries(st.text(max_size=3), st.text(max_size=3)))
def test_class_names_are_ordered_and_different_or_refused(declared):
    try:
        names = class_names(declared)
    except ValueError as refusal:
        assert "\n" not in str(refusal).strip()
        return
    assert list(names) == sorted(names) and min(names) >= 1 and len(set(names.values())) == len(names)


def test_a_property_can_fail():
    """The harness itself: a false claim is found."""
    with pytest.raises(AssertionError):
        given(st.integers())(_all_numbers_are_small)()


def _all_numbers_are_small(number: int) -> None:
    assert number < 100
