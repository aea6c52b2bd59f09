# SPDX-License-Identifier: Apache-2.0
"""Run the bundle as a user does: a command line, in a process of its own, from any folder."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
# Small enough for a second per epoch; every phase (warm-up, ramp, both kinds of update) happens within four epochs.
TINY = {
    "network_size": 32,
    "batch_size": 4,
    "max_epochs": 4,
    "warmup_epochs": 1,
    "ramp_end_epoch": 3,
    "update_every": 1,
    "cleanser#grid_size": 32,
}
# After a few seconds of training no prediction agrees with the labels, and the filter would decline to the end.
_TINY_FILTER = {
    "label_filter#options": "{'min_dice': 0.0, 'min_agreement': 0.0, 'min_samples': 8, 'max_components': 2}"
}
TINY_METHOD = {
    "methods/self_cleansing_practical": _TINY_FILTER,
    "methods/co_training": _TINY_FILTER,
    "methods/pick_and_learn": {"quality_width": 4},
    "methods/pick_and_learn_qam": {"quality_width": 4},
}


def config_files(*overlays: str) -> str:
    """The --config_file argument for train.yaml and overlays such as 'methods/baseline'."""
    names = ["train", *overlays]
    return "[" + ",".join(f"'{ROOT / 'configs' / name}.yaml'" for name in names) + "]"


def bundle_command(action: str, overlays: list[str], **settings: object) -> list[str]:
    """The command line a user would type, run from any folder."""
    for overlay in overlays:
        settings = TINY_METHOD.get(overlay, {}) | settings
    settings = {"bundle_root": ROOT, **TINY, **settings}
    options = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    return [sys.executable, "-m", "monai.bundle", "run", action, "--config_file", config_files(*overlays), *options]


def run_quietly(command: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, from `cwd`, with one thread and nothing of PYTHONPATH."""
    return subprocess.run(command, cwd=cwd, env=_environment(), capture_output=True, text=True)


def run_bundle(action: str, overlays: list[str], cwd: Path, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run the command as `run_quietly` does."""
    return run_quietly(bundle_command(action, overlays, **settings), cwd)


def kill_once(is_time: Callable[[], bool], command: Sequence[str], cwd: Path, delay_s: float = 0.0) -> None:
    """Start a command as `run_quietly` does, and kill it `delay_s` after it is time; fails if it ends before that.

    Or if it is not time within ten minutes: then something hangs.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as messages:
        process = subprocess.Popen(command, cwd=cwd, env=_environment(), stdout=messages, stderr=messages)
        latest = time.monotonic() + 600
        try:
            while not is_time() and process.poll() is None and time.monotonic() < latest:
                time.sleep(0.02)
            is_late = time.monotonic() >= latest
            time.sleep(delay_s)
        finally:
            process.send_signal(signal.SIGKILL)
        code = process.wait()
        messages.seek(0)
        story = f"{command}:\n{messages.read()[-3000:]}"
    assert code == -signal.SIGKILL, f"ended with {code} before it could be killed: {story}"
    assert not is_late, f"ran for ten minutes, and it was not time to kill it: {story}"


def _environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}


def load_script(name: str) -> ModuleType:
    """A program of scripts/ as a module, to be called without a process of its own; sys.path stays as it is."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    del sys.modules[name]
    sys.path[:] = path
    return module
