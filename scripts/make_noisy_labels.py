# SPDX-License-Identifier: Apache-2.0
"""Write a copy of a data set with simulated label noise, to study training under noise whose truth is known.

    python scripts/make_noisy_labels.py --dataset_dir data/phantom --output_dir data/phantom_noisy \\
        --recipe configs/noise/paper_alpha70_beta10.yaml --seed 0

The copy has the layout of the original and can be trained on in its place:
    images                 copied (or linked with --link_images)
    labels                 of the noised parts: one binary mask per class, uint8 NIfTI (H, W, D, K), because dilated
                           organs overlap; of the other parts: as they were
    clean_labels/          the labels of the noised parts as they were, under the same relative paths
    split.json             the division into train, validation, test and holdout
    noise_manifest.csv     one row per slice and class: case, slice, class, kind, radius_px, dice. radius_px is 0 for a
                           kind without one. dice is that of the noisy to the clean label, 1 if both are empty; it is 1
                           exactly where the label is unchanged
    noise.json             recipe, seed and what they came to
Labels that are pictures (PNG, JPEG) become NIfTI of depth 1, noisy and clean. Noise is drawn slice by slice, and slices
are those that a training sees: along the axis of much the largest spacing, else the last one, or as --in_plane says.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import nibabel as nib  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import yaml  # noqa: E402
from monai.data import MetaTensor  # noqa: E402
from tqdm import tqdm  # noqa: E402

from bundle.self_cleansing.data import (  # noqa: E402
    PARTS,
    class_names,
    find_cases,
    label_names,
    read_file,
    read_label,
    split_cases,
    write_json,
)
from bundle.self_cleansing.data.copied_files import description_with_labels  # noqa: E402
from bundle.self_cleansing.data.label_writer import is_nifti  # noqa: E402
from bundle.self_cleansing.data.msd import DATASET_JSON, case_name  # noqa: E402
from bundle.self_cleansing.data.whole_folder import whole_folder  # noqa: E402
from bundle.self_cleansing.noise import NoiseSpec, apply_noise  # noqa: E402
from bundle.self_cleansing.transforms import OrientSlicesd  # noqa: E402

MANIFEST_COLUMNS = ("case", "slice", "class", "kind", "radius_px", "dice")


@dataclass(frozen=True)
class NoisedLabel:
    """One row of the manifest, and the pixel counts behind its Dice."""

    case: str
    slice_index: int
    class_name: str
    kind: str
    radius_px: float
    clean_px: int
    noisy_px: int
    common_px: int

    @property
    def dice(self) -> float:
        """Dice of noisy to clean; 1 if both are empty."""
        total = self.clean_px + self.noisy_px
        return 2 * self.common_px / total if total else 1.0


def read_recipe(path: Path, **overrides: object) -> NoiseSpec:
    """Read a recipe of configs/noise; overrides that are None leave the recipe's value.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError, TypeError: if it is not a recipe; the file is named.
    """
    if not path.is_file():
        raise FileNotFoundError(f"recipe {path} does not exist; configs/noise holds recipes")
    known = NoiseSpec.__dataclass_fields__
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(recipe, dict) or not {"name", "alpha"} <= set(recipe) <= set(known):
            raise ValueError(f"a recipe holds name, alpha and what else it needs of {', '.join(known)}, got {recipe!r}")
        return NoiseSpec(**recipe | {key: value for key, value in overrides.items() if value is not None})
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"recipe {path} is not valid YAML ({' '.join(str(error).split())}); correct it") from error
    except (ValueError, TypeError) as error:
        raise type(error)(f"recipe {path}: {error}") from error


def noisy_volume(
    clean: np.ndarray, case: str, names: Sequence[str], spec: NoiseSpec, seed: int
) -> tuple[np.ndarray, list[NoisedLabel]]:
    """Make the labels of a volume noisy slice by slice.

    Args:
        clean: uint8 (K, H, W, D) of 0 and 1.
        case, spec, seed: see `apply_noise`.
        names: the K class names.

    Returns:
        noisy uint8 (K, H, W, D), and D * K manifest rows, slice by slice.
    """
    noisy = np.empty_like(clean)
    rows = []
    for slice_index in range(clean.shape[-1]):
        before = clean[..., slice_index].astype(bool)
        after, draws = apply_noise(before, case, slice_index, spec, seed)
        noisy[..., slice_index] = after
        for name, draw, old, new in zip(names, draws, before, after, strict=True):
            counts = int(old.sum()), int(new.sum()), int((old & new).sum())
            rows.append(NoisedLabel(case, slice_index, name, draw.kind, draw.radius_px, *counts))
    return noisy, rows


def noisy_label(
    clean: np.ndarray, file: Path, orient: OrientSlicesd, case: str, names: Sequence[str], spec: NoiseSpec, seed: int
) -> tuple[np.ndarray, list[NoisedLabel]]:
    """`noisy_volume` of the label of a file, its slices counted as `orient` turns it for training.

    Args:
        clean: uint8 (K, H, W, D) of 0 and 1, as `read_label` reads the file.
        file, orient: the label's file, and how the training turns it; a picture stays as it is.
        case, names, spec, seed: see `noisy_volume`.

    Returns:
        noisy uint8 (K, H, W, D) on the grid of the file, and the manifest's rows.
    """
    stored = read_file(file)
    if stored.ndim < 4:
        return noisy_volume(clean, case, names, spec, seed)
    turned = orient({"label": MetaTensor(torch.tensor(clean), affine=stored.affine)})["label"]
    noisy, rows = noisy_volume(turned.numpy(), case, names, spec, seed)
    turned.copy_(torch.from_numpy(noisy))
    return orient.inverse({"label": turned})["label"].numpy(), rows


def summarise(rows: Sequence[NoisedLabel]) -> dict:
    """What the noise came to: fractions, Dice and pixel precision and recall; None where nothing is there to count."""

    def mean(values: Sequence[float]) -> float | None:
        return round(float(np.mean(values)), 4) if len(values) else None

    def figures(some: Sequence[NoisedLabel]) -> dict:
        common, noisy, clean = (sum(getattr(row, f"{key}_px") for row in some) for key in ("common", "noisy", "clean"))
        return {
            "labels": len(some),
            "changed_label_fraction": mean([row.dice < 1 for row in some]),
            "mean_dice": mean([row.dice for row in some]),
            "pixel_precision": round(common / noisy, 4) if noisy else None,
            "pixel_recall": round(common / clean, 4) if clean else None,
        }

    images: dict[tuple[str, int], list[NoisedLabel]] = {}
    for row in rows:
        images.setdefault((row.case, row.slice_index), []).append(row)
    drawn = [any(row.kind != "none" for row in image) for image in images.values()]
    changed = [any(row.dice < 1 for row in image) for image in images.values()]
    present = [row for row in rows if row.clean_px]
    classes = list(dict.fromkeys(row.class_name for row in rows))

    def dice_by_class(some: Sequence[NoisedLabel]) -> dict:
        return {name: mean([row.dice for row in some if row.class_name == name]) for name in classes}

    kinds = {kind: [row for row in present if row.kind == kind] for kind in sorted({row.kind for row in rows})}
    return {
        "note": "images are slices; all but the first three count labels that are not empty in the clean data set",
        "images": len(images),
        "noisy_image_fraction": mean(drawn),
        "changed_image_fraction": mean(changed),
        "all": figures(present),
        "classes": {name: figures([row for row in present if row.class_name == name]) for name in classes},
        "kinds": {kind: figures(some) | {"dice_by_class": dice_by_class(some)} for kind, some in kinds.items()},
    }


def copied_label_path(label: Path) -> Path:
    """Where a noisy label goes: its own relative path, with the extension of NIfTI."""
    return label if is_nifti(label) else label.with_name(case_name(label) + ".nii.gz")


def save_masks(masks: np.ndarray, original: Path, target: Path) -> None:
    """Write uint8 (K, H, W, D) as NIfTI (H, W, D, K) with the header (else the affine) of the original label."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if is_nifti(original):
        source = nib.load(original)
        nifti = nib.Nifti1Image(np.moveaxis(masks, 0, -1), source.affine, source.header)  # type: ignore[attr-defined]
    else:
        nifti = nib.Nifti1Image(np.moveaxis(masks, 0, -1), np.asarray(read_file(original).affine, float))
    nifti.set_data_dtype(np.uint8)
    nib.save(nifti, target)


def copy_file(source: Path, target: Path, link: bool = False) -> None:
    """Copy (or link) a file, or a folder that is one image."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if link:
        target.symlink_to(source.resolve(), target_is_directory=source.is_dir())
    elif source.is_dir():
        shutil.copytree(source, target)
    elif not target.exists():  # an image may serve two cases
        shutil.copyfile(source, target)


def make_noisy_copy(
    dataset_dir: Path,
    output_dir: Path,
    spec: NoiseSpec,
    seed: int = 0,
    parts: Sequence[str] = ("train", "validation"),
    names: Sequence[str] | None = None,
    split_file: Path | None = None,
    link_images: bool = False,
    in_plane: str | None = None,
) -> dict:
    """Write the noisy copy (see the top of this file).

    Args:
        dataset_dir: a data set as `find_cases` reads it.
        output_dir: the folder to make; it appears when it is complete.
        spec, seed: what noise; see `apply_noise`.
        parts: the parts whose labels become noisy.
        names: class names for the label values 1..K; default: what the data set declares.
        split_file: a split to use; default: split.json of the data set if it has one, else the standard split.
        link_images: link the images instead of copying them.
        in_plane: the `orient#in_plane` of the training's config, which says what a slice is.

    Returns:
        the content of noise.json.

    Raises:
        FileExistsError: if the output folder is not empty.
        FileNotFoundError: if a file is missing.
        ValueError: if the data set is already noisy, or as `find_cases`, `split_cases` and `read_label`.
    """
    root = Path(os.path.abspath(dataset_dir))
    declared = class_names(names) if names else label_names(root)
    orient = OrientSlicesd("label", in_plane)
    with whole_folder(output_dir) as folder:
        cases = find_cases(root)
        if any("clean_label" in case for case in cases):
            raise ValueError(f"dataset_dir {root} is a noisy copy already (it has clean_labels); give the original")
        if split_file is not None and not Path(split_file).is_file():
            raise FileNotFoundError(f"split_file {split_file} does not exist; leave it out for the standard split")
        split_file = split_file or root / "split.json"
        if split_file.is_file():
            shutil.copyfile(split_file, folder / "split.json")
        split = split_cases(cases, folder / "split.json")
        noised = {case["case"] for part in parts for case in split[part]}

        rows: list[NoisedLabel] = []
        label_paths: dict[str, Path] = {}
        for case in tqdm(cases, unit="case", desc="noisy copy"):
            image, label = Path(case["image"]), Path(case["label"])
            copy_file(image, folder / image.relative_to(root), link_images)
            info = image.parent / "Info.cfg"
            if info.is_file():
                copy_file(info, folder / info.relative_to(root))
            original = label.relative_to(root)
            copied = copied_label_path(original) if case["case"] in noised else original
            if copied in label_paths.values():
                raise ValueError(f"two cases have the label {copied}, {case['case']} is one; give each its own file")
            label_paths[str(label)] = copied
            if case["case"] not in noised:
                copy_file(label, folder / original)
                continue
            clean = read_label(label, declared)
            noisy, new_rows = noisy_label(clean, label, orient, case["case"], list(declared.values()), spec, seed)
            rows += new_rows
            save_masks(noisy, label, folder / copied)
            if copied == original:
                copy_file(label, folder / "clean_labels" / original)
            else:
                save_masks(clean, label, folder / "clean_labels" / copied)
        if (root / DATASET_JSON).is_file():
            write_json(folder / DATASET_JSON, description_with_labels(root, label_paths))

        with open(folder / "noise_manifest.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(MANIFEST_COLUMNS)
            for row in rows:
                table.writerow((row.case, row.slice_index, row.class_name, row.kind, row.radius_px, row.dice))
        report = {
            "recipe": {key: value for key, value in asdict(spec).items() if value is not None},
            "seed": seed,
            "parts": list(parts),
            "label_names": {str(value): name for value, name in declared.items()},
            "realised": summarise(rows),
        }
        write_json(folder / "noise.json", report)
    return report


def number(text: str) -> float:
    """A whole number if it is written as one: which of the two a value must be, the recipe says."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--dataset_dir", type=Path, required=True, help="ACDC layout, or a folder with dataset.json")
    add("--output_dir", type=Path, required=True, help="folder to make; it must not exist or be empty")
    add("--recipe", type=Path, required=True, help="a YAML file of configs/noise; options to --per_organ override it")
    add("--alpha", type=float, help="probability in [0, 1] that an image is noisy")
    add("--beta", type=number, help="missing_or_boundary, boundary_or_edge: mean radius in pixels, drawn within +/- 3")
    add("--low", type=number, help="recipes with a range of radii: the smallest in native pixels")
    add("--high", type=number, help="recipes with a range of radii: the largest in native pixels")
    add("--area_fraction", type=number, help="relative_area: changed pixels over the pixels of the label, in (0, 1)")
    add("--steps", type=number, help="boundary_walk: number of steps")
    add("--theta1", type=number, help="boundary_walk: probability of an outward step")
    add("--theta2", type=number, help="boundary_walk: probability that a rim pixel flips in a step")
    add("--theta3", type=number, help="boundary_walk: probability that any pixel flips at the end, below 0.5")
    add("--per_organ", action=argparse.BooleanOptionalAction, help="draw the noise of each organ by itself")
    add("--seed", type=int, default=0, help="seed of the noise (default 0)")
    add("--parts", nargs="+", choices=PARTS, default=["train", "validation"], help="parts to make noisy")
    add("--split_file", type=Path, help="split to use (default: split.json of the data set, else the standard split)")
    add("--label_names", nargs="+", help="class names of the label values 1, 2, ... (default: as declared)")
    add("--link_images", action="store_true", help="link the images instead of copying them")
    add("--in_plane", help="directions of a slice's axes, as in the data's config (default: by spacing)")
    options = parser.parse_args(arguments)

    try:
        spec = read_recipe(
            options.recipe, **{key: getattr(options, key) for key in NoiseSpec.__dataclass_fields__ if key != "name"}
        )
        report = make_noisy_copy(
            options.dataset_dir,
            options.output_dir,
            spec,
            options.seed,
            options.parts,
            options.label_names,
            options.split_file,
            options.link_images,
            options.in_plane,
        )
    except (ValueError, TypeError, OSError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    realised = report["realised"]
    print(f"{realised['images']} images in {', '.join(options.parts)}, noisy: {realised['noisy_image_fraction']}")
    for name, figures in realised["classes"].items():
        print(f"  {name}: labels changed {figures['changed_label_fraction']}, mean Dice {figures['mean_dice']}")
    print(f"written to {options.output_dir}")


if __name__ == "__main__":
    main()
