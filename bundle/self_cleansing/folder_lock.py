# SPDX-License-Identifier: Apache-2.0
"""One process at a time works in a folder. (Nothing heavy is loaded here: scripts that only start others use it.)"""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

from .errors import WriteError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LOCK = ".lock"  # the file; it is empty, and stays
UNKNOWN = (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # what file systems without locks say
_kept: dict[Path, int] = {}


def lock_folder(folder: Path, patience_s: float = 10.0) -> int:
    """Lock a folder, which is made if need be, and return the descriptor of its lock.

    Whoever has the descriptor, children included, holds the lock; the kernel frees it when the last of them is gone.
    Where the file system knows no locks, nothing is locked.

    Args:
        folder: to work in.
        patience_s: how long to wait for a holder that is about to end.

    Raises:
        ValueError: somebody else still holds it then.
        WriteError: there is no room, or no leave to write there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise WriteError(error.errno, error.strerror, str(folder)) from error
    give_up = time.monotonic() + patience_s
    while fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > give_up:
                os.close(descriptor)
                raise ValueError(
                    f"{folder} is in use by another process; let it end, or give another output_dir"
                ) from None
            time.sleep(0.1)
        except OSError as error:
            if error.errno not in UNKNOWN:
                raise
            break
    return descriptor


def keep_folder(folder: Path) -> None:
    """Lock a folder until this process ends; one that it keeps already stays locked. Errors as of `lock_folder`."""
    folder = folder.resolve()
    if folder not in _kept:
        _kept[folder] = lock_folder(folder, patience_s=2.0)
