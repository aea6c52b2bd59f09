# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from bundle.self_cleansing.filtering import Fit, Verdicts, displacement_filter, doubts, fit_mixture, unsettled


def judged(groups: dict[float, int], unsure: int = 0) -> Verdicts:
    """One class; `groups` maps a signed displacement to a number of labels, those within 1 px of zero are clean."""
    signed = np.repeat(list(groups), list(groups.values())) + np.random.default_rng(0).normal(
        0, 0.1, sum(groups.values())
    )
    posterior = (np.abs(signed) < 1).astype(float)
    posterior[:unsure] = 0.6
    values = np.stack([np.abs(signed), signed], axis=1)
    fit = Fit(values, np.ones(len(values), bool), fit_mixture(values, 2), 0, "")
    posterior = posterior[:, None]
    return Verdicts(posterior > 0.5, posterior, np.zeros(posterior.shape, bool), (fit,))


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


def test_a_few_one_sided_errors_do_not():
    assert doubts(judged({0: 81, 3: 19})) == ()
    assert len(doubts(judged({0: 80, 3: 20}))) == 1


def test_labels_without_a_clear_verdict_are_counted():
    assert doubts(judged({0: 50, 3: 25, -3: 25}, unsure=20)) == ()
    (doubt,) = doubts(judged({0: 50, 3: 25, -3: 25}, unsure=21))
    assert doubt.startswith("21% of the labels are neither clearly clean nor clearly noisy")


def test_what_no_mixture_judged_is_not_doubted():
    nothing = np.zeros((0, 2), int)
    assert doubts(displacement_filter(nothing, nothing, nothing, nothing)) == ()


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


def test_a_training_that_still_changes_its_mind():
    assert unsettled(0.1) == ()
    assert unsettled(0.101) == ("10% of the verdicts changed at the last update: the training has not settled",)
