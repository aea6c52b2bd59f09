# SPDX-License-Identifier: Apache-2.0
"""One bad input: what spoils a valid world, the command a user types, and the one sentence that has to come back."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from running import ROOT

ANYTHING = "~"  # in an expected sentence: words of a library, which may change with its version


@dataclass(frozen=True)
class Row:
    """A row of the tables.

    Attributes:
        name: says what is wrong, in words; unique.
        spoil: changes the copy of a world, given its folder.
        command: words after `python -m monai.bundle` or `python scripts/`; {w} is the world, {root} the repository.
        sentence: what is printed, likewise with {w} and {root}; ANYTHING stands for any text.
        world: a name of `worlds.WORLDS`.
    """

    name: str
    spoil: Callable[[Path], object]
    command: str
    sentence: str
    world: str = "volumes"

    def words(self, folder: Path) -> list[str]:
        """The command line for a world in a folder; no word of it holds a blank."""
        return [_placed(word, folder) for word in self.command.split()]

    def pattern(self, folder: Path) -> re.Pattern[str]:
        """Matches the expected sentence."""
        parts = _placed(self.sentence, folder).split(ANYTHING)
        return re.compile(".*".join(map(re.escape, parts)))


def _placed(text: str, folder: Path) -> str:
    return text.replace("{w}", str(folder)).replace("{root}", str(ROOT))


def nothing(folder: Path) -> None:
    """Leave the world as it is: the command line alone is bad."""
