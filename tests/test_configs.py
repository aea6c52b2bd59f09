# SPDX-License-Identifier: Apache-2.0
"""Configs: overlays set only what exists, axes do not overlap, defaults are what they claim to be."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
import yaml
from monai.bundle import ConfigParser
from running import ROOT, run_bundle

from bundle.self_cleansing.networks import ResidualUNet

CONFIGS = ROOT / "configs"
AXES = ("datasets", "methods", "training", "presets")
OVERLAYS = sorted(path for axis in AXES for path in (CONFIGS / axis).glob("*.yaml"))
BASE = ConfigParser.load_config_file(str(CONFIGS / "train.yaml"))
SPELLED_OUT = ["datasets/acdc", "methods/self_cleansing_practical", "training/practical"]


def load(path) -> dict:
    return ConfigParser.load_config_file(str(path))


@pytest.mark.parametrize("path", OVERLAYS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_overlay_sets_only_known_keys_and_carries_its_command(path):
    text = path.read_text()
    base = BASE | load(CONFIGS / "inference.yaml") if path.parent.name == "datasets" else BASE
    used = set(re.findall(r"@([a-z_]+)", (CONFIGS / "train.yaml").read_text() + text))
    for key in load(path):
        parser, whole = ConfigParser(base), key.split("::")[0]
        assert whole in base or key in used, f"{key} is neither in train.yaml nor referred to"
        assert "::" not in key or parser[key] is not None, f"{key} is not in train.yaml"
    assert re.search(r"^# Run: ", text, re.MULTILINE)
    assert f"{path.parent.name}/{path.name}" in text


@pytest.mark.parametrize(("one", "other"), list(combinations(AXES, 2)))
def test_axes_are_disjoint(one, other):
    keys = [{key for path in (CONFIGS / axis).glob("*.yaml") for key in load(path)} for axis in (one, other)]
    assert not keys[0] & keys[1]


@pytest.mark.parametrize("path", sorted((CONFIGS / "methods").glob("*.yaml")), ids=lambda path: path.stem)
def test_methods_differ_in_nothing_but_the_method(path):
    """Learning rate, seed, epochs and data are the run's; a method's own second network may have a rate of its own."""
    header = path.read_text().split("\n\n")[0]
    assert all(re.search(rf"^# {word}: ", header, re.MULTILINE) for word in ("Method", "Source", "Run", "Open"))
    common = {"optimizer", "lr_scheduler", "batch_size", "seed", "split_seed", "split", "cases", "dataset_dir"}
    common |= {"max_epochs", "warmup_epochs", "ramp_end_epoch", "update_every", "val_interval", "shrink"}
    common |= {"augmentation", "train", "validate", "averaging_decay", "batch_dice"}
    assert not {key.split("::")[0] for key in load(path)} & common


@pytest.mark.parametrize("path", sorted((CONFIGS / "methods").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_method_trains_its_segmentation_networks_at_the_rate_of_the_run(path, phantom, tmp_path):
    """Whatever `parameters` an overlay groups: those of each ResidualUNet keep learning rate and weight decay."""
    folders = {"dataset_dir": str(phantom), "output_dir": str(tmp_path), "cache_dir": str(tmp_path / "cache")}
    parser = ConfigParser(BASE | load(path) | folders)
    rates = {
        parameter: (group["lr"], group["weight_decay"])
        for group in parser.get_parsed_content("optimizer").param_groups
        for parameter in group["params"]
    }
    networks = [part for part in parser.get_parsed_content("network").modules() if isinstance(part, ResidualUNet)]
    assert networks
    for parameter in (parameter for network in networks for parameter in network.parameters()):
        assert rates[parameter] == (BASE["optimizer"]["lr"], BASE["optimizer"]["weight_decay"])


@pytest.mark.parametrize(("fraction", "epochs"), [("auto", 4), ("oracle", 7), (0.3, 7)])
def test_co_seg_leaves_images_out_over_half_of_the_epochs_in_which_it_may(fraction, epochs):
    """Of a first stage of 15 epochs: all of them, or those after the estimate at epoch 6."""
    parser = ConfigParser(BASE | load(CONFIGS / "methods" / "co_seg.yaml") | load(CONFIGS / "presets" / "quick.yaml"))
    parser.update({"noisy_image_fraction": fraction})
    assert parser.get_parsed_content("forget_rate#ramp_epochs") == epochs


@pytest.mark.parametrize("page", ["README.md", "docs/methods.md"])
def test_every_method_has_a_line_in_the_documents(page):
    lines = [line for line in (ROOT / page).read_text().splitlines() if line.startswith(("|", "## ", "`"))]
    named = {name for line in lines for name in re.findall(r"\w+", line)}
    assert {path.stem for path in (CONFIGS / "methods").glob("*.yaml")} <= named


def test_dice_ce_is_the_loss_of_the_practical_method_on_every_label():
    parsers = {
        name: ConfigParser(BASE | load(CONFIGS / "methods" / f"{name}.yaml"))
        for name in ("dice_ce", "self_cleansing_practical")
    }
    given, pseudo = (parsers["dice_ce"].get_parsed_content(f"loss#{part}") for part in ("given", "pseudo"))
    practical = parsers["self_cleansing_practical"].get_parsed_content("loss#pseudo")
    assert repr(given) == repr(pseudo) == repr(practical)


@pytest.mark.parametrize(("method", "filters"), [("baseline", False), ("self_cleansing_practical", True)])
def test_a_run_is_bound_to_its_filter_only_if_it_has_one(method, filters):
    """So that the baseline of an earlier version can be resumed after the filter has changed."""
    parser = ConfigParser(BASE | load(CONFIGS / "methods" / f"{method}.yaml"))
    handlers = enumerate(BASE["train"]["handlers"])
    number = next(n for n, handler in handlers if handler["_target_"].endswith("TrainingCheckpoint"))
    for key in ("label_filter", "cleanser"):
        assert (parser.get_parsed_content(f"train#handlers#{number}#settings#{key}") is not None) == filters


@pytest.mark.parametrize("name", SPELLED_OUT)
def test_overlays_that_spell_out_the_default_equal_it(name):
    overlay = load(CONFIGS / f"{name}.yaml")
    assert overlay
    assert overlay == {key: BASE[key] for key in overlay}


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*.yaml")), ids=lambda path: path.stem)
def test_yaml_has_no_number_that_is_read_as_text(path):
    """YAML takes 1e-4 for text; it must be written 1.0e-4."""

    def texts(value):
        if isinstance(value, dict):
            for item in value.values():
                yield from texts(item)
        elif isinstance(value, list):
            for item in value:
                yield from texts(item)
        elif isinstance(value, str):
            yield value

    for text in texts(yaml.safe_load(path.read_text())):
        assert not re.fullmatch(r"[-+]?[0-9.]+[eE][-+]?[0-9]+", text), text


def test_every_training_handler_is_a_component():
    """An '@name' item would break check_properties and MONAI Label."""
    assert all(isinstance(handler, dict) and "_target_" in handler for handler in BASE["train"]["handlers"])


def test_the_papers_training_trains(noisy_phantom, tmp_path):
    """The only overlay of its axis that no other test runs."""
    overlays = ["methods/self_cleansing_paper", "training/paper"]
    result = run_bundle(
        "training", overlays, tmp_path, dataset_dir=noisy_phantom, output_dir=tmp_path / "run", max_epochs=2
    )
    assert result.returncode == 0, result.stderr[-3000:]
    assert (tmp_path / "run" / "models" / "model_last.pt").is_file()
