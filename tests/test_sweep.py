# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from tiny import WrittenNetwork, bank_of, disc, random_bank

from bundle.self_cleansing.cleansing import cleanse, postprocess
from bundle.self_cleansing.handlers import averaged_network
from bundle.self_cleansing.label_bank import LabelBank
from bundle.self_cleansing.networks import ResidualUNet
from bundle.self_cleansing.sweep import Cleanser, sweep

GRID = {"grid_size": 8, "mu": 0.5}


@pytest.fixture
def setting():
    """Seven slices, a network with random weights whose predictions fill about half of the image, a filled bank."""
    torch.manual_seed(0)
    dataset = random_bank((4, 3))
    network = ResidualUNet(num_classes=2)
    network(dataset.images)  # batch-norm statistics that are not the initial ones
    bank = LabelBank(dataset)
    generator = torch.Generator().manual_seed(1)
    bank.write(slice(None), torch.rand(7, 2, 16, 16, generator=generator) > 0.7, torch.rand(7, 2) > 0.4)
    return network, dataset, bank


def boundary(mask: list[list[bool]]) -> int:
    side = len(mask)
    count = 0
    for i in range(side):
        for j in range(side):
            around = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
            count += mask[i][j] and not all(0 <= r < side and 0 <= c < side and mask[r][c] for r, c in around)
    return count


@torch.no_grad()
def slow(network, dataset, bank, cleanser: Cleanser):
    """One sample and one class at a time."""
    network.eval()
    for n in range(len(dataset)):
        image = dataset.images[n : n + 1]
        probs = torch.sigmoid(network(image))[0]
        features = network.features(image)
        features = network.narrow(features) if cleanser.narrow_features else features
        for k in range(probs.shape[0]):
            p, label, pseudo = probs[k].double(), dataset.labels[n, k].double(), bank.pseudo_label()[n, k].double()
            region = p > 0.5
            made = cleanse(
                features, region[None, None], variant=cleanser.variant, grid_size=8, sigma=cleanser.sigma, mu=0.5
            )
            yield (
                (n, k),
                {
                    "manual_loss": 1 - 2 * float((p * label).sum()) / float(p.sum() + label.sum()),
                    "pseudo_loss": 1 - 2 * float((p * pseudo).sum()) / float(p.sum() + pseudo.sum()),
                    "areas": [
                        int(label.sum()),
                        int(region.sum()),
                        int((region != label.bool()).sum()),
                        boundary(region.tolist()),
                    ],
                    "pseudo_area": int(pseudo.sum()),
                    "region": region,
                    "candidate": postprocess(made.label, cleanser.min_fraction)[0, 0],
                    "found": bool(region.any()) and bool(made.found),
                },
            )


@pytest.mark.parametrize("batch_size", [1, 3, 32])
@pytest.mark.parametrize(
    "cleanser",
    [
        Cleanser(**GRID),
        Cleanser("mean", min_fraction=0.4, **GRID),
        Cleanser("prediction", min_fraction=0, **GRID),
        Cleanser(narrow_features=True, **GRID),
    ],
    ids=lambda cleanser: f"{cleanser.variant}-{cleanser.narrow_features}",
)
def test_equals_one_sample_at_a_time(cleanser, batch_size, setting):
    network, dataset, bank = setting
    found = sweep(network, dataset, bank, cleanser, batch_size=batch_size)
    assert found.case_index.tolist() == [0, 0, 0, 0, 1, 1, 1]
    prediction, candidate = found.prediction(), found.candidate()
    filled = 0
    for entry, expected in slow(network, dataset, bank, cleanser):
        assert float(found.manual_loss[entry]) == pytest.approx(expected["manual_loss"], abs=1e-4)
        assert float(found.pseudo_loss[entry]) == pytest.approx(expected["pseudo_loss"], abs=1e-4)
        assert [int(area[entry]) for area in found.manual_areas] == expected["areas"]
        assert int(found.pseudo_area[entry]) == expected["pseudo_area"]
        assert torch.equal(prediction[entry].bool(), expected["region"])
        assert (candidate[entry].bool() != expected["candidate"]).sum() <= 1  # a similarity at the threshold
        assert bool(found.found[entry]) == expected["found"]
        filled += int(expected["candidate"].sum())
    assert filled > 100  # there was something to compare


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("averaged", [True, False])
def test_eval_mode_is_used_and_the_mode_restored(training, averaged, setting):
    network, dataset, bank = setting
    expected = sweep(network.eval(), dataset, bank, Cleanser(**GRID))
    judge = averaged_network(network, 0.9) if averaged else network
    judge.train(training)
    before = {name: value.clone() for name, value in judge.state_dict().items()}
    found = sweep(judge, dataset, bank, Cleanser(**GRID))
    assert all(module.training == training for module in judge.modules())
    assert torch.equal(found.manual_loss, expected.manual_loss)
    assert all(torch.equal(value, before[name]) for name, value in judge.state_dict().items())
    assert not found.manual_loss.requires_grad


def test_empty_predictions():
    """Nothing predicted: nothing found, candidate empty; the loss is 0 against an empty label and 1 against another."""
    image = torch.full((2, 1, 16, 16), -200.0)
    label = torch.zeros(2, 1, 16, 16, dtype=torch.uint8)
    label[1, 0, 3:7, 3:7] = 1
    dataset = bank_of(image, label)
    found = sweep(WrittenNetwork(1), dataset, LabelBank(dataset), Cleanser(**GRID))
    assert not found.found.any() and not found.candidate().any() and not found.prediction().any()
    assert found.manual_loss[:, 0].tolist() == pytest.approx([0, 1], abs=1e-5)
    assert found.pseudo_loss[:, 0].tolist() == pytest.approx([0, 0], abs=1e-5)
    assert [int(area[1, 0]) for area in found.manual_areas] == [16, 0, 16, 0]


def test_candidates_are_post_processed():
    """A hole of one pixel is filled, a speck of two pixels dropped; the prediction itself keeps both."""
    predicted = disc(16, 6, 6, 4)
    whole = predicted.clone()
    predicted[6, 6], predicted[14, 13:15] = False, True
    dataset = bank_of(torch.where(predicted, 3.0, -3.0)[None, None], whole[None, None])
    found = sweep(WrittenNetwork(1), dataset, LabelBank(dataset), Cleanser("prediction", min_fraction=0.1))
    assert torch.equal(found.candidate()[0, 0].bool(), whole)
    assert torch.equal(found.prediction()[0, 0].bool(), predicted)


def test_without_a_cleanser_the_prediction_stands_in_and_the_rest_is_the_same(setting):
    network, dataset, bank = setting
    cleansed, plain = (sweep(network, dataset, bank, cleanser) for cleanser in (Cleanser(**GRID), None))
    assert torch.equal(plain.candidate(), plain.prediction())
    assert torch.equal(plain.found, plain.prediction().flatten(2).any(dim=2))
    assert not torch.equal(cleansed.candidate(), plain.candidate())
    for name in ("manual_loss", "pseudo_loss", "manual_areas", "pseudo_area", "packed_prediction"):
        one, other = getattr(cleansed, name), getattr(plain, name)
        assert all(map(torch.equal, one, other)) if isinstance(one, tuple) else torch.equal(one, other), name


def test_the_bank_is_not_written(setting):
    network, dataset, bank = setting
    before = {name: value.clone() for name, value in bank.named_buffers()}
    sweep(network, dataset, bank, Cleanser(**GRID))
    assert all(torch.equal(value, before[name]) for name, value in bank.named_buffers())


def test_results_are_on_the_cpu_with_the_stated_types(setting):
    found = sweep(*setting, Cleanser(**GRID))
    assert found.manual_loss.dtype == found.pseudo_loss.dtype == torch.float32
    assert all(area.dtype == torch.int64 and area.shape == (7, 2) for area in found.manual_areas)
    assert found.pseudo_area.dtype == torch.int64 and found.found.dtype == torch.bool
    assert found.packed_prediction.shape == found.packed_candidate.shape == (7, 2, 16, 2)


@pytest.mark.cuda
def test_cuda_equals_cpu(setting):
    network, dataset, bank = setting
    expected = sweep(network, dataset, bank, Cleanser(**GRID))
    for bank_device in ("cpu", "cuda"):
        found = sweep(network.cuda(), dataset, bank.to(bank_device), Cleanser(**GRID), device="cuda")
        torch.testing.assert_close(found.manual_loss, expected.manual_loss, atol=1e-3, rtol=0)
        torch.testing.assert_close(found.pseudo_loss, expected.pseudo_loss, atol=1e-3, rtol=0)
        assert (found.prediction() != expected.prediction()).float().mean() < 2e-3
        assert (found.candidate() != expected.candidate()).float().mean() < 5e-3
        assert torch.equal(found.pseudo_area, expected.pseudo_area)
        assert found.found.device.type == "cpu"
