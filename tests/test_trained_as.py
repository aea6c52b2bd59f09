# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import pytest

from bundle.self_cleansing.trained_as import check_trained_as

TRAINED = {"network_size": 64, "class_names": ["RV", "LV"], "intensity": {"class": "Range", "a_min": -100, "new": 1}}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    (tmp_path / "run.json").write_text(json.dumps({"settings": TRAINED}))
    return tmp_path / "models" / "model_best.pt"


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"network_size": 64, "class_names": ("RV", "LV"), "intensity": {"class": "Range", "a_min": -100, "newer": 2}},
        {"shrink": 2},  # not in the record
    ],
)
def test_what_agrees_or_cannot_be_compared_is_let_through(model, settings):
    check_trained_as(model, **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (
            {"network_size": 128},
            r"model_best\.pt was trained with network_size = 64 \(.*run\.json\), this has 128; add",
        ),
        ({"class_names": ["LV", "RV"]}, r"class_names = \['RV', 'LV'\]"),
        ({"intensity": {"class": "Percentiles"}}, r"intensity\.class = 'Range'"),
        ({"intensity": {"class": "Range", "a_min": 0}}, r"intensity\.a_min = -100 .*, this has 0"),
    ],
)
def test_what_differs_is_named(model, settings, words):
    with pytest.raises(ValueError, match=words):
        check_trained_as(model, **settings)


def test_a_model_without_a_record_is_not_checked(tmp_path):
    check_trained_as(tmp_path / "models" / "model.pt", network_size=128)


def test_a_record_without_settings_is_named(model):
    (model.parent.parent / "run.json").write_text("{}")
    with pytest.raises(ValueError, match=r"run\.json holds no settings"):
        check_trained_as(model, network_size=64)
