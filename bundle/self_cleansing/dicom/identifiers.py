# SPDX-License-Identifier: Apache-2.0
"""Which values of a DICOM header identify a patient, and keeping them out of every message.

Folders are often named after the patient. Text that comes from the user's data (file names, names of segments)
therefore passes through `Identifiers` before anybody sees it.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pydicom.dataset import Dataset

PERSON_NAMES = (
    "PatientName",
    "OtherPatientNames",
    "PatientBirthName",
    "PatientMotherBirthName",
    "ResponsiblePerson",
    "ReferringPhysicianName",
)
NUMBERS = (
    "PatientID",
    "OtherPatientIDs",
    "AccessionNumber",
    "AdmissionID",
    "MedicalRecordLocator",
    "PatientAddress",
    "PatientTelephoneNumbers",
)
BIRTH_DATE = "PatientBirthDate"
IDENTIFYING = (*PERSON_NAMES, *NUMBERS, BIRTH_DATE, "OtherPatientIDsSequence")
MASK = "***"
_SHORT = 4  # shorter values are looked for as whole words only: LI is a name, and a part of LIVER
_SPELT_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "ø": "oe", "å": "aa", "æ": "ae"})


def identifying_values(header: Dataset) -> frozenset[str]:
    """Collect what identifies the patient.

    Args:
        header: a data set; read it inside `quiet`.

    Returns:
        The values, names also by component (family, given, ...), birth dates in every usual order of day, month and
        year; as they stand in the header. Missing and empty ones are left out.
    """
    values: set[str] = set()
    for keyword in PERSON_NAMES:
        for name in _each(header.get(keyword)):
            values |= {name, *re.split(r"[\^=\s,\-]+", name)}
    for keyword in NUMBERS:
        values.update(_each(header.get(keyword)))
    for item in header.get("OtherPatientIDsSequence") or ():
        values.update(_each(item.get("PatientID")))
    for date in _each(header.get(BIRTH_DATE)):
        values.add(date)
        if match := re.fullmatch(r"(\d\d)(\d\d)(\d\d)(\d\d)", date):
            century, year, month, day = match.groups()
            values |= {day + month + century + year, month + day + century + year}
            values |= {year + month + day, day + month + year, month + day + year}
    return frozenset(value for value in map(str.strip, values) if value)


def _each(value: object) -> list[str]:
    """One value or several (a DICOM multi-value) as text."""
    if value is None:
        return []
    several = not isinstance(value, str) and hasattr(value, "__iter__") and not hasattr(value, "family_name")
    return [str(one) for one in (value if several else [value])]  # type: ignore[attr-defined]


def _folded(text: str) -> set[str]:
    """Lower case without accents, once dropping them and once spelling umlauts out; words separated by one space."""
    lower = unicodedata.normalize("NFKC", text).casefold()
    plain = {unicodedata.normalize("NFKD", one) for one in (lower, lower.translate(_SPELT_OUT))}
    bare = ("".join(sign for sign in one if not unicodedata.combining(sign)) for one in plain)
    return {" ".join(re.findall(r"[^\W_]+", one)) for one in bare}


@dataclass(frozen=True, repr=False)
class Identifiers:
    """Values to keep out of messages; spelling with other separators, case or accents is recognised.

    Args:
        values: see `identifying_values`.
    """

    values: frozenset[str]

    def __or__(self, other: Identifiers) -> Identifiers:
        return Identifiers(self.values | other.values)

    @cached_property
    def _folded(self) -> frozenset[str]:
        return frozenset(bare for value in self.values for one in _folded(value) if (bare := one.replace(" ", "")))

    def found_in(self, text: str) -> bool:
        """Whether the text holds one of the values."""
        texts = _folded(text)
        words = {word for one in texts for word in (*one.split(), *re.findall(r"[^\W\d_]+|\d+", one))}
        if not words.isdisjoint(self._folded):
            return True
        joined = [one.replace(" ", "") for one in texts]
        return any(value in one for value in self._folded if len(value) >= _SHORT for one in joined)

    def text(self, text: str) -> str:
        """Return the text, or *** if it holds one of the values."""
        return MASK if self.found_in(text) else text

    def texts(self, texts: Iterable[str]) -> str:
        """Return texts one after the other, each as `text` gives it."""
        return ", ".join(map(self.text, texts))

    def path(self, path: str | os.PathLike, root: str | os.PathLike) -> str:
        """Name a file or folder below `root` in a message.

        Args:
            path: in or below root.
            root: the folder that the user named.

        Returns:
            The path relative to root. A part that holds one of the values is given by its place among its siblings
            sorted by name, "[entry 3]", so that the owner of the data finds it and nobody else learns anything.
        """
        parts, folder = [], Path(root)
        for part in Path(os.path.relpath(path, root)).parts:
            parts.append(f"[entry {_place(folder, part)}]" if self.found_in(part) else part)
            folder /= part
        return "/".join(parts) or "."


@dataclass(frozen=True)
class Place:
    """How files below a folder are called in messages."""

    root: Path
    identifiers: Identifiers

    def __call__(self, path: str | os.PathLike) -> str:
        return self.identifiers.path(path, self.root)

    def entries(self, path: str | os.PathLike) -> str:
        """Call every part by its place among its siblings: for what cannot be read, whose patient nobody knows."""
        parts, folder = [], self.root
        for part in Path(os.path.relpath(path, self.root)).parts:
            parts.append(f"[entry {_place(folder, part)}]")
            folder /= part
        return "/".join(parts) or "."


def _place(folder: Path, name: str) -> int | str:
    try:
        return sorted(entry.name for entry in folder.iterdir()).index(name) + 1
    except (OSError, ValueError):  # a folder that may be entered, but not listed; an entry that is gone
        return "?"
