# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from ignite.engine import Engine

from bundle.self_cleansing.handlers import PublishModel


def publish(folder, step=lambda engine, batch: None) -> Engine:
    engine = Engine(step)
    PublishModel(folder / "run" / "model.pt", folder / "models" / "model.pt", folder / "run" / "old.pt").attach(engine)
    return engine


def test_the_trained_weights_take_the_place_of_the_old_ones_which_are_kept(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.pt").write_text("first")
    publish(tmp_path).run([0])
    assert (tmp_path / "models" / "model.pt").read_text() == "first"
    assert not (tmp_path / "run" / "old.pt").exists()
    (tmp_path / "run" / "model.pt").write_text("second")
    publish(tmp_path).run([0])
    publish(tmp_path).run([0])  # a resumed run that completes again keeps what was there before all of it
    assert (tmp_path / "models" / "model.pt").read_text() == "second"
    assert (tmp_path / "run" / "old.pt").read_text() == "first"
    assert sorted(path.name for path in (tmp_path / "models").iterdir()) == ["model.pt"]


def test_a_training_that_fails_publishes_nothing(tmp_path):
    def fail(engine, batch):
        raise RuntimeError("out of memory")

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.pt").write_text("half trained")
    with pytest.raises(RuntimeError, match="out of memory"):
        publish(tmp_path, fail).run([0])
    assert not (tmp_path / "models").exists()
