# SPDX-License-Identifier: Apache-2.0
"""An exported bundle against what the Model Zoo, MONAI's own commands and a stranger's empty folder demand."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import onnxruntime
import pytest
import torch
import yaml
from monai.bundle import ConfigParser, ConfigWorkflow
from running import ROOT, TINY, TINY_METHOD, run_bundle

SCRIPT = ROOT / "scripts" / "export_bundle.py"
CARD = ROOT / "docs" / "cards" / "cardiac_mr.yaml"
NAME = "cardiac_mr_self_cleansing_segmentation"
SHARED = Path(os.environ.get("SELF_CLEANSING_DATA", ROOT.parent / "shared" / "data")).parent
SCHEMA = SHARED / "zoo" / "meta_schema_20240725.json"
ZOO_CODE_CHECKS = {  # the settings in the zoo's repository
    "black": ["--check", "--quiet", "--skip-magic-trailing-comma", "--line-length", "120"],
    "isort": ["--check", "--quiet", "--profile", "black", "--line-length", "120"],
    "flake8": [
        "--isolated", "--select", "B,C,E,F,N,P,T4,W,B9", "--max-line-length", "120",
        "--ignore", "E203,E501,E741,W503,W504,C408,N812,B023", "--per-file-ignores", "__init__.py:F401",
    ],
}  # fmt: skip
README_SECTIONS = (
    *("Authors", "Tags", "Model Description", "Data", "Preprocessing", "Performance", "Additional Usage Steps"),
    *("System Configuration", "Limitations", "Citation Info", "References"),
)


def arguments(run: Path, output_dir: Path) -> list[str]:
    """What a user would type after the program's name to export a tiny run."""
    settings = TINY | TINY_METHOD["methods/self_cleansing_practical"]
    words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    files = {"run_dir": run, "card": CARD, "output_dir": output_dir, "config_file": ROOT / "configs" / "train.yaml"}
    return [*(word for name, value in files.items() for word in (f"--{name}", str(value))), *words]


def export(run: Path, output_dir: Path, hash_seed: str = "0") -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, str(SCRIPT), *arguments(run, output_dir)]
    return subprocess.run(command, capture_output=True, text=True, cwd=output_dir.parent, env=environment)


@pytest.fixture
def program(monkeypatch):
    """The program's module, to be called within this process."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import export_bundle

    return export_bundle


@pytest.fixture(scope="module")
def run_dir(trained, noisy_phantom, tmp_path_factory) -> Path:
    """A finished and evaluated tiny run; a copy, because other tests list the files of theirs."""
    folder = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(trained("self_cleansing_practical"), folder)
    settings = TINY_METHOD["methods/self_cleansing_practical"]
    result = run_bundle(
        "evaluating", ["evaluate"], folder.parent, dataset_dir=noisy_phantom, output_dir=folder, **settings
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def archive(run_dir, tmp_path_factory) -> Path:
    output_dir = tmp_path_factory.mktemp("export") / "out"
    result = export(run_dir, output_dir)
    assert result.returncode == 0, result.stderr[-3000:]
    (file,) = output_dir.iterdir()
    return file


@pytest.fixture(scope="module")
def bundle(archive, tmp_path_factory) -> Path:
    """The zip unpacked into an empty folder."""
    folder = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(archive).extractall(folder)
    return folder / NAME


def monai_bundle(*words: object, cwd: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [python, "-m", "monai.bundle", *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=environment | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True)


def test_exporting_again_gives_the_same_bytes(archive, run_dir, tmp_path):
    """In another process, folder and hash seed."""
    result = export(run_dir, tmp_path / "again", hash_seed="7")
    assert result.returncode == 0, result.stderr[-3000:]
    assert (tmp_path / "again" / archive.name).read_bytes() == archive.read_bytes()


def test_the_zip_holds_what_the_zoo_wants_and_no_more(bundle, archive):
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert archive.name == f"{NAME}_v{metadata['version']}.zip"
    assert metadata["version"] in metadata["changelog"]
    names = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    code = {name for name in names if name.startswith("bundle/self_cleansing/")}
    configs = ("train", "inference", "inference_dicom", "evaluate", "multi_gpu_train", "metadata")
    assert names - code == {
        "LICENSE",
        "configs/logging.conf",
        "docs/README.md",
        "docs/data_license.txt",
        "docs/training_curves.png",
        *(f"configs/{name}.json" for name in configs),
        *(f"models/model.{suffix}" for suffix in ("pt", "ts", "onnx")),
    }
    package = [
        path for kind in ("py", "html", "css", "js") for path in (ROOT / "bundle" / "self_cleansing").rglob(f"*.{kind}")
    ]
    assert code == {path.relative_to(ROOT).as_posix() for path in package}


def test_no_path_of_this_machine_is_inside(bundle, tmp_path):
    """Also inside TorchScript and the weights, which are zips."""
    for model in ("model.pt", "model.ts"):
        zipfile.ZipFile(bundle / "models" / model).extractall(tmp_path / model)
    hints = [str(ROOT).encode(), str(bundle.parent).encode(), str(Path.home()).encode() + b"/", b"site-packages"]
    for folder in (bundle, tmp_path):
        for file in folder.rglob("*"):
            if file.is_file():
                content = file.read_bytes()
                assert not [hint for hint in hints if hint in content], file


def test_the_card_has_the_zoos_sections_and_the_runs_figures(bundle, run_dir):
    card = (bundle / "docs" / "README.md").read_text()
    assert card.startswith("# ")
    for section in README_SECTIONS:
        assert f"\n## {section}\n" in card
    evaluation = json.loads((run_dir / "evaluation.json").read_text())
    for protocol in evaluation["results"]["L"].values():
        shown = [f"{value:.1f}" if value is not None else "-" for value in protocol["per_volume"].values()]
        assert " | ".join([*shown, f"{protocol['mean']:.1f}"]) in card
    assert "{{" not in card and "None" not in card


@pytest.mark.skipif(not SCHEMA.is_file(), reason=f"the zoo's schema is not at {SCHEMA.name}; set SELF_CLEANSING_DATA")
def test_metadata_is_valid_against_the_schema(bundle, tmp_path):
    schema = tmp_path / "schema.json"  # a file at this path keeps verify_metadata from downloading it
    schema.write_bytes(SCHEMA.read_bytes())
    words = ["verify_metadata", "--meta_file", "configs/metadata.json", "--filepath", schema]
    result = monai_bundle(*words, cwd=bundle)
    assert result.returncode == 0, result.stderr[-2000:]
    assert "verified with no error" in result.stdout + result.stderr


def test_network_in_and_out_and_the_export_of_weights_pass(bundle, tmp_path):
    files = ["--meta_file", "configs/metadata.json", "--config_file", "configs/inference.json"]
    result = monai_bundle("verify_net_in_out", "--net_id", "network_def", *files, "--n", 8, cwd=bundle)
    assert result.returncode == 0, result.stderr[-2000:]
    weights = ["--ckpt_file", "models/model.pt", "--filepath", tmp_path / "checked.ts"]
    result = monai_bundle("ckpt_export", "--net_id", "network_def", *weights, *files, cwd=bundle)
    assert result.returncode == 0, result.stderr[-2000:]
    image = torch.rand(1, 1, 64, 64, generator=torch.manual_seed(0))
    exported, ours = (torch.jit.load(path)(image) for path in (tmp_path / "checked.ts", bundle / "models" / "model.ts"))
    torch.testing.assert_close(exported, ours, rtol=0, atol=1e-4)


def test_torchscript_and_onnx_equal_the_weights(bundle):
    """At sizes other than those the exporter compares."""
    network = ConfigParser.load_config_file(str(bundle / "configs" / "inference.json"))
    network = ConfigParser(network).get_parsed_content("network_def").eval()
    network.load_state_dict(torch.load(bundle / "models" / "model.pt", weights_only=True))
    scripted = torch.jit.load(bundle / "models" / "model.ts")
    session = onnxruntime.InferenceSession(str(bundle / "models" / "model.onnx"), providers=["CPUExecutionProvider"])
    for shape in [(1, 1, 128, 128), (7, 1, 8, 24)]:
        image = torch.rand(shape, generator=torch.manual_seed(1))
        with torch.no_grad():
            expected = network(image)
            torch.testing.assert_close(scripted(image), expected, rtol=0, atol=1e-4)
        onnx = torch.from_numpy(session.run(None, {"image": image.numpy()})[0])
        torch.testing.assert_close(onnx, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("tool", ZOO_CODE_CHECKS)
def test_the_code_passes_the_zoos_checks(bundle, tool):
    result = subprocess.run(
        [sys.executable, "-m", tool, *ZOO_CODE_CHECKS[tool], "bundle"], cwd=bundle, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("configs", "kind"), [(["train"], "train"), (["train", "multi_gpu_train"], "train"), (["inference"], "infer")]
)
def test_no_property_is_missing(bundle, configs, kind, noisy_phantom, tmp_path, monkeypatch):
    monkeypatch.chdir(bundle)
    image = next((noisy_phantom / "training" / "patient001").glob("*_frame??.nii.gz"))
    workflow = ConfigWorkflow(
        config_file=[f"configs/{config}.json" for config in configs],
        meta_file="configs/metadata.json",
        logging_file=False,
        workflow_type=kind,
        dataset_dir=str(noisy_phantom if kind == "train" else image),
        output_dir=str(tmp_path / "run"),
        **({"cache_dir": "none"} if kind == "train" else {}),
    )
    workflow.initialize()
    assert workflow.check_properties() == []


def use(bundle: Path, cwd: Path, data: Path, out: Path, python: str = sys.executable) -> None:
    """Infer, evaluate and train with an unpacked bundle; from its own folder, or from another with --bundle_root."""
    inside = cwd == bundle
    place = [] if inside else ["--bundle_root", bundle]
    shipped = (bundle / "models" / "model.pt").read_bytes()

    def run(action: str, config: str, *words: object) -> None:
        file = f"configs/{config}.json" if inside else bundle / "configs" / f"{config}.json"
        result = monai_bundle("run", action, "--config_file", file, *place, *words, cwd=cwd, python=python)
        assert result.returncode == 0, f"{action}: {result.stderr[-3000:]}"

    images = data / "training" / "patient001"
    run("inference", "inference", "--dataset_dir", images, "--output_dir", out / "seg", "--device", "cpu")
    run(
        "evaluating", "evaluate", "--dataset_dir", data, "--output_dir", out / "evaluated", "--cache_dir", out / "cache"
    )
    assert list(json.loads((out / "evaluated" / "evaluation.json").read_text())["results"]) == ["model"]
    run("training", "train", "--dataset_dir", data, "--output_dir", out / "run", "--cache_dir", out / "cache")
    assert (out / "run" / "models" / "model_last.pt").is_file()
    assert (bundle / "models" / "model.pt").read_bytes() == shipped  # a run with --output_dir stays apart


def segmentations(folder: Path) -> dict[str, nib.Nifti1Image]:
    return {file.name: nib.load(file) for file in sorted(folder.glob("*_seg.nii.gz"))}


@pytest.fixture
def own_copy(bundle, tmp_path) -> Path:
    """A copy for tests that write into the bundle."""
    return Path(shutil.copytree(bundle, tmp_path / "copy" / bundle.name))


@pytest.mark.parametrize("place", [pytest.param("its own folder", marks=pytest.mark.slow), "another folder"])
def test_an_unpacked_bundle_infers_evaluates_and_trains(own_copy, run_dir, noisy_phantom, tmp_path, place):
    """And its segmentations are, voxel for voxel, those of the repository with the run's weights."""
    use(own_copy, own_copy if place == "its own folder" else tmp_path, noisy_phantom, tmp_path / "out")
    settings = {"dataset_dir": noisy_phantom / "training" / "patient001", "output_dir": tmp_path / "repository"}
    settings |= {"checkpoint": run_dir / "models" / "model_last.pt", "network_size": TINY["network_size"]}
    options = [word for name, value in settings.items() for word in (f"--{name}", value)]
    file = ROOT / "configs" / "inference.yaml"
    result = monai_bundle("run", "inference", "--config_file", file, "--bundle_root", ROOT, *options, cwd=tmp_path)
    assert result.returncode == 0, result.stderr[-3000:]
    ours, theirs = segmentations(tmp_path / "out" / "seg"), segmentations(tmp_path / "repository")
    sources = sorted((noisy_phantom / "training" / "patient001").glob("*_frame??.nii.gz"))
    assert list(ours) == list(theirs) == [file.name.replace(".nii.gz", "_seg.nii.gz") for file in sources]
    for source, one, other in zip(sources, ours.values(), theirs.values(), strict=True):
        assert one.shape == nib.load(source).shape
        np.testing.assert_allclose(one.affine, nib.load(source).affine, atol=1e-4)
        np.testing.assert_array_equal(np.asanyarray(one.dataobj), np.asanyarray(other.dataobj))


@pytest.mark.slow
def test_a_training_without_output_dir_publishes_its_network_and_keeps_the_old_one(own_copy, noisy_phantom, tmp_path):
    shipped = (own_copy / "models" / "model.pt").read_bytes()
    for number in (1, 2):
        words = ["--config_file", "configs/train.json", "--dataset_dir", noisy_phantom]
        result = monai_bundle("run", "training", *words, cwd=own_copy)
        assert result.returncode == 0, result.stderr[-3000:]
        run = own_copy / "runs" / f"run_00{number}"
        assert (own_copy / "models" / "model.pt").read_bytes() == (run / "models" / "model_last.pt").read_bytes()
    first = own_copy / "runs" / "run_001"
    assert (first / "models" / "replaced_model.pt").read_bytes() == shipped
    assert (run / "models" / "replaced_model.pt").read_bytes() == (first / "models" / "model_last.pt").read_bytes()


@pytest.mark.parametrize("data_set", ["acdc", "ct", "liver_ct_slices"])
def test_inference_sees_images_as_the_training_did(program, data_set):
    """Whatever the data set's overlay says of the image is in the bundle's inference, DICOM or not."""
    overlay = yaml.safe_load((ROOT / "configs" / "datasets" / f"{data_set}.yaml").read_text())
    files = [ROOT / "configs" / name for name in ("train.yaml", f"datasets/{data_set}.yaml", "presets/quick.yaml")]
    configs = program.bundle_configs(files, {"shrink": 4})
    for name in ("inference.json", "inference_dicom.json"):
        wanted = {key: value for key, value in overlay.items() if key not in ("plane", "any_orientation")}
        assert {key: configs[name][key] for key in wanted} == wanted
        assert configs[name]["shrink"] == 4


@pytest.mark.slow
def test_the_declared_requirements_are_enough(own_copy, noisy_phantom, tmp_path):
    """In a new environment that has what metadata.json declares, and nothing else."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    metadata = json.loads((own_copy / "configs" / "metadata.json").read_text())
    pins = {
        "torch": metadata["pytorch_version"],
        "monai": metadata["monai_version"],
        "numpy": metadata["numpy_version"],
    }
    pins |= metadata["required_packages_version"]
    packages = [f"{name}=={version}" for name, version in pins.items()]
    for words in (packages[:1], packages):  # torch first: its build without CUDA
        subprocess.run([python, "-m", "pip", "install", "--quiet", *words], check=True)
    use(own_copy, tmp_path, noisy_phantom, tmp_path / "out", python)


@pytest.fixture
def trained_on_all(run_dir, tmp_path) -> Path:
    """The run as if none of its patients had been left out: nobody has scored it, and its weights are others."""
    folder = tmp_path / "all"
    (folder / "models").mkdir(parents=True)
    record = json.loads((run_dir / "run.json").read_text())
    record["settings"]["samples"] += 8
    (folder / "run.json").write_text(json.dumps(record))
    shutil.copy(run_dir / "history.csv", folder)
    weights = torch.load(run_dir / "models" / "model_last.pt", weights_only=True)
    weights["classify.bias"] += 1
    torch.save(weights, folder / "models" / "model_last.pt")
    return folder


def test_a_network_trained_on_all_is_shared_with_the_scores_of_another(run_dir, trained_on_all, tmp_path, program):
    """Its own weights, the other's figures, and a sentence that says so."""
    program.main([*arguments(trained_on_all, tmp_path / "out"), "--scores_of", str(run_dir)])
    (archive,) = (tmp_path / "out").iterdir()
    zipfile.ZipFile(archive).extractall(tmp_path)
    weights = torch.load(tmp_path / NAME / "models" / "model.pt", weights_only=True)
    own = torch.load(trained_on_all / "models" / "model_last.pt", weights_only=True)
    assert all(torch.equal(weights[name], own[name]) for name in own | weights)
    card = " ".join((tmp_path / NAME / "docs" / "README.md").read_text().split())
    samples = json.loads((run_dir / "run.json").read_text())["settings"]["samples"]
    assert f"of a network trained alike on {samples} slices. These scores are not those of this bundle's own" in card
    assert f"which learned from {samples + 8}. Mean" in card
    mean = json.loads((run_dir / "evaluation.json").read_text())["results"]["L"]["full_size"]["mean"]
    metadata = json.loads((tmp_path / NAME / "configs" / "metadata.json").read_text())
    assert metadata["eval_metrics"]["mean_dice_full_size"] == mean / 100
    assert "The metrics are of the same training on fewer samples." in metadata["description"]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            "as many slices",
            r"was trained on (\d+) slices, \S+ on \1; --scores_of wants the same training with patients",
        ),
        (
            "more epochs",
            r"other was not trained with these config files: they differ in max_epochs \(5 in the run, 4 by",
        ),
        ("how many slices not recorded", r"other/run\.json lacks settings: samples; restore it, or make it again"),
        ("nowhere", "other does not exist; pass --scores_of of a finished run"),
    ],
)
def test_scores_of_another_training_are_refused(run_dir, trained_on_all, tmp_path, program, other, message):
    folder = tmp_path / "other"
    if other != "nowhere":
        shutil.copytree(run_dir, folder)
        record = json.loads((trained_on_all / "run.json").read_text())
        record["settings"]["max_epochs"] += other == "more epochs"
        if other == "how many slices not recorded":
            del record["settings"]["samples"]
        (folder / "run.json").write_text(json.dumps(record))
    with pytest.raises(SystemExit, match=f"^error: .*{message}"):
        program.main([*arguments(trained_on_all, tmp_path / "out"), "--scores_of", str(folder)])
    assert not (tmp_path / "out").exists()


def test_a_run_of_another_version_is_exported_with_a_warning(run_dir, tmp_path, program, capsys):
    """Its filter may have had other options; what is of another kind, or of this version, is another training."""
    run = shutil.copytree(run_dir, tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    record["versions"]["self-cleansing-bundle"] = "0.0.1"
    record["settings"]["label_filter"] = "DisplacementFilter(options={'oddly': 4}, unit='image', seed=7)"
    (run / "run.json").write_text(json.dumps(record))
    program.main(arguments(run, tmp_path / "out"))
    warning = capsys.readouterr().out
    assert "by version 0.0.1 of this code, which differs in label_filter ('oddly': 4, seed=7 in the run, " in warning
    assert "unit" not in warning and "seed=0" in warning  # what is the same is not said
    (archive,) = (tmp_path / "out").iterdir()
    card = zipfile.ZipFile(archive).read(f"{NAME}/docs/README.md").decode()
    assert ", by version 0.0.1 of this code. Inference" in card
    this = record | {"versions": json.loads((run_dir / "run.json").read_text())["versions"]}
    other_filter = record | {"settings": record["settings"] | {"label_filter": "MixtureFilter(seed=0)"}}
    other_loss = record | {"settings": record["settings"] | {"loss": record["settings"]["loss"] + "x"}}
    for refused, name in ((this, "label_filter"), (other_filter, "label_filter"), (other_loss, "loss")):
        (run / "run.json").write_text(json.dumps(refused))
        with pytest.raises(SystemExit, match=rf"differ in {name} \("):
            program.main(arguments(run, tmp_path / "other"))


def test_make_exports_the_networks_of_the_repository(tmp_path, program, monkeypatch):
    """With the recipe of the Makefile, as it stands."""
    monkeypatch.chdir(ROOT)
    lines = subprocess.run(["make", "--dry-run", "bundles"], capture_output=True, text=True, check=True).stdout
    lines = lines.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line.partition("export_bundle.py")[2]) for line in lines if "export_bundle.py" in line]
    assert len(commands) == len(list((ROOT / "docs" / "cards").glob("*.yaml"))) == 2
    for command in commands:
        program.main([*command, "--output_dir", str(tmp_path)])
    (hearts,) = tmp_path.glob(f"{NAME}_v*.zip")
    assert "not those of this bundle's own network" in zipfile.ZipFile(hearts).read(f"{NAME}/docs/README.md").decode()
    assert len(list(tmp_path.glob("*.zip"))) == 2


def test_configs_of_another_training_are_refused(run_dir, tmp_path, program):
    with pytest.raises(SystemExit, match=r"differ in max_epochs \(4 in the run, 5 by the configs\).*; name the config"):
        program.main([*arguments(run_dir, tmp_path / "out"), "--max_epochs", "5"])
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("no evaluation", "has no evaluation.json; evaluate it with configs/evaluate.yaml first"),
        ("no weights", r"model_last.pt does not exist; let the training finish"),
        ("other weights", "model_last.pt does not hold weights of this network"),
        ("no run", "nowhere does not exist; pass --run_dir of a finished run"),
        ("option", "--max_epocs is no key of"),
        ("card", "lacks title, task"),
        ("seen part", "was evaluated on part validation, which its training has seen"),
        ("window", r"differ in intensity \(scaler: upper: 99.5 in the run, 90 by the configs\)"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_sentence(run_dir, tmp_path, program, damage, message):
    run = tmp_path / "run"
    (run / "models").mkdir(parents=True)
    for name in ("run.json", "evaluation.json", "history.csv", "models/model_last.pt"):
        if (damage, name) not in [("no evaluation", "evaluation.json"), ("no weights", "models/model_last.pt")]:
            (run / name).write_bytes((run_dir / name).read_bytes())
    if damage == "other weights":
        torch.save({"layer": torch.zeros(3)}, run / "models" / "model_last.pt")
    if damage == "seen part":
        evaluation = json.loads((run / "evaluation.json").read_text()) | {"part": "validation"}
        (run / "evaluation.json").write_text(json.dumps(evaluation))
    (tmp_path / "card.yaml").write_text(yaml.safe_dump({"name": "x"}))
    options = {
        "option": ["--max_epocs", "4"],
        "card": ["--card", str(tmp_path / "card.yaml")],
        "window": ["--intensity#upper", "90"],
    }.get(damage, [])
    words = arguments(tmp_path / "nowhere" if damage == "no run" else run, tmp_path / "out")
    with pytest.raises(SystemExit, match=f"^error: .*{message}") as refused:
        program.main([*words, *options])
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_large_files_are_listed_with_their_checksum(tmp_path, monkeypatch, program):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model.pt").write_bytes(b"abc")
    (tmp_path / "models" / "small.ts").write_bytes(b"a")
    monkeypatch.setattr(program, "LARGE_FILE", 2)
    program._list_large_files(tmp_path)
    (entry,) = yaml.safe_load((tmp_path / "large_files.yml").read_text())["large_files"]
    assert entry["path"] == "models/model.pt" and entry["hash_type"] == "sha256"
    assert entry["hash_val"] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_every_card_of_the_project_is_complete(program):
    cards = [program.read_card(path) for path in (ROOT / "docs" / "cards").glob("*.yaml")]
    assert {card["name"] for card in cards} >= {NAME, "liver_ct_self_cleansing_segmentation"}
    for card in cards:  # MONAI Label takes such bundles for something else
        assert not any(word in card["name"] for word in ("deepedit", "deepgrow", "detection", "classification"))
