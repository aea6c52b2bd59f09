# SPDX-License-Identifier: Apache-2.0
"""What MONAI and the Model Zoo demand of a bundle."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from monai.bundle import ConfigWorkflow
from running import ROOT, TINY

SHARED = Path(os.environ.get("SELF_CLEANSING_DATA", ROOT.parent / "shared" / "data")).parent
SCHEMA = SHARED / "zoo" / "meta_schema_20240725.json"
METADATA = json.loads((ROOT / "configs" / "metadata.json").read_text())


def test_versions_agree():
    from bundle.self_cleansing import __version__

    version = METADATA["version"]
    assert version == __version__
    assert version in METADATA["changelog"]
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text()
    assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()


def test_pins_of_the_metadata_are_those_of_the_constraints():
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    packages = METADATA["required_packages_version"] | {
        "torch": METADATA["pytorch_version"],
        "monai": METADATA["monai_version"],
        "numpy": METADATA["numpy_version"],
    }
    assert {name: pins[name] for name in packages} == packages


def monai_bundle(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a monai.bundle command from the bundle root, without any help from PYTHONPATH."""
    return subprocess.run([sys.executable, "-m", "monai.bundle", *words], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.skipif(not SCHEMA.is_file(), reason=f"the zoo's schema is not at {SCHEMA.name}; set SELF_CLEANSING_DATA")
def test_metadata_is_valid_against_the_schema(tmp_path):
    schema = tmp_path / "schema.json"  # a file at this path keeps verify_metadata from downloading it
    schema.write_bytes(SCHEMA.read_bytes())
    result = monai_bundle("verify_metadata", "--meta_file", "configs/metadata.json", "--filepath", str(schema))
    assert result.returncode == 0, result.stderr[-2000:]
    assert "verified with no error" in result.stdout + result.stderr


@pytest.mark.parametrize("config", ["train", "inference"])
def test_network_in_and_out_are_as_the_metadata_say(config):
    files = ["--meta_file", "configs/metadata.json", "--config_file", f"configs/{config}.yaml"]
    result = monai_bundle("verify_net_in_out", "--net_id", "network_def", *files, "--n", "8")
    assert result.returncode == 0, result.stderr[-2000:]
    assert "verified with no error" in result.stdout + result.stderr


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("configs", [["train"], ["train", "multi_gpu_train"]], ids=lambda names: names[-1])
def test_train_has_all_properties(configs, noisy_phantom, tmp_path):
    workflow = ConfigWorkflow(
        config_file=[str(ROOT / "configs" / f"{name}.yaml") for name in configs],
        meta_file=str(ROOT / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        dataset_dir=str(noisy_phantom),
        output_dir=str(tmp_path / "run"),
        **TINY,
    )
    workflow.initialize()
    assert workflow.check_properties() == []


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_inference_has_all_properties(phantom, tmp_path):
    workflow = ConfigWorkflow(
        config_file=str(ROOT / "configs" / "inference.yaml"),
        meta_file=str(ROOT / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="infer",
        dataset_dir=str(phantom / "training" / "patient001"),
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def test_the_repository_names_no_machine_and_ships_no_medical_data():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if tracked.returncode != 0:
        pytest.skip("not a git checkout")
    home = re.compile(rb"/(home|Users|root|work)/[a-z]")
    for name in tracked.stdout.splitlines():
        assert not name.endswith((".nii", ".nii.gz", ".dcm"))
        assert (found := home.search((ROOT / name).read_bytes())) is None, (name, found)
