# SPDX-License-Identifier: Apache-2.0
"""Fill an output folder completely or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .whole_file import make_folder, told_as_write_error


@contextmanager
def whole_folder(output_dir: str | os.PathLike) -> Iterator[Path]:
    """Give a hidden folder beside `output_dir` to write to, and rename it to `output_dir` when the block ends well.

    An error or an interrupt (Ctrl-C) removes the hidden folder. A killed process (SIGKILL) leaves it behind under its
    name `.<name>.partial-...`; `output_dir` itself is never seen half-written.

    Args:
        output_dir: the folder to make; missing parents are made. An empty folder may be there already.

    Yields:
        the folder to write to.

    Raises:
        WriteError: if there is no room, or no leave to write there.
        FileExistsError: if `output_dir` is a file or a folder that is not empty; nothing is touched.
    """
    output_dir = Path(os.path.abspath(output_dir))
    if output_dir.exists() and not (output_dir.is_dir() and not any(output_dir.iterdir())):
        raise FileExistsError(f"output_dir {output_dir} exists and is not empty; give a new folder, or remove this one")
    partial = output_dir.with_name(f".{output_dir.name}.partial-{uuid.uuid4().hex[:8]}")
    try:
        make_folder(partial, output_dir)
        with told_as_write_error(output_dir, partial):
            yield partial
            if output_dir.exists():
                output_dir.rmdir()  # it is empty
            partial.rename(output_dir)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
