# SPDX-License-Identifier: Apache-2.0
"""What a shared bundle says of itself: docs/README.md and metadata.json, from a card and the figures of a run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import matplotlib
import yaml

matplotlib.use("Agg")
from matplotlib.figure import Figure  # noqa: E402

from bundle.self_cleansing import DISTRIBUTION  # noqa: E402
from bundle.self_cleansing.data.whole_file import whole_file  # noqa: E402
from bundle.self_cleansing.report.curves import draw_dice, draw_loss  # noqa: E402

HERE = Path(__file__).resolve().parent
REQUIRED = (
    *("name", "title", "task", "modality", "tags", "overview", "image_classes", "data", "training_labels"),
    *("preprocessing", "limitations", "data_license", "references"),
)
FOUND_BY = {
    "label_centred": "inside a patch centred on the true structure",
    "full_size": "by the network itself, on the whole image",
}
FILTERED = """While it trains, a label filter asks every {update_every} epochs (from epoch {warmup_epochs} on) which
labels the network disbelieves; those are left out of the loss, and at the end replaced by labels of a prototype-based
cleanser. A label bank records, per slice and structure, which label was in force and why."""
UNFILTERED = "It was trained on all labels, without label filter or cleanser."


def read_card(path: Path) -> dict[str, Any]:
    """Read a card.

    Raises:
        FileNotFoundError: if the file does not exist.
        ValueError: if a field is missing, or `name` is not in lower snake case.
    """
    if not path.is_file():
        raise FileNotFoundError(f"card {path} does not exist; docs/cards has examples to copy")
    try:
        card = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"card {path} is not valid YAML ({' '.join(str(error).split())}); correct it") from error
    if not isinstance(card, dict):
        raise ValueError(f"card {path} must hold fields like `name: ...`, got a {type(card).__name__}; see docs/cards")
    missing = [field for field in REQUIRED if not card.get(field)]
    if missing:
        raise ValueError(f"card {path} lacks {', '.join(missing)}; docs/cards has examples of every field")
    if not str(card["name"]).replace("_", "").isalnum() or card["name"] != card["name"].lower():
        raise ValueError(f"name in {path} must be lower_snake_case, got {card['name']!r}")
    return {"acdc_layout": False, "class_descriptions": {}} | card


def bundle_metadata(
    base: Mapping[str, Any],
    card: Mapping[str, Any],
    record: Mapping[str, Any],
    scored: Mapping[str, Any],
    results: Mapping[str, Any],
) -> dict[str, Any]:
    """metadata.json of a bundle: versions from the project's own, words from the card, channels from the classes.

    `channel_def` of the output names the numbers of the label map, 1..K, since MONAI Label reads it as such: channel k
    of the network is number k + 1. `record`, `scored`: see `write_card`. `results`: of the model in evaluation.json, by
    protocol.
    """
    class_names = record["settings"]["class_names"]
    others = " The metrics are of the same training on fewer samples." if lends_scores(scored, record) else ""
    named = ", ".join(f"{number} {name}" for number, name in enumerate(class_names, 1))
    data_format = json.loads(json.dumps(base["network_data_format"]))
    image, pred = data_format["inputs"]["image"], data_format["outputs"]["pred"]
    image["modality"] = card["modality"]
    pred["num_channels"] = len(class_names)
    pred["channel_def"] = {str(number): name for number, name in enumerate(class_names, 1)}
    return {
        **base,
        "name": card["title"],
        "task": card["task"],
        "description": f"{' '.join(card['overview'].split())}{others} Research use only.",
        "data_source": card["data"].splitlines()[0].removeprefix("- Source: "),
        "image_classes": card["image_classes"],
        "label_classes": f"integer map: 0 background, {named}",
        "pred_classes": f"one logit per class, in the order {', '.join(class_names)}; as a map 0 background, {named}",
        "eval_metrics": {f"mean_dice_{protocol}": numbers["mean"] / 100 for protocol, numbers in results.items()},
        "references": list(card["references"]),
        "network_data_format": data_format,
    }


def lends_scores(scored: Mapping[str, Any], record: Mapping[str, Any]) -> bool:
    """Whether the scores are not the network's own but those of another run, by the two run.json."""
    return scored != record


def write_card(path: Path, card: Mapping[str, Any], record: Mapping[str, Any], scored: Mapping[str, Any],
               evaluation: Mapping[str, Any], model: str, best_epoch: int | None, **facts: Any) -> None:  # fmt: skip
    """Write docs/README.md of a bundle.

    Args:
        record: the run's run.json.
        scored: run.json of the run that was evaluated: the same, or one of the same training on fewer patients.
        evaluation: its evaluation.json.
        model: 'B' or 'L', as in the evaluation.
        best_epoch: of B, if known.
        facts: parameters, in_channels, requirements.
    """
    settings, results = record["settings"], evaluation["results"][model]
    rows = [
        {
            "protocol": FOUND_BY[protocol],
            "classes": [_shown(numbers["per_volume"][name]) for name in settings["class_names"]],
            "mean": _shown(numbers["mean"]),
        }
        for protocol, numbers in results.items()
    ]
    best = "the epoch that was best on the validation part" + (f" ({best_epoch})" if best_epoch else "")
    method = (FILTERED if settings.get("filter_and_cleanse", True) else UNFILTERED).format(**settings)
    template = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE), keep_trailing_newline=True, undefined=jinja2.StrictUndefined,
        autoescape=False,
    ).get_template("model_card.md.j2")  # fmt: skip
    text = template.render(
        card=card, settings=settings, method=method, dice=rows, part=evaluation["part"], scored=scored,
        descriptions=card["class_descriptions"], volumes=len(evaluation["cases"]), slices=evaluation["slices"],
        unit="images" if evaluation["slices"] == len(evaluation["cases"]) else "volumes",
        epochs=settings["max_epochs"], chosen=best if model == "B" else "the last epoch",
        device="the CPU" if record["device"] == "cpu" else record["device"], versions=record["versions"],
        this_code=DISTRIBUTION, lent=lends_scores(scored, record), **facts,
    )  # fmt: skip
    path.write_text(text, encoding="utf-8")


def draw_curves(path: Path, rows: list[dict[str, float]], best_epoch: int | None) -> None:
    """Loss and validation Dice of the run as a PNG; no image of a patient is in it. Same rows, same bytes."""
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots(1, 2)
    marks = {"best epoch": best_epoch} if best_epoch else {}
    draw_loss(axes[0], rows, {})
    draw_dice(axes[1], rows, marks)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
