# SPDX-License-Identifier: Apache-2.0
"""What SECURITY.md says of the code, by reading it all: nothing unpickles, unpacks, runs text or opens to a network."""

from __future__ import annotations

import ast
import re
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
UNPICKLING = {
    "pickle.load",
    "pickle.loads",
    "pickle.Unpickler",
    "joblib.load",
    "dill.load",
    "torch.jit.load",
    "shelve.open",
}
RUNNING_TEXT = {"eval", "exec", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load", "yaml.full_load"}
ALLOWED = {("scripts/export_models.py", "torch.jit.load")}  # the file it has written a moment before
UNPACKING = {"extractall", "extract", "unpack_archive"}  # by the last word: whatever the archive is called


def calls(source: str) -> list[tuple[str, ast.Call]]:
    """Every call with its name as written: ("torch.load", node), (".extractall", node) of something computed."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name, function = "", node.func
            while isinstance(function, ast.Attribute):
                name, function = f".{function.attr}{name}", function.value
            found.append((f"{function.id}{name}" if isinstance(function, ast.Name) else name, node))
    return found


def says(node: ast.Call, keyword: str, value: object) -> bool:
    return any(
        one.arg == keyword and isinstance(one.value, ast.Constant) and one.value.value is value for one in node.keywords
    )


def trouble(source: str) -> list[str]:
    """What a source does that it must not, as '<line>: <call>'."""
    found = []
    for name, node in calls(source):
        last = name.rpartition(".")[2]
        unsafe = (
            (name == "torch.load" and not says(node, "weights_only", True))
            or (name in ("np.load", "numpy.load") and says(node, "allow_pickle", True))
            or name in UNPICKLING | RUNNING_TEXT
            or last in UNPACKING
            or says(node, "shell", True)
        )
        if unsafe:
            found.append(f"{node.lineno}: {name}")
    return found


@pytest.mark.parametrize(
    "line",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=choice)",
        "np.load(path, allow_pickle=True)",
        "pickle.loads(raw)",
        "zipfile.ZipFile(path).extractall(folder)",
        "archive.extract(name)",
        "shutil.unpack_archive(path)",
        "eval(text)",
        "yaml.load(text, Loader)",
        "subprocess.run(text, shell=True)",
    ],
)
def test_the_search_finds_what_it_looks_for(line):
    assert trouble(f"if True:\n    {line}\n")[0].startswith("2: ")


def test_the_search_leaves_the_safe_way_alone():
    assert not trouble("torch.load(path, map_location='cpu', weights_only=True); np.load(path, allow_pickle=False)")
    assert not trouble("yaml.safe_load(text); network.eval(); subprocess.run(['ls'])")


@pytest.mark.parametrize("folder", FOLDERS[:2])
def test_no_code_unpickles_unpacks_or_runs_text(folder):
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


def test_imports_give_no_other_name_to_what_is_looked_for():
    """`from torch import load` would pass the search above."""
    hidden = {"load", "loads", "extractall", "unpack_archive", "system", "popen", "Unpickler"}
    modules = {"torch", "pickle", "numpy", "os", "shutil", "yaml", "joblib", "dill"}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module in modules:
                assert not hidden & {alias.name for alias in node.names}, path
            if isinstance(node, ast.Import):
                renamed = {alias.name: alias.asname for alias in node.names if alias.asname}
                assert renamed.get("numpy", "np") == "np" and not renamed.keys() & (modules - {"numpy"}), path


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
