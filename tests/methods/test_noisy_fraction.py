# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ignite.engine import Engine

from bundle.self_cleansing.handlers import History
from bundle.self_cleansing.methods import EstimateNoise, ForgetRate, image_noise, pixel_noise
from bundle.self_cleansing.methods.confident_joint import confident_joint, label_histograms
from bundle.self_cleansing.methods.noise_estimate import share_of_high
from bundle.self_cleansing.methods.noisy_fraction import wrong_pixels

NAMES = ["one", "two"]
LABELS = torch.zeros(2, 2, 8, 8, dtype=torch.uint8)


def test_wrong_pixels_against_counting_by_hand():
    label = torch.zeros(300, 2, 4, 4, dtype=torch.uint8)  # more than one block
    clean = label.clone()
    label[:, 0, 0] = 1  # 4 of 16 pixels are foreground, 1 of them wrongly
    clean[:, 0, 0, :3] = 1
    clean[::2, 0, 3, 3] = 1  # in half of the images one of the 12 background pixels is wrong
    expected = torch.tensor([[0.5 / 12, 0.25], [0.0, 0.0]])
    torch.testing.assert_close(wrong_pixels(label, clean), expected)


def test_image_noise_is_the_share_of_images_with_any_wrong_label():
    identical = torch.tensor([[True, True], [True, False], [False, False], [True, True]])
    audit = SimpleNamespace(identical=identical)
    assert image_noise("oracle", audit) == 0.5
    assert image_noise(0.3, None) == 0.3
    assert image_noise("auto", audit) is None


@pytest.mark.parametrize("setting", [1.0, -0.1, "much", True, None])
def test_a_fraction_is_a_number_below_one(setting):
    with pytest.raises(ValueError, match=r"noisy_image_fraction must be a fraction in \[0, 1\)"):
        image_noise(setting, None)
    with pytest.raises(ValueError, match=r"noisy_pixel_fraction must be a fraction in \[0, 1\)"):
        pixel_noise(setting, None, LABELS, NAMES)


def test_an_oracle_needs_the_truth():
    with pytest.raises(ValueError, match="on real data give a number or 'auto'"):
        image_noise("oracle", None)
    with pytest.raises(ValueError, match="on real data give a number or 'auto'"):
        pixel_noise("oracle", None, LABELS, NAMES)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (0.1, [[0.1, 0.1], [0.1, 0.1]]),
        ({"background": 0.1, "foreground": 0.2}, [[0.1, 0.2], [0.1, 0.2]]),
        (
            {"one": {"background": 0.1, "foreground": 0.2}, "two": {"background": 0.3, "foreground": 0.4}},
            [[0.1, 0.2], [0.3, 0.4]],
        ),
    ],
)
def test_pixel_noise_is_given_for_all_or_each(setting, expected):
    torch.testing.assert_close(pixel_noise(setting, None, LABELS, NAMES), torch.tensor(expected))


@pytest.mark.parametrize("setting", [{"background": 0.1}, {"one": {"background": 0.1, "foreground": 0.2}}, {}])
def test_a_mapping_that_leaves_something_out_is_refused(setting):
    with pytest.raises(
        ValueError, match="must give background and foreground, for all classes or for each of one, two"
    ):
        pixel_noise(setting, None, LABELS, NAMES)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7])
def test_the_share_of_high_scores_is_found(share):
    rng = np.random.default_rng(0)
    count = int(600 * share)
    scores = np.exp(np.concatenate([rng.normal(0, 0.3, count), rng.normal(-3, 0.4, 600 - count)]))
    assert share_of_high(scores) == pytest.approx(share, abs=0.02)


def test_a_few_images_that_show_nothing_do_not_make_all_others_noisy():
    """Clean data: scores of one kind, and a few far lower ones, of slices in which hardly anything is labelled."""
    rng = np.random.default_rng(1)
    assert share_of_high(np.exp(np.concatenate([rng.normal(-3.7, 0.5, 970), rng.normal(-7.5, 0.6, 30)]))) == 0


@pytest.mark.parametrize("shape", [0.5, 2.0, 20.0])
def test_a_skewed_group_is_one_group(shape):
    assert share_of_high(np.random.default_rng(2).gamma(shape, size=2000)) == 0


def test_one_group_of_scores_has_no_high_ones():
    assert share_of_high(np.exp(np.random.default_rng(0).normal(0, 1, 500))) == 0
    assert share_of_high(np.full(500, 0.3)) == 0
    assert share_of_high([0.1, 5.0]) == 0  # too few to tell


def test_a_known_rate_rises_from_the_beginning():
    rate = ForgetRate(torch.tensor([0.2, 0.4]), ramp_epochs=4)
    torch.testing.assert_close(rate.at(0), torch.zeros(2))
    torch.testing.assert_close(rate.at(1), torch.tensor([0.05, 0.1]))
    torch.testing.assert_close(rate.at(9), torch.tensor([0.2, 0.4]))


def test_an_unknown_rate_rises_once_it_is_learnt_and_survives_a_checkpoint():
    rate = ForgetRate(None, (2,), ramp_epochs=2)
    assert not rate.is_known and torch.equal(rate.at(100), torch.zeros(2))
    rate.learn(torch.tensor([0.2, 0.4]), epoch=10)
    other = ForgetRate(None, (2,), ramp_epochs=2)
    other.load_state_dict(rate.state_dict())
    for epoch, share in ((10, 0.0), (11, 0.5), (12, 1.0), (20, 1.0)):
        torch.testing.assert_close(other.at(epoch), share * torch.tensor([0.2, 0.4]))


@pytest.mark.parametrize("known", [None, 0.3])
def test_estimation_happens_once_and_never_overrides_a_known_rate(known, tmp_path):
    rate, calls = ForgetRate(known), []
    engine = Engine(lambda engine, _: {"loss": torch.zeros(())})
    history = History(tmp_path / "h.csv")
    EstimateNoise(rate, lambda: calls.append(engine.state.epoch) or 0.1, 2, 4, history).attach(engine)
    engine.run([0], max_epochs=4)
    assert calls == ([2] if known is None else [])
    assert float(rate.rate) == pytest.approx(0.1 if known is None else 0.3)


@pytest.mark.parametrize(
    ("known", "at_epoch", "refused"),
    [(None, 4, True), (None, 3, False), (0.3, 4, False), (None, 0, True), (0.3, 0, False)],
)
def test_an_estimate_that_would_come_too_late_or_of_nothing_is_refused_before_training(
    known, at_epoch, refused, tmp_path
):
    trained = []
    engine = Engine(lambda engine, _: trained.append(engine.state.epoch))
    EstimateNoise(ForgetRate(known), lambda: 0.1, at_epoch, 4, History(tmp_path / "h.csv")).attach(engine)
    if refused:
        with pytest.raises(
            ValueError, match=rf"after {at_epoch} epochs \(warmup_epochs\), but is needed in a stage of 4"
        ):
            engine.run([0], max_epochs=4)
    else:
        engine.run([0], max_epochs=4)
    assert bool(trained) != refused


def test_what_a_run_was_told_is_in_its_settings():
    """A checkpoint's settings hold the loss as text: a run told another fraction must not resume."""
    shown = {repr(ForgetRate(known)) for known in (None, 0.1, 0.4, torch.tensor([0.1, 0.4]))}
    assert len(shown) == 4


def test_the_confident_joint_does_not_see_the_rim_of_grown_labels():
    """A known limit of 'auto': 40 % of the foreground is rim, which the network finds less sure than the core."""

    def around(logit: float, count: int) -> torch.Tensor:
        return torch.sigmoid(logit + 0.3 * torch.randn(count, generator=generator))

    generator = torch.Generator().manual_seed(0)
    probs = torch.cat([around(-4.0, 20000), around(3.5, 6000), around(1.0, 4000)])
    label = (torch.arange(len(probs)) >= 20000).float()
    errors = confident_joint(label_histograms(probs[None, None, None], label[None, None, None])).errors
    assert errors[0, 1] < 0.001 * 10000
