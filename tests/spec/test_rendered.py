"""The reference pages agree with the catalogue and the tables."""

import pytest

from fhircryo.endpoints.catalogue import CATALOGUE

from . import render
from .rows import Table, tables


def test_pages_are_up_to_date() -> None:
    assert render.stale() == [], "out of date: run make docs"


def test_catalogue_is_in_the_index() -> None:
    index = render.rendered()["index.md"]
    assert all(f"| `{endpoint.key}` |" in index for endpoint in CATALOGUE)


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.name)
def test_table_has_a_page_with_every_row(table: Table) -> None:
    pages = render.rendered()
    page = pages[f"{render.page_name(table)}.md"]
    assert all(f"\n| {row.id} |" in page for row in table.rows)
    rows = [line for line in page.splitlines() if line.startswith("|")]
    assert {line.replace("\\|", "").count("|") for line in rows} == {5}
    assert f"({render.page_name(table)}.md) | {len(table.rows)} |" in pages["index.md"]


@pytest.mark.parametrize("change", ["missing", "changed", "left over"])
def test_stale_page_is_found(change: str, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(render, "FOLDER", tmp_path)
    assert render.main([]) == 0
    assert render.main(["--check"]) == 0
    page = tmp_path / ("old.md" if change == "left over" else "phoenix.md")
    if change == "missing":
        page.unlink()
    else:
        page.write_text("changed", "utf-8")
    assert render.main(["--check"]) == 1
    assert render.stale() == [page.name]
    assert render.main([]) == 0
    assert render.stale() == []
