# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys

import pytest
from running import ROOT, load_script

SOURCE = '''
def share(count: int, total: int = 4, seed: int = 7, *, other: int = 0, **rest: int) -> float:
    """A half is 1 / 2."""
    if not 0 <= count <= total or total == 0:
        raise ValueError(f"count must be in [0, {total + 1}]")
    return -count / total
'''


def test_every_operator_constant_and_condition_is_changed_once_and_words_never():
    found = [mutant.change for mutant in load_script("mutate").mutants(SOURCE)]
    assert sorted(found) == sorted(
        [
            "4 -> 5",
            "0 -> 1",
            "not 0 <= count <= total or total == 0 -> not 0 <= count <= total and total == 0",
            "not 0 <= count <= total -> 0 <= count <= total",
            "0 <= count <= total -> 0 < count <= total",
            "0 <= count <= total -> 0 <= count < total",
            "0 -> 1",
            "0 -> 1",
            "total == 0 -> total != 0",
            "-count / total -> -count * total",
            "-count -> count",
        ]
    )


def test_each_mutant_differs_from_the_source_in_one_place_and_runs():
    texts = [mutant.source for mutant in load_script("mutate").mutants(SOURCE)]
    assert len(set(texts)) == len(texts)
    for text in texts:
        compile(text, "mutant", "exec")


TESTS = {
    "passed": "assert True",
    "failed": "assert False",
    "timed out": "while True: pass",
    "timed out, waiting": "import time; time.sleep(999)",
}


@pytest.mark.parametrize("kind", TESTS)
def test_processor_time_is_limited_and_the_clock_is_for_what_waits_only(kind, tmp_path, monkeypatch):
    module = load_script("mutate")
    (tmp_path / "test_it.py").write_text(f"def test_it():\n    {TESTS[kind]}\n")
    if "waiting" in kind:
        monkeypatch.setattr(module, "WALL_S", 0.0)
        monkeypatch.setattr(module, "WALL", 0.2)
    file = ROOT / "bundle" / "self_cleansing" / "filtering" / "cascade.py"
    limit_s = 3 if kind == "timed out" else 50
    outcome, cpu_s = module.run_tests(file, "", [str(tmp_path / "test_it.py")], limit_s)
    assert outcome == kind.partition(",")[0] and 0 < cpu_s < 10


def test_figures_keep_their_commit_and_those_of_files_that_are_gone_are_dropped(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "scripts")
    output, one = tmp_path / "reliability.json", {"mutants": 3, "killed": 2, "timed_out": 1}
    old = {"Makefile": one | {"commit": "b"}, "gone.py": one | {"commit": "c"}, "README.md": one}
    output.write_text(json.dumps({"mutants": {"files": old}}))
    load_script("mutate").add_figures("LICENSE", one | {"commit": "a"}, output)
    found = json.loads(output.read_text())["mutants"]
    assert {name: file["commit"] for name, file in found["files"].items()} == {"Makefile": "b", "LICENSE": "a"}
    assert (found["mutants"], found["killed"], found["timed_out"], found["commit"]) == (6, 4, 2, "a, b")


@pytest.mark.slow
def test_a_mutant_that_the_tests_notice_is_killed_another_survives_and_no_file_changes(tmp_path):
    file = ROOT / "bundle" / "self_cleansing" / "filtering" / "cascade.py"
    before = file.read_bytes()
    strict, lax = tmp_path / "test_strict.py", tmp_path / "test_lax.py"
    call = "from bundle.self_cleansing.filtering import cascade\n\n"
    call += "def test_it():\n    found = cascade([[True]], [[False]])\n"
    strict.write_text(call + "    assert found.tolist() == [[0]] and cascade([[False]], [[True]]).tolist() == [[1]]\n")
    lax.write_text(call)
    killed = {}
    for test in (strict, lax):
        output = tmp_path / f"{test.stem}.json"
        words = ["--files", str(file), "--tests", str(test), "--output", str(output)]
        script = str(ROOT / "scripts" / "mutate.py")
        result = subprocess.run([sys.executable, script, *words], capture_output=True, text=True)
        assert result.returncode == 0, result.stdout + result.stderr
        killed[test] = json.loads(output.read_text())["mutants"]["killed"]
    assert killed[strict] > killed[lax]
    assert file.read_bytes() == before
