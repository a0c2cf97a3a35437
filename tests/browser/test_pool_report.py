"""The report of pooled hospitals in a browser: offline, whole, without barriers."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.browser.test_report import Opened, opened
from tests.unit.inputs import AS_OF, COHORT, cli


@pytest.fixture(scope="module")
def report(browser, tmp_path_factory) -> Iterator[Opened]:
    place = tmp_path_factory.mktemp("pooled")
    for name, *options in (("rows", "--no-report"), ("shown", "--aggregate-only", "--no-report")):
        assert cli("cohort", COHORT, place / name, "--as-of", AS_OF, *options).code == 0
    assert cli("pool", place / "rows", place / "shown", place / "out").code == 0
    found = opened(browser, place / "out" / "pool.html")
    yield found
    found.page.context.close()


def test_it_opens_without_a_network(report):
    assert report.console == []
    asked = [url for url in report.requests if not url.startswith("data:")]
    assert asked == [report.file.as_uri()]


def test_sections_and_figures_are_whole(report):
    page = report.page
    sections = ["Sites", "Baseline characteristics", "Rates", "Time to event", "Methods"]
    assert page.locator("h2").all_inner_texts() == sections
    for link in page.locator("nav a").all():
        assert page.locator(link.get_attribute("href")).count() == 1
    images = page.locator("figure img").all()
    assert len(images) >= 7
    for image in images:
        assert image.evaluate("one => one.complete && one.naturalWidth > 100")
        assert len(image.get_attribute("alt")) > 20


def test_no_barrier_is_found(report):
    found = Axe().run(report.page)
    serious = [
        (one["id"], [node["html"] for node in one["nodes"]][:2])
        for one in found.response["violations"]
        if one["impact"] in ("serious", "critical", "moderate")
    ]
    assert serious == []
