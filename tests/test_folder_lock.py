# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys

import pytest
from running import ROOT

from bundle.self_cleansing.folder_lock import LOCK, keep_folder, lock_folder

KEEP = """
import sys, time
from pathlib import Path
from bundle.self_cleansing.folder_lock import keep_folder
keep_folder(Path(sys.argv[1]))
keep_folder(Path(sys.argv[1], "..", Path(sys.argv[1]).name))  # its own folder is not refused
print("kept", flush=True)
time.sleep(600)
"""


def test_a_folder_is_one_process_s_until_that_is_killed(tmp_path):
    folder = tmp_path / "new" / "run"
    holder = subprocess.Popen([sys.executable, "-c", KEEP, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None and holder.stdout.readline() == "kept\n"
    holder.stdout.close()
    assert [path.name for path in folder.iterdir()] == [LOCK]
    for lock in (keep_folder, lambda one: lock_folder(one, patience_s=0.2)):
        with pytest.raises(ValueError, match=r"new/run is in use by another process; let it end, or give another out"):
            lock(folder)
    holder.kill()
    holder.wait()
    os.close(lock_folder(folder, patience_s=0.2))


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS])
def test_a_file_system_without_locks_stops_nobody(number, tmp_path, monkeypatch):
    def unknown(*_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", unknown)
    os.close(lock_folder(tmp_path))


def test_it_brings_nothing_heavy():
    """A supervisor of trainings takes little memory, and starts at once."""
    program = "import sys, bundle.self_cleansing.leftovers; print(*({'torch', 'monai', 'numpy'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout == "\n"
