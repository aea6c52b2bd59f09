# SPDX-License-Identifier: Apache-2.0
"""Write a file completely or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import WriteError, causes

NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
NO_LEAVE = (errno.EROFS, errno.EACCES, errno.EPERM)


@contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to, and rename it to `path` when the block ends well.

    Missing parent folders are made, an existing file is replaced; after an error nothing is left behind and the old
    file stays. The temporary name keeps the extensions, which some writers go by.

    Raises:
        WriteError: there is no room, or no leave to write there.
    """
    path = Path(path)
    temporary = path.with_name(f".partial-{os.getpid()}-{path.name}")
    try:
        make_folder(path.parent, path)
        with told_as_write_error(path, temporary):
            yield temporary
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())
            os.replace(temporary, path)
    finally:
        with suppress(OSError):  # there may be nothing; on a read-only disk not even that may be unlinked
            temporary.unlink(missing_ok=True)


def make_folder(folder: Path, path: Path) -> None:
    """Make `folder` and those above it, as far as they are missing, to write `path`.

    Raises:
        WriteError: of `path`: there is no room, or no leave to make it.
        OSError: any other error of the system.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        if error.errno not in NO_ROOM + NO_LEAVE:
            raise
        raise WriteError(error.errno, error.strerror, str(path)) from error


@contextmanager
def told_as_write_error(path: Path, temporary: Path) -> Iterator[None]:
    """Raise an error of the block as a `WriteError` of `path` if there is no room, or no leave to write `temporary`.

    All other errors are passed on, among them those of files that cannot be read.
    """
    try:
        yield
    except WriteError:
        raise
    except Exception as error:  # writers wrap what the system says in errors of their own
        told = next((one for one in causes(error) if isinstance(one, OSError) and _is_about(one, temporary)), None)
        if told is None:
            raise
        raise WriteError(told.errno, told.strerror, str(path)) from error


def _is_about(error: OSError, temporary: Path) -> bool:
    if error.errno in NO_ROOM:
        return True
    if error.errno not in NO_LEAVE or not isinstance(error.filename, str | bytes | os.PathLike):  # or a descriptor
        return False
    return Path(os.fsdecode(error.filename)).is_relative_to(temporary)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text as a whole file."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
