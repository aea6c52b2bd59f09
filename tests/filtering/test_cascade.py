# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from bundle.self_cleansing.filtering import Provenance, cascade

MANUAL = np.array([[True, True, False, False]])
PSEUDO = np.array([[True, False, True, False]])


def test_the_cascade_of_the_paper():
    action = cascade(MANUAL, PSEUDO)
    assert action.dtype == np.uint8
    assert [Provenance(a).name for a in action[0]] == ["MANUAL", "MANUAL", "KEPT", "RENEWED"]


def test_labels_may_be_left_out_instead_of_renewed_and_there_may_be_no_pseudo_label():
    assert cascade(MANUAL, PSEUDO, both_noisy=Provenance.REJECTED).tolist() == [[0, 0, 1, 3]]
    assert cascade(MANUAL, both_noisy=Provenance.REJECTED).tolist() == [[0, 0, 3, 3]]


def test_stored_numbers_stay():
    assert {p.name: int(p) for p in Provenance} == {"MANUAL": 0, "KEPT": 1, "RENEWED": 2, "REJECTED": 3}


def test_no_samples():
    assert cascade(np.zeros((0, 3)), np.zeros((0, 3))).shape == (0, 3)


def test_bad_input_is_named():
    with pytest.raises(ValueError, match=r"\(1, 4\) and \(4,\)"):
        cascade(MANUAL, PSEUDO[0])
    with pytest.raises(ValueError, match="KEPT"):
        cascade(MANUAL, PSEUDO, both_noisy=Provenance.KEPT)
