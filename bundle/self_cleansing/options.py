# SPDX-License-Identifier: Apache-2.0
"""Refuse an option of the command line that no config file knows; MONAI would take it, and nothing would read it."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import monai.bundle
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser
from monai.bundle.utils import ID_SEP_KEY

_OF_MONAI = {one.name for one in inspect.signature(monai.bundle.run).parameters.values() if one.kind != one.VAR_KEYWORD}
_OPTION = re.compile(r"--?([a-zA-Z].*)", re.DOTALL)  # fire takes one dash as well; -3 is a number


def check_options(arguments: Sequence[str] | None = None) -> None:
    """Refuse an option, such as a misspelt one, that is no top-level key of the config files.

    Args:
        arguments: of the process, its program first; None: those it was started with. Nothing is checked unless the
            program is `python -m monai.bundle`, or if no config file is among them.

    Raises:
        ValueError: names the first such option, and the key most like it.
    """
    program, *words = sys.argv if arguments is None else arguments
    given = _options(words)
    if Path(program).parts[-3:] != ("monai", "bundle", "__main__.py") or "config_file" not in given:
        return
    known = sorted({_top(key) for key in ConfigParser.load_config_files(DefaultParseValue(given["config_file"]))})
    for name in map(_top, given):
        if name not in known and name not in _OF_MONAI:
            alike = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean --{alike[0]}?" if alike else "; its settings are the top-level keys of these files"
            raise ValueError(f"--{name} is not a setting of {given['config_file']}{hint}")


def _top(key: str) -> str:
    """The top-level key of an id: train of +train::trainer and of train#trainer."""
    return key.lstrip("+~").replace("#", ID_SEP_KEY).split(ID_SEP_KEY)[0]


def _options(words: Sequence[str]) -> dict[str, str]:
    """Names and values of `--name value`, `--name=value` and both with one dash, as fire reads them."""
    given = {}
    for word, following in pairwise([*words, ""]):
        if option := _OPTION.fullmatch(word):
            name, equals, value = option[1].partition("=")
            given[name.replace("-", "_")] = value if equals else following
    return given
