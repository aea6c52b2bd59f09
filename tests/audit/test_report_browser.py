# SPDX-License-Identifier: Apache-2.0
"""The page in a real browser: what a reader does with mouse and keyboard, and that the page does nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from generated_findings import generated
from running import load_script

pytest.importorskip("selenium")
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.ui import WebDriverWait  # noqa: E402

from bundle.self_cleansing.audit.report_page import write_report_page  # noqa: E402
from scripts.headless_chromium import chromium, programs, requests  # noqa: E402

pytestmark = pytest.mark.skipif(programs() is None, reason="chromium and chromedriver are not installed")

HOSTILE = "</script><img src=x onerror=\"document.title='run'\"><b>"
VISIBLE_ROWS = """return [...document.querySelectorAll('#rows tr')]
    .map(row => [...row.cells].slice(1).map(cell => cell.innerText.trim().toWellFormed()))"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as driver:
        yield driver


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("pages")

    def page(name: str, title: str = "An audit", warnings: tuple[str, ...] = (), **options) -> None:
        findings, pictures = generated(**options)
        write_report_page(folder / f"{name}.html", replace(findings, warnings=warnings), pictures, title)

    page("usual")
    page("large", cases=[f"case{n}" for n in range(200)], depth=5)
    page("hostile", HOSTILE, (HOSTILE,), cases=(HOSTILE, "b\udcff", '"quoted"'), classes=(HOSTILE + "1", "RV"))
    page("flat", cases=[f"image{n}" for n in range(6)], classes=("lesion",), depth=1)
    page("good", suspect=False)
    page("empty", cases=())
    return folder


class Page:
    """A page that has been opened, and what a reader sees of it and does to it."""

    def __init__(self, browser, path: Path) -> None:
        self.browser, self.path = browser, path
        browser.get("about:blank")  # else only the hash would change
        self.go("")

    def go(self, hash_: str) -> None:
        self.browser.get(self.path.as_uri() + hash_)
        marks = "return performance.getEntriesByName('pictures shown').length"
        WebDriverWait(self.browser, 20, 0.05).until(lambda driver: driver.execute_script(marks))
        self.browser.execute_async_script("setTimeout(arguments[0], 20)")  # a change of the hash is told a little later

    def all(self, selector: str) -> list:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str):
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector: str) -> str:
        return self.one(selector).text

    def click(self, selector: str) -> None:
        self.browser.execute_script("arguments[0].click()", self.one(selector))  # wherever it is scrolled to

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def wait(self, condition) -> None:
        WebDriverWait(self.browser, 5, 0.02).until(lambda driver: condition())

    def back(self) -> None:
        self.browser.back()

    def rows(self) -> list[list[str]]:
        """Text of the cells of the rows that are elements, without the picture's."""
        return self.browser.execute_script(VISIBLE_ROWS)

    def column(self, number: int) -> list[str]:
        return [row[number] for row in self.rows()]

    def hash(self) -> str:
        return self.browser.execute_script("return location.hash")

    def outlines(self, selector: str = "#picture") -> list[tuple[str, str]]:
        """Style and colour of the outlines drawn, halos left out."""
        paths = self.all(f"{selector} path:not(.halo)")
        return [(path.get_attribute("class"), path.get_attribute("stroke")) for path in paths]


@pytest.fixture
def opened(browser, pages):
    """Call it with a page's name; afterwards nothing may have been asked for elsewhere, nor gone wrong."""
    made = []
    requests(browser), browser.get_log("browser")  # of earlier tests

    def open_page(name: str) -> Page:
        made.append(Page(browser, pages / f"{name}.html"))
        return made[-1]

    yield open_page
    asked = [url.split("#")[0] for url in requests(browser) if not url.startswith(("data:", "about:"))]
    assert set(asked) == {page.path.as_uri() for page in made}
    assert browser.get_log("browser") == []


def test_the_least_trusted_stand_first_and_every_column_sorts(opened):
    page = opened("usual")
    assert page.text("h1") == page.browser.title == "An audit"
    assert page.text("#count") == "24 labels" and len(page.rows()) <= 24
    first = page.rows()[0]
    assert first == ["case1", "3", "RV", "0.04", "suspect", "missing", "–", "–", "0.00"]
    assert page.one("th[data-column=trust]").get_attribute("aria-sort") == "ascending"
    assert len(page.all("#rows tr:first-child img[src^='data:image/jpeg']")) == 1
    trust = [float(text) for text in page.column(3)]
    assert trust == sorted(trust)

    page.click("th[data-column=trust] button")
    assert page.column(3)[0] == "0.96" and page.column(4)[0] == "trusted"
    assert page.one("th[data-column=trust]").get_attribute("aria-sort") == "descending"
    page.one("th[data-column=case] button").send_keys(Keys.ENTER)  # with the keyboard, and not taken for opening a row
    assert page.one("th[data-column=trust]").get_attribute("aria-sort") == "none"
    page.press(Keys.ENTER)  # the focus stayed on the button: descending
    assert page.column(0)[0] == "case10" and page.hash() == ""  # as people count, 10 after 2
    page.click("th[data-column=errorPx] button")
    errors = [text.replace("−", "-") for text in page.column(6)]
    assert errors[0] == "+1.4"
    page.click("th[data-column=errorPx] button")
    assert page.column(6)[0] == "−1.4"
    page.browser.execute_script("scrollTo(0, 99999)")
    page.wait(lambda: page.column(6)[-1] == "–")  # the undefined last both ways


def test_filters_narrow_the_table_and_bars_set_them(opened):
    page = opened("usual")
    page.press("/", "CASE1")
    assert page.browser.switch_to.active_element.get_attribute("id") == "filter-text"
    assert page.text("#count") == "16 of 24 labels" and set(page.column(0)) <= {"case1", "case10"}
    page.one("#filter-text").clear()
    page.press("/", '"case1"', Keys.ESCAPE)
    assert page.text("#count") == "8 of 24 labels" and set(page.column(0)) == {"case1"}
    assert page.browser.switch_to.active_element.tag_name == "body"
    page.one("#filter-class").send_keys("Myo", Keys.ENTER)
    assert page.text("#count") == "4 of 24 labels" and set(page.column(2)) == {"Myo"}
    page.click("#clear")
    page.one("#filter-verdict").send_keys("trusted", Keys.ENTER)
    assert page.text("#count") == "12 of 24 labels" and min(map(float, page.column(3))) >= 0.5
    page.one("#filter-kind").send_keys("shifted", Keys.ENTER)
    assert page.text("#count") == "1 of 24 labels" and page.column(5) == ["shifted"]
    page.click("#clear")
    assert page.text("#count") == "24 labels"

    page.click("#histogram button:nth-child(2)")  # trust 0.05 to 0.10
    assert page.column(3) == ["0.08"] and page.one("#filter-low").get_attribute("value") == "0.05"
    assert page.one("#histogram button:nth-child(2)").get_attribute("aria-pressed") == "true"
    page.click("#histogram button:nth-child(2)")
    assert page.text("#count") == "24 labels"
    kinds = [bar.text.split("\n") for bar in page.all("#kinds button")]
    assert sum(int(number) for _, number in kinds) == 12 and kinds[0] == ["missing", "2"]
    page.click("#kinds button")
    assert page.text("#count") == "2 of 24 labels" and set(page.column(5)) == {"missing"}
    page.click("#clear")
    bars = page.one("#case-bars svg")
    ActionChains(page.browser).move_to_element_with_offset(bars, 4 - bars.size["width"] // 2, 0).click().perform()
    assert page.text("#count") == "8 of 24 labels" and set(page.column(0)) == {"case1"}
    low, high = page.one("#filter-low"), page.one("#filter-high")
    page.click("#clear")
    for field, value in ((low, "0.5"), (high, "0.4")):
        field.clear()
        field.send_keys(value)
    assert page.text("#count") == "0 of 24 labels" and page.one("#nothing").is_displayed()
    page.click("#nothing button")
    assert page.text("#count") == "24 labels" and not page.one("#nothing").is_displayed()
    page.click("#histogram-classes button:nth-child(2)")
    assert page.all("#histogram button")[0].get_attribute("aria-label") == "Trust 0.00 to 0.05: 1 label"
    assert sum(int(bar.get_attribute("aria-label").split()[-2]) for bar in page.all("#histogram button")) == 12


def test_rows_by_slice_and_by_case(opened):
    page = opened("usual")
    page.click("#by button:nth-child(2)")
    assert page.text("#count") == "12 slices with 24 labels"
    assert page.rows()[0] == ["case1", "3", "0.04", "suspect", "RV\nMyo"]
    page.click("#by button:nth-child(3)")
    assert page.text("#count") == "3 cases with 24 labels"
    assert [row[:5] for row in page.rows()] == [
        ["case1", "4", "0.04", "8 of 8", "25 % (20–31 %)"],
        ["case2", "4", "0.36", "4 of 8", "25 % (20–31 %)"],
        ["case10", "4", "0.68", "0 of 8", "25 % (20–31 %)"],
    ]


def test_only_rows_in_sight_are_elements(opened):
    page = opened("large")
    assert page.text("#count") == "2,000 labels"
    seen = []
    for place in (0, 0.5, 1):
        page.browser.execute_script("scrollTo(0, arguments[0] * document.documentElement.scrollHeight)", place)
        page.wait(lambda: page.column(3)[0] not in seen)
        seen.append(page.column(3)[0])
        assert len(page.all("#rows tr")) < 40
    assert page.all("#rows tr")[-1].get_attribute("aria-rowindex") == "2001" and page.column(3)[-1] == "1.00"
    assert len(page.all("#rows img")) == len(page.all("#rows tr"))
    scrolled = "return Math.round(scrollY)"
    page.browser.execute_script("scrollTo(0, 5000)")
    page.wait(lambda: page.column(3)[0] not in seen)
    before, rows = page.browser.execute_script(scrolled), page.rows()
    page.click("#rows tr:nth-child(9) a")
    page.wait(lambda: page.one("#case").is_displayed())
    assert page.browser.execute_script(scrolled) == 0
    page.press(Keys.ESCAPE)
    page.wait(lambda: page.rows() == rows)
    assert page.browser.execute_script(scrolled) == before == 5000


def test_keys_move_through_table_and_case(opened):
    page = opened("usual")
    page.press("j", Keys.ARROW_DOWN, "j", "k")
    current = page.all("#rows tr[aria-current]")
    assert [row.get_attribute("aria-rowindex") for row in current] == ["4"]
    assert page.text("#preview-text").startswith("case1, slice 4")
    page.press("?")
    assert page.one("#help").is_displayed()
    page.press("j", Keys.ESCAPE)
    assert not page.one("#help").is_displayed() and page.text("#preview-text").startswith("case1, slice 4")
    page.press(Keys.ENTER)
    page.wait(lambda: page.one("#case").is_displayed())
    assert page.hash() == "#case=0&slice=4" and page.text("#case-name") == "case1"
    assert page.browser.title == "case1 – An audit" and not page.one("#overview").is_displayed()

    for key, number in (("j", 5), (Keys.ARROW_RIGHT, 6), ("j", 6), (Keys.ARROW_UP, 5), ("k", 4), (Keys.ARROW_LEFT, 3)):
        page.press(key)
        assert page.text("#slice-name") == f"Slice {number} (of 3 to 6)" and page.hash() == f"#case=0&slice={number}"
    assert page.outlines() == [("proposed", "#E69F00"), ("given", "#56B4E9"), ("proposed", "#56B4E9")]
    page.press("g")
    assert {style for style, _ in page.outlines()} == {"proposed"}
    page.press("g", "o", "d")
    assert [style for style, _ in page.outlines()] == ["difference", "difference", "given"]
    page.press("o", "d", "2")
    assert page.outlines() == [("proposed", "#E69F00")]
    assert not page.one("#slice-labels input[data-class='1']").is_selected()
    page.press("2", "9")
    assert len(page.outlines()) == 3

    page.press("s")
    assert page.text("#slice-name") == "Slice 4 (of 3 to 6)"
    page.press("n")
    page.wait(lambda: page.text("#case-name") == "case2")  # in the table's order, at its least trusted slice
    assert page.hash() == "#case=1&slice=3"
    page.press("p")
    page.wait(lambda: page.text("#case-name") == "case1")
    page.press(Keys.ESCAPE)
    page.wait(lambda: page.one("#overview").is_displayed())
    assert page.text("#preview-text").startswith("case1, slice 4") and page.browser.title == "An audit"


def test_a_case_by_link_back_button_scroller_wheel_and_curve(opened):
    page = opened("usual")
    page.go("#case=2&slice=5")
    assert page.text("#case-name") == "case10" and page.text("#slice-name") == "Slice 5 (of 3 to 6)"
    labels = [
        [cell.text for cell in row.find_elements(By.CSS_SELECTOR, "th, td")]
        for row in page.all("#slice-labels tbody tr")
    ]
    assert [row[:3] for row in labels] == [["RV", "0.84", "trusted"], ["Myo", "0.88", "trusted"]]
    page.one("#slice").send_keys(Keys.ARROW_RIGHT)
    assert page.text("#slice-name") == "Slice 6 (of 3 to 6)" and page.one("#slice").get_attribute("value") == "3"
    assert page.one("#slice").get_attribute("aria-valuetext") == "slice 6, trust 0.92"
    wheel = "arguments[0].dispatchEvent(new WheelEvent('wheel', {deltaY: arguments[1], cancelable: true}))"
    for turn, number in ((-100, 5), (-30, 5), (-30, 4)):
        page.browser.execute_script(wheel, page.one("#picture"), turn)
        assert page.text("#slice-name") == f"Slice {number} (of 3 to 6)"
    curve = page.one("#curve svg")
    assert len(page.all("#curve polyline")) == 2
    ActionChains(page.browser).move_to_element_with_offset(curve, 5 - curve.size["width"] // 2, 0).click().perform()
    assert page.text("#slice-name") == "Slice 3 (of 3 to 6)"

    page.go("#case=1")  # no slice: the least trusted
    assert page.text("#slice-name") == "Slice 3 (of 3 to 6)"
    assert [item.text for item in page.all("#suspects li button")] == ["Slice 3", "Slice 4"]
    page.click("#suspects li:nth-child(2) button")
    assert page.text("#slice-name") == "Slice 4 (of 3 to 6)"
    for lost in ("#case=7", "#case=x", "#<b>"):
        page.go(lost)
        assert page.one("#overview").is_displayed() and not page.one("#case").is_displayed()

    page.go("")
    page.click("#rows tr:nth-child(3) a:not([tabindex])")
    page.wait(lambda: page.one("#case").is_displayed())
    page.press("j")
    assert page.hash() == "#case=0&slice=5"
    page.back()
    page.wait(lambda: page.one("#overview").is_displayed())
    page.browser.forward()
    page.wait(lambda: page.text("#slice-name") == "Slice 5 (of 3 to 6)")


def test_hostile_names_are_shown_and_do_nothing(opened):
    page = opened("hostile")
    page.click("#by button:nth-child(3)")
    assert page.text("h1") == HOSTILE and page.text("#warnings p") == HOSTILE
    assert page.column(0) == [HOSTILE, "b\ufffd", '"quoted"']
    assert [cell.text for cell in page.all("#classes tbody th")] == [HOSTILE + "1", "RV"]
    page.one("#filter-text").send_keys('""quoted""')
    assert page.text("#count") == "1 case with 8 of 24 labels"
    page.go("#case=0")
    assert page.text("#case-name") == HOSTILE
    assert page.browser.title == f"{HOSTILE} – {HOSTILE}"
    assert page.all("img[src='x'], b") == []
    injected = (
        "document.body.insertAdjacentHTML('beforeend', '<img id=evil src=\"data:,\" onerror=\"window.ran = 1\">')"
    )
    page.browser.execute_script(injected)
    page.wait(lambda: page.browser.execute_script("return evil.complete"))
    assert page.browser.execute_script("return window.ran") is None  # were there a way in, the policy would stop it
    (refused,) = page.browser.get_log("browser")
    assert "Content Security Policy" in refused["message"]


def test_two_dimensional_images_of_one_class(opened):
    page = opened("flat")
    assert page.text("#count") == "6 labels" and page.all("#histogram-classes button") == []
    page.press(Keys.ENTER)
    page.wait(lambda: page.one("#case").is_displayed())
    assert page.text("#slice-name") == "Slice 3" and not page.one("#scroller").is_displayed()
    assert page.outlines() == [("proposed", "#E69F00")]  # the given label is empty
    assert "empty → " in page.text("#slice-labels tbody")
    page.press("j", "s")
    assert page.text("#case-name") == "image0"


def test_nothing_suspect_and_nothing_at_all(opened):
    page = opened("good")
    assert page.text("#kinds") == "No label is suspect." and page.text("#count") == "24 labels"
    page.go("#case=0")
    assert page.all("#suspects li") == [] and not page.one("#next-suspect").is_displayed()
    page.press("s")
    page = opened("empty")
    assert page.text("#nothing") == "The data set has no labels." and page.rows() == []
    page.press("j", Keys.ENTER)
    assert page.one("#overview").is_displayed()


def test_the_benchmark_measures_a_page(tmp_path):
    benchmark = load_script("benchmark_report")
    numbers = benchmark.written(str(tmp_path / "report.html"), 25)
    assert numbers["bytes"] == (tmp_path / "report.html").stat().st_size and numbers["writing_adds_mb"] >= 0
    times = benchmark.opened(tmp_path / "report.html")
    assert 0 < times["rows shown"] <= times["pictures shown"]
