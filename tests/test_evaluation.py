# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from monai.metrics import DiceMetric
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from torch import nn

from bundle.self_cleansing.data import write_json
from bundle.self_cleansing.evaluation import Evaluation
from bundle.self_cleansing.inferers import LocalisingPatchInferer
from bundle.self_cleansing.metrics.dice import EMPTY_RULE
from bundle.self_cleansing.networks import ResidualUNet
from bundle.self_cleansing.transforms import CheckCased, LabelToChannelsd

ROOT = Path(__file__).parents[1]
CLASSES = ["outer", "core"]


def threshold(first: float, second: float) -> nn.Module:
    """A network that can be told by looking: class 1 where brighter than `first`, class 2 than `second`."""
    network = nn.Conv2d(1, 2, 1)
    network.weight.data.fill_(20.0)
    network.bias.data = torch.tensor([-20.0 * first, -20.0 * second])
    return network


def save_case(folder: Path, name: str, image: np.ndarray, label: np.ndarray, clean: np.ndarray | None = None) -> dict:
    case = {"case": name, "patient": name}
    files = {"image": image.astype(np.float32), "label": label.astype(np.uint8)}
    if clean is not None:
        files["clean_label"] = clean.astype(np.uint8)
    for key, array in files.items():
        case[key] = str(folder / f"{name}_{key}.nii.gz")
        nib.save(nib.Nifti1Image(array, np.diag([1.5, 1.5, 8, 1])), case[key])
    return case


def evaluation(folder: Path, cases: list[dict], size: int, part: str = "test", **options) -> Evaluation:
    keys = ["image", "label"]
    steps = [LoadImaged(keys), EnsureChannelFirstd(keys), CheckCased(), LabelToChannelsd("label", CLASSES)]
    return Evaluation(
        {"train": [], "test": cases}, part, Compose(steps), threshold(0, 0), LocalisingPatchInferer(size, size),
        CLASSES, folder, **options,
    )  # fmt: skip


@pytest.fixture
def run_folder(tmp_path) -> Path:
    (tmp_path / "run" / "models").mkdir(parents=True)
    torch.save(threshold(0.3, 0.7).state_dict(), tmp_path / "run/models/model_best.pt")
    torch.save(threshold(0.3, 2.0).state_dict(), tmp_path / "run/models/model_last.pt")  # class 2 collapsed
    return tmp_path / "run"


def test_numbers_agree_with_monai_and_with_the_rule_for_empty_masks(run_folder, tmp_path):
    """Images of the patch's size, so both protocols see all of it, and nothing is resampled."""
    rng = np.random.default_rng(0)
    cases, preds, labels = [], [], []
    for i in range(3):
        image, label = rng.random((32, 32, 4)), rng.integers(0, 3, (32, 32, 4))
        if i == 0:  # class 2 neither there nor predicted in the volume
            image, label = image * 0.69, label % 2
        label[..., 1] = 0
        image[..., 1] *= 0.2  # an empty slice, predicted empty
        cases.append(save_case(tmp_path, f"case{i}", image, rng.integers(0, 3, label.shape), clean=label))
        image = image.astype(np.float32)
        preds.append(torch.from_numpy(np.stack([image > 0.3, image > 0.7])))
        labels.append(torch.from_numpy(np.stack([label == 1, label == 2])))
    result = evaluation(run_folder, cases, 32).run()
    metric = DiceMetric(include_background=True, reduction="none", ignore_empty=False)  # 1 where both are empty
    volumes = metric(torch.stack(preds).float(), torch.stack(labels).float())
    volumes[0, 1] = torch.nan  # by the rule: left out
    slices = torch.cat([p.movedim(-1, 0) for p in preds]), torch.cat([y.movedim(-1, 0) for y in labels])
    per_slice = metric(slices[0].float(), slices[1].float())
    for protocol in ("label_centred", "full_size"):
        found = result["results"]["B"][protocol]
        means = 100 * torch.nanmean(volumes, dim=0)
        np.testing.assert_allclose([found["per_volume"][name] for name in CLASSES], means, atol=0.006)
        np.testing.assert_allclose(found["mean"], means.mean(), atol=0.006)
        each = np.array([found["volumes"][name] for name in CLASSES], dtype=float).T  # None becomes NaN
        np.testing.assert_allclose(each, 100 * volumes, atol=0.006)
        np.testing.assert_allclose(
            [found["per_slice"][name] for name in CLASSES], 100 * per_slice.mean(dim=0), atol=0.006
        )
        collapsed = result["results"]["L"][protocol]["per_volume"]
        assert collapsed["core"] == 0 and collapsed["outer"] == found["per_volume"]["outer"]


def test_the_labels_box_centres_one_protocol_and_the_image_the_other(run_folder, tmp_path):
    """By hand: two squares, of which the label knows only the smaller; the network alone finds the larger."""
    image, label = np.zeros((64, 96, 2)), np.zeros((64, 96, 2), int)
    image[10:22, 70:82] = 0.5  # 144 pixels, not labelled
    image[40:48, 10:18] = 0.5  # 64 pixels
    label[40:48, 10:22] = 1  # 96 pixels, the 64 among them
    result = evaluation(run_folder, [save_case(tmp_path, "a", image, label)], 32).run()["results"]["B"]
    assert result["label_centred"]["per_volume"] == {"outer": 80.0, "core": None}  # 2 * 64 / (64 + 96)
    assert result["label_centred"]["per_slice"] == {"outer": 80.0, "core": 100.0}
    assert result["full_size"]["per_volume"]["outer"] == 0
    assert result["label_centred"]["mean"] == 80.0


def test_labels_outside_the_patch_do_not_count_in_the_patch_protocol(run_folder, tmp_path):
    image, label = np.zeros((80, 20, 1)), np.zeros((80, 20, 1), int)
    image[30:50, 5:15], label[5:75, 5:15] = 0.5, 1  # the patch of 32 sees rows 24-55 of the label
    result = evaluation(run_folder, [save_case(tmp_path, "a", image, label)], 32).run()["results"]["B"]
    assert result["label_centred"]["per_volume"]["outer"] == round(100 * 2 * 200 / (200 + 320), 2)
    assert result["full_size"]["per_volume"]["outer"] == round(100 * 2 * 200 / (200 + 700), 2)


def test_the_files_say_the_same_and_state_the_rule(run_folder, tmp_path, capsys):
    rng = np.random.default_rng(1)
    case = save_case(tmp_path, "a", rng.random((32, 32, 2)), rng.integers(0, 2, (32, 32, 2)))
    result = evaluation(run_folder, [case], 32).run()
    stored = json.loads((run_folder / "evaluation.json").read_text())
    assert stored == result and stored["empty_rule"] == EMPTY_RULE and stored["cases"] == stored["patients"] == ["a"]
    table = (run_folder / "evaluation.md").read_text()
    outer, mean = (result["results"]["B"]["full_size"][key] for key in ("per_volume", "mean"))
    core = "-" if outer["core"] is None else f"{outer['core']:.1f}"
    assert f"| B | full-size | per volume | {outer['outer']:.1f} | {core} | {mean:.1f} |" in table
    assert EMPTY_RULE in table and table in capsys.readouterr().out
    with open(run_folder / "evaluation.csv", newline="") as file:
        rows = {(r["model"], r["protocol"], r["measure"], r["class"]): r["dice_percent"] for r in csv.DictReader(file)}
    assert len(rows) == 2 * 2 * 2 * 3
    assert float(rows["L", "label_centred", "per_volume", "outer"]) == pytest.approx(
        result["results"]["L"]["label_centred"]["per_volume"]["outer"]
    )
    with open(run_folder / "evaluation_cases.csv", newline="") as file:
        cases = {(r["case"], r["model"], r["protocol"], r["class"]): r["dice_percent"] for r in csv.DictReader(file)}
    assert len(cases) == 2 * 2 * 2
    assert float(cases["a", "L", "full_size", "outer"]) == result["results"]["L"]["full_size"]["volumes"]["outer"][0]
    assert cases["a", "B", "full_size", "core"] == ("" if outer["core"] is None else str(outer["core"]))  # of one case
    assert not [path for path in run_folder.iterdir() if path.name.startswith(".")]


def test_what_cannot_be_evaluated_is_said_in_one_sentence(run_folder, tmp_path):
    case = save_case(tmp_path, "a", np.eye(32)[..., None], np.eye(32)[..., None])
    with pytest.raises(ValueError, match="part must be one of train, test, got 'tests'"):
        evaluation(run_folder, [case], 32, part="tests")
    with pytest.raises(ValueError, match="part train of the split has no case"):
        evaluation(run_folder, [case], 32, part="train").run()
    with pytest.raises(FileNotFoundError, match="run folder .*nowhere does not exist"):
        evaluation(tmp_path / "nowhere", [case], 32).run()
    torch.save(nn.Conv2d(1, 3, 1).state_dict(), run_folder / "models/model_last.pt")
    with pytest.raises(ValueError, match=r"model_last\.pt does not hold weights of this network"):
        evaluation(run_folder, [case], 32).run()
    (run_folder / "models/model_last.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"model L of the run, .*model_last\.pt, does not exist"):
        evaluation(run_folder, [case], 32).run()
    assert not (run_folder / "evaluation.json").exists()


def test_the_config_evaluates_a_run_from_another_folder(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    for number in (1, 2, 3):
        folder = tmp_path / "data" / f"patient00{number}"
        folder.mkdir(parents=True)
        image, label = rng.random((40, 50, 2)).astype(np.float32), np.zeros((40, 50, 2), np.uint8)
        label[10:20, 10:30], label[12:18, 14:20], label[14:16, 15:18] = 1, 2, 3
        nib.save(nib.Nifti1Image(image, np.eye(4)), folder / f"patient00{number}_frame01.nii.gz")
        nib.save(nib.Nifti1Image(label, np.eye(4)), folder / f"patient00{number}_frame01_gt.nii.gz")
    parts = {"train": ["patient001"], "validation": ["patient002"], "test": ["patient003"]}
    write_json(tmp_path / "data" / "split.json", {"rule": "by hand", "seed": None, "parts": parts})
    (tmp_path / "run" / "models").mkdir(parents=True)
    torch.manual_seed(0)
    for name in ("model_best.pt", "model_last.pt"):
        torch.save(ResidualUNet(1, 3).state_dict(), tmp_path / "run" / "models" / name)
    monkeypatch.chdir(tmp_path)
    workflow = ConfigWorkflow(
        [str(ROOT / "configs" / name) for name in ("train.yaml", "presets/quick.yaml", "evaluate.yaml")],
        workflow_type="train",
        run_id="evaluating",
        logging_file=str(ROOT / "configs" / "logging.conf"),
        meta_file=str(ROOT / "configs" / "metadata.json"),
        bundle_root=str(ROOT),
        dataset_dir=str(tmp_path / "data"),
        output_dir=str(tmp_path / "run"),
        device="$torch.device('cpu')",
        patch_size=32,
        network_size=32,
    )
    workflow.initialize()
    workflow.run()
    result = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert result["cases"] == ["patient003_frame01"] and result["classes"] == ["RV", "Myo", "LV"]
    assert set(result["results"]) == {"B", "L"} and set(result["results"]["B"]) == {"label_centred", "full_size"}
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "evaluation.csv", "evaluation.json", "evaluation.md", "evaluation_cases.csv", "models",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def compare():
    spec = importlib.util.spec_from_file_location("compare_runs", ROOT / "scripts" / "compare_runs.py")
    module = importlib.util.module_from_spec(spec)
    path = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = path
    return module


def save_evaluation(folder: Path, outer: float, core: float | None, **changes) -> Path:
    per_volume = {"outer": outer, "core": core}
    numbers = {"per_volume": per_volume, "per_slice": per_volume, "mean": outer if core is None else (outer + core) / 2}
    content = {
        "part": "test", "cases": ["a", "b"], "slices": 5, "classes": CLASSES, "empty_rule": EMPTY_RULE,
        "protocols": {"full_size": "on the whole volume"}, "results": {"B": {"full_size": numbers}},
    }  # fmt: skip
    write_json(folder / "evaluation.json", content | changes)
    return folder


def test_runs_of_one_method_are_averaged_over_seeds(compare, tmp_path, capsys):
    runs = [
        save_evaluation(tmp_path / "good_seed1", 80.0, 70.0),
        save_evaluation(tmp_path / "plain", 50.0, None),
        save_evaluation(tmp_path / "good_seed0", 90.0, 60.0),
    ]
    compare.main([*map(str, runs), "--output", str(tmp_path / "docs" / "table.md")])
    table = (tmp_path / "docs" / "table.md").read_text()
    assert "| good | 0, 1 | B | full-size | 75.0 (75.0, 75.0) | 85.0 (90.0, 80.0) | 65.0 (60.0, 70.0) |" in table
    assert "| plain | - | B | full-size | 50.0 | 50.0 | - |" in table
    assert table in capsys.readouterr().out


def test_methods_are_compared_with_the_first_volume_by_volume(compare, tmp_path):
    def save(name: str, outer: list[float], core: list[float | None]) -> Path:
        numbers = {"per_volume": {"outer": 1.0, "core": 1.0}, "mean": 1.0, "volumes": {"outer": outer, "core": core}}
        results = {"results": {"B": {"full_size": numbers}}, "patients": ["one", "two"]}
        return save_evaluation(tmp_path / name, 1.0, 1.0, **results)

    runs = [
        save("plain", [50.0, 60.0], [70.0, None]),  # classes: 55 and 70
        save("good_seed0", [60.0, 64.0], [70.0, None]),  # 62 and 70: +3.5
        save("good_seed1", [62.0, 68.0], [74.0, None]),  # 65 and 74: +7
    ]
    table = compare.compare_runs(runs)
    # The first patient twice: 61 and 72 against 50 and 70, +6.5; the second: 66 against 60, +6; both: +5.25.
    assert "| good | B | full-size | +5.2 [+5.2, +6.5] |" in table
    assert "Difference" not in compare.compare_runs(runs[1:])  # one method
    older = save_evaluation(tmp_path / "older", 50.0, 50.0)
    assert "Difference" not in compare.compare_runs([*runs, older])


def test_runs_that_do_not_belong_together_are_refused(compare, tmp_path):
    one, other = save_evaluation(tmp_path / "one", 80.0, 70.0), tmp_path / "other"
    with pytest.raises(SystemExit, match=r"run .*other has no evaluation\.json; evaluate it first"):
        compare.main([str(one), str(other)])
    save_evaluation(other, 80.0, 70.0, cases=["c"])
    with pytest.raises(SystemExit, match=r"other and .*one differ in 'cases' of evaluation\.json"):
        compare.main([str(one), str(other)])
    with pytest.raises(SystemExit, match="is given twice"):
        compare.main([str(one), str(one)])
