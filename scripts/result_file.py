# SPDX-License-Identifier: Apache-2.0
"""Put figures into a file of docs/results: under one key, with what they were measured with; other keys stay."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from bundle.self_cleansing.data.json_file import read_json, write_json  # noqa: E402

RELIABILITY = ROOT / "docs" / "results" / "reliability.json"
PACKAGES = ("self-cleansing-bundle", "monai", "torch", "pytorch-ignite", "numpy", "nibabel")


def commit() -> str:
    """Of the code, with "+changes" if the working tree differs from it; "unknown" outside git."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def write_figures(path: Path, key: str, figures: Mapping[str, Any]) -> None:
    """Replace one key of a JSON file, whole or not at all, and add commit and versions to the figures.

    Raises:
        ValueError: the file holds no JSON object.
    """
    content = read_json(path) if path.is_file() else {}
    versions = {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
    write_json(path, content | {key: {**figures, "commit": commit(), "versions": versions}})
