# SPDX-License-Identifier: Apache-2.0
"""End a command with the one sentence a user needs, instead of the config parser's chain of tracebacks."""

from __future__ import annotations

import dis
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

TRACEBACK_VARIABLE = "SELF_CLEANSING_TRACEBACK"
_PACKAGE = str(Path(__file__).resolve().parent) + os.sep
_RAISE = dis.opmap["RAISE_VARARGS"]  # what a raise statement is compiled to


class WriteError(OSError):
    """A file or folder cannot be written; made from an error number, what it means, and the path."""

    def __str__(self) -> str:
        return (
            f"{self.filename} cannot be written ({self.strerror}); make room there, or name another folder, one that "
            "may be written to"
        )


_FOR_USERS = (ValueError, TypeError, RuntimeError, OSError)
_NO_MEMORY = ("can't allocate memory", "not enough memory", "CUDA out of memory")  # as PyTorch says it


def user_error(error: BaseException | None) -> BaseException | None:
    """Return the error in a chain of causes that this package raised for its user, None if there is none.

    An error counts if a file of this package raised it (instead of passing it on) and it is of a kind that carries a
    sentence. What Python or PyTorch object to in a statement of this package, such as int(None), does not count: it is
    for programmers. What the system objects to, of a file that it names, does. The outermost error wins: it says most,
    and may name the file that an inner one does not know.
    """
    return next((one for one in causes(error) if isinstance(one, _FOR_USERS) and _is_ours(one)), None)


def _is_ours(error: BaseException) -> bool:
    """Whether this package raised an error, or asked the system for what it could not do."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None or not trace.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        return False
    if isinstance(error, OSError) and error.filename is not None:
        return True
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] == _RAISE


def lost_process(error: BaseException | None) -> bool:
    """Return whether an error in a chain of causes says that another process of the training is gone."""
    return any("closed by peer" in str(one) or "reset by peer" in str(one) for one in causes(error))


def out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error in a chain of causes says that memory, of the processor or of a GPU, is used up."""
    return any(_says_no_memory(one) for one in causes(error))


def _says_no_memory(error: BaseException) -> bool:
    """PyTorch says it to whoever asked, with a RuntimeError; that may be this package."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)


def missing_package(error: BaseException | None) -> str | None:
    """Return the name of the package that an import in a chain of causes did not find; None if there is none."""
    found = (one.name for one in causes(error) if isinstance(one, ModuleNotFoundError) and one.name)
    packages = (name.partition(".")[0] for name in found)
    return next((name for name in packages if name != "bundle"), None)  # a part of this one: a slip in its code


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An error and its causes, from the outermost to the deepest, each once."""
    seen: set[int] = set()  # "raise root from wrapper", with root below the wrapper, makes the chain a ring
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        hidden = error.__suppress_context__  # raised "from None": its context is not for the user
        error = error.__cause__ or (None if hidden else error.__context__)


def explain_errors() -> None:
    """From now on, end the process with "error: <sentence>" if this package raised the cause.

    So does one that is out of memory, or lacks a package (those of the extras are not always there). A process that
    fails because another one of the same training is gone says so in one line; the other one says why. Anything else,
    and everything while the environment variable SELF_CLEANSING_TRACEBACK is set, is shown by Python's own hook.
    Exceptions that somebody catches are not touched.
    Calling it twice changes nothing more.
    """
    sys.excepthook = _hook


def _hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    hint = f"(set {TRACEBACK_VARIABLE}=1 for the traceback)"
    if os.environ.get(TRACEBACK_VARIABLE):
        sys.__excepthook__(kind, error, trace)
    elif (cause := user_error(error)) is not None and not _says_no_memory(cause):
        print(f"error: {cause}\n{hint}", file=sys.stderr)
    elif out_of_memory(error):
        print(f"error: {_no_memory_sentence(error)}\n{hint}", file=sys.stderr)
    elif (package := missing_package(error)) is not None:
        print(
            f"error: this needs the Python package {package}, which is not installed; pip install {package}\n{hint}",
            file=sys.stderr,
        )
    elif lost_process(error):
        print("stopped: another process of this training has ended; its own message says why", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


def _no_memory_sentence(error: BaseException) -> str:
    where, slices = "", "on disk with --cache_dir"
    if any("CUDA out of memory" in str(one) for one in causes(error)):
        where, slices = " on the GPU", "in main memory with --train#dataset#device cpu --validate#dataset#device cpu"
    return f"there is not enough memory{where}; lower batch_size, let less run beside it, or keep slices {slices}"
