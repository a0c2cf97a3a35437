"""The reference page is what the catalogue and the tables say."""

from fhircryo.endpoints.catalogue import CATALOGUE

from .render import PAGE, rendered
from .rows import all_rows


def test_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == rendered(), "stale: python -m tests.spec.render"


def test_page_has_every_endpoint_and_every_row() -> None:
    page = rendered()
    assert all(f"| `{one.key}` |" in page for one in CATALOGUE)
    assert all(f"\n| {row.id} |" in page for row in all_rows())


def test_every_line_of_a_table_has_its_cells() -> None:
    rows = [line for line in rendered().splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5, 6}
