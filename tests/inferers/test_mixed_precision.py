# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch import nn

from bundle.self_cleansing.inferers import MixedPrecisionInferer
from bundle.self_cleansing.inferers.mixed_precision import cpu_has_bfloat16


class Spy(nn.Conv2d):
    def forward(self, inputs):
        result = super().forward(inputs)
        self.seen = result.dtype
        return result


@pytest.fixture
def network() -> Spy:
    torch.manual_seed(0)
    return Spy(1, 4, 3, padding=1)


def test_bfloat16_reaches_the_network_and_not_the_loss(network):
    image = torch.rand(2, 1, 16, 16)
    rounded = MixedPrecisionInferer("bfloat16")(image, network)
    assert network.seen == torch.bfloat16 and rounded.dtype == torch.float32
    plain = MixedPrecisionInferer("float32")(image, network)
    assert network.seen == torch.float32 and torch.equal(plain, network(image))
    assert 0 < (plain - rounded).abs().max() < 0.02 * plain.abs().max()  # 8 bits of mantissa


def test_gradients_flow_in_float32(network):
    MixedPrecisionInferer("bfloat16")(torch.rand(2, 1, 16, 16), network).sum().backward()
    assert network.weight.grad.dtype == torch.float32 and network.weight.grad.abs().sum() > 0


def test_auto_follows_the_processor(network):
    MixedPrecisionInferer()(torch.rand(1, 1, 8, 8), network)
    assert network.seen == (torch.bfloat16 if cpu_has_bfloat16() else torch.float32)


def test_the_processor_is_read_as_linux_does():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            flags = set(next(line for line in file if line.startswith("flags")).split())
    except (OSError, StopIteration):
        pytest.skip("no flags in /proc/cpuinfo")
    assert cpu_has_bfloat16() == bool(flags & {"avx512_bf16", "amx_bf16"})


def test_another_precision_is_refused():
    with pytest.raises(ValueError, match="'half'"):
        MixedPrecisionInferer("half")
