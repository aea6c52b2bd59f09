# SPDX-License-Identifier: Apache-2.0
"""Every row of the tables: one sentence, nothing written, nothing changed."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from bad_input.entry_points import HINT, said
from bad_input.tables import ROWS
from bad_input.worlds import WORLDS
from running import ROOT


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """The valid worlds, each made when it is first asked for."""
    made: dict[str, Path] = {}

    def world(name: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name)
            WORLDS[name](made[name])
        return made[name]

    return world


def contents(folder: Path) -> dict[str, str]:
    """Everything below a folder: what each file holds, where each link points to."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            found[str(path)] = f"-> {path.readlink()}"
        else:
            found[str(path)] = "folder" if path.is_dir() else hashlib.sha256(path.read_bytes()).hexdigest()
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_a_bad_input_is_refused_in_one_sentence_and_leaves_no_trace(row, worlds, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "argv", ["monai.bundle"])
    monkeypatch.delenv("SELF_CLEANSING_TRACEBACK", raising=False)
    monkeypatch.setenv("TQDM_DISABLE", "1")
    world = tmp_path / "world"
    shutil.copytree(worlds(row.world), world, symlinks=True)
    row.spoil(world)
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    lines = said(row.words(world))
    assert len(lines) == 1 and row.pattern(world).fullmatch(lines[0]), "\n".join(lines)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["image with a NaN", "recipe: 70 instead of 0.7"])
def test_the_same_in_a_process_of_its_own(name, worlds, tmp_path):
    """Exit status and standard error as a user sees them; MONAI's own warnings come before."""
    row = next(row for row in ROWS if row.name == name)
    world = tmp_path / "world"
    shutil.copytree(worlds(row.world), world)
    row.spoil(world)
    words = row.words(world)
    program = ["-m", "monai.bundle"] if words[0] == "run" else [str(ROOT / "scripts" / f"{words.pop(0)}.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TQDM_DISABLE": "1"}
    before = contents(tmp_path)
    result = subprocess.run(
        [sys.executable, *program, *words], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    lines = [line for line in result.stderr.splitlines() if line.strip() and line != HINT]
    assert result.returncode in (1, 2) and row.pattern(world).fullmatch(lines[-1]), result.stderr[-2000:]
    assert "Traceback" not in result.stderr and contents(tmp_path) == before


def test_no_two_rows_have_one_name():
    assert len({row.name for row in ROWS}) == len(ROWS)
