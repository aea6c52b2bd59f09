# SPDX-License-Identifier: Apache-2.0
"""Draw the least trusted slices of a finished audit, given label solid and proposal dashed, as one picture.

    python scripts/draw_least_trusted.py --audit runs/audit --dataset_dir <data> --count 20 --output least_trusted.png

The picture shows parts of the data: mind their licence before you share it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from finished_audit import FinishedAudit, add_arguments, from_options  # noqa: E402

from bundle.self_cleansing.audit.fold_evidence import proposals  # noqa: E402
from bundle.self_cleansing.data.whole_file import whole_file  # noqa: E402
from bundle.self_cleansing.report.colours import class_colour  # noqa: E402

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402

COLUMNS = 5
CELL_INCHES = 2.1


def draw(audit: FinishedAudit, count: int, path: Path) -> None:
    """Write a PNG of the `count` least trusted slices, the least trusted first."""
    samples = audit.found["samples"]
    order = sorted(range(len(samples)), key=lambda row: (samples[row]["trust"], samples[row]["sample"]))[:count]
    rows = -(-len(order) // COLUMNS)
    figure, axes = pyplot.subplots(
        rows, COLUMNS, figsize=(COLUMNS * CELL_INCHES, rows * (CELL_INCHES + 0.3)), squeeze=False, layout="constrained"
    )
    kinds = audit.column("kind")
    for axis in axes.ravel():
        axis.axis("off")
    for number, (row, axis) in enumerate(zip(order, axes.ravel(), strict=False), start=1):
        axis.imshow(audit.bank.images[row, 0].numpy().T, cmap="gray")
        given, proposed = audit.bank.labels[row].numpy(), proposals(audit.probs[row][None])[0]
        for k in range(len(given)):
            for mask, style in ((given[k], "solid"), (proposed[k], "dashed")):
                if 0 < np.count_nonzero(mask) < mask.size:
                    axis.contour(mask.T, [0.5], colors=[class_colour(k)], linestyles=style, linewidths=1)
        suspect = samples[row]["suspect"]
        kind = kinds[row, audit.found["classes"].index(suspect[0])] if suspect else "trusted"
        name = samples[row]["sample"] if samples[row]["slice"] or len(audit.found["cases"]) < len(samples) else ""
        axis.set_title(f"{number}. {name or samples[row]['case']}\n{samples[row]['trust']:.2f}, {kind}", fontsize=7)
    with whole_file(path) as temporary:
        figure.savefig(temporary, dpi=110)
    pyplot.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--count", type=int, default=20, help="slices to draw")
    parser.add_argument("--output", required=True, type=Path, help="the PNG to write")
    options = parser.parse_args(arguments)
    try:
        draw(from_options(options), options.count, options.output)
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")


if __name__ == "__main__":
    main()
