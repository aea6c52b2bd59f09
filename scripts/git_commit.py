# SPDX-License-Identifier: Apache-2.0
"""Say which commit of this repository runs: figures are worth nothing without it."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHANGED = "+changes"
FIGURES = ":!docs/results"  # written by the very programs that record a commit


def git_commit(root: Path = ROOT) -> str:
    """The commit of the code, with "+changes" if a tracked file differs from it; "unknown" outside git.

    Files that git does not track (data, notes) do not count, nor do figures in docs/results.
    """

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=True).stdout.strip()

    try:
        status = git("status", "--porcelain", "--untracked-files=no", "--", ".", FIGURES)
        return git("rev-parse", "HEAD") + (CHANGED if status else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def is_clean(commit: str) -> bool:
    """Whether a commit, as `git_commit` gives it, says what the code is."""
    return commit != "unknown" and not commit.endswith(CHANGED)
