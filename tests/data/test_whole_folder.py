# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from bundle.self_cleansing.data.whole_folder import whole_folder


def test_the_folder_appears_when_the_block_ends(tmp_path):
    target = tmp_path / "a" / "b"
    with whole_folder(target) as folder:
        (folder / "x").write_text("1")
        assert not target.exists() and folder.parent == target.parent
    assert (target / "x").read_text() == "1"
    assert [path.name for path in target.parent.iterdir()] == ["b"]


def test_an_empty_folder_is_taken(tmp_path):
    target = tmp_path / "b"
    target.mkdir()
    with whole_folder(target) as folder:
        (folder / "x").touch()
    assert [path.name for path in target.iterdir()] == ["x"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_nothing(tmp_path, error):
    with pytest.raises(error):
        with whole_folder(tmp_path / "b") as folder:
            (folder / "x").touch()
            raise error
    assert not list(tmp_path.iterdir())


def test_a_folder_with_content_is_refused_untouched(tmp_path):
    (tmp_path / "x").write_text("1")
    for target in (tmp_path, tmp_path / "x"):
        with pytest.raises(FileExistsError, match="not empty"):
            with whole_folder(target):
                raise AssertionError("the block must not run")
    assert (tmp_path / "x").read_text() == "1"
