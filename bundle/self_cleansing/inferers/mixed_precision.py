# SPDX-License-Identifier: Apache-2.0
"""Train in bfloat16 on processors that have instructions for it.

MONAI's trainers know autocast on CUDA alone (`amp`); on a CPU it has to be put around the forward pass.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from monai.inferers import SimpleInferer
from torch import Tensor

PRECISIONS = ("auto", "float32", "bfloat16")


def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 natively; emulated, it is many times slower than float32."""
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # absent from older PyTorch
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))


def arithmetic(precision: str, device: torch.device) -> str:
    """What a training computes its network in: 'float32', 'bfloat16' or 'float16'.

    Args:
        precision: one of `PRECISIONS`.
        device: of the network.
    """
    if device.type == "cuda":
        return "float16" if precision == "auto" else precision
    wanted = precision == "bfloat16" or (precision == "auto" and cpu_has_bfloat16())
    return "bfloat16" if device.type == "cpu" and wanted else "float32"


class MixedPrecisionInferer(SimpleInferer):
    """Run the network on CPU tensors under autocast and return float32, a tuple of it for a tuple; elsewhere, as it is.

    Args:
        precision: 'auto' (bfloat16 where the processor has it), 'float32' or 'bfloat16'.

    Raises:
        ValueError: another precision.
    """

    def __init__(self, precision: str = "auto") -> None:
        super().__init__()
        if precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")
        self.autocast = arithmetic(precision, torch.device("cpu")) == "bfloat16"

    def __call__(self, inputs: Tensor, network: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if inputs.device.type != "cpu" or not self.autocast:
            return super().__call__(inputs, network, *args, **kwargs)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = super().__call__(inputs, network, *args, **kwargs)
            return output.float() if isinstance(output, Tensor) else tuple(part.float() for part in output)
