# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch
from torch import nn

from bundle.self_cleansing.losses import BinaryCrossEntropy, DiceLoss, SumLoss


def test_sum_of_losses_on_the_same_arguments():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 2, 4, 4, generator=generator)
    label = (torch.rand(3, 2, 4, 4, generator=generator) > 0.5).float()
    weight = torch.tensor([[1.0, 0], [0, 1], [1, 1]])
    parts = [BinaryCrossEntropy("leave_out", agreed_from_epoch=2), DiceLoss(batch=True)]
    expected = sum(part(logits, label, weight, 3) for part in parts)
    torch.testing.assert_close(SumLoss(parts)(logits, label, weight, 3), expected)
    assert SumLoss(parts)(logits, label, weight, 3).shape == ()


def test_every_part_gets_the_epoch_and_parameters_are_registered():
    class Epoch(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))

        def forward(self, logits, label, weight, epoch):
            return self.scale * epoch

    total = SumLoss([Epoch(), Epoch()])
    assert total(*[torch.zeros(1, 1, 1, 1)] * 3, 5).item() == 20
    assert len(list(total.parameters())) == 2
