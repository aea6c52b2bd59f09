# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from tiny import bank_of

from bundle.self_cleansing.audit.fold_training import orientations, predict, turned_back


class Pointwise(torch.nn.Module):
    """Logits that depend on a pixel's value alone: the same whichever way the image is turned."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(3.0))

    def forward(self, image):
        return torch.cat([image - 0.5, 0.2 - image], dim=1) * self.scale


class Leftward(Pointwise):
    """Looks at the pixel to the left: sees something else in a turned image."""

    def forward(self, image):
        return super().forward(image.roll(1, dims=-1))


def bank(height: int = 8, width: int = 8):
    images = torch.rand(5, 1, height, width, generator=torch.Generator().manual_seed(0))
    return bank_of(images, torch.zeros(5, 2, height, width))


@pytest.mark.parametrize("any_orientation", [False, True])
def test_probabilities_are_those_of_a_plain_loop(any_orientation, tmp_path):
    data, samples = bank(), np.array([0, 2, 4])
    predict(Pointwise(), data, samples, tmp_path / "probs.npy", any_orientation, batch_size=2)
    found = np.load(tmp_path / "probs.npy")
    for row, sample in enumerate(samples):
        value = data.images[sample, 0].numpy()
        expected = [1 / (1 + np.exp(-3 * logit)) for logit in (value - 0.5, 0.2 - value)]
        np.testing.assert_allclose(found[row], np.round(np.stack(expected) * 255), atol=1)


def test_the_mean_over_orientations_does_not_depend_on_how_the_image_lies():
    image = bank().images[:1]
    network = Leftward()

    def mean(one: torch.Tensor) -> torch.Tensor:
        return torch.stack([turned_back(network, one, turn) for turn in orientations(one)]).mean(0)

    turned = torch.rot90(image.flip(-1), 1, (-2, -1))
    torch.testing.assert_close(mean(turned), torch.rot90(mean(image).flip(-1), 1, (-2, -1)))
    assert not torch.allclose(turned_back(network, image, (0, False)), mean(image), atol=1e-3)


def test_all_orientations_are_different_and_keep_the_shape():
    assert len(set(orientations(torch.zeros(1, 1, 8, 8)))) == 8
    for image in (torch.rand(1, 1, 8, 8), torch.rand(1, 1, 6, 8)):
        turns = orientations(image)
        assert len(turns) == (8 if image.shape[-2] == image.shape[-1] else 4)
        assert all(turned_back(Pointwise(), image, turn).shape == (1, 2, *image.shape[2:]) for turn in turns)
