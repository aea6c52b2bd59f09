# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter

import pytest
import torch
from ignite.engine import Engine, Events
from tiny import bank_of, random_bank

from bundle.self_cleansing.label_bank import LabelBank
from bundle.self_cleansing.loader import BankLoader, LoaderEpoch, PrepareBatch, SliceLoader, epoch_seed
from bundle.self_cleansing.losses import LabelSchedule
from bundle.self_cleansing.transforms import Augmentation

EVERYTHING = Augmentation(True, 15, 0.1, 0.05, 0.2, 0.1, 0.03)


def make(depths=(6, 5), batch_size=3, seed=0, schedule=(2, 2), augmentation=None) -> BankLoader:
    dataset = random_bank(depths)
    return BankLoader(dataset, LabelBank(dataset), LabelSchedule(*schedule), batch_size, seed, augmentation)


def draw(loader: BankLoader, epoch: int) -> list[dict]:
    loader.epoch = epoch
    return list(loader)


def indices(batches) -> list[int]:
    return [index for batch in batches for index in batch["index"].tolist()]


def same(one: list[dict], other: list[dict]) -> bool:
    tensors = ("image", "label", "pseudo_label", "pseudo_weight", "index")
    return len(one) == len(other) and all(
        torch.equal(a[key], b[key]) for a, b in zip(one, other, strict=True) for key in tensors
    )


@pytest.mark.parametrize(("count", "batch_size", "batches"), [(11, 3, 3), (12, 3, 4), (2, 16, 1), (16, 16, 1)])
def test_each_sample_at_most_once_per_epoch_and_only_the_remainder_is_missing(count, batch_size, batches):
    loader = make((count,), batch_size)
    size = min(batch_size, count)
    missing = Counter()
    for epoch in range(2):
        drawn = draw(loader, epoch)
        assert len(drawn) == len(loader) == batches
        assert all(len(batch["index"]) == size for batch in drawn)
        seen = indices(drawn)
        assert len(set(seen)) == len(seen) == batches * size
        missing.update(set(range(count)) - set(seen))
    assert sum(missing.values()) == 2 * (count % size)


def test_every_sample_has_its_turn():
    loader = make((11,), 3, schedule=(300, 300))
    seen = Counter(index for epoch in range(300) for index in indices(draw(loader, epoch)))
    assert len(seen) == 11 and min(seen.values()) > 0.9 * 300 * 9 / 11  # expectation 245, standard deviation 6.7


def test_batches_depend_on_seed_and_epoch_alone():
    loader = make(augmentation=EVERYTHING)
    first = draw(loader, 1)
    torch.manual_seed(123)
    draw(loader, 0), torch.rand(7)
    assert same(first, draw(loader, 1))
    assert same(first, draw(make(augmentation=EVERYTHING), 1))
    assert not same(first, draw(loader, 0))
    assert not same(first, draw(make(augmentation=EVERYTHING, seed=1), 1))
    assert indices(first) != indices(draw(loader, 0)) != indices(draw(make(seed=1), 0))


def test_other_seeds_are_not_other_epochs():
    """Seed 0 in epoch 1 must not be seed 1 in epoch 0, or runs of several seeds share their batches."""
    orders = {(seed, epoch): tuple(indices(draw(make(seed=seed), epoch))) for seed in range(3) for epoch in range(2)}
    assert len(set(orders.values())) == 6
    seeds = {epoch_seed(seed, epoch) for seed in (0, 1, 4095, 4096, 4097, 1 << 32, 20261129) for epoch in range(100)}
    assert len(seeds) == 700 and all(0 <= seed < 1 << 32 for seed in seeds)
    assert indices(draw(make(seed=4096), 0)) != indices(draw(make(seed=0), 0))


def test_the_callers_random_state_is_left_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    draw(make(augmentation=EVERYTHING), 0)
    assert torch.equal(torch.rand(3), expected)


def test_after_the_switch_only_samples_with_a_label_taking_part():
    loader = make((11,), 3)
    part = torch.zeros(11, 2, dtype=torch.bool)
    part[[1, 4, 8], 0] = True
    part[[4, 9], 1] = True
    loader.label_bank.takes_part.copy_(part)
    assert len(set(indices(draw(loader, 1)))) == 9
    batches = draw(loader, 2)
    seen = Counter(indices(batches))
    assert len(batches) == len(loader) == 3  # 9 draws: twice through the four, and one more
    assert set(seen) == {1, 4, 8, 9} and sorted(seen.values()) == [2, 2, 2, 3]
    for batch in batches:
        assert torch.equal(batch["pseudo_weight"], part[batch["index"]].float())


def test_while_the_given_labels_fade_out_all_samples_are_drawn():
    loader = make((12,), 3, schedule=(2, 4))
    loader.label_bank.takes_part[:10] = False
    assert [len(set(indices(draw(loader, epoch)))) for epoch in (1, 2, 3, 4)] == [12, 12, 12, 2]


def test_nothing_left_to_train_on():
    loader = make()
    loader.label_bank.takes_part.fill_(False)
    assert len(draw(loader, 1)) == 3
    with pytest.raises(RuntimeError, match="after 2 epochs no label is left.*--warmup_epochs"):
        draw(loader, 2)


def test_contents_without_augmentation():
    loader = make()
    generator = torch.Generator().manual_seed(1)
    pseudo = (torch.rand(11, 2, 16, 16, generator=generator) > 0.5).to(torch.uint8)
    loader.label_bank.write(slice(None), pseudo, torch.ones(11, 2, dtype=torch.bool))
    for batch in draw(loader, 0):
        at = batch["index"]
        assert torch.equal(batch["image"], loader.dataset.images[at])
        assert torch.equal(batch["label"], loader.dataset.labels[at].float())
        assert torch.equal(batch["pseudo_label"], pseudo[at].float())
        assert batch["epoch"] == 0


def test_image_label_and_pseudo_label_move_together():
    """Image channel = label of class 0 = complement of its pseudo label, before and after any of the eight moves."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.rand(8, 2, 16, 16, generator=generator) > 0.5
    dataset = bank_of(labels[:, :1].float(), labels)
    bank = LabelBank(dataset)
    bank.write(slice(None), ~labels, torch.ones(8, 2, dtype=torch.bool))
    loader = BankLoader(dataset, bank, LabelSchedule(1, 1), 4, 0, Augmentation(flip_rotate=True))
    moved = 0
    for epoch in range(2):
        for batch in draw(loader, epoch):
            torch.testing.assert_close(batch["image"], batch["label"][:, :1], atol=1e-4, rtol=0)
            assert torch.equal(batch["pseudo_label"], 1 - batch["label"])
            moved += sum(
                not torch.equal(batch["label"][i], labels[index].float())
                for i, index in enumerate(batch["index"].tolist())
            )
            counts = batch["label"].sum(dim=(2, 3))
            assert torch.equal(counts, labels[batch["index"]].float().sum(dim=(2, 3)))
    assert moved >= 8  # of 16; seven in eight moves change something


def test_the_bank_is_read_when_a_batch_is_drawn_and_never_written():
    loader = make(augmentation=EVERYTHING)
    before = {name: value.clone() for name, value in loader.label_bank.state_dict().items() if name != "_extra_state"}
    draw(loader, 0)
    assert all(torch.equal(value, loader.label_bank.state_dict()[name]) for name, value in before.items())


def record(loader: BankLoader, start: int, epochs: int) -> tuple[list[list[int]], list[tuple[int, int]]]:
    """Run a real engine from `start` completed epochs: the samples of each epoch, and (epoch, iteration) after it.

    After two epochs only samples 0 to 3 take part, as an update of the labels would have it.
    """
    seen: list[list[int]] = []
    counters = []
    engine = Engine(lambda engine, batch: seen[-1].extend(batch["index"].tolist()))
    LoaderEpoch(loader).attach(engine)

    @engine.on(Events.STARTED)
    def resume(engine):  # as TrainingCheckpoint does
        engine.state.epoch, engine.state.iteration = start, start * len(loader)

    @engine.on(Events.EPOCH_STARTED)
    def begin(engine):
        seen.append([])

    @engine.on(Events.EPOCH_COMPLETED)
    def complete(engine):
        counters.append((engine.state.epoch, engine.state.iteration))
        loader.label_bank.takes_part[4:] = engine.state.epoch < 2

    if start >= 2:
        loader.label_bank.takes_part[4:] = False
    engine.run(loader, max_epochs=epochs)
    return seen, counters


def test_an_engine_draws_each_epoch_as_the_loader_does_by_itself():
    seen, counters = record(make(), 0, 5)
    assert counters == [(epoch, 3 * epoch) for epoch in range(1, 6)]
    loader = make()
    for epoch in range(5):
        loader.label_bank.takes_part[4:] = epoch < 2
        assert seen[epoch] == indices(draw(loader, epoch)), epoch
    assert all(len(samples) == 9 for samples in seen)
    assert [len(set(samples)) for samples in seen] == [9, 9, 4, 4, 4]


@pytest.mark.parametrize("start", [1, 2, 3, 4])
def test_a_resumed_engine_draws_the_rest_of_the_unbroken_run(start):
    unbroken, counters = record(make(), 0, 5)
    resumed, resumed_counters = record(make(), start, 5)
    assert resumed == unbroken[start:]
    assert resumed_counters == counters[start:]


def test_prepare_batch_gives_the_image_and_everything():
    batch = draw(make(), 0)[0]
    image, targets = PrepareBatch()(batch, torch.device("cpu"), False)
    assert torch.equal(image, batch["image"]) and targets is batch


def test_validation_loader_keeps_order_and_all_samples():
    labels = torch.rand(7, 2, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5
    dataset = bank_of(torch.arange(7.0)[:, None, None, None].expand(7, 1, 8, 8), labels, (3, 4), ~labels)
    loader = SliceLoader(dataset, 3)
    batches = list(loader)
    assert len(batches) == len(loader) == 3
    assert torch.cat([batch["image"] for batch in batches])[:, 0, 0, 0].tolist() == list(range(7))
    assert torch.cat([batch["case_index"] for batch in batches]).tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert torch.equal(torch.cat([batch["label"] for batch in batches]).bool(), labels)
    assert torch.equal(torch.cat([batch["reference_label"] for batch in batches]).bool(), ~labels)


def test_superpixels_are_those_of_the_samples_and_leave_the_draws_as_they_are():
    dataset = random_bank((6, 5))
    superpixels = torch.arange(11 * 16 * 16, dtype=torch.int32).reshape(11, 16, 16) + 1
    loaders = [
        BankLoader(dataset, LabelBank(dataset), LabelSchedule(2, 2), 3, 0, augmentation, superpixels=extra)
        for augmentation, extra in ((None, superpixels), (EVERYTHING, superpixels), (EVERYTHING, None))
    ]
    plain, augmented, without = (draw(loader, 1) for loader in loaders)
    for batch in plain:
        assert torch.equal(batch["superpixel"], superpixels[batch["index"]])
    assert same(augmented, without) and "superpixel" not in without[0]
    for batch in augmented:
        for index, moved in zip(batch["index"], batch["superpixel"], strict=True):
            assert set(moved.unique().tolist()) - {0} <= set(superpixels[index].flatten().tolist())


def test_a_network_may_be_given_more_of_the_batch():
    batch = draw(make(), 0)[0]
    image, targets, args, kwargs = PrepareBatch(also=["label", "index"])(batch, torch.device("cpu"), False)
    assert image is batch["image"] and targets is batch and kwargs == {}
    assert args[0] is batch["label"] and args[1] is batch["index"]
