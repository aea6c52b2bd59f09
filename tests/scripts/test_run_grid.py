# SPDX-License-Identifier: Apache-2.0
"""The grid: what is run, in what processes, and that a kill at any moment costs at most an epoch."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from running import ROOT, TINY

sys.path.insert(0, str(ROOT / "scripts"))

from child_process import Child  # noqa: E402
from data_identity import identity  # noqa: E402
from grid_cells import noise_level, read_grid  # noqa: E402
from job_queue import Failed, Job, last_words, side_by_side  # noqa: E402
from run_grid import Run, check_data_set, check_definition, write_json  # noqa: E402

from bundle.self_cleansing.folder_lock import lock_folder  # noqa: E402

SCRIPT = str(ROOT / "scripts" / "run_grid.py")
GRIDS = sorted((ROOT / "configs" / "grids").glob("*.yaml"))
SMALL = {
    "datasets": {"a": {"dataset_dir": "data/a", "overlay": "acdc", "preset": "quick", "overrides": {"x": 1, "y": 1}}},
    "noise": {"paper": {"recipe": "paper_alpha70_beta10"}, "range": {"recipe": "co_seg_type1", "alpha": 0.25}},
    "methods": {"m": {"overlay": "baseline", "overrides": {"y": 2, "noisy_image_fraction": "oracle"}}},
    "blocks": [
        {"datasets": ["a"], "noise": ["none", "paper"], "methods": ["m", "baseline"], "seeds": [0, 1]},
        {"datasets": ["a"], "noise": ["paper", "range"], "methods": ["m"], "seeds": [1]},
    ],
}


def grid_file(folder: Path, **changes: object) -> Path:
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return path


def wait_until(condition: Callable[[], object], patience_s: float = 120.0) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def test_blocks_are_cross_products_and_a_cell_named_twice_is_run_once(tmp_path):
    cells = {cell.name: cell for cell in read_grid(grid_file(tmp_path))}
    expected = {f"a/{n}/{m}/seed{s}" for n in ("none", "paper") for m in ("m", "baseline") for s in (0, 1)}
    assert set(cells) == expected | {"a/range/m/seed1"}
    one = cells["a/range/m/seed1"]
    files = ("train", "datasets/acdc", "methods/baseline", "presets/quick")
    assert one.config_files == tuple(f"configs/{name}.yaml" for name in files)
    assert one.overrides == {"x": 1, "y": 2, "noisy_image_fraction": "oracle"}  # the method's wins
    assert one.oracle_noise and not cells["a/none/baseline/seed0"].oracle_noise
    assert one.data_name == "data/a/range_seed1" and cells["a/none/m/seed0"].data_name is None
    assert noise_level(one) == {"alpha": 0.25, "beta": "1-8"}
    assert noise_level(cells["a/paper/m/seed1"]) == {"alpha": 0.7, "beta": "10"}
    assert noise_level(cells["a/none/m/seed0"]) == {"alpha": 0.0, "beta": "0"}
    assert one.dataset_dir == ROOT / "data" / "a"
    assert read_grid(tmp_path / "grid.yaml", {"a": tmp_path})[0].dataset_dir == tmp_path


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_the_grids_of_the_repository_name_files_that_exist(path):
    for cell in read_grid(path):
        assert cell.missing_file() in (None, cell.dataset_dir), cell.name  # the data are not in the repository
        assert noise_level(cell)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"blocks": [{**SMALL["blocks"][0], "noise": ["heavy"]}]}, "noise of block 1 names 'heavy'"),
        ({"blocks": [{**SMALL["blocks"][0], "seeds": ["0"]}]}, "seeds of block 1 .* got '0'"),
        ({"blocks": [{**SMALL["blocks"][0], "methods": ["../m"]}]}, "methods of block 1: '../m' is not a name"),
        ({"blocks": []}, r"blocks must be a list with at least one entry, got \[\]"),
        ({"noise": {30_5: {"recipe": "x"}}}, "noise: 305 is not a name"),
        ({"noise": {"paper": {"alpha": 0.5}, "range": {"recipe": "x"}}}, "noise paper has no recipe"),
        (
            {"noise": {**SMALL["noise"], "range": {"recipe": "co_seg_type1", "beta": 5}}},
            "noise range has the key 'beta'",
        ),
        ({"methods": {"m": {"overide": {}}}}, "methods: m has the key 'overide'"),
    ],
)
def test_a_wrong_grid_is_refused_with_its_place(changes, sentence, tmp_path):
    with pytest.raises(ValueError, match=sentence):
        for cell in read_grid(grid_file(tmp_path, **changes)):
            noise_level(cell)


def test_a_data_set_that_the_grid_does_not_know_cannot_be_set(tmp_path):
    with pytest.raises(ValueError, match="--set names the data set 'b'"):
        read_grid(grid_file(tmp_path), {"b": tmp_path})


def test_a_cell_made_from_another_definition_is_refused(tmp_path):
    cell = read_grid(grid_file(tmp_path))[0]
    write_json(tmp_path / cell.name / "cell.json", {"definition": cell.definition})
    check_definition(cell, tmp_path)
    changed = read_grid(grid_file(tmp_path, methods={"m": {"overlay": "baseline", "overrides": {"y": 3}}}))[0]
    with pytest.raises(ValueError, match="overrides = {'x': 1, 'y': 2, .*, the grid now says {'x': 1, 'y': 3}"):
        check_definition(changed, tmp_path)


def test_a_cell_that_is_gone_on_with_keeps_the_threads_of_its_training(tmp_path):
    cell = read_grid(grid_file(tmp_path))[0]
    first = Run(cell, tmp_path, {"OMP_NUM_THREADS": "1"}, 0)
    assert first.start("training")
    first.end()
    again = Run(cell, tmp_path, {"OMP_NUM_THREADS": "2"}, 0)
    assert not again.start("training") and again.start("evaluating")
    assert {name: step["threads"] for name, step in again.state["steps"].items()} == {"training": 1, "evaluating": 2}


def test_noisy_data_of_another_level_are_refused(tmp_path):
    cell = read_grid(grid_file(tmp_path))[-1]
    recipe = {"name": "boundary_range", "alpha": 0.25, "low": 1, "high": 8, "per_organ": False}
    write_json(tmp_path / str(cell.data_name) / "noise.json", {"recipe": recipe})
    check_definition(cell, tmp_path)
    write_json(tmp_path / str(cell.data_name) / "noise.json", {"recipe": {**recipe, "high": 7}})
    with pytest.raises(ValueError, match="high = 7, the grid now says 8"):
        check_definition(cell, tmp_path)


def test_another_data_set_of_the_same_name_is_refused(tmp_path):
    """Also by cells that were not yet run: their noisy data may be there, made of the first one."""
    grid = grid_file(tmp_path, methods={"m": {"overlay": "no_such_method"}})
    out = tmp_path / "out"
    command = [sys.executable, SCRIPT, str(grid), "--output_dir", str(out), "--only", "a/*/m/seed0"]
    first, moved, other = (tmp_path / name for name in ("first", "moved", "other"))
    for folder, label in ((first, b"12345"), (moved, b"54321"), (other, b"1234")):
        (folder / "labels").mkdir(parents=True)
        (folder / "labels" / "case.nii").write_bytes(label)
    (moved / ".cache").mkdir()
    (moved / ".cache" / "slices").write_bytes(b"123")

    def run(folder: Path) -> subprocess.CompletedProcess:
        return subprocess.run([*command, "--set", f"a={folder}"], capture_output=True, text=True)

    assert run(first).returncode == 1  # nothing could be run, but the data set was taken
    record = out / "data" / "a" / "identity.json"
    assert json.loads(record.read_text()) == identity(moved) and run(moved).returncode == 1
    refused = run(other)
    assert refused.returncode == 2
    assert f"{other} (1 files, 4 bytes) is not the data set that {record} was written for (1 files, 5" in refused.stderr


def test_a_data_set_is_known_by_the_names_and_sizes_of_its_files(tmp_path):
    """Of what a training writes there, or hides, nothing counts; of what it holds, everything."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.nii").write_bytes(b"123")
    (tmp_path / "images" / "b.nii").write_bytes(b"12")
    first = identity(tmp_path)
    assert (first["files"], first["bytes"]) == (2, 5)
    (tmp_path / "split.json").write_text("{}")
    (tmp_path / ".hidden").write_text("x")
    assert identity(tmp_path) == first
    for name, content in (("a.nii", b"12"), ("b.nii", b"123")):  # the same names, number and bytes
        (tmp_path / "images" / name).write_bytes(content)
    swapped = identity(tmp_path)
    assert swapped != first and (swapped["files"], swapped["bytes"]) == (2, 5)
    (tmp_path / "images").rename(tmp_path / "labels")  # the same file names, elsewhere
    assert identity(tmp_path) not in (first, swapped)
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "labels").symlink_to(tmp_path / "labels")
    assert identity(tmp_path / "linked")["files"] == 2
    (tmp_path / "linked" / os.fsdecode(b"\xff.nii")).write_bytes(b"1")
    assert identity(tmp_path / "linked")["files"] == 3


def test_an_output_folder_begun_before_data_sets_were_recorded_is_taken_on_trust(tmp_path, capsys):
    (tmp_path / "data_set").mkdir()
    (tmp_path / "out" / "a" / "none").mkdir(parents=True)
    check_data_set("a", tmp_path / "data_set", tmp_path / "out")
    assert "does not say which data set a it was begun with; taken to be" in capsys.readouterr().out
    check_data_set("a", tmp_path / "data_set", tmp_path / "out")
    check_data_set("b", tmp_path / "data_set", tmp_path / "out")  # nothing there yet
    assert capsys.readouterr().out == ""
    with pytest.raises(ValueError, match="out lies in the data set"):
        check_data_set("a", tmp_path, tmp_path / "out")


class Words(Job):
    """A chain of one-line Python programs."""

    def __init__(self, name: str, folder: Path, programs: list[str], held: int) -> None:
        self.programs = programs
        super().__init__(name, folder / f"{name}.log", folder, {}, held)

    def commands(self):
        for program in self.programs:
            yield [sys.executable, "-c", program]
        (self.cwd / f"{self.name}.done").touch()


def test_jobs_run_step_by_step_side_by_side_and_a_failure_stops_only_its_own(tmp_path, capsys):
    held = lock_folder(tmp_path)
    # One and two wait for each other: run one after the other they would never end.
    meet = "import pathlib, time; pathlib.Path('{}').touch()\nwhile not pathlib.Path('{}').exists(): time.sleep(0.01)"
    jobs = [
        Words("one", tmp_path, [meet.format("1", "2"), "print('second step')"], held),
        Words("two", tmp_path, [meet.format("2", "1")], held),
        Words("bad", tmp_path, ["import sys; print('error: too big'); print('(hint)'); sys.exit(3)", "print()"], held),
        Words("killed", tmp_path, ["import os; print('so far', flush=True); os.kill(os.getpid(), 9)"], held),
        Words("last", tmp_path, ["pass"], held),
    ]
    failures = side_by_side(jobs, 2, finished=1)
    assert failures == {"bad": "error: too big", "killed": "killed by SIGKILL, last said: so far"}
    assert sorted(path.stem for path in tmp_path.glob("*.done")) == ["last", "one", "two"]
    assert last_words(tmp_path / "one.log") == "second step"
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5 and "[6/6]" in lines[-1]
    assert any("bad FAILED: error: too big" in line for line in lines)
    os.close(held)


def test_memory_and_seconds_of_a_child_are_measured(tmp_path):
    held = lock_folder(tmp_path)
    program = "import time; block = bytearray(200 << 20); time.sleep(0.5)\nwhile time.process_time() < 0.7: pass"
    child = Child([sys.executable, "-c", program], tmp_path / "log", tmp_path, {}, held)
    while child.poll() is None:
        time.sleep(0.05)
    assert child.poll() == 0
    forked_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # with which it begins
    assert 200 < child.peak_memory_mb < max(300, forked_mb + 50)
    assert 0.5 < child.seconds < 30
    assert 0.7 <= child.cpu_seconds <= min(child.seconds, 5) + 0.1  # one thread that sleeps first
    os.close(held)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child may outlive its parent; the lock stays held")
def test_a_child_dies_with_a_killed_parent_and_the_lock_comes_free(tmp_path):
    program = f"""
import sys, time
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "scripts")!r}]
from bundle.self_cleansing.folder_lock import lock_folder
from child_process import Child
from pathlib import Path
held = lock_folder(Path("out"))
child = Child([sys.executable, "-c", "import time; time.sleep(60)"], Path("log"), Path("."), {{}}, held)
print(child.process.pid, flush=True)
time.sleep(60)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.stdout.close()
    assert alive(child)
    with pytest.raises(ValueError, match="out is in use by another process"):
        lock_folder(tmp_path / "out", patience_s=0.2)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    wait_until(lambda: not alive(child), 5)
    os.close(lock_folder(tmp_path / "out", patience_s=5))


def test_the_lock_is_held_as_long_as_a_child_lives(tmp_path):
    held = lock_folder(tmp_path)
    child = Child([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log", tmp_path, {}, held)
    os.close(held)
    with pytest.raises(ValueError, match="in use"):
        lock_folder(tmp_path, patience_s=0.2)
    child.kill()
    os.close(lock_folder(tmp_path))


def test_a_job_that_cannot_start_fails_alone(tmp_path):
    class Missing(Words):
        def commands(self):
            raise Failed("its file does not exist")
            yield

    held = lock_folder(tmp_path)
    jobs = [Missing("missing", tmp_path, [], held), Words("fine", tmp_path, ["pass"], held)]
    assert side_by_side(jobs, 1) == {"missing": "its file does not exist"}
    assert (tmp_path / "fine.done").exists()
    os.close(held)


def test_what_cannot_be_run_is_listed_and_the_exit_status_is_1(tmp_path):
    grid = grid_file(tmp_path, methods={"m": {"overlay": "no_such_method"}})
    command = [sys.executable, SCRIPT, str(grid), "--output_dir", str(tmp_path / "out"), "--only", "a/*/m/seed0"]
    listed = subprocess.run([*command, "--dry_run"], capture_output=True, text=True, check=True).stdout.splitlines()
    assert [line.split(":")[0] for line in listed] == ["a/none/m/seed0", "a/paper/m/seed0"]
    assert not (tmp_path / "out").exists()
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1, result.stderr
    assert "0 of 2 cells finished" in result.stdout
    assert "no_such_method.yaml does not exist" in result.stdout.splitlines()[-1]


@pytest.fixture
def tiny_grid(phantom, tmp_path) -> list[str]:
    """The command for two cells of four epochs, output folder left out."""
    noise = {"alpha70_beta10": {"recipe": "paper_alpha70_beta10"}}
    overrides = {key: str(value) if isinstance(value, Path) else value for key, value in TINY.items()}
    data = {"tiny": {"dataset_dir": "nowhere", "overlay": "acdc", "preset": "quick", "overrides": overrides}}
    block = {"datasets": ["tiny"], "noise": list(noise), "methods": ["baseline", "self_cleansing_off"], "seeds": [0]}
    grid = grid_file(tmp_path, datasets=data, noise=noise, methods={}, blocks=[block])
    return [sys.executable, SCRIPT, str(grid), "--threads", "1", "--set", f"tiny={phantom}", "--output_dir"]


def without_cost(path: Path) -> dict:
    content = json.loads(path.read_text())
    assert all(content.pop(key) > 0 for key in ("seconds", "cpu_seconds", "evaluation_seconds", "peak_memory_mb"))
    content.pop("commit")  # somebody may commit meanwhile
    return content


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child may outlive its parent")
@pytest.mark.timeout(1800)
def test_a_grid_that_is_killed_again_and_again_ends_like_an_unbroken_one(tiny_grid, tmp_path):
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    result = subprocess.run([*tiny_grid, str(unbroken)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr

    first, second = (
        broken / "tiny" / "alpha70_beta10" / method / "seed0" for method in ("baseline", "self_cleansing_off")
    )

    def epochs(cell: Path) -> int:
        path = cell / "run" / "history.csv"
        return len(list(csv.DictReader(path.read_text().splitlines()))) if path.is_file() else 0

    def at(cell: Path, step: str) -> bool:
        path = cell / "steps.json"
        return path.is_file() and step in json.loads(path.read_text())["steps"]

    moments = [
        lambda: list((broken / "data" / "tiny").glob(".*.partial-*")),  # while noisy labels are made
        lambda: (first / "run" / "run.json").is_file(),  # in the first epoch, before any checkpoint
        lambda: epochs(first) == 2,
        lambda: (first / "run" / "models" / "model_last.pt").is_file(),  # while the training ends
        lambda: at(first, "evaluating"),
        lambda: (first / "cell.json").is_file() and epochs(second) == 1,
    ]
    finished, rows = None, [0]  # of the first cell's history, before each attempt to train it
    for number, moment in enumerate(moments):
        with open(tmp_path / f"grid{number}.txt", "w") as output:
            parent = subprocess.Popen([*tiny_grid, str(broken)], stdout=output, stderr=output)
        wait_until(lambda parent=parent, moment=moment: moment() or parent.poll() is not None)
        assert parent.poll() is None, (tmp_path / f"grid{number}.txt").read_text()
        child = children(parent.pid)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        wait_until(lambda child=child: not any(map(alive, child)), 5)
        before = epochs(first)
        if 1 <= number <= 3:
            rows.append(before)
        if (first / "cell.json").is_file():
            finished = finished or (first / "cell.json").read_bytes()
        time.sleep(0.3)
        assert epochs(first) == before  # nobody writes there any more

    # The child alone is killed, as by a machine that is out of memory: its cell fails, and is tried again.
    with open(tmp_path / "grid.txt", "w") as output:
        parent = subprocess.Popen([*tiny_grid, str(broken)], stdout=output, stderr=output)
    wait_until(lambda: epochs(second) >= 2 or parent.poll() is not None)
    for child in children(parent.pid):
        os.kill(child, signal.SIGKILL)
    assert parent.wait() == 1
    assert "self_cleansing_off/seed0 FAILED: killed by SIGKILL" in (tmp_path / "grid.txt").read_text()

    result = subprocess.run([*tiny_grid, str(broken)], capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "2 of 2 cells finished" in result.stdout
    assert finished is not None and (first / "cell.json").read_bytes() == finished
    for path in sorted(unbroken.rglob("cell.json")):
        other = broken / path.relative_to(unbroken)
        assert without_cost(other) == without_cost(path)
        for name in ("model_best.pt", "model_last.pt"):
            one, two = (torch.load(cell.parent / "run" / "models" / name, weights_only=True) for cell in (path, other))
            assert one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)
        assert (path.parent / "run" / "history.csv").read_bytes() == (other.parent / "run" / "history.csv").read_bytes()
    assert not list(broken.rglob(".*partial-*"))
    attempts = (first / "log.txt").read_text().split("$ ")[1:]
    bars = [re.search(r"epoch (\d+)\.\d/4", attempt) for attempt in attempts if "run training" in attempt]
    starts = [int(bar[1]) if bar else 0 for bar in bars]
    assert len(starts) in (3, 4)  # four, if the end of the third was not yet noted
    assert starts[0] == 0 and starts[2] >= 1
    assert all(start >= row - 1 for start, row in zip(starts, rows, strict=False)), (starts, rows)
