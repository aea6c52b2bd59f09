# SPDX-License-Identifier: Apache-2.0
"""Make a data set to train on from DICOM: every image series that has a label becomes a NIfTI image and a NIfTI label.

    python scripts/import_dicom.py --dicom_dir <DICOM folder> --output_dir data/liver --label_names liver spleen

Labels are DICOM SEG and RTSTRUCT anywhere below --dicom_dir that refer to the series, or files (NIfTI, NRRD) named by
--label_file or --labels. The folder appears when it is complete: imagesTr/case_0001.nii.gz, labelsTr/case_0001.nii.gz,
..., dataset.json. Which patient a case is, only the private mapping file beside it says. See docs/dicom.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bundle.self_cleansing.errors import explain_errors  # noqa: E402

explain_errors()  # also of the imports that follow, which need packages of an extra

import nibabel as nib  # noqa: E402
import numpy as np  # noqa: E402
from tqdm import tqdm  # noqa: E402

from bundle.self_cleansing.data import check_image, find_cases, write_json  # noqa: E402
from bundle.self_cleansing.data.msd import DATASET_JSON, case_name  # noqa: E402
from bundle.self_cleansing.data.whole_folder import whole_folder  # noqa: E402
from bundle.self_cleansing.dicom import PrivateMapping, Series, find_label_objects, find_series  # noqa: E402
from bundle.self_cleansing.dicom.import_labels import LabelSource, file_masks, object_masks, same_name  # noqa: E402
from bundle.self_cleansing.dicom.label_objects import LabelObject, read_label_object  # noqa: E402
from bundle.self_cleansing.dicom.reader import series_values  # noqa: E402

_WITHHELD = "a file could not be read or written ({}); check that the data can be read and --output_dir can be written"
LABEL_EXTENSIONS = (".nii", ".nii.gz", ".nrrd", ".mha")


@dataclass(frozen=True)
class Imported:
    """What was written: cases, patients; series without a label and labels without a series, as they may be shown."""

    cases: int
    patients: int
    left_out: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


def import_dicom(
    dicom_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    label_names: Sequence[str],
    segments: Sequence[str] = (),
    label_files: Sequence[tuple[str, str]] = (),
    labels: str | os.PathLike | None = None,
    label_values: Sequence[int] = (),
    mapping_file: str | os.PathLike | None = None,
    absent_is_empty: bool = False,
) -> Imported:
    """Write the data set, whole or not at all.

    Args:
        dicom_dir: searched for series and labels.
        output_dir: the folder to make.
        label_names: the classes, label values 1..K.
        segments: what segments and regions of each class are called, K names; (): as the classes.
        label_files: pairs of a series' folder (absolute, or relative to dicom_dir) and its label file.
        labels: a folder of label files; each is named (a trailing _seg aside) after the series' folder, its
            SeriesInstanceUID, or its case in an existing mapping file.
        label_values: value of each class in label files, K numbers; (): 1..K.
        mapping_file: (): <output_dir>_private_mapping.csv.
        absent_is_empty: a class that a series' SEG or RTSTRUCT does not name is empty there.

    Returns:
        Counts, the series without a label, and the SEG and RTSTRUCT that refer to none of the series.

    Raises:
        FileNotFoundError, FileExistsError, ValueError: with one sentence; nothing is written.
    """
    root, output_dir = _absolute(dicom_dir), _absolute(output_dir)
    mapping_file = _absolute(mapping_file or f"{output_dir}_private_mapping.csv")
    if mapping_file.is_relative_to(output_dir):
        raise ValueError(f"mapping_file {mapping_file} must lie outside the data set {output_dir}: it names patients")
    for what, values in (("segments", segments), ("label_values", label_values)):
        if values and len(values) != len(label_names):
            raise ValueError(
                f"{what} must be as many as label_names ({len(label_names)}: {', '.join(label_names)}), "
                f"got {len(values)}"
            )
    for what, values in (("label_names", label_names), ("segments", segments)):
        for number, value in enumerate(values):
            if any(same_name(value, other) for other in values[:number]):
                raise ValueError(
                    f"{what} must differ in more than case and signs, got {value} twice; name each class once"
                )
    mapping = PrivateMapping(mapping_file)
    series = find_series(root)
    objects = find_label_objects(root)
    sources = find_sources(root, series, objects, mapping, label_files, labels)
    used = {label.path for source in sources.values() for label in source.objects}
    stray = [one for one in objects if one.path not in used and not any(map(one.refers_to, series))]
    unused = [one.identifiers.path(one.path, root) for one in stray]
    chosen = [one for one in series if one.folder in sources]
    left_out = [one.identifiers.path(one.folder, root) for one in series if one.folder not in sources]
    if not chosen:
        raise ValueError(
            f"none of the {len(series)} series below {root} has a label: no SEG or RTSTRUCT refers to one"
            + (f" ({', '.join(unused)} to others)" if unused else "")
            + "; add them, or name label files with --label_file or --labels"
        )
    _check_some_label(segments or label_names, [sources[one.folder] for one in chosen])
    names = mapping.number(chosen)
    patients = mapping.patients(names)
    with whole_folder(output_dir) as folder:
        entries = []
        for one, case in tqdm(list(zip(chosen, names, strict=True)), desc="series", unit="series"):
            source = sources[one.folder]
            if source.file:
                masks = file_masks(source.file, one, case, label_names, label_values)
            else:
                masks = object_masks(source, one, segments or label_names, root, absent_is_empty)
            image = series_values(one)
            check_image(image, one.identifiers.path(one.folder, root))
            entry = {"image": f"./imagesTr/{case}.nii.gz", "label": f"./labelsTr/{case}.nii.gz"}
            _save(_compact(image), one.affine, folder / entry["image"])
            _save(_label(masks), one.affine, folder / entry["label"])
            entries.append(entry | {"patient": patients[case]})
        _describe(folder, output_dir.name, label_names, chosen, entries)
        find_cases(folder)  # what cannot be read back is not left behind
        mapping.write()
    return Imported(len(entries), len(set(patients.values())), left_out, unused)


def find_sources(
    root: Path,
    series: Sequence[Series],
    objects: Sequence[LabelObject],
    mapping: PrivateMapping,
    label_files: Sequence[tuple[str, str]],
    labels: str | os.PathLike | None,
) -> dict[Path, LabelSource]:
    """Say where the label of each series comes from: a named file first, then the folder of files, then DICOM objects.

    Returns:
        series folder -> source, of those that have one.

    Raises:
        ValueError, FileNotFoundError: if a file or folder is missing, or belongs to no series or to several.
    """
    found = {
        one.folder: LabelSource(objects=tuple(label for label in objects if label.refers_to(one)))
        for one in series
        if any(label.refers_to(one) for label in objects)
    }
    files = _files_of_folder(_absolute(labels), series, mapping) if labels else {}
    named: dict[Path, str] = {}
    for folder, file in label_files:
        match = [one for one in series if one.folder in (_absolute(folder), root / folder)]
        if not match:
            raise ValueError(
                "--label_file names a folder that holds no image series; give it relative to --dicom_dir, as in "
                "--label_file 'folder=label.nii.gz'"
            )
        if match[0].folder in named:
            raise ValueError(
                f"--label_file names series folder {folder} twice, with {named[match[0].folder]} and {file}; a series "
                "has one label file"
            )
        if not _absolute(file).is_file():
            raise FileNotFoundError(f"label file {file} of --label_file {folder}={file} does not exist; check its path")
        named[match[0].folder] = file
        files[match[0].folder] = _absolute(file)
    for folder, file in files.items():
        if file.name.lower().endswith(LABEL_EXTENSIONS):
            found[folder] = LabelSource(file=file)
        else:
            found[folder] = LabelSource(objects=(read_label_object(file, file.parent, series[0].identifiers),))
    return found


def _check_some_label(segments: Sequence[str], sources: Sequence[LabelSource]) -> None:
    """Refuse a class that nothing names; label files are not asked, their values have no names."""
    if any(source.file for source in sources):
        return
    labels = {(label.path, name): label for source in sources for label in source.objects for name in label.names}
    for segment in segments:
        if not any(same_name(segment, name) for _, name in labels):
            there = sorted({label.identifiers.text(name) for (_, name), label in labels.items()})
            raise ValueError(
                f"no segment or region of any series is called {segment}; there are: {', '.join(there) or 'none'}; "
                "name it with --segments"
            )


def _files_of_folder(folder: Path, series: Sequence[Series], mapping: PrivateMapping) -> dict[Path, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(f"labels {folder} is no folder; check --labels")
    cases = {row["case"]: (row["StudyInstanceUID"], row["SeriesInstanceUID"], row["folder"]) for row in mapping.rows}
    found: dict[Path, Path] = {}
    for file in sorted(folder.iterdir()):
        if not file.name.lower().endswith(LABEL_EXTENSIONS) or file.name.startswith("."):
            continue
        name = case_name(file).removesuffix("_seg")
        match = [
            one
            for one in series
            if name in (one.folder.name, one.series_uid or None)
            or cases.get(name, ())[: 2 if one.series_uid else 3]
            == (one.study_uid, one.series_uid, str(one.folder))[: 2 if one.series_uid else 3]
        ]
        shown = series[0].identifiers.path(file, folder)
        if len(match) != 1 or match[0].folder in found:
            what = f"fits {len(match)} series" if len(match) != 1 else "is a second label of one series"
            raise ValueError(
                f"label file {shown} {what}; name it after the series' folder, SeriesInstanceUID or case, or use "
                "--label_file"
            )
        found[match[0].folder] = file
    return found


def _compact(image: np.ndarray) -> np.ndarray:
    """Whole numbers of 16 bits where nothing is lost."""
    short = image.astype(np.int16) if np.abs(image).max() < 2**15 else image
    return short if (short == image).all() else image


def _label(masks: np.ndarray) -> np.ndarray:
    """An integer map, or the masks themselves in a last axis if classes overlap."""
    if (masks.sum(axis=0) > 1).any():
        return np.moveaxis(masks, 0, -1).astype(np.uint8)
    label = np.zeros(masks.shape[1:], np.uint8 if len(masks) < 256 else np.uint16)
    for value, mask in enumerate(masks, 1):
        label[mask] = value
    return label


def _save(values: np.ndarray, affine: np.ndarray, path: Path) -> None:
    path.parent.mkdir(exist_ok=True)
    nifti = nib.Nifti1Image(values, affine)
    nifti.set_sform(affine, code=1)
    nifti.set_qform(affine, code=1)
    nifti.header.set_xyzt_units("mm")
    nib.save(nifti, path)


def _describe(
    folder: Path, name: str, label_names: Sequence[str], series: Sequence[Series], entries: list[dict[str, str]]
) -> None:
    modalities = {one.modality for one in series}
    content = {
        "name": name,
        **({"modality": {"0": modalities.pop()}} if len(modalities) == 1 else {}),
        "labels": {"0": "background"} | {str(value): one for value, one in enumerate(label_names, 1)},
        "numTraining": len(entries),
        "numTest": 0,
        "training": entries,
        "test": [],
    }
    write_json(folder / DATASET_JSON, content)


def _absolute(path: str | os.PathLike) -> Path:
    return Path(os.path.abspath(os.path.expanduser(path)))


def _pair(text: str) -> tuple[str, str]:
    folder, equals, file = text.rpartition("=")
    if not (folder and equals and file):
        raise argparse.ArgumentTypeError("must be <series folder>=<label file>")
    return folder, file


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, write the data set, print what it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dicom_dir", required=True, help="searched for series and labels with all folders below")
    parser.add_argument("--output_dir", required=True, help="folder to make; not there, or empty")
    parser.add_argument("--label_names", nargs="+", required=True, help="the classes: label values 1, 2, ...")
    parser.add_argument("--segments", nargs="+", default=(), help="their names in SEG and RTSTRUCT, if other")
    parser.add_argument("--absent_is_empty", action="store_true", help="a class that a SEG or RTSTRUCT lacks is empty")
    parser.add_argument("--label_file", nargs="+", type=_pair, default=(), help="<series folder>=<label file> ...")
    parser.add_argument("--labels", help="folder of label files named after series folder, SeriesInstanceUID or case")
    parser.add_argument(
        "--label_values", nargs="+", type=int, default=(), help="of the classes in label files, if other"
    )
    parser.add_argument("--mapping_file", help="private; default: <output_dir>_private_mapping.csv")
    options = vars(parser.parse_args(arguments))
    options["label_files"] = options.pop("label_file")
    try:
        imported = import_dicom(**options)
    except (ValueError, OSError) as error:
        raw = isinstance(error, OSError) and error.errno is not None  # its text quotes a path, maybe a patient's
        sys.exit(f"error: {_WITHHELD.format(error.strerror)}" if raw else f"error: {error}")
    if imported.unused:
        print(f"{len(imported.unused)} SEG or RTSTRUCT of series that were not found: {', '.join(imported.unused)}")
    if imported.left_out:
        print(f"{len(imported.left_out)} series without label left out: {', '.join(imported.left_out)}")
    print(f"{options['output_dir']}: {imported.cases} cases of {imported.patients} patients")
    print("the private mapping file says whose they are: keep it apart from the data set")


if __name__ == "__main__":
    main()
