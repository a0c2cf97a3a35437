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


HEADING = "patient,endpoint,time_point,computed,decision,reviewed,comment,reviewer,at"
#: The first endpoint of the first patient of the index.
FIRST = "document.querySelector('.entries li')"


def key_of_first(page) -> str:
    return page.evaluate(f"(one => [one.patient, one.endpoint, one.timePoint])({FIRST}.dataset)")


def loaded(page, file: Path) -> str:
    """What the page says after it was given a file."""
    page.evaluate("document.getElementById('status').textContent = ''")
    page.set_input_files("#load", file)
    page.locator("#status:not(:empty)").wait_for()
    return page.inner_text("#status")


def test_a_downloaded_file_is_loaded_by_another_browser(pages, page, browser, tmp_path):
    page.goto((pages / "patients" / "00002.html").as_uri())
    page.fill("#reviewer", "A B")
    page.locator("#reviewer").blur()
    second = page.locator(".endpoint").nth(1)
    second.locator("input[value=disagreed]").check()
    second.locator("input[type=text]").fill("=0.2")
    second.locator("textarea").fill('two "marks", one\nline')
    second.locator("textarea").blur()
    page.locator(".endpoint").nth(0).locator("input[value=agreed]").check()
    with page.expect_download() as download:
        page.click("#download")
    file = tmp_path / "decisions.csv"
    download.value.save_as(file)
    context = browser.new_context(accept_downloads=True)
    other = context.new_page()
    other.goto((pages / "index.html").as_uri())
    assert loaded(other, file) == "2 decisions of A B were restored."
    assert other.input_value("#reviewer") == "A B"
    assert other.locator('.entries li[data-decided="yes"]').count() == 2
    with other.expect_download() as again:
        other.click("#download")
    again.value.save_as(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == file.read_bytes()
    assert loaded(other, file).startswith("0 decisions of A B were restored, and 2 kept")
    context.close()


def test_the_newest_mark_counts(pages, page, tmp_path):
    page.goto((pages / "index.html").as_uri())
    patient, endpoint, point = key_of_first(page)

    def file(decision: str, at: str, by: str = "AB") -> Path:
        path = tmp_path / "decisions.csv"
        line = f"{patient},{endpoint},{point},Y,{decision},,,{by},{at}"
        path.write_text(f"\ufeff{HEADING}\r\n{line}\r\n", encoding="utf-8")
        return path

    decided = page.locator(".entries li").first.locator(".decided")
    loaded(page, file("agreed", "2026-02-01T00:00:00.000Z"))
    assert "agreed" in decided.inner_text()
    assert "and 1 kept" in loaded(page, file("disagreed", "2026-01-01T00:00:00.000Z"))
    assert "disagreed" not in decided.inner_text()
    # One hour later, although its text is in order before the other one.
    loaded(page, file("disagreed", "2026-02-01T02:00:00+01:00"))
    assert "disagreed" in decided.inner_text()
    # Those of another reviewer are kept apart.
    assert "of CD were restored" in loaded(page, file("agreed", "2026-03-01T00:00:00Z", "CD"))
    assert "disagreed" in decided.inner_text()


GOOD = "{},{},{},Y,agreed,,,AB,2026-05-01T00:00:00Z"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "first line is not that of a file of decisions"),
        ("a,b\n1,2\n", "first line is not that of a file of decisions"),
        (f"{HEADING}\n{GOOD}\n{GOOD[:-1]}X", "decision 2 is damaged"),
        (f"{HEADING}\n{GOOD}\nonly,three,cells", "decision 2 is damaged"),
        (f"{HEADING}\n{GOOD}\n{GOOD.replace('agreed', 'perhaps')}", "decision 2 is damaged"),
        (f'{HEADING}\n{GOOD}\n"cut short', "its end is missing"),
        (f"{HEADING}\n{GOOD}\n".encode() + b"\xff", "cannot be read as text"),
        (f"{HEADING}\n{GOOD.replace('{},', 'nobody,', 1)}", "1 are left out"),
        (HEADING, "has no decisions"),
    ],
)
def test_a_foreign_or_damaged_file_changes_nothing(content, words, pages, page, tmp_path):
    page.goto((pages / "index.html").as_uri())
    key = key_of_first(page)
    file = tmp_path / "decisions.csv"
    first = f"{HEADING}\n{GOOD}".format(*key).replace("2026-05", "2026-04")
    file.write_text(first, encoding="utf-8")
    assert "1 decisions of AB were restored" in loaded(page, file)
    before = page.evaluate("JSON.stringify(localStorage)")
    if isinstance(content, str):
        content = content.replace("{},{},{}", ",".join(key)).replace("{}", key[0]).encode()
    else:
        content = content.replace(b"{},{},{}", ",".join(key).encode())
    file.write_bytes(content)
    assert words in loaded(page, file)
    assert page.evaluate("JSON.stringify(localStorage)") == before


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
