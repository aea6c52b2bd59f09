# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser, ConfigWorkflow
from monai.data import MetaTensor
from monai.transforms import Invertd
from PIL import Image
from torch import Tensor, nn

from bundle.self_cleansing.data.image_files import image_files
from bundle.self_cleansing.inferers import LocalisingPatchInferer
from bundle.self_cleansing.inferers.patch_inferer import BACKGROUND_LOGIT
from bundle.self_cleansing.networks import ResidualUNet
from bundle.self_cleansing.transforms import LabelMapd, LabelToChannelsd, label_center, label_map

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("SELF_CLEANSING_DATA", ROOT.parent / "shared" / "data"))


class Threshold(nn.Module):
    """Two classes that can be told by looking: brighter than 0.3, and brighter than 0.7."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([20 * (x - 0.3), 20 * (x - 0.7)], dim=1)


def volume_with_square(shape: tuple[int, int, int], center: tuple[int, int], side: int = 24) -> Tensor:
    """A square of 0.5 with a core of 1.0 in every slice, on 0: float (1, 1, H, W, D)."""
    volume = torch.zeros(1, 1, *shape)
    for value, half in ((0.5, side // 2), (1.0, side // 4)):
        volume[:, :, center[0] - half : center[0] + half, center[1] - half : center[1] + half] = value
    return volume


def dice(pred: Tensor, label: Tensor) -> float:
    return float(2 * (pred & label).sum() / (pred.sum() + label.sum()))


@pytest.mark.parametrize("network_size", [48, 24])
@pytest.mark.parametrize("center", [(20, 20), (60, 100), (100, 30), (107, 147), (63, 81)])
def test_the_bright_square_is_found_wherever_it_is(center, network_size):
    volume = volume_with_square((120, 160, 4), center)
    inferer = LocalisingPatchInferer(48, network_size)
    found = inferer.locate(volume[0], Threshold())
    assert max(abs(a - b) for a, b in zip(found, center, strict=True)) <= 2
    pred, expected = inferer(volume, Threshold()) > 0, Threshold()(volume) > 0
    if network_size == 48:  # nothing is resampled: the very same pixels
        assert torch.equal(pred, expected)
    else:
        assert all(dice(pred[:, k], expected[:, k]) > 0.9 for k in range(2))


def test_inside_the_patch_the_answer_is_the_networks_own_and_outside_it_is_background():
    volume = volume_with_square((100, 90, 3), (50, 40)) + 0.2 * torch.rand(1, 1, 100, 90, 3)
    inferer = LocalisingPatchInferer(patch_size=48, network_size=48)
    logits = inferer.predict_at(volume[0], Threshold(), (50, 40))
    inside = torch.zeros(100, 90, dtype=torch.bool)
    inside[26:74, 16:64] = True
    direct = Threshold()(volume)[0]
    torch.testing.assert_close(logits[:, inside], direct[:, inside])
    assert (logits[:, ~inside] == BACKGROUND_LOGIT).all()


def test_the_center_is_that_of_the_label_box_not_of_the_mass():
    """A long thin tail moves the box, and hardly the mass: training centres on the box."""
    volume = volume_with_square((128, 128, 2), (64, 64))
    volume[:, :, 64:66, 64:94] = 1.0
    found = LocalisingPatchInferer(patch_size=64, network_size=64).locate(volume[0], Threshold())
    assert found == label_center(volume[0] > 0.3)


def test_a_smaller_bright_spot_elsewhere_is_not_taken_for_the_structure():
    volume = volume_with_square((128, 200, 6), (40, 150))
    volume[:, :, 90:98, 20:28, 2] = 1.0
    found = LocalisingPatchInferer(patch_size=64, network_size=32).locate(volume[0], Threshold())
    assert abs(found[0] - 40) <= 2 and abs(found[1] - 150) <= 2


@pytest.mark.parametrize("shape", [(128, 96, 1), (20, 30, 3), (20, 200, 2), (1, 1, 1), (700, 900, 1), (33, 57, 12)])
def test_any_shape_keeps_its_shape(shape):
    logits = LocalisingPatchInferer(64, 32, batch_size=2)(torch.rand(1, 1, *shape) * 0.1, Threshold())
    assert logits.shape == (1, 2, *shape) and (logits < 0).all()


def test_an_image_smaller_than_the_patch_is_found_whole():
    volume = volume_with_square((40, 50, 2), (20, 30))
    assert torch.equal(LocalisingPatchInferer(64, 64)(volume, Threshold()) > 0, Threshold()(volume) > 0)


def test_where_nothing_is_seen_the_center_is_that_of_the_image():
    assert LocalisingPatchInferer(32, 32).locate(torch.zeros(1, 80, 100, 3), Threshold()) == (40, 50)


def test_every_volume_of_a_batch_has_its_own_center():
    both = torch.cat([volume_with_square((100, 100, 2), (30, 30)), volume_with_square((100, 100, 2), (70, 65))])
    assert torch.equal(LocalisingPatchInferer(48, 48)(both, Threshold()) > 0, Threshold()(both) > 0)


def test_without_a_patch_whole_slices_are_predicted():
    volume = torch.rand(1, 1, 32, 32, 5)
    direct = torch.stack([Threshold()(volume[..., i]) for i in range(5)], dim=-1)
    torch.testing.assert_close(LocalisingPatchInferer(None, 32)(volume, Threshold()), direct)
    square = volume_with_square((122, 101, 3), (40, 50), side=40)
    pred = LocalisingPatchInferer(None, 256)(square, Threshold()) > 0
    assert dice(pred, Threshold()(square) > 0) > 0.95


def test_a_scripted_network_gives_the_same_and_metadata_stay():
    network = ResidualUNet(1, 2).eval()
    volume = MetaTensor(volume_with_square((70, 60, 2), (30, 30)), affine=torch.diag(torch.tensor([2.0, 1, 3, 1])))
    inferer = LocalisingPatchInferer(32, 16)
    scripted = inferer(volume, torch.jit.script(network))
    assert isinstance(scripted, MetaTensor) and torch.equal(scripted.affine, volume.affine)
    torch.testing.assert_close(scripted.as_tensor(), inferer(volume, network).as_tensor())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"patch_size": 100}, "network_size must be a positive multiple of 8.*got 100"),
        ({"patch_size": None}, "network_size must be .* got None"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_sizes_that_cannot_work_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LocalisingPatchInferer(**arguments)


def test_a_plane_without_slices_axis_is_refused():
    with pytest.raises(ValueError, match=r"volumes \(batch, channel, H, W, D\), got shape \(1, 1, 64, 64\)"):
        LocalisingPatchInferer(32, 32)(torch.zeros(1, 1, 64, 64), Threshold())


def test_the_label_map_takes_the_highest_class_above_one_half():
    logits = torch.tensor([[-1.0, 2.0, 1.0, 0.0, 3.0], [-2.0, 1.0, 4.0, 0.0, 3.0]])
    assert label_map(logits).tolist() == [[0, 1, 2, 0, 1]]
    mapped = LabelMapd("pred")({"pred": MetaTensor(logits, affine=2 * torch.eye(4))})["pred"]
    assert mapped.dtype == torch.uint8 and mapped.affine[0, 0] == 2


def test_image_files_lists_images_and_says_what_is_missing(tmp_path):
    for name in ("b.nii.gz", "a.nii"):
        nib.save(nib.Nifti1Image(np.zeros((4, 4, 2, 1), np.uint8), np.eye(4)), tmp_path / name)
    for name in ("a_gt.nii", "p_4d.nii.gz", "note.txt", ".hidden.nii"):
        (tmp_path / name).touch()
    assert [Path(item["image"]).name for item in image_files(tmp_path)] == ["a.nii", "b.nii.gz"]
    assert image_files(tmp_path / "a.nii") == [{"image": str(tmp_path / "a.nii")}]
    (tmp_path / "b.nii").touch()
    with pytest.raises(ValueError, match=r"b\.nii and .*b\.nii\.gz would get one name"):
        image_files(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty holds no image"):
        image_files(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        image_files(tmp_path / "nowhere")


def test_a_folder_of_pictures_is_segmented_as_one_by_one(elsewhere):
    """Hidden files, text and, beside volumes, previews of these are left out."""
    rng, pictures = np.random.default_rng(0), elsewhere / "in"
    pictures.mkdir()
    for name in ("b.png", "a.jpg"):
        Image.fromarray(rng.integers(0, 256, (40, 32), dtype=np.uint8)).save(pictures / name)
    for name in (".c.png", "note.txt"):
        (pictures / name).touch()
    torch.manual_seed(0)
    torch.save(ResidualUNet(1, 1).state_dict(), elsewhere / "model.pt")

    def segment(path: Path, out: str) -> dict[str, np.ndarray]:
        settings = {"dataset_dir": str(path), "output_dir": str(elsewhere / out), "network_size": 32}
        inference("datasets/chest_xray.yaml", checkpoint=str(elsewhere / "model.pt"), **settings).run()
        return {file.name: np.asanyarray(nib.load(file).dataobj) for file in (elsewhere / out).iterdir()}

    together = segment(pictures, "together")
    assert sorted(together) == ["a_seg.nii.gz", "b_seg.nii.gz"]
    for name in ("b.png", "a.jpg"):
        ((result, alone),) = segment(pictures / name, name).items()
        np.testing.assert_array_equal(together[result], alone)
        assert alone.shape[:2] == (32, 40) and alone.any()  # x first

    nib.save(nib.Nifti1Image(np.ones((4, 4, 2)), np.eye(4)), pictures / "b_seg.nii.gz")  # an earlier result of one
    (pictures / "b_gt.png").touch()
    (pictures / "folder.png").mkdir()
    (pictures / "b.png").rename(pictures / "b.PNG")
    assert [Path(item["image"]).name for item in image_files(pictures)] == ["a.jpg", "b.PNG"]
    nib.save(nib.Nifti1Image(np.ones((4, 4, 2)), np.eye(4)), pictures / "volume.nii")
    assert image_files(pictures) == [{"image": str(pictures / "volume.nii")}]


@pytest.mark.parametrize(
    ("name", "pixels", "message"),
    [
        (
            "b.png",
            np.zeros((4, 4, 3), np.uint8),
            r"b\.png has 3 channels, this network takes 1; convert a colour picture",
        ),
        ("b.png", np.zeros((4, 4), np.uint8), r"b\.png is constant"),
        ("b.png", None, r"b\.png cannot be read: the file is damaged"),
        ("b.png", "palette", r"b\.png has a palette, whose numbers are no gray values"),
        ("b.png", "frames", r"b\.png holds 2 frames"),
        ("A.bmp", np.eye(4, dtype=np.uint8), r"A\.bmp and .*a\.png would get one name of result"),
    ],
    ids=["colour", "constant", "damaged", "palette", "frames", "same name"],
)
def test_a_picture_that_cannot_be_segmented_is_refused_before_the_others_are(name, pixels, message, tmp_path):
    gray = Image.fromarray(np.eye(4, dtype=np.uint8))
    gray.save(tmp_path / "a.png")
    if pixels is None:
        (tmp_path / name).write_bytes(b"no picture")
    elif isinstance(pixels, str):
        more = {"save_all": True, "append_images": [Image.fromarray(1 - np.eye(4, dtype=np.uint8))]}
        picture = gray.convert("RGB").quantize(2) if pixels == "palette" else gray
        picture.save(tmp_path / name, **(more if pixels == "frames" else {}))
    else:
        Image.fromarray(pixels).save(tmp_path / name)
    with pytest.raises(ValueError, match=message):
        image_files(tmp_path)


def test_a_gray_ramp_is_a_palette_of_gray_values(tmp_path):
    """As many programs save gray pictures."""
    ramp = Image.fromarray(np.eye(4, dtype=np.uint8), mode="P")
    ramp.putpalette([value for n in range(256) for value in (n, n, n)])
    ramp.save(tmp_path / "a.png")
    assert len(image_files(tmp_path)) == 1


def test_a_tiff_without_the_library_that_reads_it_is_no_damaged_file(tmp_path):
    """In a fresh process, for the import of itk with warnings as errors, as this suite has them, ends Python."""
    Image.fromarray(np.eye(4, dtype=np.uint8)).save(tmp_path / "a.tif")
    program = "import sys; from bundle.self_cleansing.data.image_files import image_files; "
    blocked = "import importlib.util as u; find = u.find_spec; sys.modules['itk'] = None; "
    blocked += "u.find_spec = lambda name, package=None: None if name == 'itk' else find(name, package); "
    for before, said in (
        ("", "a.tif'}]"),
        (blocked, "a.tif needs itk, which is not installed: pip install itk, or conv"),
    ):
        code = f"import sys; {before}{program}print(image_files(sys.argv[1]))"
        result = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
        assert said in result.stdout + result.stderr


COLOUR = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@pytest.mark.parametrize(
    ("voxels", "message"),
    [
        (np.zeros((4, 4, 3, 5), np.uint8), r"series\.nii\.gz has shape 4x4x3x5, one volume .* is needed; split"),
        (np.zeros((4, 4, 3), COLOUR), r"series\.nii\.gz is in colour \(R, G, B per voxel\); convert it to one gray"),
        ("flat", r"series\.nii\.gz has no usable affine"),
        (None, r"series\.nii\.gz cannot be read: it is damaged or no NIfTI"),
    ],
    ids=["4-D", "RGB", "affine", "damaged"],
)
def test_what_cannot_be_segmented_is_refused_by_its_header(voxels, message, elsewhere):
    (elsewhere / "in").mkdir()
    file = elsewhere / "in" / "series.nii.gz"
    if voxels is None:
        file.write_bytes(b"no NIfTI at all")
    elif isinstance(voxels, str):
        image = nib.Nifti1Image(np.ones((4, 4, 3)), None)
        image.header.set_sform(np.diag([1.0, 1, 0, 1]), 1)
        nib.save(image, file)
    else:
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), file)
    for path in (elsewhere / "in", file):
        with pytest.raises(ValueError, match=message):
            image_files(path)


def test_one_bad_file_of_a_folder_leaves_no_result_of_the_others(elsewhere):
    (elsewhere / "in").mkdir()
    for name, shape in (("a", (16, 16, 2)), ("series", (16, 16, 2, 5))):
        nib.save(nib.Nifti1Image(np.ones(shape, np.float32), np.eye(4)), elsewhere / "in" / f"{name}.nii.gz")
    torch.save(ResidualUNet(1, 3).state_dict(), elsewhere / "model.pt")
    command = [sys.executable, "-m", "monai.bundle", "run", "inference"]
    settings = {"config_file": ROOT / "configs" / "inference.yaml", "bundle_root": ROOT, "device": "cpu"}
    settings |= {"dataset_dir": elsewhere / "in", "output_dir": elsewhere / "out", "checkpoint": elsewhere / "model.pt"}
    options = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    result = subprocess.run([*command, *options], capture_output=True, text=True)
    assert result.returncode != 0
    assert re.search(r"error: .*series\.nii\.gz has shape 16x16x2x5, one volume", result.stderr)
    assert not (elsewhere / "out").exists()


def test_slices_lie_across_the_thick_axis_of_a_file_of_any_layout(elsewhere):
    """The same heart, stored with its slices first, is segmented as the same voxels."""
    rng = np.random.default_rng(0)
    voxels = rng.normal(100, 20, (40, 48, 3)).astype(np.float32)
    affine = affines()["oblique"]
    (elsewhere / "in").mkdir()
    nib.save(nib.Nifti1Image(voxels, affine), elsewhere / "in" / "last.nii.gz")
    first = nib.Nifti1Image(np.moveaxis(voxels, 2, 0), affine[:, [2, 0, 1, 3]])
    nib.save(first, elsewhere / "in" / "first.nii.gz")
    torch.manual_seed(0)
    torch.save(ResidualUNet(1, 3).state_dict(), elsewhere / "model.pt")
    workflow = inference(
        dataset_dir=str(elsewhere / "in"), output_dir=str(elsewhere / "out"), checkpoint=str(elsewhere / "model.pt"),
        patch_size=32, network_size=16,
    )  # fmt: skip
    workflow.run()
    results = {name: nib.load(elsewhere / "out" / f"{name}_seg.nii.gz") for name in ("last", "first")}
    assert np.asanyarray(results["last"].dataobj).any()
    np.testing.assert_array_equal(
        np.moveaxis(np.asanyarray(results["first"].dataobj), 0, 2), np.asanyarray(results["last"].dataobj)
    )
    np.testing.assert_allclose(results["first"].affine, first.affine, atol=1e-4)


def affines() -> dict[str, np.ndarray]:
    turn, tilt = np.deg2rad(25), np.deg2rad(-40)
    about_z = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), np.cos(tilt)]])
    oblique, flipped, permuted = np.eye(4), np.diag([-1.4, -1.4, 8.0, 1]), np.eye(4)
    oblique[:3, :3] = about_z @ about_x @ np.diag([1.4, 1.4, 8.0])
    permuted[:3, :3] = np.array([[0, 0, 8.0], [1.4, 0, 0], [0, -1.4, 0]])
    for affine, offset in zip((oblique, flipped, permuted), ([10, -20, 30], [90, 80, -5], [3, 2, 1]), strict=True):
        affine[:3, 3] = offset
    return {"oblique": oblique, "flipped": flipped, "permuted": permuted}


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """Work in another folder than the bundle's, as a user may."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return tmp_path


def inference(*overlays: str, **override) -> ConfigWorkflow:
    files = [str(ROOT / "configs" / name) for name in ("inference.yaml", *overlays)]
    workflow = ConfigWorkflow(
        files[0] if len(files) == 1 else files,
        workflow_type="infer",
        logging_file=str(ROOT / "configs" / "logging.conf"),
        meta_file=str(ROOT / "configs" / "metadata.json"),
        bundle_root=str(ROOT),
        device="$torch.device('cpu')",
        **override,
    )
    workflow.initialize()
    return workflow


def test_the_result_of_the_inference_config_has_the_geometry_of_its_input(elsewhere):
    rng = np.random.default_rng(0)
    (elsewhere / "in").mkdir()
    shapes = {"oblique": (70, 90, 3), "flipped": (70, 90, 1), "permuted": (70, 90)}  # also one slice, and 2-D
    for name, affine in affines().items():
        image = nib.Nifti1Image(rng.normal(100, 20, shapes[name]).astype(np.float32), affine)
        image.set_qform(affine, 1)
        image.set_sform(affine, 1)
        nib.save(image, elsewhere / "in" / f"{name}.nii.gz")
    torch.manual_seed(0)
    torch.save(ResidualUNet(1, 3).state_dict(), elsewhere / "model.pt")
    workflow = inference(
        dataset_dir=str(elsewhere / "in"),
        output_dir=str(elsewhere / "out"),
        checkpoint=str(elsewhere / "model.pt"),
        patch_size=32,
        network_size=16,
    )
    assert workflow.check_properties() == []
    workflow.run()
    workflow.finalize()
    assert sorted(path.name for path in (elsewhere / "out").iterdir()) == sorted(f"{n}_seg.nii.gz" for n in affines())
    for name, affine in affines().items():
        result = nib.load(elsewhere / "out" / f"{name}_seg.nii.gz")
        assert result.shape == shapes[name] and result.get_data_dtype() == np.uint8
        np.testing.assert_allclose(result.affine, affine, atol=1e-4)
        labels = np.asanyarray(result.dataobj)
        assert labels.max() <= 3
        rows, columns = np.where((labels > 0).reshape(70, 90, -1).any(axis=2))
        assert len(rows) == 0 or (np.ptp(rows) < 32 and np.ptp(columns) < 32)  # nothing outside one patch


def test_a_flipped_copy_of_a_volume_is_segmented_at_the_same_place_in_the_world(elsewhere):
    """The network is a threshold, so the right voxels are known: those of the square, by world coordinates."""
    volume = volume_with_square((90, 110, 3), (30, 80))[0, 0].numpy() * 500
    affine = affines()["oblique"]
    flip = np.diag([-1.0, 1, 1, 1])
    flip[0, 3] = volume.shape[0] - 1
    (elsewhere / "in").mkdir()
    nib.save(nib.Nifti1Image(volume, affine), elsewhere / "in" / "plain.nii.gz")
    nib.save(nib.Nifti1Image(volume[::-1].copy(), affine @ flip), elsewhere / "in" / "flipped.nii.gz")
    workflow = inference(
        dataset_dir=str(elsewhere / "in"), output_dir=str(elsewhere / "out"), patch_size=64, network_size=64,
        network=Threshold(), handlers=[], class_names=["outer", "core"],
    )  # fmt: skip
    workflow.run()
    plain, flipped = (nib.load(elsewhere / "out" / f"{name}_seg.nii.gz") for name in ("plain", "flipped"))
    expected = (volume > 150).astype(np.uint8) + (volume > 350)
    np.testing.assert_array_equal(np.asanyarray(plain.dataobj) > 0, expected > 0)
    np.testing.assert_array_equal(np.asanyarray(flipped.dataobj)[::-1], np.asanyarray(plain.dataobj))
    np.testing.assert_allclose(flipped.affine, affine @ flip, atol=1e-4)


@pytest.fixture(scope="module")
def ct() -> dict[str, str]:
    image, label = (SHARED / "nifti_ct" / name for name in ("example_ct_sm.nii.gz", "example_seg.nii.gz"))
    if not image.is_file():
        pytest.skip(f"no CT at {image}; set SELF_CLEANSING_DATA to a folder with nifti_ct/")
    return {"image": str(image), "label": str(label)}


def train_preprocessing(ct: dict[str, str], folder: Path):
    """The training's own transforms for CT; the label is narrowed to the liver in a copy."""
    seg = nib.load(ct["label"])
    nib.save(nib.Nifti1Image((np.asanyarray(seg.dataobj) == 5).astype(np.uint8), seg.affine), folder / "liver.nii.gz")
    parser = ConfigParser()
    parser.read_config([str(ROOT / "configs/train.yaml"), str(ROOT / "configs/datasets/ct.yaml")])
    parser["bundle_root"], parser["network_size"] = str(ROOT), 256
    return parser.get_parsed_content("train#preprocessing"), {
        "image": ct["image"],
        "label": str(folder / "liver.nii.gz"),
    }


def test_the_hu_window_maps_its_ends_to_0_and_1(ct, tmp_path):
    parser = ConfigParser()
    parser.read_config(str(ROOT / "configs/datasets/ct.yaml"))
    window = parser.get_parsed_content("intensity")
    values = torch.tensor([[-1000.0, -70.0, 55.0, 180.0, 1200.0]])
    torch.testing.assert_close(window({"image": values})["image"], torch.tensor([[0, 0, 0.5, 1, 1]]))
    preprocessing, item = train_preprocessing(ct, tmp_path)
    case = preprocessing(item)
    assert case["image"].shape == (1, 256, 256, 30) and case["label"].shape == (1, 256, 256, 30)
    assert case["image"].min() == 0 and case["image"].max() == 1
    assert set(case["label"].unique().tolist()) == {0, 1}


def test_inverting_the_256_grid_restores_the_geometry_of_the_ct(ct, tmp_path):
    preprocessing, item = train_preprocessing(ct, tmp_path)
    case = preprocessing(item)
    case["pred"] = case["label"].clone()
    invert = Invertd("pred", transform=preprocessing, orig_keys="image", nearest_interp=True)
    pred = invert(case)["pred"]
    original = nib.load(item["label"])
    liver = torch.from_numpy(np.asarray(original.dataobj) > 0)
    assert pred.shape == (1, *original.shape)
    np.testing.assert_array_equal(pred.affine.numpy(), original.affine)
    assert dice(pred[0].as_tensor() > 0.5, liver) > 0.95  # this CT is coarse: 122 x 101 pixels of 3 mm


def test_inference_on_the_ct_with_its_overlay_lies_on_the_ct(ct, elsewhere):
    """A threshold on the window [-70, 180] is a threshold in HU: 0.3 is 5 HU, 0.7 is 105 HU."""
    workflow = inference(
        "datasets/ct.yaml", dataset_dir=ct["image"], output_dir=str(elsewhere / "out"),
        network=Threshold(), handlers=[], class_names=["soft", "dense"],
    )  # fmt: skip
    assert workflow.check_properties() == []
    workflow.run()
    source, result = nib.load(ct["image"]), nib.load(elsewhere / "out" / "example_ct_sm_seg.nii.gz")
    assert result.shape == source.shape
    np.testing.assert_allclose(result.affine, source.affine, atol=1e-4)
    expected, pred = (torch.from_numpy(np.asarray(one.dataobj) > limit) for one, limit in ((source, 5), (result, 0)))
    assert dice(pred, expected) > 0.95


def test_the_class_numbers_of_a_label_map_are_those_of_the_labels():
    """label -> channels -> label map is the identity, so channel order and class number agree."""
    labels = torch.randint(0, 4, (1, 8, 8, 2), generator=torch.Generator().manual_seed(0))
    channels = LabelToChannelsd("label", ["a", "b", "c"])({"label": MetaTensor(labels.float())})["label"]
    assert torch.equal(label_map(channels.as_tensor().float() - 0.5), labels.to(torch.uint8))
