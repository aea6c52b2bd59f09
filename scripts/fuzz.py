# SPDX-License-Identifier: Apache-2.0
"""Run the properties of tests/fuzz with many drawn cases, and record what came of it.

    python scripts/fuzz.py --cases 100000 --seed 0

The cases are shared out among the properties. The figures go to docs/results/reliability.json under "fuzz".
"""

from __future__ import annotations

import argparse
import importlib
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, seed, settings
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
# Without scripts/ itself: there `fuzz` is this program, and not the package of the properties.
others = [one for one in sys.path if Path(one).resolve() != ROOT / "scripts"]
sys.path[:] = [str(ROOT), str(ROOT / "tests"), *others]

from bundle.self_cleansing.data import read_json, write_json  # noqa: E402

RESULTS = ROOT / "docs" / "results" / "reliability.json"
PACKAGES = ("hypothesis", "numpy", "torch", "monai", "nibabel", "pillow", "pydicom", "scikit-learn", "scipy")


def properties() -> dict[str, Callable[[], None]]:
    """All properties by name, <module>::<function>."""
    found = {}
    for path in sorted((ROOT / "tests" / "fuzz").glob("test_*.py")):
        module = importlib.import_module(f"fuzz.{path.stem}")
        for name, value in vars(module).items():
            if getattr(value, "is_hypothesis_test", False):
                found[f"{path.stem.removeprefix('test_')}::{name.removeprefix('test_')}"] = value
    return found


def run_property(test: Any, cases: int, number: int, bar: tqdm) -> dict[str, Any]:
    """Draw cases for one property.

    Args:
        test: a function that hypothesis decorated.
        cases: how many at most; where a property has fewer different cases, hypothesis stops when all were there.
        number: seed of the draws.
        bar: moves on by one with every case.

    Returns:
        cases run, seconds, and the failure as hypothesis reports it, None if there is none.
    """
    body, count = test.hypothesis.inner_test, 0

    def counted(*arguments: Any, **named: Any) -> None:
        nonlocal count
        count += 1
        bar.update(count <= cases)  # those that shrink a failure come on top
        body(*arguments, **named)

    options = {"deadline": None, "database": None, "print_blob": True, "suppress_health_check": list(HealthCheck)}
    failure, start = None, time.monotonic()
    test.hypothesis.inner_test = counted
    try:
        seed(number)(settings(max_examples=cases, derandomize=False, **options)(test))()
    except Exception as error:
        notes = " ".join(getattr(error, "__notes__", []))
        failure = f"{type(error).__name__}: {error} {notes}"[:2000]
    finally:
        test.hypothesis.inner_test = body
    return {"cases": count, "seconds": round(time.monotonic() - start, 1), "failure": failure}


def commit() -> str:
    """The commit of the code, with "+changes" if the working tree differs from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain") else "")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run, record; the exit status is 1 if a property failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000, help="of all properties together (default 100000)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default 0)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="JSON file; its other entries stay")
    options = parser.parse_args(arguments)
    tests = properties()
    if options.cases < len(tests):
        parser.error(f"--cases must be at least {len(tests)}, one for every property, got {options.cases}")
    warnings.simplefilter("ignore")  # a warning is not a failure here; the tests make it one
    share, rest = divmod(options.cases, len(tests))
    found: dict[str, dict[str, Any]] = {}
    with tqdm(total=options.cases, unit="case", mininterval=5) as bar:
        for number, (name, test) in enumerate(tests.items()):
            bar.set_description(name.partition("::")[2][:40])
            found[name] = run_property(test, share + (number < rest), options.seed, bar)
    figures = {
        "cases": sum(one["cases"] for one in found.values()),
        "failures": sum(one["failure"] is not None for one in found.values()),
        "seconds": round(sum(one["seconds"] for one in found.values()), 1),
        "seed": options.seed,
        "commit": commit(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "properties": found,
    }
    earlier = read_json(options.output) if options.output.is_file() else {}
    write_json(options.output, {**earlier, "fuzz": figures})
    for name, one in found.items():
        print(f"{name}: {one['cases']} cases, {one['seconds']} s" + (f"; {one['failure']}" if one["failure"] else ""))
    sys.exit(1 if figures["failures"] else 0)


if __name__ == "__main__":
    main()
