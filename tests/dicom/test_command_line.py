# SPDX-License-Identifier: Apache-2.0
"""Inference on DICOM, and training on imported DICOM, as a user runs them; and what of the patient stays."""

from __future__ import annotations

import gzip
import io
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from dicom.generated import write_rtstruct, write_seg, write_series
from dicom.test_series import write_broken
from running import ROOT, bundle_command, load_script

from bundle.self_cleansing.dicom import dicom_cases, find_series
from bundle.self_cleansing.networks import ResidualUNet

SIDE = 40
IDENTIFIERS = ["Zyxwvuth", "Quentinia", "PAT-88431207", "19530527", "ACC-5550199"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": ""}


def inference(
    data: Path, out: Path, checkpoint: Path, cwd: Path, **settings: object
) -> subprocess.CompletedProcess[str]:
    files = ",".join(f"'{ROOT / 'configs' / name}.yaml'" for name in ("inference", "datasets/ct", "dicom"))
    options = {"bundle_root": ROOT, "dataset_dir": data, "output_dir": out, "checkpoint": checkpoint, "device": "cpu"}
    options |= {"plane_size": 32, "class_names": "['liver','spleen']"} | settings
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "monai.bundle", "run", "inferring", "--config_file", f"[{files}]", *words]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A network that has learnt nothing; its output is thresholded somewhere in the middle of what it gives."""
    torch.manual_seed(0)
    network = ResidualUNet(in_channels=1, num_classes=2, head_channels=32, dropout=0.0)
    path = tmp_path_factory.mktemp("model") / "model.pt"
    torch.save({"model": network.state_dict()}, path)
    return path


def identified(index: int, image: pydicom.Dataset) -> None:
    image.PatientName, image.PatientID, image.PatientBirthDate = "Zyxwvuth^Quentinia", "PAT-88431207", "19530527"
    image.AccessionNumber, image.OtherPatientIDs = "ACC-5550199", "PAT-88431207"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image.StationName = "Zyxwvuth " * 4  # too long for its type
        image.AcquisitionDate = "19530527x"  # no date: pydicom quotes such values


def discs(depth: int) -> np.ndarray:
    rows, columns = np.indices((SIDE, SIDE))
    masks = np.stack([(rows - 15) ** 2 + (columns - 14) ** 2 < 70, (rows - 28) ** 2 + (columns - 26) ** 2 < 50])
    return np.repeat(masks[:, None], depth, axis=1)


def hu(depth: int, seed: int) -> np.ndarray:
    """Stored values (slices, rows, columns) of a picture in which the discs can be seen."""
    noise = np.random.default_rng(seed).normal(0, 10, (depth, SIDE, SIDE))
    return (1000 - 50 + 150 * discs(depth).any(axis=0) + noise).astype(np.int16)


@pytest.fixture(scope="module")
def patient_data(tmp_path_factory) -> Path:
    """Six series of a patient whose name is in the folders, too; four with a SEG, one with an RTSTRUCT, one without."""
    folder = tmp_path_factory.mktemp("dicom") / "data"
    for number in range(6):
        study = folder / "Zyxwvuth_Quentinia" / f"study{number}"
        change = identified if number == 0 else None  # the others differ, or all would be one patient
        name, size = f"Zyxwvuth^Quentinia{chr(97 + number)}", (SIDE, SIDE)

        def other(index: int, image: pydicom.Dataset, number: int = number) -> None:
            identified(index, image)
            image.PatientID = f"PAT-88431207-{number}"

        images = write_series(
            study / "ct_Zyxwvuth", 4, size, change=change or other, patient=name, pixels=hu(4, number)
        )
        if number < 4:
            write_seg(study / "seg.dcm", images, dict(zip(("liver", "spleen"), discs(4), strict=True)))
        elif number == 4:
            write_rtstruct(study / "rt", images, {"Liver": [], "Spleen": []})
    return folder


@pytest.mark.parametrize(
    "kind",
    [
        "missing slice",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("mixed", "transfer syntax", "few pixels")),
    ],
)
def test_a_broken_series_ends_the_command_before_anything_is_written(kind, checkpoint, tmp_path):
    write_series(tmp_path / "data" / "a_good_one", slices=4, size=(SIDE, SIDE), pixels=hu(4, 0))
    write_broken(kind, tmp_path / "data" / "s")
    result = inference(tmp_path / "data", tmp_path / "out", checkpoint, tmp_path)
    assert result.returncode != 0 and not (tmp_path / "out").exists()
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert ("s/slice" in line or "series s " in line or "folder s " in line) and "Traceback" not in result.stderr


def test_inference_writes_nifti_and_seg_on_the_grid_of_each_series(checkpoint, tmp_path):
    oblique = (0.8, 0.6, 0.0, -0.36, 0.48, -0.8)
    data, out = tmp_path / "data", tmp_path / "out"
    write_series(
        data / "b",
        slices=3,
        size=(SIDE, SIDE + 8),
        orientation=oblique,
        pixels=np.pad(hu(3, 1), ((0, 0), (0, 0), (0, 8))),
    )
    write_series(data / "a", slices=1, size=(SIDE, SIDE), pixels=hu(1, 2))
    write_series(data / "mr", slices=2, change=lambda index, image: setattr(image, "Modality", "MR"))
    result = inference(data, out, checkpoint, tmp_path, modality="CT")
    assert result.returncode == 0, result.stderr[-3000:]
    (line,) = [line for line in (result.stdout + result.stderr).splitlines() if "passed over" in line]
    assert "1 image series passed over: mr (MR, 2 files)" in line
    results = [f"case_{number:04d}_seg{end}" for number in (1, 2) for end in (".dcm", ".nii.gz")]
    assert sorted(path.name for path in out.iterdir()) == [*results, "private_mapping.csv"]
    voxels = 0
    for case, series in zip(("case_0001", "case_0002"), find_series(data, "CT"), strict=True):
        nifti = nib.load(out / f"{case}_seg.nii.gz")
        assert nifti.shape == series.shape  # also of the single slice
        label = np.asarray(nifti.dataobj)
        voxels += int((label > 0).sum())
        np.testing.assert_allclose(nifti.affine, series.affine, atol=1e-4)
        seg = hd.seg.segread(out / f"{case}_seg.dcm")
        back = seg.get_pixels_by_source_instance(
            list(series.sop_instance_uids), combine_segments=True, assert_missing_frames_are_empty=True
        )
        np.testing.assert_array_equal(back.T, label)
        assert [seg.get_segment_description(number).segment_label for number in (1, 2)] == ["liver", "spleen"]
    assert voxels > 0


@pytest.mark.slow
def test_inference_with_more_data_keeps_the_results_of_the_cases_it_knows(checkpoint, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    write_series(data / "a", slices=1, size=(SIDE, SIDE), pixels=hu(1, 2))
    result = inference(data, out, checkpoint, tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    first = (out / "case_0001_seg.nii.gz").read_bytes()
    write_series(data / "0_new", slices=2, size=(SIDE, SIDE), pixels=hu(2, 3))
    result = inference(data, out, checkpoint, tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    assert nib.load(out / "case_0002_seg.nii.gz").shape[2] == 2  # the newcomer took the next number
    assert gzip.decompress(first) == gzip.decompress((out / "case_0001_seg.nii.gz").read_bytes())


def contents(path: Path) -> list[bytes]:
    """Every byte of a file, and of what is packed in it."""
    raw = path.read_bytes()
    parts = [raw]
    if path.name.endswith(".gz"):
        parts.append(gzip.decompress(raw))
    if zipfile.is_zipfile(io.BytesIO(raw)):
        with zipfile.ZipFile(io.BytesIO(raw)) as packed:
            parts += [packed.read(name) for name in packed.namelist()] + [name.encode() for name in packed.namelist()]
    return parts


def holds_identifier(content: bytes) -> list[str]:
    lower = content.lower()
    return [
        one
        for one in IDENTIFIERS
        if any(one.lower().encode(code) in lower for code in ("utf-8", "utf-16-le", "utf-16-be"))
    ]


@pytest.fixture
def import_script():
    """scripts/import_dicom.py; its command lines that fail need no process of their own."""
    return load_script("import_dicom")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="no /proc/self/mem, a file that even root cannot read")
def test_nothing_of_the_patient_leaves_the_mapping_files_and_the_seg(
    patient_data, import_script, tmp_path, monkeypatch, capfd
):
    work, outputs = tmp_path / "work", []
    work.mkdir()

    def command(*words: object) -> None:
        result = subprocess.run([*map(str, words)], cwd=work, env=ENVIRONMENT, capture_output=True, text=True)
        assert result.returncode == 0, result.stdout[-1500:] + result.stderr[-3000:]
        outputs.append(result.stdout + result.stderr)

    script = [sys.executable, ROOT / "scripts" / "import_dicom.py"]
    command(*script, "--dicom_dir", patient_data, "--output_dir", work / "set", "--label_names", "liver", "spleen")
    settings = {"dataset_dir": work / "set", "output_dir": work / "run", "cache_dir": work / "cache", "device": "cpu"}
    settings |= {"class_names": "['liver','spleen']", "split_seed": 0}
    overlays = ["datasets/ct", "methods/self_cleansing_off"]
    command(*bundle_command("training", overlays, **settings, plane_size=32))
    model = work / "run" / "models" / "model_best.pt"
    result = inference(patient_data, work / "results", model, work)
    assert result.returncode == 0, result.stderr[-3000:]
    outputs.append(result.stdout + result.stderr)
    broken = tmp_path / "broken" / "Zyxwvuth_Quentinia"
    write_series(broken, change=lambda index, image: (identified(index, image), index == 2 and image.pop("PixelData")))
    failed = inference(broken.parent, work / "failed", model, work)
    assert failed.returncode != 0 and "error: " in failed.stderr, failed.stderr[-2000:]
    outputs.append(failed.stdout + failed.stderr)

    beside = tmp_path / "beside" / "Zyxwvuth_Quentinia"  # a damaged label without a name beside images that have one
    write_rtstruct(beside / "rt", write_series(beside / "ct", change=identified), {})
    nameless = pydicom.dcmread(beside / "rt")
    del nameless.StructureSetROISequence, nameless.PatientName, nameless.PatientID
    nameless.save_as(beside / "rt")
    unreadable = tmp_path / "unreadable" / "Zyxwvuth_Quentinia"  # no header says that this is a name
    write_series(unreadable, change=lambda index, image: (image.pop("PatientName"), image.pop("PatientID")))
    (unreadable / "PAT-88431207").symlink_to("/proc/self/mem")  # no mode stops root, this does
    monkeypatch.chdir(work)
    for folder, name, message in (
        (broken.parent, "liver", "has no pixel data"),
        (patient_data, "lung", "no segment or region of any series is called lung"),
        (beside.parent, "liver", "/rt is damaged"),
        (unreadable.parent, "liver", "[entry 1]/[entry 1] cannot be read (Input/output error)"),
    ):
        words = ["--dicom_dir", folder, "--output_dir", work / "failed", "--label_names", name]
        with pytest.raises(SystemExit) as ended:
            import_script.main([*map(str, words)])
        assert str(ended.value).startswith("error: ") and message in str(ended.value)
        outputs.append(str(ended.value) + "".join(capfd.readouterr()))
    with pytest.raises(ValueError, match="cannot be read") as raised:
        dicom_cases(unreadable.parent, work / "failed" / "private_mapping.csv")
    outputs.append(str(raised.value))

    for text in outputs:
        assert not holds_identifier(text.encode()), text[-3000:]
    files = [path for path in work.rglob("*") if path.is_file()]
    for path in [*work.rglob("*")]:
        assert not holds_identifier(str(path.relative_to(work)).encode())
    holders = sorted(path.relative_to(work).as_posix() for path in files if any(map(holds_identifier, contents(path))))
    segs = [f"results/case_{number:04d}_seg.dcm" for number in range(1, 7)]
    assert holders == sorted([*segs, "results/private_mapping.csv", "set_private_mapping.csv"])
    kinds = {"".join(path.suffixes) for path in files}
    assert {".nii.gz", ".dcm", ".pt", ".csv", ".json"} <= kinds  # all of these were searched
