# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import importlib.util
import json
import os
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from monai.bundle import ConfigParser
from PIL import Image
from running import ROOT, TINY, run_bundle
from skimage.transform import downscale_local_mean

from bundle.self_cleansing.data import find_cases, label_names, read_file, read_label, split_cases

SHARED = Path(os.environ.get("SELF_CLEANSING_DATA", ROOT.parent / "shared" / "data"))
REAL = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no real data: {SHARED} does not exist; set SELF_CLEANSING_DATA to their folder"
)


def load_script(name: str):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # dataclasses look their module up
    path = list(sys.path)
    spec.loader.exec_module(module)
    del sys.modules[name]
    sys.path[:] = path
    return module


@pytest.fixture(scope="module")
def script():
    return load_script("prepare_data")


def save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def disc(shape: tuple[int, int], radius: float) -> np.ndarray:
    """A disc in the middle, as a picture of 0 and 255."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    inside = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2) < radius
    return inside.astype(np.uint8) * 255


@pytest.fixture(scope="module")
def crowd_source(tmp_path_factory) -> Path:
    """Images of odd sizes, 16 bit in ds2; worker n draws a disc by n - 4 pixels too large."""
    root = tmp_path_factory.mktemp("crowd") / "source"
    rng = np.random.default_rng(0)
    for source, count in (("ds1", 4), ("ds2", 7)):
        for number in range(count):
            folder, shape = root / source / f"m{number:02d}", (50 + 7 * number, 90 - 3 * number)
            gold = disc(shape, 16)
            noise = rng.integers(0, 60, shape)
            save((noise + gold / 4).astype(np.uint8) if source == "ds1" else (noise * 50 + gold * 4).astype(np.uint16),
                 folder / "image.png")  # fmt: skip
            save(gold, folder / "gold.png")
            for worker in range(1, 8):
                save(disc(shape, 12 + worker), folder / f"crowd_{worker}.png")
    return root


@pytest.fixture(scope="module")
def crowd(script, crowd_source) -> dict[str, Path]:
    """The three folders made from it."""
    folders = {workers: crowd_source.parent / workers for workers in ("one", "all", "majority")}
    for workers, folder in folders.items():
        script.main(
            ["crowd_labels", "--source", str(crowd_source), "--output_dir", str(folder), "--workers", workers]
            + ["--seed", "3"]
        )
    return folders


@pytest.fixture(scope="module")
def liver_source(tmp_path_factory) -> Path:
    """Ten patients with two slices each."""
    root = tmp_path_factory.mktemp("liver") / "source"
    rng = np.random.default_rng(0)
    names = [(f"{patient}_{position}", patient) for patient in range(10) for position in (4, 9)]
    for name, _ in names:
        save(rng.integers(0, 256, (64, 64), dtype=np.uint8), root / "images" / f"{name}.png")
        save(disc((64, 64), rng.uniform(15, 25)), root / "masks" / f"{name}.png")
    (root / "index.csv").write_text("id,patient\n" + "".join(f"{name},{patient}\n" for name, patient in names))
    return root


def split_of(folder: Path) -> dict[str, list[dict]]:
    assert (folder / "split.json").is_file()
    return split_cases(find_cases(folder), folder / "split.json")


def workers_of(folder: Path) -> dict[str, dict[str, str]]:
    with open(folder / "workers.csv", newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- resampling


@pytest.mark.parametrize(("shape", "side"), [((3, 5), 4), ((7, 2), 3), ((4, 4), 4), ((1, 9), 6)])
def test_area_average_is_the_mean_over_a_grid_fine_enough_for_both(script, shape, side):
    """Split every pixel into side x side equal ones: then new pixels are blocks of whole ones."""
    picture = np.random.default_rng(0).integers(0, 65536, shape, dtype=np.uint16)
    fine = picture.repeat(side, axis=0).repeat(side, axis=1).astype(float)
    expected = fine.reshape(side, shape[0], side, shape[1]).mean(axis=(1, 3))
    np.testing.assert_allclose(script.area_average(picture, side), expected, rtol=1e-12)


def test_halving_is_that_of_scikit_image_and_the_mean_stays(script):
    rng = np.random.default_rng(1)
    xray = rng.integers(0, 256, (512, 512), dtype=np.uint8)
    np.testing.assert_array_equal(script.area_average(xray), downscale_local_mean(xray, (2, 2)))
    microscopy = rng.integers(0, 65536, (811, 137), dtype=np.uint16)
    assert script.area_average(microscopy).mean() == pytest.approx(microscopy.mean(), rel=1e-12)
    assert (script.area_average(np.full((811, 137), 65535, np.uint16)) == 65535).all()  # exact, no rounding error


def test_a_mask_holds_the_pixels_that_are_at_least_half_covered(script):
    mask = np.array([[1, 1, 0, 0], [0, 0, 0, 1], [1, 1, 0, 0], [1, 0, 0, 0]], bool)
    assert script.resampled_mask(mask, 2).tolist() == [[True, False], [True, False]]


def test_stretching_keeps_dice(script):
    rng = np.random.default_rng(2)
    one, other = (rng.random((2, 128, 64)) > 0.4).astype(bool)
    expected = 2 * (one & other).sum() / (one.sum() + other.sum())
    assert script.dice(script.resampled_mask(one), script.resampled_mask(other)) == expected == script.dice(one, other)
    assert script.dice(np.zeros((2, 2), bool), np.zeros((2, 2), bool)) == 1


# --- who goes where


def test_test_is_filled_up_from_train_and_nothing_is_lost(script):
    train, test = [f"a{i}" for i in range(40)], ["t1", "t0"]
    new_train, new_test = script.enlarged_test(train, test, 10, seed=0)
    assert len(new_test) == 10 and set(test) < set(new_test) and sorted(new_train + new_test) == sorted(train + test)
    assert script.enlarged_test(train[::-1], test, 10, seed=0) == (new_train, new_test)  # the order given is nothing
    assert script.enlarged_test(train, test, 10, seed=1)[1] != new_test
    assert script.enlarged_test(train, test, 1, seed=0) == (sorted(train), sorted(test))
    with pytest.raises(ValueError, match="test must have 42 images, but train has 40"):
        script.enlarged_test(train, test, 42, seed=0)


def test_every_part_has_its_share_of_every_group(script):
    groups = {"ds1": [f"ds1_{i}" for i in range(35)], "ds2": [f"ds2_{i}" for i in range(69)]}
    groups["ds3"] = [f"ds3_{i}" for i in range(47)]
    parts = script.stratified_parts(groups, script.CROWD_FRACTIONS, seed=0)
    assert sorted(sum(parts.values(), [])) == sorted(sum(groups.values(), []))
    counts = {part: Counter(case[:3] for case in cases) for part, cases in parts.items()}
    assert counts["validation"] == {"ds1": 5, "ds2": 10, "ds3": 7}  # 5.25, 10.35, 7.05
    assert counts["test"] == {"ds1": 9, "ds2": 17, "ds3": 12}  # 8.75, 17.25, 11.75
    assert script.stratified_parts(groups, script.CROWD_FRACTIONS, seed=1) != parts


def test_workers_are_drawn_alike_and_anew_by_another_seed(script):
    names = [f"ds1_m{i}" for i in range(1400)]
    drawn = [script.drawn_worker(name, 0) for name in names]
    counts = np.bincount(drawn, minlength=8)
    assert counts[0] == 0 and len(counts) == 8
    assert ((counts[1:] - 200) ** 2 / 200).sum() < 22.5  # chi-squared with 6 degrees of freedom: 99.9 %
    same = np.mean([script.drawn_worker(name, 1) == one for name, one in zip(names, drawn, strict=True)])
    assert 0.1 < same < 0.19  # 1 / 7


def test_the_majority_is_four_of_seven(script):
    masks = [np.array([[n < 3, n < 4, n < 7]]) for n in range(7)]
    ((worker, mask),) = script.given_labels("majority", "a", masks, 0).values()
    assert worker == "majority" and mask.tolist() == [[False, True, True]]


# --- crowd labels


def test_the_three_crowd_folders_share_one_split_by_image(crowd):
    parts = {workers: json.loads((folder / "split.json").read_text()) for workers, folder in crowd.items()}
    assert parts["one"] == parts["all"] == parts["majority"]
    counts = {part: Counter(name[:3] for name in names) for part, names in parts["one"]["parts"].items() if names}
    assert counts == {
        "train": {"ds1": 2, "ds2": 4}, "validation": {"ds1": 1, "ds2": 1}, "test": {"ds1": 1, "ds2": 2}
    }  # fmt: skip
    for part, cases in split_of(crowd["all"]).items():
        images = Counter(case["image"] for case in cases)
        assert set(images.values()) <= ({7} if part in ("train", "validation") else {1})
        assert {case["patient"] for case in cases} == set(parts["all"]["parts"][part])


def test_labels_are_the_workers_and_clean_labels_the_experts(script, crowd, crowd_source):
    for workers, folder in crowd.items():
        rows = workers_of(folder)
        assert label_names(folder) == {1: "cell"}
        for part, cases in split_of(folder).items():
            for case in cases:
                original = crowd_source / case["patient"].replace("_", "/")
                sources = {n: np.asarray(Image.open(original / f"crowd_{n}.png")) for n in range(1, 8)}
                gold = np.asarray(Image.open(original / "gold.png"))
                assert ("clean_label" in case) == (case["case"] in rows) == (part in ("train", "validation"))
                if part == "test":
                    given = reference = gold
                else:
                    row = rows[case["case"]]
                    # Discs grow with the worker's number: four of seven cover what worker 4 does.
                    given = sources[4 if row["worker"] == "majority" else int(row["worker"])]
                    assert workers != "all" or case["case"] == f"{case['patient']}_w{row['worker']}"
                    reference = gold
                    label, clean = (read_label(case[key], ["cell"]) > 0 for key in ("label", "clean_label"))
                    assert float(row["dice"]) == pytest.approx(
                        2 * (label & clean).sum() / (label.sum() + clean.sum()), abs=1e-4
                    )
                for key, source in (("label", given), ("clean_label", reference)):
                    if key in case:
                        expected = script.resampled_mask(source > 0)
                        # MONAI reads pictures with x first.
                        np.testing.assert_array_equal(read_label(case[key], ["cell"])[0, ..., 0].T, expected)
    drawn = {row["worker"] for row in workers_of(crowd["one"]).values()}
    assert len(drawn) > 2


def test_images_keep_their_bit_depth_and_mean(crowd, crowd_source):
    for case in find_cases(crowd["one"]):
        original = np.asarray(Image.open(crowd_source / case["patient"].replace("_", "/") / "image.png"))
        image = read_file(case["image"]).numpy()
        assert image.shape == (1, 256, 256)
        assert (image.max() > 255) == (original.dtype == np.uint16)
        assert image.mean() == pytest.approx(original.mean(), abs=0.5)


def test_crowd_labels_train_and_evaluate(crowd, tmp_path):
    """Cases of one 2-D picture each, with the overlay as it is."""
    overlays, folders = ["datasets/crowd", "methods/baseline"], {"dataset_dir": crowd["one"], "output_dir": tmp_path}
    result = run_bundle("training", overlays, tmp_path, **folders, max_epochs=2)
    assert result.returncode == 0, result.stderr[-3000:]
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs" / f"{name}.yaml") for name in ("train", *overlays, "evaluate")])
    parser.update({name: str(folder) for name, folder in folders.items()} | {"network_size": TINY["network_size"]})
    found = parser.get_parsed_content("evaluation").run()
    assert found["classes"] == ["cell"] and found["slices"] == len(found["cases"]) == 3
    assert found["results"]["L"]["full_size"]["mean"] > 0


# --- liver and chest


def test_slices_are_copied_and_divided_by_patient(script, liver_source, tmp_path):
    out = tmp_path / "out"
    script.main(["liver_ct_slices", "--source", str(liver_source), "--output_dir", str(out)])
    before, after = tree(liver_source), tree(out)
    assert {name.replace("masks/", "labels/"): data for name, data in before.items() if name != "index.csv"} == {
        name: data for name, data in after.items() if name.endswith(".png")
    }
    patients = {part: {case["patient"] for case in cases} for part, cases in split_of(out).items()}
    assert {part: len(names) for part, names in patients.items()} == {
        "train": 7, "validation": 1, "test": 2, "holdout": 0
    }  # fmt: skip
    assert sum(len(cases) for cases in split_of(out).values()) == 20


def test_noise_can_be_simulated_on_what_is_prepared(script, liver_source, tmp_path):
    clean, noisy = tmp_path / "clean", tmp_path / "noisy"
    script.main(["liver_ct_slices", "--source", str(liver_source), "--output_dir", str(clean)])
    recipe = str(ROOT / "configs" / "noise" / "co_seg_type1.yaml")
    options = ["--dataset_dir", str(clean), "--output_dir", str(noisy), "--recipe", recipe, "--alpha", "1"]
    load_script("make_noisy_labels").main(options)
    split = split_of(noisy)
    assert {part: len(cases) for part, cases in split.items()} == {
        part: len(cases) for part, cases in split_of(clean).items()
    }
    for case in split["train"]:
        label, reference = (read_label(case[key], ["liver"]) for key in ("label", "clean_label"))
        assert label.shape == reference.shape == (1, 64, 64, 1) and (label != reference).any()


def test_xrays_are_halved_and_test_is_filled_to_a_hundred(script, tmp_path):
    source, out = tmp_path / "source", tmp_path / "out"
    names = {"train": range(97), "valid": range(100, 104), "test": range(110, 114)}
    for part, numbers in names.items():
        for number in numbers:
            mask = np.zeros((32, 32, 3), np.uint8)
            mask[8:24, 4 : 12 + number % 8] = 255
            save(np.full((32, 32), number, np.uint8) + mask[..., 0] // 4, source / part / "images" / f"x{number}.jpg")
            save(mask, source / part / "masks" / f"x{number}.jpg")
    script.main(["chest_xray", "--source", str(source), "--output_dir", str(out)])
    split = split_of(out)
    cases = {part: {case["case"] for case in found} for part, found in split.items()}
    assert cases["validation"] == {f"x{i}" for i in names["valid"]} and len(cases["test"]) == 100
    assert {f"x{i}" for i in names["test"]} < cases["test"]
    assert cases["train"] | cases["test"] == {f"x{i}" for part in ("train", "test") for i in names[part]}
    for case in split["train"]:
        label = read_label(case["label"], ["lung"])
        assert label.shape == (1, 256, 256, 1)
        # Blown up eightfold: 16 rows and 8 + number % 8 columns.
        assert label.sum() == 64 * 16 * (8 + int(case["case"][1:]) % 8)
    assert label_names(out) == {1: "lung"}


# --- bad input


def test_an_error_half_way_leaves_nothing(script, crowd_source, tmp_path, capsys):
    source = tmp_path / "source"
    for path in crowd_source.glob("ds1/m0[0-3]/*.png"):
        (source / path.relative_to(crowd_source)).parent.mkdir(parents=True, exist_ok=True)
        (source / path.relative_to(crowd_source)).symlink_to(path)
    broken = source / "ds1/m03/crowd_7.png"
    broken.unlink()
    save(np.zeros((9, 9), np.uint8), broken)
    with pytest.raises(SystemExit, match="2"):
        script.main(["crowd_labels", "--source", str(source), "--output_dir", str(tmp_path / "out")])
    error = capsys.readouterr().err
    assert str(broken) in error and "(9, 9)" in error
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_bad_sources_end_in_one_sentence(script, tmp_path, capsys):
    def message(data_set: str, source: Path) -> str:
        with pytest.raises(SystemExit, match="2"):
            script.main([data_set, "--source", str(source), "--output_dir", str(tmp_path / "out")])
        return capsys.readouterr().err

    assert "nowhere is no folder" in message("chest_xray", tmp_path / "nowhere")
    assert "holds no ds*/*/image.png" in message("crowd_labels", tmp_path)
    assert "index.csv" in message("liver_ct_slices", tmp_path)
    (tmp_path / "index.csv").write_text("name,who\na,b\n")
    assert "columns id and patient, got [{'name': 'a', 'who': 'b'}]" in message("liver_ct_slices", tmp_path)
    save(np.zeros((8, 8), np.uint8), tmp_path / "train/images/a.jpg")
    assert "got 1 and 0 files, partners of 1 missing" in message("chest_xray", tmp_path)
    save(np.arange(192, dtype=np.uint8).reshape(8, 8, 3), tmp_path / "ds1/m01/image.png")
    for name in ("gold", *(f"crowd_{n}" for n in range(1, 8))):
        save(np.zeros((8, 8), np.uint8), tmp_path / f"ds1/m01/{name}.png")
    assert "image.png must be gray, but its colours differ (shape (8, 8, 3))" in message("crowd_labels", tmp_path)
    assert not (tmp_path / "out").exists()


# --- real data

CHEST_FOLDERS = [f"{part}/{kind}/*" for part in ("train", "valid", "test") for kind in ("images", "masks")]


def linked(source: Path, target: Path, patterns: list[str], every: int = 1) -> Path:
    """A folder of links to some of the real files."""
    for pattern in patterns:
        for path in sorted(source.glob(pattern))[::every]:
            (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
            (target / path.relative_to(source)).symlink_to(path)
    return target


@REAL
def test_real_crowd_labels_are_as_good_as_before_they_were_resampled(script, tmp_path):
    out = tmp_path / "out"
    source = linked(SHARED / "crowd_labels", tmp_path / "source", ["ds*/*"], every=12)
    script.main(["crowd_labels", "--source", str(source), "--output_dir", str(out), "--workers", "all"])
    native, written = [], []
    for case, row in workers_of(out).items():
        folder = source / case.rsplit("_w", 1)[0].replace("_", "/", 1)
        masks = [np.asarray(Image.open(folder / f"{name}.png")) > 0 for name in ("gold", f"crowd_{row['worker']}")]
        native.append(script.dice(*masks))
        written.append(float(row["dice"]))
    np.testing.assert_allclose(written, native, atol=0.02)
    assert 0.7 < np.mean(written) < 0.95 and max(written) < 1  # real noise: nobody draws what the expert drew


@REAL
def test_real_chest_xrays_agree_with_another_way_to_halve_them(script, tmp_path):
    out = tmp_path / "out"
    source = linked(SHARED / "chest_xray", tmp_path / "source", CHEST_FOLDERS, every=4)
    script.main(["chest_xray", "--source", str(source), "--output_dir", str(out)])
    split = split_of(out)
    assert len(split["test"]) == 100 and len(split["train"]) + 100 == len(list(source.glob("t*/images/*")))
    for case in split["test"][::20]:
        (path,) = source.glob(f"*/images/{case['case']}.jpg")
        original = np.asarray(Image.open(path))[..., 0]
        image = read_file(case["image"]).numpy()[0].T
        assert np.abs(image - downscale_local_mean(original, (2, 2))).max() <= 0.5
        mask = downscale_local_mean(np.asarray(Image.open(str(path).replace("images", "masks")))[..., 0] > 127, (2, 2))
        np.testing.assert_array_equal(read_label(case["label"], ["lung"])[0, ..., 0].T, mask >= 0.5)


@REAL
def test_real_liver_slices_keep_patients_apart(script, tmp_path):
    out = tmp_path / "out"
    script.main(["liver_ct_slices", "--source", str(SHARED / "liver_ct_slices"), "--output_dir", str(out)])
    split = split_of(out)
    patients = [{Path(case["image"]).name.split("_")[0] for case in cases} for cases in split.values() if cases]
    assert sum(map(len, patients)) == len(set().union(*patients)) == 122
    assert sum(map(len, split.values())) == 623
    read_label(split["test"][0]["label"], label_names(out))
