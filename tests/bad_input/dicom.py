# SPDX-License-Identifier: Apache-2.0
"""DICOM series, SEG and RTSTRUCT, given to the import and to inference; and the way back to SEG."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pydicom
from bad_input.row import Row, nothing
from dicom.generated import save
from pydicom.dataset import Dataset

IMPORT = "import_dicom --dicom_dir {w}/contours --output_dir {w}/out --label_names organ"
IMPORT_SEG = IMPORT.replace("contours", "masks")
SEGMENT = (
    "run inference --config_file ['{root}/configs/inference.yaml','{root}/configs/dicom.yaml'] --bundle_root {root} "
    "--dataset_dir {w}/contours --checkpoint {w}/model.pt --output_dir {w}/out"
)
SLICE, CONTOURS, MASKS = "contours/ct/slice2", "contours/rtstruct", "masks/seg"
Spoil = Callable[[Path], object]


def row(name: str, spoil: Spoil, command: str, sentence: str) -> Row:
    return Row(f"dicom: {name}", spoil, command, sentence, "recordings")


def edited(name: str, change: Callable[[Dataset], object]) -> Spoil:
    """Change the data set of a file."""

    def spoil(world: Path) -> None:
        content = pydicom.dcmread(world / name)
        change(content)
        save(content, world / name)

    return spoil


def values(name: str, **attributes: object) -> Spoil:
    return edited(name, lambda content: [setattr(content, key, value) for key, value in attributes.items()])


def cut(name: str, size: int) -> Spoil:
    return lambda world: (world / name).write_bytes((world / name).read_bytes()[:size])


ROWS = [
    row(
        "no folder",
        nothing,
        IMPORT.replace("contours", "nowhere"),
        "error: DICOM folder {w}/nowhere does not exist; give the folder that holds the series, or one above",
    ),
    row(
        "folder without an image",
        lambda w: shutil.rmtree(w / "contours/ct"),
        IMPORT,
        "error: {w}/contours holds no DICOM image (1 DICOM files without one); give the folder of a "
        "series, or one above (NIfTI needs no configs/dicom.yaml)",
    ),
    row(
        "header cut short",
        cut(SLICE, 300),
        IMPORT,
        "error: file ct/slice2 is damaged: its header is cut short; copy it again from its source",
    ),
    row(
        "file cut before its header",
        cut(SLICE, 100),
        IMPORT,
        "error: slices of series ct are not equidistant (distances from 2.000 to 4.000 mm, worst at "
        "slice1); export a series with one slice distance, or resample it",
    ),
    row(
        "pixels cut short",
        cut(SLICE, -20),
        IMPORT,
        "error: file ct/slice2 is cut short: 76 of 96 bytes of pixel data are there; copy it again from its source",
    ),
    row(
        "slice without pixels",
        edited(SLICE, lambda c: c.pop("PixelData")),
        IMPORT,
        "error: file ct/slice2 has no pixel data (a header only, or cut short); copy it again from its source",
    ),
    row(
        "slice lost",
        lambda w: (w / SLICE).unlink(),
        IMPORT,
        "error: slices of series ct are not equidistant (distances from 2.000 to 4.000 mm, worst at "
        "slice1); export a series with one slice distance, or resample it",
    ),
    row(
        "slice twice",
        lambda w: shutil.copy(w / SLICE, w / "contours/ct/copy"),
        IMPORT,
        "error: series ct has two slices at one position, copy and slice2: several phases, echoes or "
        "copies in one series; keep one image per position",
    ),
    row(
        "slice without a position",
        edited(SLICE, lambda c: c.pop("ImagePositionPatient")),
        IMPORT,
        "error: file ct/slice2 has no valid ImagePositionPatient and ImageOrientationPatient, so its "
        "place in the volume is unknown; export the series again, or move the file out of the folder",
    ),
    row(
        "slice without a spacing",
        edited(SLICE, lambda c: c.pop("PixelSpacing")),
        IMPORT,
        "error: file ct/slice2 has no valid PixelSpacing, Rows and Columns, so its scale is unknown; "
        "export the series again, or move the file out of the folder",
    ),
    row(
        "pixels of no size",
        values(SLICE, PixelSpacing=[0, 0]),
        IMPORT,
        "error: file ct/slice2 has no valid PixelSpacing, Rows and Columns, so its scale is unknown; "
        "export the series again, or move the file out of the folder",
    ),
    row(
        "pixels of a size below zero",
        values(SLICE, PixelSpacing=[-1, -1]),
        IMPORT,
        "error: file ct/slice2 has no valid PixelSpacing, Rows and Columns, so its scale is unknown; "
        "export the series again, or move the file out of the folder",
    ),
    row(
        "pixels of two sizes",
        values(SLICE, PixelSpacing=[1, 1]),
        IMPORT,
        "error: slices of series ct differ in pixel spacing: ct/slice0 and ct/slice2 have 0.5x0.75 and "
        "1x1 mm; keep slices of one spacing",
    ),
    row(
        "slices of two orientations",
        values(SLICE, ImageOrientationPatient=[0, 1, 0, 1, 0, 0]),
        IMPORT,
        "error: slices of series ct have two orientations: ct/slice0 and ct/slice2 are not parallel "
        "(localisers?); put each orientation into a folder of its own",
    ),
    row(
        "orientation of nothing",
        values(SLICE, ImageOrientationPatient=[0] * 6),
        IMPORT,
        "error: file ct/slice2 has no valid ImagePositionPatient and ImageOrientationPatient, so its "
        "place in the volume is unknown; export the series again, or move the file out of the folder",
    ),
    row(
        "slices of two sizes",
        values(SLICE, Rows=3),
        IMPORT,
        "error: slices of series ct differ in size: ct/slice0 and ct/slice2 have 8x6 and 8x3 pixels; "
        "keep slices of one size",
    ),
    row(
        "slice of no rows",
        values(SLICE, Rows=0),
        IMPORT,
        "error: file ct/slice2 has no valid PixelSpacing, Rows and Columns, so its scale is unknown; "
        "export the series again, or move the file out of the folder",
    ),
    row(
        "three samples per pixel, of one",
        values(SLICE, SamplesPerPixel=3),
        IMPORT,
        "error: file ct/slice2 is cut short: 96 of 288 bytes of pixel data are there; copy it again from its source",
    ),
    row(
        "inverted gray values",
        values(SLICE, PhotometricInterpretation="MONOCHROME1"),
        IMPORT,
        "error: file ct/slice2 has gray values of another meaning than MONOCHROME2 "
        "(PhotometricInterpretation says MONOCHROME1); convert the series, or move the file out of the "
        "folder",
    ),
    row(
        "two frames, of one",
        values(SLICE, NumberOfFrames=2),
        IMPORT,
        "error: file ct/slice2 is cut short: 96 of 192 bytes of pixel data are there; copy it again from its source",
    ),
    row(
        "two series in one folder",
        values(SLICE, SeriesInstanceUID="1.2.3"),
        IMPORT,
        "error: folder ct mixes 2 image series (4 images); put each series into a folder of its own",
    ),
    row(
        "two patients in one series",
        values(SLICE, PatientID="other"),
        IMPORT,
        "error: slices of series ct differ in PatientID: ct/slice0 and ct/slice2 are of two patients; "
        "put each into a folder of its own",
    ),
    row(
        "pixels of 7 bits",
        values(SLICE, BitsAllocated=7),
        IMPORT,
        "error: pixel data of file ct/slice2 cannot be decoded: the file is damaged; copy it again from its source",
    ),
    row(
        "slope beyond all numbers",
        values(SLICE, RescaleSlope="1e400"),
        IMPORT,
        "error: image ct holds NaN or infinite values (48 of 192); repair the file or take it out",
    ),
    row(
        "class that nobody drew",
        nothing,
        IMPORT.replace("organ", "liver"),
        "error: no segment or region of any series is called liver; there are: organ; name it with --segments",
    ),
    row(
        "class twice",
        nothing,
        IMPORT + " Organ",
        "error: label_names must differ in more than case and signs, got Organ twice; name each class once",
    ),
    row(
        "more segments than classes",
        nothing,
        IMPORT + " --segments a b",
        "error: segments must be as many as label_names (1: organ), got 2",
    ),
    row(
        "taken folder",
        lambda w: (w / "out/x").mkdir(parents=True),
        IMPORT,
        "error: output_dir {w}/out exists and is not empty; give a new folder, or remove this one",
    ),
    row(
        "mapping file in the data set",
        nothing,
        IMPORT + " --mapping_file {w}/out/map.csv",
        "error: mapping_file {w}/out/map.csv must lie outside the data set {w}/out: it names patients",
    ),
    row(
        "mapping file of garbage",
        lambda w: (w / "map.csv").write_text("a,b\n1,2\n"),
        IMPORT + " --mapping_file {w}/map.csv",
        "error: mapping file {w}/map.csv must have the columns ~, cases like case_0001 and patients like "
        "patient_0001; restore it, or remove it together with the results beside it",
    ),
    row(
        "no label file",
        nothing,
        IMPORT + " --label_file ct=nowhere.nii.gz",
        "error: label file nowhere.nii.gz of --label_file ct=nowhere.nii.gz does not exist; check its path",
    ),
    row(
        "label file without a series",
        nothing,
        IMPORT + " --label_file ct",
        "import_dicom.py: error: argument --label_file: must be <series folder>=<label file>",
    ),
    row(
        "label file of garbage",
        lambda w: (w / "l.nii.gz").write_bytes(b"x"),
        IMPORT + " --label_file ct={w}/l.nii.gz",
        "error: l.nii.gz cannot be read: the file is damaged, incomplete or not in the format of its "
        "extension (~); copy it again from its source or take it out of the data set",
    ),
    row(
        "label file of no series",
        lambda w: (w / "l.nii.gz").write_bytes(b"x"),
        IMPORT + " --label_file mr={w}/l.nii.gz",
        "error: --label_file names a folder that holds no image series; give it relative to --dicom_dir, "
        "as in --label_file 'folder=label.nii.gz'",
    ),
    row(
        "no folder of labels",
        nothing,
        IMPORT + " --labels {w}/nowhere",
        "error: labels {w}/nowhere is no folder; check --labels",
    ),
    row(
        "word for a label value",
        nothing,
        IMPORT + " --label_values x",
        "import_dicom.py: error: argument --label_values: invalid int value: 'x'",
    ),
    row(
        "RTSTRUCT without regions",
        edited(CONTOURS, lambda c: c.pop("StructureSetROISequence")),
        IMPORT,
        "error: RTSTRUCT rtstruct is damaged or incomplete; copy it again",
    ),
    row(
        "RTSTRUCT of no region",
        edited(CONTOURS, lambda c: setattr(c, "StructureSetROISequence", [])),
        IMPORT,
        "error: no segment or region of any series is called organ; there are: none; name it with --segments",
    ),
    row(
        "open contour",
        edited(
            CONTOURS,
            lambda c: setattr(c.ROIContourSequence[0].ContourSequence[0], "ContourGeometricType", "OPEN_PLANAR"),
        ),
        IMPORT,
        "error: RTSTRUCT rtstruct: region organ has a contour of type OPEN_PLANAR; only closed contours "
        "enclose voxels, remove it",
    ),
    row(
        "contour off the slices",
        edited(
            CONTOURS,
            lambda c: setattr(
                c.ROIContourSequence[0].ContourSequence[0], "ContourData", [0, 0, 99, 1, 0, 99, 1, 1, 99]
            ),
        ),
        IMPORT,
        "error: RTSTRUCT rtstruct: region organ has a contour that lies in no slice (z about 99.00 mm, ~ "
        "slices off the nearest plane of the grid, or beyond its ends); use the RTSTRUCT that was drawn "
        "on this series",
    ),
    row(
        "half a point of a contour",
        edited(CONTOURS, lambda c: setattr(c.ROIContourSequence[0].ContourSequence[0], "ContourData", [0, 0, 30, 1])),
        IMPORT,
        "error: RTSTRUCT rtstruct is damaged or incomplete; copy it again from its source",
    ),
    row(
        "contours of no region",
        edited(CONTOURS, lambda c: setattr(c.ROIContourSequence[0], "ReferencedROINumber", 9)),
        IMPORT,
        "error: RTSTRUCT rtstruct is damaged or incomplete; copy it again from its source",
    ),
    row(
        "SEG frame off the slices",
        edited(
            MASKS,
            lambda c: setattr(
                c.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0], "ImagePositionPatient", [0, 0, 0]
            ),
        ),
        IMPORT_SEG,
        "error: SEG seg has a frame that does not lie on a slice of its series (8x6 pixels, corner at "
        "voxel ~); resample the SEG onto the series",
    ),
    row(
        "no model, inference",
        nothing,
        SEGMENT,
        "error: model {w}/model.pt does not exist; name the model with --checkpoint, and the config "
        "files and options of its training",
    ),
    row(
        "no mapping file, written back",
        nothing,
        "export_seg --labels {w}/contours --mapping {w}/nowhere.csv --output_dir {w}/out",
        "error: mapping file {w}/nowhere.csv does not exist; give the private mapping file that import_dicom.py wrote",
    ),
    row(
        "no data set, written back",
        lambda w: (w / "map.csv").write_text(""),
        "export_seg --labels {w}/contours --mapping {w}/map.csv --output_dir {w}/out",
        "error: labels {w}/contours has no dataset.json; give the labels of imported DICOM data",
    ),
    row(
        "mapping file of garbage, written back",
        lambda w: [(w / "map.csv").write_text("a"), (w / "contours/dataset.json").write_text("{}")],
        "export_seg --labels {w}/contours --mapping {w}/map.csv --output_dir {w}/out",
        "error: mapping file {w}/map.csv must have the columns ~, cases like case_0001 and patients like "
        "patient_0001; restore it, or remove it together with the results beside it",
    ),
]
