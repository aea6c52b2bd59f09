# SPDX-License-Identifier: Apache-2.0
"""The program that draws many cases runs as many as asked, and goes on where it was stopped."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from running import load_script
from tqdm import tqdm


@pytest.fixture(scope="module")
def module():
    return load_script("run_fuzz")


@given(st.booleans())
def few(flag):
    assert flag in (False, True)


@given(st.integers())
def many(number):
    assert number == number


@given(st.integers())
def wrong(number):
    assert number < 100


@given(st.integers())
def wrong_twice(number):
    assert number < 100
    if number < -100:
        raise LookupError


def run(module, tests, cases, earlier, stop_after=None):
    seen = []

    def done(found):
        seen.append(json.loads(json.dumps(found)))
        if len(seen) == stop_after:
            raise KeyboardInterrupt

    with tqdm(disable=True) as bar:
        try:
            return module.run_all(tests, cases, 0, earlier, done, bar), seen
        except KeyboardInterrupt:
            return seen[-1], seen


@pytest.mark.parametrize("cases", [1, 2, 3, 25, 1000])
def test_cases_are_shared_out_to_the_last_and_a_slow_property_gets_a_tenth(module, cases):
    (slow,) = module.WEIGHTS
    found = module.shares(["a", slow, "b"], cases)
    assert sum(found.values()) == cases and min(found.values()) >= 1
    if cases == 1000:
        assert abs(found["a"] - found["b"]) <= 1 and found[slow] == pytest.approx(found["a"] / 10, abs=2)


def test_weights_are_of_properties_that_there_are(module):
    assert set(module.WEIGHTS) <= set(module.properties())


def test_what_one_property_cannot_use_goes_to_those_that_can(module):
    found, _ = run(module, {"few": few, "many": many}, 100, {})
    assert sum(one["cases"] for rounds in found.values() for one in rounds) == 100
    assert [len(found[name]) for name in ("few", "many")] == [1, 2] and found["few"][0]["cases"] < 50


def test_a_failure_is_reported_and_gets_no_second_round(module):
    found, _ = run(module, {"few": few, "wrong": wrong}, 200, {})
    assert len(found["wrong"]) == 1
    assert re.fullmatch(r"AssertionError: .*\(test_run_fuzz\.py:\d+\).*", found["wrong"][0]["failure"], re.DOTALL)


def test_each_of_several_failures_is_reported(module):
    found, _ = run(module, {"twice": wrong_twice}, 500, {})
    assert {one.split(":")[0] for one in found["twice"][0]["failure"].split(" | ")} == {"AssertionError", "LookupError"}


@pytest.mark.parametrize("stop_after", [1, 2])
def test_stopped_anywhere_it_goes_on_and_ends_alike(module, stop_after):
    tests = {"few": few, "many": many}
    whole, every = run(module, tests, 100, {})
    found, seen = run(module, tests, 100, run(module, tests, 100, {}, stop_after)[0])
    assert len(every) == 3 and len(seen) == 3 - stop_after
    assert [[one["cases"] for one in found[name]] for name in tests] == [
        [one["cases"] for one in whole[name]] for name in tests
    ]


def test_only_figures_of_the_same_seed_cases_and_commit_are_taken_over(module, tmp_path):
    path, same = tmp_path / "reliability.json", {"asked": 9, "seed": 0, "commit": "a"}
    rounds = [{"offered": 9, "cases": 9, "seconds": 0.1, "failure": None}]
    path.write_text(json.dumps({"fuzz": module.figures({"many": rounds, "few": []}, same)}))
    assert module.known_rounds(path, same) == {"many": rounds}
    for other in ({"asked": 8}, {"seed": 1}, {"commit": "b"}, {"commit": "a+changes"}):
        assert module.known_rounds(path, same | other) == {}
