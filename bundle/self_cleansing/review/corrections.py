# SPDX-License-Identifier: Apache-2.0
"""Corrected label files, by case: of a review with MONAI Label, or a folder that somebody filled otherwise."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..data.json_file import read_json
from ..data.labels import PICTURE_EXTENSIONS
from ..data.msd import case_name

FINAL, SHOWN = "final", ("original", "proposed")
DATASTORE = "datastore_v2.json"
EXTENSIONS = (".nii", ".nii.gz", ".nrrd", ".mha", *PICTURE_EXTENSIONS)


@dataclass(frozen=True)
class Correction:
    """One corrected label.

    Attributes:
        file: the label.
        shown: the label maps that the reviewer was given, as `label_map` makes them; () if unknown.
        client_info: what the client sent with the label, as JSON; "" if nothing is known.
        reviewed_at: when it was stored, "2026-01-31T12:00:00Z"; "" if unknown.
    """

    file: Path
    shown: tuple[Path, ...] = ()
    client_info: str = ""
    reviewed_at: str = ""


def corrections_of_studies(studies: str | os.PathLike[str]) -> dict[str, Correction]:
    """List the labels tagged `final` of a review.

    Args:
        studies: the folder that prepare_review.py made and a MONAI Label server used.

    Returns:
        by case, sorted; never empty.

    Raises:
        FileNotFoundError: if the folder is missing or holds no final label, or a label that the server stored is gone.
        ValueError: if the server's record is damaged, or a case has two final labels.
    """
    root = Path(os.path.abspath(os.path.expanduser(studies)))
    if not root.is_dir():
        raise FileNotFoundError(f"studies {root} is no folder; give the one that prepare_review.py made")
    folder = root / "labels" / FINAL
    files = _files(folder)[0] if folder.is_dir() else {}
    stored = _stored_labels(root / DATASTORE)
    for case in stored:
        if case not in files:
            raise FileNotFoundError(
                f"{root / DATASTORE} records a final label of {case}, but {folder} holds none; restore that file"
            )
    if not files:
        raise FileNotFoundError(f"studies {root} hold no label tagged {FINAL}; review a case first (Submit Label)")
    shown = [_files(root / "labels" / tag)[0] for tag in SHOWN if (root / "labels" / tag).is_dir()]
    return {
        case: Correction(file, tuple(maps[case] for maps in shown if case in maps), *_reviewer(stored.get(case, {})))
        for case, file in files.items()
    }


def corrections_of_folder(
    folder: str | os.PathLike[str], cases: Sequence[Mapping[str, Any]]
) -> tuple[dict[str, Correction], list[str]]:
    """List corrected files, named by case or like the label they correct.

    Args:
        folder: its sub-folders and hidden files are left out.
        cases: of the data set, as `find_cases` gives them.

    Returns:
        by case, sorted, never empty; and the names of files that are no label by their extension.

    Raises:
        FileNotFoundError: if the folder is missing or holds no label file.
        ValueError: if a file is named after no case, or two after one.
    """
    root = Path(os.path.abspath(os.path.expanduser(folder)))
    if not root.is_dir():
        raise FileNotFoundError(f"corrections {root} is no folder; give the one that holds the corrected labels")
    files, passed_over = _files(root)
    if not files:
        raise FileNotFoundError(f"corrections {root} holds no label file ({', '.join(EXTENSIONS)}); check the path")
    known = {case["case"] for case in cases}
    by_label: dict[str, list[str]] = {}
    for case in cases:
        by_label.setdefault(case_name(case["label"]), []).append(case["case"])
    found: dict[str, Correction] = {}
    for name, file in files.items():
        owners = [name] if name in known else by_label.get(name, [])
        if len(owners) != 1:
            raise ValueError(
                f"correction {file} is named after {'no case' if not owners else f'{len(owners)} cases'} of the data; "
                f"name it after its case, as in {cases[0]['case']}{file.name[len(name) :]}"
            )
        if owners[0] in found:
            raise ValueError(f"{found[owners[0]].file} and {file} correct one case; keep one of them")
        found[owners[0]] = Correction(file)
    return dict(sorted(found.items())), passed_over


def _files(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Label files of a folder by name without extension, sorted, and the names of other files."""
    found: dict[str, Path] = {}
    others = []
    for file in sorted(folder.iterdir()):
        if file.name.startswith(".") or not file.is_file():
            continue
        if not file.name.lower().endswith(EXTENSIONS):
            others.append(file.name)
            continue
        earlier = found.setdefault(case_name(file), file)
        if earlier != file:
            raise ValueError(f"{earlier} and {file} correct one case; keep one of them")
    return found, others


def _stored_labels(datastore: Path) -> dict[str, dict[str, Any]]:
    """What MONAI Label's record knows of every final label, by case; nothing if no server was ever started."""
    if not datastore.is_file():
        return {}
    record = read_json(datastore)
    try:
        labels = {case: entry["labels"] for case, entry in record["objects"].items()}
        stored = {case: dict(tags[FINAL]["info"]) for case, tags in labels.items() if FINAL in tags}
        for info in stored.values():
            _reviewer(info)  # its time may be none
        return stored
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError, OSError) as error:
        raise ValueError(f"{datastore} is no record of MONAI Label ({error!r}); restore it, or remove it") from error


def _reviewer(info: Mapping[str, Any]) -> tuple[str, str]:
    """Client's information as JSON without what the server added, and the server's time in UTC."""
    sent = {key: value for key, value in sorted(info.items()) if key not in ("ts", "name")}
    stamp = info.get("ts")
    stored = datetime.fromtimestamp(stamp, timezone.utc) if isinstance(stamp, int | float) else None
    when = stored.strftime("%Y-%m-%dT%H:%M:%SZ") if stored else ""
    return json.dumps(sent, ensure_ascii=False) if sent else "", when
