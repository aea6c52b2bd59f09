# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from bundle.self_cleansing import __version__, run_folder
from bundle.self_cleansing.folder_lock import LOCK, lock_folder
from bundle.self_cleansing.inferers import mixed_precision
from bundle.self_cleansing.run_folder import (
    claim_output_dir,
    described,
    next_run_folder,
    take_output_dir,
    write_run_record,
)


def run_in(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    return folder


def test_a_free_folder_is_claimed_without_writing_anything(tmp_path):
    claim_output_dir(tmp_path / "new")
    claim_output_dir(run_in(tmp_path / "other", "notes.txt"))
    assert not (tmp_path / "new").exists()
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["notes.txt"]


def test_the_next_run_gets_the_first_free_number_and_nothing_is_made(tmp_path):
    assert next_run_folder(tmp_path / "runs") == str(tmp_path / "runs" / "run_001")
    assert not (tmp_path / "runs").exists()
    for name in ("run_001", "run_003"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    assert next_run_folder(tmp_path / "runs") == str(tmp_path / "runs" / "run_002")


@pytest.mark.parametrize(
    ("name", "remedy"),
    [("models/checkpoint.pt", "continue it with --resume true"), ("history.csv", "it has no checkpoint: remove it")],
)
def test_the_folder_of_another_run_is_refused_with_a_remedy_that_works(tmp_path, name, remedy):
    folder = run_in(tmp_path / "run7", name)
    with pytest.raises(ValueError, match=rf"run7 already holds another run \({name}\); {remedy}, or give"):
        claim_output_dir(folder)


def test_resuming_needs_a_checkpoint_and_then_ignores_the_rest(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing to resume: output_dir .*run8 has no models/checkpoint\.pt"):
        claim_output_dir(run_in(tmp_path / "run8", "history.csv"), resume=True)
    claim_output_dir(run_in(tmp_path / "run8", "models/checkpoint.pt"), resume=True)


def test_a_folder_that_another_process_works_in_is_not_taken(tmp_path):
    held = lock_folder(tmp_path / "run9")
    run_in(tmp_path / "run9", ".partial-1-history.csv")
    with pytest.raises(ValueError, match=r"run9 is in use by another process; let it end, or give another output_dir"):
        take_output_dir(tmp_path / "run9")
    assert (tmp_path / "run9" / ".partial-1-history.csv").exists()
    os.close(held)
    take_output_dir(tmp_path / "run9")
    assert [path.name for path in (tmp_path / "run9").iterdir()] == [LOCK]
    take_output_dir(tmp_path / "run9")  # this process has it already


def test_a_folder_is_looked_at_again_when_it_is_taken(tmp_path):
    """Another process may have begun, and ended, while this one prepared its data."""
    with pytest.raises(ValueError, match="already holds another run"):
        take_output_dir(run_in(tmp_path / "run1", "history.csv"))
    with pytest.raises(FileNotFoundError, match="nothing to resume"):
        take_output_dir(tmp_path / "run2", resume=True)


def test_a_file_is_no_output_folder(tmp_path):
    with pytest.raises(NotADirectoryError, match="notes.txt is a file"):
        claim_output_dir(run_in(tmp_path, "notes.txt") / "notes.txt")


def test_a_package_installed_under_another_name_has_no_version_and_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "RECORDED_PACKAGES", ("numpy", "a-package-that-is-not-there"))
    write_run_record(tmp_path / "a.json")
    versions = json.loads((tmp_path / "a.json").read_text())["versions"]
    assert versions["a-package-that-is-not-there"] is None and versions["numpy"] == np.__version__


def test_the_record_holds_settings_versions_and_device_and_is_the_same_every_time(tmp_path):
    settings = {"seed": 3, "loss": {"name": "dice", "batch": True}, "class_names": ("RV", "LV"), "folder": Path("a")}
    for name in ("a.json", "b.json"):
        write_run_record(tmp_path / name, device=torch.device("cpu"), **settings)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["settings"] == {
        "class_names": ["RV", "LV"],
        "folder": "a",
        "loss": {"name": "dice", "batch": True},
        "seed": 3,
    }
    assert record["versions"]["self-cleansing-bundle"] == __version__  # what an environment holds may be older
    assert record["versions"]["numpy"] == np.__version__
    assert record["versions"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert record["device"] == "cpu"


def test_a_record_that_changes_is_replaced_and_the_change_is_named(tmp_path, caplog):
    write_run_record(tmp_path / "run.json", seed=1, epochs=5)
    with caplog.at_level(logging.WARNING):
        write_run_record(tmp_path / "run.json", seed=1, epochs=5)
        assert not caplog.records
        write_run_record(tmp_path / "run.json", seed=2, epochs=5)
    assert "differs from the earlier record in seed" in caplog.text
    assert json.loads((tmp_path / "run.json").read_text())["settings"]["seed"] == 2


def test_the_record_says_what_auto_comes_to_on_this_machine(tmp_path, caplog, monkeypatch):
    for has_bfloat16, expected in ((True, "bfloat16"), (False, "float32")):
        monkeypatch.setattr(mixed_precision, "cpu_has_bfloat16", lambda answer=has_bfloat16: answer)
        write_run_record(tmp_path / "run.json", precision="auto")
        record = json.loads((tmp_path / "run.json").read_text())
        assert record["settings"] == {"precision": "auto"} and record["arithmetic"] == expected
    # As when a run goes on on a processor without it.
    assert "differs from the earlier record in arithmetic" in caplog.text


def test_an_object_is_no_plain_setting(tmp_path):
    with pytest.raises(TypeError, match=r"setting loss\.part must be a plain value.*got a Linear"):
        write_run_record(tmp_path / "run.json", loss={"part": torch.nn.Linear(1, 1)})
    assert not (tmp_path / "run.json").exists()


def test_a_transform_is_described_by_its_class_and_settings():
    from monai.transforms import Identityd, ScaleIntensityRanged

    window = described(ScaleIntensityRanged("image", -70.0, 180.0, 0.0, 1.0, clip=True))
    assert window["class"] == "ScaleIntensityRanged" and list(window["keys"]) == ["image"]
    inner = {name: window["scaler"][name] for name in ("class", "a_min", "a_max", "b_min", "b_max", "clip")}
    assert inner == {"class": "ScaleIntensityRange", "a_min": -70, "a_max": 180, "b_min": 0, "b_max": 1, "clip": True}
    assert described(Identityd("image"))["class"] == "Identityd"
    assert json.loads(json.dumps(window)) == json.loads(
        json.dumps(described(ScaleIntensityRanged("image", -70, 180, 0, 1, True)))
    )
    assert described(object()) == {"class": "object"}
