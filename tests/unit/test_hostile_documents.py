"""The documents of a cohort and a draft overlay: what protocols and sources say stays text.

Each document is parsed by a library, and compared with the one that harmless words make.
"""

import json
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import markdown as python_markdown
import pytest
import yaml
from markdown_it import MarkdownIt

from fhircryo.research.quoting import markdown, plain
from tests.unit import inputs
from tests.unit.hostile_text import HOSTILE, MARKUP

EVIL = f"{MARKUP}{HOSTILE}\n\n# A heading\n\n- {MARKUP}"
HARMLESS = "harmless words"
AS_OF = ("--as-of", "2017-12-31")


def _record(words: str) -> list[inputs.Resource]:
    kind = {"coding": [{"system": "urn:site", "code": "k1", "display": words}], "text": words}
    return [
        inputs.patient("p1", birthDate="1950-01-01"),
        inputs.procedure("x1"),
        inputs.psa("a0", "2015-12-01", 4.0),
        inputs.psa("a1", "2016-03-01", 0.4),
        inputs.psa("a2", "2016-12-10", 3.5),
        inputs.condition("c1", "2017-01-01"),
        inputs.adverse_event("e1", "2016-01-20", event=kind),
        inputs.response("r1", "2016-01-01", [1, 2, 3, 4, 5]),
        inputs.lab("l1", code={"text": words}),
        inputs.lab("l2", code={"coding": [{"system": words, "code": words, "display": words}]}),
        inputs.procedure("x2", code={"coding": [{"system": words, "code": words}], "text": words}),
        inputs.adverse_event("e2", "2016-01-21", extension=[{"url": words, "valueString": words}]),
        inputs.response("r2", "2016-02-01", [1, 2], questionnaire=words, identifier=None),
    ]


def _protocol(folder: Path, words: str) -> Path:
    text = inputs.cli("protocols", "show", "bomers-2020", "--with-published").out
    content = yaml.safe_load(text) | {"id": "ours", "version": words, "title": words}
    content["source"] = words
    file = folder / "protocol.yaml"
    file.write_text(json.dumps(content, default=str), encoding="utf-8")
    return file


def _overlay(folder: Path, words: str) -> Path:
    code = {"system": "urn:site", "code": "k1", "display": words, "verified": words}
    file = folder / "overlay.yaml"
    content = {"complication_kinds": {"ours": {"words": words, "codes": [code]}}}
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


@pytest.fixture(scope="module", params=["--identified", "--aggregate-only"])
def folders(request, tmp_path_factory) -> tuple[Path, Path]:
    """A cohort of harmless and one of hostile words."""
    made = []
    for words in (HARMLESS, EVIL):
        base = tmp_path_factory.mktemp("documents")
        source = inputs.folder(base / "in", {"a.ndjson": _record(words)})
        how = ("--protocol", _protocol(base, words), "--mappings", _overlay(base, words))
        more = ("--yes",) if request.param == "--identified" else ()
        done = inputs.cli("cohort", source, base / "out", *AS_OF, *how, request.param, *more)
        assert done.code == 0, done.err
        made.append(base / "out")
    return made[0], made[1]


# ------------------------------------------------------------------ Markdown


class _Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        #: The contents of the scripts: the drawings and the programs.
        self.scripts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts.append(data)
        else:
            self.text += data

    def handle_comment(self, data: str) -> None:
        self.elements.append("comment")


def _rendered(text: str) -> list[_Page]:
    """Markdown as two libraries show it, with tables and links."""
    common = MarkdownIt("gfm-like", {"linkify": False})
    return [
        _Page(common.render(text)),
        _Page(python_markdown.markdown(text, extensions=["tables", "attr_list"])),
    ]


@pytest.mark.parametrize("text", [EVIL, MARKUP, HOSTILE, "a_b*c", "1. x", "\\", "&lt;", "<b>"])
def test_a_text_in_markdown_shows_itself(text: str):
    common = _Page(MarkdownIt("commonmark").render(f"Version ({markdown(text)})."))
    assert common.elements == ["p"]
    assert common.text.strip() == f"Version ({plain(text)})."


@pytest.mark.slow
def test_the_methods_section(folders):
    harmless, hostile = ((folder / "methods.md").read_text("utf-8") for folder in folders)
    assert markdown(EVIL) in hostile
    assert all(line.isprintable() for line in hostile.split("\n"))
    for safe, page in zip(_rendered(harmless), _rendered(hostile), strict=True):
        assert page.elements == safe.elements
        assert set(page.elements) == {"h1", "p"}


@pytest.mark.slow
def test_the_words_of_a_protocol_are_not_changed_where_they_are_plain(folders):
    assert f"({HARMLESS})" in (folders[0] / "methods.md").read_text("utf-8")


# ------------------------------------------------------------------ HTML and SVG


@pytest.mark.slow
def test_the_report(folders):
    harmless, hostile = (_Page((folder / "report.html").read_text("utf-8")) for folder in folders)
    assert hostile.elements == harmless.elements
    # The programs are ours and the same; what is drawn is data, in which no element can end.
    programs = [script for script in hostile.scripts if not script.startswith("{")]
    drawings = [script for script in hostile.scripts if script.startswith("{")]
    assert programs == [script for script in harmless.scripts if not script.startswith("{")]
    assert hostile.elements.count("script") == len(programs) + len(drawings)
    assert len(programs) == 2
    for drawing in drawings:
        assert json.loads(drawing)["spec"]
        assert not set("<>&") & set(drawing)
        assert drawing.isascii()
    assert [name for name, _ in hostile.attributes] == [name for name, _ in harmless.attributes]
    for name, value in hostile.attributes:
        assert not name.startswith("on")
        if name in ("href", "src"):
            assert (value or "").startswith(("#", "data:,", "data:image/svg+xml;base64,"))
    assert "<script>alert(1)</script>" in hostile.text
    assert all(line.isprintable() for line in hostile.text.split("\n"))


@pytest.mark.slow
def test_the_figures(folders):
    files = sorted((folders[1] / "figures").glob("*.svg"))
    assert files
    for file in files:
        for element in ElementTree.parse(file).iter():
            name = element.tag.split("}")[-1]
            assert name not in ("script", "foreignObject", "a", "animate"), file
            for key, value in element.attrib.items():
                assert not key.split("}")[-1].startswith("on"), file
                if key.endswith("href"):
                    assert value.startswith(("#", "data:image/png;base64,")), file


def test_a_figure_shows_outside_text_as_it_is():
    from fhircryo.research.report import vega

    words = f"{{datum.x}} \u202eturned \x1b[0m \ud800 {MARKUP}"
    spec = vega.drawing(
        data=vega.rows(("words",), [(words,)]),
        mark="text",
        encoding={"text": {"field": "words"}, "color": vega.name("words")},
        title=vega.rows(("words",), [(words,)])["values"][0]["words"],
    )
    root = ElementTree.fromstring(vega.as_svg(spec))
    shown = "".join(root.itertext())
    assert shown.count("<script>alert(1)</script>") >= 2
    assert "{datum.x}" in shown
    assert all(line.isprintable() for line in shown.split("\n"))
    assert not any(element.tag.endswith("}script") for element in root.iter())


# ------------------------------------------------------------------ JSON and YAML


@pytest.mark.slow
def test_the_json_files(folders):
    for file in folders[1].rglob("*.json"):
        text = file.read_text("utf-8")
        assert json.loads(text)
        assert all(line.isprintable() for line in text.split("\n")), file


@pytest.mark.slow
def test_a_draft_overlay_holds_nothing_until_a_person_removes_a_mark(tmp_path):
    grade = {"url": EVIL, "valueString": f"Clavien-Dindo II {EVIL}"}
    antigen = {"system": EVIL, "code": EVIL, "display": f"Prostate specific antigen {EVIL}"}
    candidates = [
        inputs.adverse_event("e3", "2016-01-21", severity=None, extension=[grade]),
        inputs.lab("l3", code={"coding": [antigen]}, valueQuantity={"value": 1, "unit": EVIL}),
    ]
    source = inputs.folder(tmp_path / "in", {"a.ndjson": [*_record(EVIL), *candidates]})
    draft = tmp_path / "draft.yaml"
    done = inputs.cli("mappings", "survey", source, "--draft", draft)
    assert done.code == 0, done.err
    text = draft.read_text("utf-8")
    assert yaml.safe_load(text) is None
    assert all(line.isprintable() and line[:1] in ("", "#") for line in text.split("\n"))
    assert "onerror" in text
