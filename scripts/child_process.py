# SPDX-License-Identifier: Apache-2.0
"""One child process that cannot outlive its parent, writes to a log and is measured."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None  # loaded here: not much is safe after a fork
MIB = 1 << 20


class Child:
    """A running command. It is killed when this process dies, however that happens (on Linux).

    Args:
        command: program and arguments.
        log: file that its output is appended to, after a line with the command.
        cwd: where it runs.
        environment: variables added to those of this process.
        held: descriptor of a lock that it holds as long as it lives, too.
    """

    def __init__(self, command: Sequence[str], log: Path, cwd: Path, environment: Mapping[str, str], held: int) -> None:
        self.started = time.monotonic()
        self.seconds = 0.0
        self.cpu_seconds = 0.0
        self.peak_memory_mb = 0.0
        parent = os.getpid()
        log.parent.mkdir(parents=True, exist_ok=True)
        with open(log, "a", encoding="utf-8") as output:
            output.write(f"$ {' '.join(command)}\n")
            output.flush()
            self.process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=[held],
                preexec_fn=lambda: _die_with(parent),
            )

    def poll(self) -> int | None:
        """Measure, and return its exit status, None while it runs; a signal is a negative status."""
        if self.process.returncode is None:
            self.seconds = time.monotonic() - self.started
            self.peak_memory_mb = max(self.peak_memory_mb, _high_water_mark(self.process.pid))
            self.cpu_seconds = max(self.cpu_seconds, _processor_seconds(self.process.pid))
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_seconds = usage.ru_utime + usage.ru_stime
                per_unit = 1 if sys.platform == "darwin" else 1024
                self.peak_memory_mb = max(self.peak_memory_mb, usage.ru_maxrss * per_unit / MIB)
        return self.process.returncode

    def kill(self) -> None:
        """End it at once, and wait until it is gone."""
        if self.poll() is None:
            self.process.kill()
            self.process.wait()


def _die_with(parent: int) -> None:
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)


def _high_water_mark(pid: int) -> float:
    """Peak resident memory of a running process in MiB: what is known of one that is killed with its parent."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((float(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM:")), 0.0)


def _processor_seconds(pid: int) -> float:
    """Processor time that all threads of a running process have used: what is known of one killed with its parent."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()  # a name may hold spaces
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
