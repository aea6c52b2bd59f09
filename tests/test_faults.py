# SPDX-License-Identifier: Apache-2.0
"""A disk that is full or may not be written, and memory that is used up: one sentence each, and nothing broken."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from running import ROOT, TINY, run_bundle
from tiny import bank_of

from bundle.self_cleansing import slice_cache
from bundle.self_cleansing.audit.fold_training import predict
from bundle.self_cleansing.checkpoint_file import save_checkpoint_file
from bundle.self_cleansing.data.json_file import write_json
from bundle.self_cleansing.data.whole_file import whole_file
from bundle.self_cleansing.data.whole_folder import whole_folder
from bundle.self_cleansing.errors import WriteError
from bundle.self_cleansing.folder_lock import lock_folder
from bundle.self_cleansing.handlers import TrainingCheckpoint

SIZE_KB = 256


def mounted(folder: Path, *options: str) -> bool:
    words = ["mount", "-t", "tmpfs", "-o", ",".join(options), "none", str(folder)]
    try:
        return subprocess.run(words, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A file system of SIZE_KB kilobytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if not mounted(folder, f"size={SIZE_KB}k"):
        pytest.skip("a small file system cannot be mounted here: that takes root on Linux")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def read_only(disk) -> Path:
    """The same, with what was put there, after which nothing can be written; file permissions do not stop root."""
    (disk / "old.json").write_text("{}\n")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    return disk


def large_json(folder: Path) -> None:
    write_json(folder / "old.json", {"text": "x" * 2 * SIZE_KB * 1024})


def large_checkpoint(folder: Path) -> None:
    noise = torch.rand(SIZE_KB * 1024)
    box = SimpleNamespace(state_dict=lambda: {"noise": noise})
    engine = SimpleNamespace(state=SimpleNamespace(epoch=1, iteration=1))
    TrainingCheckpoint(folder / "old.json", {"box": box}).save(engine)


def large_folder(folder: Path) -> None:
    with whole_folder(folder / "new") as partial:
        for number in range(4):
            (partial / f"{number}.bin").write_bytes(bytes(SIZE_KB * 512))


WRITERS: dict[Callable[[Path], None], str] = {large_json: "old.json", large_checkpoint: "old.json", large_folder: "new"}


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_full_disk_is_named_and_what_was_there_stays(write, disk):
    (disk / "old.json").write_text("{}\n")
    with pytest.raises(WriteError, match=rf"{WRITERS[write]} cannot be written \(No space left on device\); make room"):
        write(disk)
    assert [path.name for path in disk.iterdir()] == ["old.json"]
    assert (disk / "old.json").read_text() == "{}\n"


@pytest.mark.parametrize("write", WRITERS, ids=lambda write: write.__name__)
def test_a_read_only_disk_is_named(write, read_only):
    with pytest.raises(WriteError, match=rf"{WRITERS[write]} cannot be written \(Read-only file system\); .*folder"):
        write(read_only)
    assert (read_only / "old.json").read_text() == "{}\n"


def test_a_folder_that_cannot_be_made_is_named(read_only):
    with pytest.raises(WriteError, match=r"deeper/a\.pt cannot be written"):
        save_checkpoint_file({}, read_only / "new" / "deeper" / "a.pt")


def test_a_folder_that_cannot_be_locked_for_lack_of_leave_is_named(read_only):
    for folder in (read_only, read_only / "new"):
        with pytest.raises(WriteError, match=rf"{folder} cannot be written \(Read-only file system\)"):
            lock_folder(folder)


def test_a_file_that_cannot_be_read_is_not_said_to_be_one_that_cannot_be_written(tmp_path):
    denied = PermissionError(13, "Permission denied", str(tmp_path / "source"))
    with pytest.raises(PermissionError) as caught, whole_file(tmp_path / "target"):
        raise denied
    assert caught.value is denied
    with pytest.raises(WriteError), whole_file(tmp_path / "target") as temporary:
        raise PermissionError(13, "Permission denied", str(temporary))


@pytest.mark.parametrize("write", [whole_file, whole_folder])
@pytest.mark.parametrize("is_open", [False, True], ids=["a folder above", "an open file"])
def test_nor_is_a_folder_above_or_an_open_file_that_the_system_names_by_number(write, is_open, tmp_path):
    denied = PermissionError(13, "Permission denied", 7 if is_open else str(tmp_path))
    with pytest.raises(PermissionError) as caught, write(tmp_path / "noisy"):
        raise denied
    assert caught.value is denied and not (tmp_path / "noisy").exists()


def test_a_cache_that_finds_the_disk_full_is_named_and_leaves_nothing(disk):
    volumes = ({"image": torch.rand(4, 1, 128, 128)} for _ in range(4))
    with pytest.raises(WriteError, match=r"the cache .*cannot be written \(No space.*--cache_dir none"):
        slice_cache.store(disk / "bank", volumes)
    assert [path.name for path in disk.iterdir()] == ["CACHEDIR.TAG"]


def test_a_damaged_cache_on_a_read_only_disk_is_named_with_a_remedy(disk):
    slice_cache.store(disk / "bank", iter([{"image": torch.rand(4, 1, 8, 8)}]))
    os.truncate(disk / "bank" / "image.bin", 8)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(WriteError, match=r"the cache .*cannot be written \(Read-only.*--cache_dir none"):
        slice_cache.cached(disk / "bank", iter([]))


def test_predictions_ask_for_their_room_before_they_are_made(disk):
    """A mapped file is as long as asked for at once; a page that then finds no room would kill the process (SIGBUS)."""
    program = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from test_faults import predict_too_much
predict_too_much({str(disk)!r})
"""
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert result.returncode == 1, result.returncode
    assert "WriteError" in result.stderr and "No space left on device" in result.stderr


def predict_too_much(folder: str) -> None:
    images = torch.rand(64, 2, 64, 64)
    network = torch.nn.Conv2d(2, 2, 1)
    with whole_file(Path(folder) / "probs.npy") as temporary:
        predict(network, bank_of(images, images > 0.5), np.arange(64), temporary)


def refused(result: subprocess.CompletedProcess[str]) -> str:
    """The one sentence a command ended with."""
    assert result.returncode > 0 and "Traceback" not in result.stderr, result.stderr[-3000:]
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.slow
def test_a_training_that_fills_the_disk_says_so_and_can_be_resumed_elsewhere(disk, noisy_phantom, tmp_path):
    """There is room for the first files of the run, not for the weights of its network (4.6 MB)."""
    result = run_bundle("training", [], tmp_path, dataset_dir=noisy_phantom, output_dir=disk / "run")
    assert re.search(r"models/\w+\.pt cannot be written \(No space left on device\)", refused(result))
    json.loads((disk / "run" / "run.json").read_text())
    assert not list((disk / "run" / "models").glob("*.pt")) and not list(disk.rglob(".partial-*"))


@pytest.mark.slow
def test_a_training_into_a_read_only_folder_says_so(read_only, noisy_phantom, tmp_path):
    result = run_bundle("training", [], tmp_path, dataset_dir=noisy_phantom, output_dir=read_only / "run")
    assert f"{read_only / 'run'} cannot be written (Read-only file system)" in refused(result)


@pytest.mark.parametrize("program", ["torch.empty(1 << 52)", "bytearray(1 << 60)", "open_batch()"])
def test_out_of_memory_is_one_sentence(program):
    """Of PyTorch's allocator, of Python's, and of one that a wrapper has wrapped."""
    source = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
import torch
from bundle.self_cleansing.errors import explain_errors
def open_batch():
    try:
        torch.zeros(1 << 52)
    except RuntimeError as error:
        raise RuntimeError("applying transform") from error
explain_errors()
{program}
"""
    result = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert "there is not enough memory; lower batch_size" in refused(result)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit on memory is Linux's")
def test_a_training_that_is_out_of_memory_says_so(noisy_phantom, tmp_path):
    program = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_DATA, (3 << 29, 3 << 29))
runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)
"""
    settings = TINY | {"bundle_root": ROOT, "dataset_dir": noisy_phantom, "output_dir": tmp_path / "run"}
    settings |= {"batch_size": 4096, "network_size": 128, "cache_dir": "none"}
    words = [str(word) for name, value in settings.items() for word in (f"--{name}", value)]
    command = [sys.executable, "-c", program, "run", "training", "--config_file", str(ROOT / "configs" / "train.yaml")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run([*command, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert "there is not enough memory" in refused(result)
