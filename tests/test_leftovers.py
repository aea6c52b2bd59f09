# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from bundle.self_cleansing.data.whole_file import whole_file
from bundle.self_cleansing.data.whole_folder import whole_folder
from bundle.self_cleansing.leftovers import remove_leftovers


def write(*files: Path) -> None:
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


@pytest.mark.parametrize("writing", [whole_file, whole_folder])
def test_what_is_being_written_has_a_name_that_is_swept(writing, tmp_path):
    with writing(tmp_path / "run" / "a.json") as temporary:
        write(temporary / "b" if writing is whole_folder else temporary)
        remove_leftovers(tmp_path / "run")
        left = list((tmp_path / "run").iterdir())
        write(temporary / "b" if writing is whole_folder else temporary)
    assert left == []


def test_all_below_is_swept_and_nothing_else(tmp_path):
    """Neither through links, nor in the folders of other runs and caches."""
    run, data = tmp_path / "run", tmp_path / "data"
    write(run / ".lock", run / "models" / "a.partial-1", run / "labels" / "x.png", data / ".partial-1-x.png")
    write(run / "other" / ".lock", run / "other" / "models" / ".partial-7-a.pt")
    write(run / "cache" / "CACHEDIR.TAG", run / "cache" / ".bank.partial-0123abcd" / "image.bin")
    (run / "labels" / "data").symlink_to(data)
    before = set(tmp_path.rglob("*"))
    write(run / ".partial-1-run.json", run / "labels" / ".partial-23-x.png")
    write(run / "models" / ".new.partial-0123abcd" / "folder" / "a.pt")
    (run / "labels" / ".partial-1-y.png").symlink_to(data / ".partial-1-x.png")
    remove_leftovers(run)
    assert set(tmp_path.rglob("*")) == before


def test_a_folder_that_is_not_there_is_clear(tmp_path):
    remove_leftovers(tmp_path / "nowhere")
