# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import subprocess
import sys

import pytest
import torch
from running import ROOT

from bundle.self_cleansing import errors
from bundle.self_cleansing.data.whole_file import whole_file
from bundle.self_cleansing.errors import TRACEBACK_VARIABLE, WriteError, explain_errors, user_error
from bundle.self_cleansing.losses import LabelSchedule
from bundle.self_cleansing.networks import ResidualUNet


def ours() -> ValueError:
    with pytest.raises(ValueError) as caught:
        LabelSchedule(0, 0)
    return caught.value


def test_the_package_s_own_error_is_found_below_wrappers_and_others_are_not():
    wrapper, cause = RuntimeError("wrapper"), ours()
    wrapper.__cause__ = cause
    assert user_error(wrapper) is cause
    assert user_error(RuntimeError("somebody else's")) is None and user_error(None) is None


def test_a_ring_of_causes_is_followed_once():
    """`raise root from wrapper`, with root below the wrapper, closes the chain."""
    wrapper, cause = RuntimeError("wrapper"), ours()
    wrapper.__cause__, cause.__cause__ = cause, wrapper
    assert user_error(wrapper) is cause


@pytest.fixture
def shown(monkeypatch, capsys):
    """What the process would say at its end; Python's own hook says only that it was called."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # put back afterwards
    monkeypatch.setattr(sys, "__excepthook__", lambda *_: print("traceback", file=sys.stderr))
    monkeypatch.delenv(TRACEBACK_VARIABLE, raising=False)
    explain_errors()

    def show(error: BaseException) -> str:
        sys.excepthook(type(error), error, None)
        return capsys.readouterr().err

    return show


def in_the_package(program: str) -> Exception:
    """What the lines of a program raise if they are those of a file of this package."""
    with pytest.raises(Exception) as caught:
        exec(compile(program, errors.__file__, "exec"))
    return caught.value


@pytest.mark.parametrize(
    "program",
    [
        "raise ValueError('no')",
        "raise ValueError(\n    'n'\n    'o'\n)",
        "try:\n    int(None)\nexcept TypeError as error:\n    raise ValueError('no') from error",
        "try:\n    int(None)\nexcept TypeError:\n    raise ValueError('no') from None",
        "try:\n    raise ValueError('no')\nexcept ValueError:\n    raise",
        "try:\n    raise ValueError('no')\nexcept ValueError as error:\n    raise error",
        "try:\n    raise ValueError('no')\nfinally:\n    int(0)",
    ],
)
def test_what_the_package_raises_is_for_the_user(program, shown):
    assert shown(in_the_package(program)).startswith("error: no\n")


@pytest.mark.parametrize(
    "program",
    [
        "int(None)",
        "first, second = None",
        "import torch\ntorch.zeros(2) + torch.zeros(3)",
        "try:\n    int(None)\nexcept TypeError:\n    raise",
        "try:\n    int(None)\nfinally:\n    int(0)",
    ],
)
def test_what_python_or_pytorch_object_to_in_it_is_for_programmers(program, shown):
    assert shown(in_the_package(program)) == "traceback\n"


def test_a_file_that_the_system_refuses_is_named(shown, tmp_path):
    error = in_the_package(f"open({str(tmp_path / 'a.json')!r})")
    assert shown(error).startswith(f"error: [Errno 2] No such file or directory: '{tmp_path}/a.json'\n")


def test_out_of_memory_is_explained_whoever_asked_for_the_memory(shown):
    said = "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory: you tried 4 TB"
    asked = in_the_package(f"raise RuntimeError({said!r})")
    assert user_error(asked) is asked
    for error in (asked, RuntimeError(said), MemoryError()):
        said = shown(error)
        assert said.startswith("error: there is not enough memory; lower batch_size") and "--cache_dir" in said


def test_a_gpu_out_of_memory_is_not_told_to_use_the_disk(shown):
    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    said = shown(error)
    assert said.startswith("error: there is not enough memory on the GPU; lower batch_size")
    assert "in main memory with --train#dataset#device cpu --validate#dataset#device cpu" in said


WITHOUT = """
import runpy, sys
sys.modules[sys.argv[1]] = None  # an import of it fails as if it were not installed
sys.argv = sys.argv[2:]
sys.path.insert(0, "")
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
DICOM_INFERENCE = ["configs/inference.yaml", "configs/datasets/ct.yaml", "configs/dicom.yaml"]


@pytest.mark.parametrize(
    "package, command",
    [
        ("itk", ["monai.bundle", "run", "inference", "--config_file", str(DICOM_INFERENCE)]),
        ("pydicom", ["scripts.import_dicom"]),
        ("highdicom", ["scripts.export_seg"]),
        ("jinja2", ["scripts.export_bundle"]),
    ],
)
def test_a_package_of_an_extra_that_is_not_installed_is_named(package, command, tmp_path):
    checkpoint = tmp_path / "model.pt"
    torch.save({"model": ResidualUNet(1, 1, head_channels=32).state_dict()}, checkpoint)
    options = ["--dataset_dir", tmp_path, "--output_dir", tmp_path / "out", "--checkpoint", checkpoint]
    words = [*command, *(options if "run" in command else [])]
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT, package, *map(str, words)], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 1 and "Traceback" not in ended.stderr
    assert ended.stderr.splitlines()[-2] == (
        f"error: this needs the Python package {package}, which is not installed; pip install {package}"
    )
    assert not (tmp_path / "out").exists()


def test_a_module_of_this_package_that_is_missing_is_a_slip_of_its_code(shown):
    assert shown(in_the_package("import bundle.self_cleansing.nothing")) == "traceback\n"


def test_a_write_error_is_a_sentence_for_the_user(shown, tmp_path):
    with pytest.raises(WriteError) as caught, whole_file(tmp_path / "a.json"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert shown(caught.value).startswith(f"error: {tmp_path}/a.json cannot be written (No space left on device); make")


def test_what_is_shown_of_an_error(shown, monkeypatch):
    wrapper, lost = RuntimeError("wrapper"), RuntimeError("[gloo/pair.cc:553] Connection closed by peer [127.0.0.1]")
    wrapper.__cause__ = lost
    assert shown(ours()).startswith("error: need 1 <= warmup_epochs")
    assert shown(wrapper).startswith("stopped: another process") and len(shown(wrapper).splitlines()) == 1
    assert shown(ZeroDivisionError()) == "traceback\n"
    lost.__cause__ = ours()  # what this process has to say goes first
    assert shown(wrapper).startswith("error: need 1 <= warmup_epochs")
    monkeypatch.setenv(TRACEBACK_VARIABLE, "1")
    assert shown(ours()) == shown(wrapper) == "traceback\n"
