# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess

import pytest
from running import load_script

module = load_script("git_commit")


@pytest.fixture
def repository(tmp_path):
    (tmp_path / "docs" / "results").mkdir(parents=True)
    for name in ("code.py", "docs/results/figures.json"):
        (tmp_path / name).write_text("1\n")
    by = ("-c", "user.name=a", "-c", "user.email=a@b")
    for words in (["init"], ["add", "."], [*by, "commit", "-m", "first"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def test_changed_code_shows_in_the_commit(repository):
    before = module.git_commit(repository)
    assert len(before) == 40 and module.is_clean(before)
    (repository / "code.py").write_text("2\n")
    assert module.git_commit(repository) == f"{before}+changes" and not module.is_clean(f"{before}+changes")


def test_new_files_and_figures_are_no_change_of_the_code(repository):
    before = module.git_commit(repository)
    (repository / "notes.txt").write_text("2\n")
    (repository / "docs" / "results" / "figures.json").write_text("2\n")
    assert module.git_commit(repository) == before


def test_outside_git_the_commit_is_unknown(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert module.git_commit(tmp_path) == "unknown" and not module.is_clean("unknown")
