# SPDX-License-Identifier: Apache-2.0
"""Tables and plots of the finished cells of scripts/run_grid.py.

    python scripts/tabulate_results.py --grid_dir runs/grid --output_dir docs/results

The figures of the cells are merged into <output_dir>/accuracy.csv, curves.csv and volumes.csv, where they replace older
ones of the same cell; from these files, and <output_dir>/published.csv if it is there, everything else is made:
    tables.md     all tables, in the layouts of the papers
    tables/       each table as CSV and LaTeX
    plots/        Dice against the noise level; *_curves.png: validation Dice over the epochs
Without --grid_dir all is made anew from these files.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from accuracy_rows import (  # noqa: E402
    COLUMNS,
    CURVE_COLUMNS,
    CURVES_SORTED_BY,
    VOLUME_COLUMNS,
    Row,
    curve_of,
    merge,
    read_cells,
    read_rows,
    rows_of,
    volumes_of,
)
from result_plots import plot_learning_curves, plot_noise_levels  # noqa: E402
from result_tables import PUBLISHED_COLUMNS, tables  # noqa: E402

from bundle.self_cleansing.data.whole_file import write_text  # noqa: E402


def tabulate(grid_dirs: Sequence[Path], output_dir: Path) -> list[Row]:
    """Merge, and write all files (see the top of this file); return the rows of accuracy.csv.

    Raises:
        FileNotFoundError: a folder holds no finished cell, or there is nothing to tabulate.
        ValueError: accuracy.csv, curves.csv, volumes.csv or published.csv lacks a column.
    """
    cells = list(read_cells(grid_dirs))
    path, path_of_curves = output_dir / "accuracy.csv", output_dir / "curves.csv"
    rows = merge(read_rows(path), (row for cell in cells for row in rows_of(cell)))
    if not rows:
        raise FileNotFoundError(f"{path} does not exist or is empty; give finished cells with --grid_dir")
    new_curves = (row for cell in cells for row in curve_of(cell))
    curves = merge(read_rows(path_of_curves, CURVE_COLUMNS), new_curves, CURVES_SORTED_BY)
    path_of_volumes = output_dir / "volumes.csv"
    new_volumes = (row for cell in cells for row in volumes_of(cell))
    volumes = merge(read_rows(path_of_volumes, VOLUME_COLUMNS), new_volumes, VOLUME_COLUMNS)
    published = read_rows(output_dir / "published.csv", PUBLISHED_COLUMNS)
    write_text(path, _csv(rows, COLUMNS))
    write_text(path_of_curves, _csv(curves, CURVE_COLUMNS))
    write_text(path_of_volumes, _csv(volumes, VOLUME_COLUMNS))
    made = tables(rows, published, volumes)
    for table in made:
        write_text(output_dir / "tables" / f"{table.name}.csv", table.csv())
        write_text(output_dir / "tables" / f"{table.name}.tex", table.latex())
    head = "# Tables\n\nMade by scripts/tabulate_results.py from [accuracy.csv](accuracy.csv); do not edit.\n\n"
    write_text(output_dir / "tables.md", head + "\n".join(table.markdown() for table in made))
    plot_noise_levels(rows, output_dir / "plots")
    plot_learning_curves(curves, output_dir / "plots")
    return rows


def _csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--grid_dir", nargs="*", type=Path, default=[], help="output folders of scripts/run_grid.py")
    add("--output_dir", type=Path, default=Path("docs/results"), help="default docs/results")
    options = parser.parse_args(arguments)
    try:
        rows = tabulate(options.grid_dir, options.output_dir)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    print(f"{len(rows)} rows in {options.output_dir / 'accuracy.csv'}; tables.md, tables/ and plots/ are beside it")


if __name__ == "__main__":
    main()
