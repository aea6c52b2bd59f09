# SPDX-License-Identifier: Apache-2.0
"""Preprocessed slices on disk, under a name that says what they were made from, and mapped into memory.

One folder per bank: `<array>.bin`, the raw values in C order, and `bank.json` with shapes, types and checksums. The
operating system keeps what is in use in its page cache, shares it between processes and drops it under pressure, so a
bank may be larger than memory and several trainings cost one.
"""

from __future__ import annotations

import hashlib
import io
import logging
import os
import pickle
import shutil
import uuid
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import monai
import numpy as np
import torch
from monai.data import ImageReader
from monai.transforms import Compose
from torch import Tensor

from .data.json_file import read_json, write_json
from .data.whole_folder import whole_folder
from .errors import WriteError

logger = logging.getLogger(__name__)

DESCRIPTION = "bank.json"
# Backup programs leave out folders with this file (bford.info/cachedir).
CACHE_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n"
FILE_KEYS = ("image", "label", "clean_label")
READER_MEMORY = ("filenames", "has_series", "has_single")
BLOCK = 1 << 24  # bytes read at a time


def blocks_of(path: Path) -> Iterator[bytes]:
    """The contents of a file, in order."""
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            yield block


def fingerprint(data: Sequence[Mapping[str, Any]], preprocessing: Any) -> str | None:
    """Name what preprocessing will give: a hash of the input files' contents, the transforms and the code they run.

    Args:
        data: entries with paths under FILE_KEYS.
        preprocessing: a Compose, or any transform; its settings enter as pickled.

    Returns:
        32 hexadecimal digits, or None if something cannot be named this way: an entry that is no file, or a transform
        that cannot be pickled (a lambda).
    """
    digest = hashlib.sha256(f"1 {monai.__version__} {np.__version__} {torch.__version__}".encode())
    package = Path(__file__).parent
    around = (Path(__file__), package / "slice_bank.py")
    for source in (*around, *sorted((package / "transforms").glob("*.py")), *sorted(package.glob("data/*.py"))):
        digest.update(source.read_bytes())
    composed = isinstance(preprocessing, Compose)
    transforms = list(preprocessing.flatten().transforms) if composed else [preprocessing]
    try:
        digest.update(_settings(transforms))
    except (pickle.PicklingError, AttributeError, TypeError):
        return None
    for item in data:
        digest.update(repr(str(item.get("case"))).encode())
        for key in FILE_KEYS:
            if key not in item:
                continue
            path = item[key]
            if not isinstance(path, str | os.PathLike) or not Path(path).is_file():
                return None
            digest.update(f"{key} {Path(path).name} ".encode())  # the name may give the case its id
            contents = hashlib.sha256()
            for block in blocks_of(Path(path)):
                contents.update(block)
            digest.update(contents.digest())
    return digest.hexdigest()[:32]


class _SettingsPickler(pickle.Pickler):
    """Leaves out what MONAI's readers remember of the files they read last: it is no setting."""

    def reducer_override(self, value: Any) -> Any:
        if not isinstance(value, ImageReader):
            return NotImplemented
        return type(value), (), {name: one for name, one in vars(value).items() if name not in READER_MEMORY}


def _settings(transforms: Any) -> bytes:
    buffer = io.BytesIO()
    _SettingsPickler(buffer, protocol=4).dump(transforms)
    return buffer.getvalue()


def store(folder: Path, volumes: Iterator[Mapping[str, Tensor]]) -> None:
    """Write volumes one after the other, holding one at a time, and the description last; all or nothing.

    Args:
        folder: to make; if another process has made it meanwhile, that one stays.
        volumes: per case, tensors (slices, channels, H, W) by array name. Arrays that not every case has are dropped.

    Raises:
        OSError: the folder cannot be written.
    """
    with _writing(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        (folder.parent / "CACHEDIR.TAG").write_text(CACHE_TAG, encoding="ascii")
    try:
        with whole_folder(folder) as partial:
            arrays: dict[str, dict[str, Any]] = {}
            depths: list[int] = []
            for volume in volumes:
                for name, values in volume.items():
                    array = values.contiguous().numpy()
                    new = {"dtype": str(array.dtype), "shape": [0, *array.shape[1:]], "crc32": 0, "cases": 0}
                    known = arrays.setdefault(name, new)
                    with _writing(folder.parent), open(partial / f"{name}.bin", "ab") as file:
                        file.write(array.data)
                    known["crc32"] = zlib.crc32(array.data, known["crc32"])
                    known["shape"][0] += len(array)
                    known["cases"] += 1
                depths.append(len(volume["image"]))
            for name in [name for name, known in arrays.items() if known["cases"] < len(depths)]:
                (partial / f"{name}.bin").unlink()
                del arrays[name]
            with _writing(folder.parent):
                write_json(partial / DESCRIPTION, {"depths": depths, "arrays": arrays})
    except OSError:
        if not (folder / DESCRIPTION).is_file():  # else another process was faster, and its folder is as good
            raise


class CacheWriteError(WriteError):
    """The same of the cache, which one can do without."""

    def __str__(self) -> str:
        return (
            f"the cache {self.filename} cannot be written ({self.strerror}); name another folder with --cache_dir, "
            "or pass --cache_dir none to keep the slices in memory"
        )


@contextmanager
def _writing(cache_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CacheWriteError(error.errno, error.strerror, str(cache_dir)) from error


def load(folder: Path) -> tuple[list[int], dict[str, Tensor]]:
    """Map the arrays of a stored bank after checking every byte.

    Returns:
        the number of slices per case, and the arrays by name. Writing to one changes neither the file nor what another
        process sees.

    Raises:
        ValueError: a file is missing, has another size, or other contents than were written.
    """
    description = read_json(folder / DESCRIPTION)
    try:
        depths, described = list(description["depths"]), dict(description["arrays"])
        arrays = {name: _map(folder / f"{name}.bin", known) for name, known in described.items()}
        if any(len(array) != sum(depths) for array in arrays.values()) or "image" not in arrays:
            raise ValueError("its arrays do not agree")
    except (KeyError, TypeError, OSError, ValueError) as error:
        raise ValueError(f"the cached slices in {folder} are damaged ({error}); remove this folder") from error
    return depths, arrays


def _map(path: Path, known: Mapping[str, Any]) -> Tensor:
    dtype, shape = np.dtype(known["dtype"]), tuple(known["shape"])
    expected = int(np.prod(shape)) * dtype.itemsize
    if path.stat().st_size != expected:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, not {expected}")
    checksum = 0
    for block in blocks_of(path):
        checksum = zlib.crc32(block, checksum)
    if checksum != known["crc32"]:
        raise ValueError(f"{path.name} has another checksum than was written")
    # Copy on write: torch wants writable memory, and nothing may reach the file.
    return torch.from_numpy(np.memmap(path, dtype=dtype, mode="c", shape=shape))


def cached(folder: Path, volumes: Iterator[Mapping[str, Tensor]]) -> tuple[list[int], dict[str, Tensor]]:
    """Load a stored bank, made from `volumes` if it is not there; a damaged one is made again, with a warning.

    Raises:
        CacheWriteError: it has to be made, and cannot be written, or the damaged one not be moved out of the way.
    """
    if folder.is_dir():
        found = _identity(folder)
        try:
            return load(folder)
        except (ValueError, OSError) as error:
            logger.warning("%s; making them again", error)
            _remove(folder, found)
    store(folder, volumes)
    return load(folder)


def _remove(folder: Path, found: tuple[int, int] | None) -> None:
    """Remove the bank that was found damaged, but not one that another process has put in its place meanwhile."""
    aside = folder.with_name(f".{folder.name}.partial-{uuid.uuid4().hex[:8]}")
    with _writing(folder.parent), suppress(FileNotFoundError):  # another process was faster
        if _identity(folder) == found:
            folder.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def _identity(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from another one that has replaced it; None if there is none."""
    try:
        status = folder.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns
