"""The pages of a review in a browser: marking, keeping, filtering, downloading."""

from pathlib import Path

import pytest

from fhircryo.research.reviewed import read_decisions
from tests.unit.inputs import AS_OF, COHORT, cli


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("pages") / "review"
    assert cli("review", COHORT, target, "--as-of", AS_OF).code == 0
    return target


@pytest.fixture
def page(browser):
    """A page that notes errors and requests to other places."""
    context = browser.new_context(accept_downloads=True)
    opened = context.new_page()
    wrong: list[str] = []
    opened.on("pageerror", lambda error: wrong.append(str(error)))
    opened.on("console", lambda message: wrong.append(message.text))
    opened.on(
        "request",
        lambda asked: (
            None if asked.url.startswith(("file:", "data:", "blob:")) else wrong.append(asked.url)
        ),
    )
    yield opened
    context.close()
    assert wrong == []


def test_decisions_are_kept_and_downloaded(pages, page, tmp_path):
    page.goto((pages / "patients" / "00002.html").as_uri())
    page.fill("#reviewer", "A B")
    page.locator("#reviewer").blur()
    second = page.locator(".endpoint").nth(1)
    second.locator("input[value=disagreed]").check()
    second.locator("input[type=text]").fill("=0.2")
    second.locator("textarea").fill('two "marks", one\nline')
    second.locator("textarea").blur()
    page.locator(".endpoint").nth(0).locator("input[value=agreed]").check()
    page.reload()
    assert second.locator("input[type=text]").input_value() == "=0.2"
    assert second.get_attribute("data-decision") == "disagreed"
    with page.expect_download() as download:
        page.click("#download")
    file = tmp_path / download.value.suggested_filename
    assert file.name == "decisions-A_B.csv"
    download.value.save_as(file)
    found = {one.endpoint: one for one in read_decisions([file])}
    assert len(found) == 2
    assert found["psa-nadir"].value == "=0.2"
    assert found["psa-nadir"].comment == 'two "marks", one\nline'
    assert found["technical-success"].decision == "agreed"


def test_nothing_is_marked_without_a_reviewer(pages, page):
    page.goto((pages / "patients" / "00003.html").as_uri())
    page.locator(".endpoint").nth(0).locator("input[value=agreed]").click()
    assert page.locator(".endpoint").nth(0).get_attribute("data-decision") == ""
    assert "Enter your name" in page.inner_text("#status")


def test_the_index_is_filtered(pages, page):
    page.goto((pages / "index.html").as_uri())
    assert page.inner_text("#count").startswith("62 patients")
    page.select_option("#by-endpoint", "psa-nadir")
    assert page.inner_text("#count") == "62 patients, 62 endpoints"
    page.select_option("#by-endpoint", "")
    page.select_option("#by-reason", "insufficient-psa")
    shown = page.locator("[data-row]:not(.hidden) li:not(.hidden)")
    assert 0 < shown.count() < 62
    assert all("insufficient-psa" in text for text in shown.all_inner_texts())


def test_the_pages_fit_a_phone(pages, page):
    page.set_viewport_size({"width": 390, "height": 800})
    for name in ("index.html", "patients/00002.html"):
        page.goto((pages / name).as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
