# SPDX-License-Identifier: Apache-2.0
"""Put figures into a file of docs/results: under one key, with what they were measured with; other keys stay."""

from __future__ import annotations

import platform
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from git_commit import git_commit  # noqa: E402

from bundle.self_cleansing import DISTRIBUTION, __version__  # noqa: E402
from bundle.self_cleansing.data.json_file import read_json, write_json  # noqa: E402

RELIABILITY = ROOT / "docs" / "results" / "reliability.json"
PACKAGES = (
    *("monai", "torch", "pytorch-ignite", "numpy", "scipy", "scikit-learn"),
    *("nibabel", "pillow", "pydicom", "hypothesis", "pytest"),
)


def write_figures(path: Path, key: str, figures: Mapping[str, Any], command: str) -> None:
    """Replace one key of a JSON file, whole or not at all, and add command, commit and versions to the figures.

    Figures that took long bring the commit they began with; it stays.

    Raises:
        ValueError: the file holds no JSON object.
    """
    content = read_json(path) if path.is_file() else {}
    own = {DISTRIBUTION: __version__, "python": platform.python_version()}
    versions = own | {name: version(name) for name in PACKAGES}
    begun = figures.get("commit") or git_commit()
    write_json(path, content | {key: {**figures, "command": command, "commit": begun, "versions": versions}})
