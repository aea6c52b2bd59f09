# SPDX-License-Identifier: Apache-2.0
"""How time and memory grow with the number of slices. See benchmark.py."""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from ignite.engine import Events  # noqa: E402
from monai.engines import SupervisedTrainer  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from bundle.self_cleansing.handlers import History, LabelCleansing  # noqa: E402
from bundle.self_cleansing.label_bank import LabelBank  # noqa: E402
from bundle.self_cleansing.label_filter import DisplacementFilter  # noqa: E402
from bundle.self_cleansing.loader import BankLoader, LoaderEpoch, PrepareBatch  # noqa: E402
from bundle.self_cleansing.losses import BinaryCrossEntropy, HybridLoss, LabelSchedule  # noqa: E402
from bundle.self_cleansing.slice_bank import SliceBank  # noqa: E402
from bundle.self_cleansing.sweep import Cleanser  # noqa: E402
from bundle.self_cleansing.transforms import Augmentation  # noqa: E402

DEPTH = 16  # slices per case
CLASSES = 3
SIZES = (1024, 4096, 16384)


@dataclass(frozen=True)
class DrawCase:
    """Stands for preprocessing: three discs of random place and size over noise, another case for every number."""

    size: int

    def __call__(self, item: dict[str, Any]) -> dict[str, Tensor]:
        generator = torch.Generator().manual_seed(int(item["case"]))
        axis = torch.arange(self.size) / self.size - 0.5
        centre = torch.rand(CLASSES, 2, DEPTH, generator=generator) * 0.5 - 0.25
        radius = 0.05 + 0.15 * torch.rand(CLASSES, 1, 1, DEPTH, generator=generator)
        across, along = axis[:, None, None] - centre[:, None, None, 0], axis[:, None] - centre[:, None, None, 1]
        label = torch.hypot(across.expand(-1, self.size, self.size, -1), along.expand(-1, self.size, -1, -1)) < radius
        noise = torch.randn(1, self.size, self.size, DEPTH, generator=generator)
        return {"image": 0.3 * label.sum(dim=0, keepdim=True) + 0.1 * noise, "label": label}


class Points(nn.Module):
    """The least network the bundle's parts can work with, so that what they cost themselves is seen."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 32, 1), nn.ReLU())
        self.head = nn.Conv2d(32, CLASSES, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.head(self.features(image))


class PeakMemory:
    """The greatest anonymous memory of this process (RssAnon of Linux: no mapped pages) while the block runs, bytes."""

    def __enter__(self) -> PeakMemory:
        self.peak, self.done = self.now(), threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.done.wait(0.01):
            self.peak = max(self.peak, self.now())

    @staticmethod
    def now() -> int:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def one_size(samples: int, size: int, folder: str, repeats: int) -> dict[str, float]:
    """Preprocess to disk, then train and cleanse for `repeats` epochs on `samples` slices of `size` x `size`.

    The network has two layers: the time is that of the bank, the loader, augmentation, losses, sweep, filter, cleanser
    and label bank, which could grow faster than the data; a real network's could not. Times are processor seconds of
    this one-threaded process, which what else runs on the machine changes little; `wall_s` is the whole by the clock.
    """
    torch.manual_seed(0)
    torch.set_num_threads(1)
    updates: list[float] = []
    epochs: list[float] = []
    clock = time.perf_counter()
    with PeakMemory() as memory:
        start = time.process_time()
        data = [{"case": str(number)} for number in range(samples // DEPTH)]
        dataset = SliceBank(data, DrawCase(size), cache_dir=Path(folder) / "cache", progress=False)
        built = time.process_time() - start
        bank, network = LabelBank(dataset), Points()
        schedule = LabelSchedule(warmup_epochs=1, ramp_end_epoch=1)
        loader = BankLoader(dataset, bank, schedule, 16, 0, Augmentation(True, 15, 0.1, 0.05, 0.2, 0.1, 0.03))
        cleansing = LabelCleansing(
            network,
            dataset,
            bank,
            DisplacementFilter({"min_dice": 0.0, "min_agreement": 0.0}),
            Cleanser(),
            schedule,
            1,
            History(Path(folder) / "history.csv"),
        )
        trainer = SupervisedTrainer(
            device=torch.device("cpu"),
            max_epochs=repeats,
            train_data_loader=loader,
            network=network,
            optimizer=torch.optim.Adam(network.parameters(), 1e-2),
            loss_function=HybridLoss(BinaryCrossEntropy(), BinaryCrossEntropy(), schedule),
            prepare_batch=PrepareBatch(),
            decollate=False,
            train_handlers=[LoaderEpoch(loader)],
        )
        began = [0.0]

        def end_of_epoch() -> None:
            epochs.append(time.process_time() - began[0])
            start = time.process_time()
            cleansing.update(trainer.state.epoch)
            updates.append(time.process_time() - start)

        trainer.add_event_handler(Events.EPOCH_STARTED, lambda: began.__setitem__(0, time.process_time()))
        trainer.add_event_handler(Events.EPOCH_COMPLETED, end_of_epoch)
        trainer.run()
    labels = sum(buffer.nbytes for buffer in bank.buffers())
    return {
        "samples": samples,
        "size": size,
        "ms_per_slice_build": 1e3 * built / samples,
        "ms_per_slice_epoch": 1e3 * median(epochs) / samples,
        "ms_per_slice_update": 1e3 * median(updates) / samples,
        "ms_per_slice": 1e3 * (median(epochs) + median(updates)) / samples,
        "bank_on_disk_bytes": dataset.images.nbytes + dataset.labels.nbytes,
        "label_bank_bytes": labels,
        "wall_s": time.perf_counter() - clock,
        "peak_anonymous_bytes": memory.peak,
        "peak_beyond_bank_bytes": memory.peak - labels,
    }


def grow(size: int = 128, sizes: tuple[int, ...] = SIZES, repeats: int = 3) -> dict[str, Any]:
    """`one_size` for growing numbers of slices, each in a process of its own."""
    rows = []
    for samples in sizes:
        context = multiprocessing.get_context("spawn")
        with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(1, mp_context=context) as pool:
            rows.append(pool.submit(one_size, samples, size, folder, repeats).result())
            print(rows[-1], flush=True)
    last, before = rows[-1], rows[-2] if len(rows) > 1 else rows[-1]
    return {
        "rows": rows,
        "time_per_slice_change": last["ms_per_slice"] / before["ms_per_slice"] - 1,
        "peak_memory_growth": last["peak_beyond_bank_bytes"] / before["peak_beyond_bank_bytes"] - 1,
    }
