# SPDX-License-Identifier: Apache-2.0
"""Kill everything that works long, again and again, and see that starting it again ends as if nothing had happened.

    python scripts/kill_and_restart.py --kills 200 --seed 0

Entry points (scripts/kill_targets.py): training with its cleansing updates and checkpoints, audit, grid, export, noise
making, all on a tiny phantom. A chain kills one of them (SIGKILL), looks for half-written files, starts the same
command again in the same folder, kills it again, and in the end lets it finish and compares all results with those of
a run that nobody killed. Half of the kills come at a random time; for the other half the process kills itself at a
random call of a random kind: between opening and writing, before and after renaming, amid torch.save, amid a cleansing
update, after making a folder (scripts/kill_hook).

A chain is survived if no kill left a half-written file under its final name and all results are the same bit by bit
(scripts/same_results.py says which files may differ). A restart may be refused, in one sentence: the chain then goes
on in an empty folder, and the refusal is counted.

It can be stopped and started again: finished chains are kept in --work_dir. The figures go under the key "kills" of
--output; the exit status is 1 if a kill was not survived.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
HOOK = ROOT / "scripts" / "kill_hook"
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from git_commit import git_commit  # noqa: E402
from half_written import half_written  # noqa: E402
from kill_targets import CACHE, OUT, Target, prepare, targets  # noqa: E402
from result_file import RELIABILITY, write_figures  # noqa: E402
from same_results import COSTS, MAY_DIFFER, differences  # noqa: E402

from bundle.self_cleansing.data.json_file import read_json, write_json  # noqa: E402

ANY_TIME = "any time"
MAX_KILLS = 5  # of one chain


@dataclass(frozen=True)
class Ended:
    """How an attempt ended: its exit status, whether it was killed on purpose, all it said, and when it ended."""

    status: int
    killed: bool
    said: str
    seconds: float


def attempt(target: Target, folder: Path, after_s: float | None = None, **hook: object) -> Ended:
    """Start a command, or start it again, in `folder`, and kill it after some seconds, or let the hook do so.

    Args:
        target: what to run.
        folder: where.
        after_s: when to kill it; None: never.
        hook: variables of scripts/kill_hook without KILL_.
    """
    temporary, fired = folder / "tmp", folder / "fired"
    fired.unlink(missing_ok=True)
    temporary.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
        "TMPDIR": str(temporary),
        "PYTHONPATH": os.pathsep.join([str(HOOK), str(ROOT)]),
        "KILL_BELOW": str(folder),
        "KILL_FIRED": str(fired),
        **{f"KILL_{name}": str(value) for name, value in hook.items()},
    }
    started = time.monotonic()
    with open(folder / "said.txt", "w+", encoding="utf-8") as said:
        process = subprocess.Popen(
            target.command_line(folder), cwd=folder, env=environment, stdout=said, stderr=said, start_new_session=True
        )
        killed = False
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            killed = True
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # its children as well: they would write on
            except ProcessLookupError:
                pass
            process.wait()
        seconds = time.monotonic() - started
        said.seek(0)
        return Ended(process.returncode, killed or fired.exists(), said.read(), seconds)


def unbroken(name: str, target: Target, work_dir: Path) -> dict[str, Any]:
    """Run a target once without a kill, keep its results, and return seconds and the number of calls per place."""
    kept = work_dir / "unbroken" / name
    if not (kept / "found.json").is_file():
        folder, counts = work_dir / "attempt", work_dir / "counts"
        for old in (folder, counts, kept):
            shutil.rmtree(old, ignore_errors=True)
        counts.mkdir(parents=True)
        ended = attempt(target, folder, COUNTS=counts)
        if ended.status != 0:
            raise RuntimeError(f"{name} fails without any kill: {ended.said[-3000:]}")
        calls: Counter[str] = Counter()  # the most of any of its processes
        for file in counts.iterdir():
            calls |= Counter(read_json(file))
        kept.mkdir(parents=True)
        (folder / OUT).rename(kept / OUT)
        write_json(kept / "found.json", {"seconds": ended.seconds, "calls": calls})
    return read_json(kept / "found.json")


def chain(name: str, target: Target, work_dir: Path, rng: np.random.Generator, kills: int, lead: int) -> dict[str, Any]:
    """Kill a target up to `kills` times, let it finish, compare.

    Args:
        name, target: what is killed.
        work_dir: of the whole program; `unbroken` has been there.
        rng: of the moments.
        kills: at most so many.
        lead: how many more kills have come at any time than at a place; the next one makes up for it.

    Returns:
        kills (place, moment, half-written files of each), refusals (sentences), trouble ("" if survived), differences.
    """
    known, folder = unbroken(name, target, work_dir), work_dir / "attempt"
    shutil.rmtree(folder, ignore_errors=True)
    done: list[dict[str, Any]] = []
    refusals: list[str] = []
    was_refused = False
    while True:
        place, moment = ANY_TIME, round(float(rng.uniform(0, known["seconds"])), 2)
        if lead > 0:
            place = str(rng.choice(sorted(known["calls"])))
            moment = int(rng.integers(1, known["calls"][place] + 1))
        if len(done) == kills:
            ended = attempt(target, folder)
        elif place == ANY_TIME:
            ended = attempt(target, folder, after_s=moment)
        else:
            ended = attempt(target, folder, PLACE=place, NUMBER=moment)
        if ended.killed:
            lead += 1 if place == ANY_TIME else -1
            broken = half_written(folder / OUT) | half_written(folder / CACHE)
            done.append({"place": place, "moment": moment, "half_written": broken})
            was_refused = False
        elif ended.status == 0:
            break
        elif (sentence := one_sentence(ended.said)) is None or was_refused:
            return {"kills": done, "refusals": refusals, "trouble": ended.said[-3000:], "differences": []}
        else:
            refusals.append(sentence.replace(str(folder), "<folder>"))
            was_refused = True
            shutil.rmtree(folder / OUT, ignore_errors=True)
    differing = differences(work_dir / "unbroken" / name / OUT, folder / OUT)
    return {"kills": done, "refusals": refusals, "trouble": "", "differences": differing}


def one_sentence(said: str) -> str | None:
    """The sentence a command was refused with; None if it ended in any other way."""
    lines = [line for line in said.splitlines() if "error: " in line]
    return lines[-1] if lines and "Traceback" not in said else None


def survived(found: Mapping[str, Any]) -> bool:
    """Whether a chain ended as an unbroken run, and no kill of it left half a file."""
    return not (found["trouble"] or found["differences"] or any(kill["half_written"] for kill in found["kills"]))


def figures(chains: Sequence[Mapping[str, Any]], seed: int) -> dict[str, Any]:
    """What is reported of all chains: kills, those survived, by entry point and by place, and what went wrong."""
    kills = [(found, kill) for found in chains for kill in found["kills"]]

    def table(names: Sequence[str]) -> dict[str, dict[str, int]]:
        rows = {name: {"kills": 0, "survived": 0} for name in sorted(set(names))}
        for name, (found, _) in zip(names, kills, strict=True):
            rows[name]["kills"] += 1
            rows[name]["survived"] += survived(found)
        return rows

    refusals = Counter(sentence for found in chains for sentence in found["refusals"])
    return {
        "kills": len(kills),
        "survived": sum(survived(found) for found, _ in kills),
        "chains": len(chains),
        "by_entry_point": table([found["target"] for found, _ in kills]),
        "by_place": table([kill["place"] for _, kill in kills]),
        "refusals": dict(refusals),
        "not_survived": [found for found in chains if not survived(found)],
        "may_differ": [*MAY_DIFFER, *(f"cell.json: {key}" for key in COSTS)],
        "seed": seed,
        "seconds": round(sum(found["seconds"] for found in chains), 1),
        "cpu_seconds": round(sum(found["cpu_seconds"] for found in chains), 1),
    }


def kill_and_restart(kills: int, seed: int, only: Sequence[str], work_dir: Path) -> list[dict[str, Any]]:
    """Run chains until there were so many kills; those in `work_dir` count.

    Raises:
        ValueError: `work_dir` holds chains of another seed, selection or commit.
        subprocess.CalledProcessError, RuntimeError: a command fails without having been killed.
    """
    state_file = work_dir / "chains.json"
    same = {"seed": seed, "only": sorted(only), "commit": git_commit()}
    state = read_json(state_file) if state_file.is_file() else {**same, "chains": []}
    if differing := [key for key in same if state[key] != same[key]]:
        raise ValueError(
            f"{state_file} was made with another {differing[0]} ({state[differing[0]]}); give another --work_dir"
        )
    chains: list[dict[str, Any]] = state["chains"]
    prepare(work_dir / "prepared", with_run="export" in only)
    known = {name: target for name, target in targets(work_dir / "prepared").items() if name in only}
    for name, target in known.items():
        unbroken(name, target, work_dir)
    per_target: Counter[str] = Counter()
    for found in chains:
        per_target[found["target"]] += len(found["kills"])
    at_start, began = per_target.total(), time.monotonic()
    while (left := kills - per_target.total()) > 0:
        name = min(known, key=lambda name: per_target[name] / known[name].share)
        rng = np.random.default_rng([seed, len(chains)])
        places = Counter(kill["place"] for found in chains for kill in found["kills"])
        lead = 2 * places[ANY_TIME] - places.total()
        before, before_cpu = time.monotonic(), _cpu_seconds()
        found = chain(name, known[name], work_dir, rng, min(left, int(rng.integers(1, MAX_KILLS + 1))), lead)
        costs = {"seconds": time.monotonic() - before, "cpu_seconds": _cpu_seconds() - before_cpu}
        chains.append({"target": name, **found, **{key: round(value, 1) for key, value in costs.items()}})
        write_json(state_file, state)
        per_target[name] += len(found["kills"])
        new = per_target.total() - at_start
        rest = (kills - per_target.total()) * (time.monotonic() - began) / max(new, 1)
        word = "survived" if survived(chains[-1]) else "NOT SURVIVED"
        line = f"[{per_target.total()}/{kills}] {name}, {len(found['kills'])} kills: {word}"
        print(f"{line}; about {rest / 60:.0f} min left", flush=True)
        if not survived(chains[-1]):
            (work_dir / "attempt").rename(work_dir / f"not_survived_{len(chains) - 1}")
    return chains


def _cpu_seconds() -> float:
    """Of all processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main(arguments: Sequence[str] | None = None) -> None:
    names = list(targets(Path()))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments (default 0)")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="entry points (default: all)")
    parser.add_argument("--work_dir", type=Path, default=ROOT / "runs" / "kills", help="folder of all attempts")
    parser.add_argument("--output", type=Path, default=RELIABILITY, help="JSON file of the figures")
    options = parser.parse_args(arguments)
    try:
        chains = kill_and_restart(options.kills, options.seed, options.only, options.work_dir.resolve())
        found = figures(chains, options.seed)
        write_figures(options.output, "kills", found)
    except (ValueError, RuntimeError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except subprocess.CalledProcessError as error:
        parser.exit(2, f"{parser.prog}: preparing failed: {error.stderr.decode()[-3000:]}\n")
    summary = {key: found[key] for key in ("by_entry_point", "by_place", "refusals")}
    print(json.dumps(summary, indent=1))
    print(f"{found['survived']} of {found['kills']} kills survived, in {options.output}")
    sys.exit(found["survived"] < found["kills"])


if __name__ == "__main__":
    main()
