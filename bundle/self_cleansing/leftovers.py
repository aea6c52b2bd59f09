# SPDX-License-Identifier: Apache-2.0
"""Remove what killed processes had not finished writing. (Nothing heavy is loaded here, see `folder_lock`.)"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

from .folder_lock import LOCK

PARTIAL = ".partial-"  # in the names that `whole_file` and `whole_folder` give to what is being written
OF_OTHERS = {LOCK, "CACHEDIR.TAG"}  # folders with these files are left alone: other runs in them, and caches


def remove_leftovers(folder: Path) -> None:
    """Remove the unfinished files and folders below one that this process has locked; links are not followed.

    What cannot be removed stays.
    """
    for place, folders, files in os.walk(folder):
        if Path(place) != folder and OF_OTHERS.intersection(files):
            folders.clear()
            continue
        for name in [name for name in folders if _is_partial(name)]:
            folders.remove(name)
            shutil.rmtree(Path(place, name), ignore_errors=True)
        for name in filter(_is_partial, files):
            with suppress(OSError):
                Path(place, name).unlink()


def _is_partial(name: str) -> bool:
    return name.startswith(".") and PARTIAL in name
