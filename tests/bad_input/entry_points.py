# SPDX-License-Identifier: Apache-2.0
"""Call a command as its process would, but within this one, and read what it leaves on standard error."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import sys
import warnings
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from types import ModuleType

import fire
import monai.bundle
from running import load_script

BUNDLE = {"run": monai.bundle.run}
HINT = "(set SELF_CLEANSING_TRACEBACK=1 for the traceback)"
# Warned at every start, whatever the input; and while a file is read that is refused right after.
_OF_MONAI = ("parsing config_file", "NvImgCodec", "Casting complex values")
_PROGRESS = re.compile(r"([\w ]+: *)? *\d+%\|.*?\]")  # a bar; Python may write on behind it


@cache
def program(name: str) -> ModuleType:
    """A program of scripts/, loaded once."""
    return load_script(name)


def said(words: Sequence[str]) -> list[str]:
    """Run a command that has to be refused.

    Args:
        words: as typed: `run <action> ...` of the bundle, or the name of a program of scripts/ with its options.

    Returns:
        the lines on standard error, warnings first, without progress bars, a parser's usage and the hint to
        the traceback.

    Raises:
        AssertionError: if the command ends well, or its exit status says so.
    """
    error = io.StringIO()
    quiet = logging.NullHandler()  # configs/logging.conf sends the log to standard output
    logging.getLogger().addHandler(quiet)
    with (
        contextlib.redirect_stderr(error),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(record=True) as warned,
    ):
        warnings.simplefilter("default")
        for kind in (ResourceWarning, DeprecationWarning):  # Python shows neither
            warnings.simplefilter("ignore", kind)
        try:
            if words[0] in BUNDLE:
                sys.argv[:] = [str(Path(monai.bundle.__file__).with_name("__main__.py")), *words]
                fire.Fire(BUNDLE, command=[*words, "--logging_file", "False"])
            else:
                sys.argv[:] = [f"{words[0]}.py"]  # a parser's errors begin with it
                program(words[0]).main(words[1:])
        except SystemExit as end:
            assert end.code not in (None, 0), "the exit status says that all is well"
            if isinstance(end.code, str):
                print(end.code, file=sys.stderr)
        except BaseException as failure:
            sys.excepthook(type(failure), failure, failure.__traceback__)
        else:
            raise AssertionError("the command was not refused")
        finally:
            logging.getLogger().removeHandler(quiet)
    text = re.sub(r"\Ausage: .*?\n(?=\S)", "", error.getvalue(), flags=re.DOTALL)
    lines = [_PROGRESS.sub("", line).rsplit("\r")[-1] for line in text.splitlines()]
    lines[:0] = [f"warning: {one.message}" for one in warned if not str(one.message).startswith(_OF_MONAI)]
    return [line for line in lines if line.strip() and line != HINT]
