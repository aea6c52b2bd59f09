# SPDX-License-Identifier: Apache-2.0
"""Change the filter and the cleanser in small ways, one at a time, and see whether the tests notice.

    python scripts/mutate.py
    python scripts/mutate.py --files bundle/self_cleansing/filtering/cascade.py

A mutant is the source with one operator, constant or condition changed. It is killed if a test fails, or if the tests
take many times the processor time that they take on the unchanged source; these are counted as timed out as well. One
that survives is a line that no test looks at closely, or a change that changes nothing. No file is touched: each mutant
is imported in a process of its own, which is forked from one that has loaded the libraries already. Not changed are
what errors say, type annotations, texts, and default seeds, of which one is as good as another.

Counts, survivors and commit of each file go under the key "mutants" of --output; those of other files stay as long as
the files exist.
"""

from __future__ import annotations

import argparse
import ast
import copy
import importlib.util
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, SourceFileLoader
from itertools import chain
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts"), str(ROOT / "tests")]

from git_commit import git_commit  # noqa: E402

FOLDERS = ("filtering", "cleansing")  # of the package
LIBRARIES = ("torch", "scipy.ndimage", "scipy.optimize", "scipy.stats", "sklearn.mixture", "skimage.measure", "pytest")
PATIENCE = 10  # times the processor time that the tests take on the unchanged source
# By the clock, times that again and at least: for tests that wait for ever. Others may keep the machine busy.
WALL, WALL_S = 20, 1800.0
PASSED, FAILED, TIMED_OUT = "passed", "failed", "timed out"
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    **{ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq},
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.BitXor: ast.BitOr, ast.And: ast.Or, ast.Or: ast.And},
    **{ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In},
}


@dataclass(frozen=True)
class Mutant:
    """One changed source: where, what became of what, and the whole text."""

    line: int
    change: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Every mutant of a source, in the order of its syntax tree."""
    tree = ast.parse(source)
    left_alone = {id(node) for part in _left_alone(tree) for node in ast.walk(part)}
    for number, node in enumerate(ast.walk(tree)):
        for change in range(_changes(node) if id(node) not in left_alone else 0):
            changed_tree = copy.deepcopy(tree)
            place = next(one for position, one in enumerate(ast.walk(changed_tree)) if position == number)
            before = ast.unparse(place)
            after = _changed(place, change)
            ast.copy_location(after, place)
            _replace(changed_tree, place, after)
            yield Mutant(node.lineno, f"{before} -> {ast.unparse(after)}", ast.unparse(changed_tree))  # type: ignore[attr-defined]


def _left_alone(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise | ast.JoinedStr):
            yield node
        for name in ("annotation", "returns"):
            if isinstance(part := getattr(node, name, None), ast.AST):
                yield part
        if isinstance(node, ast.arguments):
            last_first = zip(reversed(node.posonlyargs + node.args), reversed(node.defaults), strict=False)
            named = chain(last_first, zip(node.kwonlyargs, node.kw_defaults, strict=True))
            yield from (default for name, default in named if name.arg == "seed" and default is not None)


def _changes(node: ast.AST) -> int:
    """How many ways there are to change a node."""
    if isinstance(node, ast.Compare):
        return sum(type(operator) in SWAPS for operator in node.ops)
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign):
        return int(type(node.op) in SWAPS)
    if isinstance(node, ast.UnaryOp):
        return 1
    return int(isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float))


def _changed(node: Any, change: int) -> ast.AST:
    """A changed copy of a node: an operator swapped or dropped, a truth turned, a number made one larger."""
    new = copy.deepcopy(node)
    if isinstance(new, ast.Compare):
        position = [number for number, operator in enumerate(new.ops) if type(operator) in SWAPS][change]
        new.ops[position] = SWAPS[type(new.ops[position])]()  # type: ignore[call-overload]
    elif isinstance(new, ast.UnaryOp):
        return new.operand
    elif isinstance(new, ast.Constant):
        new.value = not new.value if isinstance(new.value, bool) else new.value + 1
    else:
        new.op = SWAPS[type(new.op)]()
    return new


def _replace(tree: ast.AST, old: ast.AST, new: ast.AST) -> None:
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, name, new)
            elif isinstance(value, list):
                setattr(parent, name, [new if one is old else one for one in value])


class _Loader(SourceFileLoader):
    """Gives another text for a source file, and neither reads nor writes compiled code."""

    def __init__(self, name: str, file: Path, source: str) -> None:
        super().__init__(name, str(file))
        self.source = source

    def path_stats(self, path: str) -> Any:
        raise OSError("no compiled code")

    def get_data(self, path: str) -> bytes:
        return self.source.encode()


class _Finder:
    """Finds one module with another text."""

    def __init__(self, file: Path, source: str) -> None:
        self.name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        self.file, self.source = file, source

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(
            name, self.file, loader=_Loader(self.name, self.file, self.source)
        )


def run_tests(file: Path, source: str, tests: Sequence[str], limit_s: int | None = None) -> tuple[str, float]:
    """Run the tests with another text for a file, in a forked process.

    Args:
        file, source: what is changed, and into what.
        tests: for pytest.
        limit_s: of processor time; None: none.

    Returns:
        PASSED, FAILED or TIMED_OUT, and the seconds of processor time.
    """
    child = os.fork()
    if not child:
        import pytest

        if limit_s is not None:
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (limit_s, limit_s + 5))
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        for name in [name for name in sys.modules if name.split(".")[0] == "bundle"]:
            del sys.modules[name]  # loaded to write figures, with the text as it is
        sys.meta_path.insert(0, _Finder(file, source))  # type: ignore[arg-type]
        words = ["-x", "-q", "-p", "no:cacheprovider", "-o", "timeout=0", "-m", "not slow"]
        os._exit(int(pytest.main([*words, *tests])) != 0)
    ends = time.monotonic() + (math.inf if limit_s is None else max(WALL_S, WALL * limit_s))
    late = False
    while True:
        pid, status, used = os.wait4(child, os.WNOHANG)
        if pid:
            break
        if time.monotonic() > ends and not late:
            os.kill(child, signal.SIGKILL)
            late = True
        time.sleep(0.02)
    late = late or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGXCPU)
    return TIMED_OUT if late else FAILED if status else PASSED, used.ru_utime + used.ru_stime


def tests_of(file: Path) -> list[str]:
    """The tests of a source's folder, its own first: they notice most, and the first failure is enough."""
    folder = f"tests/{file.parent.name}"
    own = f"{folder}/test_{file.stem}.py"
    return [own, folder] if Path(own).is_file() else [folder]


def mutate(file: Path, tests: Sequence[str]) -> dict[str, Any]:
    """Try all mutants of a file.

    Returns:
        mutants, killed, timed_out (of those killed), survivors ("<line>: <change>"), seconds of all of them, commit.

    Raises:
        ValueError: the tests fail without any change.
    """
    source = file.read_text(encoding="utf-8")
    commit = git_commit()
    outcome, cpu_s = run_tests(file, source, tests)
    if outcome != PASSED:
        raise ValueError(f"{' '.join(tests)} fail with {file.name} as it is; mend that first")
    limit_s = math.ceil(PATIENCE * cpu_s)
    began, survivors, timed_out, every = time.monotonic(), [], 0, list(mutants(source))
    for number, mutant in enumerate(every, 1):
        outcome, _ = run_tests(file, mutant.source, tests, limit_s)
        timed_out += outcome == TIMED_OUT
        if outcome == PASSED:
            survivors.append(f"{mutant.line}: {mutant.change}")
            print(f"  survived: {file.name}:{survivors[-1]}", flush=True)
        left = (len(every) - number) * (time.monotonic() - began) / number
        if number % 10 == 0 or number == len(every):
            print(f"[{number}/{len(every)}] {file.name}, about {left / 60:.1f} min left", flush=True)
    return {
        "mutants": len(every),
        "killed": len(every) - len(survivors),
        "timed_out": timed_out,
        "survivors": survivors,
        "seconds": round(time.monotonic() - began, 1),
        "commit": commit,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    package = ROOT / "bundle" / "self_cleansing"
    every = [file for name in FOLDERS for file in sorted((package / name).glob("*.py")) if file.name != "__init__.py"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, nargs="+", default=every, help="sources (default: filter and cleanser)")
    parser.add_argument("--tests", nargs="+", help="what to run (default: the tests of the source's folder)")
    parser.add_argument("--output", type=Path, help="JSON file of the figures (default docs/results/reliability.json)")
    options = parser.parse_args(arguments)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.chdir(ROOT)
    for library in LIBRARIES:
        importlib.import_module(library)
    try:
        for file in (one.resolve() for one in options.files):
            tests = options.tests or tests_of(file)
            found = mutate(file, tests) | {"tests": list(tests)}
            add_figures(str(file.relative_to(ROOT)), found, options.output)
            print(f"{file.name}: {found['killed']} of {found['mutants']} mutants killed", flush=True)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


def add_figures(name: str, found: dict[str, Any], output: Path | None) -> None:
    """Put the figures of one file beside those of the others that still exist and say which commit they are of."""
    from result_file import RELIABILITY, read_json, write_figures  # not before the forks: it loads the package

    path = output or RELIABILITY
    earlier = read_json(path).get("mutants", {}) if path.is_file() else {}
    known = earlier.get("files", {})
    files = {file: one for file, one in known.items() if (ROOT / file).is_file() and "commit" in one} | {name: found}
    totals: dict[str, Any] = {
        key: sum(one[key] for one in files.values()) for key in ("mutants", "killed", "timed_out")
    }
    totals["commit"] = ", ".join(sorted({one["commit"] for one in files.values()}))
    write_figures(path, "mutants", {**totals, "files": files}, "python scripts/mutate.py")


if __name__ == "__main__":
    main()
