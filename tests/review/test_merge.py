# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from running import load_script

from bundle.self_cleansing.data import find_cases, read_label
from bundle.self_cleansing.review import Correction, changed_cases, merge_reviewed
from bundle.self_cleansing.review.corrected_masks import corrected_masks

AFFINE = np.array([[-1.5, 0, 0, 9.0], [0, 1.5, 0, -4.0], [0, 0, 8.0, 2.5], [0, 0, 0, 1]])
SHAPE = (6, 5, 4)
NAMES = ["RV", "Myo", "LV"]
CASES = ["patient001_frame01", "patient001_frame08", "patient002_frame01"]


def save(path: Path, values: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, affine), path)
    return path


def place(root: Path, case: str, suffix: str = "_gt") -> Path:
    return root / "training" / case.split("_")[0] / f"{case}{suffix}.nii.gz"


def hashes(folder: Path) -> dict[str, str]:
    files = (file for file in sorted(folder.rglob("*")) if file.is_file())
    return {file.relative_to(folder).as_posix(): sha256(file) for file in files}


def sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def rows_of(folder: Path) -> dict[str, dict[str, str]]:
    with open(folder / "provenance.csv", newline="", encoding="utf-8") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


@pytest.fixture
def data(tmp_path) -> Path:
    """Three cases of two patients in ACDC's layout, labels int16 maps; Info.cfg, a split, clean labels of one."""
    root, rng = tmp_path / "data", np.random.default_rng(0)
    for case in CASES:
        save(place(root, case, ""), rng.normal(size=SHAPE).astype(np.float32))
        save(place(root, case), rng.integers(0, 4, SHAPE).astype(np.int16))
        (place(root, case).parent / "Info.cfg").write_text("ED: 1\n")
    save(root / "clean_labels" / "training" / "patient002" / f"{CASES[2]}_gt.nii.gz", np.zeros(SHAPE, np.int16))
    parts = {"train": CASES[:2], "validation": CASES[2:], "test": [], "holdout": []}
    (root / "split.json").write_text(json.dumps(parts))
    return root


def corrected(folder: Path, given: Path, *changes: tuple[int, int, int]) -> Path:
    """A copy of a map in which some voxels have another class."""
    values = np.asarray(nib.load(given).dataobj).copy()
    for voxel in changes:
        values[voxel] = (values[voxel] + 1) % 4
    return save(folder / given.name, values.astype(np.uint8))


def test_corrections_take_the_place_of_given_labels_and_all_else_stays(data, tmp_path):
    before = hashes(data)
    changed = corrected(tmp_path / "new", place(data, CASES[0]), (0, 0, 1), (5, 4, 1), (2, 2, 3))
    confirmed = corrected(tmp_path / "new", place(data, CASES[2]))
    corrections = {
        CASES[0]: Correction(changed, (), '{"user": "me"}', "2026-01-31T12:00:00Z"),
        CASES[2]: Correction(confirmed),
    }
    out = tmp_path / "merged"
    merged = merge_reviewed(data, out, corrections, NAMES)
    assert (merged.cases, merged.changed, merged.confirmed, merged.changed_voxels) == (3, 1, 1, 3)
    assert hashes(data) == before
    after = nib.load(place(out, CASES[0]))
    np.testing.assert_array_equal(np.asarray(after.dataobj), np.asarray(nib.load(changed).dataobj))
    assert after.get_data_dtype() == np.int16  # of the given file
    np.testing.assert_array_equal(after.affine, AFFINE)
    for case in CASES[1:]:
        assert place(out, case).read_bytes() == place(data, case).read_bytes()
    found = hashes(out)
    assert sorted(found) == sorted([*before, "provenance.csv"])
    same = [name for name in before if not name.endswith(f"{CASES[0]}_gt.nii.gz")]
    assert {name: found[name] for name in same} == {name: before[name] for name in same}
    assert [case["case"] for case in find_cases(out)] == CASES
    for case in CASES:
        assert place(out, case, "").is_symlink() and not place(out, case).is_symlink()

    rows = rows_of(out)
    assert list(rows) == CASES
    given = place(data, CASES[0]).relative_to(data).as_posix()
    assert rows[CASES[0]] == {
        "case": CASES[0],
        "label": given,
        "source": "final",
        "correction": changed.name,
        "client_info": '{"user": "me"}',
        "reviewed_at": "2026-01-31T12:00:00Z",
        "changed_voxels": "3",
        "changed_slices": "1; 3",
        "given_sha256": sha256(data / given),
        "correction_sha256": sha256(changed),
        "label_sha256": sha256(out / given),
    }
    assert [rows[case]["source"] for case in CASES] == ["final", "kept", "final"]
    assert [rows[case]["changed_slices"] for case in CASES[1:]] == ["", ""]
    assert [rows[case]["correction_sha256"] for case in CASES[1:]] == ["", sha256(confirmed)]
    assert changed_cases(out) == CASES[:1]


def test_images_can_be_copied_and_links_move_with_both_folders(data, tmp_path):
    one = {CASES[0]: Correction(corrected(tmp_path / "new", place(data, CASES[0]), (0, 0, 0)))}
    merge_reviewed(data, tmp_path / "copied", one, NAMES, copy_images=True)
    assert not any(file.is_symlink() for file in (tmp_path / "copied").rglob("*"))
    merge_reviewed(data, tmp_path / "linked", one, NAMES)
    assert hashes(tmp_path / "copied") == hashes(tmp_path / "linked")
    (tmp_path / "elsewhere").mkdir()
    for name in ("data", "linked"):
        (tmp_path / name).rename(tmp_path / "elsewhere" / name)
    assert place(tmp_path / "elsewhere" / "linked", CASES[1], "").is_file()


def test_a_second_merge_keeps_the_rows_of_the_first_while_their_files_are_the_same(data, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    new = [corrected(tmp_path / "new", place(data, case), (1, 1, number)) for number, case in enumerate(CASES)]
    merge_reviewed(data, first, {case: Correction(file) for case, file in zip(CASES[:2], new, strict=False)}, NAMES)
    again = corrected(tmp_path / "again", place(first, CASES[1]), (3, 3, 3))
    merge_reviewed(first, second, {CASES[1]: Correction(again), CASES[2]: Correction(new[2])}, NAMES)
    before, after = rows_of(first), rows_of(second)
    assert after[CASES[0]] == before[CASES[0]]
    assert after[CASES[1]]["changed_slices"] == "3"
    assert after[CASES[1]]["given_sha256"] == before[CASES[1]]["label_sha256"]
    assert after[CASES[2]]["changed_slices"] == "2"
    assert not (second / "given_provenance.csv").exists()
    # Somebody changes a file of the first merge: its row no longer says where the label comes from.
    corrected(place(first, CASES[0]).parent, place(first, CASES[0]), (0, 4, 0))
    merge_reviewed(first, tmp_path / "third", {CASES[2]: Correction(new[2])}, NAMES)
    row = rows_of(tmp_path / "third")[CASES[0]]
    assert (row["source"], row["changed_voxels"], row["given_sha256"]) == ("kept", "0", row["label_sha256"])


def test_the_provenance_of_proposed_labels_is_carried_along(data, tmp_path):
    table = "sample,case,slice,class,verdict\n" + f"{CASES[1]}/0,{CASES[1]},0,RV,renewed\n"
    (data / "provenance.csv").write_text(table)
    one = {CASES[0]: Correction(corrected(tmp_path / "new", place(data, CASES[0]), (0, 0, 0)))}
    merge_reviewed(data, tmp_path / "merged", one, NAMES)
    assert (tmp_path / "merged" / "given_provenance.csv").read_text() == table
    assert changed_cases(tmp_path / "merged") == CASES[:2]
    merge_reviewed(tmp_path / "merged", tmp_path / "again", one, NAMES)
    assert (tmp_path / "again" / "given_provenance.csv").read_text() == table


# Two voxels of class 1 over class 2 (a viewer shows 1), one of class 2 alone, one of none.
GIVEN = np.array([[1, 1, 0, 0], [1, 1, 1, 0]], np.uint8).reshape(2, 4, 1, 1)
FINAL = np.array([[1, 0, 0, 1], [0, 1, 1, 0]], np.uint8).reshape(2, 4, 1, 1)


@pytest.mark.parametrize(
    ("is_map", "overlaps", "expected"),
    [
        (True, "drop", FINAL),
        (True, "keep", [[1, 0, 0, 1], [1, 1, 1, 0]]),  # in the first voxel the map is what was shown
        (False, None, FINAL),
        (False, "keep", FINAL),
    ],
)
def test_hidden_classes_are_kept_or_dropped_as_asked(is_map, overlaps, expected):
    found = corrected_masks(GIVEN, FINAL, is_map, overlaps)
    np.testing.assert_array_equal(found, np.reshape(expected, GIVEN.shape))


def test_overlaps_of_the_given_label_must_be_decided(data, tmp_path):
    masks = np.zeros((*SHAPE, 3), np.uint8)
    masks[:3, :, :, 0] = masks[2:, :, :, 1] = 1
    save(place(data, CASES[0]), masks)
    new = np.zeros(SHAPE, np.uint8)
    new[:3], new[3:] = 1, 2
    new[0, 0, 0] = 3
    one = {CASES[0]: Correction(save(tmp_path / "new" / f"{CASES[0]}.nii.gz", new))}
    with pytest.raises(
        ValueError, match=rf"label .*{CASES[0]}_gt.nii.gz: classes overlap in 20 voxels of it.*--overlaps"
    ):
        merge_reviewed(data, tmp_path / "merged", one, NAMES)
    assert not (tmp_path / "merged").exists()
    for overlaps, voxels in {"keep": 1, "drop": 21}.items():
        merged = merge_reviewed(data, tmp_path / overlaps, one, NAMES, overlaps)
        assert merged.changed_voxels == voxels
        after = nib.load(place(tmp_path / overlaps, CASES[0]))
        assert after.shape == (*SHAPE, 3) and after.get_data_dtype() == np.uint8  # class masks stay class masks
        assert (np.asarray(after.dataobj).sum(axis=-1) == 2).sum() == (20 if overlaps == "keep" else 0)
    np.testing.assert_array_equal(
        read_label(place(tmp_path / "drop", CASES[0]), NAMES), read_label(one[CASES[0]].file, NAMES)
    )


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Three PNG images of one class with a PNG label, a JPEG label with a clean one, and an empty PNG label."""
    root, rng = tmp_path / "pictures", np.random.default_rng(1)
    for folder in ("images", "labels", "clean_labels/labels"):
        (root / folder).mkdir(parents=True)
    label = np.kron(plane_of_a_mask(), np.ones((8, 8), np.uint8)) * 255
    entries = []
    for case, file in {"a": "a.png", "b": "b.jpg", "c": "c.png"}.items():
        Image.fromarray(rng.integers(0, 255, label.shape, dtype=np.uint8)).save(root / "images" / f"{case}.png")
        Image.fromarray(label if case != "c" else label * 0).save(root / "labels" / file)
        entries.append({"image": f"./images/{case}.png", "label": f"./labels/{file}", "patient": case})
    Image.fromarray(label).save(root / "clean_labels" / "labels" / "b.jpg")
    content = {"labels": {"0": "background", "1": "lesion"}, "training": entries, "test": []}
    (root / "dataset.json").write_text(json.dumps(content))
    return root


def plane_of_a_mask() -> np.ndarray:
    mask = np.zeros((4, 6), np.uint8)
    mask[1:3, 1:4] = 1
    return mask


def test_pictures_stay_pictures_in_their_own_values(pictures, tmp_path):
    label = np.kron(plane_of_a_mask(), np.ones((8, 8), np.uint8))
    label[0, 40] = 1  # row 0, column 40
    (tmp_path / "new").mkdir()
    for case in "abc":
        Image.fromarray(label).save(tmp_path / "new" / f"{case}.png")  # 0 and 1, as another program may write it
    corrections = {case: Correction(tmp_path / "new" / f"{case}.png") for case in "abc"}
    merge_reviewed(pictures, tmp_path / "merged", corrections, {1: "lesion"})
    entries = json.loads((tmp_path / "merged" / "dataset.json").read_text())["training"]
    assert [entry["label"] for entry in entries] == [f"./labels/{case}.png" for case in "abc"]
    assert [entry["patient"] for entry in entries] == list("abc")
    for case in find_cases(tmp_path / "merged"):
        with Image.open(case["label"]) as picture:
            assert picture.mode == "L"
            np.testing.assert_array_equal(np.asarray(picture), label * 255)
    rows = rows_of(tmp_path / "merged")
    assert [row["changed_voxels"] for row in rows.values()] == ["1", "1", str(label.sum())]
    (with_clean,) = (case for case in find_cases(tmp_path / "merged") if "clean_label" in case)
    assert with_clean["case"] == "b" and read_label(with_clean["clean_label"], {1: "lesion"}).sum() == label.sum() - 1


def wrong_shape(data: Path, new: Path) -> dict[str, Correction]:
    return {CASES[1]: Correction(save(new / "x.nii.gz", np.zeros((6, 5, 3), np.uint8)))}


def wrong_affine(data: Path, new: Path) -> dict[str, Correction]:
    return {CASES[1]: Correction(save(new / "x.nii.gz", np.zeros(SHAPE, np.uint8), AFFINE + np.eye(4) * 0.5))}


def flipped(data: Path, new: Path) -> dict[str, Correction]:
    return {CASES[1]: Correction(save(new / "x.nii.gz", np.zeros(SHAPE, np.uint8), AFFINE @ np.diag([-1, 1, 1, 1])))}


def wrong_value(data: Path, new: Path) -> dict[str, Correction]:
    return {CASES[1]: Correction(save(new / "x.nii.gz", np.full(SHAPE, 9, np.uint8)))}


def unreadable(data: Path, new: Path) -> dict[str, Correction]:
    new.mkdir()
    (new / "x.nii.gz").write_bytes(b"no NIfTI")
    return {CASES[1]: Correction(new / "x.nii.gz")}


def unknown_case(data: Path, new: Path) -> dict[str, Correction]:
    return {"patient009_frame01": Correction(new / "x.nii.gz")}


def other_data(data: Path, new: Path) -> dict[str, Correction]:
    final, shown = (corrected(new / tag, place(data, CASES[1]), (0, 0, 0)) for tag in ("final", "original"))
    return {CASES[1]: Correction(final, (shown,))}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (
            wrong_shape,
            r"frame08.nii.gz has shape 6x5x4 but its label .*x.nii.gz has shape 6x5x3; give a label drawn on",
        ),
        (wrong_affine, r"label .*x.nii.gz have different affines \(corners up to .* apart"),
        (flipped, r"label .*x.nii.gz have different affines \(corners up to 15 apart"),
        (wrong_value, r"label .*x.nii.gz holds the value 9, outside the declared classes .*set those pixels to 0"),
        (unreadable, r"x.nii.gz cannot be read: the file is damaged"),
        (unknown_case, r"x.nii.gz is of case patient009_frame01, which .*data does not hold; pass --dataset_dir"),
        (other_data, r"frame08_gt.nii.gz is not the one that was reviewed, .*original/.*; pass --dataset_dir"),
    ],
)
def test_a_correction_that_does_not_fit_is_refused_and_nothing_is_left(data, tmp_path, bad, message):
    before = hashes(data)
    good = corrected(tmp_path / "good", place(data, CASES[0]), (0, 0, 0))
    with pytest.raises(ValueError, match=message):
        merge_reviewed(data, tmp_path / "merged", {CASES[0]: Correction(good), **bad(data, tmp_path / "new")}, NAMES)
    assert hashes(data) == before
    assert {entry.name for entry in tmp_path.iterdir()} <= {"data", "good", "new"}


def test_two_cases_with_one_label_are_refused(pictures, tmp_path):
    description = json.loads((pictures / "dataset.json").read_text())
    description["training"][2]["label"] = "./labels/a.png"
    (pictures / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(ValueError, match=r"cases a and c share the label .*a.png, .*give each its own file"):
        merge_reviewed(pictures, tmp_path / "merged", {}, {1: "lesion"})


@pytest.mark.parametrize(("where", "error"), [("data/merged", ValueError), ("taken", FileExistsError)])
def test_the_new_folder_lies_outside_the_data_and_is_not_there_yet(data, tmp_path, where, error):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").touch()
    with pytest.raises(error, match="output_dir .*; give (another|a new) folder"):
        merge_reviewed(data, tmp_path / where, {}, NAMES)
    assert not (data / "merged").exists()


@pytest.fixture(scope="module")
def script():
    return load_script("merge_reviewed")


def test_the_command_merges_a_folder_of_files_named_by_case_or_label(script, data, tmp_path, capsys):
    new = tmp_path / "new"
    corrected(new, place(data, CASES[0]), (0, 0, 0))  # keeps the name of the label
    corrected(new, place(data, CASES[1]), (0, 0, 2)).rename(new / f"{CASES[1]}.nii.gz")
    (new / "notes.txt").write_text("in ITK-SNAP\n")
    (new / ".hidden").touch()
    folders = ["--corrections", str(new), "--dataset_dir", str(data), "--output_dir", str(tmp_path / "merged")]
    script.main(folders)
    printed = capsys.readouterr().out
    assert "1 files are no labels by their names and were passed over: notes.txt" in printed
    assert "3 cases in" in printed and "2 with a changed label (2 voxels), 0 confirmed, 1 kept" in printed
    assert changed_cases(tmp_path / "merged") == CASES[:2]
    with pytest.raises(SystemExit) as ended:
        script.main(folders)
    error = capsys.readouterr().err
    assert ended.value.code == 2 and "exists and is not empty" in error and "Traceback" not in error


def test_a_case_in_both_sources_is_refused(script, data, tmp_path, capsys):
    file = corrected(tmp_path / "new", place(data, CASES[0]), (0, 0, 0))
    save(tmp_path / "studies" / "labels" / "final" / f"{CASES[0]}.nii.gz", np.asarray(nib.load(file).dataobj))
    words = ["--studies", str(tmp_path / "studies"), "--corrections", str(tmp_path / "new")]
    with pytest.raises(SystemExit):
        script.main([*words, "--dataset_dir", str(data), "--output_dir", str(tmp_path / "merged")])
    assert "correct one case; keep one of them" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        script.main(["--dataset_dir", str(data), "--output_dir", str(tmp_path / "merged")])
    assert "pass --studies, --corrections or both" in capsys.readouterr().err
    assert not (tmp_path / "merged").exists()
