# SPDX-License-Identifier: Apache-2.0
"""What the inference of a full-size volume costs beside the network alone. See benchmark.py."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import nibabel as nib  # noqa: E402
import torch  # noqa: E402
from benchmark_training import spread, synchronize  # noqa: E402
from monai.networks.utils import eval_mode  # noqa: E402

from bundle.self_cleansing.data.phantom import write_patients  # noqa: E402
from bundle.self_cleansing.inferers import LocalisingPatchInferer  # noqa: E402
from bundle.self_cleansing.networks import ResidualUNet  # noqa: E402


def infer(repeats: int = 5) -> dict[str, Any]:
    """A phantom volume through LocalisingPatchInferer, and its slices' 128x128 patches through the bare network.

    The inferer looks for the heart in the whole slices first and then segments the patch around it.

    Returns:
        seconds per volume of each, slices of the volume, and their ratio.
    """
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    network = ResidualUNet(1, 3).to(device, memory_format=torch.channels_last)
    with tempfile.TemporaryDirectory() as folder:
        write_patients(Path(folder), [1], seed=0)
        path = next(path for path in sorted(Path(folder).rglob("*frame*.nii.gz")) if "_gt" not in path.name)
        volume = torch.from_numpy(nib.load(path).get_fdata(dtype="float32"))[None, None].to(device)
    patches = torch.rand(volume.shape[-1], 1, 128, 128, device=device).contiguous(memory_format=torch.channels_last)
    inferer = LocalisingPatchInferer(patch_size=128)
    seconds: dict[str, list[float]] = {"volume": [], "network on the patches": []}
    with eval_mode(network):
        for _ in range(repeats + 1):
            start = synchronize(device)
            inferer(volume, network)
            middle = synchronize(device)
            network(patches)
            seconds["volume"].append(middle - start)
            seconds["network on the patches"].append(synchronize(device) - middle)
    timed = {name: spread(values[1:]) for name, values in seconds.items()}
    return {
        "volume_shape": list(volume.shape[2:]),
        "seconds": timed,
        "inference_vs_network": timed["volume"]["median"] / timed["network on the patches"]["median"],
    }
