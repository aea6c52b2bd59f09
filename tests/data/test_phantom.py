# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import runpy
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from bundle.self_cleansing.data import find_cases, split_cases
from bundle.self_cleansing.data.phantom import patient_numbers, write_patients

ROOT = Path(__file__).resolve().parents[2]
NUMBERS = (1, 3, 12, 30)
RV, MYO, LV = 1, 2, 3


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def phantom(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("phantom")
    write_patients(folder, NUMBERS, seed=0)
    return folder


@pytest.fixture(scope="module")
def volumes(phantom) -> list[tuple[nib.Nifti1Image, np.ndarray, np.ndarray]]:
    """(header, image, label) of end-diastole and end-systole of each patient, in this order."""
    out = []
    for case in find_cases(phantom):
        header = nib.load(case["image"])
        out.append((header, np.asarray(header.dataobj), np.asarray(nib.load(case["label"]).dataobj)))
    assert len(out) == 2 * len(NUMBERS)
    return out


def test_the_same_seed_gives_the_same_bytes_whoever_else_is_written(phantom, tmp_path):
    write_patients(tmp_path / "again", [12], seed=0)
    write_patients(tmp_path / "other", [12], seed=1)
    again, other, all_files = files_of(tmp_path / "again"), files_of(tmp_path / "other"), files_of(phantom)
    assert len(again) == 5 and again.items() <= all_files.items()
    assert not set(again.values()) & set(other.values())


def test_the_layout_is_that_of_the_challenge(phantom):
    names = sorted(path.name for path in (phantom / "training" / "patient001").iterdir())
    info = dict(line.split(": ") for line in (phantom / "training/patient001/Info.cfg").read_text().splitlines())
    systole = f"patient001_frame{int(info['ES']):02d}"
    assert names == sorted(
        ["Info.cfg", "patient001_frame01.nii.gz", "patient001_frame01_gt.nii.gz"]
        + [f"{systole}.nii.gz", f"{systole}_gt.nii.gz"]
    )
    assert list(info) == ["ED", "ES", "Group", "Height", "NbFrame", "Weight"]
    assert info["ED"] == "1" and info["Group"] == "DCM" and int(info["ES"]) < int(info["NbFrame"])
    assert "Group: HCM" in (phantom / "training/patient030/Info.cfg").read_text()


def test_files_have_the_types_and_sizes_of_cine_mr(phantom, volumes):
    for case, (header, image, label) in zip(find_cases(phantom), volumes, strict=True):
        reference = nib.load(case["label"])
        assert header.get_data_dtype() == np.int16 and reference.get_data_dtype() == np.uint8
        np.testing.assert_array_equal(header.affine, reference.affine)
        np.testing.assert_allclose(np.abs(np.diag(header.affine)[:3]), header.header.get_zooms(), rtol=1e-6)
        assert header.header.get_xyzt_units()[0] == "mm"
        assert image.shape == label.shape and image.shape[0] != image.shape[1]
        assert all(160 <= n <= 200 for n in image.shape[:2]) and 6 <= image.shape[2] <= 8
        assert image.min() >= 0 and set(np.unique(label)) == {0, RV, MYO, LV}
    assert len({image.shape for _, image, _ in volumes}) > 1


def test_hearts_lie_off_centre_and_inside_the_image(volumes):
    offsets = []
    for _, image, label in volumes:
        where = np.argwhere(label)[:, :2]
        low, high = where.min(0), where.max(0)
        assert (low > 10).all() and (high < np.array(image.shape[:2]) - 11).all()
        assert 35 < (high - low + 1).min() and (high - low + 1).max() < 100
        offsets.append(np.abs((low + high) / 2 - (np.array(image.shape[:2]) - 1) / 2).max())
    assert 8 < max(offsets) < 30


def test_the_left_ventricle_is_wrapped_in_muscle_and_the_right_one_leans_on_it(volumes):
    for _, _, label in volumes:
        cross = ndimage.generate_binary_structure(2, 1)[..., None]
        rim = ndimage.binary_dilation(label == LV, cross) & (label != LV)
        assert (label[rim] == MYO).mean() > 0.93  # the rest: slices that are half out of the apex
        septum = ndimage.binary_dilation(label == RV, cross) & (label == MYO)
        assert septum.any((0, 1)).sum() >= 2
        for value in (RV, MYO, LV):
            for k in range(label.shape[2]):
                pieces, count = ndimage.label(label[..., k] == value)
                assert count <= 1 or np.bincount(pieces.ravel())[1:].max() > 0.8 * (pieces > 0).sum()


def test_the_heart_beats(volumes):
    for diastole, systole in zip(volumes[::2], volumes[1::2], strict=True):
        (header, _, rest), (_, _, contracted) = diastole, systole
        np.testing.assert_array_equal(header.affine, systole[0].affine)
        assert (contracted == LV).sum() < 0.9 * (rest == LV).sum()
        assert (contracted == RV).sum() < (rest == RV).sum()
        # The wall keeps its volume while it thickens.
        assert 0.7 < (contracted == MYO).sum() / (rest == MYO).sum() < 1.2


def test_some_slices_carry_no_label(volumes):
    labelled = [label.any((0, 1)) for _, _, label in volumes]
    assert any(not slices[[0, -1]].all() for slices in labelled)
    for slices in labelled:
        assert slices.sum() >= 3
        assert np.diff(np.flatnonzero(slices)).max() == 1  # from base to apex without a gap


def test_the_affine_undoes_the_flips(volumes):
    """In world coordinates every right ventricle lies to the right (x grows to the right), flipped array or not."""
    signs = set()
    for header, _, label in volumes:
        right, left = (
            nib.affines.apply_affine(header.affine, np.argwhere(label == value).mean(0)) for value in (RV, LV)
        )
        assert right[0] - left[0] > 15
        signs.add(tuple(np.sign(np.diag(header.affine)[:3])))
        middle = nib.affines.apply_affine(header.affine, (np.array(header.shape) - 1) / 2)
        np.testing.assert_allclose(middle, 0, atol=1e-4)
    assert len(signs) > 1


def test_blood_is_brighter_than_muscle_but_no_threshold_finds_it(volumes):
    for _, image, label in volumes:
        mid = label.shape[2] // 2
        blood = (label == LV) | (label == RV)
        assert image[label == LV].mean() > 1.5 * image[..., mid][label[..., mid] == MYO].mean()
        thresholds = np.quantile(image, np.linspace(0.5, 0.995, 60))
        dice = [2 * (blood & (image > t)).sum() / (blood.sum() + (image > t).sum()) for t in thresholds]
        assert max(dice) < 0.6


def test_noise_in_air_is_rayleigh(volumes):
    """Rician noise without signal has mean / standard deviation = sqrt(pi / (4 - pi)) = 1.913 (Gaussian |n|: 1.324)."""
    _, image, _ = volumes[0]
    canonical = nib.as_closest_canonical(nib.Nifti1Image(image, volumes[0][0].affine))
    air = np.asarray(canonical.dataobj)[60:120, -12:]  # in front of the chest
    assert air.mean() / air.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.12)


def test_the_standard_split_of_the_default_is_22_4_6():
    numbers = patient_numbers(32)
    assert numbers == [*range(1, 17), *range(21, 37)]
    cases = [{"case": f"patient{n:03d}_frame01", "patient": f"patient{n:03d}"} for n in numbers]
    split = split_cases(cases)
    assert {part: len(split[part]) for part in split} == {"train": 22, "validation": 4, "test": 6, "holdout": 0}


@pytest.mark.parametrize("count", [0, 81])
def test_an_impossible_number_of_patients_is_named(count):
    with pytest.raises(ValueError, match=rf"1\.\.80, got {count}"):
        patient_numbers(count)


def test_the_script_writes_a_whole_folder_and_refuses_to_overwrite(tmp_path, monkeypatch, capsys):
    main = runpy.run_path(str(ROOT / "scripts" / "make_phantom.py"))["main"]
    monkeypatch.chdir(tmp_path)
    main(["--output_dir", "out", "--patients", "1", "--seed", "3"])
    write_patients(tmp_path / "expected", [1], seed=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["expected", "out"]
    before = files_of(tmp_path / "out")
    assert before == files_of(tmp_path / "expected")
    with pytest.raises(SystemExit, match="2"):
        main(["--output_dir", "out"])
    assert "out exists and is not empty" in capsys.readouterr().err
    assert files_of(tmp_path / "out") == before
