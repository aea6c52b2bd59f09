# SPDX-License-Identifier: Apache-2.0
"""RTSTRUCT and SEG read as masks."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from dicom.generated import ellipse, shoelace, write_rtstruct, write_seg, write_series
from matplotlib.path import Path as Polygon
from running import ROOT

from bundle.self_cleansing.data import read_file
from bundle.self_cleansing.dicom import find_label_objects, find_series
from bundle.self_cleansing.dicom.import_labels import LabelSource, object_masks
from bundle.self_cleansing.dicom.quiet import quiet
from bundle.self_cleansing.dicom.rtstruct import region_masks
from bundle.self_cleansing.dicom.segmentation import segment_masks

SHARED = Path(os.environ.get("SELF_CLEANSING_DATA", ROOT.parent / "shared" / "data")) / "dicom"
REAL = pytest.mark.skipif(
    not SHARED.is_dir(), reason=f"no real DICOM: {SHARED} does not exist; set SELF_CLEANSING_DATA to the data's folder"
)
SIZE, SPACING = (160, 200), (0.5, 0.4, 2.0)  # rows, columns; mm between rows, columns, slices
CENTER, TOP = np.array([30.13, 45.21]), 30.0  # origin is -10, 5, 30


@pytest.fixture
def images(tmp_path):
    return write_series(tmp_path / "s", slices=4, size=SIZE, spacing=SPACING)


def rt_masks(tmp_path, *regions: str) -> np.ndarray:
    (series,) = find_series(tmp_path)
    (label,) = find_label_objects(tmp_path)
    assert label.refers_to(series)
    return region_masks(label, series, regions, tmp_path)


def test_a_region_has_the_area_of_its_polygon_and_holes_are_left_out(images, tmp_path):
    outer, inner = ellipse(CENTER, (30, 25), TOP), ellipse(CENTER, (12, 15), TOP)
    apart = ellipse(CENTER - (25, 30), (5, 5), TOP + 4)
    write_rtstruct(tmp_path / "rt.dcm", images, {"ring": [outer, inner], "disc": [apart], "nothing": []})
    ring, disc, nothing = rt_masks(tmp_path, "ring", "disc", "nothing")
    pixel_mm2 = SPACING[0] * SPACING[1]
    assert ring[..., 0].sum() * pixel_mm2 == pytest.approx(shoelace(outer) - shoelace(inner), rel=0.02)
    assert disc[..., 2].sum() * pixel_mm2 == pytest.approx(shoelace(apart), rel=0.02)
    assert ring[..., 1:].sum() == 0 and disc[..., [0, 1, 3]].sum() == 0 and not nothing.any()
    column, row = np.indices(SIZE[::-1])
    centres = np.column_stack([(-10 + column * 0.4).ravel(), (5 + row * 0.5).ravel()])  # mm, by hand
    inside = Polygon(outer[:, :2]).contains_points(centres) ^ Polygon(inner[:, :2]).contains_points(centres)
    np.testing.assert_array_equal(ring[..., 0], inside.reshape(SIZE[::-1]))


def rectangle(left: float, top: float, width: float, height: float) -> np.ndarray:
    """Contour of whole pixels: its sides run midway between voxel centres."""
    x, y = -10 + (left - 0.5) * 0.4, 5 + (top - 0.5) * 0.5
    w, h = width * 0.4, height * 0.5
    return np.array([[x, y, TOP], [x + w, y, TOP], [x + w, y + h, TOP], [x, y + h, TOP]])


BIG, HOLE, ISLAND = rectangle(10, 10, 40, 30), rectangle(15, 15, 20, 20), rectangle(20, 20, 5, 5)
OVERLAPPING = rectangle(40, 20, 40, 10)  # 10 columns of it lie in BIG


@pytest.mark.parametrize(
    ("contours", "kind", "pixels"),
    [
        ([BIG, BIG], "CLOSED_PLANAR", 1200),
        ([BIG, np.roll(BIG[::-1], 2, axis=0)], "CLOSED_PLANAR", 1200),  # drawn from elsewhere, the other way round
        ([BIG, HOLE, HOLE], "CLOSED_PLANAR", 1200 - 400),
        ([ISLAND, HOLE, BIG], "CLOSED_PLANAR", 1200 - 400 + 25),
        ([BIG, OVERLAPPING], "CLOSED_PLANAR", 1200 + 400 - 100),
        ([HOLE, OVERLAPPING, BIG], "CLOSED_PLANAR", 1200 - 400 + 400 - 100),
        ([BIG, OVERLAPPING], "CLOSEDPLANAR_XOR", 1200 + 400 - 200),
        ([BIG, BIG, HOLE], "CLOSEDPLANAR_XOR", 1200 - 400),
    ],
)
def test_contours_of_one_slice_are_united_and_only_those_inside_another_are_holes(
    contours, kind, pixels, images, tmp_path
):
    write_rtstruct(tmp_path / "rt.dcm", images, {"r": contours}, kind=kind)
    (mask,) = rt_masks(tmp_path, "r")
    assert mask.sum() == mask[..., 0].sum() == pixels  # counted by hand


def test_overlapping_ellipses_keep_their_overlap(images, tmp_path):
    """Against matplotlib's point in polygon."""
    drawn = [ellipse(CENTER, (20, 15), TOP), ellipse(CENTER + (15, 5), (12, 9), TOP), ellipse(CENTER, (5, 6), TOP)]
    write_rtstruct(tmp_path / "rt.dcm", images, {"r": drawn})
    (mask,) = rt_masks(tmp_path, "r")
    column, row = np.indices(SIZE[::-1])
    centres = np.column_stack([(-10 + column * 0.4).ravel(), (5 + row * 0.5).ravel()])
    one, two, hole = (Polygon(points[:, :2]).contains_points(centres).reshape(SIZE[::-1]) for points in drawn)
    assert (one & two).sum() > 500
    np.testing.assert_array_equal(mask[..., 0], (one & ~hole) | two)


def test_emptied_uids_refer_to_nothing(tmp_path):
    def anonymous(index, image):
        image.StudyInstanceUID = image.SeriesInstanceUID = image.SOPInstanceUID = image.FrameOfReferenceUID = ""

    for name in "ab":
        images = write_series(tmp_path / name / "s", size=SIZE, spacing=SPACING, change=anonymous, patient=name)
        write_rtstruct(tmp_path / name / "rt", images, {"r": [ellipse(CENTER, (9, 9), TOP)]})
    labels = find_label_objects(tmp_path)
    assert len(labels) == 2 and not any(label.series_uids | label.sop_instance_uids for label in labels)
    assert not any(label.refers_to(series) for label in labels for series in find_series(tmp_path))
    invented = dataclasses.replace(labels[0], series_uids=frozenset({""}), sop_instance_uids=frozenset({""}))
    assert not invented.refers_to(find_series(tmp_path)[0])


@pytest.mark.parametrize("kind", ["SEG", "RTSTRUCT"])
def test_a_label_object_is_read_once_for_all_its_classes(kind, images, tmp_path, monkeypatch):
    one, two = np.zeros((2, 4, *SIZE), bool)
    one[0, 10:40, 10:50], two[0, 20:30, 60:80] = True, True
    if kind == "SEG":
        write_seg(tmp_path / "label", images, {"Liver": one, "spleen": two})
    else:
        write_rtstruct(tmp_path / "label", images, {"Liver": [BIG], "spleen": [rectangle(60, 20, 20, 10)]})
    (series,) = find_series(tmp_path)
    source = LabelSource(objects=tuple(find_label_objects(tmp_path)))
    read, dcmread = [], pydicom.dcmread
    monkeypatch.setattr(pydicom, "dcmread", lambda *words, **options: read.append(words) or dcmread(*words, **options))
    masks = object_masks(source, series, ["spleen", "liver", "lung"], tmp_path, absent_is_empty=True)
    np.testing.assert_array_equal(masks.transpose(0, 3, 2, 1), [two, one, np.zeros_like(one)])
    assert len(read) == 1


@pytest.mark.parametrize(
    ("contour", "options", "message"),
    [
        (
            ellipse(CENTER, (9, 9), TOP + 1),
            {},
            r"region r has a contour that lies in no slice \(z about 31\.00 mm, 0\.5",
        ),
        (ellipse(CENTER, (9, 9), TOP + 20), {}, r"lies in no slice \(z about 50\.00 mm"),
        (
            ellipse(CENTER, (9, 9), TOP),
            {"frame_of_reference": "1.2.3", "names_series": False},
            r"RTSTRUCT rt\.dcm: region r lies in another frame of reference than the series",
        ),
        (ellipse(CENTER, (9, 9), TOP), {"kind": "OPEN_PLANAR"}, r"has a contour of type OPEN_PLANAR; only closed"),
    ],
)
def test_contours_that_do_not_fit_are_refused(contour, options, message, images, tmp_path):
    write_rtstruct(tmp_path / "rt.dcm", images, {"r": [contour]}, **options)
    with pytest.raises(ValueError, match=message):
        rt_masks(tmp_path, "r")


def test_an_invented_frame_of_reference_is_accepted_where_the_series_is_named(images, tmp_path):
    write_rtstruct(tmp_path / "rt.dcm", images, {"r": [ellipse(CENTER, (9, 9), TOP)]}, frame_of_reference="1.2.3")
    assert rt_masks(tmp_path, "r").any()


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
def test_segments_lie_where_highdicom_wrote_them_and_missing_frames_are_empty(kind, images, tmp_path):
    rng = np.random.default_rng(0)
    one = np.zeros((4, *SIZE), bool)
    one[1:3, 20:90, 30:60] = rng.random((2, 70, 30)) > 0.5
    two = ~one & (rng.random(one.shape) > 0.7)
    two[[0, 2]] = False
    write_seg(tmp_path / "seg" / "x.dcm", images, {"Liver": one, "spleen": two}, kind)
    (series,) = find_series(tmp_path)
    (label,) = find_label_objects(tmp_path)
    masks = segment_masks(label, series, ["spleen", "Liver"], tmp_path)
    np.testing.assert_array_equal(masks[0].T, two)
    np.testing.assert_array_equal(masks[1].T, one)


def test_segs_that_do_not_fit_are_refused(images, tmp_path):
    (series,) = find_series(tmp_path)
    other = write_series(tmp_path / "other", size=SIZE, spacing=SPACING)
    shifted = write_series(
        tmp_path / "shifted", size=SIZE, spacing=SPACING, origin=(-9, 5, 30), series_uid=series.series_uid
    )
    mask = {"a": np.ones((4, *SIZE), bool)}
    write_seg(tmp_path / "other.dcm", other, mask)
    write_seg(tmp_path / "shifted.dcm", shifted, mask)
    by_name = {label.path.name: label for label in find_label_objects(tmp_path)}
    with pytest.raises(ValueError, match=r"SEG other\.dcm refers to another series than s; give"):
        segment_masks(by_name["other.dcm"], series, ["a"], tmp_path)
    with pytest.raises(ValueError, match=r"SEG shifted\.dcm has a frame that does not lie on a slice .* 2\.50, 0"):
        segment_masks(by_name["shifted.dcm"], series, ["a"], tmp_path)


def test_damaged_label_objects_are_refused(images, tmp_path):
    write_rtstruct(tmp_path / "rt.dcm", images, {"r": [ellipse(CENTER, (9, 9), TOP)]})
    whole = pydicom.dcmread(tmp_path / "rt.dcm")
    del whole.StructureSetROISequence
    whole.save_as(tmp_path / "rt.dcm")
    with pytest.raises(ValueError, match=r"RTSTRUCT rt\.dcm is damaged or incomplete; copy it again"):
        find_label_objects(tmp_path)


def test_a_damaged_label_beside_a_patient_s_images_does_not_name_the_patient(tmp_path):
    images = write_series(tmp_path / "DOE_JANE" / "ct")
    write_rtstruct(tmp_path / "DOE_JANE" / "rt", images, {})
    damaged = pydicom.dcmread(tmp_path / "DOE_JANE" / "rt")
    del damaged.StructureSetROISequence, damaged.PatientName, damaged.PatientID
    damaged.save_as(tmp_path / "DOE_JANE" / "rt")
    with pytest.raises(ValueError, match=r"RTSTRUCT \[entry 1\]/rt is damaged or incomplete"):
        find_label_objects(tmp_path)


@REAL
def test_real_seg_is_the_same_as_its_nrrd():
    (series,) = find_series(SHARED / "ct_3slice")
    label = next(label for label in find_label_objects(SHARED) if label.path.name == "liver.dcm")
    assert label.names == ("Liver",) and label.refers_to(series)
    (mask,) = segment_masks(label, series, ["Liver"], SHARED)
    with quiet():  # ITK warns while it is loaded, and warnings are errors here
        nrrd = read_file(SHARED / "liver_seg.nrrd")
    np.testing.assert_array_equal(mask, nrrd[0].numpy() > 0)
    np.testing.assert_allclose(nrrd.affine, series.affine, atol=1e-4)
    by_highdicom = hd.seg.segread(label.path).get_pixels_by_source_instance(
        list(series.sop_instance_uids), ignore_spatial_locations=True
    )
    np.testing.assert_array_equal(mask.T, by_highdicom[..., 0])


@REAL
def test_real_rtstruct_has_the_area_of_its_polygons(tmp_path):
    (series,) = find_series(SHARED / "ct_rtstruct")
    (label,) = find_label_objects(SHARED / "ct_rtstruct")
    (mask,) = region_masks(label, series, ["ROI-1"], SHARED)
    content = pydicom.dcmread(label.path)
    outer, inner = (np.reshape(one.ContourData, (-1, 3)) for one in content.ROIContourSequence[0].ContourSequence)
    pixel_mm2 = np.linalg.norm(series.affine[:3, 0]) ** 2
    alone = []
    for number, points in enumerate((outer, inner)):
        content = pydicom.dcmread(label.path)
        drawn = content.ROIContourSequence[0].ContourSequence
        content.ROIContourSequence[0].ContourSequence = [drawn[number]]
        (tmp_path / str(number)).mkdir()
        content.save_as(tmp_path / str(number) / "rt")
        (one,) = find_label_objects(tmp_path / str(number))
        alone.append(region_masks(one, series, ["ROI-1"], tmp_path)[0])
        assert alone[number].sum() == pytest.approx(shoelace(points) / pixel_mm2, rel=0.02)
    np.testing.assert_array_equal(mask, alone[0] & ~alone[1])
    assert not mask[..., 1].any()
    # The ring of 9 pixels has less area for its edges: see docs/dicom.md.
    assert mask.sum() * pixel_mm2 == pytest.approx((shoelace(outer) - shoelace(inner)) * (1 - 0.021), rel=0.001)


def test_a_seg_on_some_of_the_slices_stays_where_it_was_drawn(tmp_path):
    """The positions decide, not the number of frames."""
    images = write_series(tmp_path / "s", slices=5, size=SIZE, spacing=SPACING)
    mask = np.zeros((5, *SIZE), bool)
    mask[4, :9, :20] = True
    write_seg(tmp_path / "seg.dcm", images[2:], {"a": mask[2:]})
    (series,) = find_series(tmp_path)
    (label,) = find_label_objects(tmp_path)
    np.testing.assert_array_equal(segment_masks(label, series, ["a"], tmp_path)[0].T, mask)
