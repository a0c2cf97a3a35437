"""The documentation as a site: built strictly, complete, searchable, and without the network."""

import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from .site import ROOT, build_site

DOCS = ROOT / "docs"
#: Elements that a browser loads without being asked, and the attribute that says from where.
LOADED = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "object": "data",
}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built site."""
    folder = tmp_path_factory.mktemp("site")
    build_site(folder)
    return folder


class Loads(HTMLParser):
    """Collects what a page loads."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        address = dict(attributes).get(LOADED.get(tag, ""))
        if address and dict(attributes).get("rel") not in ("canonical", "next", "prev"):
            self.found.append(address)


def loaded(page):
    parser = Loads()
    parser.feed(page.read_text(encoding="utf-8"))
    return parser.found


def test_every_page_is_in_the_site(site):
    pages = [page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")]
    pages += map(Path, ("readme.html", "contributing.html", "changelog.html", "security.html"))
    missing = [page for page in pages if not (site / page).exists()]
    assert not missing
    assert (site / "license.txt").read_bytes() == (ROOT / "LICENSE").read_bytes()
    assert not list(site.rglob("*.py"))


def test_pages_can_be_searched(site):
    index = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    assert {
        "glossary.html",
        "reference/endpoints/phoenix.html",
        "explanation/how-it-works.html",
    } <= found
    # Pages that are opened as files read the index as a script.
    assert (site / "search/search_index.js").read_text(encoding="utf-8").startswith("var __index")


def test_no_page_loads_anything_from_the_network(site):
    pages = list(site.rglob("*.html"))
    assert len(pages) > 40
    for page in pages:
        addresses = loaded(page)
        assert addresses, page.name
        for address in addresses:
            assert not re.match(r"(https?:)?//", address), f"{page.name}: {address}"
            if page.name != "404.html" and not address.startswith("data:"):
                assert (page.parent / address.partition("?")[0]).exists(), f"{page.name}: {address}"
    for sheet in site.rglob("*.css"):
        found = re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", sheet.read_text("utf-8"))
        assert not found, sheet.name
    # The theme's script loads Mermaid from the network where a page has such a block.
    assert not [page.name for page in pages if 'class="mermaid"' in page.read_text("utf-8")]


def test_diagram_of_how_it_works_is_shown(site):
    page = site / "explanation/how-it-works.html"
    assert "how-it-works-1.svg" in loaded(page)
    picture = (site / "explanation/how-it-works-1.svg").read_text(encoding="utf-8")
    for package in ("sources/", "extract/", "record/", "endpoints/", "publish/"):
        assert package in picture


def test_diagrams_are_up_to_date():
    command = [sys.executable, str(DOCS / "render_diagrams.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_makefile_builds_the_site_strictly():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"mkdocs build .*--strict", makefile)
