# SPDX-License-Identifier: Apache-2.0
"""The rows of accuracy.csv as tables in the layouts of the papers, published figures beside ours."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from accuracy_rows import AVERAGE, Row, by_value

from bundle.self_cleansing.metrics import paired_difference

PUBLISHED_COLUMNS = (
    *("source", "paper_dataset", "beside", "alpha_percent", "beta", "method", "structure", "model", "dice_percent"),
)
TAGS = {
    "self_cleansing_table2": ("S", "self-cleansing, Table 2"),
    "self_cleansing_table3": ("S", "self-cleansing, Table 3"),
    "self_cleansing_table4": ("S", "self-cleansing, Table 4"),
    "co_seg_table1": ("C", "Co-Seg, Table 1"),
    "pick_and_learn_table1": ("P", "Pick-and-Learn, Table 1"),
}
BY_NOISE = ("self_cleansing_table2", "self_cleansing_table3")
BY_METHOD = ("co_seg_table1", "pick_and_learn_table1")
PARTS = ("self_cleansing_table4",)
COMPARED = (
    *("baseline", "pick_and_learn", "confident_learning", "superpixel", "jocor", "co_seg"),
    *("self_cleansing_paper", "self_cleansing_practical"),
)
BASELINE = "baseline"
ABLATION = ("baseline", "lcm", "lcm_pred", "lcm_avg", "self_cleansing_paper")
ORDER = (
    *COMPARED,
    *("self_cleansing_off", "self_cleansing_narrow", "co_training", "pick_and_learn_qam", "dice_ce"),
    *("lcm", "lcm_pred", "lcm_avg", "gce", "sce", "noise_robust_dice", "t_loss", "ema_early_stopping"),
    *("co_seg_oracle", "jocor_oracle", "superpixel_oracle"),
)  # of rows, columns and colours (those that share pictures of noise levels differ); other methods follow
MODELS = {"B": "best epoch on the validation part", "L": "last epoch"}
DAGGER = "\u2020"
TOLD = f"{DAGGER} is told the true noise rate of the simulation, which the other methods do not know."
INTERVAL = "The interval is of the paired bootstrap over the patients; another training would add to it."
LATEX = {
    **{"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_"},
    **{"\u00b1": r"$\pm$", "\u2020": r"$^\dagger$", "\u03b1": r"$\alpha$", "\u03b2": r"$\beta$"},
}


@dataclass(frozen=True)
class Table:
    """Text in rows and columns; the first `words` columns are words, the others figures."""

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    words: int

    def markdown(self) -> str:
        """A heading, the table, and a line of notes."""
        align = ["---"] * self.words + ["---:"] * (len(self.header) - self.words)
        lines = [f"| {' | '.join(cells)} |" for cells in (self.header, align, *self.rows)]
        return "\n".join([f"## {self.title}", "", *lines, "", " ".join(self.notes), ""])

    def csv(self) -> str:
        """Header and rows."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.header, *self.rows])
        return out.getvalue()

    def latex(self) -> str:
        """A tabular (package booktabs) with its notes below the last rule."""
        columns = "l" * self.words + "r" * (len(self.header) - self.words)
        head, *body = (" & ".join(map(_latex, cells)) + r" \\" for cells in (self.header, *self.rows))
        notes = [rf"\multicolumn{{{len(self.header)}}}{{l}}{{\footnotesize {_latex(note)}}} \\" for note in self.notes]
        start, end = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
        lines = [f"% {self.title}", start, r"\toprule", head, r"\midrule", *body, r"\bottomrule", *notes, end, ""]
        return "\n".join(lines)


def tables(rows: Sequence[Row], published: Sequence[Row], volumes: Sequence[Row] = ()) -> list[Table]:
    """All tables that the rows have something for: by data set, preset and protocol, and the cost by data set."""
    found = []
    for (dataset, preset), group in grouped(rows, "dataset", "preset"):
        beside = [row for row in published if row["beside"] == dataset]
        for (protocol,), some in grouped(group, "protocol"):
            figures = Figures(some, beside)
            start = (f"{dataset}_{preset}_{protocol}", f"{dataset}, {preset}, {protocol.replace('_', '-')}")
            same = [
                row
                for row in volumes
                if (row["dataset"], row["preset"], row["protocol"]) == (dataset, preset, protocol)
            ]
            pairs = PairedVolumes(same)
            found += [overview(figures, pairs, *start), *(make(figures, *start) for make in (by_noise, by_method))]
            found += [table for table in (ablation(figures, *start), differences(figures, pairs, *start)) if table.rows]
        found.append(cost(group, f"{dataset}_{preset}", f"{dataset}, {preset}"))
    return found


class Figures:
    """Per-volume Dice of one data set, preset and protocol, and what was published beside it.

    Args:
        rows: of accuracy.csv.
        published: rows with `PUBLISHED_COLUMNS`.
    """

    def __init__(self, rows: Sequence[Row], published: Sequence[Row]) -> None:
        self.rows = rows
        self.published = published
        self.methods = in_order({row["method"] for row in rows})
        self.oracles = {row["method"] for row in rows if row["oracle_noise"] == "yes"}
        classes = list(dict.fromkeys(row["structure"] for row in rows if row["structure"] != AVERAGE))
        self.structures = [AVERAGE, *classes] if len(classes) > 1 else classes
        self.noises = sorted(
            {(row["alpha"], row["beta"], row["noise"]) for row in rows}, key=lambda noise: list(map(by_value, noise))
        )
        self.by_seed: dict[tuple[str, ...], dict[tuple[str, str], float]] = {}
        for row in rows:
            if row["dice_per_volume"]:
                key = (row["noise"], row["method"], row["structure"], row["model"])
                seeds = (row["noise_seed"], row["training_seed"])
                self.by_seed.setdefault(key, {})[seeds] = float(row["dice_per_volume"])
        self.values = {key: list(seeds.values()) for key, seeds in self.by_seed.items()}
        self.used: dict[str, str] = {}

    def noise_name(self, noise: tuple[str, str, str]) -> str:
        """E.g. "α 70 %, β 10" of a level, which grids call alpha..., with the grid's name if two have the same numbers.

        Other noise goes by the grid's name: "dilation50 (α 50 %)".
        """
        alpha, beta, name = noise
        if float(alpha) == 0:
            return "none"
        share = f"\u03b1 {100 * float(alpha):.0f} %"
        if not name.startswith("alpha"):
            return f"{name} ({share})"
        twins = [other for other in self.noises if other[:2] == noise[:2] and other[2].startswith("alpha")]
        more = f" ({name})" if len(twins) > 1 else ""
        return f"{share}, \u03b2 {beta}{more}"

    def method_name(self, method: str) -> str:
        return method + (DAGGER if method in self.oracles else "")

    def cell(self, noise: tuple[str, str, str], method: str, structure: str, model: str, sources: Sequence[str]) -> str:
        """Ours as "mean ± sd (number of seeds)", then what these sources published, in square brackets."""
        values = self.values.get((noise[2], method, structure, model))
        text = "-" if values is None else spread(values)
        for row in self.published:
            tag, title = TAGS[row["source"]]
            there = (row["method"], row["structure"], row["model"] or "B")
            if row["source"] in sources and there == (method, structure, model) and _same_level(row, noise):
                text += f" [{tag} {float(row['dice_percent']):.1f}]"
                unsaid = "" if row["model"] else "; it does not say of which epoch, and stands beside B"
                self.used[row["source"]] = f"[{tag} ...]: published, {title} ({row['paper_dataset']}){unsaid}."
        return text

    def notes(self, methods: Iterable[str]) -> list[str]:
        """What the text of `cell` means; call it after the cells."""
        notes = [
            "Dice in percent per test volume: mean \u00b1 standard deviation over seeds (number of seeds).",
            "; ".join(f"{name}: {text}" for name, text in MODELS.items()) + ".",
        ]
        if self.used:
            notes += [*self.used.values(), "Published figures are of the paper's own network, schedule and split."]
            self.used = {}
        return notes + ([TOLD] if self.oracles & set(methods) else [])


def by_noise(figures: Figures, name: str, title: str) -> Table:
    """Tables 2 and 3 of the self-cleansing paper: a row per structure, noise and model, a column per method."""
    methods = [method for method in COMPARED if method in figures.methods]
    rows = [
        [structure, figures.noise_name(noise), model]
        + [figures.cell(noise, method, structure, model, BY_NOISE) for method in methods]
        for structure in figures.structures
        for noise in figures.noises
        for model in MODELS
    ]
    header = ["structure", "noise", "model", *map(figures.method_name, methods)]
    title = f"{title}: methods by noise (as Tables 2 and 3 of the self-cleansing paper)"
    return Table(f"{name}_by_noise", title, header, rows, figures.notes(methods), 3)


def by_method(figures: Figures, name: str, title: str) -> Table:
    """Table 1 of Co-Seg and of Pick-and-Learn: a row per structure and method, columns per noise, one per model."""
    columns = [(noise, model) for noise in figures.noises for model in MODELS]
    rows = [
        [structure, figures.method_name(method)]
        + [figures.cell(noise, method, structure, model, BY_METHOD) for noise, model in columns]
        for structure in figures.structures
        for method in figures.methods
    ]
    header = ["structure", "method", *(f"{figures.noise_name(noise)}: {model}" for noise, model in columns)]
    title = f"{title}: noise by methods (as Table 1 of Co-Seg and of Pick-and-Learn)"
    return Table(f"{name}_by_method", title, header, rows, figures.notes(figures.methods), 2)


def ablation(figures: Figures, name: str, title: str) -> Table:
    """Table 4 of the self-cleansing paper: the cleanser alone in three ways, and filter and cleanser together."""
    noises = [
        noise
        for noise in figures.noises
        if any((noise[2], "lcm", AVERAGE, model) in figures.values for model in MODELS)
    ]
    rows = [
        [figures.noise_name(noise), method, *(figures.cell(noise, method, AVERAGE, model, PARTS) for model in MODELS)]
        for noise in noises
        for method in ABLATION
    ]
    title = f"{title}: the parts of the method (as Table 4 of the self-cleansing paper)"
    return Table(f"{name}_ablation", title, ["noise", "method", *MODELS], rows, figures.notes(ABLATION), 2)


class PairedVolumes:
    """Test volumes of the methods beside those of the baseline.

    Args:
        volumes: rows of volumes.csv, of one data set, preset and protocol.
    """

    def __init__(self, volumes: Sequence[Row]) -> None:
        self.cells: dict[tuple[str, str], dict[tuple[str, str], list[Row]]] = {}
        for row in volumes:
            seeds = self.cells.setdefault((row["noise"], row["method"]), {})
            seeds.setdefault((row["noise_seed"], row["training_seed"]), []).append(row)

    def seeds(self, noise: str, method: str) -> list[tuple[str, str]]:
        """The (noise seed, training seed) whose volumes both the method and the baseline have, sorted."""
        ours, base = (self.cells.get((noise, one), {}) for one in (method, BASELINE))
        return sorted(ours.keys() & base.keys())

    def difference(self, noise: str, method: str, model: str) -> str:
        """Method minus baseline as "points [95 % interval] (seeds)", over the seeds that both have; "-" without any.

        Raises:
            ValueError: the two were evaluated on different cases.
        """
        seeds = self.seeds(noise, method)
        if not seeds:
            return "-"
        ours, base = (self.cells[noise, one] for one in (method, BASELINE))
        tested = sorted({(row["case"], row["patient"], row["structure"]) for row in base[seeds[0]]})
        ours_and_base = [[_scores(of[seed], model) for seed in seeds] for of in (ours, base)]
        if any(set(found) != set(tested) for some in ours_and_base for found in some):
            raise ValueError(
                f"the test volumes of {method} and {BASELINE} at noise {noise} in volumes.csv differ; evaluate both on "
                "the same data, and tabulate again"
            )
        patients = [patient for _, patient in dict.fromkeys(key[:2] for key in tested)]
        shape = (len(seeds), len(patients), -1)
        arrays = [np.reshape([[found[key] for key in tested] for found in some], shape) for some in ours_and_base]
        return f"{paired_difference(*arrays, patients)} ({len(seeds)})"


def differences(figures: Figures, pairs: PairedVolumes, name: str, title: str) -> Table:
    """How much better than the baseline each method is at the same noise, over the seeds that both have."""
    rows = [
        [figures.noise_name(noise), figures.method_name(method), *found]
        for noise in figures.noises
        for method in figures.methods
        if method != BASELINE and set(found := [pairs.difference(noise[2], method, model) for model in MODELS]) != {"-"}
    ]
    notes = ["Dice per test volume, method minus baseline: points [95 % interval] (seeds).", INTERVAL]
    title = f"{title}: difference to the baseline"
    return Table(f"{name}_differences", title, ["noise", "method", *MODELS], rows, notes, 2)


def overview(figures: Figures, pairs: PairedVolumes, name: str, title: str) -> Table:
    """What to expect of the last epoch: a row per method, a column per noise; the baseline's Dice, others' difference.

    Over the seeds that method and baseline have; without an interval where the volumes of one of them were not kept.
    """

    def entry(noise: str, method: str) -> str:
        ours, base = (figures.by_seed.get((noise, one, figures.structures[0], "L"), {}) for one in (method, BASELINE))
        seeds = ours.keys() & base.keys()
        if method == BASELINE or not seeds:
            return f"({spread(list(ours.values()))})" if ours else "-"
        if len(pairs.seeds(noise, method)) == len(seeds):
            return pairs.difference(noise, method, "L")
        return f"{statistics.mean(ours[seed] - base[seed] for seed in seeds):+.1f} ({len(seeds)})"

    rows = [
        [figures.method_name(method), *(entry(noise[2], method) for noise in figures.noises)]
        for method in figures.methods
    ]
    notes = [
        "L-models: difference of the mean Dice per test volume to the baseline: points [95 % interval] (seeds).",
        "In brackets the Dice itself, of the baseline, and where there is none beside it. -: not run.",
        INTERVAL,
        *([TOLD] if figures.oracles else []),
    ]
    header = ["method", *map(figures.noise_name, figures.noises)]
    return Table(f"{name}_overview", f"{title}: overview", header, rows, notes, 1)


def _scores(rows: Sequence[Row], model: str) -> dict[tuple[str, str, str], float]:
    """The Dice of each case, patient and structure; NaN where there is nothing to score."""
    return {(row["case"], row["patient"], row["structure"]): float(row[model] or "nan") for row in rows}


def cost(rows: Sequence[Row], name: str, title: str) -> Table:
    """Time and memory of one training, per method and kind of machine, over all noises and seeds."""
    cells = {tuple(row[key] for key in ("noise", "method", "noise_seed", "training_seed")): row for row in rows}
    groups = grouped(list(cells.values()), "method", "device", "arithmetic", "threads")
    groups = sorted(groups, key=lambda group: (rank(group[0][0]), group[0]))
    lines = [
        [
            *(method, device, arithmetic, threads, str(len(some))),
            spread(known(some, "seconds"), digits=0),
            spread(known(some, "cpu_seconds"), digits=0),
            f"{max(memory):.0f}" if (memory := known(some, "peak_memory_mb")) else "-",
        ]
        for (method, device, arithmetic, threads), some in groups
    ]
    header = ["method", "device", "arithmetic", "threads", "trainings", "seconds", "CPU seconds", "peak memory / MB"]
    notes = [
        "Seconds: one training, mean \u00b1 standard deviation (number of trainings), by the clock.",
        "CPU seconds: of all threads; what the load of the machine changes least. Memory: greatest of the host's.",
    ]
    return Table(f"{name}_cost", f"{title}: cost", header, lines, notes, 4)


def spread(values: Sequence[float], digits: int = 1) -> str:
    """ "mean ± standard deviation (number)"; of one value, no deviation; of none, "-"."""
    if not values:
        return "-"
    mean = f"{statistics.mean(values):.{digits}f}"
    deviation = f" \u00b1 {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{mean}{deviation} ({len(values)})"


def known(rows: Sequence[Row], name: str) -> list[float]:
    """The values of a column where it is not empty."""
    return [float(row[name]) for row in rows if row[name]]


def grouped(rows: Sequence[Row], *names: str) -> list[tuple[tuple[str, ...], list[Row]]]:
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return list(groups.items())


def _same_level(published: Row, noise: tuple[str, str, str]) -> bool:
    alpha_percent = round(100 * float(noise[0]))
    return alpha_percent == round(float(published["alpha_percent"])) and (
        not alpha_percent or published["beta"] == noise[1]
    )


def rank(method: str) -> int:
    """Place of a method in `ORDER`."""
    return ORDER.index(method) if method in ORDER else len(ORDER)


def in_order(methods: Iterable[str]) -> list[str]:
    return sorted(methods, key=lambda method: (rank(method), method))


def _latex(text: str) -> str:
    return "".join(LATEX.get(character, character) for character in text)
