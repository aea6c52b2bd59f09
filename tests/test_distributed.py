# SPDX-License-Identifier: Apache-2.0
"""Many processes, one training: the same as one process where it must be, and the same in all of them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
import yaml
from running import bundle_command, run_bundle
from test_training import checkpoint, equal, rows
from tiny import random_bank
from two_processes import NUM_SAMPLES, started_over, updated_bank, validated

from bundle.self_cleansing import distributed, loader
from bundle.self_cleansing.label_bank import LabelBank
from bundle.self_cleansing.loader import BankLoader, SliceLoader
from bundle.self_cleansing.losses import LabelSchedule
from bundle.self_cleansing.transforms import Augmentation

METHOD = "methods/self_cleansing_practical"
TESTS = Path(__file__).parent


def torchrun(words: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program (its words after `python`) in two processes with one thread each."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(TESTS), "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", *words]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def train_in_two(folder: Path, handlers: Sequence[dict] = (), **settings: object) -> subprocess.CompletedProcess[str]:
    """The command of configs/multi_gpu_train.yaml, with more handlers."""
    (folder / "handlers.yaml").write_text(yaml.safe_dump({"+train::handlers": list(handlers)}))
    overlays = [METHOD, str(folder / "handlers"), "multi_gpu_train"]
    return torchrun(bundle_command("training", overlays, **settings)[1:], folder)


def dump_to(folder: Path) -> dict:
    objects = {name: f"@{name}" for name in ("network", "averaged_network", "label_bank", "best_model")}
    return {"_target_": "two_processes.Dump", "folder": str(folder), "objects": objects}


def dumped(folder: Path, moment: str, rank: int) -> dict:
    return torch.load(folder / f"{moment}_{rank}.pt", weights_only=True)


@pytest.fixture
def as_process(monkeypatch):
    """Make this process think it is one of several."""

    def pretend(rank: int, world_size: int) -> None:
        for module in (distributed, loader):
            monkeypatch.setattr(module, "rank", lambda: rank)
            monkeypatch.setattr(module, "world_size", lambda: world_size)

    return pretend


@pytest.mark.parametrize("world_size", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 24])
def test_shares_are_a_division(count, world_size, as_process):
    parts = []
    for rank in range(world_size):
        as_process(rank, world_size)
        parts.append(list(range(count))[distributed.share(count)])
    assert sum(parts, []) == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(("count", "batch_size", "world_size"), [(23, 3, 2), (24, 2, 4), (5, 16, 2), (8, 4, 2)])
def test_processes_share_the_batches_of_one(count, batch_size, world_size, as_process):
    """Together the processes draw what one draws whose batch is as large as all of theirs."""
    dataset = random_bank((count,))
    bank = LabelBank(dataset)
    bank.takes_part[count // 2 :] = False

    def draw(rank: int, of: int, size: int, epoch: int) -> list[torch.Tensor]:
        as_process(rank, of)
        one = BankLoader(dataset, bank, LabelSchedule(2, 2), size, seed=3)
        one.epoch = epoch
        drawn = [batch["index"] for batch in one]
        assert len(drawn) == len(one)
        return drawn

    for epoch in (0, 1, 2):  # in the last one half of the samples takes part
        whole = draw(0, 1, min(batch_size, count // world_size) * world_size, epoch)
        shares = [draw(rank, world_size, batch_size, epoch) for rank in range(world_size)]
        for batch, *parts in zip(whole, *shares, strict=True):
            assert torch.equal(batch, torch.cat(parts))
            assert epoch == 2 or len(set(batch.tolist())) == len(batch)


def test_each_process_augments_by_itself(as_process):
    """The same samples would be drawn with other noise, and by the same process always with the same."""
    dataset = random_bank((8,))
    dataset.images[:] = dataset.images[0]

    def first_image(rank: int, epoch: int) -> torch.Tensor:
        as_process(rank, 4)
        one = BankLoader(dataset, LabelBank(dataset), LabelSchedule(9, 9), 1, 0, Augmentation(False, noise=0.1))
        one.epoch = epoch
        return next(iter(one))["image"]

    images = [first_image(rank, epoch) for rank in range(4) for epoch in (0, 1)]
    again = [first_image(rank, epoch) for rank in range(4) for epoch in (0, 1)]
    assert all(map(torch.equal, images, again))
    assert not any(torch.equal(images[i], images[j]) for i in range(8) for j in range(i))


def test_processes_validate_each_slice_once(as_process):
    dataset = random_bank((4, 7))
    images = []
    for rank in range(2):
        as_process(rank, 2)
        one = SliceLoader(dataset, 4)
        batches = list(one)
        assert len(batches) == len(one)
        images += [batch["image"] for batch in batches]
    assert torch.equal(torch.cat(images), dataset.images)


@pytest.mark.parametrize("purpose", ["training", "validation"])
def test_more_processes_than_slices(purpose, as_process):
    as_process(0, 6)
    dataset = random_bank((3, 2))
    with pytest.raises(ValueError, match=f"5 {purpose} slices cannot be shared by 6 processes.*nproc_per_node=5"):
        if purpose == "training":
            BankLoader(dataset, LabelBank(dataset), LabelSchedule(1, 1), 4, 0)
        else:
            SliceLoader(dataset, 4)


def test_two_processes_write_the_labels_of_one(tmp_path):
    """Sweep, filter (which only the first has) and cleanser, bit for bit; and they measure the same Dice."""
    result = torchrun([str(TESTS / "two_processes.py"), str(tmp_path)], tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    expected = [updated_bank(count) for count in NUM_SAMPLES]
    for rank in range(2):
        found = torch.load(tmp_path / f"process_{rank}.pt", weights_only=True)
        assert equal(expected, found["banks"]), rank
        assert found["dice"] == validated()
        assert equal(started_over(seed=0), found["over"]), "corrected labels and fresh weights are those of the first"
    assert len(expected[0]["provenance"].unique()) == 3  # believed, kept and renewed labels
    assert expected[0]["packed_pseudo_label"].any() and (expected[0]["changed_epoch"] == 2).any()


@pytest.fixture(scope="module")
def moved(noisy_phantom, tmp_path_factory):
    """A run of two epochs alone, one in two processes, one alone: its folder, and a checkpoint after each part."""
    folder = tmp_path_factory.mktemp("moved")
    run, checkpoints = folder / "run", []
    settings: dict[str, object] = {"dataset_dir": noisy_phantom, "output_dir": run}
    short = {"run_figure#_disabled_": "true", "export_labels#_disabled_": "true"}
    for epochs in (2, 3, 4):
        settings["train#trainer#max_epochs"] = epochs
        if epochs == 3:
            result = train_in_two(folder, [dump_to(folder)], **settings, batch_size=2)
            (folder / "files").write_text("\n".join(files(run)))
            (folder / "log").write_text(result.stdout)
        else:
            result = run_bundle("training", [METHOD], folder, **settings, **short)
        assert result.returncode == 0, result.stderr[-3000:]
        checkpoints.append(checkpoint(run))
        settings["resume"] = "true"
    return folder, checkpoints


def files(run: Path) -> list[str]:
    """All files of a run; TensorBoard puts time and host into its names."""
    return sorted(
        "events" if path.name.startswith("events.") else str(path.relative_to(run))
        for path in run.rglob("*")
        if path.is_file()
    )


def test_a_run_moves_from_one_process_to_two_and_back(moved):
    folder, (before, together, after) = moved
    for rank in range(2):
        for name, state in dumped(folder, "start", rank).items():
            assert equal(state, before[name]), (rank, name)
    assert before.keys() == after.keys() and before["network"].keys() == together["network"].keys()
    assert [row["epoch"] for row in rows(folder / "run")] == ["1", "2", "3", "4"]
    iterations = before["progress"]["iteration"]  # an epoch is as long
    assert together["progress"] == {"epoch": 3, "iteration": 3 * iterations // 2}
    assert after["progress"] == {"epoch": 4, "iteration": 2 * iterations}


def test_two_processes_train_one_network(moved):
    """Both end with the same network, averaged network (its batch-norm statistics, too), labels and best epoch."""
    folder, (before, together, _) = moved
    first, second = (dumped(folder, "end", rank) for rank in range(2))
    assert equal(first, second)
    assert not equal(first["network"], before["network"])
    assert not equal(first["label_bank"], before["label_bank"]) and not first["label_bank"]["takes_part"].all()
    for name, state in first.items():
        assert equal(state, together[name]), name


def test_two_processes_write_the_files_of_one(moved, trained):
    folder, one = moved[0], trained("self_cleansing_practical")
    assert (folder / "files").read_text().split() == sorted([*files(one), "events"])  # of the part before, too
    assert (folder / "run" / "run.json").read_text() == (one / "run.json").read_text()
    assert (folder / "log").read_text().count("epoch 3: of ") == 1


def test_what_is_wrong_is_said_once(noisy_phantom, tmp_path):
    """The first process refuses a folder that holds a run; the other ends without a word."""
    (tmp_path / "history.csv").touch()
    result = train_in_two(tmp_path, dataset_dir=noisy_phantom, output_dir=tmp_path, batch_size=2)
    assert result.returncode != 0
    assert result.stderr.count("error: ") == result.stderr.count("Traceback") == 1, result.stderr  # torchrun's own
    assert f"error: output_dir {tmp_path} already holds another run" in result.stderr


def test_an_error_in_one_process_ends_all(noisy_phantom, tmp_path):
    """It happens to the second, while the first waits for it. Until then both, begun afresh, agree, and one of them has
    stored the slices (of the training, the validation, and with clean labels) for both."""
    sabotage = {"_target_": "two_processes.Sabotage", "label_bank": "@label_bank"}
    handlers, run, cache_dir = [dump_to(tmp_path), sabotage], tmp_path / "run", tmp_path / "cache"
    settings = {"dataset_dir": noisy_phantom, "output_dir": run, "cache_dir": cache_dir}
    result = train_in_two(tmp_path, handlers, **settings, batch_size=2)
    assert len(list(cache_dir.glob("*/bank.json"))) == 3 and not list(cache_dir.glob(".*"))
    assert result.returncode != 0
    assert result.stderr.count("after 1 epochs no label is left to train on") == 1, result.stderr
    assert result.stderr.count("Traceback") == 1, result.stderr  # torchrun's own
    assert [row["epoch"] for row in rows(run)] == ["1"]
    assert equal(dumped(tmp_path, "start", 0), dumped(tmp_path, "start", 1))
