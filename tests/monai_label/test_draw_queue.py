# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import matplotlib.image
import nibabel as nib
import numpy as np
import pytest
from running import ROOT

SHAPE = (20, 16, 3)


@pytest.fixture(scope="module")
def module():
    path = ROOT / "scripts" / "monai_label" / "draw_queue.py"
    spec = importlib.util.spec_from_file_location("draw_queue", path)
    module = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)


def write_studies(folder: Path, **cases: tuple[float | None, int, list[str]]) -> None:
    """Cases as name = (trust or None, changed voxels, tags), with files, and a datastore as MONAI Label writes it."""
    objects = {}
    for name, (trust, changed, tags) in cases.items():
        score = {"trust": trust, "changed_voxels": changed, "look_at": 1, "doubtful": 1, "entries": 3}
        info = {} if trust is None else {"review": score}
        objects[name] = {"image": {"ext": ".nii.gz", "info": info}, "labels": dict.fromkeys(tags, {})}
        save(folder / f"{name}.nii.gz", np.random.default_rng(0).random(SHAPE).astype(np.float32))
        label = np.zeros(SHAPE, np.uint8)
        save(folder / "labels" / "original" / f"{name}.nii.gz", label)
        label[5:9, 5:9, 1] = 2
        save(folder / "labels" / "proposed" / f"{name}.nii.gz", label)
    (folder / "datastore_v2.json").write_text(json.dumps({"objects": objects}))


def test_cases_wait_in_the_order_of_trust_then_change_then_name(module, tmp_path):
    write_studies(
        tmp_path,
        reviewed=(0.0, 99, ["original", "final"]),
        trusted=(0.9, 50, ["original"]),
        unknown=(None, 0, ["original"]),
        b=(0.1, 7, ["original"]),
        a=(0.1, 7, ["original", "proposed"]),
        much=(0.1, 8, ["original"]),
    )
    assert [name for name, _ in module.waiting_cases(tmp_path)] == ["much", "a", "b", "trusted"]


def test_the_picture_has_a_row_per_case_and_shows_the_proposal(module, tmp_path):
    write_studies(tmp_path, a=(0.1, 16, ["original"]), b=(0.2, 16, ["original"]))
    heights = []
    for count in (1, 2):
        module.draw_queue(tmp_path, tmp_path / "queue.png", count)
        picture = matplotlib.image.imread(tmp_path / "queue.png")
        heights.append(len(picture))
        coloured = np.ptp(picture[..., :3], axis=-1) > 0.3
        assert not coloured[:, : 2 * picture.shape[1] // 3].any()  # image and empty given label
        assert coloured[:, 2 * picture.shape[1] // 3 :].any()
    assert heights[1] == 2 * heights[0]


def test_a_picture_that_cannot_be_finished_leaves_the_earlier_one(module, tmp_path, monkeypatch):
    def half(figure, target, **options):
        Path(target).write_bytes(b"half")
        raise OSError("no room")

    write_studies(tmp_path, a=(0.1, 16, ["original"]))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "queue.png").write_bytes(b"earlier")
    monkeypatch.setattr(module.Figure, "savefig", half)
    with pytest.raises(OSError, match="no room"):
        module.draw_queue(tmp_path, tmp_path / "out" / "queue.png")
    assert [path.read_bytes() for path in (tmp_path / "out").iterdir()] == [b"earlier"]


def test_studies_without_a_server_are_refused_with_the_remedy(module, tmp_path):
    with pytest.raises(FileNotFoundError, match="datastore_v2.json does not exist; start the review server"):
        module.waiting_cases(tmp_path)


def test_a_finished_review_has_nothing_to_draw(module, tmp_path):
    write_studies(tmp_path, a=(0.1, 7, ["original", "final"]))
    with pytest.raises(ValueError, match="no case of .* waits for a review"):
        module.draw_queue(tmp_path, tmp_path / "queue.png")
