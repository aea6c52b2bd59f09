# SPDX-License-Identifier: Apache-2.0
"""An option nobody reads is refused, in whatever way it is written; those that MONAI or a config knows are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundle.self_cleansing.options import check_options

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
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


def overlay(folder: Path, text: str) -> list[str]:
    (folder / "base.yaml").write_text("max_epochs: 3\nbatch_size: 2\nstop: $@max_epochs * @batch_size\nonce: 1\n")
    (folder / "own.yaml").write_text(text)
    return [PROGRAM, "run", "training", "--config_file", f"['{folder}/base.yaml','{folder}/own.yaml']"]


@pytest.mark.parametrize("text", ["max_epoch: 5\n", "batchsize: 5\n", "max_epochs: 1\nbatch_sise: 5\n"])
def test_refuses_an_overlay_with_a_slip(tmp_path: Path, text: str) -> None:
    sentence = r"own\.yaml sets \w+, which nothing reads; did you mean (max_epochs|batch_size)\?"
    with pytest.raises(ValueError, match=sentence):
        check_options(overlay(tmp_path, text))


def test_finds_a_slip_in_files_after_a_comma(tmp_path: Path) -> None:
    *words, files = overlay(tmp_path, "max_epoch: 5\n")
    with pytest.raises(ValueError, match="did you mean max_epochs"):
        check_options([*words, files.strip("[]").replace("'", "")])


@pytest.mark.parametrize(
    "text",
    [
        "max_epochs: 5\n",
        "once: 2\n",
        "my_rate: 0.5\n",
        "max_epoch: 5\nmax_epochs: '@max_epoch'\n",
        "max_epoch: [$print(@once)]\n",
    ],
)
def test_accepts_an_overlay_with_keys_of_its_own(tmp_path: Path, text: str) -> None:
    check_options(overlay(tmp_path, text))


def test_accepts_every_overlay_of_the_repository() -> None:
    base = CONFIGS / "train.yaml"
    overlays = [file for file in CONFIGS.rglob("*.yaml") if file.parent.name not in ("grids", "noise") and file != base]
    assert len(overlays) > 20
    check_options([PROGRAM, "run", "training", "--config_file", str([str(base), *map(str, overlays)])])
    for overlay in overlays:
        check_options([PROGRAM, "run", "training", "--config_file", str([str(base), str(overlay)])])


def test_leaves_other_programs_alone(files: str) -> None:
    check_options(["/bin/pytest", "--config_file", files, "--zzz", "1"])
    check_options(["/bin/pytest"])
    check_options([PROGRAM, "run", "training", "--zzz", "1"])  # no config file: MONAI says so
