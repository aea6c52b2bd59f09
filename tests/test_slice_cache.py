# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.transforms import Compose, EnsureChannelFirstd, Lambdad, LoadImaged, Resized
from PIL import Image
from running import ROOT

from bundle.self_cleansing import slice_bank, slice_cache
from bundle.self_cleansing.data import find_cases
from bundle.self_cleansing.slice_bank import SliceBank
from bundle.self_cleansing.slice_cache import fingerprint


def preprocessing(size: int = 32) -> Compose:
    keys = ["image", "label"]
    return Compose([LoadImaged(keys), EnsureChannelFirstd(keys), Resized(keys, (size, size, -1), mode="area")])


@pytest.fixture
def data(tmp_path) -> list[dict[str, str]]:
    """Two little cases in ACDC's layout."""
    rng = np.random.default_rng(0)
    for patient, depth in (("patient001", 3), ("patient002", 2)):
        folder = tmp_path / "data" / "training" / patient
        folder.mkdir(parents=True)
        image = rng.random((48, 48, depth), dtype=np.float32)
        for name, values in (("", image), ("_gt", (image > 0.5).astype(np.uint8))):
            nib.save(nib.Nifti1Image(values, np.eye(4)), folder / f"{patient}_frame01{name}.nii.gz")
    return [dict(case) for case in find_cases(tmp_path / "data")]


def never(item):
    pytest.fail("the volumes were read again")


def stored(cache_dir: Path) -> list[Path]:
    return sorted(path for path in cache_dir.iterdir() if path.name != "CACHEDIR.TAG")


def test_a_cached_bank_equals_one_in_memory_and_the_second_is_not_preprocessed(data, tmp_path, monkeypatch):
    plain = SliceBank(data, preprocessing(), progress=False)
    first = SliceBank(data, preprocessing(), tmp_path / "cache", progress=False)
    monkeypatch.setattr(slice_bank, "preprocessed", lambda *_: map(never, [0]))
    second = SliceBank(data, preprocessing(), tmp_path / "cache", progress=False)
    for bank in (first, second):
        assert bank.sample_ids == plain.sample_ids and bank.cases == plain.cases
        for name in ("images", "labels", "case_index"):
            one, other = getattr(plain, name), getattr(bank, name)
            assert one.dtype == other.dtype and torch.equal(one, other), name
        assert bank.clean_labels is None
    assert len(stored(tmp_path / "cache")) == 1


def test_what_is_written_to_a_mapped_bank_stays_in_this_process(data, tmp_path):
    first = SliceBank(data, preprocessing(), tmp_path / "cache", progress=False)
    before = first.labels.clone()
    first.labels.fill_(9)
    assert torch.equal(SliceBank(data, preprocessing(), tmp_path / "cache", progress=False).labels, before)


@pytest.mark.parametrize("changed", ["image", "label", "setting", "case", "order"])
def test_another_input_is_another_bank(data, changed):
    name = fingerprint(data, preprocessing())
    assert fingerprint([dict(item) for item in data], preprocessing()) == name
    other, transforms = [dict(item) for item in data], preprocessing(16 if changed == "setting" else 32)
    if changed in ("image", "label"):
        path = Path(other[0][changed])
        content = bytearray(path.read_bytes())
        content[4] ^= 1  # the time stamp of the gzip header: same size, same pixels
        before = path.stat()
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif changed == "case":
        other[0]["case"] = "renamed"
    elif changed == "order":
        other.reverse()
    assert fingerprint(other, transforms) not in (name, None)


def test_the_name_is_the_same_in_another_process_and_for_moved_data(data, tmp_path):
    """Else nothing would ever be found again. The transforms are those of configs/train.yaml."""
    shutil.copytree(tmp_path / "data", tmp_path / "moved")
    program = (
        "import sys; from monai.bundle import ConfigParser; from bundle.self_cleansing.data import find_cases;"
        "from bundle.self_cleansing.slice_cache import fingerprint;"
        f"parser = ConfigParser(ConfigParser.load_config_file(r'{ROOT / 'configs' / 'train.yaml'}'));"
        "print(fingerprint(find_cases(sys.argv[1]), parser.get_parsed_content('train#preprocessing')))"
    )
    names = {
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path / folder)],
            check=True,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.split()[-1]
        for folder, seed in (("data", "1"), ("moved", "2"))
    }
    assert len(names) == 1 and len(names.pop()) == 32


@pytest.mark.parametrize("suffix", [".nii.gz", ".png"])
def test_transforms_keep_their_name_once_they_have_read(data, tmp_path, suffix):
    """The validation's bank is named after the training's was made, or found: by the same transforms."""
    item = data[0]
    if suffix == ".png":
        Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(tmp_path / "picture.png")
        item = dict.fromkeys(("image", "label"), str(tmp_path / "picture.png"))
    transforms = Compose([LoadImaged(["image", "label"]), EnsureChannelFirstd(["image", "label"])])
    before = fingerprint(data, transforms)
    transforms(item)
    assert fingerprint(data, transforms) == before is not None


def test_the_seed_of_the_training_does_not_matter(data):
    from monai.utils import set_determinism

    names = []
    for seed in (0, 1):
        set_determinism(seed)
        names.append(fingerprint(data, preprocessing()))
    set_determinism(None)
    assert names[0] == names[1] is not None


def test_what_cannot_be_named_is_kept_in_memory(data, tmp_path):
    """A lambda has no contents that could be compared."""
    transforms = Compose([*preprocessing().transforms, Lambdad("image", lambda image: image + 1)])
    bank = SliceBank(data, transforms, tmp_path / "cache", progress=False)
    assert not (tmp_path / "cache").exists()
    assert torch.equal(bank.images, SliceBank(data, preprocessing(), progress=False).images + 1)


@pytest.mark.parametrize("part", ["image.bin", "label.bin", "bank.json"])
@pytest.mark.parametrize("damage", ["head", "body", "tail", "shorter", "longer", "gone"])
def test_a_damaged_cache_is_named_and_made_again(data, tmp_path, caplog, part, damage):
    plain = SliceBank(data, preprocessing(), tmp_path / "cache", progress=False)
    plain_images, plain_labels = plain.images.clone(), plain.labels.clone()
    del plain
    (folder,) = stored(tmp_path / "cache")
    content = bytearray((folder / part).read_bytes())
    if damage in ("head", "body", "tail"):
        content[{"head": 0, "body": len(content) // 2, "tail": -2}[damage]] ^= 0x55
    content = {"shorter": content[:-3], "longer": content + b"???"}.get(damage, content)
    (folder / part).write_bytes(content)
    if damage == "gone":
        (folder / part).unlink()
    again = SliceBank(data, preprocessing(), tmp_path / "cache", progress=False)
    assert torch.equal(again.images, plain_images) and torch.equal(again.labels, plain_labels)
    warnings = [record.message for record in caplog.records if record.name.endswith("slice_cache")]
    assert len(warnings) == 1 and str(folder) in warnings[0]


def damaged(cache_dir: Path) -> Path:
    """The one bank of a cache, after half of its images are gone."""
    (folder,) = stored(cache_dir)
    os.truncate(folder / "image.bin", (folder / "image.bin").stat().st_size // 2)
    return folder


@pytest.mark.parametrize("meanwhile", ["repaired", "removed"])
def test_a_damaged_cache_that_another_process_has_seen_to(data, tmp_path, monkeypatch, meanwhile):
    """Both have found the damage; the slower one must take what the faster one has made, or make it itself."""
    images = SliceBank(data, preprocessing(), tmp_path / "cache", progress=False).images.clone()
    folder = damaged(tmp_path / "cache")
    original, repaired = slice_cache.load, []

    def slow(place):
        monkeypatch.setattr(slice_cache, "load", original)
        try:
            return original(place)
        finally:
            if meanwhile == "removed":
                shutil.rmtree(folder)
            else:
                SliceBank(data, preprocessing(), tmp_path / "cache", progress=False)
                repaired.append((folder / "bank.json").stat().st_mtime_ns)

    monkeypatch.setattr(slice_cache, "load", slow)
    assert torch.equal(SliceBank(data, preprocessing(), tmp_path / "cache", progress=False).images, images)
    assert stored(tmp_path / "cache") == [folder]
    assert repaired in ([], [(folder / "bank.json").stat().st_mtime_ns])  # and not made once more


def test_bad_input_leaves_no_cache_behind(data, tmp_path):
    Path(data[1]["label"]).write_bytes(b"no NIfTI")
    with pytest.raises(ValueError, match="_gt"):
        SliceBank(data, preprocessing(), tmp_path / "cache", progress=False)
    assert stored(tmp_path / "cache") == []


def test_a_folder_that_cannot_be_made_is_named(data, tmp_path):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(OSError, match=r"cache .*cannot be written .*--cache_dir"):
        SliceBank(data, preprocessing(), tmp_path / "cache", progress=False)


def test_clean_labels_are_kept_only_if_every_case_has_them(data, tmp_path):
    keys = ["image", "label", "clean_label"]
    transforms = Compose(
        [LoadImaged(keys, allow_missing_keys=True), EnsureChannelFirstd(keys, allow_missing_keys=True)]
    )
    every = [{**item, "clean_label": item["label"]} for item in data]
    bank = SliceBank(every, transforms, tmp_path / "cache", progress=False)
    assert torch.equal(bank.clean_labels, bank.labels)
    some = SliceBank([*every[:-1], data[-1]], transforms, tmp_path / "cache", progress=False)
    assert some.clean_labels is None and torch.equal(some.labels, bank.labels)


def test_a_cache_made_by_another_process_meanwhile_is_taken(data, tmp_path, monkeypatch):
    """Both start without it; the slower one finds the folder there when it wants to put its own in place."""
    original = slice_bank.preprocessed

    def slow(items, transforms):
        items = list(items)
        yield from original(items, transforms)
        monkeypatch.setattr(slice_bank, "preprocessed", original)
        SliceBank(data, preprocessing(), tmp_path / "cache", progress=False)

    monkeypatch.setattr(slice_bank, "preprocessed", slow)
    bank = SliceBank(data, preprocessing(), tmp_path / "cache", progress=False)
    assert torch.equal(bank.images, SliceBank(data, preprocessing(), progress=False).images)
    assert [path.name for path in stored(tmp_path / "cache")] == [fingerprint(data, preprocessing())]
