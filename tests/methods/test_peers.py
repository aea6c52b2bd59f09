# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch import nn

from bundle.self_cleansing.handlers import averaged_network
from bundle.self_cleansing.methods import HalfSetTeachers, PeerNetworks
from bundle.self_cleansing.methods.peers import fresh_copy
from bundle.self_cleansing.networks import ResidualUNet

CASES = torch.tensor([0, 0, 1, 1, 1, 2, 3, 3])


def network() -> ResidualUNet:
    torch.manual_seed(0)
    return ResidualUNet(1, 2, 4)


def images(count: int = 4) -> torch.Tensor:
    return torch.rand(count, 1, 16, 16, generator=torch.Generator().manual_seed(1))


def test_a_fresh_copy_has_the_architecture_and_other_weights():
    one = network()
    other = fresh_copy(one)
    assert one.state_dict().keys() == other.state_dict().keys()
    convolutions = [name for name, value in one.named_parameters() if value.ndim == 4]
    assert convolutions
    assert not any(torch.equal(one.state_dict()[name], other.state_dict()[name]) for name in convolutions)


def test_peers_give_both_logits_side_by_side():
    peers = PeerNetworks(network()).eval()
    logits = peers(images())
    assert logits.shape == (4, 2, 2, 16, 16)
    torch.testing.assert_close(logits[:, 0], peers.first(images()))
    torch.testing.assert_close(logits[:, 1], peers.second(images()))
    assert (logits[:, 0] - logits[:, 1]).abs().max() > 1e-3


def test_alone_the_first_peer_starts_from_the_given_weights_and_the_second_learns_nothing():
    peers, fresh = PeerNetworks(network()), fresh_copy(network())
    peers.stand_alone(fresh.state_dict())
    logits = peers(images())
    torch.testing.assert_close(logits, fresh(images()))
    logits.sum().backward()
    assert all(parameter.grad is not None for parameter in peers.first.parameters())
    assert all(parameter.grad is None for parameter in peers.second.parameters())


def test_a_state_dict_remembers_that_the_second_peer_is_done():
    peers = PeerNetworks(network())
    peers.stand_alone(peers.second.state_dict())
    other = PeerNetworks(network())
    other.load_state_dict(peers.state_dict())
    assert other(images()).shape == (4, 2, 16, 16)
    averaged = averaged_network(peers, 0.9)
    averaged.update_parameters(peers)
    assert averaged.module.alone


def teachers(seed: int = 0) -> HalfSetTeachers:
    return HalfSetTeachers(network(), CASES, seed)


def test_halves_are_of_whole_patients_and_of_equal_number():
    halves = {teachers(seed).in_second_half.tolist().__str__() for seed in range(20)}
    assert len(halves) > 2  # they depend on the seed
    half = teachers().in_second_half
    by_case = [half[CASES == case].unique() for case in range(4)]
    assert all(len(values) == 1 for values in by_case)
    assert sum(int(values) for values in by_case) == 2
    assert torch.equal(half, teachers().in_second_half)


@pytest.mark.parametrize("index", [list(range(8)), [0, 1], [7, 2, 0, 5]])
def test_each_sample_goes_to_its_own_teacher_and_is_judged_by_the_other(index):
    """Against one forward pass per sample, in eval mode, where samples do not influence each other."""
    pair, index = teachers().eval(), torch.tensor(index)
    image = images(8)[index]
    own, other = pair(image, index), pair.out_of_sample(image, index)
    for row, sample in enumerate(index.tolist()):
        networks = (pair.second, pair.first) if pair.in_second_half[sample] else (pair.first, pair.second)
        torch.testing.assert_close(own[row], networks[0](image[row : row + 1])[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(other[row], networks[1](image[row : row + 1])[0], atol=1e-5, rtol=1e-4)


def test_a_teacher_learns_from_its_own_half_only():
    pair = teachers()
    index = torch.nonzero(pair.in_second_half).flatten()
    pair(images(8)[index], index).square().sum().backward()
    assert all(parameter.grad is None for parameter in pair.first.parameters())
    assert all(parameter.grad is not None for parameter in pair.second.parameters())


def test_one_patient_cannot_be_halved():
    with pytest.raises(ValueError, match="at least two training patients, got one"):
        HalfSetTeachers(nn.Conv2d(1, 1, 1), torch.zeros(5, dtype=torch.int64))
