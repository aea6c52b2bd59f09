# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import pytest
from bad_input.tables import ROWS
from running import load_script

THREE = """
import pytest

@pytest.mark.parametrize("kind", ["good", "bad", "skipped"])
def NAME(kind):
    if kind == "skipped":
        pytest.skip("a library is absent")
    assert kind == "good"
"""


def test_rows_that_fail_or_are_skipped_do_not_count_as_passed(tmp_path, monkeypatch):
    module = load_script("count_bad_input")
    test, output = tmp_path / "test_three.py", tmp_path / "reliability.json"
    test.write_text(THREE.replace("NAME", module.NAME))
    output.write_text('{"other": 1}')
    monkeypatch.setattr(module, "TEST", test)
    monkeypatch.setattr(module, "ROWS", ROWS[:3])
    with pytest.raises(SystemExit) as ended:
        module.main(["--output", str(output)])
    found = json.loads(output.read_text())
    assert ended.value.code == 1 and found["other"] == 1
    assert (found["bad_input"]["rows"], found["bad_input"]["passed"]) == (3, 1)
    assert found["bad_input"]["commit"] and found["bad_input"]["versions"]["torch"]
