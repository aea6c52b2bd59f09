# SPDX-License-Identifier: Apache-2.0
"""Settings: overrides and overlays of the bundle's actions, noise recipes and grids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bad_input.dataset_json import text
from bad_input.nifti import TRAIN
from bad_input.pictures import NOISE
from bad_input.row import Row, nothing

OVERLAY = TRAIN.replace("{root}/configs/train.yaml", "['{root}/configs/train.yaml','{w}/over.yaml']")
RECIPE = NOISE.replace("{root}/configs/noise/paper_alpha70_beta10.yaml", "{w}/recipe.yaml")
AUDIT = (
    "run audit --config_file {root}/configs/audit.yaml --bundle_root {root} --dataset_dir {w}/data "
    "--output_dir {w}/out "
    "--training_config ['{root}/configs/train.yaml'] --folds 2 --settings "
    "{'class_names':['ring','core'],'cache_dir':'none','network_size':32}"
)
GRID = "run_grid {w}/grid.yaml --output_dir {w}/out"


def overlay(name: str, content: str, sentence: str) -> Row:
    """A training with one more config file."""
    return Row(f"overlay: {name}", text("over.yaml", content), OVERLAY, sentence)


def recipe(name: str, content: str | bytes, sentence: str, more: str = "") -> Row:
    """A noisy copy by a recipe."""
    return Row(f"recipe: {name}", text("recipe.yaml", content), RECIPE + more, sentence)


def grid(name: str, content: str, sentence: str) -> Row:
    """A grid file."""
    return Row(f"grid: {name}", text("grid.yaml", content), GRID, sentence)


def option(name: str, words: str, sentence: str, command: str = TRAIN) -> Row:
    """One more option, or another one."""
    return Row(f"option: {name}", nothing, command + " " + words, sentence)


def audited(content: str) -> Callable[[Path], object]:
    """out/ holds the plan of an audit."""

    def spoil(world: Path) -> None:
        (world / "out").mkdir()
        (world / "out/plan.json").write_text(content)

    return spoil


ROWS = [
    overlay(
        "a misspelt key",
        "max_epoch: 7",
        "error: {w}/over.yaml sets max_epoch, which nothing reads; did you mean max_epochs?",
    ),
    overlay(
        "a list for a number",
        "update_every: [1]",
        "error: update_every must be a whole number from 1 on, got [1]; correct it in the config or on "
        "the command line",
    ),
    overlay(
        "text for a number",
        "head_channels: '32'",
        "error: head_channels must be a whole number from 1 on, got '32'; correct it in the config or on "
        "the command line",
    ),
    overlay(
        "true for a number",
        "val_interval: true",
        "error: val_interval must be a whole number from 1 on, got True; correct it in the config or on "
        "the command line",
    ),
    overlay(
        "an empty setting",
        "shrink:",
        "error: shrink must be a whole number from 1 on, got None; correct it in the config or on the command line",
    ),
    overlay(
        "an unknown unit of the filter",
        "label_filter: {_target_: bundle.self_cleansing.label_filter.DisplacementFilter, unit: pixel}",
        "error: unit must be 'image' or 'class', got 'pixel'; 'image' is the one of the paper",
    ),
    overlay(
        "an unknown option of the filter",
        "label_filter: {_target_: bundle.self_cleansing.label_filter.DisplacementFilter, options: {clip: 3}}",
        "error: options of the label filter are max_components, ~; got 'clip'",
    ),
    overlay(
        "an impossible augmentation",
        "augmentation: {_target_: bundle.self_cleansing.transforms.Augmentation, scale: 2}",
        "error: scale must be below 1, at which nothing is left of an image, got 2",
    ),
    option(
        "no epoch",
        "--max_epochs 0",
        "error: max_epochs must be a whole number from 1 on, got 0; correct it in the config or on the command line",
    ),
    option(
        "fewer epochs than none",
        "--max_epochs -1",
        "error: max_epochs must be a whole number from 1 on, got -1; correct it in the config or on the command line",
    ),
    option(
        "a word for the epochs",
        "--max_epochs many",
        "error: max_epochs must be a whole number from 1 on, got 'many'; correct it in the config or on "
        "the command line",
    ),
    option(
        "one epoch and a half",
        "--max_epochs 1.5",
        "error: max_epochs must be a whole number from 1 on, got 1.5; correct it in the config or on the command line",
    ),
    option(
        "an empty batch",
        "--batch_size 0",
        "error: batch_size must be a whole number from 1 on, got 0; correct it in the config or on the command line",
    ),
    option(
        "a batch below zero",
        "--batch_size -2",
        "error: batch_size must be a whole number from 1 on, got -2; correct it in the config or on the command line",
    ),
    option(
        "a batch of 2.5",
        "--batch_size 2.5",
        "error: batch_size must be a whole number from 1 on, got 2.5; correct it in the config or on the command line",
    ),
    option(
        "a batch of x",
        "--batch_size x",
        "error: batch_size must be a whole number from 1 on, got 'x'; correct it in the config or on the command line",
    ),
    option(
        "no pixel",
        "--network_size 0",
        "error: network_size must be a positive multiple of 8, because the network halves it three "
        "times, got 0; correct it in the config or on the command line",
    ),
    option(
        "a size that cannot be halved",
        "--network_size 30",
        "error: network_size must be a positive multiple of 8, because the network halves it three "
        "times, got 30; correct it in the config or on the command line",
    ),
    option(
        "a word for the size",
        "--network_size big",
        "error: network_size must be a positive multiple of 8, because the network halves it three "
        "times, got 'big'; correct it in the config or on the command line",
    ),
    option(
        "a patch of nothing",
        "--patch_size 0",
        "error: patch_size must be a whole number from 1 on, or null, got 0; correct it in the config or "
        "on the command line",
    ),
    option(
        "a patch below zero",
        "--patch_size -5",
        "error: patch_size must be a whole number from 1 on, or null, got -5; correct it in the config "
        "or on the command line",
    ),
    option(
        "shrunk to nothing",
        "--shrink 0",
        "error: shrink must be a whole number from 1 on, got 0; correct it in the config or on the command line",
        TRAIN.replace("--network_size 32 ", ""),
    ),
    option(
        "no warm-up",
        "--warmup_epochs 0",
        "error: need 1 <= warmup_epochs <= ramp_end_epoch, got 0 and 0; a network that has seen nothing "
        "cannot judge labels",
    ),
    option(
        "a warm-up below zero",
        "--warmup_epochs -1",
        "error: warmup_epochs must be a whole number from 0 on, got -1; correct it in the config or on "
        "the command line",
    ),
    option(
        "an update every 0 epochs",
        "--update_every 0",
        "error: update_every must be a whole number from 1 on, got 0; correct it in the config or on the command line",
    ),
    option(
        "an update every x epochs",
        "--update_every x",
        "error: update_every must be a whole number from 1 on, got 'x'; correct it in the config or on "
        "the command line",
    ),
    option(
        "a validation every 0 epochs",
        "--val_interval 0",
        "error: val_interval must be a whole number from 1 on, got 0; correct it in the config or on the command line",
    ),
    option(
        "a validation every -1 epochs",
        "--val_interval -1",
        "error: val_interval must be a whole number from 1 on, got -1; correct it in the config or on the command line",
    ),
    option(
        "a word for the seed",
        "--seed abc",
        "error: seed must be a whole number from 0 on, got 'abc'; correct it in the config or on the command line",
    ),
    option(
        "a seed below zero",
        "--seed -1",
        "error: seed must be a whole number from 0 on, got -1; correct it in the config or on the command line",
    ),
    option(
        "a device that is not there",
        "--device cuda:7",
        "error: device must be a device that is there, such as cpu or cuda:0, got 'cuda:7'; correct it "
        "in the config or on the command line",
    ),
    option(
        "a device of no kind",
        "--device gpu",
        "error: device must be a device that is there, such as cpu or cuda:0, got 'gpu'; correct it in "
        "the config or on the command line",
    ),
    option(
        "a precision of no kind",
        "--precision float8",
        "error: precision must be one of auto, float32, bfloat16, got 'float8'",
    ),
    option(
        "a text for the classes",
        "--class_names ring",
        "error: class_names must be a list of different names such as ['RV', 'Myo', 'LV'], got 'ring'; "
        "correct it in the config or on the command line",
    ),
    option(
        "no class",
        "--class_names []",
        "error: class_names must be a list of different names such as ['RV', 'Myo', 'LV'], got []; "
        "correct it in the config or on the command line",
    ),
    option(
        "one class twice",
        "--class_names ['ring','ring']",
        "error: class_names must be a list of different names such as ['RV', 'Myo', 'LV'], got ['ring', "
        "'ring']; correct it in the config or on the command line",
    ),
    option(
        "a learning rate below zero",
        "--optimizer#lr -1",
        "error: learning_rate must be a number from 0 on, got -1; correct it in the config or on the command line",
    ),
    option(
        "a learning rate of NaN",
        "--optimizer#lr nan",
        "error: learning_rate must be a number from 0 on, got ~; correct it in the config or on the command line",
    ),
    option(
        "a head without channels",
        "--head_channels 0",
        "error: head_channels must be a whole number from 1 on, got 0; correct it in the config or on the command line",
    ),
    option(
        "no patience",
        "--patience 0",
        "error: patience must be a whole number from 1 on, or null, got 0; correct it in the config or "
        "on the command line",
    ),
    option(
        "a decay of 2",
        "--averaging_decay 2",
        "error: the averaging decay must be in [0, 1), got 2; 0 switches averaging off",
    ),
    option(
        "a rotation below zero",
        "--augmentation#rotation_deg -5",
        "error: rotation_deg must be a number from 0 on, got -5; 0 switches it off",
    ),
    option(
        "noise below zero",
        "--augmentation#noise -1",
        "error: noise must be a number from 0 on, got -1; 0 switches it off",
    ),
    option(
        "a file for the cache",
        "--cache_dir {w}/data/dataset.json",
        "error: the cache {w}/data/dataset.json cannot be written (~); name another folder with "
        "--cache_dir, or pass --cache_dir none to keep the slices in memory",
        TRAIN.replace("--cache_dir none", ""),
    ),
    option(
        "a file for the run",
        "",
        "error: output_dir {w}/data/dataset.json is a file; give a folder with --output_dir",
        TRAIN.replace("{w}/out", "{w}/data/dataset.json"),
    ),
    option(
        "a run below a file",
        "",
        "error: output_dir {w}/data/dataset.json/out cannot be made: {w}/data/dataset.json is a file; "
        "give a folder with --output_dir",
        TRAIN.replace("{w}/out", "{w}/data/dataset.json/out"),
    ),
    option(
        "a stage of nothing",
        "--stage_epochs 0",
        "error: stage_epochs must be a whole number from 1 on, got 0; correct it in the config or on the command line",
    ),
    option(
        "a filter of cows",
        "--label_filter#unit cow",
        "error: unit must be 'image' or 'class', got 'cow'; 'image' is the one of the paper",
    ),
    option(
        "an odd option of the filter",
        "--label_filter#options {'oddly':3}",
        "error: options of the label filter are max_components, ~; got 'oddly'",
    ),
    option(
        "a number of the filter in quotes",
        "--label_filter#options {'no_gap_ratio':'0.9'}",
        "error: label_filter options: no_gap_ratio must be a number in [0, 1], got '0.9'; correct it in "
        "the config or on the command line",
    ),
    option(
        "a filter of no components",
        "--label_filter#options {'max_components':0}",
        "error: label_filter options: max_components must be a whole number from 1 on, got 0; correct it "
        "in the config or on the command line",
    ),
    option(
        "a filter that believes nothing",
        "--label_filter#options {'min_posterior':5}",
        "error: label_filter options: min_posterior must be a number in [0, 1], got 5; correct it in the "
        "config or on the command line",
    ),
    option(
        "a grid of nothing",
        "--cleanser#grid_size 0",
        "error: grid_size must divide the image's height and width, got 0 for 32 x 32; choose a common "
        "divisor no larger than the image, such as half its size",
    ),
    option("a cosine of 7", "--cleanser#sigma 7", "error: sigma must be in [-1, 1], the range of a cosine, got 7"),
    option(
        "a cleanser of cows",
        "--cleanser#variant cow",
        "error: variant must be one of prototypes, mean, prediction, got 'cow'",
    ),
    option(
        "a word for the seed of the split",
        "--split_seed x --split_file {w}/new.json",
        "error: split_seed must be a whole number from 0 on, or null, got 'x'; correct it in the config "
        "or on the command line",
    ),
    option(
        "700 % of noise",
        "--noisy_image_fraction 7",
        "error: noisy_image_fraction must be a fraction in [0, 1), 'oracle' or 'auto', got 7",
        TRAIN.replace(
            "{root}/configs/train.yaml", "['{root}/configs/train.yaml','{root}/configs/methods/co_seg.yaml']"
        ),
    ),
    option(
        "an audit in one fold",
        "",
        "error: folds must be a whole number from 2 on, got 1; correct it in the config or on the command line",
        AUDIT.replace("folds 2", "folds 1"),
    ),
    option(
        "an audit in more folds than patients",
        "",
        "error: 9 folds need as many patients, the data have 4; lower --folds or add patients",
        AUDIT.replace("folds 2", "folds 9"),
    ),
    option(
        "an audit in x folds",
        "",
        "error: folds must be a whole number from 2 on, got 'x'; correct it in the config or on the command line",
        AUDIT.replace("folds 2", "folds x"),
    ),
    option(
        "an audit without copies",
        "--copies 0",
        "error: copies must be a whole number from 1 on, got 0; correct it in the config or on the command line",
        AUDIT,
    ),
    option(
        "an audit with x copies",
        "--copies x",
        "error: copies must be a whole number from 1 on, got 'x'; correct it in the config or on the command line",
        AUDIT,
    ),
    option(
        "an audit of an unknown part",
        "--parts ['nowhere']",
        "error: part must be one of train, validation, test, holdout, got 'nowhere'",
        AUDIT,
    ),
    option(
        "an audit of an empty part",
        "--parts ['holdout']",
        "error: no case of {w}/data is in part holdout; name another part",
        AUDIT,
    ),
    option(
        "an audit with settings that are a number",
        "--settings 3",
        "error: settings must be a mapping like {'max_epochs': 50}, got 3",
        AUDIT,
    ),
    option(
        "a misspelt setting",
        "--max_epoch 7",
        "error: --max_epoch is not a setting of {root}/configs/train.yaml; did you mean --max_epochs?",
    ),
    option(
        "an audit with a misspelt option",
        "--fold 3",
        "error: --fold is not a setting of {root}/configs/audit.yaml; did you mean --folds?",
        AUDIT,
    ),
    option(
        "an audit with an unknown setting",
        "--settings {'oddly':3}",
        "error: settings names 'oddly', which the training config does not have; check its spelling",
        AUDIT,
    ),
    option(
        "an audit without the classes",
        "--settings {'cache_dir':'none'}",
        "error: {w}/data declares the classes ring, core, the training RV, Myo, LV; choose the training "
        "config of these data, or add class_names to the settings: {'class_names': ['ring', 'core']}",
        AUDIT,
    ),
    option(
        "an audit without a config",
        "",
        "error: training config {root}/configs/nowhere.yaml does not exist; check --training_config",
        AUDIT.replace("configs/train", "configs/nowhere"),
    ),
    option(
        "an audit in the data",
        "",
        "error: output_dir {w}/data/out lies in the data {w}/data, where the proposed labels would be "
        "taken for cases; give another folder",
        AUDIT.replace("{w}/out", "{w}/data/out"),
    ),
    option(
        "no audit, resumed",
        "--resume true",
        "error: nothing to resume: output_dir {w}/out has no plan.json; start the audit without --resume",
        AUDIT,
    ),
    option(
        "a file for an audit",
        "",
        "error: output_dir {w}/data/dataset.json is a file; give a folder with --output_dir",
        AUDIT.replace("{w}/out", "{w}/data/dataset.json"),
    ),
    Row(
        "option: another audit, resumed",
        audited("{}"),
        AUDIT + " --resume true",
        "error: the audit in {w}/out is another one: it differs in cases, config_texts, copies, folds, "
        "images, labels, parts, seed, training, training_config; resume it with the data and settings it "
        "was started with, or give another --output_dir",
    ),
    Row(
        "option: the folder of another audit",
        audited("{}"),
        AUDIT,
        "error: output_dir {w}/out already holds an audit; continue it with --resume true, or give "
        "another --output_dir",
    ),
    Row(
        "option: the plan of an audit cut short",
        audited("{"),
        AUDIT + " --resume true",
        "error: {w}/out/plan.json is not valid JSON (line 1: ~); correct that line",
    ),
    option(
        "an audit with a word for the seed",
        "--seed x",
        "error: seed must be a whole number from 0 on, got 'x'; correct it in the config or on the command line",
        AUDIT,
    ),
    recipe("no YAML", "a: [b", "make_noisy_labels.py: recipe {w}/recipe.yaml is not valid YAML (~); correct it"),
    recipe(
        "a list",
        "- a",
        "make_noisy_labels.py: recipe {w}/recipe.yaml: a recipe holds name, alpha and what else it needs "
        "of name, alpha, beta, low, high, area_fraction, steps, theta1, theta2, theta3, per_organ, got "
        "['a']",
    ),
    recipe(
        "nothing",
        "",
        "make_noisy_labels.py: recipe {w}/recipe.yaml: a recipe holds name, alpha and what else it needs "
        "of name, alpha, beta, low, high, area_fraction, steps, theta1, theta2, theta3, per_organ, got "
        "None",
    ),
    recipe(
        "an unknown key",
        "name: missing_or_boundary\nalpha: 0.5\nbeta: 5\noddly: 3",
        "make_noisy_labels.py: recipe {w}/recipe.yaml: a recipe holds name, alpha and what else it needs "
        "of name, alpha, beta, low, high, area_fraction, steps, theta1, theta2, theta3, per_organ, got "
        "~'oddly': 3}",
    ),
    recipe(
        "an unknown name",
        "name: blur\nalpha: 0.5",
        "make_noisy_labels.py: recipe {w}/recipe.yaml: noise recipe must be one of missing_or_boundary, missing, "
        "erosion_range, dilation_range, boundary_range, boundary_or_edge, relative_area, boundary_walk, level_range, "
        "cross_or_bumps, "
        "got 'blur'",
    ),
    recipe(
        "a number for its name",
        "name: 3\nalpha: 0.5",
        "make_noisy_labels.py: recipe {w}/recipe.yaml: noise recipe must be one of missing_or_boundary, missing, "
        "erosion_range, dilation_range, boundary_range, boundary_or_edge, relative_area, boundary_walk, level_range, "
        "cross_or_bumps, "
        "got 3",
    ),
    recipe(
        "a list for its name",
        "name: [a]\nalpha: 0.5",
        "make_noisy_labels.py: recipe {w}/recipe.yaml: noise recipe must be one of missing_or_boundary, missing, "
        "erosion_range, dilation_range, boundary_range, boundary_or_edge, relative_area, boundary_walk, level_range, "
        "cross_or_bumps, "
        "got ['a']",
    ),
    recipe(
        "70 instead of 0.7",
        "name: missing_or_boundary\nalpha: 70\nbeta: 5",
        "make_noisy_labels.py: recipe {w}/recipe.yaml: alpha must be in [0, 1], got 70; for 70 % of the "
        "images pass 0.7, not 70",
    ),
    recipe(
        "NaN of the images",
        "name: missing_or_boundary\nalpha: .nan\nbeta: 5",
        "make_noisy_labels.py: recipe {w}/recipe.yaml: alpha must be in [0, 1], got nan; for 70 % of the "
        "images pass 0.7, not 70",
    ),
    recipe(
        "a word for a number",
        "name: missing_or_boundary\nalpha: half\nbeta: 5",
        "make_noisy_labels.py: recipe {w}/recipe.yaml: alpha must be a number in [0, 1], got 'half'",
    ),
    recipe(
        "no radius",
        "name: missing_or_boundary\nalpha: 0.5",
        "make_noisy_labels.py: recipe {w}/recipe.yaml: the recipe missing_or_boundary needs beta; give "
        "it a value at least 4",
    ),
    recipe(
        "too small a radius",
        "name: missing_or_boundary\nalpha: 0.5\nbeta: 3",
        "make_noisy_labels.py: recipe {w}/recipe.yaml: beta must be at least 4, got 3; the radius is "
        "drawn from beta - 3 on, and a radius below 1 changes nothing",
    ),
    recipe(
        "a number of another recipe",
        "name: boundary_range\nalpha: 0.5\nlow: 1\nhigh: 3\nbeta: 5",
        "make_noisy_labels.py: recipe {w}/recipe.yaml: beta does not belong to the recipe "
        "boundary_range, got 5; leave it out (the recipe takes low and high)",
    ),
    recipe(
        "more than the most",
        "name: boundary_range\nalpha: 0.5\nlow: 5\nhigh: 3",
        "make_noisy_labels.py: recipe {w}/recipe.yaml: low and high must satisfy low <= high, got low 5 "
        "and high 3; give the smaller radius as low",
    ),
    recipe("Latin-1", b"name: \xe9", "make_noisy_labels.py: recipe {w}/recipe.yaml is not valid YAML (~); correct it"),
    recipe(
        "3 of the images",
        "name: missing_or_boundary\nalpha: 0.5\nbeta: 5",
        "make_noisy_labels.py: recipe {w}/recipe.yaml: alpha must be in [0, 1], got 3.0; for 70 % of the "
        "images pass 0.7, not 70",
        " --alpha 3",
    ),
    recipe(
        "an unknown part",
        "name: missing_or_boundary\nalpha: 0.5\nbeta: 5",
        "make_noisy_labels.py: error: argument --parts: invalid choice: 'nowhere' (~)",
        " --parts nowhere",
    ),
    recipe(
        "fewer names than classes",
        "name: missing_or_boundary\nalpha: 0.5\nbeta: 5",
        "make_noisy_labels.py: label {w}/data/labels/a.nii.gz holds the value 2, outside the declared "
        'classes (0 background, 1 ring); declare them under "labels" in dataset.json, or set those '
        "pixels to 0 in the file",
        " --label_names ring",
    ),
    grid("no YAML", "a: [b", "run_grid.py: {w}/grid.yaml is not valid YAML (~); correct it"),
    grid("nothing", "", "run_grid.py: grid {w}/grid.yaml must be a mapping, got None"),
    grid(
        "an unknown key",
        "oddly: 3",
        "run_grid.py: grid {w}/grid.yaml has the key 'oddly'; known are blocks, datasets, methods, noise",
    ),
    grid("no blocks", "datasets: {}", "run_grid.py: blocks must be a list with at least one entry, got None"),
    grid(
        "a name with a slash",
        "datasets: {a/b: {dataset_dir: x}}\nblocks: []",
        "run_grid.py: datasets: 'a/b' is not a name; use letters, digits, '_', '-' and '.', and quote numbers",
    ),
    grid(
        "an undefined data set",
        "blocks: [{datasets: [a], noise: [none], methods: [baseline], seeds: [0]}]",
        "run_grid.py: datasets of block 1 names 'a', which the grid does not define; define it",
    ),
    grid(
        "a seed below zero",
        "datasets: {a: {dataset_dir: x}}\nblocks: [{datasets: [a], noise: [none], methods: [baseline], seeds: [-1]}]",
        "run_grid.py: seeds of block 1 must be whole numbers from 0 on, got -1",
    ),
    grid(
        "a list for a name",
        "datasets: {a: {dataset_dir: x}}\nblocks: [{datasets: [[a]], noise: [none], methods: [baseline], seeds: [1]}]",
        "run_grid.py: datasets of block 1 names ['a'], which the grid does not define; define it",
    ),
    grid(
        "a list for overrides",
        "datasets: {a: {dataset_dir: x, overrides: [1]}}\nblocks: [{datasets: [a], noise: [none], methods: "
        "[baseline], seeds: [1]}]",
        "run_grid.py: overrides of data set a must be a mapping, got [1]",
    ),
    grid(
        "a number for a folder",
        "datasets: {a: {dataset_dir: 3}}\nblocks: [{datasets: [a], noise: [none], methods: [baseline], seeds: [1]}]",
        "run_grid.py: dataset_dir of data set a must be a path, got 3; quote it",
    ),
    grid(
        "noise without a recipe",
        "datasets: {a: {dataset_dir: x}}\nnoise: {n: {alpha: 0.1}}\nblocks: [{datasets: [a], noise: [n], "
        "methods: [baseline], seeds: [1]}]",
        "run_grid.py: noise n has no recipe; name a file of configs/noise without its extension",
    ),
    Row("grid: none there", nothing, GRID, "run_grid.py: grid {w}/grid.yaml does not exist; configs/grids holds grids"),
    Row(
        "grid: a folder for an unknown data set",
        nothing,
        "run_grid {root}/configs/grids/acdc_quick.yaml --output_dir {w}/out --set nowhere={w}",
        "run_grid.py: --set names the data set 'nowhere'; {root}/configs/grids/acdc_quick.yaml has acdc",
    ),
    Row(
        "grid: a data set without a folder",
        nothing,
        "run_grid {root}/configs/grids/acdc_quick.yaml --output_dir {w}/out --set nowhere",
        "run_grid.py: error: argument --set: expected <data set>=<folder>, got 'nowhere'",
    ),
    Row(
        "grid: no cell at a time",
        nothing,
        "run_grid {root}/configs/grids/acdc_quick.yaml --output_dir {w}/out --parallel 0",
        "run_grid.py: error: --parallel and --threads must be at least 1",
    ),
    Row(
        "grid: no cell of that name",
        nothing,
        "run_grid {root}/configs/grids/acdc_quick.yaml --output_dir {w}/out --only nothing",
        "run_grid.py: --only nothing matches no cell of {root}/configs/grids/acdc_quick.yaml; see --dry_run",
    ),
]
