# SPDX-License-Identifier: Apache-2.0
"""Running numbers for series: the one file that says which patient a case is."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from ..data.whole_file import whole_file
from .series import Series, read_series

_FIRST_COLUMNS = ("case", "folder", "StudyInstanceUID", "SeriesInstanceUID")  # all that there were once
COLUMNS = (*_FIRST_COLUMNS, "patient", "PatientID")
PRIVATE_MAPPING = "private_mapping.csv"
_CASE = re.compile(r"case_(\d{4,})")
_PATIENT = re.compile(r"patient_(\d{4,})|")


class PrivateMapping:
    """Case and patient names of series, kept in a CSV file that only its owner may read.

    A series is known again by its UIDs, or by its folder if the header has none; a patient by the PatientID, or by the
    study if the header has none. A number is never given twice. (A file written before it named patients gets their
    numbers from the series that are numbered first.)

    Args:
        path: the file; if it exists, its cases keep their numbers.

    Raises:
        ValueError: if the file is not such a table.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.rows: list[dict[str, str]] = _read(self.path) if self.path.exists() else []

    def number(self, series: Sequence[Series], results_dir: str | os.PathLike | None = None) -> list[str]:
        """Name each series: the case it has in the table, or the next number.

        Args:
            series: in the order in which new ones get their numbers.
            results_dir: holds the results of earlier runs, if any; each must be of a case that the table knows.

        Returns:
            "case_0001", ... in the order of `series`. The table is changed in memory; `write` keeps it.

        Raises:
            ValueError: if there is a result of an unknown case, which a new number could overwrite.
        """
        known = {_key(row): row["case"] for row in self.rows}
        if results_dir is not None:
            self._check_results(Path(results_dir))
        last = max((int(row["case"].removeprefix("case_")) for row in self.rows), default=0)
        names = []
        for one in series:
            row = {
                "case": f"case_{last + 1:04d}",
                "folder": str(one.folder),
                "StudyInstanceUID": one.study_uid,
                "SeriesInstanceUID": one.series_uid,
            }
            if _key(row) not in known:
                known[_key(row)] = row["case"]
                self.rows.append(row | {"patient": "", "PatientID": ""})
                last += 1
            names.append(known[_key(row)])
        self._number_patients(dict(zip(names, series, strict=True)))
        return names

    def patients(self, cases: Sequence[str]) -> dict[str, str]:
        """Say whose the cases are: case -> "patient_0001", ...; of cases that `number` has named."""
        patients = {row["case"]: row["patient"] for row in self.rows}
        return {case: patients[case] for case in cases}

    def series(self, case: str) -> Series:
        """Read the headers of the series that a case was made of.

        Raises:
            ValueError: if the table does not know the case, or its folder is gone or holds another series; no path is
                named, because folders are often called after the patient.
        """
        row = next((row for row in self.rows if row["case"] == case), None)
        if row is None:
            raise ValueError(f"mapping file {self.path} does not know {case}; give the one that its import wrote")
        moved = f"the series of {case} is not in the folder that the mapping file {self.path} names"
        remedy = "move it back, or correct that row's folder"
        if not Path(row["folder"]).is_dir():
            raise ValueError(f"{moved} (there is none); {remedy}")
        series = read_series(row["folder"])
        if (series.study_uid, series.series_uid) != (row["StudyInstanceUID"], row["SeriesInstanceUID"]):
            raise ValueError(f"{moved} (its UIDs are others); {remedy}")
        return series

    def _number_patients(self, series: Mapping[str, Series]) -> None:
        """Give the cases without a patient the one of their PatientID, or the next number."""
        rows = {row["case"]: row for row in self.rows}
        known = {_patient_key(row): row["patient"] for row in self.rows if row["patient"]}
        last = max((int(name.removeprefix("patient_")) for name in known.values()), default=0)
        for case, one in series.items():
            row = rows[case]
            row["PatientID"] = row["PatientID"] or one.patient_id
            if not row["patient"]:
                row["patient"] = known.get(_patient_key(row), f"patient_{last + 1:04d}")
                last = max(last, int(row["patient"].removeprefix("patient_")))
            known.setdefault(_patient_key(row), row["patient"])

    def write(self) -> None:
        """Write the table, whole or not at all, readable by nobody but its owner."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        with whole_file(self.path) as temporary:
            temporary.unlink(missing_ok=True)
            with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
                file.write(text.getvalue())

    def _check_results(self, results_dir: Path) -> None:
        known = {row["case"] for row in self.rows}
        for file in sorted(results_dir.glob("case_*")):
            match = _CASE.match(file.name)
            if match and match[0] not in known:
                raise ValueError(
                    f"{file} is a result, but the mapping file {self.path} does not say whose; put the mapping file of "
                    "that run back, or give another output_dir"
                )


def _key(row: dict[str, str]) -> tuple[str, ...]:
    if row["SeriesInstanceUID"]:
        return row["StudyInstanceUID"], row["SeriesInstanceUID"]
    return (row["folder"],)


def _patient_key(row: Mapping[str, str]) -> tuple[str, str]:
    if row["PatientID"]:
        return "patient", row["PatientID"]
    return "study", row["StudyInstanceUID"] or row["case"]


def _read(path: Path) -> list[dict[str, str]]:
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = list(reader)
            columns = tuple(reader.fieldnames or ())
    except (csv.Error, UnicodeDecodeError):
        rows, columns = [], ()
    good = columns in (COLUMNS, _FIRST_COLUMNS) and all(None not in row.values() and None not in row for row in rows)
    rows = [dict.fromkeys(COLUMNS, "") | row for row in rows] if good else []
    if not good or not all(_CASE.fullmatch(row["case"]) and _PATIENT.fullmatch(row["patient"]) for row in rows):
        raise ValueError(
            f"mapping file {path} must have the columns {', '.join(COLUMNS)}, cases like case_0001 and patients like "
            "patient_0001; restore it, or remove it together with the results beside it"
        )
    for what, values in (("case", [row["case"] for row in rows]), ("series", [_key(row) for row in rows])):
        if len(set(values)) < len(values):
            raise ValueError(f"mapping file {path} has one {what} twice; restore the file as it was written")
    return rows
