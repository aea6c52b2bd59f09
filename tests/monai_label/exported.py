# SPDX-License-Identifier: Apache-2.0
"""A run turned into a bundle as a user gets it: exported to a zip, and unpacked."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import yaml
from running import ROOT, TINY, TINY_METHOD, config_files, run_bundle

METHOD = "methods/self_cleansing_practical"
NAME = "phantom_heart_segmentation"
# TINY's network_size of 32 in the words that the configs of inference know too.
TRAINING = {name: value for name, value in TINY.items() if name not in ("network_size", "cache_dir")} | {"shrink": 4}


def exported_bundle(run: Path, dataset_dir: Path, folder: Path) -> Path:
    """Evaluate and export a tiny run of METHOD, and unpack the zip below `folder`: returns the bundle's folder."""
    evaluated = run_bundle("evaluating", [METHOD, "evaluate"], folder, dataset_dir=dataset_dir, output_dir=run)
    assert evaluated.returncode == 0, evaluated.stderr[-3000:]
    card = yaml.safe_load((ROOT / "docs" / "cards" / "cardiac_mr.yaml").read_text()) | {"name": NAME}
    (folder / "card.yaml").write_text(yaml.safe_dump(card))
    added = {name.replace("#", "::"): yaml.safe_load(value) for name, value in TINY_METHOD[METHOD].items()}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(added))  # an option on the command line must be there already
    files = [word.strip("'") for word in config_files(METHOD).strip("[]").split(",")] + [str(folder / "tiny.yaml")]
    options = [word for name, value in TRAINING.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, str(ROOT / "scripts" / "export_bundle.py"), "--run_dir", str(run)]
    command += ["--card", str(folder / "card.yaml"), "--config_file", *files, "--output_dir", str(folder), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}
    exported = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert exported.returncode == 0, exported.stderr[-3000:]
    with zipfile.ZipFile(next(folder.glob(f"{NAME}_v*.zip"))) as archive:
        archive.extractall(folder)
    return folder / NAME
