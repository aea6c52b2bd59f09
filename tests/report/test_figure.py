# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from PIL import Image

from bundle.self_cleansing.filtering import FilterGuards, Provenance, displacement_filter, published_filter
from bundle.self_cleansing.report import PanelSample, choose_samples, draw_run, save_png, verdict_word
from bundle.self_cleansing.report.colours import CLEAN
from bundle.self_cleansing.report.filter_plot import draw_fit

NAMES = ["RV", "LV"]
SIDE = 24


def history(labels: bool = True, clean: bool = True) -> list[dict[str, float]]:
    rows = []
    for epoch in range(1, 9):
        row = {"epoch": epoch, "train_loss": 1 / epoch, "val_dice_given_labels": 0.5}
        row["val_mean_dice"] = 0.1 * epoch if clean else 0.5
        if labels and epoch in (4, 6, 8):
            row |= {"labels_manual": 0.5, "labels_kept": 0.1, "labels_renewed": 0.1, "labels_rejected": 0.3}
            row |= {"filter_precision": 0.9, "filter_recall": 0.6}
        rows.append(row)
    return rows


def samples(count: int, in_force: bool = True) -> list[PanelSample]:
    disc = np.hypot(*np.mgrid[-12:12, -12:12]) < 6
    masks = np.stack([disc, np.roll(disc, 4, axis=0)])
    empty = np.zeros_like(masks)
    image = np.random.default_rng(0).random((SIDE, SIDE))
    return [
        PanelSample(f"case/{i}", "left out" if in_force else "", 0.25 if in_force else None, image, empty, y, masks)
        for i, y in enumerate([masks if in_force else None] * count)
    ]


def areas(rng: np.random.Generator, count: int = 90) -> tuple[np.ndarray, ...]:
    """Labels of a third each too small, right and too large by about 4 px, around predictions of radius 20 px."""
    pred = np.full((count, 2), 1256)
    shift = np.repeat([-4.0, 0.0, 4.0], count // 3)[:, None] + rng.normal(0, 0.3, (count, 2))
    surplus = np.round(shift * 126).astype(int)
    difference = np.abs(surplus) + rng.integers(20, 80, (count, 2))
    return pred + surplus, pred, difference, np.full((count, 2), 126)


def verdicts(method: str):
    rng = np.random.default_rng(1)
    if method == "displacement":
        return displacement_filter(*areas(rng))
    losses = np.concatenate([rng.normal(0.2, 0.04, (60, 2)), rng.normal(0.7, 0.08, (40, 2))])
    return published_filter(losses, "manual", FilterGuards.none(), unit="class" if method == "classes" else "image")


def texts(figure: Figure) -> str:
    return " | ".join(found.get_text() for found in figure.findobj(lambda artist: hasattr(artist, "get_text")))


@pytest.mark.parametrize(("method", "plots"), [("none", 4), ("published", 4), ("displacement", 4), ("classes", 5)])
def test_every_kind_of_method_gives_a_png_of_the_stated_size_with_all_its_axes(tmp_path, method, plots):
    has_filter = method != "none"
    figure = draw_run(
        history(labels=has_filter),
        samples(2, has_filter),
        NAMES,
        np.linspace(0, 1, 40).reshape(20, 2),
        verdicts(method) if has_filter else None,
        warmup_epochs=4 if has_filter else None,
        best_epoch=7,
        title="a run",
    )
    save_png(figure, tmp_path / "new" / "figure.png")
    with Image.open(tmp_path / "new" / "figure.png") as picture:
        picture.load()
        assert (picture.format, picture.size) == ("PNG", (1600, 1500))
        assert np.asarray(picture.convert("L")).std() > 10
    assert (tmp_path / "new" / "figure.png").stat().st_size < 1.5e6
    curves = [ax for ax in figure.findobj(Axes) if ax.get_xlabel()]
    assert len(curves) == plots and all(ax.get_ylabel() for ax in curves)
    assert len(figure.findobj(Axes)) == plots + 2 * (4 if has_filter else 3)


def test_what_is_drawn_is_what_the_history_says():
    figure = draw_run(history(), samples(1), NAMES, np.zeros((1, 2)), verdicts("published"), 4, 7)
    loss, dice, shares, _ = (ax for ax in figure.findobj(Axes) if ax.get_xlabel())
    lines = {line.get_label(): line for line in (*loss.lines, *dice.lines, *shares.lines)}
    np.testing.assert_allclose(lines["training loss"].get_ydata(), [1 / e for e in range(1, 9)])
    np.testing.assert_allclose(lines["against clean labels"].get_ydata(), [0.1 * e for e in range(1, 9)])
    assert list(lines["filter precision"].get_xdata()) == [4, 6, 8]
    assert list(lines["end of warm-up"].get_xdata()) == [4, 4] and list(lines["best epoch"].get_xdata()) == [7, 7]
    assert [patch.get_label() for patch in shares.collections] == ["clean", "kept", "renewed", "left out"]
    assert "case/0   left out   P(clean) = 0.25" in texts(figure)


def test_without_clean_labels_there_is_one_dice_curve():
    figure = draw_run(history(clean=False), [], NAMES, np.zeros((1, 2)))
    found = texts(figure)
    assert "against given labels (no others)" in found and "against clean labels" not in found


def test_an_empty_history_and_no_sample_can_be_drawn(tmp_path):
    save_png(draw_run([], [], NAMES, np.zeros((0, 2))), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 0


def test_samples_that_were_not_split_are_drawn_with_the_reason():
    found = displacement_filter(*(area[:5] for area in areas(np.random.default_rng(0))))
    figure = draw_run(history(), [], NAMES, np.zeros((5, 2)), found, 4)
    assert "only 5 samples to compare" in texts(figure).replace("\n", " ")


def test_doubts_stand_below_the_title():
    figure = draw_run(history(), [], NAMES, np.zeros((5, 2)), None, 4, 0, "a run", ["all are larger", "unsettled"])
    assert figure.get_suptitle() == "a run\ndoubtful: all are larger\ndoubtful: unsettled"


def test_the_ellipses_lie_two_standard_deviations_around_the_components():
    found = verdicts("displacement")
    ax = Figure().subplots()
    draw_fit(ax, found.fits[0], found.clean.any(axis=1), "filter")
    ellipses = [patch for patch in ax.patches if isinstance(patch, Ellipse)]  # without those of the legend
    mixture, clean = found.fits[0].mixture, found.fits[0].clean_group
    assert len(ellipses) == len(mixture.weights) >= 3
    for number, ellipse in enumerate(ellipses):
        corners = ellipse.get_co_vertices() + ellipse.get_vertices()
        offset = np.array(corners)[:, ::-1] - mixture.means[number]  # axes are (signed, absolute)
        squared = np.einsum("ni,ij,nj->n", offset, np.linalg.inv(mixture.covariances[number]), offset)
        np.testing.assert_allclose(squared, 4.0)
        assert (ellipse.get_edgecolor() == to_rgba(CLEAN)) == (number in clean)
    labels = [str(ellipse.get_label()) for ellipse in ellipses]
    assert labels.count("taken for clean") == labels.count("other component") == 1
    assert clean and (np.abs(mixture.means[list(clean), 1]) < 1).all()


def test_equal_runs_give_equal_files():
    files = []
    for _ in range(2):
        figure, out = draw_run(history(), samples(1), NAMES, np.zeros((1, 2))), io.BytesIO()
        figure.savefig(out, dpi=40, format="png", metadata={"Software": None})
        files.append(out.getvalue())
    assert files[0] == files[1]


def test_chosen_samples_are_missing_too_large_too_small_and_good_ones_of_different_cases():
    #            missing   -    large  small   good   good   -    blank
    label = [0, 0, 0, 900, 100, 400, 410, 400, 0]
    pred = [300, 200, 290, 400, 400, 400, 400, 380, 0]
    difference = [300, 200, 290, 500, 300, 5, 30, 90, 0]
    posterior = [0.0, 0.0, 0.0, 0.0, 0.1, 1.0, 1.0, 0.9, 1.0]
    case = [0, 1, 0, 2, 3, 4, 5, 6, 7]
    columns = [np.array(values)[:, None] for values in (label, pred, difference, posterior)]
    assert choose_samples(*columns, case) == [0, 1, 3, 4, 5, 6]
    assert choose_samples(*columns, case, count=3) == [0, 1, 3]
    assert choose_samples(*columns, [0] * 9)[:2] == [0, 2]  # one case only: the two largest
    assert sorted(choose_samples(*columns, case, count=20)) == list(range(9))
    assert choose_samples(*(np.zeros((0, 2)) for _ in range(4)), []) == []


def test_the_verdict_of_a_sample_is_clean_only_if_all_its_classes_are():
    manual, kept, renewed, rejected = Provenance
    assert verdict_word([manual, manual], [True, True]) == "clean"
    assert verdict_word([manual, kept], [True, True]) == "kept"
    assert verdict_word([renewed, renewed], [True, True]) == "renewed"
    assert verdict_word([manual, renewed], [True, False]) == "left out"  # repaired at the end, never trained on
    assert verdict_word([rejected], [False]) == "left out"
