# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from bundle.self_cleansing.errors import user_error
from bundle.self_cleansing.losses import LabelSchedule


def ours() -> ValueError:
    with pytest.raises(ValueError) as caught:
        LabelSchedule(0, 0)
    return caught.value


def test_the_package_s_own_error_is_found_below_wrappers_and_others_are_not():
    wrapper, cause = RuntimeError("wrapper"), ours()
    wrapper.__cause__ = cause
    assert user_error(wrapper) is cause
    assert user_error(RuntimeError("somebody else's")) is None and user_error(None) is None


def test_a_ring_of_causes_is_followed_once():
    """`raise root from wrapper`, with root below the wrapper, closes the chain."""
    wrapper, cause = RuntimeError("wrapper"), ours()
    wrapper.__cause__, cause.__cause__ = cause, wrapper
    assert user_error(wrapper) is cause
