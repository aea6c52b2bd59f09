# SPDX-License-Identifier: Apache-2.0
"""What SECURITY.md says of the code, by reading it all: nothing unpickles, unpacks, runs text or opens to a network."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
from running import ROOT

FOLDERS = ("bundle", "scripts", "tests")
SOURCES = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
TEXTS = [
    path
    for pattern in ("*.md", "Makefile", "docs/**/*.md", "docs/**/*.yaml", "models/*.md", "configs/**/*", "scripts/**/*")
    for path in sorted(ROOT.glob(pattern))
    if path.is_file()
    and path.suffix in (".md", ".py", ".sh", ".yaml", ".json", ".txt", "")
    and ".venv" not in path.parts
]
# Words that may unpickle or unpack, whoever they are imported from and whatever the object is called.
WORDS = {"load", "loads", "read_array", "Unpickler", "extract", "extractall", "unpack_archive"}
SAFE = {"json.loads", "nib.load", "self.load", "FoldEvidence.load", "slice_cache.load", "picture.load"}
ALLOWED = {("scripts/export_models.py", "torch.jit.load")}  # the file it has written a moment before


def is_safe(name: str, call: ast.Call | None) -> bool:
    """Whether a use of one of WORDS neither unpickles nor unpacks; what is not known to be safe is not."""
    if name in SAFE:
        return True
    if call is None or any(one.arg is None for one in call.keywords):  # handed on, or called with **options
        return False
    given = {one.arg: ast.unparse(one.value) for one in call.keywords}
    if name == "torch.load":
        return given.get("weights_only") == "True"
    return name == "np.load" and len(call.args) <= 2 and given.get("allow_pickle", "False") == "False"


def trouble(source: str) -> list[str]:
    """What a source does that it must not, as '<line>: <name>'."""
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    called = {id(node.func): node for node in nodes if isinstance(node, ast.Call)}
    found = []
    for node in nodes:
        if isinstance(node, ast.ImportFrom) and not node.level and not str(node.module).startswith("bundle"):
            found += [f"{node.lineno}: {alias.name}" for alias in node.names if alias.name in WORDS]
        if isinstance(node, ast.Name) and node.id in WORDS - own:
            found.append(f"{node.lineno}: {node.id}")
        if isinstance(node, ast.Attribute) and node.attr in WORDS:
            name = ast.unparse(node)
            if not is_safe(name, called.get(id(node))):
                found.append(f"{node.lineno}: {name}")
    return found


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=choice)",
        "torch.load(path, **options)",
        "read = torch.load",
        "from torch import load",
        "from torch.serialization import load as read",
        "torch.jit.load(path)",
        "jit.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.load(path, 'r', True)",
        "np.load(path, allow_pickle=flag)",
        "np.load(path, **options)",
        "np.lib.format.read_array(file, allow_pickle=True)",
        "pickle.loads(raw)",
        "zipfile.ZipFile(path).extractall(folder)",
        "archive.extract(name)",
        "shutil.unpack_archive(path)",
    ],
)
def test_the_search_finds_what_it_looks_for(line):
    assert trouble(f"if True:\n    {line}\n")[0].startswith("2: ")


def test_the_search_leaves_the_safe_way_alone():
    assert not trouble(
        "torch.load(path, map_location='cpu', weights_only=True); np.load(path, 'r', allow_pickle=False)"
    )
    assert not trouble("def load(): ...\nload(); json.loads(text)")


@pytest.mark.parametrize("folder", FOLDERS[:2])
def test_no_code_unpickles_or_unpacks(folder):
    assert len(SOURCES) > 100
    found = [
        (str(path.relative_to(ROOT)), line.partition(": ")[2])
        for path in SOURCES
        if path.is_relative_to(ROOT / folder)
        for line in trouble(path.read_text(encoding="utf-8"))
    ]
    assert set(found) <= ALLOWED


def test_no_test_loads_weights_in_another_way():
    unsafe = [line for path in SOURCES for line in trouble(path.read_text(encoding="utf-8")) if "torch.load" in line]
    assert not unsafe


@pytest.mark.parametrize(
    "line",
    ["eval(text)", "exec(text)", "pickle.loads(raw)", "yaml.load(text, Loader)", "subprocess.run(text, shell=True)"]
    + ["subprocess.getoutput(text)", "os.system(text)", "tarfile.open(path).extractall()"],
)
def test_ruff_refuses_what_runs_text(line):
    source = f"import os, pickle, subprocess, tarfile, yaml\n\n{line}\n"
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--output-format",
        "concise",
        "--stdin-filename",
        "scripts/x.py",
        "-",
    ]
    ended = subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True)
    assert re.search(r"x\.py:3:\d+: S\d+", ended.stdout), ended.stdout + ended.stderr


def server_commands(text: str) -> list[str]:
    """Every command that starts a MONAI Label server, its continued lines joined."""
    return re.findall(r"monailabel(?:\.main)? start_server\b[^\n]*", text.replace("\\\n", " "))


def test_every_server_that_is_started_listens_on_this_machine_alone():
    found = {path: server_commands(path.read_text(encoding="utf-8")) for path in TEXTS}
    commands = [command for some in found.values() for command in some if "--app" in command]
    assert len(commands) >= 3, "the documentation starts no server any more"
    for command in commands:
        assert re.search(r"--host 127\.0\.0\.1\b", command), command
    assert not [
        path for path, some in found.items() for command in some if re.search(r"0\.0\.0\.0|--host \S*\*", command)
    ]


def test_a_server_without_a_host_would_be_found():
    (command,) = server_commands("run\n\n  monailabel.main start_server --app apps \\\n    --port 8000\nthen")
    assert "--port 8000" in command and "--host" not in command


def test_the_licences_of_all_dependencies_are_listed():
    """Each runtime dependency of pyproject.toml has its row in SECURITY.md."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8").partition("test = [")[0]
    section = project.partition("dependencies = [")[2]
    names = {name.lower() for name in re.findall(r'"([A-Za-z0-9_-]+)>=', section)}
    rows = re.findall(r"^\| ([\w-]+) +\|", Path(ROOT / "SECURITY.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(names) > 15
    assert names <= {row.lower() for row in rows}
