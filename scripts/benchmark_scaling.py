# SPDX-License-Identifier: Apache-2.0
"""Measure what a second process brings: samples per second of training with one and with two processes on CPU.

    python scripts/benchmark_scaling.py --samples 256 --size 64 --steps 8

Each process has one thread and its own batch of the same size, so perfect scaling is a speed-up of 2 on two free cores.
The trainings of one and of two processes take turns, several times over; medians and the range are printed as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BATCH_SIZE = 8
WARMUP_STEPS = 2


def ddp_speedup(samples: int, size: int, steps: int, repeats: int = 3) -> dict[str, Any]:
    """Train with one single-threaded process and with two (DDP over gloo) in turns, on random slices.

    Args:
        samples: slices in the bank; at least two batches of BATCH_SIZE.
        size: their side in pixels, divisible by 8.
        steps: training iterations timed per run, after WARMUP_STEPS that are not.
        repeats: runs of each kind.

    Returns:
        {"one", "two": {"median", "min", "max"} in samples per second of all processes, "speedup": of the medians,
        "batch_size": per process, "repeats"}.

    Raises:
        ValueError: if there are too few samples, or a number is not what it must be.
        subprocess.CalledProcessError: if a training fails; its messages are on standard error.
    """
    if samples < 2 * BATCH_SIZE or size < 8 or size % 8 or steps < 1 or repeats < 1:
        raise ValueError(
            f"need samples >= {2 * BATCH_SIZE}, a size divisible by 8, steps and repeats >= 1, "
            f"got {samples}, {size}, {steps} and {repeats}"
        )
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(repeats):
        for processes, measured in rates.items():
            measured.append(_run(processes, samples, size, steps))
    one, two = (
        {"median": statistics.median(measured), "min": min(measured), "max": max(measured)}
        for measured in rates.values()
    )
    speedup = two["median"] / one["median"]
    return {"one": one, "two": two, "speedup": speedup, "batch_size": BATCH_SIZE, "repeats": repeats}


def _run(processes: int, samples: int, size: int, steps: int) -> float:
    """Samples per second of all processes together, by the first one's clock."""
    launch = ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    options = ["--samples", str(samples), "--size", str(size), "--steps", str(steps), "--worker"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    result = subprocess.run(
        [sys.executable, *launch, __file__, *options], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return float(result.stdout.split()[-1])


def _train(samples: int, size: int, steps: int) -> None:
    """What each process does: the parts of configs/train.yaml with a clock; the first one prints the rate."""
    sys.path.insert(0, str(ROOT))
    import torch
    from ignite.engine import Events
    from monai.engines import SupervisedTrainer
    from torch import distributed
    from torch.nn.parallel import DistributedDataParallel

    from bundle.self_cleansing.label_bank import LabelBank
    from bundle.self_cleansing.loader import BankLoader, PrepareBatch
    from bundle.self_cleansing.losses import BinaryCrossEntropy, HybridLoss, LabelSchedule
    from bundle.self_cleansing.networks import ResidualUNet
    from bundle.self_cleansing.slice_bank import SliceBank
    from bundle.self_cleansing.transforms import Augmentation

    torch.set_num_threads(1)
    if int(os.environ["WORLD_SIZE"]) > 1:
        distributed.init_process_group("gloo")
    torch.manual_seed(0)
    volume = {"image": torch.rand(1, size, size, samples), "label": torch.rand(3, size, size, samples) > 0.5}
    dataset = SliceBank([{"case": "random"}], lambda _: volume, progress=False)
    schedule = LabelSchedule(1, 1)
    augmentation = Augmentation(True, 15.0, 0.1, 0.05, 0.2, 0.1, 0.03)
    batches = BankLoader(dataset, LabelBank(dataset), schedule, BATCH_SIZE, 0, augmentation)
    network = ResidualUNet(num_classes=3).to(memory_format=torch.channels_last)
    wrapped = DistributedDataParallel(network) if distributed.is_initialized() else network
    trainer = SupervisedTrainer(
        device="cpu",
        max_epochs=1,
        epoch_length=WARMUP_STEPS + steps,
        train_data_loader=batches,
        network=wrapped,
        optimizer=torch.optim.AdamW(network.parameters(), 5e-4),
        loss_function=HybridLoss(BinaryCrossEntropy(), BinaryCrossEntropy(), schedule),
        prepare_batch=PrepareBatch(),
        decollate=False,
    )
    times: list[float] = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: times.append(time.perf_counter()))
    trainer.run()
    if int(os.environ["RANK"]) == 0:
        seconds = times[-1] - times[WARMUP_STEPS - 1]
        print(int(os.environ["WORLD_SIZE"]) * BATCH_SIZE * steps / seconds)
    if distributed.is_initialized():
        distributed.destroy_process_group()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=256, help="slices to train on")
    parser.add_argument("--size", type=int, default=64, help="side of a slice in pixels")
    parser.add_argument("--steps", type=int, default=8, help="iterations timed per run")
    parser.add_argument("--repeats", type=int, default=3, help="runs of one and of two processes")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _train(options.samples, options.size, options.steps)
    else:
        try:
            print(json.dumps(ddp_speedup(options.samples, options.size, options.steps, options.repeats), indent=2))
        except ValueError as error:
            parser.error(str(error))


if __name__ == "__main__":
    main()
