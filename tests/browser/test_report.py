"""The report in a browser: it opens offline, is whole, and can be read without seeing it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.unit.inputs import AS_OF, COHORT, cli, folder, patient, procedure

KINDS = {
    "pseudonymised": (),
    "identified": ("--identified", "--yes"),
    "aggregate-only": ("--aggregate-only",),
}
SECTIONS = [
    "Summary",
    "Flow of patients",
    "Baseline characteristics",
    "Results",
    "Disease-free at 12 months",
    "Time to event",
    "PSA",
    "Questionnaires",
    "Complications",
    "Evaluable patients",
    "Resources that were not used",
    "Methods (draft)",
]


@dataclass
class Opened:
    """A page, and what the browser said of it."""

    page: Page
    file: Path
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def opened(browser: Browser, file: Path) -> Opened:
    page = browser.new_context(viewport={"width": 1100, "height": 1400}, offline=True).new_page()
    found = Opened(page, file)
    page.on("console", lambda message: found.console.append(message.text))
    page.on("pageerror", lambda error: found.console.append(str(error)))
    page.on("request", lambda request: found.requests.append(request.url))
    page.goto(file.as_uri())
    page.wait_for_load_state("networkidle")
    return found


@pytest.fixture(scope="module", params=list(KINDS))
def report(request, browser, tmp_path_factory) -> Iterator[Opened]:
    target = tmp_path_factory.mktemp("report") / "out"
    ran = cli("cohort", COHORT, target, "--as-of", AS_OF, *KINDS[request.param])
    assert ran.code == 0, ran.err
    found = opened(browser, target / "report.html")
    yield found
    found.page.context.close()


def test_nothing_is_asked_of_anybody_and_nothing_goes_wrong(report):
    assert report.console == []
    asked = [url for url in report.requests if not url.startswith("data:")]
    assert asked == [report.file.as_uri()]


def test_every_section_is_there_and_can_be_gone_to(report):
    page = report.page
    assert page.locator("h2").all_inner_texts() == SECTIONS
    assert page.locator("h1").count() == 1
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href")).count() == 1


def test_every_figure_is_drawn_and_told_in_words(report):
    page = report.page
    images = page.locator("figure img").all()
    psa = "PSA over time of 62 patients, one line each"
    told = [image.get_attribute("alt") for image in images]
    hidden = "Aggregate only" in page.inner_text("header")
    assert len(told) >= (6 if hidden else 12)
    for image, words in zip(images, told, strict=True):
        size = image.evaluate("one => [one.complete, one.naturalWidth, one.naturalHeight]")
        assert size[0]
        assert min(size[1:]) > 100
        assert len(words) > 20
    assert any(words.startswith(psa) for words in told) == (not hidden)


def test_figures_stand_in_files_with_their_data(report):
    names = {one.stem for one in (report.file.parent / "figures").iterdir()}
    captions = report.page.locator("figcaption").all_inner_texts()
    assert len(names) == len(captions)
    for name in names:
        assert any(f"figures/{name}.csv" in caption for caption in captions)
        assert (report.file.parent / "figures" / f"{name}.svg").read_bytes().startswith(b"<?xml")
        assert (report.file.parent / "figures" / f"{name}.csv").read_text().count("\n") > 1


def test_no_barrier_is_found(report):
    found = Axe().run(report.page)
    serious = [
        (one["id"], one["help"], [node["html"] for node in one["nodes"]][:2])
        for one in found.response["violations"]
        if one["impact"] in ("serious", "critical", "moderate")
    ]
    assert serious == []


def test_no_barrier_is_found_in_the_dark(report):
    """Contrast is checked by axe; the background is dark, and figures stand on white."""
    report.page.emulate_media(color_scheme="dark")
    found = Axe().run(report.page)
    colours = report.page.evaluate(
        "[document.body, document.querySelector('figure img')]"
        ".map(e => getComputedStyle(e).backgroundColor)"
    )
    report.page.emulate_media(color_scheme="light")
    assert [one["id"] for one in found.response["violations"]] == []
    assert colours == ["rgb(28, 28, 28)", "rgb(255, 255, 255)"]


def test_a_barrier_would_be_found(browser, tmp_path):
    file = tmp_path / "bad.html"
    file.write_text("<html><body><img src='data:,'><p style='color:#ccc'>pale</p></body></html>")
    found = opened(browser, file)
    ids = {one["id"] for one in Axe().run(found.page).response["violations"]}
    found.page.context.close()
    assert ids >= {"image-alt", "html-has-lang"}


def test_it_is_read_by_keyboard(report):
    page = report.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the report"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Summary"


def test_it_prints_to_a4(report, tmp_path):
    page = report.page
    page.emulate_media(media="print")
    # 210 mm less two margins of 16 mm, at 96 dots an inch.
    page.set_viewport_size({"width": 672, "height": 1000})
    widest = page.evaluate(
        "Math.max(...[...document.querySelectorAll('table, figure')].map(e => e.scrollWidth))"
    )
    assert widest <= 680
    assert page.locator("nav").is_hidden()
    printed = page.pdf(path=tmp_path / "report.pdf", format="A4", prefer_css_page_size=True)
    assert printed.startswith(b"%PDF")
    page.emulate_media(media="screen")


def test_nothing_is_cut_off_on_a_small_screen(report):
    page = report.page
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1100, "height": 1400})


def rows(page: Page, caption: str) -> list[list[str]]:
    table = page.locator("table", has=page.locator("caption", has_text=caption))
    found: list[list[str]] = []
    for row in table.locator("tbody tr").all():
        found.append(row.locator("th, td").all_inner_texts())
    return found


def test_the_table_is_the_papers(report):
    found = {row[0]: row[1:] for row in rows(report.page, "Results, beside")}
    assert found["Disease-free at 12 months"] == [
        "36/57 (63 %)",
        "36/57: 63.2 % (50.2 to 74.5)",
        "36/57 (63 %)",
    ]
    hidden = "Aggregate only" in report.page.inner_text("header")
    ours = found["Complication of Clavien-Dindo IIIb or worse"][0]
    assert ours == ("not shown" if hidden else "2/62 (3.2 %)")


def test_nobody_and_few_are_told_of_as_well(browser, tmp_path):
    """Of an empty cohort, and of one patient without anything."""
    sources: dict[str, list[Any]] = {
        "none": [patient("p1")],
        "one": [patient("p1"), procedure("x1", "2016-01-10")],
    }
    for name, resources in sources.items():
        source = folder(tmp_path / name / "in", {"all.ndjson": resources})
        target = tmp_path / name / "out"
        ran = cli("cohort", source, target, "--as-of", AS_OF)
        assert ran.code == 0, ran.err
        found = opened(browser, target / "report.html")
        assert found.console == []
        assert found.page.locator("h2").all_inner_texts() == SECTIONS
        assert "The source holds no Condition" in found.page.inner_text("main")
        found.page.context.close()
