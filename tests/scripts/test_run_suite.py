# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest
from running import load_script

TESTS = """
import pytest

@pytest.fixture
def broken():
    raise OSError

@pytest.fixture
def untidy():
    yield
    raise OSError

def test_good(): assert 1
def test_bad(): assert 0
def test_absent(): pytest.skip()
@pytest.mark.skip
def test_never(): assert 0
def test_unprepared(broken): assert 1
def test_unfinished(untidy): assert 1
@pytest.mark.slow
def test_slow(): assert 0
"""


@pytest.fixture(scope="module")
def module():
    return load_script("run_suite")


def test_counts_every_test_once_and_names_those_that_fail(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow: not to be run here\n")
    (tmp_path / "test_few.py").write_text(TESTS)
    output = tmp_path / "reliability.json"
    output.write_text('{"other": 1}')
    words = ["--name", "here", "--output", str(output), "--tests", str(tmp_path / "test_few.py")]
    with pytest.raises(SystemExit) as ended:
        module.main([*words, "-n", "0", "-p", "no:cacheprovider"])
    found = json.loads(output.read_text())
    suite = found["suite_here"]
    assert ended.value.code == 1 and found["other"] == 1 and "coverage" not in found
    assert [name.split("::")[1] for name in suite["failed"]] == ["test_bad", "test_unfinished", "test_unprepared"]
    assert (suite["passed"], suite["skipped"]) == (1, 2)  # test_unfinished passed at first
    assert suite["command"].startswith("python scripts/run_suite.py --name here --output")
    assert suite["commit"] and suite["versions"]["torch"]


def test_lines_by_hand(module):
    report = {
        "totals": {"num_statements": 300, "covered_lines": 296},
        "files": {"a.py": {"missing_lines": [4, 5, 6, 9]}, "b.py": {"missing_lines": []}},
    }
    assert module.lines_of(report) == {
        "lines": 300,
        "covered": 296,
        "percent": 98.67,
        "uncovered": {"a.py": "4 to 6; 9"},
    }
