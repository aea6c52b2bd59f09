# SPDX-License-Identifier: Apache-2.0
"""Run the properties of tests/fuzz with many drawn cases, and record what came of it.

    python scripts/run_fuzz.py --cases 100000 --seed 0

The cases are shared out among the properties. Where one has fewer different cases than its share, the others get the
rest. The figures go to docs/results/reliability.json under "fuzz" as soon as a property is done: stopped and started
again with the same seed, number of cases and commit, the program goes on from there.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, seed, settings
from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts"), str(ROOT / "tests")]

from git_commit import git_commit, is_clean  # noqa: E402
from result_file import RELIABILITY, read_json, write_figures  # noqa: E402

# Share of the cases beside 1 of all others: this one fits two judges, up to a second, where others take milliseconds.
WEIGHTS = {"audit::trust_is_a_probability_and_follows_the_samples": 0.1}

Rounds = dict[str, list[dict[str, Any]]]  # of each property, what came of every time it was run


def properties() -> dict[str, Callable[[], None]]:
    """All properties by name, <module>::<function>."""
    found = {}
    for path in sorted((ROOT / "tests" / "fuzz").glob("test_*.py")):
        module = importlib.import_module(f"fuzz.{path.stem}")
        for name, value in vars(module).items():
            if getattr(value, "is_hypothesis_test", False):
                found[f"{path.stem.removeprefix('test_')}::{name.removeprefix('test_')}"] = value
    return found


def shares(names: Sequence[str], cases: int) -> dict[str, int]:
    """Share out the cases: one to each as far as they reach, the rest by weight. Those that get none are left out."""
    found = dict.fromkeys(names[:cases], 1)
    if (rest := cases - len(found)) > 0:
        weights = {name: WEIGHTS.get(name, 1.0) for name in names}
        for name in names:
            found[name] += int(rest * weights[name] / sum(weights.values()))
        heaviest_first = sorted(names, key=lambda name: -weights[name])
        for name in heaviest_first[: cases - sum(found.values())]:
            found[name] += 1
    return found


def run_property(test: Any, cases: int, number: int | str, bar: tqdm) -> dict[str, Any]:
    """Draw cases for one property.

    Args:
        test: a function that hypothesis decorated.
        cases: how many at most; where a property has fewer different cases, hypothesis stops when all were there.
        number: seed of the draws.
        bar: moves on by one with every case.

    Returns:
        cases offered, cases run, seconds, and the failure as hypothesis reports it, None if there is none.
    """
    body, count = test.hypothesis.inner_test, 0

    def counted(*arguments: Any, **named: Any) -> None:
        nonlocal count
        count += 1
        bar.update(count <= cases)  # those that shrink a failure come on top
        body(*arguments, **named)

    options = {"deadline": None, "database": None, "print_blob": True, "suppress_health_check": list(HealthCheck)}
    failure, start = None, time.monotonic()
    vars(test).pop("_hypothesis_internal_settings_applied", None)  # else it takes settings only once
    test.hypothesis.inner_test = counted
    try:
        seed(number)(settings(max_examples=cases, derandomize=False, **options)(test))()
    except Exception as error:
        failure = " | ".join(map(_described, getattr(error, "exceptions", [error])))  # a group, if several were found
    finally:
        test.hypothesis.inner_test = body
    return {"offered": cases, "cases": count, "seconds": round(time.monotonic() - start, 1), "failure": failure}


def _described(error: Exception) -> str:
    """An error in a line: what it says, where it was raised, and the case, as hypothesis notes it."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    notes = " ".join(getattr(error, "__notes__", []))
    return f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno}) {notes}"[:2000]


def run_all(
    tests: Mapping[str, Any], cases: int, number: int, earlier: Rounds, done: Callable[[Rounds], None], bar: tqdm
) -> Rounds:
    """Run all properties, in rounds: what some could not use is offered to those that used all they were offered.

    Args:
        tests: properties by name.
        cases: of all properties together.
        number: seed of the draws; those of later rounds are drawn from others.
        earlier: what is known already, and is not run again.
        done: called whenever a property was run.
        bar: moves on by one with every case.
    """
    found: Rounds = {name: [] for name in tests}
    offers = shares(list(tests), cases)
    while offers:
        for name, offered in offers.items():
            bar.set_description(name.partition("::")[2][:40])
            rounds = found[name]
            if len(rounds) < len(earlier.get(name, [])):
                rounds.append(earlier[name][len(rounds)])
                bar.update(rounds[-1]["cases"])
                continue
            draws = number if not rounds else f"{number}, round {len(rounds) + 1}"
            rounds.append(run_property(tests[name], offered, draws, bar))
            done(found)
        missing = cases - sum(one["cases"] for rounds in found.values() for one in rounds)
        lasts = {name: rounds[-1] for name, rounds in found.items()}
        willing = [name for name, last in lasts.items() if not last["failure"] and last["cases"] >= last["offered"]]
        offers = shares(willing, missing) if missing > 0 and willing else {}
    return found


def figures(found: Rounds, same: Mapping[str, Any]) -> dict[str, Any]:
    """What is reported: totals of all and of each property."""

    def total(rounds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        failure = next((one["failure"] for one in rounds if one["failure"]), None)
        seconds = round(sum(one["seconds"] for one in rounds), 1)
        return {"cases": sum(one["cases"] for one in rounds), "seconds": seconds, "failure": failure, "rounds": rounds}

    of_each = {name: total(rounds) for name, rounds in found.items() if rounds}
    return {
        "cases": sum(one["cases"] for one in of_each.values()),
        "failures": sum(one["failure"] is not None for one in of_each.values()),
        "seconds": round(sum(one["seconds"] for one in of_each.values()), 1),
        **same,
        "properties": of_each,
    }


def known_rounds(path: Path, same: Mapping[str, Any]) -> Rounds:
    """What an earlier start found, if it had the same seed, number of cases and commit, and no changes beside it."""
    earlier = read_json(path).get("fuzz", {}) if path.is_file() else {}
    if not is_clean(same["commit"]) or any(earlier.get(key) != same[key] for key in same):
        return {}
    return {name: one["rounds"] for name, one in earlier["properties"].items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, run, record; the exit status is 1 if a property failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=100_000, help="of all properties together (default 100000)")
    parser.add_argument("--seed", type=int, default=0, help="of all draws (default 0)")
    parser.add_argument("--output", type=Path, default=RELIABILITY, help="JSON file; its other entries stay")
    options = parser.parse_args(arguments)
    tests = properties()
    if options.cases < len(tests):
        parser.error(f"--cases must be at least {len(tests)}, one for every property, got {options.cases}")
    warnings.simplefilter("ignore")  # a warning is not a failure here; the tests make it one
    same = {"asked": options.cases, "seed": options.seed, "commit": git_commit()}
    earlier = known_rounds(options.output, same)
    with tqdm(total=options.cases, unit="case", mininterval=5) as bar:

        def record(found: Rounds) -> None:
            command = f"python scripts/run_fuzz.py --cases {options.cases} --seed {options.seed}"
            write_figures(options.output, "fuzz", figures(found, same), command)

        found = run_all(tests, options.cases, options.seed, earlier, record, bar)
    for name, one in (report := figures(found, same))["properties"].items():
        print(f"{name}: {one['cases']} cases, {one['seconds']} s" + (f"; {one['failure']}" if one["failure"] else ""))
    print(f"{report['cases']} of {options.cases} cases, {report['failures']} failures, in {options.output}")
    sys.exit(1 if report["failures"] else 0)


if __name__ == "__main__":
    main()
