# SPDX-License-Identifier: Apache-2.0
"""The program that kills others finds what it is made to find, and dies where it is told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from running import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import kill_and_restart  # noqa: E402
from git_commit import git_commit, is_clean  # noqa: E402
from half_written import half_written  # noqa: E402
from kill_and_restart import attempt, chain, check_commit, figures, refusal  # noqa: E402
from kill_targets import IS_THERE, NO_CHECKPOINT, Target  # noqa: E402
from same_results import differences  # noqa: E402

from bundle.self_cleansing.run_folder import claim_output_dir  # noqa: E402

HOOK = ROOT / "scripts" / "kill_hook"


def fill(folder: Path) -> None:
    """One whole file of every kind that is known."""
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 4), dtype=np.uint8)
    (folder / "a.json").write_text(json.dumps({"key": list(range(99))}) + "\n")
    (folder / "a.csv").write_text("epoch,loss\n" + "1,0.5\n" * 9)
    (folder / "a.html").write_text("<html>" + "x" * 99 + "</html>\n")
    torch.save({"weight": torch.linspace(0, 1, 99)}, folder / "a.pt")
    nib.save(nib.Nifti1Image(noise, np.eye(4)), folder / "a.nii.gz")
    np.save(folder / "a.npy", noise)
    np.savez(folder / "a.npz", noise=noise)
    Image.fromarray(noise[..., 0]).save(folder / "a.png")
    with zipfile.ZipFile(folder / "a.zip", "w") as archive:
        archive.writestr("a.txt", "words " * 99)


def test_half_a_file_of_every_kind_is_found_and_none_that_is_whole(tmp_path):
    fill(tmp_path / "run")
    names = sorted(path.name for path in (tmp_path / "run").iterdir())
    assert half_written(tmp_path / "run") == {}
    for path in (tmp_path / "run").iterdir():
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert sorted(half_written(tmp_path / "run")) == names


def test_files_that_are_being_written_and_links_to_nothing_are_left_alone(tmp_path):
    fill(tmp_path / "run")
    (tmp_path / "run" / ".partial-1-b.json").write_text("{")
    (tmp_path / "run" / ".out.partial-2").mkdir()
    (tmp_path / "run" / ".out.partial-2" / "b.json").write_text("{")
    (tmp_path / "run" / "c.json").symlink_to("nowhere")
    (tmp_path / "run" / "log.txt").write_text("half a li")
    assert half_written(tmp_path / "run") == {}


@pytest.mark.parametrize("kind", ["bytes", "weight", "missing", "more", "link"])
def test_what_differs_is_named(kind, tmp_path):
    for name in ("one", "other"):
        fill(tmp_path / name)
        (tmp_path / name / "image").symlink_to("a.png")
        (tmp_path / name / "log.txt").write_text(name)  # may differ
        (tmp_path / name / "cell.json").write_text(json.dumps({"dice": 0.5, "seconds": len(name)}))
    assert differences(tmp_path / "one", tmp_path / "other") == []
    other = tmp_path / "other"
    if kind == "bytes":
        (other / "a.csv").write_text("epoch,loss\n")
    elif kind == "weight":
        torch.save({"weight": torch.linspace(0, 1, 99) + 1e-6}, other / "a.pt")
    elif kind == "missing":
        (other / "a.png").unlink()
    elif kind == "more":
        (other / "b.txt").write_text("")
    else:
        (other / "image").unlink()
        (other / "image").symlink_to("a.npy")
    expected = {"bytes": "a.csv", "weight": "a.pt", "missing": "a.png", "more": "b.txt", "link": "image"}
    assert differences(tmp_path / "one", other) == [expected[kind]]


PROGRAM = """
import os, pathlib
for number in range(3):
    pathlib.Path(f"{number}").mkdir()
    with open(f"{number}/new", "w") as file:
        file.write("text")
    os.replace(f"{number}/new", f"{number}/final")
"""


@pytest.mark.parametrize(
    ("place", "number", "left"),
    [
        ("after mkdir", 2, ["0", "0/final", "1"]),
        ("after open for writing", 2, ["0", "0/final", "1", "1/new"]),
        ("before rename", 3, ["0", "0/final", "1", "1/final", "2", "2/new"]),
        ("after rename", 1, ["0", "0/final"]),
        ("before rename", 4, None),  # there is no fourth: it ends by itself
    ],
)
def test_a_process_dies_where_it_is_told_to(place, number, left, tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    variables = {"BELOW": work, "PLACE": place, "NUMBER": number, "FIRED": tmp_path / "fired"}
    environment = os.environ | {f"KILL_{name}": str(value) for name, value in variables.items()}
    result = subprocess.run([sys.executable, "-c", PROGRAM], cwd=work, env=environment | {"PYTHONPATH": str(HOOK)})
    assert result.returncode == (0 if left is None else -signal.SIGKILL)
    assert (tmp_path / "fired").exists() == (left is not None)
    if left is not None:
        assert sorted(str(path.relative_to(work)) for path in work.rglob("*")) == left
        opened = work / "1" / "new"
        assert not opened.exists() or opened.read_text() == ""


SENTENCE = "output_dir out exists and is not empty; remove it"


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        (f"words\nmake_noisy_labels.py: {SENTENCE}\n", True),
        (f"Traceback (most recent call last):\n  File ...\nFileExistsError: {SENTENCE}\n", True),
        (f"error: {SENTENCE}\nDuring handling of the above exception, another exception occurred:\n", False),
        (f"error: while reading, output_dir said {SENTENCE}\n", False),
        ("error: history.csv is damaged; restore it\n", False),
        ("", False),
    ],
)
def test_only_a_listed_sentence_that_stands_alone_is_a_refusal(said, allowed):
    assert refusal(said, IS_THERE) == (SENTENCE if allowed else "")
    assert refusal(said, "") == refusal(said, NO_CHECKPOINT) == ""


def test_a_training_s_own_refusal_is_on_the_list(tmp_path):
    (tmp_path / "history.csv").touch()
    with pytest.raises(ValueError) as caught:
        claim_output_dir(tmp_path)
    assert refusal(f"ValueError: {caught.value}\n", NO_CHECKPOINT) == str(caught.value)


def program(text: str, **known: object) -> Target:
    return Target(lambda folder: [sys.executable, "-c", text], **known)


ONCE = """
import os, sys
if os.path.exists("out"):
    sys.exit("program.py: {sentence}")
os.mkdir("out")
with open("out/a.txt", "w") as file:
    file.write("done")
"""


@pytest.mark.parametrize("kind", ["listed", "not listed", "always", "hangs"])
def test_a_restart_may_only_be_refused_with_a_listed_sentence_and_once(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(kill_and_restart, "PATIENCE_S", 5.0)
    kept = tmp_path / "unbroken" / "x"
    (kept / "out").mkdir(parents=True)
    (kept / "out" / "a.txt").write_text("done")
    (kept / "found.json").write_text(json.dumps({"seconds": 0.0, "calls": {"after mkdir": 1}}))
    text = ONCE.format(sentence="all is lost" if kind == "not listed" else SENTENCE)
    if kind == "always":  # it has been somewhere before, whatever the folder holds
        text = text.replace('exists("out")', 'exists("fired.before")').replace(
            "os.mkdir", "open('fired.before', 'w')\nos.mkdir"
        )
    if kind == "hangs":
        text = text.replace("sys.exit(", "__import__('time').sleep(999) or sys.exit(")
    found = chain("x", program(text, refusal=IS_THERE), tmp_path, np.random.default_rng(0), kills=1, lead=1)
    assert len(found["kills"]) == 1 and found["differences"] == []
    if kind == "listed":
        assert found["kills"][0]["refused"] == SENTENCE and found["trouble"] == ""
    else:
        expected = {"not listed": "all is lost", "always": SENTENCE, "hangs": "it did not end within 5 s"}
        assert expected[kind] in found["trouble"]


def test_a_folder_that_appears_when_it_is_complete_must_be_complete_after_a_kill(tmp_path):
    kept = tmp_path / "unbroken" / "x"
    (kept / "out").mkdir(parents=True)
    (kept / "out" / "a.txt").write_text("done")
    (kept / "found.json").write_text(json.dumps({"seconds": 0.0, "calls": {"after mkdir": 1}}))
    target = program(ONCE.format(sentence=SENTENCE), refusal=IS_THERE, is_whole=True)
    found = chain("x", target, tmp_path, np.random.default_rng(0), kills=1, lead=1)
    assert found["kills"][0]["half_written"] == {"a.txt": "not as in an unbroken run"}


def test_errors_of_an_attempt_show_their_traceback(tmp_path):
    text = "import os; print(os.environ['SELF_CLEANSING_TRACEBACK'])"
    assert attempt(program(text), tmp_path).said == "1\n"


def test_nothing_is_killed_while_the_code_is_not_that_of_a_commit(monkeypatch):
    for commit, now in [("a+changes", "a+changes"), ("a", "a+changes"), ("a", "b"), ("unknown", "unknown")]:
        monkeypatch.setattr(kill_and_restart, "git_commit", lambda now=now: now)
        with pytest.raises(ValueError, match="tracked files differ from the commit"):
            check_commit(commit)
    monkeypatch.setattr(kill_and_restart, "git_commit", lambda: "a")
    check_commit("a")


def test_a_chain_with_any_trouble_counts_none_of_its_kills():
    kill = {"place": "any time", "moment": 1.0, "half_written": {}, "refused": ""}
    good = {"target": "grid", "kills": [kill] * 3 + [kill | {"refused": SENTENCE}], "trouble": "", "differences": []}
    good |= {"seconds": 1.0, "cpu_seconds": 0.5}
    broken = [{**kill, "place": "before rename", "half_written": {"a.json": "half"}, "refused": SENTENCE}]
    bad = [good | {"kills": [kill], "differences": ["a.csv"]}, good | {"kills": broken}, good | {"trouble": "said"}]
    found = figures([good, *bad], seed=0, commit="a")
    counts = {"kills": 10, "survived": 3, "refused": 1}
    assert {key: found[key] for key in counts} == counts and (found["chains"], found["commit"]) == (4, "a")
    assert found["by_entry_point"] == {"grid": counts}
    assert found["by_place"]["before rename"] == {"kills": 1, "survived": 0, "refused": 0}
    assert found["not_survived"] == bad and found["seconds"] == 4.0


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not is_clean(git_commit()), reason="the code is not that of a commit")
def test_noise_making_survives_and_the_figures_are_added_to_the_file(tmp_path):
    output = tmp_path / "reliability.json"
    output.write_text('{"other": 1}')
    script = ROOT / "scripts" / "kill_and_restart.py"
    words = ["--kills", "4", "--only", "noise", "--work_dir", str(tmp_path / "work"), "--output", str(output)]
    for _ in range(2):  # the second time everything is there already
        result = subprocess.run([sys.executable, str(script), *words], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads(output.read_text())
    kills = found["kills"]
    assert found["other"] == 1 and kills["kills"] == kills["survived"] + kills["refused"] == 4
    assert found["kills"]["by_place"]["any time"]["kills"] == 2
    assert found["kills"]["commit"] and found["kills"]["versions"]["torch"]
    assert "[4/4] noise" not in result.stdout
