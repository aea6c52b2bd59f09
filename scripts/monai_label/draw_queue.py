# SPDX-License-Identifier: Apache-2.0
"""Draw the head of a review queue: image, given and proposed label of the cases that are served first.

    python scripts/monai_label/draw_queue.py --studies studies --output_file queue.png

The server must have been started once with these studies: it writes the scores there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import nibabel as nib  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent / "review_app")]

from lib.trust import SCORE, place_in_queue  # noqa: E402

from bundle.self_cleansing.data import read_json  # noqa: E402
from bundle.self_cleansing.report.figure import save_png  # noqa: E402
from bundle.self_cleansing.report.samples import PanelSample, draw_sample  # noqa: E402

DATASTORE, TAGS = "datastore_v2.json", ("original", "proposed")


def waiting_cases(studies: str | os.PathLike[str]) -> list[tuple[str, dict[str, Any]]]:
    """Image id and score of every case that has no final label, in the order in which they are served.

    Raises:
        FileNotFoundError: if no server was ever started with these studies.
        ValueError: if none of them waits, or none has a score.
    """
    path = Path(studies) / DATASTORE
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; start the review server with these studies once")
    record = read_json(path)
    try:
        objects = record["objects"]
        waiting = {name: entry["image"]["info"] for name, entry in objects.items() if "final" not in entry["labels"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{path} is no record of MONAI Label ({error!r}); restore it, or start the review server once more"
        ) from error
    order = sorted(waiting, key=lambda name: place_in_queue(name, waiting[name]))
    scored = [(name, waiting[name][SCORE]) for name in order if SCORE in waiting[name]]
    if not scored:
        raise ValueError(f"no case of {path} waits for a review; all have a final label, or it is not of a review")
    return scored


def draw_queue(studies: str | os.PathLike[str], target: str | os.PathLike[str], count: int = 3) -> None:
    """Write a PNG with one row per case: the slice that the proposal changes most."""
    cases = waiting_cases(studies)[:count]
    figure = Figure(figsize=(7.5, 2.7 * len(cases)), layout="constrained", dpi=80)
    for row, (name, score) in zip(figure.subfigures(len(cases), 1, squeeze=False)[:, 0], cases, strict=True):
        number = max(score["look_at"], 0)
        image = _plane(Path(studies), name, number)
        given, proposed = (_plane(Path(studies) / "labels" / tag, name, number) for tag in TAGS)
        classes = range(1, int(max(given.max(), proposed.max(), 1)) + 1)
        masks = [np.stack([label == k for k in classes]) for label in (given, proposed)]
        axes = row.subplots(1, 3)
        draw_sample(axes, PanelSample(name, "", None, image, masks[0], None, masks[1]))
        for ax, title in zip(axes, ("image", "given label", "proposed label"), strict=True):
            ax.set_title(title, fontsize="small")
        row.suptitle(
            f"{name}, slice {number}: trust {score['trust']:.2g}, {score['doubtful']} of {score['entries']} entries "
            f"doubtful, {score['changed_voxels']} voxels changed",
            fontsize="small",
        )
    save_png(figure, target)


def _plane(folder: Path, name: str, number: int) -> np.ndarray:
    """One slice, along the last axis, of the file of this name in a folder: float (H, W)."""
    file = next((file for file in (folder / f"{name}.nii.gz", folder / f"{name}.nii") if file.is_file()), None)
    if file is None:
        raise FileNotFoundError(f"{folder} holds no image of case {name}; restore it, or prepare the review again")
    volume = np.asarray(nib.load(file).dataobj, dtype=np.float32)  # type: ignore[attr-defined]
    return np.atleast_3d(volume)[..., number]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", required=True, help="studies folder of a review")
    parser.add_argument("--output_file", required=True, help="PNG to write")
    parser.add_argument("--count", type=int, default=3, help="how many cases (default 3)")
    options = parser.parse_args(arguments)
    if options.count < 1:
        parser.error(f"--count must be at least 1, got {options.count}")
    try:
        draw_queue(options.studies, options.output_file, options.count)
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
