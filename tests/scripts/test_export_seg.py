# SPDX-License-Identifier: Apache-2.0
"""From DICOM to a data set, to changed labels, and back to DICOM SEG: read by highdicom, voxel for voxel."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
from dicom.generated import AXIAL, write_seg, write_series
from running import load_script

from bundle.self_cleansing.data import find_cases
from bundle.self_cleansing.review import Correction, merge_reviewed

OBLIQUE = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)
NAMES = ["liver", "spleen"]


@pytest.fixture(scope="module")
def script():
    return load_script("export_seg")


@pytest.fixture
def imported(tmp_path) -> SimpleNamespace:
    """Two imported series, one of them oblique, and labels proposed for the second."""
    dicom, rng = tmp_path / "dicom", np.random.default_rng(0)
    written = {}
    patients = {"case_0001": ("DOE^JANE", AXIAL), "case_0002": ("DOE^JOHN", OBLIQUE)}
    for case, (patient, orientation) in patients.items():
        folder = dicom / patient
        images = write_series(folder / "ct", orientation=orientation, patient=patient)
        masks = dict(zip(NAMES, rng.integers(0, 2, (2, 4, 6, 8)).astype(bool), strict=True))
        masks["spleen"] &= ~masks["liver"]
        write_seg(folder / "labels" / "seg.dcm", images, masks)
        written[case] = images
    data, mapping = tmp_path / "data" / "x", tmp_path / "data" / "x_private_mapping.csv"
    load_script("import_dicom").main(["--dicom_dir", str(dicom), "--output_dir", str(data), "--label_names", *NAMES])
    labels = tmp_path / "audit" / "proposed_labels"
    shutil.copytree(data / "labelsTr", labels / "labelsTr")
    shutil.copyfile(data / "dataset.json", labels / "dataset.json")
    table = [
        f"{case}/0,{case},0,liver,{word}" for case, word in {"case_0001": "manual", "case_0002": "renewed"}.items()
    ]
    (labels / "provenance.csv").write_text("\n".join(["sample,case,slice,class,verdict", *table]) + "\n")
    proposed = rng.integers(0, 3, (8, 6, 4)).astype(np.uint8)
    store(labels, "case_0002", proposed)
    return SimpleNamespace(dicom=dicom, data=data, mapping=mapping, labels=labels, proposed=proposed, images=written)


def store(labels: Path, case: str, values: np.ndarray) -> None:
    """Replace a label, on the grid of the given one."""
    path = labels / "labelsTr" / f"{case}.nii.gz"
    nib.save(nib.Nifti1Image(values, nib.load(path).affine), path)


def run(script, imported, tmp_path, *words: str, labels: Path | None = None) -> Path:
    folders = ["--labels", str(labels or imported.labels), "--mapping", str(imported.mapping)]
    script.main([*folders, "--output_dir", str(tmp_path / "segs"), *words])
    return tmp_path / "segs"


def read_back(file: Path, images: list) -> np.ndarray:
    """One mask per segment (K, columns, rows, slices), by the images that the frames refer to."""
    pixels = hd.seg.segread(file).get_pixels_by_source_instance(
        [image.SOPInstanceUID for image in images], assert_missing_frames_are_empty=True
    )
    return pixels.transpose(3, 2, 1, 0)


def test_a_changed_label_becomes_a_seg_of_its_series_voxel_for_voxel(script, imported, tmp_path, capsys):
    out = run(script, imported, tmp_path)
    assert [file.name for file in out.iterdir()] == ["case_0002_seg.dcm"]
    assert "1 DICOM SEG in" in capsys.readouterr().out
    images = imported.images["case_0002"]
    masks = read_back(out / "case_0002_seg.dcm", images)
    np.testing.assert_array_equal(masks, [imported.proposed == 1, imported.proposed == 2])
    seg = pydicom.dcmread(out / "case_0002_seg.dcm")
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == images[0].SeriesInstanceUID and seg.PatientID == images[0].PatientID
    assert [one.SegmentLabel for one in seg.SegmentSequence] == NAMES
    assert {one.SegmentAlgorithmType for one in seg.SegmentSequence} == {"SEMIAUTOMATIC"}
    assert seg.SeriesDescription == "Corrected labels"


def test_all_labels_are_written_on_demand_also_without_provenance_and_empty(script, imported, tmp_path):
    (imported.labels / "provenance.csv").unlink()
    store(imported.labels, "case_0002", imported.proposed * 0)
    out = run(script, imported, tmp_path, "--all")
    first = nib.load(imported.data / "labelsTr" / "case_0001.nii.gz").get_fdata()
    np.testing.assert_array_equal(
        read_back(out / "case_0001_seg.dcm", imported.images["case_0001"]), [first == 1, first == 2]
    )
    assert not read_back(out / "case_0002_seg.dcm", imported.images["case_0002"]).any()


def test_overlapping_classes_keep_their_overlap(script, imported, tmp_path):
    masks = np.random.default_rng(1).integers(0, 2, (8, 6, 4, 2)).astype(np.uint8)
    store(imported.labels, "case_0002", masks)
    out = run(script, imported, tmp_path)
    np.testing.assert_array_equal(
        read_back(out / "case_0002_seg.dcm", imported.images["case_0002"]), np.moveaxis(masks, -1, 0)
    )


def test_a_merged_data_set_gives_the_cases_that_a_person_changed(script, imported, tmp_path):
    corrections = {}
    for number, case in enumerate(find_cases(imported.data)):
        label = nib.load(case["label"])
        values = np.asarray(label.dataobj).copy()
        values[0, 0, 0] = (values[0, 0, 0] + number) % 3  # the first is confirmed, the second changed
        corrections[case["case"]] = Correction(tmp_path / f"{case['case']}.nii.gz")
        nib.save(nib.Nifti1Image(values, label.affine), corrections[case["case"]].file)
    merge_reviewed(imported.data, tmp_path / "merged", corrections, NAMES)
    out = run(script, imported, tmp_path, labels=tmp_path / "merged")
    assert [file.name for file in out.iterdir()] == ["case_0002_seg.dcm"]
    masks = read_back(out / "case_0002_seg.dcm", imported.images["case_0002"])
    np.testing.assert_array_equal(masks, [values == 1, values == 2])


def no_mapping(imported) -> None:
    imported.mapping.unlink()


def no_dataset(imported) -> None:
    (imported.labels / "dataset.json").unlink()


def no_provenance(imported) -> None:
    (imported.labels / "provenance.csv").unlink()


def nothing_changed(imported) -> None:
    table = imported.labels / "provenance.csv"
    table.write_text(table.read_text().replace("renewed", "manual"))


def unknown_in_table(imported) -> None:
    table = imported.labels / "provenance.csv"
    table.write_text(table.read_text().replace("case_0002", "case_0007"))


def series_moved(imported) -> None:
    (imported.dicom / "DOE^JOHN").rename(imported.dicom / "elsewhere")


def series_replaced(imported) -> None:
    folder = imported.dicom / "DOE^JOHN" / "ct"
    shutil.rmtree(folder)
    write_series(folder)


def mapping_of_another_import(imported) -> None:
    rows = imported.mapping.read_text().splitlines()
    imported.mapping.write_text("\n".join(rows[:2]) + "\n")


def another_shape(imported) -> None:
    store(imported.labels, "case_0002", imported.proposed[..., 1:])


def another_affine(imported) -> None:
    path = imported.labels / "labelsTr" / "case_0002.nii.gz"
    nib.save(nib.Nifti1Image(imported.proposed, nib.load(path).affine @ np.diag([1, 1, 2, 1])), path)


def another_value(imported) -> None:
    store(imported.labels, "case_0002", imported.proposed + 4)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (no_mapping, "x_private_mapping.csv does not exist; give the private mapping file that import_dicom.py wrote"),
        (no_dataset, "has no dataset.json; give the labels of imported DICOM data"),
        (no_provenance, "provenance.csv does not exist, so nobody knows which labels changed"),
        (nothing_changed, "no label of {labels} changed, so there is nothing to write; pass --all"),
        (unknown_in_table, "names case_0007, which dataset.json does not; restore both"),
        (mapping_of_another_import, "does not know case_0002; give the one that its import wrote"),
        (series_moved, "the series of case_0002 is not in the folder that the mapping file {mapping} names (there is"),
        (
            series_replaced,
            "the series of case_0002 is not in the folder that the mapping file {mapping} names (its UIDs",
        ),
        (another_shape, "image case_0002 has shape 8x6x4 but its label case_0002.nii.gz has shape 8x6x3"),
        (another_affine, "image case_0002 and its label case_0002.nii.gz have different affines"),
        (another_value, "label case_0002.nii.gz holds the values 4, 5, 6, outside the declared classes"),
    ],
)
def test_mistakes_are_refused_in_one_sentence_without_the_patient(script, imported, tmp_path, spoil, message):
    spoil(imported)
    with pytest.raises(SystemExit) as ended:
        run(script, imported, tmp_path)
    text = str(ended.value)
    assert message.format(labels=imported.labels, mapping=imported.mapping) in text
    assert "DOE" not in text and "\n" not in text
    assert not (tmp_path / "segs").exists() and not list(tmp_path.glob(".segs*"))
