# SPDX-License-Identifier: Apache-2.0
"""Which data set a grid's output folder was begun with: figures of two data sets of one name must not be mixed."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path
from typing import Any

WRITTEN_BY_A_TRAINING = "split.json"  # where the data set has none


def identity(dataset_dir: Path) -> dict[str, Any]:
    """Say which files a data set has, wherever it lies: their number, bytes, and a hash of their names and sizes.

    Hidden files do not count, nor does the division into parts. What is in the files is not read: thousands of volumes
    would take minutes.

    Raises:
        OSError: a folder cannot be listed, links go in a circle, or a file is gone.
    """
    sizes = {}
    for folder, names, files in os.walk(dataset_dir, followlinks=True, onerror=_refuse):
        names[:] = [name for name in names if not name.startswith(".")]
        for path in (Path(folder, name) for name in files if not name.startswith(".")):
            sizes[unicodedata.normalize("NFC", path.relative_to(dataset_dir).as_posix())] = path.stat().st_size
    sizes.pop(WRITTEN_BY_A_TRAINING, None)
    listing = "".join(f"{name}\0{size}\n" for name, size in sorted(sizes.items())).encode(errors="surrogateescape")
    return {"files": len(sizes), "bytes": sum(sizes.values()), "sha256": hashlib.sha256(listing).hexdigest()}


def check_identity(dataset_dir: Path, begun_with: dict[str, Any], record: Path) -> None:
    """Raise ValueError unless a data set is the one that `record` holds the identity of, `begun_with`."""
    if (found := identity(dataset_dir)) != begun_with:
        raise ValueError(
            f"{dataset_dir} ({found['files']} files, {found['bytes']} bytes) is not the data set that {record} was "
            f"written for ({begun_with.get('files')} files, {begun_with.get('bytes')} bytes): names or sizes of files "
            f"differ; give another --output_dir, or remove {record} if the difference does not matter"
        )


def _refuse(error: OSError) -> None:
    raise error
