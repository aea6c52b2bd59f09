# SPDX-License-Identifier: Apache-2.0
"""Every method trains on several classes and leaves the one network that inference needs; every one resumes exactly."""

from __future__ import annotations

import csv
import logging
import math
from pathlib import Path

import monai.bundle
import pytest
import torch
import yaml
from running import ROOT, TINY, TINY_METHOD, bundle_command, kill_once, run_bundle
from test_distributed import torchrun
from test_training import checkpoint, equal, rows

from bundle.self_cleansing.networks import ResidualUNet

# MONAI's advice about foreign configs; these are our own.
pytestmark = pytest.mark.filterwarnings("ignore:parsing config_file:UserWarning")
# Superpixels refine too late for four epochs; test_corrections.py has what they remember.
CHANGE_LABELS = {"co_seg", "confident_learning", "co_training", "self_cleansing_practical", "lcm"}
METHODS = sorted(path.stem for path in (ROOT / "configs" / "methods").glob("*.yaml"))


def train(method: str, **settings: object) -> None:
    """Run the bundle in this process, which saves the imports; the global state it changes is put back."""
    tiny = {key: yaml.safe_load(str(value)) for key, value in TINY_METHOD.get(f"methods/{method}", {}).items()}
    overrides = TINY | tiny | settings
    handlers, level, state = logging.root.handlers[:], logging.root.level, torch.get_rng_state()
    deterministic, threads = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    files = [str(ROOT / "configs" / name) for name in ("train.yaml", f"methods/{method}.yaml")]
    try:
        monai.bundle.run("training", config_file=files, bundle_root=str(ROOT), **overrides)
    finally:
        logging.root.handlers[:], logging.root.level = handlers, level
        torch.set_rng_state(state)
        torch.use_deterministic_algorithms(deterministic)
        torch.set_num_threads(threads)


# The first steps may be skipped until the loss scale fits, in so short an epoch all of them.
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda:0", marks=pytest.mark.cuda)])
@pytest.mark.parametrize("method", METHODS)
def test_two_epochs_leave_the_network_that_inference_needs(method, device, noisy_phantom, tmp_path):
    run = tmp_path / "run"
    told = {"noisy_image_fraction": 0.3} if method == "co_seg" else {}  # a stage of one epoch leaves none to estimate
    train(method, dataset_dir=str(noisy_phantom), output_dir=str(run), max_epochs=2, device=device, **told)
    holds_the_network_of_inference(run, method, classes=3)


def holds_the_network_of_inference(run: Path, method: str, classes: int) -> None:
    """Two epochs with a finite loss, and a plain ResidualUNet as model_last.pt: the one that was validated."""
    rows = list(csv.DictReader((run / "history.csv").read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert all(math.isfinite(float(row["train_loss"])) for row in rows)
    head_channels = 2 if method == "self_cleansing_narrow" else 32
    for name in ("model_best.pt", "model_last.pt"):
        network = ResidualUNet(1, classes, head_channels)
        network.load_state_dict(torch.load(run / "models" / name, weights_only=True))
    # What was validated: the averaged network, or its part that is kept.
    averaged = checkpoint(run)["averaged_network"]
    kept = next(
        part for part in ("module.first.", "module.segmentation.", "module.") if f"{part}stem.0.weight" in averaged
    )
    for name, value in network.state_dict().items():
        assert torch.equal(value, averaged[kept + name]), name


@pytest.mark.parametrize("method", METHODS)
def test_one_class_does(method, noisy_hearts, tmp_path):
    run = tmp_path / "run"
    told = {"noisy_image_fraction": 0.3} if method == "co_seg" else {}
    settings = {"dataset_dir": str(noisy_hearts), "output_dir": str(run), "class_names": ["heart"]}
    train(method, **settings, **told, max_epochs=2)
    holds_the_network_of_inference(run, method, classes=1)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_do(method, noisy_hearts, tmp_path):
    """Under torchrun, and on one class."""
    told = {"noisy_image_fraction": 0.3} if method == "co_seg" else {}
    settings = {"dataset_dir": noisy_hearts, "output_dir": tmp_path / "run", "class_names": "['heart']"}
    overlays = [f"methods/{method}", "multi_gpu_train"]
    command = bundle_command("training", overlays, **settings, **told, max_epochs=2, batch_size=2)
    result = torchrun(command[1:], tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    holds_the_network_of_inference(tmp_path / "run", method, classes=1)


@pytest.mark.parametrize("method", ["co_seg", "jocor"])
def test_a_simulation_may_look_the_noise_up(method, noisy_phantom, tmp_path):
    name = "noisy_image_fraction" if method == "co_seg" else "noisy_pixel_fraction"
    settings = {"dataset_dir": str(noisy_phantom), "output_dir": str(tmp_path / "run"), "max_epochs": 2, name: "oracle"}
    train(method, **settings)
    stored = checkpoint(tmp_path / "run")["loss"]
    rate = next(value for key, value in stored.items() if key.endswith("forget_rate.rate"))
    assert (rate > 0).all() and (rate < 1).all()


def test_an_oracle_needs_a_simulation(phantom, tmp_path):
    settings = {"dataset_dir": phantom, "output_dir": tmp_path / "run", "noisy_image_fraction": "oracle"}
    result = run_bundle("training", ["methods/co_seg"], tmp_path, **settings)
    assert result.returncode != 0
    assert "noisy_image_fraction is 'oracle', which needs the clean labels" in result.stderr
    assert not (tmp_path / "run" / "models").exists()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_a_killed_run_of_any_method_resumes_to_the_same_bits(method, noisy_phantom, tmp_path):
    """Killed in the third epoch of four, which for methods of two stages is the first epoch of the second."""
    settings = {"dataset_dir": noisy_phantom}
    run, unbroken = tmp_path / "run", tmp_path / "unbroken"
    command = bundle_command("training", [f"methods/{method}"], **settings, output_dir=run)
    kill_once(lambda: len(rows(run)) >= 2, command, tmp_path, delay_s=0.2)
    for folder, more in ((run, {"resume": "true"}), (unbroken, {})):
        result = run_bundle("training", [f"methods/{method}"], tmp_path, **settings, output_dir=folder, **more)
        assert result.returncode == 0, result.stderr[-3000:]
    one, other = checkpoint(unbroken), checkpoint(run)
    assert one.keys() == other.keys()
    for part in one:
        assert equal(one[part], other[part]), part
    assert (unbroken / "history.csv").read_text() == (run / "history.csv").read_text()
    if method in CHANGE_LABELS:  # or resuming the labels would not have been tried
        assert not (one["label_bank"]["provenance"] == 0).all()
