# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from types import SimpleNamespace

import pytest
from ignite.engine import Engine, Events

from bundle.self_cleansing.handlers import Attach, EarlyStopping


def train(best_epochs: dict[int, int], patience: int | None, start=0, interval=1, **more) -> tuple[int, list[int]]:
    """Train up to 8 epochs from `start`; after epoch e the best one is `best_epochs[e]`. Returns the last epoch, and
    the epochs at which the end of training was announced."""
    best = SimpleNamespace(best_epoch=best_epochs.get(start, 0), interval=interval)
    engine, ended = Engine(lambda engine, _: None), []
    engine.add_event_handler(Events.STARTED, lambda engine: setattr(engine.state, "epoch", start))
    engine.add_event_handler(
        Events.EPOCH_COMPLETED, lambda engine: setattr(best, "best_epoch", best_epochs[engine.state.epoch])
    )
    EarlyStopping(best, patience, **more).attach(engine)
    engine.add_event_handler(Events.COMPLETED, lambda engine: ended.append(engine.state.epoch))
    engine.run([0], max_epochs=8)
    return engine.state.epoch, ended


RISING_TO_3 = {epoch: min(epoch, 3) for epoch in range(1, 9)}


@pytest.mark.parametrize(("patience", "last"), [(1, 4), (2, 5), (4, 7), (5, 8), (9, 8), (None, 8)])
def test_training_ends_when_patience_does(patience, last):
    """What is attached to the end of a training (the last model, the figure) runs also if it ends early."""
    assert train(RISING_TO_3, patience) == (last, [last])


@pytest.mark.parametrize(("interval", "patience"), [(2, 1), (4, 1), (3, 5)])
def test_validations_are_counted_not_epochs(interval, patience):
    """A metric that improves with every validation never stops a training, however rare they are."""
    always = {epoch: epoch // interval * interval for epoch in range(1, 9)}
    assert train(always, patience, interval=interval)[0] == 8
    once = {epoch: interval if epoch >= interval else 0 for epoch in range(1, 9)}
    assert train(once, patience, interval=interval)[0] == min(8, interval * (1 + patience))


def test_the_first_stage_of_two_is_not_stopped():
    assert train(RISING_TO_3, 2, after_epoch=6)[0] == 7


def test_a_stopped_run_that_is_resumed_trains_no_further():
    assert train(RISING_TO_3, 2, start=5)[0] == 5


def test_before_any_best_epoch_nothing_stops():
    assert train(dict.fromkeys(range(1, 9), 0), 1)[0] == 8


def test_patience_of_nothing_is_refused():
    with pytest.raises(ValueError, match="patience must be at least 1 validation"):
        EarlyStopping(SimpleNamespace(best_epoch=1), 0)


def test_several_handlers_are_attached_in_order_and_absent_ones_left_out():
    seen = []
    parts = [SimpleNamespace(attach=lambda engine, name=name: seen.append(name)) for name in "ab"]
    Attach([parts[0], None, parts[1]]).attach(Engine(lambda engine, _: None))
    Attach(parts[0]).attach(Engine(lambda engine, _: None))
    Attach(None).attach(Engine(lambda engine, _: None))
    assert seen == ["a", "b", "a"]
