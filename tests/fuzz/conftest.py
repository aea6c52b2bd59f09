# SPDX-License-Identifier: Apache-2.0
"""Few cases, always the same ones; scripts/run_fuzz.py runs the same properties with many."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile(
    "few", max_examples=15, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
)
settings.load_profile("few")
