"""The report in a browser: it opens offline, is whole, and can be read without seeing it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page

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
        assert (report.file.parent / "figures" / f"{name}.svg").read_bytes().startswith(b"<svg")
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
    assert all(image.is_visible() for image in page.locator("figure img").all())
    assert not any(live.is_visible() for live in page.locator(".live, .controls").all())
    printed = page.pdf(path=tmp_path / "report.pdf", format="A4", prefer_css_page_size=True)
    assert printed.startswith(b"%PDF")
    page.emulate_media(media="screen")


def test_nothing_is_cut_off_on_a_small_screen(report):
    page = report.page
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.set_viewport_size({"width": 1100, "height": 1400})


def drawn(page: Page, name: str) -> Locator:
    """A figure that the browser has drawn."""
    figure = page.locator(f"#figure-{name}")
    figure.scroll_into_view_if_needed()
    page.wait_for_selector(f"#figure-{name}.drawn")
    return figure


def test_values_are_read_off_a_curve(report):
    if hidden(report):
        drawn(report.page, "completeness").locator(".live .mark-rect path").first.hover()
        words = ("Instrument", "Expected", "Per cent")
    else:
        drawn(report.page, "survival-time-to-biochemical-failure").locator(".live svg").hover()
        words = ("Months", "At risk", "95 % from")
    tooltip = report.page.locator("#vg-tooltip-element")
    tooltip.wait_for(state="visible")
    shown = tooltip.inner_text()
    assert all(word in shown for word in words), shown
    assert re.search(rf"{words[1]}:?\s+\d+", shown)
    report.page.mouse.move(0, 0)


def test_a_patient_is_highlighted_in_all_figures(report):
    page = report.page
    if hidden(report):
        assert page.locator("input[list]").count() == 0
        return
    courses, follow_up = drawn(page, "psa-courses"), drawn(page, "follow-up")
    patient = page.locator("datalist option").first.get_attribute("value")
    field = courses.locator("input[type=search]")
    pale = "[opacity='0.12']"
    assert courses.locator(f".live {pale}").count() == 0
    field.fill(patient[:2])
    assert courses.locator(f".live {pale}").count() == 0
    field.fill(patient)
    page.wait_for_selector(f"#figure-psa-courses .live {pale}")
    assert courses.locator(f".live path[stroke='#0072b2']:not({pale})").count() >= 1
    assert follow_up.locator("input[type=search]").input_value() == patient
    page.wait_for_selector("#figure-follow-up .live [opacity='0.1']", state="attached")
    field.fill("")
    page.wait_for_selector(f"#figure-psa-courses .live {pale}", state="detached")


def test_groups_are_switched_by_keyboard(browser, tmp_path):
    ran = cli("cohort", COHORT, tmp_path / "out", "--as-of", AS_OF, "--by", "prior_radiotherapy")
    assert ran.code == 0, ran.err
    found = opened(browser, tmp_path / "out" / "report.html")
    figure = drawn(found.page, "groups-time-to-biochemical-failure")
    lines = figure.locator(".live .mark-line path")
    before = lines.count()
    box = figure.get_by_role("checkbox", name="brachytherapy")
    box.focus()
    found.page.keyboard.press("Space")
    found.page.wait_for_function(
        "n => document.querySelectorAll("
        "'#figure-groups-time-to-biochemical-failure .live .mark-line path').length < n",
        arg=before,
    )
    assert not box.is_checked()
    found.page.keyboard.press("Space")
    assert box.is_checked()
    assert found.console == []
    found.page.context.close()


def test_tables_are_sorted_and_searched(report):
    page = report.page
    table = page.locator("table", has=page.locator("caption", has_text="In how many of"))
    first = table.locator("tbody tr th")
    before = first.all_inner_texts()
    head = table.get_by_role("columnheader", name="Endpoint")
    head.get_by_role("button").focus()
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "ascending"
    ordered = first.all_inner_texts()
    assert ordered != before
    assert ordered == sorted(before, key=str.lower)
    page.keyboard.press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")
    assert first.all_inner_texts() == before
    known = table.get_by_role("columnheader").nth(2)
    known.get_by_role("button").click()
    numbers = [int(text) for text in table.locator("td.n").all_inner_texts() if text.isdigit()]
    assert numbers == sorted(numbers)
    search = page.get_by_label("Search: In how many of")
    search.fill("SURVIVAL")
    assert 0 < len([row for row in first.all() if row.is_visible()]) < len(before)
    assert " rows" in page.locator("p", has=search).get_by_role("status").inner_text()
    search.fill("")


def test_reasons_are_explained(report):
    page = report.page
    told = page.locator(".reasons dt").all_inner_texts()
    if hidden(report):
        assert told == []
        return
    assert "inconclusive-psa" in told
    assert all(page.locator(".reasons dd").all_inner_texts())


def test_everything_is_there_without_scripts(report, browser):
    context = browser.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(report.file.as_uri())
    images = page.locator("figure img")
    assert images.count() == report.page.locator("figure").count()
    assert all(image.is_visible() for image in images.all())
    assert page.locator("button, input").count() == 0
    context.close()


def hidden(report: Opened) -> bool:
    """Whether the report shows aggregates alone."""
    return "Aggregate only" in report.page.inner_text("header")


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
