# SPDX-License-Identifier: Apache-2.0
"""The page of an audit: one file in which a person sees which labels are suspect, why, and what is proposed.

The page needs nothing but itself: no server, no network, no library. Names of cases and classes come from strangers'
files, so they enter it as JSON that cannot be taken for HTML, and its script shows them as text only; beyond that, a
Content-Security-Policy lets no script run but the page's own, which it knows by hash. The parts are in page/.
"""

from __future__ import annotations

import base64
import hashlib
import html
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from PIL import Image

from ..data.whole_file import whole_file
from .findings import Findings
from .outlines import outline_path
from .page_data import inert_json, page_data

PARTS = Path(__file__).with_name("page")
SCRIPTS = (  # one script in the page, in this order
    *("data", "format", "picture", "rows", "columns", "table"),
    *("summary", "charts", "filters", "curve", "case", "keys", "start"),
)
JPEG_QUALITY = 80


@dataclass(frozen=True)
class SamplePicture:
    """What the page shows of one sample: its slice with the outlines of the given and the proposed labels.

    The first axis of each array is x, as MONAI loads NIfTI: it runs to the right on the page, the second axis down.

    Attributes:
        image: uint8 (h, w), black to white.
        given: bool (K, h, w), empty where the class is absent.
        proposed: bool (K, h, w), likewise.
    """

    image: np.ndarray
    given: np.ndarray
    proposed: np.ndarray


def write_report_page(
    path: str | os.PathLike[str], findings: Findings, pictures: Iterable[SamplePicture], title: str
) -> None:
    """Write the page, completely or not at all; an earlier one is replaced.

    One picture at a time is in memory: the iterable may make them as they are asked for.

    Args:
        path: of the HTML file; missing folders are made.
        findings: what the page tells; without samples it says so.
        pictures: one per sample, in the order of `findings.samples`.
        title: heading, any text.

    Raises:
        ValueError: if the findings are out of order, or a picture has the wrong shape or type, is missing or is one too
            many. What `pictures` raises is passed on. In every case an earlier page stays.
    """
    data = page_data(findings, title)
    values = _parts(data, title)
    template = re.split(r"\{\{(\w+)\}\}", _part("page.html"))
    with whole_file(path) as temporary, open(temporary, "w", encoding="utf-8", newline="\n") as page:
        for n, text in enumerate(template):
            if n % 2 == 0:
                page.write(text)
            elif text == "pictures":
                _write_pictures(page, findings, data["sampleCase"], pictures)
            else:
                page.write(values[text])


def _parts(data: Mapping[str, Any], title: str) -> dict[str, str]:
    """What stands in the template for its placeholders, by name."""
    style = _part("page.css")
    script = '"use strict";\n' + "".join(_part(f"{name}.js") for name in SCRIPTS)
    policy = {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": _hash(style),
        "script-src": _hash(script),
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    return {
        "policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "title": html.escape(title).encode("ascii", "xmlcharrefreplace").decode("ascii"),
        "style": style,
        "data": inert_json(data),
        "script": script,
    }


def _part(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _write_pictures(page: TextIO, findings: Findings, cases: Sequence[int], pictures: Iterable[SamplePicture]) -> None:
    """Write one inert element per case, so that the browser takes apart only those it shows; `cases` of the samples."""
    stream = iter(pictures)
    wanted = f"pictures must be one per sample, {len(cases)}"
    before = None
    for sample, case in zip(findings.samples, cases, strict=True):
        picture = next(stream, None)
        if picture is None:
            raise ValueError(f"{wanted}; none is left for {sample.sample!r}")
        _check(picture, len(findings.classes), sample.sample)
        end = "" if before is None else "]</script>\n"
        page.write(",\n" if case == before else f'{end}<script type="application/json" data-case={case}>[')
        page.write(inert_json(_content(picture)))
        before = case
    page.write("" if before is None else "]</script>")
    if next(stream, None) is not None:
        raise ValueError(f"{wanted}; got more")


def _check(picture: SamplePicture, num_classes: int, sample: str) -> None:
    image = picture.image
    if image.ndim != 2 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"image of {sample!r} must be uint8 (h, w), got {image.dtype} {image.shape}")
    for name, masks in (("given", picture.given), ("proposed", picture.proposed)):
        if masks.dtype != bool or masks.shape != (num_classes, *image.shape):
            raise ValueError(
                f"{name} of {sample!r} must be bool {(num_classes, *image.shape)}, got {masks.dtype} {masks.shape}"
            )


def _content(picture: SamplePicture) -> dict[str, object]:
    buffer = BytesIO()
    Image.fromarray(picture.image.T).save(buffer, "JPEG", quality=JPEG_QUALITY, optimize=True)
    return {
        "size": picture.image.shape,
        "jpeg": base64.b64encode(buffer.getvalue()).decode("ascii"),
        "given": [outline_path(mask) for mask in picture.given],
        "proposed": [outline_path(mask) for mask in picture.proposed],
    }
