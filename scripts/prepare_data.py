# SPDX-License-Identifier: Apache-2.0
"""Turn a public data set of 2-D pictures, as it was downloaded, into a folder to train on.

    python scripts/prepare_data.py liver_ct_slices --source <downloaded> --output_dir data/liver_ct_slices
    python scripts/prepare_data.py chest_xray --source <downloaded> --output_dir data/chest_xray
    python scripts/prepare_data.py crowd_labels --source <downloaded> --output_dir data/crowd_one --workers one

The folder appears when it is complete: images/ and labels/ (PNG), dataset.json, split.json; of crowd_labels, whose
labels are noisy, also clean_labels/ and workers.csv (case, worker, dice: whose mask the label is, and its Dice to the
expert's). docs/data_sets.md says where the data come from, their licences, and what each folder holds.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from bundle.self_cleansing.data import find_cases, split_cases, write_json  # noqa: E402
from bundle.self_cleansing.data.cases import CLEAN_LABELS  # noqa: E402
from bundle.self_cleansing.data.msd import DATASET_JSON  # noqa: E402
from bundle.self_cleansing.data.whole_folder import whole_folder  # noqa: E402

SIDE_PX = 256
JPEG_FOREGROUND = 127  # JPEG blurs 0 and 255; foreground is above
CHEST_TEST_IMAGES = 100
CROWD_WORKERS = 7
CROWD_FRACTIONS = {"validation": 0.15, "test": 0.25}  # of each source's images; the rest trains
SPLIT_JSON, WORKERS_CSV = "split.json", "workers.csv"

Parts = dict[str, list[str]]


def overlap(length: int, cells: int) -> np.ndarray:
    """Overlap of `cells` equal cells with the `length` pixels of an axis they divide among themselves.

    Returns:
        float64 (cells, length) in units of 1 / cells pixel: whole numbers, so that sums of them are exact on every
        machine. A row sums to `length`, a column to `cells`.
    """
    cell, pixel = np.arange(cells)[:, None] * length, np.arange(length) * cells
    return np.clip(np.minimum(cell + length, pixel + cells) - np.maximum(cell, pixel), 0, None).astype(np.float64)


def area_average(picture: np.ndarray, side_px: int = SIDE_PX) -> np.ndarray:
    """Resample a picture to a square; a new pixel is the mean of the area it covers, larger or smaller than the old.

    Each axis is stretched by itself: no border is made up, and areas keep their ratios, and with them Dice.

    Args:
        picture: (H, W), bool or integers below 2**16.
        side_px: H and W of the result.

    Returns:
        float64 (side_px, side_px) within the range of the picture, with the picture's mean.
    """
    rows, columns = (overlap(length, side_px) for length in picture.shape)
    return rows @ picture.astype(np.float64) @ columns.T / picture.size


def resampled_mask(mask: np.ndarray, side_px: int = SIDE_PX) -> np.ndarray:
    """Resample bool (H, W) to bool (side_px, side_px), True where at least half of the area was."""
    return area_average(mask, side_px) >= 0.5


def dice(one: np.ndarray, other: np.ndarray) -> float:
    """Dice of two bool masks of one shape; 1 if both are empty."""
    total = int(one.sum() + other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0


def enlarged_test(train: Sequence[str], test: Sequence[str], count: int, seed: int) -> tuple[list[str], list[str]]:
    """Move cases drawn at random from train to test until test has `count`; a test part that has them stays.

    Returns:
        train and test, sorted.

    Raises:
        ValueError: if train would be left without a case.
    """
    moving = max(count - len(test), 0)
    if moving >= len(train):
        raise ValueError(
            f"test must have {count} images, but train has {len(train)} and test {len(test)}; "
            "give the complete data set"
        )
    order = [sorted(train)[i] for i in np.random.default_rng(seed).permutation(len(train))]
    return sorted(order[moving:]), sorted([*test, *order[:moving]])


def stratified_parts(groups: Mapping[str, Sequence[str]], fractions: Mapping[str, float], seed: int) -> Parts:
    """Divide each group by itself, so that every part has its share of each.

    Args:
        groups: group -> its cases.
        fractions: part -> fraction of each group, rounded; what they leave is "train".
        seed: of the shuffle.

    Returns:
        part -> cases, sorted; "train" is the first.
    """
    rng = np.random.default_rng(seed)
    parts: Parts = {"train": [], **{part: [] for part in fractions}}
    for group in sorted(groups):
        order = [sorted(groups[group])[i] for i in rng.permutation(len(groups[group]))]
        for part, fraction in fractions.items():
            count = round(len(groups[group]) * fraction)
            parts[part] += order[:count]
            order = order[count:]
        parts["train"] += order
    return {part: sorted(cases) for part, cases in parts.items()}


def drawn_worker(case: str, seed: int) -> int:
    """The worker, 1 to 7, whose mask a case gets: a function of (seed, case), whatever other cases there are."""
    return int(np.random.default_rng([seed, *case.encode()]).integers(1, CROWD_WORKERS + 1))


def given_labels(workers: str, case: str, masks: Sequence[np.ndarray], seed: int) -> dict[str, tuple[str, np.ndarray]]:
    """What one image is to be trained on.

    Args:
        workers: "one" drawn worker's mask; "all" masks, a case each; or what the "majority" of the workers marked.
        case: name of the image.
        masks: bool (H, W), one per worker.
        seed: of the draw.

    Returns:
        case -> (worker, mask): the image's own name, or <case>_w1 ... <case>_w7.
    """
    if workers == "all":
        return {f"{case}_w{number}": (str(number), mask) for number, mask in enumerate(masks, 1)}
    if workers == "majority":
        return {case: (workers, 2 * np.sum(masks, axis=0) > len(masks))}
    number = drawn_worker(case, seed)
    return {case: (str(number), masks[number - 1])}


def read_gray(path: Path) -> np.ndarray:
    """Read a picture as integers (H, W); colour whose channels are equal counts as gray.

    Raises:
        FileNotFoundError, OSError: if the file is missing or damaged; it is named.
        ValueError: if it is truly coloured.
    """
    with Image.open(path) as picture:
        pixels = np.asarray(picture)
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    if pixels.ndim != 2:
        raise ValueError(f"{path} must be gray, but its colours differ (shape {pixels.shape}); convert it to gray")
    return pixels


def save_image(pixels: np.ndarray, path: Path) -> None:
    """Write an image resampled by area average as PNG of its own bit depth."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.rint(area_average(pixels)).astype(pixels.dtype)).save(path)


def save_mask(mask: np.ndarray, path: Path) -> None:
    """Write bool (H, W) as PNG of 0 and 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask.astype(np.uint8) * 255).save(path)


def entry(case: str, image: str, patient: str) -> dict[str, str]:
    """An entry of dataset.json, its files under the names that every folder here uses."""
    return {"image": f"./images/{image}.png", "label": f"./labels/{case}.png", "case": case, "patient": patient}


def describe(folder: Path, name: str, class_name: str, entries: Sequence[Mapping[str, str]], **more: str) -> None:
    """Write dataset.json for one class."""
    labels = {"0": "background", "1": class_name}
    counts = {"numTraining": len(entries), "numTest": 0}
    write_json(
        folder / DATASET_JSON, {"name": name, **more, "labels": labels, **counts, "training": list(entries), "test": []}
    )


def liver_ct_slices(source: Path, folder: Path, name: str, seed: int) -> None:
    """Copy the slices byte by byte and divide them by patient, 70 / 10 / 20 %."""
    index = source / "index.csv"
    if not index.is_file():
        raise FileNotFoundError(f"{index} does not exist; download the data set again")
    with open(index, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"id", "patient"} <= set(rows[0]):
        raise ValueError(
            f"{index} must list slices under the columns id and patient, got {rows[:1]}; download it again"
        )
    if astray := [row["id"] for row in rows if row["id"] != Path(row["id"]).name]:
        raise ValueError(f"{index} must name files of its own folders, got the id {astray[0]!r}; download it again")
    for kind, target in (("images", "images"), ("masks", "labels")):
        (folder / target).mkdir()
        for row in rows:
            shutil.copyfile(source / kind / f"{row['id']}.png", folder / target / f"{row['id']}.png")
    entries = [entry(row["id"], row["id"], row["patient"]) for row in rows]
    about = {
        "description": "CT slices that show liver (tumours included), HU clipped to 0..255, 256x256",
        "reference": "Medical Segmentation Decathlon, Task03 Liver (Antonelli et al. 2022, LiTS: Bilic et al. 2023)",
        "licence": "CC BY-SA 4.0",
    }
    describe(folder, name, "liver", entries, **about)
    split_cases(find_cases(folder), folder / SPLIT_JSON, seed)


def chest_xray(source: Path, folder: Path, name: str, seed: int) -> None:
    """Write images and lung masks at 256x256; the given parts stay, but test is filled up to 100 images from train."""
    given: Parts = {}
    for part in ("train", "valid", "test"):
        images, masks = (
            {path.stem: path for path in sorted((source / part / kind).glob("*.jpg"))} for kind in ("images", "masks")
        )
        if not images or set(images) != set(masks):
            raise ValueError(
                f"{source / part} must hold images/ and masks/ with the same names (*.jpg), got {len(images)} and "
                f"{len(masks)} files, partners of {len(set(images) ^ set(masks))} missing; download it again"
            )
        given[part] = list(images)
        for case, path in images.items():
            save_image(read_gray(path), folder / "images" / f"{case}.png")
            mask = resampled_mask(read_gray(masks[case]) > JPEG_FOREGROUND)
            save_mask(mask, folder / "labels" / f"{case}.png")
    about = {
        "description": "Chest X-rays with lung masks, 256x256",
        "reference": "Shenzhen set, National Library of Medicine (Jaeger et al. 2014)",
        "licence": "images: NLM, cite the reference; masks: CC BY-NC-SA 4.0",
    }
    describe(folder, name, "lung", [entry(case, case, case) for case in sorted(sum(given.values(), []))], **about)
    train, test = enlarged_test(given["train"], given["test"], CHEST_TEST_IMAGES, seed)
    write_split(
        folder,
        f"parts as published, but {len(test) - len(given['test'])} images drawn from train moved to test",
        seed,
        {"train": train, "validation": given["valid"], "test": test},
    )


def crowd_labels(source: Path, folder: Path, name: str, seed: int, workers: str) -> None:
    """Write images at 256x256: train and validation are labelled by crowd workers, test by the expert."""
    images = {"_".join(path.parts[-3:-1]): path for path in sorted(source.glob("ds*/*/image.png"))}
    if not images:
        raise ValueError(f"{source} holds no ds*/*/image.png; give the folder that holds ds1, ds2 and ds3")
    groups: Parts = {}
    for case, path in images.items():
        groups.setdefault(path.parts[-3], []).append(case)
    parts = stratified_parts(groups, CROWD_FRACTIONS, seed)
    test = set(parts["test"])
    entries, rows = [], []
    for image, path in images.items():
        pixels = read_gray(path)
        save_image(pixels, folder / "images" / f"{image}.png")
        files = [path.with_name(f"{mask}.png") for mask in ["gold", *(f"crowd_{n + 1}" for n in range(CROWD_WORKERS))]]
        masks = [read_gray(file) > 0 for file in files]
        for mask, file in zip(masks, files, strict=True):
            if mask.shape != pixels.shape:
                raise ValueError(
                    f"{file} must have the size of its image {pixels.shape}, got {mask.shape}; download it again"
                )
        gold = resampled_mask(masks[0])
        labels = {image: ("gold", masks[0])} if image in test else given_labels(workers, image, masks[1:], seed)
        for case, (worker, given) in labels.items():
            label = resampled_mask(given)
            save_mask(label, folder / "labels" / f"{case}.png")
            entries.append(entry(case, image, image))
            if image not in test:
                save_mask(gold, folder / CLEAN_LABELS / "labels" / f"{case}.png")
                rows.append((case, worker, round(dice(label, gold), 4)))
    about = {
        "description": "Phase-contrast microscopy, one cell each, 256x256; labels of train and validation are by crowd",
        "reference": "BU-BIL data sets 1-3 (Gurari et al., WACV 2015)",
        "licence": "BSD style with an advertising clause, (c) 2014 Boston University",
    }
    describe(folder, name, "cell", entries, **about)
    write_split(folder, "images shuffled within each source: 60 % train, 15 % validation, 25 % test", seed, parts)
    with open(folder / WORKERS_CSV, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([("case", "worker", "dice"), *rows])


def write_split(folder: Path, rule: str, seed: int, parts: Parts) -> None:
    """Write split.json as `split_cases` reads it."""
    write_json(folder / SPLIT_JSON, {"rule": rule, "seed": seed, "parts": {**parts, "holdout": []}})


DATA_SETS = {one.__name__: one for one in (liver_ct_slices, chest_xray, crowd_labels)}


def prepare(data_set: str, source: Path, output_dir: Path, **options: int | str) -> dict[str, list[dict]]:
    """Write the folder of one data set, whole or not at all.

    Args:
        data_set: a name of DATA_SETS.
        source: the data as downloaded; see docs/data_sets.md.
        output_dir: the folder to make.
        options: seed, and workers for crowd_labels.

    Returns:
        part -> cases, read back from the folder.

    Raises:
        FileExistsError: if output_dir is not empty.
        OSError: if a file is missing or damaged.
        ValueError: if the source is not laid out as expected.
    """
    if not source.is_dir():
        raise FileNotFoundError(f"source {source} is no folder; give the data set as downloaded, see docs/data_sets.md")
    with whole_folder(output_dir) as folder:
        DATA_SETS[data_set](source, folder, Path(os.path.abspath(output_dir)).name, **options)  # type: ignore[operator]
        split_cases(find_cases(folder), folder / SPLIT_JSON)  # what cannot be read back is not left behind
    return split_cases(find_cases(output_dir), output_dir / SPLIT_JSON)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line, write the folder, print what it holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="data_set", required=True)
    for name, function in DATA_SETS.items():
        said = str(function.__doc__).replace("%", "%%")  # argparse fills in what follows a percent sign
        command = commands.add_parser(name, help=said, description=function.__doc__)
        command.add_argument("--source", type=Path, required=True, help="the data set as downloaded")
        command.add_argument("--output_dir", type=Path, required=True, help="folder to make; not there, or empty")
        command.add_argument("--seed", type=int, default=0, help="of all that is drawn at random (default 0)")
    commands.choices["crowd_labels"].add_argument(
        "--workers",
        choices=("one", "all", "majority"),
        default="one",
        help="whose mask is the label: one drawn worker's, all seven's as a case each, what most of them marked",
    )
    options = vars(parser.parse_args(arguments))
    output_dir = options["output_dir"]
    try:
        parts = prepare(**options)
    except (ValueError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    for part, cases in parts.items():
        if cases:
            print(f"{part}: {len(cases)} cases, {len({case['patient'] for case in cases})} patients or images")
    if (output_dir / WORKERS_CSV).is_file():
        with open(output_dir / WORKERS_CSV, newline="", encoding="utf-8") as file:
            scores = {row["case"]: float(row["dice"]) for row in csv.DictReader(file)}
        for part in ("train", "validation"):
            print(f"{part}: mean Dice to the clean labels {np.mean([scores[c['case']] for c in parts[part]]):.3f}")
    print(f"written to {output_dir}")


if __name__ == "__main__":
    main()
