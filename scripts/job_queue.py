# SPDX-License-Identifier: Apache-2.0
"""Run jobs, each a chain of commands, some of them side by side, and report how they end and how long is left."""

from __future__ import annotations

import signal
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from child_process import Child
from tqdm import tqdm

TICK_S = 0.2
BAR = "{percentage:3.0f}%|{bar}| {n:.2f}/{total} cells [{elapsed}]{postfix}"


class Failed(Exception):
    """A command of a job ended badly; the text says how."""


class Job(ABC):
    """Commands that are run one after the other, each a `Child`; a subclass says which.

    Args:
        name: shown to the user.
        log: the file of all output.
        cwd: where the commands run.
        environment: variables for them.
        held: descriptor of a lock they hold.
    """

    def __init__(self, name: str, log: Path, cwd: Path, environment: Mapping[str, str], held: int) -> None:
        self.name = name
        self.log = log
        self.cwd = cwd
        self.environment = environment
        self.held = held
        self.child: Child | None = None
        self.remaining = self.commands()

    @abstractmethod
    def commands(self) -> Iterator[Sequence[str]]:
        """Yield each command when the one before has ended well; what follows the last one concludes the job."""

    def measured(self, child: Child) -> None:  # noqa: B027  (most jobs measure nothing)
        """Called whenever the running child was measured, and once after its end."""

    def done(self) -> float:
        """The part of the job that is done, in [0, 1]."""
        return 0.0

    def advance(self) -> bool:
        """Start the next command if none runs; return whether the job is finished.

        Raises:
            Failed: a command failed.
            OSError, ValueError: as `commands`.
        """
        if self.child is not None:
            status = self.child.poll()
            self.measured(self.child)
            if status is None:
                return False
            if status != 0:
                how = f"killed by {signal.Signals(-status).name}, last said: " if status < 0 else ""
                raise Failed(how + (last_words(self.log) or f"nothing (status {status}), see {self.log}"))
        command = next(self.remaining, None)
        if command is not None:
            self.child = Child(command, self.log, self.cwd, self.environment, self.held)
        return command is None

    def kill(self) -> None:
        """End its command at once."""
        if self.child is not None:
            self.child.kill()
            self.measured(self.child)


def side_by_side(jobs: Sequence[Job], parallel: int, finished: int = 0) -> dict[str, str]:
    """Run jobs, at most `parallel` at once, print a line as each ends, and show a bar on a terminal.

    The time left is that of the work done since the start, spread over the work left; failed jobs count as neither.

    Args:
        jobs: in this order.
        parallel: at least 1.
        finished: how many others count as finished in what is shown.

    Returns:
        name -> why it failed, of those that did. Whatever ends this function early ends the running commands, too.
    """
    waiting, running, failures = deque(jobs), list[Job](), dict[str, str]()
    total, well, started = finished + len(jobs), 0, time.monotonic()
    at_start = sum(job.done() for job in jobs)

    def time_left() -> str:
        partial = sum(job.done() for job in [*running, *waiting])
        work = well + partial - at_start
        seconds = (len(running) + len(waiting) - partial) * (time.monotonic() - started) / max(work, 1e-9)
        return f"about {tqdm.format_interval(seconds)} left" if work > 0 else "time left unknown"

    tqdm.monitor_interval = 0  # its thread would be around at every fork
    bar = tqdm(total=total, initial=finished, disable=None, bar_format=BAR)
    try:
        while waiting or running:
            while waiting and len(running) < parallel:
                running.append(waiting.popleft())
            for job in list(running):
                try:
                    if not job.advance():
                        continue
                    outcome = "finished"
                    well += 1
                except (Failed, OSError, ValueError) as error:
                    failures[job.name] = str(error)
                    outcome = f"FAILED: {error}"
                running.remove(job)
                ended = finished + well + len(failures)
                tqdm.write(f"[{ended}/{total}] {job.name} {outcome}; {time_left()}", file=sys.stdout)
                sys.stdout.flush()
            if not bar.disable and time.monotonic() - bar.last_print_t > 1:
                bar.n = finished + well + len(failures) + sum(job.done() for job in running)
                bar.set_postfix_str(time_left(), refresh=False)
                bar.refresh()
            time.sleep(TICK_S)
    finally:
        for job in running:
            job.kill()
        bar.close()
    return failures


def last_words(log: Path) -> str:
    """What the last command of a log says at its end: its last line that starts with "error: ", else its last line."""
    text = ("\n" + log.read_text(encoding="utf-8", errors="replace")).rpartition("\n$ ")[2]
    lines = [line.strip() for line in text.splitlines()[1:] if line.strip()]
    return next((line for line in reversed(lines) if line.startswith("error: ")), lines[-1] if lines else "")
