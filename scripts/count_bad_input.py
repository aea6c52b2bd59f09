# SPDX-License-Identifier: Apache-2.0
"""Record how many bad inputs tests/bad_input holds, in docs/results/reliability.json under "bad_input".

python scripts/count_bad_input.py
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from bad_input.tables import ROWS, TABLES  # noqa: E402

from bundle.self_cleansing.data import read_json, write_json  # noqa: E402

RESULTS = ROOT / "docs" / "results" / "reliability.json"


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, count, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON file; its other entries stay")
    options = parser.parse_args(arguments)
    commands = Counter(" ".join(row.command.split()[: 2 if row.command.startswith("run ") else 1]) for row in ROWS)
    counts = {
        "rows": len(ROWS),
        "tables": {name: len(rows) for name, rows in TABLES.items()},
        "commands": dict(sorted(commands.items())),
    }
    earlier = read_json(options.output) if options.output.is_file() else {}
    write_json(options.output, {**earlier, "bad_input": counts})
    print(f"{len(ROWS)} bad inputs of {len(commands)} commands")


if __name__ == "__main__":
    main()
