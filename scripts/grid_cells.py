# SPDX-License-Identifier: Apache-2.0
"""What a grid file of configs/grids asks for: one cell per data set, noise, method and seed.

A grid file holds four sections; names are letters, digits, `_`, `-` and `.`, and are the keys of folders and tables:
    datasets   name -> {dataset_dir, overlay (of configs/datasets), preset (of configs/presets), overrides}
    noise      name -> {recipe (of configs/noise), and numbers that replace the recipe's own, e.g. alpha}; `none` is
               built in
    methods    name -> {overlay (of configs/methods, default: the name), overrides}; a method that needs neither need
               not be listed
    blocks     a list of {datasets, noise, methods, seeds}: lists of names, whose cross product is run. A cell that
               several blocks name is run once. The seed of a cell is that of its noise and of its training.
`overrides` are keys of the bundle's configs; those of the method win.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[1]
NO_NOISE = "none"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
DATASET_KEYS = {"dataset_dir", "overlay", "preset", "overrides"}
METHOD_KEYS = {"overlay", "overrides"}
NOISE_RATE = re.compile(r"noisy_(image|pixel)_fraction")  # keys of the overlays whose method needs to know it
NOT_LEVELS = ("name", "alpha", "per_organ")  # of a recipe; the rest are its numbers
BLOCK_KEYS = ("datasets", "noise", "methods", "seeds")


@dataclass(frozen=True)
class Cell:
    """One training and its evaluation.

    Args:
        dataset, noise, method: names of the grid file.
        seed: of the noise and of the training.
        dataset_dir: absolute path of the clean data set.
        preset: name of the preset, "" without one.
        config_files: of the training, relative to the repository, in order.
        overrides: config key -> value.
        recipe: path of the noise recipe relative to the repository, None without noise.
        noise_options: numbers that replace the recipe's.
    """

    dataset: str
    noise: str
    method: str
    seed: int
    dataset_dir: Path
    preset: str
    config_files: tuple[str, ...]
    overrides: Mapping[str, Any]
    recipe: str | None
    noise_options: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The cell's folder below the output folder, e.g. acdc/alpha70_beta10/baseline/seed0."""
        return f"{self.dataset}/{self.noise}/{self.method}/seed{self.seed}"

    @property
    def data_name(self) -> str | None:
        """The folder of its noisy data set below the output folder, None if it trains on the data set itself."""
        return f"data/{self.dataset}/{self.noise}_seed{self.seed}" if self.recipe else None

    @property
    def oracle_noise(self) -> bool:
        """Whether the method is told how much is wrong: an override of its noise rate is not 'auto'."""
        told = {key: value for key, value in self.overrides.items() if NOISE_RATE.fullmatch(key)}
        return any(value != "auto" for value in told.values())

    @property
    def definition(self) -> dict[str, Any]:
        """What decides its result, as JSON: two cells of one name with different definitions must not be mixed."""
        return {
            "config_files": list(self.config_files),
            "overrides": dict(self.overrides),
            "recipe": self.recipe,
            "noise_options": dict(self.noise_options),
        }

    def missing_file(self) -> Path | None:
        """The first file or folder it needs that does not exist; None if all are there."""
        needed = [ROOT / name for name in (*self.config_files, *filter(None, [self.recipe]))]
        return next((path for path in (*needed, self.dataset_dir) if not path.exists()), None)


def recipe_of(cell: Cell) -> dict[str, Any]:
    """The recipe of a cell's noise with its options; empty without noise.

    Raises:
        ValueError: if it is not a recipe, or an option is none of its numbers.
    """
    if cell.recipe is None:
        return {}
    recipe = _mapping(_load(ROOT / cell.recipe), f"recipe {cell.recipe}")
    known = [key for key in recipe if key == "alpha" or key not in NOT_LEVELS]
    _mapping(cell.noise_options, f"noise {cell.noise}", {"recipe", *known})
    return {**recipe, **cell.noise_options}


def noise_level(cell: Cell) -> dict[str, Any]:
    """What a table says of a cell's noise: alpha in [0, 1], and the recipe's other numbers as text, e.g. "10", "1-8".

    Without noise they are 0 and "0".
    """
    if not (recipe := recipe_of(cell)):
        return {"alpha": 0.0, "beta": "0"}
    beta = "-".join(str(value) for key, value in recipe.items() if key not in NOT_LEVELS)
    return {"alpha": float(recipe["alpha"]), "beta": beta}


def read_grid(path: Path, dataset_dirs: Mapping[str, Path] | None = None) -> list[Cell]:
    """Read a grid file (see the top of this file) into its cells, each once, in order of appearance.

    Args:
        path: the YAML file.
        dataset_dirs: name of a data set -> folder to use instead of the file's; relative ones are relative to the
            working directory, the file's to the repository.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a grid, or `dataset_dirs` names an unknown data set; the place is named.
    """
    if not path.is_file():
        raise FileNotFoundError(f"grid {path} does not exist; configs/grids holds grids")
    grid = _mapping(_load(path), f"grid {path}", {"datasets", "noise", "methods", "blocks"})
    tables = {
        "datasets": _table(grid, "datasets", DATASET_KEYS),
        "noise": {NO_NOISE: {}, **_table(grid, "noise")},
        "methods": _table(grid, "methods", METHOD_KEYS),
    }
    dataset_dirs = dict(dataset_dirs or {})
    if unknown := sorted(set(dataset_dirs) - set(tables["datasets"])):
        raise ValueError(f"--set names the data set {unknown[0]!r}; {path} has {', '.join(tables['datasets'])}")
    cells: dict[str, Cell] = {}
    for position, block in enumerate(_list(grid.get("blocks"), "blocks"), 1):
        place = f"block {position}"
        block = _mapping(block, place, set(BLOCK_KEYS))
        names = [_list(block.get(key), f"{key} of {place}") for key in BLOCK_KEYS]
        for dataset, noise, method, seed in product(*names):
            for key, name in (("datasets", dataset), ("noise", noise)):
                if not isinstance(name, str) or name not in tables[key]:
                    raise ValueError(f"{key} of {place} names {name!r}, which the grid does not define; define it")
            if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
                raise ValueError(f"seeds of {place} must be whole numbers from 0 on, got {seed!r}")
            cell = _cell(dataset, noise, _name(method, f"methods of {place}"), seed, tables, dataset_dirs)
            cells[cell.name] = cell
    return list(cells.values())


def _cell(
    dataset: str,
    noise: str,
    method: str,
    seed: int,
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]],
    dataset_dirs: Mapping[str, Path],
) -> Cell:
    data, level, how = tables["datasets"][dataset], tables["noise"][noise], tables["methods"].get(method, {})
    if "dataset_dir" not in data:
        raise ValueError(f"data set {dataset} has no dataset_dir; say where it is")
    if not isinstance(data["dataset_dir"], str):
        raise ValueError(f"dataset_dir of data set {dataset} must be a path, got {data['dataset_dir']!r}; quote it")
    given = {
        **_mapping(data.get("overrides") or {}, f"overrides of data set {dataset}"),
        **_mapping(how.get("overrides") or {}, f"overrides of method {method}"),
    }
    if level and "recipe" not in level:
        raise ValueError(f"noise {noise} has no recipe; name a file of configs/noise without its extension")
    folder = dataset_dirs[dataset].resolve() if dataset in dataset_dirs else ROOT / data["dataset_dir"]
    overlays = [("datasets", data.get("overlay")), ("methods", how.get("overlay", method))]
    overlays.append(("presets", data.get("preset")))
    return Cell(
        dataset=dataset,
        noise=noise,
        method=method,
        seed=seed,
        dataset_dir=folder,
        preset=data.get("preset") or "",
        config_files=("configs/train.yaml", *(f"configs/{axis}/{name}.yaml" for axis, name in overlays if name)),
        overrides=given,
        recipe=f"configs/noise/{level['recipe']}.yaml" if level else None,
        noise_options={key: value for key, value in level.items() if key != "recipe"},
    )


def _load(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not valid YAML ({' '.join(str(error).split())}); correct it") from error


def _table(grid: Mapping[str, Any], section: str, keys: set[str] | None = None) -> dict[str, dict[str, Any]]:
    entries = _mapping(grid.get(section) or {}, section)
    return {_name(name, section): _mapping(entry, f"{section}: {name}", keys) for name, entry in entries.items()}


def _mapping(value: Any, place: str, keys: set[str] | None = None) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{place} must be a mapping, got {value!r}")
    if keys is not None and (unknown := [key for key in value if key not in keys]):
        raise ValueError(f"{place} has the key {unknown[0]!r}; known are {', '.join(sorted(keys))}")
    return value


def _list(value: Any, place: str) -> Sequence[Any]:
    if not isinstance(value, list) or not value:
        raise ValueError(f"{place} must be a list with at least one entry, got {value!r}")
    return value


def _name(name: Any, place: str) -> str:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(f"{place}: {name!r} is not a name; use letters, digits, '_', '-' and '.', and quote numbers")
    return name
