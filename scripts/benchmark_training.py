# SPDX-License-Identifier: Apache-2.0
"""How fast training is: beside a bare PyTorch loop, and beside the usual MONAI way. See benchmark.py."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from ignite.engine import Events  # noqa: E402
from monai.bundle import ConfigWorkflow  # noqa: E402
from monai.data import CacheDataset, DataLoader  # noqa: E402
from monai.engines import SupervisedTrainer  # noqa: E402
from monai.losses import DiceCELoss  # noqa: E402
from monai.transforms import (  # noqa: E402
    Compose,
    RandAffined,
    RandFlipd,
    RandGaussianNoised,
    RandRotate90d,
    RandScaleIntensityd,
    RandShiftIntensityd,
)
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from bundle.self_cleansing.data.phantom import patient_numbers, write_patients  # noqa: E402
from bundle.self_cleansing.networks import ResidualUNet  # noqa: E402

BATCH = 16


def spread(seconds: list[float]) -> dict[str, float]:
    """Median, least and greatest of repeated timings."""
    return {"median": median(seconds), "min": min(seconds), "max": max(seconds)}


def synchronize(device: torch.device) -> float:
    """The time after everything asked of the device is done, in seconds."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def workflow(folder: Path, epochs: int, shrink: int, patients: int, **settings: Any) -> ConfigWorkflow:
    """`monai.bundle run training` on a phantom, initialised and not yet run."""
    if not (folder / "data").exists():
        write_patients(folder / "data", patient_numbers(patients), seed=0)
    configs = ROOT / "configs"
    made = ConfigWorkflow(
        config_file=str(configs / "train.yaml"),
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        bundle_root=str(ROOT),
        dataset_dir=str(folder / "data"),
        output_dir=str(folder / f"run{len(list(folder.iterdir()))}"),
        cache_dir=str(folder / "cache"),
        max_epochs=epochs,
        shrink=shrink,
        batch_size=BATCH,
        **settings,
    )
    made.initialize()
    return made


class BareLoop:
    """A training loop with nothing in it that training does not need, on the tensors of the same bank."""

    def __init__(self, parser: Any) -> None:
        self.device = parser.get_parsed_content("device")
        self.dataset = parser.get_parsed_content("train#dataset")
        self.augmentation = parser.get_parsed_content("augmentation")
        self.inferer = parser.get_parsed_content("train#inferer")  # autocast, if that is on
        self.amp = self.device.type == "cuda"
        self.network = ResidualUNet(1, 3).to(self.device, memory_format=torch.channels_last)
        self.forward = torch.compile(self.network) if parser.get_parsed_content("compile") else self.network
        self.optimizer = torch.optim.AdamW(self.network.parameters(), 5e-4, weight_decay=0.01)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.amp)
        self.generator = torch.Generator().manual_seed(0)
        self.network.train()

    def epoch(self) -> float:
        """Train on every full batch once; return the seconds."""
        images, labels = self.dataset.images, self.dataset.labels
        start = synchronize(self.device)
        order = torch.randperm(len(images), generator=self.generator)
        for index in order[: len(order) // BATCH * BATCH].split(BATCH):
            image, label = images[index].to(self.device), labels[index].to(self.device).float()
            image, label = self.augmentation(image, label, self.generator)
            image = image.contiguous(memory_format=torch.channels_last)
            self.optimizer.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, enabled=self.amp):
                logits = self.inferer(image, self.forward)
                loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, label)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
        return synchronize(self.device) - start


class UsualMonai:
    """The same slices the way MONAI's tutorials train: CacheDataset, dictionary transforms, DataLoader, float32."""

    def __init__(self, parser: Any, num_workers: int) -> None:
        self.device = parser.get_parsed_content("device")
        dataset = parser.get_parsed_content("train#dataset")
        items = [
            {"image": image, "label": label}
            for image, label in zip(dataset.images.cpu(), dataset.labels.cpu().float(), strict=True)
        ]
        both = ["image", "label"]
        transforms = Compose(
            [
                RandFlipd(both, prob=0.5, spatial_axis=0),
                RandRotate90d(both, prob=0.75),
                RandAffined(
                    both,
                    prob=1.0,
                    rotate_range=0.26,
                    scale_range=0.1,
                    translate_range=0.05 * dataset.images.shape[-1],
                    mode=["bilinear", "nearest"],
                    padding_mode="zeros",
                ),
                RandScaleIntensityd("image", factors=0.2, prob=1.0),
                RandShiftIntensityd("image", offsets=0.1, prob=1.0),
                RandGaussianNoised("image", prob=1.0, std=0.03),
            ]
        )
        cached = CacheDataset(items, transforms, progress=False)
        loader = DataLoader(
            cached,
            batch_size=BATCH,
            shuffle=True,
            drop_last=True,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
        )
        network = ResidualUNet(1, 3).to(self.device)
        self.trainer = SupervisedTrainer(
            device=self.device,
            max_epochs=0,
            train_data_loader=loader,
            network=network,
            optimizer=torch.optim.AdamW(network.parameters(), 5e-4, weight_decay=0.01),
            loss_function=DiceCELoss(sigmoid=True),
        )

    def epoch(self) -> float:
        """Train on every full batch once; return the seconds."""
        self.trainer.state.max_epochs += 1
        start = synchronize(self.device)
        self.trainer.run()
        return synchronize(self.device) - start


def train(shrink: int = 1, patients: int = 10, repeats: int = 3) -> dict[str, Any]:
    """One epoch of the bundle, of the bare loop and of the usual MONAI way in turn, `repeats` times.

    Everything runs in the process of one `monai.bundle` workflow: after each of its epochs the others train one epoch
    each. The first round warms up and is not counted. An epoch of the bundle is from its first batch to the end of its
    last iteration, with loss, weight averaging, history and progress bar, without validation.

    Returns:
        seconds per epoch of each, and the ratios of the medians.
    """
    with tempfile.TemporaryDirectory() as temporary:
        made = workflow(Path(temporary), repeats + 1, shrink, patients, warmup_epochs=1, update_every=repeats + 1)
        trainer, parser = made.parser.get_parsed_content("train#trainer"), made.parser
        device = parser.get_parsed_content("device")
        rivals: dict[str, Callable[[], float]] = {"bare loop": BareLoop(parser).epoch}
        for workers in (0, 2):
            rivals[f"usual MONAI, {workers} workers"] = UsualMonai(parser, workers).epoch
        seconds: dict[str, list[float]] = {"bundle": [], **{name: [] for name in rivals}}
        now = {"start": 0.0, "last": 0.0}
        # Attached last, these come after the bundle's own handlers of the same event.
        trainer.add_event_handler(Events.EPOCH_STARTED, lambda: now.update(start=synchronize(device)))
        trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda: now.update(last=time.perf_counter()))

        def others() -> None:
            seconds["bundle"].append(
                max(now["last"], synchronize(device) if device.type == "cuda" else 0) - now["start"]
            )
            for name, epoch in rivals.items():
                seconds[name].append(epoch())

        trainer.add_event_handler(Events.EPOCH_COMPLETED, others)
        made.run()
        samples = len(parser.get_parsed_content("train#dataset")) // BATCH * BATCH
        size = parser.get_parsed_content("network_size")
    timed = {name: spread(values[1:]) for name, values in seconds.items()}
    usual = min(timed[name]["median"] for name in timed if name.startswith("usual"))
    return {
        "size": size,
        "samples_per_epoch": samples,
        "seconds_per_epoch": timed,
        "train_vs_bare_loop": timed["bare loop"]["median"] / timed["bundle"]["median"],
        "train_vs_monai": usual / timed["bundle"]["median"],
    }


def cleansing_share(shrink: int = 1, patients: int = 10, epochs: int = 3) -> dict[str, Any]:
    """What an update of the labels costs beside the training epochs it follows.

    Returns:
        seconds of a training epoch and of an update (sweep, filter, cleanser, writing), and the share of training time
        that updates take at one every 5 epochs.
    """
    with tempfile.TemporaryDirectory() as temporary:
        never_declines = {"label_filter#options": {"min_dice": 0.0, "min_agreement": 0.0, "min_samples": 8}}
        made = workflow(Path(temporary), epochs, shrink, patients, warmup_epochs=1, update_every=1, **never_declines)
        trainer, parser = made.parser.get_parsed_content("train#trainer"), made.parser
        device, cleansing = parser.get_parsed_content("device"), parser.get_parsed_content("label_cleansing")
        update, updates, iterations = cleansing.update, [], []
        now = {"start": 0.0}

        def timed_update(epoch: int) -> None:
            start = synchronize(device)
            update(epoch)
            updates.append(synchronize(device) - start)

        cleansing.update = timed_update
        trainer.add_event_handler(Events.EPOCH_STARTED, lambda: now.update(start=synchronize(device)))
        length = len(parser.get_parsed_content("train#dataloader"))
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED(every=length), lambda: iterations.append(synchronize(device) - now["start"])
        )
        made.run()
    epoch, sweep = median(iterations), median(updates)
    return {
        "seconds_per_epoch": spread(iterations),
        "seconds_per_update": spread(updates),
        "cleansing_share_of_training": sweep / (5 * epoch + sweep),
    }


def floor(size: int = 128, repeats: int = 5) -> dict[str, Any]:
    """The arithmetic of one training step (forward and backward, batch 16) against what the device can do at all.

    Returns:
        operations per sample, the rate of a large matrix product, that of the network's forward and backward pass, and
        the bytes its layers write per sample in a forward pass.
    """
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    network = ResidualUNet(1, 3).to(device, memory_format=torch.channels_last)
    image = torch.rand(BATCH, 1, size, size, device=device).contiguous(memory_format=torch.channels_last)
    written: list[int] = []
    hooks = [
        layer.register_forward_hook(lambda _, __, output: written.append(output.nbytes))
        for layer in network.modules()
        if not list(layer.children())
    ]
    with FlopCounterMode(display=False) as counter:
        network(image).sum().backward()
    for hook in hooks:
        hook.remove()
    torch.backends.cuda.matmul.allow_tf32 = True  # as a GPU's convolutions do unless told otherwise
    matrix = torch.rand(4096, 4096, device=device)
    product: list[float] = []
    step: list[float] = []
    for _ in range(repeats + 1):
        start = synchronize(device)
        matrix @ matrix
        middle = synchronize(device)
        network(image).sum().backward()
        product.append(middle - start)
        step.append(synchronize(device) - middle)
    flops = counter.get_total_flops()
    return {
        "size": size,
        "gflop_per_sample": flops / BATCH / 1e9,
        "mbyte_written_per_sample": sum(written) / BATCH / 1e6,
        "matrix_product_gflop_per_s": 2 * matrix.shape[0] ** 3 / median(product[1:]) / 1e9,
        "network_gflop_per_s": flops / median(step[1:]) / 1e9,
        "seconds_per_step": spread(step[1:]),
    }
