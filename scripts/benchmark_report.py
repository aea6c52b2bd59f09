# SPDX-License-Identifier: Apache-2.0
"""How large an audit's report page is, how long a browser takes to open it, and what writing it takes.

    python scripts/benchmark_report.py --output docs/results/report_page.json

The data are generated: hearts of three structures on slices of 64 x 64, a quarter of the labels wrong. Chromium and its
driver must be installed (Debian: chromium-driver).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

import numpy as np  # noqa: E402
from headless_chromium import chromium  # noqa: E402
from scipy import ndimage  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from bundle.self_cleansing.audit import findings as audit  # noqa: E402
from bundle.self_cleansing.audit.report_page import SamplePicture, write_report_page  # noqa: E402
from bundle.self_cleansing.data.json_file import write_json  # noqa: E402

SIZE = 64
DEPTH = 10  # slices per case
CLASSES = ("right ventricle", "myocardium", "left ventricle")
WRONG = 0.25
MARKS = ("rows shown", "pictures shown")


def heart(n: int) -> SamplePicture:
    """The slice of number n, always the same: blobs of random outline, and labels of which some are changed."""
    rng = np.random.default_rng(n)
    x, y = np.mgrid[:SIZE, :SIZE] - SIZE / 2 + rng.normal(0, 2, (2, 1, 1))
    radius = rng.uniform(9, 14) * (1 - 0.6 * abs(n % DEPTH / DEPTH - 0.4))
    left = _blob(x, y, radius, rng)
    outer = ndimage.binary_dilation(left, iterations=3)
    right = _blob(x + 1.6 * radius, y, 1.2 * radius, rng) & ~outer
    clean = np.stack([right, outer & ~left, left])
    given = np.stack([_changed(mask, rng) if rng.random() < WRONG else mask for mask in clean])
    proposed = np.stack([ndimage.shift(mask, rng.normal(0, 0.4, 2), order=0) for mask in clean])
    tissue = 60 + np.tensordot([90.0, 40, 110], clean, 1) + 30 * _smooth(rng) + rng.normal(0, 8, (SIZE, SIZE))
    return SamplePicture(np.clip(tissue, 0, 255).astype(np.uint8), given, proposed)


def _blob(x: np.ndarray, y: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    angle = np.arctan2(y, x)
    waves = sum(rng.normal(0, 0.05) * np.cos(k * angle + rng.uniform(0, 6)) for k in (2, 3, 4, 5))
    return np.hypot(x, y) < radius * (1 + waves)


def _changed(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    steps = int(rng.integers(2, 5))
    match rng.integers(4):
        case 0:
            return np.zeros_like(mask)
        case 1:
            return ndimage.binary_dilation(mask, iterations=steps)
        case 2:
            return ndimage.binary_erosion(mask, iterations=steps)
        case _:
            return ndimage.shift(mask, rng.normal(0, 2 * steps, 2), order=0)


def _smooth(rng: np.random.Generator) -> np.ndarray:
    return ndimage.zoom(rng.normal(0, 1, (8, 8)), SIZE / 8, order=1)


def hearts(samples: int) -> Iterator[SamplePicture]:
    return (heart(n) for n in range(samples))


def generated_findings(samples: int) -> audit.Findings:
    """What an audit could say of `hearts`."""
    labels, slices, cases = [], [], []
    for n, picture in enumerate(hearts(samples)):
        case, number = f"patient{n // DEPTH:04d}", n % DEPTH
        rng = np.random.default_rng(n)
        row = [_label(case, number, k, picture, rng) for k in range(len(CLASSES))]
        labels += row
        suspect = tuple(label.class_name for label in row if label.verdict == audit.SUSPECT)
        slices.append(audit.SampleFinding(f"{case}/{number}", case, number, min(label.trust for label in row), suspect))
    for first in range(0, samples, DEPTH):
        part = slices[first : first + DEPTH]
        wrong = sum(len(one.suspect) for one in part)
        share = _share(wrong / (len(part) * len(CLASSES)))
        cases.append(audit.CaseFinding(part[0].case, len(part), min(one.trust for one in part), wrong, share))
    shares = {name: _share(WRONG) for name in CLASSES}
    settings = {"folds": 5, "seed": 0, "training": {"max_epochs": 30, "batch_size": 16}}
    return audit.Findings(CLASSES, labels, slices, cases, _share(WRONG), shares, settings)


def _label(case: str, number: int, k: int, picture: SamplePicture, rng: np.random.Generator) -> audit.LabelFinding:
    given, proposed = picture.given[k], picture.proposed[k]
    areas = int(given.sum()), int(proposed.sum())
    dice = 2 * int((given & proposed).sum()) / sum(areas) if any(areas) else 1.0
    trust = float(1 / (1 + np.exp(rng.normal(0, 1) - 14 * (dice - 0.75))))
    radii = np.sqrt(np.array(areas) / np.pi)
    error = float(radii[0] - radii[1]) if all(areas) else None
    kind = "missing" if not areas[0] else "shifted" if abs(areas[0] / max(areas[1], 1) - 1) < 0.2 else "boundary"
    if kind == "boundary":
        kind = "too large" if areas[0] > areas[1] else "too small"
    verdict = audit.SUSPECT if trust < 0.5 else audit.TRUSTED
    return audit.LabelFinding(
        *(f"{case}/{number}", case, number, CLASSES[k], trust, verdict, kind, float(rng.uniform(0.4, 0.95))),
        boundary_error_px=error,
        boundary_error_mm=None if error is None else 1.4 * error,
        dice=dice,
        given_px=areas[0],
        proposed_px=areas[1],
    )


def _share(value: float) -> audit.Share:
    return audit.Share(value, max(0.0, value - 0.04), min(1.0, value + 0.04))


def written(path: str, samples: int) -> dict[str, float]:
    """Write the page of so many samples; to be called in a process of its own, whose memory it measures.

    Returns:
        bytes of the page, seconds, greatest resident memory in MiB in all, and by how much writing raised it beyond
        what the findings took.
    """
    findings = generated_findings(samples)
    before = _peak_mb()
    start = time.perf_counter()
    write_report_page(path, findings, hearts(samples), f"Generated hearts, {samples} slices")
    seconds = time.perf_counter() - start
    size = os.path.getsize(path)
    return {"bytes": size, "write_s": seconds, "peak_mb": _peak_mb(), "writing_adds_mb": _peak_mb() - before}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def opened(path: Path) -> dict[str, float]:
    """Open the page in a fresh browser; milliseconds from navigation until each of MARKS."""
    with chromium() as driver:
        driver.get(path.as_uri())
        script = "return performance.getEntriesByType('mark').map(mark => [mark.name, mark.startTime])"
        WebDriverWait(driver, 60).until(lambda driver: len(driver.execute_script(script)) == len(MARKS))
        return dict(driver.execute_script(script))


def benchmark(samples: int, openings: int) -> dict[str, Any]:
    """Write pages of half and of all samples, open the larger one several times."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        writing = {}
        for number in (samples // 2, samples):
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
                writing[str(number)] = pool.submit(written, str(path), number).result()
        times = [opened(path) for _ in range(openings)]
    opening = {
        name: {"median_ms": median(one[name] for one in times), "max_ms": max(one[name] for one in times)}
        for name in MARKS
    }
    return {
        "samples": samples,
        "classes": len(CLASSES),
        "size": SIZE,
        "openings": openings,
        "opening": opening,
        "writing": writing,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=5000, help="slices of the page")
    parser.add_argument("--openings", type=int, default=7, help="how often the page is opened")
    parser.add_argument("--output", type=Path, help="write the numbers to this JSON file too")
    options = parser.parse_args(arguments)
    numbers = benchmark(options.samples, options.openings)
    print(json.dumps(numbers, indent=2))
    if options.output:
        write_json(options.output, numbers)


if __name__ == "__main__":
    main()
