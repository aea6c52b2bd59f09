# SPDX-License-Identifier: Apache-2.0
"""Refuse a setting that is misspelt, on the command line or in a config file: MONAI takes it, and nothing reads it."""

from __future__ import annotations

import difflib
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import monai.bundle
from fire.parser import DefaultParseValue
from monai.bundle import ConfigParser
from monai.bundle.utils import ID_SEP_KEY
from monai.utils import ensure_tuple

_OF_MONAI = {one.name for one in inspect.signature(monai.bundle.run).parameters.values() if one.kind != one.VAR_KEYWORD}
_REFERENCE = re.compile(r"[@%](\w+)")
_ALIKE = 0.85  # of difflib: one or two letters of a name
_OPTION = re.compile(r"--?([a-zA-Z].*)", re.DOTALL)  # fire takes one dash as well; -3 is a number


def check_options(arguments: Sequence[str] | None = None) -> None:
    """Refuse an option that is no top-level key of the config files, and a key of an overlay that looks misspelt.

    An overlay may add keys of its own, say for MONAI to run, or for other overlays. A plain value that nothing refers
    to, under a name that differs in a letter or two from one that something refers to, is taken for a slip.

    Args:
        arguments: of the process, its program first; None: those it was started with. Nothing is checked unless the
            program is `python -m monai.bundle`, or if no config file is among them.

    Raises:
        ValueError: names the first such option or key, and the key most like it.
    """
    program, *words = sys.argv if arguments is None else arguments
    given = _options(words)
    if Path(program).parts[-3:] != ("monai", "bundle", "__main__.py") or "config_file" not in given:
        return
    files = DefaultParseValue(given["config_file"])
    if isinstance(files, str) and not Path(files).is_file():
        files = files.split(",")
    configs = {file: ConfigParser.load_config_file(file) for file in ensure_tuple(files)}
    known = sorted({_top(key) for config in configs.values() for key in config})
    for name in map(_top, given):
        if name not in known and name not in _OF_MONAI:
            alike = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean --{alike[0]}?" if alike else "; its settings are the top-level keys of these files"
            raise ValueError(f"--{name} is not a setting of {given['config_file']}{hint}")
    _check_overlays(configs)


def _check_overlays(configs: Mapping[str, Mapping[str, Any]]) -> None:
    base, *overlays = configs
    read = _references(list(configs.values()))
    known = read | set(configs[base])
    for file in overlays:
        for name in (_top(key) for key, value in configs[file].items() if not _references(value)):
            if name not in known and (alike := difflib.get_close_matches(name, read, 1, _ALIKE)):
                raise ValueError(f"{file} sets {name}, which nothing reads; did you mean {alike[0]}?")


def _references(config: Any) -> set[str]:
    """The top-level keys that a config refers to."""
    if isinstance(config, str):
        return set(_REFERENCE.findall(config))
    inner = config.values() if isinstance(config, Mapping) else config if isinstance(config, Sequence) else ()
    return set().union(*map(_references, inner))


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
