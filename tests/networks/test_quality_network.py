# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch

from bundle.self_cleansing.networks import QualityNetwork


def test_the_trunk_is_that_of_vgg_16():
    """13 convolutions with biases, and nothing else to learn: 14,714,688 parameters with three input channels."""
    network = QualityNetwork(3, width=64)
    convolutions = [module for module in network.trunk.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(convolutions) == 13
    assert sum(p.numel() for p in network.trunk.parameters()) == 14_714_688
    assert sum(isinstance(module, torch.nn.MaxPool2d) for module in network.modules()) == 4
    assert sum(p.numel() for p in network.score.parameters()) == 513


def test_one_unbounded_score_per_image_that_depends_on_image_and_label():
    torch.manual_seed(0)
    network = QualityNetwork(1 + 2, width=4)
    image, label = torch.rand(3, 1, 32, 32), (torch.rand(3, 2, 32, 32) > 0.5).float()
    score = network(image, label)
    assert score.shape == (3,)
    torch.testing.assert_close(network(image[1:2], label[1:2])[0], score[1], rtol=1e-4, atol=1e-6)
    assert not torch.isclose(network(image, 1 - label), score, rtol=1e-3).any()
    assert not torch.isclose(network(1 - image, label), score, rtol=1e-3).any()
    with torch.no_grad():
        network.score.bias.fill_(-7.0)
    assert (network(image, label) < 0).all()


def test_a_fresh_network_tells_labels_apart():
    """Thirteen layers keep what they are given: PyTorch's own initial weights would leave differences of 1e-7."""
    label = torch.zeros(16, 1, 64, 64)
    for number in range(16):
        label[number, :, 20 : 30 + number, 20 : 30 + number] = 1
    torch.manual_seed(0)
    image = torch.rand(1, 1, 64, 64).expand(16, -1, -1, -1)
    for width in (4, 16, 64):
        network = QualityNetwork(2, width=width)
        assert 1e-3 < network(image, label).std() < 10
        for layer in network.trunk:
            if isinstance(layer, torch.nn.Conv2d):
                layer.reset_parameters()
        assert network(image, label).std() < 1e-6


def test_it_takes_the_smallest_quick_images():
    assert torch.isfinite(QualityNetwork(2, width=4)(torch.rand(2, 1, 16, 16), torch.ones(2, 1, 16, 16))).all()
