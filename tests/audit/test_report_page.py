# SPDX-License-Identifier: Apache-2.0
"""The page as a file: what is in it, and that nothing in it can be taken for anything else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
import weakref
import zipfile
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from generated_findings import generated
from PIL import Image
from running import ROOT

from bundle.self_cleansing.audit.outlines import outline_path
from bundle.self_cleansing.audit.report_page import PARTS, SCRIPTS, SamplePicture, write_report_page

HOSTILE = "</script><img src=x onerror=alert(1)>\u2028\u2029<!--{{script}}'\"&amp;\\u003c"


class Elements(HTMLParser):
    """Start tags of a page with their attributes, and the text in each script, style and title."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[dict[str, str | None], str]] = []
        self.within = None
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.within = tag
        if tag in ("script", "style", "title"):
            self.texts.append((dict(attributes) | {"tag": tag}, ""))

    def handle_endtag(self, tag):
        self.within = None

    def handle_data(self, data):
        if self.within in ("script", "style", "title"):
            self.texts[-1] = (self.texts[-1][0], self.texts[-1][1] + data)

    def data(self) -> dict:
        return json.loads(next(text for of, text in self.texts if of.get("id") == "findings"))

    def pictures(self) -> list[list[dict]]:
        return [json.loads(text) for of, text in self.texts if "data-case" in of]


def write(folder: Path, *given, title: str = "An audit", **options) -> Elements:
    findings, pictures = given or generated(**options)
    write_report_page(folder / "report.html", findings, iter(pictures), title)
    return Elements(folder / "report.html")


def loops(path: str) -> list[list[tuple[int, int]]]:
    """Corners of each loop of a path."""
    found = []
    for start, steps in re.findall(r"M(\d+ \d+)((?:[hv]-?\d+)+)z", path):
        points = [tuple(map(int, start.split()))]
        for axis, length in re.findall(r"([hv])(-?\d+)", steps):
            x, y = points[-1]
            points.append((x + int(length), y) if axis == "h" else (x, y + int(length)))
        found.append(points)
    return found


def shoelace(points: list[tuple[int, int]]) -> float:
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True)) / 2


def unit_edges(path: str) -> list[frozenset]:
    """The sides of pixels that a path runs along."""
    sides = []
    for points in loops(path):
        for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
            length = abs(x1 - x0) + abs(y1 - y0)
            assert length and (x0 == x1 or y0 == y1)
            at = [(x0 + (x1 - x0) * n // length, y0 + (y1 - y0) * n // length) for n in range(length + 1)]
            sides += [frozenset(pair) for pair in zip(at, at[1:], strict=False)]
    return sides


def sides_between(mask: np.ndarray) -> set[frozenset]:
    """The sides between a pixel of the mask and one that is not, by looking at every pair of neighbours."""
    filled, sides = np.pad(mask, 1), set()
    for i, j in np.ndindex(filled.shape[0] - 1, filled.shape[1] - 1):
        if filled[i, j] != filled[i + 1, j]:
            sides.add(frozenset([(i, j - 1), (i, j)]))
        if filled[i, j] != filled[i, j + 1]:
            sides.add(frozenset([(i - 1, j), (i, j)]))
    return sides


def test_outlines_by_hand():
    assert outline_path(np.zeros((3, 3), bool)) == outline_path(np.zeros((0, 4), bool)) == ""
    assert outline_path(np.ones((2, 3), bool)) == "M0 0h2v3h-2z"
    ring = np.ones((3, 3), bool)
    ring[1, 1] = False
    assert outline_path(ring) == "M0 0h3v3h-3zM1 1v1h1v-1z"  # the hole runs the other way
    assert outline_path(np.eye(2, dtype=bool)) == "M0 0h1v1h-1zM1 1h1v1h-1z"
    with pytest.raises(ValueError, match=r"must be of shape \(h, w\), got \(2, 3, 4\)"):
        outline_path(np.zeros((2, 3, 4), bool))


@pytest.mark.parametrize("seed", range(40))
def test_outlines_run_once_along_every_side_of_the_mask_and_enclose_its_pixels(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 12, 2)) < rng.uniform(0.2, 0.9)
    sides = unit_edges(outline_path(mask))
    assert len(sides) == len(set(sides)) and set(sides) == sides_between(mask)
    assert sum(map(shoelace, loops(outline_path(mask)))) == mask.sum()


def test_the_page_tells_what_was_found(tmp_path):
    findings, pictures = generated(classes=("RV", "Myo", "LV"))
    page = write(tmp_path, replace(findings, warnings=("Few labels.",)), pictures, title="Æ")
    data = page.data()
    assert (data["title"], data["classes"], data["warnings"]) == ("Æ", ["RV", "Myo", "LV"], ["Few labels."])
    assert data["settings"] == [["folds", "3"], ["training.max_epochs", "30"]]
    assert data["share"] == [0.25, 0.2, 0.31] and data["classShare"] == data["caseShare"] == [data["share"]] * 3
    assert len(data["trust"]) == len(findings.labels) == 36
    for n, label in enumerate(findings.labels):
        sample = n // 3
        assert data["cases"][data["sampleCase"][sample]] == label.case
        assert data["sampleSlice"][sample] == label.slice
        assert data["trust"][n] == pytest.approx(label.trust, abs=5e-5)
        assert data["suspect"][n] == (label.verdict == "suspect")
        assert data["kinds"][data["kind"][n]] == label.kind
        assert (data["errorPx"][n] is None) == (label.boundary_error_px is None) == (n % 12 == 0)
        assert data["errorPx"][n] == pytest.approx(label.boundary_error_px) and data["errorMm"][n] is None
        assert (data["givenPx"][n], data["proposedPx"][n]) == (label.given_px, label.proposed_px)
    assert [len(chunk) for chunk in page.pictures()] == [4, 4, 4]
    assert [of.get("data-case") for of, _ in page.texts if "data-case" in of] == ["0", "1", "2"]


def test_pictures_show_the_first_axis_to_the_right(tmp_path):
    findings, pictures = generated(cases=("a",), depth=2)
    image = np.zeros((32, 24), np.uint8)
    image[20:] = 200  # the right part, then
    pictures[1] = SamplePicture(image, pictures[1].given, pictures[1].proposed)
    shown = write(tmp_path, findings, pictures).pictures()[0][1]
    decoded = np.asarray(Image.open(BytesIO(base64.b64decode(shown["jpeg"]))))
    assert shown["size"] == [32, 24] and decoded.shape == (24, 32) and decoded.dtype == np.uint8
    np.testing.assert_allclose(decoded.T, image, atol=12)
    for name in ("given", "proposed"):
        for k in range(2):
            mask = getattr(pictures[1], name)[k]
            corners = [point for loop in loops(shown[name][k]) for point in loop]
            lowest, highest = np.argwhere(mask).min(0), np.argwhere(mask).max(0) + 1
            assert np.min(corners, axis=0).tolist() == lowest.tolist()
            assert np.max(corners, axis=0).tolist() == highest.tolist()
    assert write(tmp_path, findings, pictures).pictures()[0][0]["given"][0] == ""  # an empty label has no outline


def test_hostile_names_stay_text(tmp_path):
    options = {"cases": (HOSTILE, "b\udcff"), "classes": (HOSTILE + "1", "RV")}
    tame = write(tmp_path)
    findings, pictures = generated(**options)
    findings = replace(findings, settings={HOSTILE: HOSTILE}, warnings=(HOSTILE,))
    page = write(tmp_path, findings, pictures, title=HOSTILE)
    names = [tag for tag, of in page.tags if "data-case" not in of]
    assert names == [tag for tag, of in tame.tags if "data-case" not in of]  # no element more than without them
    data = page.data()
    assert data["title"] == HOSTILE and data["warnings"] == [HOSTILE] and data["settings"] == [[HOSTILE, HOSTILE]]
    assert data["cases"] == list(options["cases"]) and data["classes"] == list(options["classes"])
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search("[\u2028\u2029]", text) and "<img src=x" not in text
    scripts = [re.sub(r"\s", "", part) for part in re.findall(r"<script\b[^>]*>", text)]
    assert all(tag == "<script>" or tag.startswith('<scripttype="application/json"') for tag in scripts)


def test_the_policy_lets_only_the_pages_own_style_and_script_work(tmp_path):
    page = write(tmp_path, title=HOSTILE)
    policy = next(of["content"] for tag, of in page.tags if of.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag in ("style", "script"):
        (text,) = [text for of, text in page.texts if of["tag"] == tag and of.get("type") is None]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    first = [tag for tag, _ in page.tags[:5]]
    assert first == ["html", "head", "meta", "meta", "meta"]  # the policy comes before all it is to rule


def test_the_page_asks_for_nothing_from_elsewhere(tmp_path):
    page = write(tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert set(re.findall(r"[a-z]+://[^\"' ]*", text)) == {"http://www.w3.org/2000/svg"}
    for tag, of in page.tags:
        assert "src" not in of and tag not in ("iframe", "object", "embed", "base", "form action")
        assert of.get("href", "data:,") == "data:,"
        assert not any(name.startswith("on") or name == "style" for name in of)  # the policy would stop them
    scripts = "".join((PARTS / f"{name}.js").read_text() for name in SCRIPTS)
    assert {path.stem for path in PARTS.glob("*.js")} == set(SCRIPTS)
    for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval(", "fetch(", "XMLHttp", "import("):
        assert word not in scripts


def test_one_picture_at_a_time_is_in_memory(tmp_path):
    findings, pictures = generated(cases=[f"case{n}" for n in range(10)])
    alive = []

    def stream():
        for picture in pictures:
            assert sum(one() is not None for one in alive) <= 1  # that which was given last
            made = SamplePicture(picture.image.copy(), picture.given.copy(), picture.proposed.copy())
            alive.append(weakref.ref(made))
            yield made

    write_report_page(tmp_path / "report.html", findings, stream(), "Streamed")
    assert len(alive) == 40 == sum(map(len, Elements(tmp_path / "report.html").pictures()))


def test_the_page_appears_whole_or_not_at_all(tmp_path):
    findings, pictures = generated()

    def broken():
        yield from pictures[:5]
        raise OSError("disk on fire")

    target = tmp_path / "new" / "report.html"
    for earlier in (None, "an earlier page"):
        if earlier:
            target.write_text(earlier)
        with pytest.raises(OSError, match="disk on fire"):
            write_report_page(target, findings, broken(), "Broken")
        assert [path.read_text() for path in target.parent.iterdir()] == ([earlier] if earlier else [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pictures: pictures[:-1], "one per sample, 12; none is left for 'case10/6'"),
        (lambda pictures: [*pictures, pictures[0]], "one per sample, 12; got more"),
        (
            lambda pictures: [replace(pictures[0], image=np.zeros((32, 24))), *pictures[1:]],
            r"image of 'case1/3' must be uint8 \(h, w\), got float64 \(32, 24\)",
        ),
        (
            lambda pictures: [pictures[0], replace(pictures[1], given=pictures[1].given[:1]), *pictures[2:]],
            r"given of 'case1/4' must be bool \(2, 32, 24\), got bool \(1, 32, 24\)",
        ),
    ],
    ids=["too few", "too many", "image", "classes"],
)
def test_wrong_pictures_are_refused(change, message, tmp_path):
    findings, pictures = generated()
    with pytest.raises(ValueError, match=message):
        write_report_page(tmp_path / "report.html", findings, change(pictures), "Wrong")
    assert not list(tmp_path.iterdir())


def test_findings_out_of_order_are_refused(tmp_path):
    findings, pictures = generated()

    def refused(message: str, **changes: object) -> None:
        with pytest.raises(ValueError, match=message):
            write_report_page(tmp_path / "report.html", replace(findings, **changes), pictures, "Wrong")

    samples = findings.samples
    refused("got 'case1/6' whose case comes twice", samples=[*samples[:3], samples[4], samples[3], *samples[5:]])
    refused("got 'case10/3' whose case is not among", cases=findings.cases[:2])
    refused("must be 24, one per sample and class, got 23", labels=findings.labels[1:])
    refused("got 'Myo' of 'case1/3' in place of 'RV'", labels=[findings.labels[1], *findings.labels[1:]])
    broken = replace(findings.labels[0], dice=float("nan"))
    refused("not JSON compliant", labels=[broken, *findings.labels[1:]])


def test_no_samples_make_a_page_too(tmp_path):
    findings, _ = generated(cases=())
    page = write(tmp_path, findings, [])
    assert page.data()["trust"] == [] and page.pictures() == []


def test_the_parts_are_in_the_wheel(tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "bundle", tmp_path / "bundle", ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--quiet", "-w", "out"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "out").glob("*.whl")
    names = {Path(name).name for name in zipfile.ZipFile(wheel).namelist() if "/audit/page/" in name}
    assert names == {"page.html", "page.css", *(f"{name}.js" for name in SCRIPTS)}
