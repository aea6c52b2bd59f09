# SPDX-License-Identifier: Apache-2.0
"""Score the best (B) and the last (L) model of a run on cases it never saw, against clean labels, on their own grid."""

from __future__ import annotations

import copy
import csv
import logging
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .data import clean_items, write_json
from .data.whole_file import whole_file, write_text
from .inferers import LocalisingPatchInferer
from .metrics.dice import EMPTY_RULE, DiceTable, dice_counts
from .spreadsheet_text import spreadsheet_text
from .transforms import clear_error, label_center
from .weights import load_weights

logger = logging.getLogger(__name__)

MODELS = {"B": "models/model_best.pt", "L": "models/model_last.pt"}
LABEL_CENTRED, FULL_SIZE = "label_centred", "full_size"
PROTOCOLS = {
    LABEL_CENTRED: "inside a patch centred on the box of the reference labels, at the image's own resolution",
    FULL_SIZE: "on the whole volume, the structure found from the image alone",
}
MEASURES = ("per_volume", "per_slice")


class Evaluation:
    """Compute Dice of a run's models and write it into the run's folder.

    `evaluation.json` holds all, `evaluation.csv` and `.md` the means, `evaluation_cases.csv` each volume.

    Both protocols compare with labels that were not resampled: the network's logits are brought to the image's own
    resolution. Without a patch (`inferer.patch_size` None) only the protocol on whole volumes applies.

    Args:
        split: part -> cases, as from `split_cases`.
        part: the one to score, usually 'test'; clean labels are used where there are any.
        preprocessing: deterministic transforms from an item to tensors `image` (1, H, W, D), normalised as in
            training, and `label` uint8 (K, H, W, D) of 0 and 1, both on the file's own grid.
        network: of the run's architecture; it is copied, the weights are the run's.
        inferer: finds the structure, and predicts patches.
        class_names: K names in channel order.
        output_dir: the run's folder, which holds the models.
        device: where to predict.
        models: name -> file in `output_dir` or absolute path, each a flat state dict of the network.

    Raises:
        FileNotFoundError: at run, if the run's folder or a model is missing.
        ValueError: if the part is unknown, or (at run) empty; a model does not fit the network; or a case is bad
            input. A model of another patch_size or network_size fits: see `trained_as`.
    """

    def __init__(
        self,
        split: Mapping[str, Sequence[Mapping[str, Any]]],
        part: str,
        preprocessing: Callable[[Any], Any],
        network: nn.Module,
        inferer: LocalisingPatchInferer,
        class_names: Sequence[str],
        output_dir: str | os.PathLike[str],
        device: torch.device | str = "cpu",
        models: Mapping[str, str] | None = None,
    ) -> None:
        if part not in split:
            raise ValueError(f"part must be one of {', '.join(split)}, got {part!r}")
        self.part = part
        self.items = clean_items([dict(case) for case in split[part]])
        self.preprocessing = preprocessing
        self.network = network
        self.inferer = inferer
        self.class_names = list(class_names)
        self.output_dir = Path(output_dir)
        self.device = torch.device(device)
        self.models = dict(MODELS if models is None else models)

    def run(self) -> dict[str, Any]:
        """Score all models, write the files, print the table, and return what evaluation.json holds."""
        if not self.items:
            raise ValueError(
                f"part {self.part} of the split has no case to evaluate on; name another with --part, or add patients "
                "to that part of the split file"
            )
        networks = self.load()
        protocols = [FULL_SIZE] if self.inferer.patch_size is None else [LABEL_CENTRED, FULL_SIZE]
        counts: dict[tuple[str, str], list[Tensor]] = {(name, one): [] for name in networks for one in protocols}
        for item in tqdm(self.items, desc="evaluating", unit="case", leave=False):
            image, label = self.volume(item)
            for (name, protocol), parts in counts.items():
                parts.append(self.count(networks[name], protocol, image, label))
        tables = {key: _table(parts) for key, parts in counts.items()}
        result = {
            "part": self.part,
            "cases": [item["case"] for item in self.items],
            "patients": [item.get("patient", item["case"]) for item in self.items],
            "slices": sum(len(part) for part in next(iter(counts.values()))),
            "classes": self.class_names,
            "unit": "Dice in percent",
            "empty_rule": EMPTY_RULE,
            "protocols": {protocol: PROTOCOLS[protocol] for protocol in protocols},
            "results": {
                name: {protocol: self.summary(tables[name, protocol]) for protocol in protocols} for name in networks
            },
        }
        write_json(self.output_dir / "evaluation.json", result)
        _write_csv(self.output_dir / "evaluation.csv", result)
        _write_cases(self.output_dir / "evaluation_cases.csv", result)
        text = markdown(result)
        write_text(self.output_dir / "evaluation.md", text)
        print(text)
        logger.info("written: evaluation.json, .csv, .md and evaluation_cases.csv in %s", self.output_dir)
        return result

    def load(self) -> dict[str, nn.Module]:
        """Return one network per model in eval mode on the device."""
        in_the_run = any(not Path(file).is_absolute() for file in self.models.values())
        if in_the_run and not self.output_dir.is_dir():
            raise FileNotFoundError(f"run folder {self.output_dir} does not exist; pass --output_dir of a finished run")
        for name, file in self.models.items():
            if not (self.output_dir / file).is_file():
                raise FileNotFoundError(
                    f"model {name} of the run, {self.output_dir / file}, does not exist; "
                    "let the training finish (--resume true), or pass --output_dir of a finished run"
                )
        networks = {}
        for name, file in self.models.items():
            network = copy.deepcopy(self.network)
            remedy = "evaluate with the config files the run was trained with"
            load_weights(network, self.output_dir / file, remedy)
            networks[name] = network.to(self.device).eval()
        return networks

    def volume(self, item: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        """Load one case: image float32 (1, H, W, D) on the device, label bool (K, H, W, D) on the CPU."""
        try:
            case = self.preprocessing(dict(item))
        except Exception as error:
            raise clear_error(error, item) from error
        image, label = (torch.as_tensor(case[key]).as_subclass(Tensor) for key in ("image", "label"))
        return image.float().to(self.device), label.bool()

    @torch.no_grad()
    def count(self, network: nn.Module, protocol: str, image: Tensor, label: Tensor) -> Tensor:
        """Return `dice_counts` of one volume under one protocol, int64 (D, K, 3)."""
        if protocol == LABEL_CENTRED:
            center = label_center(label)
            logits = self.inferer.predict_at(image, network, center)
            inside = torch.zeros_like(label)
            rows, columns = self.inferer.window((image.shape[1], image.shape[2]), center)
            inside[:, rows, columns] = True
            label = label & inside
        else:
            logits = self.inferer(image[None], network)[0]
        return dice_counts((logits > 0).cpu().movedim(-1, 0), label.movedim(-1, 0))

    def summary(self, table: DiceTable) -> dict[str, Any]:
        """Numbers of one table in percent, and of each volume in the order of the cases; None: nothing to score."""
        means = {"per_volume": table.volume_means(), "per_slice": table.slice_means()}
        named = {measure: dict(zip(self.class_names, map(_percent, means[measure]), strict=True)) for measure in means}
        per_slice = _percent(float(table.per_slice.mean()))
        volumes = zip(self.class_names, table.per_volume.T.tolist(), strict=True)
        return {
            **named,
            "mean": _percent(table.mean),
            "mean_per_slice": per_slice,
            "volumes": {name: list(map(_percent, values)) for name, values in volumes},
        }


def markdown(result: Mapping[str, Any]) -> str:
    """The result of `Evaluation.run` as a Markdown table with its rules below."""
    classes = result["classes"]
    lines = [
        f"Dice in percent on part {result['part']}: {len(result['cases'])} volumes, {result['slices']} slices.",
        "",
        f"| model | protocol | Dice | {' | '.join(classes)} | mean |",
        "|---|---|---|" + "---:|" * (len(classes) + 1),
    ]
    for name, protocol, measure, values, mean in _rows(result):
        cells = [*(values[one] for one in classes), mean]
        shown = " | ".join("-" if value is None else f"{value:.1f}" for value in cells)
        lines.append(f"| {name} | {protocol.replace('_', '-')} | {measure.replace('_', ' ')} | {shown} |")
    models = "B: best epoch on the validation part, L: last epoch."
    lines += ["", f"{models} Empty masks: {result['empty_rule']}."]
    lines += [f"{protocol.replace('_', '-')}: {text}." for protocol, text in result["protocols"].items()]
    return "\n".join(lines) + "\n"


def _rows(result: Mapping[str, Any]) -> Any:
    for name, by_protocol in result["results"].items():
        for protocol, numbers in by_protocol.items():
            for measure, mean in zip(MEASURES, ("mean", "mean_per_slice"), strict=True):
                yield name, protocol, measure, numbers[measure], numbers[mean]


def _write_csv(path: Path, result: Mapping[str, Any]) -> None:
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "protocol", "measure", "class", "dice_percent"])
        for name, protocol, measure, values, mean in _rows(result):
            for label, value in [*values.items(), ("mean", mean)]:
                writer.writerow([name, protocol, measure, label, "" if value is None else value])


def _write_cases(path: Path, result: Mapping[str, Any]) -> None:
    with whole_file(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "model", "protocol", "class", "dice_percent"])
        for number, case in enumerate(result["cases"]):
            for model, by_protocol in result["results"].items():
                for protocol, numbers in by_protocol.items():
                    for name, values in numbers["volumes"].items():
                        value = values[number]
                        writer.writerow([spreadsheet_text(case), model, protocol, name, "" if value is None else value])


def _table(counts: Sequence[Tensor]) -> DiceTable:
    case_index = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor([len(part) for part in counts]))
    return DiceTable.from_counts(torch.cat(list(counts)), case_index, len(counts))


def _percent(value: float) -> float | None:
    return None if math.isnan(value) else round(100 * value, 2)
