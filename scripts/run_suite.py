# SPDX-License-Identifier: Apache-2.0
"""Run the tests that are not slow, and record what came of them and with which versions, in docs/results.

    python scripts/run_suite.py --name pinned --coverage
    python scripts/run_suite.py --name lowest -o filterwarnings=default

The name says which environment this is; the figures go to reliability.json under "suite_<name>", and with --coverage
the lines of the package that no test runs under "coverage". Other options go to pytest. The exit status is pytest's.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from git_commit import git_commit  # noqa: E402
from result_file import RELIABILITY, write_figures  # noqa: E402

from bundle.self_cleansing.data.json_file import read_json  # noqa: E402
from bundle.self_cleansing.slice_ranges import slice_ranges  # noqa: E402

OPTIONS = ("-q", "-m", "not slow", "-n", "2", "--dist", "loadfile")


class Outcomes:
    """A plugin of pytest that counts: a test fails if it, its preparation or its end does."""

    def __init__(self) -> None:
        self.passed: set[str] = set()
        self.skipped: set[str] = set()
        self.failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or not report.passed:
            {"passed": self.passed, "skipped": self.skipped, "failed": self.failed}[report.outcome].add(report.nodeid)
        self.passed -= self.failed


def lines_of(report: Mapping[str, Any]) -> dict[str, Any]:
    """Figures of a report of coverage.py: lines, those covered, percent, and the others by file, as ranges."""
    totals = report["totals"]
    return {
        "lines": totals["num_statements"],
        "covered": totals["covered_lines"],
        "percent": round(100 * totals["covered_lines"] / totals["num_statements"], 2),
        "uncovered": {
            name: slice_ranges(file["missing_lines"]) for name, file in report["files"].items() if file["missing_lines"]
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--name", required=True, help="of the environment, such as pinned, lowest or python_3.13")
    parser.add_argument("--coverage", action="store_true", help="say which lines of the package the tests run")
    parser.add_argument("--output", type=Path, default=RELIABILITY, help="JSON file; its other entries stay")
    parser.add_argument("--tests", default=str(ROOT / "tests"), help="folder or file (default: all)")
    options, others = parser.parse_known_args(arguments)
    command = shlex.join(["python", "scripts/run_suite.py", *(sys.argv[1:] if arguments is None else arguments)])
    commit, outcomes, start = git_commit(), Outcomes(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "coverage.json"
        measured = ["--cov", f"--cov-report=json:{report}"] if options.coverage else []
        status = pytest.main([*OPTIONS, *measured, *others, options.tests], plugins=[outcomes])
        lines = lines_of(read_json(report)) if report.is_file() else None
    seconds = round(time.monotonic() - start)
    found = {"passed": len(outcomes.passed), "skipped": len(outcomes.skipped), "failed": sorted(outcomes.failed)}
    write_figures(options.output, f"suite_{options.name}", {**found, "seconds": seconds, "commit": commit}, command)
    if lines is not None:
        write_figures(options.output, "coverage", {**lines, "commit": commit}, command)
    counts = ", ".join(f"{len(getattr(outcomes, name))} {name}" for name in ("passed", "skipped", "failed"))
    print(f"{counts}, in {options.output}")
    sys.exit(status)


if __name__ == "__main__":
    main()
