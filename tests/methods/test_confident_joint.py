# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from cleanlab.count import compute_confident_joint, get_confident_thresholds
from cleanlab.filter import find_label_issues

from bundle.self_cleansing.methods.confident_joint import (
    LEVELS,
    ConfidentJoint,
    confident_joint,
    flag_label_errors,
    label_histograms,
    quantise,
)


def image(values: np.ndarray) -> torch.Tensor:
    """Pixels (n,) as a batch of one class, (n, 1, 1, 1)."""
    return torch.from_numpy(np.asarray(values))[:, None, None, None]


def probs_of(level: np.ndarray) -> torch.Tensor:
    return image(level / (LEVELS - 1)).float()


def both_passes(level: np.ndarray, label: np.ndarray) -> tuple[ConfidentJoint, np.ndarray]:
    """The estimates and the flags (n,) of pixels of one class."""
    found = confident_joint(label_histograms(probs_of(level), image(label)))
    return found, flag_label_errors(probs_of(level), image(label), found.cut).flatten().numpy()


def by_cleanlab(level: np.ndarray, label: np.ndarray) -> np.ndarray:
    probs = np.stack([LEVELS - 1 - level, level], axis=1) / (LEVELS - 1)
    return find_label_issues(label, probs, filter_by="both", n_jobs=1)


def own_level(level: np.ndarray, label: np.ndarray) -> np.ndarray:
    return np.where(label == 1, level, LEVELS - 1 - level)


def simulate(rng, foreground: float, wrong_0: float, wrong_1: float, sharpness: float, n: int = 60_000):
    """Pixels with noisy labels, and a prediction that knows the true label more or less. Levels and labels (n,)."""
    true = rng.random(n) < foreground
    label = np.where(true, rng.random(n) >= wrong_1, rng.random(n) < wrong_0).astype(int)
    logits = sharpness * (2 * true - 1 + rng.normal(size=n))
    return np.rint((LEVELS - 1) / (1 + np.exp(-logits))).astype(int), label


def without_ties(rng, level: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Move levels to the next free one, so that no two pixels of a label share one."""
    moved = level.copy()
    for value in (0, 1):
        where = np.flatnonzero(label == value)
        order = where[np.argsort(level[where], kind="stable")]
        free = np.sort(rng.choice(LEVELS, len(order), replace=False))
        moved[order] = free
    return moved


NOISE = [  # foreground, wrong labels on true background, on true foreground, sharpness of the prediction
    (0.5, 0.1, 0.1, 2),
    (0.1, 0.02, 0.3, 2),
    (0.05, 0.05, 0.0, 1),
    (0.9, 0.4, 0.1, 3),
    (0.3, 0.0, 0.0, 2),
    (0.2, 0.05, 0.2, 12),  # saturated: many pixels at exactly 0 and 1
]


def assert_estimates_are_those_of_cleanlab(level: np.ndarray, label: np.ndarray) -> None:
    found = confident_joint(label_histograms(probs_of(level), image(label)))
    probs = np.stack([LEVELS - 1 - level, level], axis=1) / (LEVELS - 1)
    np.testing.assert_allclose(found.thresholds[0], get_confident_thresholds(label, probs), rtol=1e-12)
    np.testing.assert_array_equal(found.joint[0], compute_confident_joint(label, probs, calibrate=False))
    calibrated = compute_confident_joint(label, probs)
    np.testing.assert_array_equal(found.errors[0], [calibrated[0, 1], calibrated[1, 0]])


@pytest.mark.parametrize("noise", NOISE)
def test_estimates_are_those_of_cleanlab(noise):
    assert_estimates_are_those_of_cleanlab(*simulate(np.random.default_rng(1), *noise))


@pytest.mark.parametrize("level", [0, 12345, LEVELS // 2, LEVELS // 2 + 1, LEVELS - 1])
def test_a_constant_prediction_is_judged_as_cleanlab_does(level):
    """Both thresholds are the probabilities themselves; 1/2 counts as label 0, probability 0 is never confident."""
    assert_estimates_are_those_of_cleanlab(np.full(900, level), np.repeat([0, 1], [600, 300]))


def test_a_probability_just_below_the_threshold_reaches_it_as_in_cleanlab():
    """t_1 lies 0.03 levels above 40000, which is 5e-7."""
    level = np.repeat([40_000, 40_003, 100], [99, 1, 100])
    assert_estimates_are_those_of_cleanlab(level, np.repeat([1, 0], [100, 100]))


@pytest.mark.parametrize("noise", NOISE)
def test_flags_without_ties_are_those_of_cleanlab(noise):
    rng = np.random.default_rng(2)
    level, label = simulate(rng, *noise)
    level = without_ties(rng, level, label)
    _, flagged = both_passes(level, label)
    np.testing.assert_array_equal(flagged, by_cleanlab(level, label))
    assert flagged.sum() > 100


@pytest.mark.parametrize("noise", NOISE)
def test_flags_with_ties_differ_from_cleanlab_at_the_cut_only(noise):
    """There cleanlab takes as many as fit, in the order of its sort; we take none."""
    level, label = simulate(np.random.default_rng(3), *noise)
    estimate, flagged = both_passes(level, label)
    other = by_cleanlab(level, label)
    at_cut = own_level(level, label) == estimate.cut[0].numpy()[label]
    np.testing.assert_array_equal(flagged[~at_cut], other[~at_cut])
    assert not flagged[at_cut].any()
    for value in (0, 1):
        tied = int((at_cut & (label == value)).sum())
        missed = int(estimate.errors[0, value] - flagged[label == value].sum())
        assert missed >= 0
        if 0 < estimate.cut[0, value] < LEVELS // 2:
            assert missed < tied  # one more level would have been too much


def test_saturated_wrong_pixels_are_flagged_although_they_tie():
    label = np.repeat([0, 0, 1, 1], [900, 100, 800, 200])
    level = np.repeat([0, LEVELS - 1, LEVELS - 1, 0], [900, 100, 800, 200])
    found, flagged = both_passes(level, label)
    assert found.joint.tolist() == [[[900, 100], [200, 800]]]
    assert found.errors.tolist() == [[100, 200]]
    np.testing.assert_array_equal(flagged, np.repeat([0, 1, 0, 1], [900, 100, 800, 200]))


def test_by_hand():
    """Ten pixels, probabilities in tenths.

    Label 1: .9 .8 .8 .2 .3, t_1 = .6. Label 0: p_0 = .9 .9 .8 .4 .9, t_0 = .78. Label 1: .9 .8 .8 count as 1; .2 has
    p_0 = .8, counts as 0; .3 counts as nothing. So C_1 = (1, 3), scaled to five pixels 1.25 errors: one, the pixel of
    .2. Label 0: .9 .9 .8 .9 count as 0, p_1 = .6 reaches t_1: C_0 = (4, 1), one error, the pixel of p_0 = .4.
    """
    foreground = torch.tensor([0.9, 0.8, 0.8, 0.2, 0.3, 0.1, 0.1, 0.2, 0.6, 0.1])[None, None, None]
    # A little more, so that rounding to levels does not decide whether .6 reaches the mean .6.
    foreground[..., 8] += 3e-5
    label = torch.tensor([1, 1, 1, 1, 1, 0, 0, 0, 0, 0])[None, None, None]
    found = confident_joint(label_histograms(foreground, label))
    torch.testing.assert_close(found.thresholds, torch.tensor([[0.78, 0.6]]).double(), atol=2e-5, rtol=0)
    assert found.joint.tolist() == [[[4, 1], [1, 3]]]
    assert found.errors.tolist() == [[1, 1]]
    assert flag_label_errors(foreground, label, found.cut).flatten().nonzero().flatten().tolist() == [3, 8]


def test_batches_add_up_and_classes_are_independent():
    """Two classes in five uneven batches say what each class says by itself in one."""
    rng = np.random.default_rng(4)
    drawn = [simulate(rng, *NOISE[index], n=5_000) for index in (0, 1)]
    probs = torch.stack([probs_of(level).reshape(50, 10, 10) for level, _ in drawn], dim=1)
    label = torch.stack([image(label).reshape(50, 10, 10) for _, label in drawn], dim=1)
    parts = torch.arange(50).split([1, 0, 20, 7, 22])
    found = confident_joint(sum(label_histograms(probs[part], label[part].to(torch.uint8)) for part in parts))
    flagged = torch.cat([flag_label_errors(probs[part], label[part].float(), found.cut) for part in parts])
    for k, (level, given) in enumerate(drawn):
        alone, flagged_alone = both_passes(level, given)
        for whole, one in zip(found, alone, strict=True):
            assert torch.equal(whole[k], one[0])
        np.testing.assert_array_equal(flagged[:, k].flatten(), flagged_alone)
        assert flagged_alone.any()


@pytest.mark.parametrize("given", [0, 1])
def test_a_class_with_one_label_only_has_no_errors(given):
    level = np.random.default_rng(5).integers(0, LEVELS, 1000)
    found, flagged = both_passes(level, np.full(1000, given))
    assert found.errors.tolist() == [[0, 0]]
    assert found.thresholds[0, 1 - given] == 2
    assert not flagged.any()


def test_without_pixels_nothing_is_flagged():
    none = torch.zeros(0, 2, 4, 4)
    found = confident_joint(label_histograms(none, none))
    assert found.errors.tolist() == [[0, 0], [0, 0]]
    assert flag_label_errors(none, none, found.cut).shape == (0, 2, 4, 4)


@pytest.mark.parametrize("given", [0, 1])
@pytest.mark.parametrize("contradicted", [1, 2, 5])
def test_one_pixel_of_each_label_stays(contradicted, given):
    """The prediction contradicts all pixels of one label, and confirms those of the other."""
    level = np.array([10, 20, 30, 40, 50][:contradicted] + [100] * 50 + [200] * 50)
    label = np.array([1] * contradicted + [0] * 100)
    if given == 0:
        level, label = LEVELS - 1 - level, 1 - label
    found, flagged = both_passes(level, label)
    assert found.errors[0, given] == contradicted - 1
    assert flagged.nonzero()[0].tolist() == list(range(contradicted - 1))


def test_one_half_is_a_level_and_never_flagged():
    assert quantise(torch.tensor([0.0, 0.5, 1.0])).tolist() == [0, (LEVELS - 1) // 2, LEVELS - 1]
    cut = confident_joint(torch.randint(0, 9, (1, 2, LEVELS), generator=torch.Generator().manual_seed(0))).cut
    half = torch.full((1, 1, 1, 2), 0.5)
    assert not flag_label_errors(half, torch.tensor([0, 1])[None, None, None], cut).any()


def test_exchanging_the_labels_mirrors_everything():
    level, label = simulate(np.random.default_rng(6), *NOISE[1], n=20_000)
    (one, flagged), (other, mirrored) = both_passes(level, label), both_passes(LEVELS - 1 - level, 1 - label)
    assert torch.equal(one.cut, other.cut.flip(-1))
    np.testing.assert_array_equal(flagged, mirrored)


@pytest.mark.parametrize("value", [-0.1, 1.5, float("nan")])
def test_probabilities_outside_are_refused(value):
    probs = torch.full((1, 1, 2, 2), 0.5)
    probs[0, 0, 1, 1] = value
    with pytest.raises(ValueError, match=f"{value:g}.*sigmoid"):
        label_histograms(probs, torch.zeros(1, 1, 2, 2))


def test_bad_arguments_are_refused():
    probs = torch.full((1, 1, 2, 2), 0.5)
    with pytest.raises(ValueError, match=r"\[3\].*binary"):
        label_histograms(probs, torch.full((1, 1, 2, 2), 3))
    with pytest.raises(ValueError, match=r"\(1, 1, 2, 2\), \(1, 2, 2\)"):
        label_histograms(probs, torch.zeros(1, 2, 2))
    with pytest.raises(ValueError, match=r"\(1, 2, 7\)"):
        confident_joint(torch.zeros(1, 2, 7))
    with pytest.raises(ValueError, match=r"\(1, 2\), got \(2, 2\)"):
        flag_label_errors(probs, torch.zeros(1, 1, 2, 2), torch.zeros(2, 2))
