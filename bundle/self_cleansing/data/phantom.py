# SPDX-License-Identifier: Apache-2.0
"""Beating-heart phantoms: a small data set in the layout of the ACDC challenge, made from a seed.

Short-axis cine MR of a chest with a heart in it, at end-diastole and end-systole: right ventricle (1), myocardium (2)
and left ventricle (3). Every patient has an anatomy of its own (sizes, wall, shape and turn of the ventricles, place of
the heart in the image), drawn around the typical heart of a diagnosis. Slices above the base and below the apex carry
no label. Around the heart lie lungs, liver, stomach, aorta, atria, fat and chest wall, some as bright as blood, so that
no threshold finds the ventricles. All shapes are painted on a grid finer than the image and averaged (partial volume).

Coordinates: u to the patient's left, v to the back, w from base to apex, in mm, with the origin in the middle of the
left ventricle at its base; t = w / length of the ventricle, 0 at the base and 1 at the apex; theta, r = polar (u, v).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import nibabel as nib
import numpy as np
from scipy import ndimage

RV, MYO, LV = 1, 2, 3
#: Diagnoses in the order of the challenge's blocks of twenty patient numbers.
GROUPS = ("DCM", "HCM", "MINF", "NOR", "RV")
PATIENTS_PER_GROUP = 16
#: Per group: radius of the left ventricle with its wall (mm), wall (mm), contraction of the cavity's radius, RV width.
TYPICAL = {
    "DCM": (37.0, 7.0, 0.85, 27.0),
    "HCM": (34.0, 13.5, 0.55, 26.0),
    "MINF": (34.0, 8.5, 0.78, 27.0),
    "NOR": (32.5, 9.0, 0.64, 28.0),
    "RV": (31.0, 9.0, 0.66, 38.0),
}
#: Mean signal of a balanced steady-state cine, blood = 1.
SIGNAL = {
    "air": 0.0, "lung": 0.10, "muscle": 0.33, "myo": 0.36, "liver": 0.42, "soft": 0.52, "bone": 0.45,
    "blood": 1.0, "fat": 1.05,
}  # fmt: skip
IN_PLANE, THROUGH_PLANE = 2, 3  # samples per voxel and axis
HEART_REACH_MM = 90.0  # beyond it in u or v there is nothing of the heart
SMALLEST_LABEL_PX = 25  # a slice with fewer labelled pixels is left unlabelled, as a reader would


@dataclass(frozen=True)
class Anatomy:
    """One patient at rest; lengths in mm, angles in radians."""

    group: str
    shape: tuple[int, int, int]  # voxels
    spacing_mm: tuple[float, float, float]
    flips: tuple[bool, ...]  # of the array, undone by the affine
    centre_mm: tuple[float, float]  # of the left ventricle, from the image's middle
    above_base_mm: float  # depth of the first slice above the base, at
    length_mm: float
    radius_mm: float
    wall_mm: float
    contraction: float
    rv_width_mm: float
    rv_span: float  # half the angle under which the right ventricle is seen
    septum: float  # direction of the right ventricle
    tilt: tuple[float, float]  # shift of the axis in (u, v) from base to apex
    ripple: np.ndarray  # (3, 2) amplitude and phase of the 2nd to 4th harmonic of the outlines
    organs: np.ndarray  # (12,) standard normal numbers that move and resize what lies around the heart
    bias: np.ndarray  # (5,) coefficients of the bias field
    gain: float  # grey value of blood
    noise: float  # standard deviation per channel, blood = 1


def draw_anatomy(group: str, rng: np.random.Generator) -> Anatomy:
    """Draw one patient of a diagnosis (a key of `TYPICAL`)."""
    radius, wall, contraction, rv_width = TYPICAL[group]
    in_plane, slices = rng.uniform(1.3, 1.5), int(rng.integers(6, 9))
    return Anatomy(
        group=group,
        shape=(int(rng.integers(160, 181)), int(rng.integers(176, 201)), slices),
        spacing_mm=(in_plane, in_plane, {6: 10.0, 7: 9.0, 8: 8.0}[slices]),
        flips=tuple(bool(flip) for flip in rng.random(3) < 0.25),
        centre_mm=(rng.uniform(-8, 26), rng.uniform(-22, 14)),
        above_base_mm=rng.uniform(1, 10),
        length_mm=rng.uniform(48, 60),
        radius_mm=radius * rng.normal(1, 0.06),
        wall_mm=wall * rng.normal(1, 0.1),
        contraction=contraction + rng.normal(0, 0.03),
        rv_width_mm=rv_width * rng.normal(1, 0.12),
        rv_span=np.radians(rng.uniform(62, 78)),
        septum=np.radians(rng.normal(205, 17)),
        tilt=(rng.normal(5, 4), rng.normal(0, 5)),
        ripple=np.stack([rng.normal(0, [0.035, 0.02, 0.012]), rng.uniform(0, 2 * np.pi, 3)], axis=1),
        organs=rng.normal(size=12).clip(-2, 2),
        bias=rng.normal(0, [0.18, 0.18, 0.08, 0.08, 0.08]),
        gain=float(rng.choice([240.0, 900.0, 2600.0]) * rng.uniform(0.8, 1.2)),
        noise=rng.uniform(0.03, 0.06),
    )


def _fine_grid(anatomy: Anatomy) -> tuple[np.ndarray, ...]:
    """u (X, 1, 1), v (1, Y, 1) and w (1, 1, Z) of the samples, in mm; w for end-diastole."""
    axes = []
    for axis, fold in enumerate((IN_PLANE, IN_PLANE, THROUGH_PLANE)):
        samples = (np.arange(anatomy.shape[axis] * fold) + 0.5) / fold - 0.5  # in voxels
        middle = (anatomy.shape[axis] - 1) / 2
        start = anatomy.above_base_mm if axis == 2 else middle * anatomy.spacing_mm[axis] + anatomy.centre_mm[axis]
        axes.append((samples * anatomy.spacing_mm[axis] - start).astype(np.float32))
    return np.ix_(*axes)


def _near(axis: np.ndarray, spacing_mm: float) -> slice:
    """The part of a fine axis in reach of the heart, cut between voxels."""
    voxels = np.flatnonzero(np.abs(axis.ravel()[::IN_PLANE]) < HEART_REACH_MM + spacing_mm)
    return slice(voxels[0] * IN_PLANE, (voxels[-1] + 1) * IN_PLANE)


def _ellipse(u: np.ndarray, v: np.ndarray, centre: tuple, axes: tuple) -> np.ndarray:
    """Squared distance from the centre in units of the half axes: below 1 inside."""
    return ((u - centre[0]) / axes[0]) ** 2 + ((v - centre[1]) / axes[1]) ** 2


def _paint_chest(signal: np.ndarray, anatomy: Anatomy, u: np.ndarray, v: np.ndarray, w: np.ndarray) -> None:
    """Paint all that surrounds the heart, from the outside to the inside."""
    n = anatomy.organs

    def paint(mask: np.ndarray, tissue: str) -> None:
        np.copyto(signal, np.float32(SIGNAL[tissue]), where=mask)

    body = (-26 + 6 * n[0], 44.0), (156 + 6 * n[1], 126 + 4 * n[2])
    paint(_ellipse(u, v, *body) < 1, "fat")
    inner = body[0], (body[1][0] - 10 - 2 * abs(n[3]), body[1][1] - 10 - 2 * abs(n[3]))
    paint(_ellipse(u, v, *inner) < 1, "muscle")
    ribs = np.cos(13 * np.arctan2(v - body[0][1], u - body[0][0]) + 3 * n[4]) > 0.55
    wall = _ellipse(u, v, body[0], (inner[1][0] - 8, inner[1][1] - 8))
    paint(ribs & (wall < 1.07) & (wall > 0.96), "fat")
    paint(_ellipse(u, v, body[0], (inner[1][0] - 14, inner[1][1] - 14)) < 1, "lung")
    paint(_ellipse(u, v, (-46 + 4 * n[5], 10.0), (40, 88)) < 1, "soft")
    # Liver and stomach rise under the heart towards the apex.
    dome = 34 + 5 * n[6] + 0.45 * w
    paint(_ellipse(u, v, (-58, 92 + 4 * n[6]), (70 + 0 * dome, dome)) < 1, "liver")
    stomach = (42 + 6 * n[7], 78 + 4 * n[8])
    paint(_ellipse(u, v, stomach, (30, 26)) < 1, "muscle")
    np.copyto(signal, np.float32(0.7 + 0.15 * n[5]), where=_ellipse(u, v, stomach, (24, 20)) < 1)  # what was eaten
    # Bright round vessels: descending aorta, inferior vena cava, two vessels of the liver.
    for centre, radius in (
        ((-6 + 5 * n[9], 64 + 4 * n[10]), 11.5),
        ((-62 + 4 * n[11], 36 + 3 * n[9]), 10.0),
        ((-70 + 6 * n[10], 88 + 4 * n[7]), 5.0),
        ((-40 + 6 * n[11], 96 + 4 * n[8]), 4.5),
    ):
        paint(_ellipse(u, v, centre, (radius + 2, radius + 2)) < 1, "muscle")
        paint(_ellipse(u, v, centre, (radius, radius)) < 1, "blood")


def _paint_heart(
    signal: np.ndarray, label: np.ndarray, anatomy: Anatomy, u: np.ndarray, v: np.ndarray, w: np.ndarray, phase: float
) -> None:
    """Paint heart, pericardial fat and atria, and mark the three classes in `label`; phase 0 = rest, 1 = contracted."""
    # Contraction: the cavity shrinks, the wall keeps its volume (+10 % for the shortening), the base comes down.
    cavity = anatomy.radius_mm - anatomy.wall_mm
    muscle_area = (anatomy.radius_mm**2 - cavity**2) * (1 + 0.1 * phase)
    cavity *= 1 + phase * (anatomy.contraction - 1)
    radius = np.sqrt(cavity**2 + muscle_area)
    descent = phase * 14 * (1.2 - anatomy.contraction)
    length = anatomy.length_mm - descent
    rv_width = anatomy.rv_width_mm * (1 - phase * 0.75 * (1 - anatomy.contraction))

    t = (w - descent) / length
    u = u - anatomy.tilt[0] * t
    v = v - anatomy.tilt[1] * t
    r, theta = np.hypot(u, v), np.arctan2(v, u)
    ripple = 1 + sum(a * np.cos(k * theta - p) for k, (a, p) in enumerate(anatomy.ripple.astype(np.float32), 2))
    tip = 1 - 0.8 * (radius - cavity) / length  # the cavity ends before the wall does

    def bowl(depth: np.ndarray) -> np.ndarray:
        return np.sqrt(np.clip(1 - np.clip(depth, 0, 1) ** 2.6, 0, None))

    outer = radius * bowl(t) * ripple  # outline of the left ventricle with its wall
    inner = cavity * bowl(t / tip) * ripple
    # Right ventricle: a crescent on the septum that gets lower and narrower towards the apex.
    turn = (theta - np.float32(anatomy.septum) + 3 * np.float32(np.pi)) % np.float32(2 * np.pi) - np.float32(np.pi)
    reach = turn / (anatomy.rv_span * (1 - 0.3 * np.clip(t, 0, 1)))
    across = np.clip(reach, -1, 1)
    crescent = rv_width * bowl(t / 0.9) * np.clip(np.cos(np.pi / 2 * across) * (1 + 0.25 * across), 0, None) ** 0.65
    rv_outer = outer + crescent

    def paint(mask: np.ndarray, tissue: str) -> None:
        np.copyto(signal, np.float32(SIGNAL[tissue]), where=mask)

    ventricles = (t >= 0) & (t <= 1)
    # Fat in the grooves where the ventricles meet and on the free wall of the right one, and under the apex.
    groove = 1 + 8 * np.exp(-(((np.abs(reach) - 0.9) / 0.25) ** 2)) + 3 * np.exp(-((reach / 0.5) ** 2))
    paint((r < rv_outer + groove) & (t < 1.15), "fat")
    paint((r < rv_outer) & (t < 0), "soft")
    rv_wall = ventricles & (r < rv_outer + 2.5 * np.clip(crescent / 5, 0, 1))
    paint(rv_wall, "muscle")
    right = ventricles & (r < rv_outer) & (r >= outer)
    paint(right, "blood")
    wall = ventricles & (r < outer) & (r >= inner)
    paint(wall, "myo")
    left = ventricles & (r < inner)
    paint(left, "blood")
    # Papillary muscles and the moderator band: dark, yet part of the cavities.
    for angle in (0.75, 2.3):
        pu, pv = (0.62 * cavity * np.cos(anatomy.septum + angle + np.pi / 2),
                  0.62 * cavity * np.sin(anatomy.septum + angle + np.pi / 2))  # fmt: skip
        paint(left & (t > 0.25) & (t < 0.8) & (_ellipse(u, v, (pu, pv), (3.6, 3.6)) < 1), "myo")
    paint(right & (t > 0.45) & (np.abs(across - 0.1) < 0.035), "myo")
    # Above the base: left atrium with a thin wall, aortic root, right atrium. Blood without a label.
    above = t < 0
    for shift, size in ((0.0, 0.8), (0.85, 0.4), (1.5, 0.62)):
        centre = shift * radius * np.cos(anatomy.septum), shift * radius * np.sin(anatomy.septum)
        distance = _ellipse(u, v, centre, (size * radius, size * radius * 0.85))
        paint(above & (distance < 1.2), "muscle")
        paint(above & (distance < 1), "blood")

    for mask, value in ((right, RV), (wall, MYO), (left, LV)):
        np.copyto(label, np.uint8(value), where=mask)


def _average(fine: np.ndarray) -> np.ndarray:
    """Mean over the samples of each voxel: float or bool (fine X, Y, Z) to float32 (X, Y, Z)."""
    total = fine if fine.dtype != bool else fine.view(np.uint8)
    for axis, fold in enumerate((IN_PLANE, IN_PLANE, THROUGH_PLANE)):
        before = (slice(None),) * axis
        total = reduce(np.add, (total[(*before, slice(first, None, fold))] for first in range(fold)))
    return total.astype(np.float32) / (IN_PLANE**2 * THROUGH_PLANE)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], sigma_px: float) -> np.ndarray:
    """Gaussian noise of unit variance, smooth in the plane."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), (sigma_px, sigma_px, 0))
    return field / field.std()


def render_frame(anatomy: Anatomy, phase: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Make the image and the label of one heart phase.

    Args:
        anatomy: the patient.
        phase: 0 for end-diastole to 1 for end-systole.
        rng: source of texture and noise.

    Returns:
        image int16 (X, Y, Z), at least 0, and label uint8 (X, Y, Z) in 0..3, both in the array order of the file (that
        is, with the patient's flips). A voxel has the class that fills most of it; a slice with hardly any stays empty.
    """
    u, v, w = _fine_grid(anatomy)
    middle = w[..., THROUGH_PLANE // 2 :: THROUGH_PLANE]  # the chest changes little within a slice: one sample will do
    signal = np.full((u.shape[0], v.shape[1], anatomy.shape[2]), SIGNAL["air"], np.float32)
    _paint_chest(signal, anatomy, u, v, middle)
    signal = signal.repeat(THROUGH_PLANE, axis=2)
    fine_label = np.zeros(signal.shape, np.uint8)
    box = _near(u, anatomy.spacing_mm[0]), _near(v, anatomy.spacing_mm[1])
    _paint_heart(signal[box], fine_label[box], anatomy, u[box[0]], v[:, box[1]], w, phase)

    image = _average(signal)
    label = np.stack([_average(fine_label == value) for value in range(4)]).argmax(0).astype(np.uint8)
    label[:, :, (label > 0).sum((0, 1)) < SMALLEST_LABEL_PX] = 0
    body = image > 0.05
    lung = np.abs(image - SIGNAL["lung"]) < 0.03
    image = image * (1 + 0.07 * _smooth_noise(rng, image.shape, 1.2) + 0.08 * _smooth_noise(rng, image.shape, 5))
    image += lung * 0.25 * np.clip(_smooth_noise(rng, image.shape, 1.6) - 1.3, 0, None)  # vessels of the lung
    image = ndimage.gaussian_filter(np.where(body, image, SIGNAL["air"]), (0.5, 0.5, 0))
    # Bias field: smooth, brighter towards the coil on the chest.
    x, y = np.ix_(np.linspace(-1, 1, image.shape[0]), np.linspace(-1, 1, image.shape[1]))
    b = anatomy.bias
    image *= np.exp(b[0] * x + (b[1] - 0.2) * y + b[2] * x * y + b[3] * x**2 + b[4] * y**2)[..., None]
    # Rician noise: the magnitude of a complex signal with Gaussian noise in both channels.
    real = image + anatomy.noise * rng.standard_normal(image.shape)
    imaginary = anatomy.noise * rng.standard_normal(image.shape)
    image = np.rint(anatomy.gain * np.hypot(real, imaginary)).astype(np.int16)
    flipped = tuple(axis for axis in range(3) if anatomy.flips[axis])
    return np.flip(image, flipped), np.flip(label, flipped)


def _affine(anatomy: Anatomy) -> np.ndarray:
    """Array to world (right, front, head); u and v run left and back, hence negative unless the array is flipped."""
    signs = np.array([-1, -1, 1]) * np.where(anatomy.flips, -1, 1)
    affine = np.diag([*(signs * anatomy.spacing_mm), 1.0])
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(anatomy.shape) - 1) / 2)  # the image's middle is the origin
    return affine


def write_patient(folder: Path, number: int, seed: int) -> None:
    """Write the folder of one patient: two frames with labels and Info.cfg (its numbers are made up).

    Args:
        folder: the folder to make, e.g. `.../training/patient001`; it must not exist.
        number: patient number from 1 on; its block of twenty gives the diagnosis.
        seed: seed of the data set. The files are a function of (seed, number).
    """
    rng = np.random.default_rng([seed, number])
    group = GROUPS[(number - 1) // 20 % len(GROUPS)]
    anatomy = draw_anatomy(group, rng)
    systole = int(rng.integers(8, 14))
    height, weight, frames = rng.uniform(155, 190), rng.uniform(55, 100), int(rng.integers(20, 31))
    folder.mkdir(parents=True)
    for frame, phase in ((1, 0.0), (systole, 1.0)):
        image, label = render_frame(anatomy, phase, rng)
        for suffix, data in (("", image), ("_gt", label)):
            nifti = nib.Nifti1Image(data, _affine(anatomy))
            nifti.header.set_xyzt_units("mm")
            # nibabel's gzip holds no time and no file name: the same data give the same bytes.
            nib.save(nifti, folder / f"{folder.name}_frame{frame:02d}{suffix}.nii.gz")
    (folder / "Info.cfg").write_text(
        f"ED: 1\nES: {systole}\nGroup: {group}\nHeight: {height:.1f}\nNbFrame: {frames}\nWeight: {weight:.1f}\n"
    )


def patient_numbers(count: int) -> list[int]:
    """The first `count` patient numbers: the first 16 of every block of twenty (1-16, 21-36, ..., 81-96).

    The standard split of such a block is 11 patients for training, 2 for validation and 3 for test.

    Raises:
        ValueError: if count is not in 1..80.
    """
    limit = PATIENTS_PER_GROUP * len(GROUPS)
    if not 1 <= count <= limit:
        raise ValueError(f"the number of patients must be in 1..{limit}, got {count}")
    return [20 * (i // PATIENTS_PER_GROUP) + i % PATIENTS_PER_GROUP + 1 for i in range(count)]


def write_patients(output_dir: Path, numbers: Iterable[int], seed: int = 0) -> None:
    """Write a data set: `<output_dir>/training/patientNNN/` for every patient number, see `write_patient`."""
    for number in numbers:
        write_patient(Path(output_dir) / "training" / f"patient{number:03d}", number, seed)
