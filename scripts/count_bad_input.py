# SPDX-License-Identifier: Apache-2.0
"""Run the bad inputs of tests/bad_input, and record how many there are and how many pass, in docs/results.

    python scripts/count_bad_input.py

A row passes if its input is refused in the one expected sentence and leaves no trace. The figures go to
reliability.json under "bad_input"; the exit status is 1 if a row does not pass.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts"), str(ROOT / "tests")]

from bad_input.tables import ROWS, TABLES  # noqa: E402
from git_commit import git_commit  # noqa: E402
from result_file import RELIABILITY, write_figures  # noqa: E402

TEST = ROOT / "tests" / "bad_input" / "test_bad_input.py"
NAME = "test_a_bad_input_is_refused_in_one_sentence_and_leaves_no_trace"


class Passed:
    """A plugin of pytest that counts the rows that pass; those that are skipped do not."""

    def __init__(self) -> None:
        self.count = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.count += report.when == "call" and report.passed


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RELIABILITY, help="JSON file; its other entries stay")
    options = parser.parse_args(arguments)
    commit, passed = git_commit(), Passed()
    pytest.main(["-q", "-p", "no:cacheprovider", f"{TEST}::{NAME}"], plugins=[passed])
    commands = Counter(" ".join(row.command.split()[: 2 if row.command.startswith("run ") else 1]) for row in ROWS)
    counts = {
        "rows": len(ROWS),
        "passed": passed.count,
        "tables": {name: len(rows) for name, rows in TABLES.items()},
        "commands": dict(sorted(commands.items())),
        "commit": commit,
    }
    write_figures(options.output, "bad_input", counts, "python scripts/count_bad_input.py")
    print(f"{passed.count} of {len(ROWS)} bad inputs of {len(commands)} commands pass, in {options.output}")
    sys.exit(passed.count < len(ROWS))


if __name__ == "__main__":
    main()
