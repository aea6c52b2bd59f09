# SPDX-License-Identifier: Apache-2.0
"""Read JSON with an error a user can act on; write it so that nobody ever sees half a file."""

from __future__ import annotations

import json
import os
from pathlib import Path

from .whole_file import write_text


def read_json(path: str | os.PathLike) -> dict:
    """Read a JSON object.

    Args:
        path: the file.

    Returns:
        The object; an empty object is {}.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if the file is not JSON, or holds something other than an object; the line is named.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; check the path")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # Windows editors begin with a mark
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not valid JSON (line {error.lineno}: {error.msg}); correct that line") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not valid JSON (byte {error.start} is not UTF-8); save it as UTF-8") from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, thousands of brackets
        raise ValueError(f"{path} is not valid JSON ({error}); restore the file") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} must hold a JSON object {{...}}, got a {type(content).__name__}")
    return content


def write_json(path: str | os.PathLike, content: dict) -> None:
    """Write a JSON object under a temporary name beside the target, then rename it (atomic on one file system).

    Args:
        path: the file; missing parent folders are made; an existing file is replaced.
        content: anything `json.dumps` takes.

    Raises:
        OSError: if the folder cannot be written; nothing is left behind.
    """
    write_text(path, json.dumps(content, indent=2) + "\n")
