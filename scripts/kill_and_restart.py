# SPDX-License-Identifier: Apache-2.0
"""Kill everything that works long, again and again, and see that starting it again ends as if nothing had happened.

    python scripts/kill_and_restart.py --kills 200 --seed 0

Entry points (scripts/kill_targets.py): training with its cleansing updates and checkpoints, audit, grid, export, noise
making, all on a tiny phantom. A chain kills one of them (SIGKILL), looks for half-written files, starts the same
command again in the same folder, kills it again, and in the end lets it finish and compares all results with those of
a run that nobody killed. Half of the kills come at a random time; for the other half the process kills itself at a
random call of a random kind: between opening and writing, before and after renaming, amid torch.save, amid a cleansing
update, after making a folder (scripts/kill_hook).

A chain ends well if no kill left a half-written file under its final name and all results are the same bit by bit
(scripts/same_results.py says which files may differ). Its kills count as survived; but where the restart was refused
with a sentence that kill_targets.py allows, the chain goes on in an empty folder, and the kill counts as refused. Any
other error is trouble, and so is an attempt that takes many times as long as a run that nobody killed.

It can be stopped and started again: finished chains are kept in --work_dir. All must be of one commit, so nothing is
killed while tracked files differ from it. The figures go under the key "kills" of --output; the exit status is 1 if a
chain did not end well.
"""

from __future__ import annotations

import argparse
import json
import os
import re
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

from git_commit import git_commit, is_clean  # noqa: E402
from half_written import half_written  # noqa: E402
from kill_targets import CACHE, OUT, Target, prepare, targets  # noqa: E402
from result_file import RELIABILITY, write_figures  # noqa: E402
from same_results import COSTS, MAY_DIFFER, differences  # noqa: E402

from bundle.self_cleansing.data.json_file import read_json, write_json  # noqa: E402
from bundle.self_cleansing.errors import TRACEBACK_VARIABLE  # noqa: E402

ANY_TIME = "any time"
MAX_KILLS = 5  # of one chain
# An attempt hangs if it takes longer, by the clock: others may keep the machine busy.
PATIENCE, PATIENCE_S = 20, 120.0  # times the unbroken run, and at least so many seconds


@dataclass(frozen=True)
class Ended:
    """How an attempt ended: its exit status, whether the kill was the one meant for it, all it said, and when."""

    status: int
    killed: bool
    said: str
    seconds: float


def attempt(
    target: Target, folder: Path, after_s: float | None = None, limit_s: float | None = None, **hook: object
) -> Ended:
    """Start a command, or start it again, in `folder`, and kill it after some seconds, or let the hook do so.

    Args:
        target: what to run.
        folder: where.
        after_s: when to kill it; None: never.
        limit_s: when to give up one that is not to be killed then; None: never.
        hook: variables of scripts/kill_hook without KILL_.
    """
    temporary, fired = folder / "tmp", folder / "fired"
    fired.unlink(missing_ok=True)
    temporary.mkdir(parents=True, exist_ok=True)
    environment = os.environ | {
        "OMP_NUM_THREADS": "1",
        "TQDM_DISABLE": "1",
        TRACEBACK_VARIABLE: "1",  # no error may look like a refusal
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
        killed = late = False
        try:
            process.wait(limit_s if after_s is None else after_s)
        except subprocess.TimeoutExpired:
            killed, late = after_s is not None, after_s is None
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # its children as well: they would write on
            except ProcessLookupError:
                pass
            process.wait()
        seconds = time.monotonic() - started
        said.seek(0)
        words = said.read() + (f"\nit did not end within {limit_s:.0f} s\n" if late else "")
        return Ended(process.returncode, killed or (fired.exists() and not late), words, seconds)


def unbroken(name: str, target: Target, work_dir: Path, commit: str) -> None:
    """Run a target once without a kill, unless that was done at this commit; keep results, seconds, calls per place."""
    kept = work_dir / "unbroken" / name
    if not ((kept / "found.json").is_file() and read_json(kept / "found.json").get("commit") == commit):
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
        write_json(kept / "found.json", {"seconds": ended.seconds, "calls": calls, "commit": commit})


def chain(name: str, target: Target, work_dir: Path, rng: np.random.Generator, kills: int, lead: int) -> dict[str, Any]:
    """Kill a target up to `kills` times, let it finish, compare.

    Args:
        name, target: what is killed.
        work_dir: of the whole program; `unbroken` has been there.
        rng: of the moments.
        kills: at most so many.
        lead: how many more kills have come at any time than at a place; the next one makes up for it.

    Returns:
        kills (of each: place, moment, half-written files, the sentence with which the restart was refused or ""),
        trouble (what was said last; "" if there was none), differences.
    """
    kept, folder = work_dir / "unbroken" / name, work_dir / "attempt"
    known = read_json(kept / "found.json")
    limit_s = max(PATIENCE_S, PATIENCE * known["seconds"])
    shutil.rmtree(folder, ignore_errors=True)
    done: list[dict[str, Any]] = []
    while True:
        place, moment = ANY_TIME, round(float(rng.uniform(0, known["seconds"])), 2)
        if lead > 0:
            place = str(rng.choice(sorted(known["calls"])))
            moment = int(rng.integers(1, known["calls"][place] + 1))
        if len(done) == kills:
            ended = attempt(target, folder, limit_s=limit_s)
        elif place == ANY_TIME:
            ended = attempt(target, folder, after_s=moment)
        else:
            ended = attempt(target, folder, limit_s=limit_s, PLACE=place, NUMBER=moment)
        if ended.killed:
            lead += 1 if place == ANY_TIME else -1
            broken = half_written(folder / OUT) | half_written(folder / CACHE)
            if target.is_whole and (folder / OUT).exists():
                broken |= dict.fromkeys(differences(kept / OUT, folder / OUT), "not as in an unbroken run")
            done.append({"place": place, "moment": moment, "half_written": broken, "refused": ""})
        elif ended.status == 0:
            return {"kills": done, "trouble": "", "differences": differences(kept / OUT, folder / OUT)}
        else:
            sentence = refusal(ended.said, target.refusal) if ended.status > 0 else ""
            if not sentence or not done or done[-1]["refused"]:
                return {"kills": done, "trouble": ended.said[-3000:], "differences": []}
            done[-1]["refused"] = sentence.replace(str(folder), "<folder>")
            shutil.rmtree(folder / OUT)


def refusal(said: str, pattern: str) -> str:
    """The sentence that ended a command, if it is one that may; else "".

    It stands alone after the name of the program or of the error, and nothing went wrong in its wake.
    """
    found = re.search(rf"^[\w.]+: ({pattern})$", said, re.MULTILINE) if pattern else None
    return found[1] if found and "During handling of the above exception" not in said else ""


def ended_well(found: Mapping[str, Any]) -> bool:
    """Whether a chain ended as an unbroken run, and no kill of it left half a file."""
    return not (found["trouble"] or found["differences"] or any(kill["half_written"] for kill in found["kills"]))


def figures(chains: Sequence[Mapping[str, Any]], seed: int, commit: str) -> dict[str, Any]:
    """What is reported of all chains: how many kills ended how, by entry point and by place, and what went wrong."""
    kills = [(found, kill) for found in chains for kill in found["kills"]]

    def count(some: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, int]:
        refused = [bool(kill["refused"]) for found, kill in some if ended_well(found)]
        return {"kills": len(some), "survived": refused.count(False), "refused": refused.count(True)}

    def table(names: Sequence[str]) -> dict[str, dict[str, int]]:
        return {
            name: count([one for one, its in zip(kills, names, strict=True) if its == name])
            for name in sorted(set(names))
        }

    return {
        **count(kills),
        "chains": len(chains),
        "by_entry_point": table([found["target"] for found, _ in kills]),
        "by_place": table([kill["place"] for _, kill in kills]),
        "refusals": dict(Counter(kill["refused"] for _, kill in kills if kill["refused"])),
        "not_survived": [found for found in chains if not ended_well(found)],
        "may_differ": [*MAY_DIFFER, *(f"cell.json: {key}" for key in COSTS)],
        "seed": seed,
        "commit": commit,
        "seconds": round(sum(found["seconds"] for found in chains), 1),
        "cpu_seconds": round(sum(found["cpu_seconds"] for found in chains), 1),
    }


def kill_and_restart(kills: int, seed: int, only: Sequence[str], work_dir: Path, commit: str) -> list[dict[str, Any]]:
    """Run chains until there were so many kills; those in `work_dir` count.

    Raises:
        ValueError: tracked files differ from the commit, or `work_dir` holds chains of another seed, selection or
            commit.
        subprocess.CalledProcessError, RuntimeError: a command fails without having been killed.
    """
    check_commit(commit)
    state_file = work_dir / "chains.json"
    same = {"seed": seed, "only": sorted(only), "commit": commit}
    state = read_json(state_file) if state_file.is_file() else {**same, "chains": []}
    if differing := [key for key in same if state[key] != same[key]]:
        raise ValueError(
            f"{state_file} was made with another {differing[0]} ({state[differing[0]]}); give another --work_dir"
        )
    chains: list[dict[str, Any]] = state["chains"]
    prepare(work_dir / "prepared", with_run="export" in only)
    known = {name: target for name, target in targets(work_dir / "prepared").items() if name in only}
    for name, target in known.items():
        unbroken(name, target, work_dir, commit)
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
        check_commit(commit)
        costs = {"seconds": time.monotonic() - before, "cpu_seconds": _cpu_seconds() - before_cpu}
        chains.append({"target": name, **found, **{key: round(value, 1) for key, value in costs.items()}})
        write_json(state_file, state)
        per_target[name] += len(found["kills"])
        new = per_target.total() - at_start
        rest = (kills - per_target.total()) * (time.monotonic() - began) / max(new, 1)
        word = "survived" if ended_well(chains[-1]) else "NOT SURVIVED"
        line = f"[{per_target.total()}/{kills}] {name}, {len(found['kills'])} kills: {word}"
        print(f"{line}; about {rest / 60:.0f} min left", flush=True)
        if not ended_well(chains[-1]):
            (work_dir / "attempt").rename(work_dir / f"not_survived_{len(chains) - 1}")
    return chains


def check_commit(commit: str) -> None:
    """Raise ValueError if the code is not, or no longer, exactly this commit."""
    if git_commit() != commit or not is_clean(commit):
        raise ValueError(
            f"tracked files differ from the commit ({commit}); a kill says something of one commit: commit or stash "
            "the changes, and leave the code alone until all kills are done"
        )


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
        commit = git_commit()
        chains = kill_and_restart(options.kills, options.seed, options.only, options.work_dir.resolve(), commit)
        found = figures(chains, options.seed, commit)
        command = f"python scripts/kill_and_restart.py --kills {options.kills} --seed {options.seed}"
        write_figures(options.output, "kills", found, command)
    except (ValueError, RuntimeError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    except subprocess.CalledProcessError as error:
        parser.exit(2, f"{parser.prog}: preparing failed: {error.stderr.decode()[-3000:]}\n")
    summary = {key: found[key] for key in ("by_entry_point", "by_place", "refusals")}
    print(json.dumps(summary, indent=1))
    print(f"of {found['kills']} kills {found['survived']} survived, {found['refused']} refused; in {options.output}")
    sys.exit(bool(found["not_survived"]))


if __name__ == "__main__":
    main()
