# SPDX-License-Identifier: Apache-2.0
"""Write proposed or merged labels of an imported data set as DICOM SEG that refer to the series they were drawn on.

    python scripts/export_seg.py --labels <audit>/proposed_labels --mapping <private mapping> --output_dir segs

--labels is proposed_labels of an audit, repaired_labels of a run, or a data set made by merge_reviewed.py, all of data
that import_dicom.py made; --mapping is the private mapping file it wrote. Only labels that changed are written, by
provenance.csv; --all writes every label. The folder appears whole or not at all: <case>_seg.dcm. See docs/dicom.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bundle.self_cleansing.errors import explain_errors  # noqa: E402

explain_errors()  # also of the imports that follow, which need packages of an extra

from tqdm import tqdm  # noqa: E402

from bundle.self_cleansing.data import label_names  # noqa: E402
from bundle.self_cleansing.data.msd import DATASET_JSON, msd_labels  # noqa: E402
from bundle.self_cleansing.data.whole_folder import whole_folder  # noqa: E402
from bundle.self_cleansing.dicom import PrivateMapping  # noqa: E402
from bundle.self_cleansing.dicom.cases import check_referable  # noqa: E402
from bundle.self_cleansing.dicom.import_labels import file_masks  # noqa: E402
from bundle.self_cleansing.dicom.quiet import quiet  # noqa: E402
from bundle.self_cleansing.dicom.save_seg import masks_to_seg  # noqa: E402
from bundle.self_cleansing.review import changed_cases  # noqa: E402

_WITHHELD = "a file could not be read or written ({}); check that the data can be read and --output_dir can be written"


def export_seg(
    labels: str | os.PathLike[str],
    mapping_file: str | os.PathLike[str],
    output_dir: str | os.PathLike[str],
    every: bool = False,
) -> list[str]:
    """Write the folder of DICOM SEG, whole or not at all.

    Args:
        labels: a data set with dataset.json; its images may be absent.
        mapping_file: says where the series of its cases lie.
        output_dir: the folder to make.
        every: write all labels, not only those that changed.

    Returns:
        the cases written, sorted; never empty.

    Raises:
        FileNotFoundError: if the mapping file, dataset.json, a label or (without `every`) provenance.csv is missing.
        FileExistsError: if output_dir is taken.
        ValueError: if no label changed, a series is gone, or a label does not lie on its series.
    """
    labels, mapping_file = (Path(os.path.abspath(os.path.expanduser(one))) for one in (labels, mapping_file))
    if not mapping_file.is_file():
        raise FileNotFoundError(
            f"mapping file {mapping_file} does not exist; give the private mapping file that import_dicom.py wrote"
        )
    if not (labels / DATASET_JSON).is_file():
        raise FileNotFoundError(f"labels {labels} has no {DATASET_JSON}; give the labels of imported DICOM data")
    mapping, files, names = PrivateMapping(mapping_file), msd_labels(labels), list(label_names(labels).values())
    cases = sorted(files) if every else changed_cases(labels)
    if unknown := [case for case in cases if case not in files]:
        raise ValueError(f"provenance.csv of {labels} names {unknown[0]}, which {DATASET_JSON} does not; restore both")
    if not cases:
        raise ValueError(f"no label of {labels} changed, so there is nothing to write; pass --all to write every label")
    with whole_folder(output_dir) as folder:
        for case in tqdm(cases, desc="series", unit="series"):
            series = mapping.series(case)
            check_referable([series], series.folder.parent)
            masks = file_masks(files[case], series, case, names, ())
            seg = masks_to_seg(masks, series, names, case)
            with quiet():
                seg.save_as(folder / f"{case}_seg.dcm")
    return cases


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, write the files, print how many."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--labels", required=True, help="proposed_labels, repaired_labels or a merged data set")
    parser.add_argument("--mapping", required=True, help="private mapping file of the import")
    parser.add_argument("--output_dir", required=True, help="folder to make; not there, or empty")
    parser.add_argument("--all", action="store_true", help="write all labels, not only those that changed")
    options = parser.parse_args(arguments)
    try:
        cases = export_seg(options.labels, options.mapping, options.output_dir, options.all)
    except (ValueError, OSError) as error:
        raw = isinstance(error, OSError) and error.errno is not None  # its text quotes a path, maybe a patient's
        sys.exit(f"error: {_WITHHELD.format(error.strerror)}" if raw else f"error: {error}")
    print(
        f"{len(cases)} DICOM SEG in {options.output_dir}: they name their patients, keep them apart from the data set"
    )


if __name__ == "__main__":
    main()
