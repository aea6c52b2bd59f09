# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from bundle.self_cleansing.networks import ResidualUNet
from bundle.self_cleansing.networks.residual_unet import Down

# Table 1 by hand, in order of execution: kind, kernel, stride, channels in and out, side of the output for 32 x 32.
TABLE_1 = [
    ("conv", 3, 1, 1, 16, 32),
    ("conv", 2, 2, 16, 32, 16),
    ("conv", 3, 1, 32, 32, 16),
    ("conv", 2, 2, 32, 64, 8),
    ("conv", 3, 1, 64, 64, 8),
    ("conv", 3, 1, 64, 64, 8),
    ("conv", 2, 2, 64, 128, 4),
    ("conv", 3, 1, 128, 128, 4),
    ("conv", 3, 1, 128, 128, 4),
    ("conv", 3, 1, 128, 128, 4),
    ("transposed", 2, 2, 128, 64, 8),
    ("conv", 3, 1, 128, 128, 8),
    ("conv", 3, 1, 128, 128, 8),
    ("conv", 3, 1, 128, 128, 8),
    ("transposed", 2, 2, 128, 32, 16),
    ("conv", 3, 1, 64, 64, 16),
    ("conv", 3, 1, 64, 64, 16),
    ("transposed", 2, 2, 64, 16, 32),
    ("conv", 3, 1, 32, 32, 32),
    ("conv", 3, 1, 32, 2, 32),
    ("conv", 1, 1, 2, 1, 32),
]


def network(seed: int = 0, **options) -> ResidualUNet:
    """Random weights, and batch-norm statistics and scales that are not the identity."""
    torch.manual_seed(seed)
    made = ResidualUNet(**options)
    for module in made.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return made


@pytest.fixture
def image() -> torch.Tensor:
    return torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(1))


def test_layers_are_those_of_table_1(image):
    net = ResidualUNet(head_channels=2)
    run = []

    def record(module, _, output):
        kind = "transposed" if isinstance(module, nn.ConvTranspose2d) else "conv"
        assert module.bias is not None
        run.append((kind, *module.kernel_size[:1], *module.stride[:1], module.in_channels, module.out_channels))
        run[-1] += (output.shape[-1],)

    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            module.register_forward_hook(record)
    net(image)
    assert run == TABLE_1


@pytest.mark.parametrize(("head_channels", "published"), [(2, 1_151_929), (32, 1_160_689)])
def test_number_of_parameters(head_channels, published):
    convs = TABLE_1[:-2] + [("conv", 3, 1, 32, head_channels, 32)]
    # weights, biases, and scale and shift of the batch normalisation; the last convolution has no normalisation
    by_hand = sum(k * k * i * o + 3 * o for _, k, _, i, o, _ in convs) + head_channels + 1
    net = ResidualUNet(head_channels=2) if head_channels == 2 else ResidualUNet()
    assert sum(p.numel() for p in net.parameters()) == by_hand == published


def test_forward_equals_a_literal_reading_of_table_1(image):
    """The convolutions in order of execution, put together with functional calls."""
    net = network(head_channels=2).eval()
    layers = [m for m in net.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d))]
    layers = iter(layers)  # definition order is execution order, as the previous test shows

    def step(x, act=True):
        conv, norm = next(layers), next(layers)
        if isinstance(conv, nn.ConvTranspose2d):
            x = F.conv_transpose2d(x, conv.weight, conv.bias, stride=2)
        else:
            side = conv.kernel_size[0]
            x = F.conv2d(x, conv.weight, conv.bias, stride=2 if side == 2 else 1, padding=1 if side == 3 else 0)
        x = F.batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, training=False)
        return F.relu(x) if act else x

    def residual(x, depth):
        y = x
        for i in range(depth):
            y = step(y, act=i + 1 < depth)
        return F.relu(x + y)

    x1 = step(image)
    x2 = residual(step(x1), 1)
    x3 = residual(step(x2), 2)
    x4 = residual(step(x3), 3)
    u3 = residual(torch.cat([step(x4), x3], 1), 3)
    u2 = residual(torch.cat([step(u3), x2], 1), 2)
    features = residual(torch.cat([step(u2), x1], 1), 1)
    narrow = step(features)
    last = next(layers)
    torch.testing.assert_close(net(image), F.conv2d(narrow, last.weight, last.bias))
    torch.testing.assert_close(net.features(image), features)
    torch.testing.assert_close(net.narrow(net.features(image)), narrow)


def test_shortcut_starts_after_the_strided_convolution():
    """With a residual branch that is -0.25 everywhere, the block is ReLU(strided convolution - 0.25)."""
    down = Down(4, depth=2).eval()
    norm = down.residual.layers[-1][1]
    nn.init.zeros_(norm.weight)
    nn.init.constant_(norm.bias, -0.25)
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    shrunk = down.shrink(x)
    assert shrunk.shape == (1, 8, 4, 4)
    torch.testing.assert_close(down(x), torch.relu(shrunk - 0.25))


@pytest.mark.parametrize("classes", [1, 3])
def test_one_tensor_of_logits_and_its_two_parts(classes, image):
    net = network(num_classes=classes).eval()
    logits, features = net(image), net.features(image)
    assert isinstance(logits, torch.Tensor) and logits.shape == (2, classes, 32, 32)
    assert features.shape == (2, 32, 32, 32) and features.min() >= 0
    assert torch.equal(net.head(features), logits)
    assert logits.min() < 0 < logits.max()  # no sigmoid


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("mode", ["train", "eval"])
def test_scripted_equals_eager(dropout, mode, image):
    net = network(num_classes=3, dropout=dropout)
    scripted = torch.jit.script(net)
    getattr(net, mode)(), getattr(scripted, mode)()
    torch.manual_seed(7)
    eager = net(image)
    torch.manual_seed(7)
    torch.testing.assert_close(scripted(image), eager)


def test_several_input_channels():
    assert ResidualUNet(in_channels=3)(torch.zeros(1, 3, 16, 24)).shape == (1, 1, 16, 24)


def test_dropout_zero_does_nothing_and_dropout_drops_whole_channels_in_training_only(image):
    plain, dropping = network(), network(dropout=0.5)
    dropping.load_state_dict(plain.state_dict())
    assert torch.equal(plain.eval()(image), dropping.eval()(image))
    torch.manual_seed(3)
    assert torch.equal(plain.train()(image), plain(image))

    calls = []
    dropping.drop.register_forward_hook(lambda _, inputs, output: calls.append((inputs[0], output)))
    dropping.train()
    assert not torch.equal(dropping(image), dropping(image))
    for position, (before, after) in enumerate(calls):
        assert before.shape[1:] == ((128, 4, 4) if position % 2 == 0 else (32, 32, 32))
        kept = after.flatten(2).abs().sum(2) > 0
        torch.testing.assert_close(after, 2 * before * kept[..., None, None])
        assert 0.2 < kept.float().mean() < 0.8
