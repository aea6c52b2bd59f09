# SPDX-License-Identifier: Apache-2.0
"""What the tests with a real MONAI Label server share."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import ROOT


@pytest.fixture(scope="session")
def monai_label_python() -> Path:
    """The interpreter of MONAI Label's environment; tests that need it are skipped where it is not installed."""
    environment = ROOT / ".venv-monai-label"
    if not (environment / "installed").is_file():
        pytest.skip(f"{environment.name} is not there; `make monai-label` makes it")
    return environment / "bin" / "python"
