# SPDX-License-Identifier: Apache-2.0
"""Tables and plots say what the cells say; every figure here is made up."""

from __future__ import annotations

import csv
import json
import statistics
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from running import ROOT

sys.path.insert(0, str(ROOT / "scripts"))

import result_plots  # noqa: E402
from accuracy_rows import (  # noqa: E402
    COLUMNS,
    CURVE_COLUMNS,
    CURVES_SORTED_BY,
    VOLUME_COLUMNS,
    curve_of,
    merge,
    read_rows,
    rows_of,
    volumes_of,
)
from result_tables import PUBLISHED_COLUMNS, TAGS, Table, spread, tables  # noqa: E402
from tabulate_results import main, tabulate  # noqa: E402

LEVELS = {"none": (0.0, "0"), "alpha30_beta5": (0.3, "5"), "alpha70_beta10": (0.7, "10")}
PUBLISHED = ROOT / "docs" / "results" / "published.csv"


def cell(method="baseline", noise="alpha70_beta10", seed=0, dice=(60.0, 70.0, None), **changes) -> dict:
    """A cell.json of three classes; both protocols and models have the same figures, per slice ten points less."""
    known = [value for value in dice if value is not None]
    numbers = {
        "per_volume": dict(zip(("RV", "Myo", "LV"), dice, strict=True)),
        "per_slice": {name: value and value - 10 for name, value in zip(("RV", "Myo", "LV"), dice, strict=True)},
        "mean": sum(known) / len(known),
        "mean_per_slice": sum(known) / len(known) - 10,
    }
    alpha, beta = LEVELS[noise]
    return {
        **{"dataset": "acdc", "preset": "quick", "noise": noise, "alpha": alpha, "beta": beta, "method": method},
        **{"oracle_noise": False, "noise_seed": seed, "training_seed": seed, "seconds": 100.0 + seed},
        **{"cpu_seconds": 150.0 + seed if method == "baseline" else None},
        **{"peak_memory_mb": 900.0 + seed, "device": "cpu", "arithmetic": "float32", "threads": 2},
        **{"commit": "c" * 40, "version": "0.0.0"},
        "curves": {"epoch": [1.0, 2.0], "val_mean_dice": [0.25, 0.5 + seed / 10]},
        "evaluation": {"results": {model: {"label_centred": numbers, "full_size": numbers} for model in "BL"}},
        **changes,
    }


def write_cells(folder: Path, cells: list[dict]) -> Path:
    for number, content in enumerate(cells):
        path = folder / str(number) / "cell.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps(content))
    return folder


def find(made: list[Table], name: str) -> list[dict[str, str]]:
    table = next(table for table in made if table.name == name)
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def test_a_cell_becomes_a_row_per_protocol_model_and_structure():
    rows = rows_of(cell())
    assert len(rows) == 2 * 2 * 4
    assert all(tuple(row) == COLUMNS for row in rows)
    values = {(row["structure"], row["dice_per_volume"], row["dice_per_slice"]) for row in rows}
    assert values == {("RV", "60.0", "50.0"), ("Myo", "70.0", "60.0"), ("LV", "", ""), ("average", "65.0", "55.0")}


def test_a_cell_of_a_version_that_did_not_record_its_arithmetic_has_rows():
    earlier = cell()
    del earlier["arithmetic"]
    assert {row["arithmetic"] for row in rows_of(earlier)} == {""}
    assert {row["arithmetic"] for row in rows_of(cell())} == {"float32"}


def test_merging_replaces_the_same_cell_keeps_the_others_and_sorts_by_value():
    old = [*rows_of(cell(dice=(1.0, 1.0, 1.0))), *rows_of(cell(method="other", device="another machine"))]
    new = [*rows_of(cell()), *rows_of(cell(noise="alpha30_beta5")), *rows_of(cell(noise="none"))]
    merged = merge(old, new)
    assert len(merged) == 4 * 16
    assert not any(row["dice_per_volume"] == "1.0" for row in merged)
    assert sum(row["device"] == "another machine" for row in merged) == 16
    assert list(dict.fromkeys(row["noise"] for row in merged if row["protocol"] == "full_size")) == list(LEVELS)
    assert merge(merged, []) == merged == merge(reversed(merged), new)
    one_row = ("dataset", "preset", "protocol", "noise", "method", "noise_seed", "training_seed", "model", "structure")
    assert len({tuple(row[name] for name in one_row) for row in merged}) == len(merged)
    # As numbers: 5 comes before 10, and seed 2 before seed 10.
    seeds = merge(rows_of(cell(seed=10)), [*rows_of(cell(seed=2)), *rows_of(cell(beta="5"))])
    betas = [row["beta"] for row in seeds]
    assert betas.index("5") < betas.index("10")


@pytest.mark.parametrize("values", [[80.0, 82.5], [1.0, 2.0, 6.0]])
def test_the_spread_is_that_of_numpy(values):
    mean, deviation = np.mean(values), np.std(values, ddof=1)
    assert spread(values) == f"{mean:.1f} \u00b1 {deviation:.1f} ({len(values)})"


def test_one_seed_has_no_spread():
    assert spread([81.26]) == "81.3 (1)"


def published(method: str, dice: float, **changes: str) -> dict[str, str]:
    row = dict.fromkeys(PUBLISHED_COLUMNS, "") | {"source": "self_cleansing_table3", "paper_dataset": "ACDC"}
    row |= {"beside": "acdc", "alpha_percent": "70", "beta": "10", "structure": "average", "model": "B"}
    return row | {"method": method, "dice_percent": str(dice)} | changes


def test_tables_by_hand():
    cells = [cell(seed=0), cell(seed=1, dice=(62.0, 70.0, None)), cell(method="co_seg", oracle_noise=True)]
    cells += [cell(noise="none", dice=(90.0, 90.0, 90.0)), cell(method="lcm")]
    rows = merge([], (row for one in cells for row in rows_of(one)))
    beside = [
        published("baseline", 55.63),
        published("baseline", 11.11, alpha_percent="50"),
        published("baseline", 22.22, beta="5"),
        published("baseline", 33.33, beside="another"),
        published("lcm", 44.44, source="self_cleansing_table4", paper_dataset="HCC", model="L"),
        published("co_seg", 97.6, source="co_seg_table1", paper_dataset="JSRT", model=""),
    ]
    made = tables(rows, beside)
    assert len({table.name for table in made}) == len(made) == 2 * 4 + 1

    by_noise = find(made, "acdc_quick_label_centred_by_noise")
    assert [row["structure"] for row in by_noise] == [name for name in ("average", "LV", "Myo", "RV") for _ in range(4)]
    average = {(row["noise"], row["model"]): row for row in by_noise if row["structure"] == "average"}
    noisy = "\u03b1 70 %, \u03b2 10"
    deviation = statistics.stdev([65.0, 66.0])
    assert average[noisy, "B"]["baseline"] == f"65.5 \u00b1 {deviation:.1f} (2) [S 55.6]"
    assert average[noisy, "L"]["baseline"] == f"65.5 \u00b1 {deviation:.1f} (2)"
    assert average["none", "B"]["baseline"] == "90.0 (1)"
    assert average[noisy, "B"]["co_seg\u2020"] == "65.0 (1)"  # the other paper has its own table
    assert average["none", "B"]["co_seg\u2020"] == "-"
    assert next(row for row in by_noise if row["structure"] == "LV" and row["noise"] == noisy)["baseline"] == "-"

    by_method = {(row["structure"], row["method"]): row for row in find(made, "acdc_quick_full_size_by_method")}
    assert by_method["average", "co_seg\u2020"][f"{noisy}: B"] == "65.0 (1) [C 97.6]"
    assert by_method["average", "co_seg\u2020"][f"{noisy}: L"] == "65.0 (1)"
    assert by_method["RV", "baseline"][f"{noisy}: L"].startswith("61.0 ")

    parts = {row["method"]: row for row in find(made, "acdc_quick_full_size_ablation")}
    assert parts["lcm"] == {"noise": noisy, "method": "lcm", "B": "65.0 (1)", "L": "65.0 (1) [S 44.4]"}
    assert parts["lcm_avg"]["B"] == "-"

    cost = {row["method"]: row for row in find(made, "acdc_quick_cost")}
    assert cost["baseline"]["trainings"] == "3" and cost["baseline"]["peak memory / MB"] == "901"
    assert cost["baseline"]["CPU seconds"] == f"150 \u00b1 {statistics.stdev([150, 151, 150]):.0f} (3)"
    assert cost["lcm"]["CPU seconds"] == "-"
    assert cost["baseline"]["seconds"] == f"100 \u00b1 {statistics.stdev([100, 101, 100]):.0f} (3)"

    notes = {table.name: " ".join(table.notes) for table in made}
    assert "true noise rate" in notes["acdc_quick_full_size_by_noise"]
    assert "true noise rate" not in notes["acdc_quick_full_size_ablation"]
    assert "Co-Seg, Table 1 (JSRT)" in notes["acdc_quick_full_size_by_method"]
    assert "HCC" in notes["acdc_quick_full_size_ablation"] and "HCC" not in notes["acdc_quick_full_size_by_noise"]


def test_two_noises_with_the_same_numbers_are_told_apart():
    rows = [row for name in ("one", "two") for row in rows_of({**cell(), "noise": name})]
    names = {row["noise"] for row in find(tables(rows, []), "acdc_quick_full_size_by_noise")}
    assert names == {"one (\u03b1 70 %)", "two (\u03b1 70 %)"}
    rows = [row for name in ("alpha_one", "alpha_two") for row in rows_of({**cell(), "noise": name})]
    names = {row["noise"] for row in find(tables(rows, []), "acdc_quick_full_size_by_noise")}
    assert names == {"\u03b1 70 %, \u03b2 10 (alpha_one)", "\u03b1 70 %, \u03b2 10 (alpha_two)"}


def test_a_single_structure_has_no_average_beside_it():
    one = cell(dice=(60.0, None, None))
    for by_protocol in one["evaluation"]["results"].values():
        for numbers in by_protocol.values():
            numbers["per_volume"] = numbers["per_slice"] = {"lung": 60.0}
    assert {row["structure"] for row in find(tables(rows_of(one), []), "acdc_quick_full_size_by_noise")} == {"lung"}


def test_the_three_formats_hold_the_same_cells():
    table = Table(
        "n", "title", ["a_b", "\u03b1"], [["x&y", "1.0 \u00b1 0.1 (2)"], ["50 %\u2020", "-"]], ["\u2020 is told"], 1
    )
    rows = [list(table.header), *map(list, table.rows)]
    assert list(csv.reader(table.csv().splitlines())) == rows
    lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
    assert [[word.strip() for word in line.strip("|").split("|")] for line in lines if "---" not in line] == rows
    latex = [line for line in table.latex().splitlines() if line.endswith(r"\\")]
    assert latex == [
        r"a\_b & $\alpha$ \\",
        r"x\&y & 1.0 $\pm$ 0.1 (2) \\",
        r"50 \%$^\dagger$ & - \\",
        r"\multicolumn{2}{l}{\footnotesize $^\dagger$ is told} \\",
    ]
    assert r"\begin{tabular}{lr}" in table.latex()


def test_a_curve_holds_the_seeds_that_reached_an_epoch():
    one = curve_of(cell(curves={"epoch": [1.0, 2.0, 3.0], "val_mean_dice": [0.25, None, 0.5]}))
    two = curve_of(cell(curves={"epoch": [1.0, 2.0], "val_mean_dice": [0.75, 0.5]}, training_seed=1))
    assert all(tuple(row) == CURVE_COLUMNS for row in [*one, *two])
    assert result_plots.curve([*one, *two]) == {1: [25.0, 75.0], 2: [50.0], 3: [50.0]}


def test_a_curve_tells_what_the_filter_did_in_the_epochs_with_verdicts():
    verdicts = {"filter_precision": [None, 0.987], "filter_recall": [None, 0.5], "filter_recall_marked": [None, 0.75]}
    rows = curve_of(cell(curves={"epoch": [1.0, 2.0], "val_mean_dice": [0.25, 0.5]} | verdicts))
    columns = ("epoch", "dice", "filter_precision", "filter_recall", "filter_recall_marked")
    assert [[row[name] for name in columns] for row in rows] == [
        ["1", "25.0", "", "", ""],
        ["2", "50.0", "98.7", "50.0", "75.0"],
    ]


def test_the_curve_of_a_cell_made_again_replaces_all_of_its_epochs():
    epochs = [float(number) for number in range(1, 12)]
    long = curve_of(cell(curves={"epoch": epochs, "val_mean_dice": [0.1] * 11}))
    other, again = curve_of(cell(method="co_seg")), curve_of(cell())
    assert merge([*long, *other], again, CURVES_SORTED_BY) == [*again, *other]
    assert merge([], reversed(long), CURVES_SORTED_BY) == long  # epoch 2 before epoch 10


def test_from_cells_to_files_and_the_same_again_from_the_csv_alone(tmp_path):
    grid = write_cells(tmp_path / "grid", [cell(noise=noise, seed=seed) for noise in LEVELS for seed in (0, 1)])
    out = tmp_path / "results"
    assert len(tabulate([grid], out)) == 6 * 16
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert "tables/acdc_quick_full_size_by_noise.tex" in files and b"90.0" not in files["tables.md"]
    pictures = [f"plots/acdc_quick_{name}.png" for name in ("noise_levels", *(f"{noise}_curves" for noise in LEVELS))]
    assert {name for name in files if name.endswith(".png")} == set(pictures)
    for name in pictures:
        picture = plt.imread(out / name)[..., :3]
        coloured = np.ptp(picture, axis=-1) > 0.3  # text and axes are gray
        assert 100 < coloured.sum() < coloured.size / 4
    main(["--output_dir", str(out)])
    assert files == {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert [dict(row) for row in csv.DictReader(files["accuracy.csv"].decode().splitlines())] == read_rows(
        out / "accuracy.csv"
    )


def test_no_line_runs_over_a_noise_level_that_was_not_run(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(result_plots, "_save", lambda figure, path: figures.append(figure) or path)
    cells = [cell(noise=noise) for noise in LEVELS]
    cells += [cell(method="co_seg", noise=noise) for noise in LEVELS if noise != "alpha30_beta5"]
    result_plots.plot_noise_levels([row for one in cells for row in rows_of(one)], tmp_path)
    for ax in figures[0].axes:
        ends = [np.asarray(bars.lines[0].get_ydata(), dtype=float) for bars in ax.containers]
        assert np.array_equal(ends, [[65, 65, 65], [65, np.nan, 65]], equal_nan=True)  # a NaN breaks the line
    plt.close(figures[0])


def test_noise_of_another_kind_is_no_level(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(result_plots, "_save", lambda figure, path: figures.append(figure) or path)
    other = cell(noise="alpha30_beta5") | {"noise": "dilation50", "alpha": 0.5, "beta": "7-13"}
    cells = [*(cell(noise=noise) for noise in LEVELS), other]
    result_plots.plot_noise_levels([row for one in cells for row in rows_of(one)], tmp_path)
    names = [[label.get_text() for label in ax.get_xticklabels()] for ax in figures[0].axes]
    assert names == 2 * [["none", "\u03b1 30 %, \u03b2 5", "\u03b1 70 %, \u03b2 10"]]
    plt.close(figures[0])


def test_the_dots_of_a_curve_are_the_best_epochs_of_the_seeds():
    one = curve_of(cell(curves={"epoch": [1.0, 2.0, 3.0], "val_mean_dice": [0.5, None, 0.5]}))
    two = curve_of(cell(curves={"epoch": [1.0, 2.0], "val_mean_dice": [0.25, 0.75]}, training_seed=1))
    assert result_plots.best_epochs([*one, *two]) == [(1, 50.0), (2, 75.0)]


def test_folders_without_cells_and_foreign_files_are_refused(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match="grid holds no cell.json"):
        tabulate([tmp_path / "grid"], tmp_path)
    with pytest.raises(SystemExit, match="2"):
        main(["--output_dir", str(tmp_path)])
    assert "give finished cells with --grid_dir" in capsys.readouterr().err
    (tmp_path / "accuracy.csv").write_text("method,dice\nbaseline,1\n")
    with pytest.raises(ValueError, match="accuracy.csv has no column 'dataset'"):
        tabulate([], tmp_path)


def test_published_figures_are_consistent():
    """Known sources; each figure once; the average that a paper prints is that of its three structures."""
    rows = read_rows(PUBLISHED, PUBLISHED_COLUMNS)
    assert {row["source"] for row in rows} == set(TAGS)
    key = ("source", "alpha_percent", "beta", "method", "structure", "model")
    values = {tuple(row[name] for name in key): float(row["dice_percent"]) for row in rows}
    assert len(values) == len(rows) == 475
    organs = {"self_cleansing_table3": ("RV", "Myo", "LV"), "pick_and_learn_table1": ("lung", "heart", "clavicles")}
    differences = {}
    for (source, alpha, beta, method, structure, model), value in values.items():
        if structure == "average" and source in organs:
            mean = statistics.mean(values[source, alpha, beta, method, organ, model] for organ in organs[source])
            differences[source, alpha, beta, method, model] = round(mean - value, 2)
    assert len(differences) == 37 * 2 + 21
    assert {place: value for place, value in differences.items() if abs(value) > 0.1} == {  # as the papers print them
        ("self_cleansing_table3", "70", "10", "superpixel", "B"): 0.27,
        ("pick_and_learn_table1", "50", "5-13", "pick_and_learn_qam", ""): 1.0,
    }


def with_volumes(rv=(60.0, 70.0), lv=(80.0, None), cases=("one", "two"), **changes) -> dict:
    """A cell with two test volumes of two patients."""
    made = cell(**changes)
    for by_protocol in made["evaluation"]["results"].values():
        for protocol, numbers in by_protocol.items():
            by_protocol[protocol] = numbers | {"volumes": {"RV": list(rv), "LV": list(lv)}}
    made["evaluation"] |= {"cases": list(cases), "patients": [f"patient {case}" for case in cases]}
    return made


def test_a_cell_becomes_a_row_per_test_volume_and_structure():
    rows = volumes_of(with_volumes())
    assert len(rows) == 2 * 2 * 2 and all(tuple(row) == VOLUME_COLUMNS for row in rows)
    found = {(row["case"], row["patient"], row["structure"], row["B"], row["L"]) for row in rows}
    assert found == {
        ("one", "patient one", "RV", "60.0", "60.0"),
        ("two", "patient two", "RV", "70.0", "70.0"),
        ("one", "patient one", "LV", "80.0", "80.0"),
        ("two", "patient two", "LV", "", ""),
    }
    assert volumes_of(cell()) == []


def tabulated(cells: list[dict]) -> list[Table]:
    rows = merge([], (row for one in cells for row in rows_of(one)))
    return tables(rows, [], merge([], (row for one in cells for row in volumes_of(one)), VOLUME_COLUMNS))


def test_the_difference_to_the_baseline_is_of_the_seeds_that_both_have():
    cells = [
        with_volumes(),
        with_volumes(rv=(62.0, 72.0), seed=1),
        with_volumes(rv=(70.0, 72.0), method="co_seg"),  # RV +10 and +2, LV the same
        with_volumes(rv=(72.0, 74.0), method="co_seg", seed=1),  # likewise
        with_volumes(rv=(99.0, 99.0), method="co_seg", seed=2),  # nothing to compare with
        with_volumes(rv=(99.0, 99.0), method="co_seg", noise="none"),
        cell(method="gce"),  # of a version that kept no volumes
    ]
    # RV +6, LV +0: +3. The first patient twice: RV +10, LV +0: +5; the second twice: RV +2, and no LV: +2.
    entry = {"noise": "\u03b1 70 %, \u03b2 10", "method": "co_seg", **dict.fromkeys("BL", "+3.0 [+2.0, +5.0] (2)")}
    assert find(tabulated(cells), "acdc_quick_label_centred_differences") == [entry]
    assert not any("differences" in table.name for table in tabulated([cell(), cell(method="gce")]))


def test_the_overview_has_an_entry_for_all_that_was_run():
    cells = [
        with_volumes(noise="none"),
        with_volumes(rv=(70.0, 72.0), method="co_seg", noise="none"),
        cell(dice=(60.0, 70.0, None)),
        cell(dice=(70.0, 80.0, None), seed=1),
        cell(dice=(62.0, 72.0, None), method="gce", seed=1),  # eight below the baseline of its seed
        cell(dice=(50.0, 60.0, None), method="gce", seed=2),
        cell(dice=(50.0, 60.0, None), method="sce", seed=2),  # no baseline of this seed
        with_volumes(dice=(61.0, 71.0, None), method="t_loss", noise="none"),
        with_volumes(noise="none", seed=1),
        cell(dice=(64.0, 74.0, None), method="t_loss", noise="none", seed=1),  # its volumes alone were not kept
    ]
    rows = find(tabulated(cells), "acdc_quick_label_centred_overview")
    assert [list(row.values()) for row in rows] == [
        ["baseline", "(65.0 \u00b1 0.0 (2))", "(70.0 \u00b1 7.1 (2))"],
        ["co_seg", "+3.0 [+2.0, +5.0] (1)", "-"],
        ["gce", "-", "-8.0 (1)"],
        ["sce", "-", "(55.0 (1))"],
        ["t_loss", "+2.5 (2)", "-"],  # of both seeds, not +1.0 with an interval of one
    ]


def test_cells_of_other_test_volumes_are_not_compared():
    with pytest.raises(ValueError, match=r"the test volumes of co_seg and baseline at noise alpha70_beta10 .* differ"):
        tabulated([with_volumes(), with_volumes(method="co_seg", cases=("one", "three"))])


def test_volumes_are_kept_beside_the_other_figures(tmp_path):
    tabulate([write_cells(tmp_path / "grid", [with_volumes()])], tmp_path / "results")
    tabulate([write_cells(tmp_path / "more", [with_volumes(rv=(61.0, 71.0), method="gce")])], tmp_path / "results")
    rows = read_rows(tmp_path / "results" / "volumes.csv", VOLUME_COLUMNS)
    assert {(row["method"], row["L"]) for row in rows if row["case"] == "one" and row["structure"] == "RV"} == {
        ("baseline", "60.0"), ("gce", "61.0"),
    }  # fmt: skip
    assert "+0.5 [+0.5, +1.0] (1)" in (tmp_path / "results" / "tables.md").read_text()
