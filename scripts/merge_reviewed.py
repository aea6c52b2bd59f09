# SPDX-License-Identifier: Apache-2.0
"""Merge corrected labels into a new data set in the layout of the given one.

    python scripts/merge_reviewed.py --studies review --dataset_dir <data> --output_dir data/reviewed
    python scripts/merge_reviewed.py --corrections <folder> --dataset_dir <data> --output_dir data/reviewed

--studies is the folder of a review with MONAI Label; its labels tagged final are taken. --corrections is any folder of
label files named by case (case_0001.nii.gz, b.png) or like the label they correct. The given data are only read. The
new folder appears whole or not at all, can be trained on, and says in provenance.csv where every label comes from. See
docs/review.md.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bundle.self_cleansing.data import find_cases, label_names  # noqa: E402
from bundle.self_cleansing.review import (  # noqa: E402
    Correction,
    corrections_of_folder,
    corrections_of_studies,
    merge_reviewed,
)
from bundle.self_cleansing.review.corrected_masks import OVERLAPS  # noqa: E402


def find_corrections(options: argparse.Namespace) -> tuple[dict[str, Correction], list[str]]:
    """Corrections of both sources by case, and names of files that are passed over.

    Raises:
        ValueError: if a case is in both sources, or as the two sources.
    """
    found = corrections_of_studies(options.studies) if options.studies else {}
    if not options.corrections:
        return found, []
    more, passed_over = corrections_of_folder(options.corrections, find_cases(options.dataset_dir))
    for case in found.keys() & more.keys():
        raise ValueError(f"{found[case].file} and {more[case].file} correct one case; keep one of them")
    return found | more, passed_over


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, merge, print what came to the new data set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--studies", help="studies folder of a review with MONAI Label")
    add("--corrections", help="folder of corrected label files, named by case")
    add("--dataset_dir", required=True, help="the data that were reviewed")
    add("--output_dir", required=True, help="data set to make; it must not exist or be empty")
    add("--overlaps", choices=OVERLAPS, help="where given classes overlap and the correction is a map, which shows one")
    add("--label_names", nargs="+", help="class names of the label values 1, 2, ... (default: as declared)")
    add("--copy_images", action="store_true", help="copy the images instead of linking them")
    options = parser.parse_args(arguments)
    if not (options.studies or options.corrections):
        parser.error("pass --studies, --corrections or both")
    try:
        corrections, passed_over = find_corrections(options)
        names = options.label_names or label_names(options.dataset_dir)
        merged = merge_reviewed(
            options.dataset_dir,
            options.output_dir,
            corrections,
            names,
            options.overlaps,
            options.copy_images,
            progress=True,
        )
    except (OSError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    if passed_over:
        print(f"{len(passed_over)} files are no labels by their names and were passed over: {', '.join(passed_over)}")
    print(
        f"{merged.cases} cases in {options.output_dir}: {merged.changed} with a changed label "
        f"({merged.changed_voxels} voxels), {merged.confirmed} confirmed, "
        f"{merged.cases - merged.changed - merged.confirmed} kept"
    )


if __name__ == "__main__":
    main()
