# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
import torch
from running import ROOT

from bundle.self_cleansing.checkpoint_file import load_checkpoint_file, save_checkpoint_file

CONTENT = {"weight": torch.arange(300.0), "epoch": 7, "names": ["a", "b"]}


def same(one: dict) -> bool:
    return torch.equal(one["weight"], CONTENT["weight"]) and one["epoch"] == 7 and one["names"] == ["a", "b"]


def test_what_was_saved_is_loaded_and_the_bytes_do_not_depend_on_the_process_or_the_name(tmp_path):
    for name in ("one.pt", "two.pt"):
        save_checkpoint_file(CONTENT, tmp_path / "models" / name)
    assert same(load_checkpoint_file(tmp_path / "models" / "one.pt"))
    one, two = (path.read_bytes() for path in sorted((tmp_path / "models").iterdir()))
    assert one == two and len(list((tmp_path / "models").iterdir())) == 2


def test_a_flipped_bit_is_noticed_wherever_it_is(tmp_path):
    """PyTorch itself loads a file with a flipped bit among the weights as if nothing were wrong."""
    path = tmp_path / "c.pt"
    save_checkpoint_file(CONTENT, path)
    whole = path.read_bytes()
    refused = unnoticed_by_torch = 0
    for position in range(0, len(whole), 7):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x10]) + whole[position + 1 :])
        try:
            loaded = load_checkpoint_file(path)
        except ValueError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            refused += 1
            try:
                unnoticed_by_torch += not same(torch.load(path, weights_only=True))
            except Exception:
                pass
        else:
            assert same(loaded), position  # padding, or a time: nothing that counts
    assert refused > len(whole) / 7 / 3
    assert unnoticed_by_torch > 20, "PyTorch checks by itself now: the check can go"


def test_a_file_cut_short_is_said_to_be_so(tmp_path):
    save_checkpoint_file(CONTENT, tmp_path / "c.pt")
    whole = (tmp_path / "c.pt").read_bytes()
    (tmp_path / "c.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="it is cut short"):
        load_checkpoint_file(tmp_path / "c.pt")


def test_code_is_not_loaded(tmp_path):
    torch.save({"weight": ROOT}, tmp_path / "c.pt")
    with pytest.raises(ValueError, match=r"c\.pt cannot be read as weights \(UnpicklingError"):
        load_checkpoint_file(tmp_path / "c.pt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.pt do not exist"):
        load_checkpoint_file(tmp_path / "gone.pt")


def test_inference_refuses_damaged_weights_in_one_sentence(phantom, tmp_path):
    weights = tmp_path / "model.pt"
    shutil.copyfile(ROOT / "models" / "cardiac_mr" / "models" / "model_last.pt", weights)
    content = bytearray(weights.read_bytes())
    content[len(content) // 2] ^= 0x10
    weights.write_bytes(content)
    options = {"dataset_dir": phantom, "output_dir": tmp_path / "out", "checkpoint": weights, "bundle_root": ROOT}
    words = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
    config = ["--config_file", str(ROOT / "configs" / "inference.yaml")]
    command = [sys.executable, "-m", "monai.bundle", "run", "inference", *config, *words]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode != 0 and "Traceback" not in result.stderr
    assert f"error: {weights} cannot be read as weights (the checksum of its part " in result.stderr
    assert not (tmp_path / "out").exists()
