# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys

import pytest
from running import ROOT, load_script

SOURCE = '''
def share(count: int, total: int = 4) -> float:
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
