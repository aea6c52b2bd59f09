# SPDX-License-Identifier: Apache-2.0
"""An option nobody reads is refused, in whatever way it is written; those that MONAI or a config knows are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle.self_cleansing.options import check_options

PROGRAM = "/site-packages/monai/bundle/__main__.py"


@pytest.fixture
def files(tmp_path: Path) -> str:
    (tmp_path / "base.yaml").write_text("max_epochs: 3\ntrain: {trainer: {amp: false}}\n")
    (tmp_path / "more.yaml").write_text("+train: {lr: 1}\nextra: '@max_epochs'\ntrain::trainer::amp: true\n")
    return f"['{tmp_path}/base.yaml','{tmp_path}/more.yaml']"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["--max_epochs", "4"],
        ["--max-epochs=4"],
        ["--train::trainer::amp", "false", "--extra", "5"],
        ["--train#lr=1", "--tracking", "mlflow", "--meta_file", "x.json"],
        ["--max_epochs", "-1"],
        ["-max_epochs", "4"],
    ],
)
def test_accepts_what_is_read(files: str, words: list[str]) -> None:
    check_options([PROGRAM, "run", "training", "--config_file", files, *words])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--max_epoch", "4"], r"--max_epoch is not a setting of .*base.yaml.*; did you mean --max_epochs\?"),
        (["--max-epoch=4"], r"--max_epoch is not a setting .* did you mean --max_epochs\?"),
        (["--trian::trainer::amp", "false"], r"--trian is not a setting .* did you mean --train\?"),
        (["-max_epoch", "4"], r"--max_epoch is not a setting .* did you mean --max_epochs\?"),
        (["-max_epoch=4"], r"--max_epoch is not a setting .* did you mean --max_epochs\?"),
        (["--override", "4"], "--override is not a setting"),
        (["--zzz", "1"], "--zzz is not a setting .*; its settings are the top-level keys of these files"),
    ],
)
def test_refuses_what_nothing_reads(files: str, words: list[str], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        check_options([PROGRAM, "run", "training", f"--config_file={files}", *words])


def test_leaves_other_programs_alone(files: str) -> None:
    check_options(["/bin/pytest", "--config_file", files, "--zzz", "1"])
    check_options(["/bin/pytest"])
    check_options([PROGRAM, "run", "training", "--zzz", "1"])  # no config file: MONAI says so
