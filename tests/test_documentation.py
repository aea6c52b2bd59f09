# SPDX-License-Identifier: Apache-2.0
"""What the pages and headers print can be typed: links lead somewhere, commands name what is there."""

from __future__ import annotations

import os
import re
import runpy
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from running import ROOT

PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "models/*.md", "configs/**/*.yaml", "scripts/**/*.py")
    for path in ROOT.glob(pattern)
)
OF_AUDITS = {"audit", "dataset_dir"}  # options that scripts/finished_audit.py adds
OF_TRAININGS = {"shrink"}  # scripts/export_bundle.py takes the options of the training as well


def text(path: Path) -> str:
    """A page, each command on one line."""
    return re.sub(r"\s*\\+\n[\s#]*", " ", path.read_text(encoding="utf-8"))


def options(command: str) -> set[str]:
    """The names of its options, without what `a#b` and `a::b` reach inside."""
    return {re.split("#|::", word)[0] for word in re.findall(r"(?<!\S)--([\w#:]+)", command)}


def bundle_commands() -> list[tuple[str, str, tuple[str, ...], str]]:
    """Page, what is run, config files, and the rest of every `monai.bundle run` with config files of this folder."""
    found = []
    for path in PAGES:
        for target, rest in re.findall(r"-m monai\.bundle run (\w+)([^`\n]*)", text(path)):
            named = re.search(r"--config_file\s+(\"\[.*?\]\"|\S+)", rest)
            files = tuple(re.findall(r"configs/[\w/<>]+\.yaml", named[1])) if named else ()
            if files:
                files = tuple(file.replace("<method>", "baseline") for file in files)
                found.append((str(path.relative_to(ROOT)), target, files, rest))
    return found


def script_commands() -> list[tuple[str, str, str]]:
    """Page, script and the rest of every call of a script."""
    return [
        (str(path.relative_to(ROOT)), script, rest)
        for path in PAGES
        for script, rest in re.findall(r"python (scripts/[\w/]+\.py)([^`|&\n]*)", text(path))
    ]


@cache
def keys(file: str) -> set[str]:
    """The top-level keys of a config file."""
    return {key.lstrip("+").split("::")[0] for key in yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))}


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.strip().lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", [page for page in PAGES if page.suffix == ".md"], ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = Path(os.path.normpath(page.parent / name)) if name else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


def test_printed_bundle_commands_name_keys_of_their_config_files():
    commands = bundle_commands()
    assert len(commands) > 40
    for page, target, files, rest in commands:
        known = set().union(*map(keys, files))
        assert target in known, f"{page}: run {target} with {files}"
        assert options(rest) <= known | {"config_file"}, f"{page}: run {target} {rest}"


def test_printed_calls_of_scripts_name_options_they_have():
    commands = script_commands()
    assert len(commands) > 40
    for page, script, rest in commands:
        source = (ROOT / script).read_text(encoding="utf-8")
        known = set(re.findall(r"[\"']--(\w+)[\"']", source))
        known |= OF_AUDITS if "finished_audit" in source else set()
        known |= OF_TRAININGS if script.endswith("export_bundle.py") else set()
        assert options(rest) <= known, f"{page}: {script} {rest}"


SCRIPTS = [path for path in sorted(ROOT.glob("scripts/**/*.py")) if "__main__" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_tells_its_options(script, monkeypatch, capsys):
    monkeypatch.syspath_prepend(script.parent)
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    with pytest.raises(SystemExit) as exit_:
        runpy.run_path(str(script), run_name="__main__")
    assert exit_.value.code in (None, 0)
    assert f"usage: {script.name}" in capsys.readouterr().out
