# SPDX-License-Identifier: Apache-2.0
"""What the methods do to the label bank between epochs, on networks that answer with what is written in the image."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from tiny import bank_of
from torch import nn

from bundle.self_cleansing.filtering import Provenance
from bundle.self_cleansing.handlers import History
from bundle.self_cleansing.label_bank import LabelBank
from bundle.self_cleansing.losses import LabelSchedule
from bundle.self_cleansing.methods import (
    CoSegCorrection,
    CoTraining,
    EstimatePixelNoise,
    ExportQuality,
    FlagByConfidentJoint,
    ForgetRate,
    SuperpixelLoss,
    SuperpixelRefinement,
    SwappedBanks,
)
from bundle.self_cleansing.methods.confident_joint import confident_joint, flag_label_errors, label_histograms
from bundle.self_cleansing.methods.superpixels import superpixel_mean

SIZE = 16


class WrittenPeers(nn.Module):
    """The logits of two networks are the image's channels, (B, 2 K, H, W); wrong in train mode."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return image.unflatten(1, (2, -1)) * (-1 if self.training else 1)


class WrittenTeachers(WrittenPeers):
    """Sample by sample, the answer of the other half's teacher."""

    def __init__(self, in_second_half: torch.Tensor) -> None:
        super().__init__()
        self.in_second_half = in_second_half

    def out_of_sample(self, image: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        return self(image)[torch.arange(len(index)), (~self.in_second_half[index]).long()]


def data(samples: int = 8, classes: int = 2, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(samples, 2 * classes, SIZE, SIZE, generator=generator)
    labels = torch.rand(samples, classes, SIZE, SIZE, generator=generator) > 0.5
    dataset = bank_of(logits, labels, (samples // 2, samples - samples // 2))
    return dataset, LabelBank(dataset), logits.unflatten(1, (2, classes))


def test_co_seg_corrects_where_both_agree_in_the_least_plausible_images():
    dataset, bank, logits = data()
    rate = ForgetRate(0.25)
    correction = CoSegCorrection(SimpleNamespace(module=WrittenPeers().train()), dataset, bank, rate, batch_size=3)
    changed = correction()
    score = torch.zeros(8)
    for image in range(8):
        for peer in range(2):
            p = torch.sigmoid(logits[image, peer].double())
            right = torch.where(dataset.labels[image] == 1, p, 1 - p)
            score[image] += -right.log().mean() / 2
    worst = set(score.argsort(descending=True)[:2].tolist())
    expected = dataset.labels.clone()
    for image in worst:
        for at in torch.nonzero(expected[image] >= 0).tolist():
            first, second = (bool(logits[image, peer][tuple(at)] > 0) for peer in range(2))
            if first == second:
                expected[(image, *at)] = first
    assert torch.equal(bank.pseudo_label(), expected)
    assert torch.equal(changed, (expected != dataset.labels).flatten(2).any(dim=2))
    assert set(torch.nonzero(changed.any(dim=1)).flatten().tolist()) == worst
    torch.testing.assert_close(correction.scores(), score)


def test_co_seg_estimates_the_share_of_images_with_high_scores():
    dataset, bank, _ = data(samples=40)
    good = dataset.labels.float().mul(8).sub(4)
    images = torch.cat([good, good], dim=1)
    images[:12] = -images[:12]  # both networks contradict 12 of 40 labels
    images += 0.1 * torch.randn(images.shape, generator=torch.Generator().manual_seed(2))
    dataset = bank_of(images, dataset.labels.bool(), (20, 20))
    correction = CoSegCorrection(SimpleNamespace(module=WrittenPeers()), dataset, LabelBank(dataset), ForgetRate(None))
    assert correction.estimate() == pytest.approx(0.3, abs=0.01)


def test_confident_learning_flags_each_half_by_itself_with_the_other_teacher():
    dataset, bank, logits = data(samples=10, seed=4)
    half = torch.tensor([0, 0, 0, 1, 1, 1, 1, 0, 1, 0], dtype=torch.bool)
    teachers = WrittenTeachers(half)
    flag = FlagByConfidentJoint(SimpleNamespace(module=teachers), dataset, bank, batch_size=4)
    changed = flag()
    expected = torch.zeros_like(dataset.labels, dtype=torch.bool)
    for value in (False, True):
        chosen = half == value
        probs, label = torch.sigmoid(logits[chosen, int(not value)]), dataset.labels[chosen]
        expected[chosen] = flag_label_errors(probs, label, confident_joint(label_histograms(probs, label)).cut)
    assert expected.any() and not expected.all()
    assert torch.equal(bank.pseudo_label().bool(), dataset.labels.bool() ^ expected)
    assert torch.equal(changed, expected.flatten(2).any(dim=2))
    assert teachers.training  # left in the mode it was in


def test_the_pixel_noise_of_a_confident_pair_is_what_it_contradicts():
    dataset, _, _ = data(samples=20)
    label = dataset.labels.bool()
    wrong = (
        torch.rand(label.shape, generator=torch.Generator().manual_seed(3)) < torch.tensor([0.1, 0.3])[:, None, None]
    )
    truth = (label ^ wrong).float().mul(12).sub(6)
    dataset = bank_of(torch.cat([truth, truth], dim=1), label, (10, 10))
    found = EstimatePixelNoise(SimpleNamespace(module=WrittenPeers()), dataset, batch_size=7)()
    for k in range(2):
        for value in range(2):
            chosen = label[:, k] == bool(value)
            assert float(found[k, value]) == pytest.approx(float(wrong[:, k][chosen].float().mean()), abs=0.005)


def refinement(folder, rate=0.2, patience=2, **options):
    dataset, bank, logits = data(samples=6, seed=7)
    generator = torch.Generator().manual_seed(8)
    superpixels = torch.randint(1, 30, (6, SIZE, SIZE), generator=generator, dtype=torch.int16)
    schedule = LabelSchedule(99, 99)
    loss = SuperpixelLoss(ForgetRate(torch.full((2, 2), rate), ramp_epochs=3), schedule)
    averaged = SimpleNamespace(module=WrittenPeers())
    history = History(folder / "history.csv")
    handler = SuperpixelRefinement(
        averaged, loss, dataset, bank, superpixels, schedule, history, patience=patience, batch_size=4, **options
    )
    return handler, dataset, bank, logits, superpixels


def end_epoch(handler, epoch: int, gap: float) -> None:
    handler.loss.gap += torch.tensor([gap * 5, 5.0], dtype=torch.float64)  # five batches
    handler(SimpleNamespace(state=SimpleNamespace(epoch=epoch)))


@pytest.mark.parametrize(
    ("gaps", "refined_at"),
    [
        ([9, 8, 7, 1, 0.9, 0.8], 6),  # the first three, while the rate rises, do not count, however large
        ([9, 8, 7, 1, 2, 3, 2, 1], 8),
        ([9, 8, 7, 4, 3, 5, 4, 6], None),
    ],
)
def test_labels_are_refined_once_the_gap_stops_growing(gaps, refined_at, tmp_path):
    handler, dataset, bank, *_ = refinement(tmp_path)
    when = []
    for epoch, gap in enumerate(gaps, 1):
        end_epoch(handler, epoch, gap)
        if handler.refinements and not when:
            when.append(epoch)
            assert handler.schedule(epoch) == (0.0, 1.0) and handler.schedule(epoch - 1) == (1.0, 0.0)
    assert (when[0] if when else None) == refined_at
    assert handler.refinements == len(when)
    assert bool(bank.is_set.all()) == bool(when)
    assert handler.loss.gap.tolist() == [0.0, 0.0]


def test_refinement_against_sorting_all_pixels(tmp_path):
    handler, dataset, bank, logits, superpixels = refinement(tmp_path)
    handler.refine(4)
    mean = superpixel_mean(torch.sigmoid(logits).mean(dim=1), superpixels).double()
    refined = bank.pseudo_label()
    for k in range(2):
        for value in (0, 1):
            chosen = dataset.labels[:, k] == value
            contrary = mean[:, k][chosen] if value == 0 else 1 - mean[:, k][chosen]
            flipped = refined[:, k][chosen] != value
            limit = max(contrary.sort(descending=True).values[int(0.2 * chosen.sum()) - 1].item(), 0.5)
            near = (contrary - limit).abs() < 1e-4  # the levels of 16 bits
            assert torch.equal(flipped[~near], (contrary > limit)[~near])
            assert 0 < flipped.sum() <= 0.2 * chosen.sum()
    # remember 0.8 may grow by a tenth up to the limits 0.95 (background) and 0.90 (foreground)
    torch.testing.assert_close(handler.loss.forget_rate.rate, torch.tensor([[0.12, 0.12], [0.12, 0.12]]))
    assert set(bank.provenance.unique().tolist()) <= {int(Provenance.MANUAL), int(Provenance.RENEWED)}


def test_what_the_refinement_remembers_survives_a_checkpoint(tmp_path):
    handler, *_ = refinement(tmp_path)
    for epoch, gap in enumerate([1.0, 2.0, 3.0, 2.5, 2.4], 1):
        end_epoch(handler, epoch, gap)
    other, *_ = refinement(tmp_path)
    other.load_state_dict(handler.state_dict())
    for one in (handler, other):
        end_epoch(one, 6, 2.3)
        assert one.refinements == 1


def test_banks_are_swapped():
    dataset, first, _ = data()
    second = LabelBank(dataset)
    generator = torch.Generator().manual_seed(1)
    masks = [torch.rand(8, 2, SIZE, SIZE, generator=generator) > 0.5 for _ in range(2)]
    for bank, mask in zip((first, second), masks, strict=True):
        bank.write(slice(None), mask, torch.ones(8, 2, dtype=torch.bool))
    first.takes_part[3] = False
    swapped = SwappedBanks(first, second)
    index = torch.tensor([5, 3])
    label = swapped.pseudo_label(index)
    assert torch.equal(label[:, :2].bool(), masks[1][index]) and torch.equal(label[:, 2:].bool(), masks[0][index])
    assert swapped.takes_part[3].tolist() == [True, True, False, False]
    assert swapped.is_set.shape == (8, 4)


def test_disagreement_is_logged_after_the_warm_up(tmp_path):
    dataset, first, _ = data()
    second = LabelBank(dataset)
    second.provenance[:2] = int(Provenance.REJECTED)
    history = History(tmp_path / "history.csv")
    parts = [SimpleNamespace(label_bank=bank, schedule=LabelSchedule(3, 3)) for bank in (first, second)]
    handler = CoTraining(first=parts[0], second=parts[1], history=history)
    logged = []
    history.log = lambda **numbers: logged.append(numbers)
    for epoch in (2, 3):
        handler(SimpleNamespace(state=SimpleNamespace(epoch=epoch)))
    assert logged == [{"peers_disagree": 0.25}]


def test_co_training_needs_its_filters(tmp_path):
    with pytest.raises(ValueError, match="leave filter_and_cleanse true"):
        CoTraining(second=SimpleNamespace(), history=History(tmp_path / "history.csv"))


class LabelArea(nn.Module):
    def forward(self, image: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return label.sum(dim=(1, 2, 3)) - image.sum(dim=(1, 2, 3)).round()


def test_quality_scores_rank_the_samples(tmp_path):
    dataset, *_ = data()
    averaged = SimpleNamespace(module=SimpleNamespace(quality=LabelArea()))
    ExportQuality(tmp_path / "quality.csv", averaged, dataset, batch_size=3)(None)
    header, *rows = [line.split(",") for line in (tmp_path / "quality.csv").read_text().splitlines()]
    assert header == ["sample", "score"]
    expected = {
        name: float(dataset.labels[row].sum() - dataset.images[row].sum().round())
        for row, name in enumerate(dataset.sample_ids)
    }
    assert {name: float(score) for name, score in rows} == pytest.approx(expected)
    assert [float(score) for _, score in rows] == sorted(expected.values(), reverse=True)
