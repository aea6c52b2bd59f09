# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from bundle.self_cleansing.filtering import (
    Fit,
    Verdicts,
    displacement_filter,
    doubts,
    fit_mixture,
    undecided,
    unsettled,
)


def verdicts_on(signed: np.ndarray, posterior: np.ndarray) -> Verdicts:
    """Labels with these signed displacements (N,), judged as one, and posteriors (N, K)."""
    values = np.stack([np.abs(signed), signed], axis=1)
    fit = Fit(values, np.ones(len(values), bool), fit_mixture(values, 2), (0,), "")
    return Verdicts(posterior > 0.5, posterior, np.zeros(posterior.shape, bool), (fit,))


def judged(groups: dict[float, int], unsure: int = 0, clean_px: float = 1.0) -> Verdicts:
    """One class; `groups` maps a signed displacement to a number of labels; the clean are less than `clean_px` off."""
    signed = np.repeat(list(groups), list(groups.values())) + np.random.default_rng(0).normal(
        0, 0.1, sum(groups.values())
    )
    posterior = (np.abs(signed) < clean_px).astype(float)
    posterior[:unsure] = 0.6
    return verdicts_on(signed, posterior[:, None])


def test_errors_on_both_sides_raise_no_doubt():
    assert doubts(judged({0: 50, 3: 25, -3: 25})) == ()


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ({0: 60, 3: 40}, "40% of the labels are larger than those believed and only 0% smaller: if the larger ones"),
        ({0: 50, -3: 45, 3: 5}, "45% of the labels are smaller than those believed and only 5% larger: if the smaller"),
    ],
)
def test_errors_on_one_side_do(groups, sentence):
    (doubt,) = doubts(judged(groups))
    assert doubt.startswith(sentence)


@pytest.mark.parametrize(("offset", "word"), [(0.6, "larger"), (-0.6, "smaller")])
def test_errors_below_a_pixel_count(offset, word):
    (doubt,) = doubts(judged({0: 60, offset: 40}, clean_px=0.3))
    assert doubt.startswith(f"40% of the labels are {word}")


@pytest.mark.parametrize(
    ("believed", "smaller", "sentence"),
    [
        (1.0, 1.3, "they scatter more than those believed (1.30 px beside 1.00), which speaks for the filter"),
        (1.0, 1.2, "both scatter alike (1.20 px beside 1.00), which does not say which are right"),
        (1.2, 1.0, "both scatter alike (1.00 px beside 1.20), which does not say which are right"),
        (1.3, 1.0, "they scatter less than those believed (1.00 px beside 1.30), which speaks against it"),
        (0.0, 0.0, "both scatter alike (0.00 px beside 0.00), which does not say which are right"),
    ],
)
def test_which_of_two_groups_is_right_is_told_by_how_much_they_scatter(believed, smaller, sentence):
    """Evenly spread labels have half of their range between the quartiles; a stray one hardly counts."""
    groups = [np.linspace(-width, width, 1001) + centre for width, centre in ((believed, 0.0), (smaller, -5.0))]
    signed = np.r_[groups[0], groups[1], [-40.0]]
    (doubt,) = doubts(verdicts_on(signed, np.repeat([[1.0], [0.0]], [1001, 1002], axis=0)))
    assert f"the filter believes the wrong ones; {sentence}" in doubt


def test_the_scatter_of_few_labels_says_little():
    """A ratio of 1.5 may be chance between 20 labels and 20 (2 x 1.17 x root of 1/10: a factor of 2.1), not of 200."""
    for number, words in ((20, "both scatter alike"), (200, "they scatter more")):
        signed = np.r_[np.linspace(-1, 1, number), np.linspace(-1.5, 1.5, number) - 5, [-40.0]]
        (doubt,) = doubts(verdicts_on(signed, np.repeat([[1.0], [0.0]], [number, number + 1], axis=0)))
        assert f"the filter believes the wrong ones; {words}" in doubt


def test_labels_that_were_clipped_do_not_count_as_alike():
    """Labels 5 to 9 px too large, clipped to 6 as the filter does."""
    rng = np.random.default_rng(0)
    signed = np.r_[rng.normal(0, 0.5, 600), rng.uniform(5, 9, 400)].clip(-6, 6)
    (doubt,) = doubts(verdicts_on(signed, np.repeat([[1.0], [0.0]], [600, 400], axis=0)))
    assert doubt.endswith("if the larger ones are right, the filter believes the wrong ones")


def test_labels_that_form_one_group_are_said_to():
    signed = np.random.default_rng(0).uniform(0, 4, 40)
    fit = Fit(np.stack([signed, signed], axis=1), np.ones(40, bool), fit_mixture(signed[:, None] * [1, 1], 1), (0,), "")
    one = Verdicts(np.ones((40, 1), bool), np.ones((40, 1)), np.zeros((40, 1), bool), (fit,))
    assert doubts(one) == ("the labels form one group, so none was left out for its outline",)


def test_a_quarter_on_the_other_side_is_enough():
    assert doubts(judged({0: 50, 3: 40, -3: 10})) == ()
    assert len(doubts(judged({0: 50, 3: 40, -3: 9}))) == 1


def test_larger_and_smaller_are_meant_beside_the_labels_believed():
    """The network draws 2 px too small, and the eroded labels lie on its boundary."""
    signed = np.r_[np.full(50, 2.0), np.full(40, 0.3), np.full(10, 4.0)] + np.random.default_rng(0).normal(0, 0.1, 100)
    (doubt,) = doubts(verdicts_on(signed[:90], np.repeat([[1.0], [0.0]], [50, 40], axis=0)))
    assert doubt.startswith("44% of the labels are smaller than those believed and only 0% larger")
    assert doubts(verdicts_on(signed, np.repeat([[1.0], [0.0]], [50, 50], axis=0))) == ()  # 40 and 10 are no one side


def test_nothing_believed_is_compared_with_the_prediction():
    (doubt,) = doubts(verdicts_on(np.linspace(1.0, 3.0, 50), np.zeros((50, 1))))
    assert doubt.startswith("100% of the labels are larger than predicted and only 0% smaller")


def test_labels_that_are_neither_larger_nor_smaller_are_on_neither_side():
    signed = np.r_[np.zeros(30), np.linspace(-0.5, 0.5, 70)]  # shifted labels have no sign
    assert doubts(verdicts_on(signed, np.repeat([[0.0], [1.0]], [30, 70], axis=0))) == ()


def test_a_class_that_a_rule_turned_down_does_not_hide_the_verdict_on_its_sample():
    found = judged({0.4: 81, 3: 19})
    assert doubts(found) == ()
    posterior = np.concatenate([np.zeros((100, 1)), found.posterior], axis=1)
    assert doubts(verdicts_on(found.fits[0].values[:, 1], posterior)) == ()


def test_a_few_one_sided_errors_do_not():
    assert doubts(judged({0: 81, 3: 19})) == ()
    assert len(doubts(judged({0: 80, 3: 20}))) == 1


def test_labels_without_a_clear_verdict_are_counted():
    assert doubts(judged({0: 50, 3: 25, -3: 25}, unsure=20)) == ()
    (doubt,) = doubts(judged({0: 50, 3: 25, -3: 25}, unsure=21))
    assert doubt.startswith("21% of the labels are neither clearly clean nor clearly noisy")


@pytest.mark.parametrize("sure", [0.05, 0.95])
def test_the_ends_of_unsure_are_sure(sure):
    signed = np.repeat([0.0, 3.0, -3.0], [50, 25, 25])
    posterior = np.repeat([[sure], [0.0]], [50, 50], axis=0)
    assert not any("neither" in doubt for doubt in doubts(verdicts_on(signed, posterior)))


def test_what_is_as_likely_clean_as_not_is_left_out():
    signed = np.repeat([0.0, 3.0], [60, 40])
    found = doubts(verdicts_on(signed, np.repeat([[1.0], [0.5]], [60, 40], axis=0)))
    assert found[0].startswith("40% of the labels are larger")


def test_labels_that_could_not_be_told_apart_are_doubted():
    nothing = np.zeros((0, 2), int)
    (doubt,) = doubts(displacement_filter(nothing, nothing, nothing, nothing))
    assert doubt.startswith("the labels could not be told apart (only 0 samples to compare, 24 needed)")


def test_labels_that_a_rule_judged_are_not_looked_at():
    found = judged({0: 50, 3: 25, -3: 25})
    fit = found.fits[0]
    looked_at = np.abs(fit.values[:, 1]) < 2  # of those that are left out, only these were compared
    judged_by_rule = Fit(fit.values, looked_at | (fit.values[:, 1] < -2), fit.mixture, fit.clean_group, "")
    (doubt,) = doubts(Verdicts(found.clean, found.posterior, found.by_rule, (judged_by_rule,)))
    assert doubt.startswith("33% of the labels are smaller")


def test_classes_are_doubted_one_by_one():
    one_sided, even = judged({0: 50, 3: 50}), judged({0: 50, 3: 25, -3: 25})
    both = Verdicts(
        *(
            np.concatenate([getattr(v, name) for v in (even, one_sided)], axis=1)
            for name in ("clean", "posterior", "by_rule")
        ),
        (*even.fits, *one_sided.fits),
    )
    assert doubts(both) == doubts(one_sided) != ()


def test_a_filter_that_could_not_tell_in_between():
    assert undecided(0, 13) == ()
    assert undecided(6, 13) == ("the filter could not tell at 6 of 13 updates, and kept the verdicts it had",)


def test_a_training_that_still_changes_its_mind():
    assert unsettled(0.1) == ()
    assert unsettled(0.101) == ("10% of the verdicts changed at the last update: the training has not settled",)
