"""Render the reference of the endpoints: an index page, and one page per table of the spec.

``python -m tests.spec.render`` writes the pages; ``--check`` compares them with what is there.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from fhircryo.endpoints.catalogue import CATALOGUE
from fhircryo.setup.expectations.case import AS_OF, D0

from .rows import Row, Table, tables

FOLDER = Path(__file__).parents[2] / "docs" / "reference" / "endpoints"

#: A table whose own name would be that of the index page.
_PAGE_NAMES = {"index": "index-procedure"}

_INTRODUCTION = """\
# Endpoints

This section lists every endpoint that fhircryo computes, and every rule as a case. Each case runs
as a test.

The pages are generated from the endpoint catalogue and from the tables in `tests/spec/tables/`
(`make docs`). Edit those files, not the pages.
"""

_CATALOGUE = """\
## Catalogue

`prom-score` and `prom-change` exist once per instrument and time point. The instrument is part of
the code (`prom-score-iief-5`); the time point is a component.
"""

_READING = f"""\
## How to read the cases

Each row of a table is one patient. Unless the row says otherwise:

- The index procedure `Procedure/x1` is on D0 = {D0}.
- The data cut-off (as-of) is {AS_OF}.
- A PSA without a unit is in ng/mL.
- A status that is not given is the usual one (`final`, `completed`, `active`).

Resources are named in the order in which the row gives them:

| name | resource |
|---|---|
| a, b, c ... | PSA results |
| c1, c2 ... | Conditions |
| s1 ... | disease status |
| f1 ... | findings: other Observations that state an event |
| d1 ... | causes of death |
| m1 ... | measures: Observations of baseline characteristics |
| ae1 ... | AdverseEvents |
| g1 ... | gradings |
| q1 ... | QuestionnaireResponses |
| o1 ... | scores recorded as Observations |
| t1 ... | therapies |

The last column gives the expected results and reasons:

| notation | meaning |
|---|---|
| `a..b` | a period |
| `-` | The endpoint is not published, the resource is not reported, or the component is absent. |
| `<1` | The value is only known as a limit. |
| `143..235 d event` | The time of the event is only known as an interval. |
| `[final]`, `[preliminary]` | the status of the result |
| a reason with `(used)` | The reason is only a note; the resource is used. |

A row shows only the results that it tests. The patient has all other endpoints as well.
"""


def _escaped(text: str) -> str:
    """Text escaped for a cell of a Markdown table."""
    for sign, escaped in (("\\", "\\\\"), ("|", "\\|"), ("*", "\\*"), ("_", "\\_")):
        text = text.replace(sign, escaped)
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _table(heads: list[str], rows: Iterator[list[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(row) + " |"
    yield ""


def _catalogue() -> Iterator[str]:
    rows = (
        [
            f"`{endpoint.key}`",
            _escaped(endpoint.words),
            _escaped(endpoint.value_type.words),
            _escaped(endpoint.window),
        ]
        for endpoint in CATALOGUE
    )
    yield from _table(["key", "what it says", "value", "window"], rows)


_NAMES = {
    "psa": "PSA",
    "conditions": "condition",
    "progression": "disease status",
    "findings": "finding",
    "causes": "cause of death",
    "measures": "measure",
    "adverse_events": "adverse event",
    "gradings": "grading",
    "responses": "response",
    "scores": "score",
    "procedures": "procedure",
    "therapies": "therapy",
}


def _nested(content: object, path: str = "") -> Iterator[str]:
    """Every value of nested settings as ``a.b: value``."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _nested(value, f"{path}.{key}" if path else str(key))
    else:
        value = ", ".join(map(_element, content)) if isinstance(content, list) else content
        yield f"{path}: {value}" if path else str(value)


def _element(content: object) -> str:
    """An element of a list of settings as words; the key ``verified`` is left out."""
    if isinstance(content, dict):
        return " ".join(
            f"{key} {_element(value)}" for key, value in content.items() if key != "verified"
        )
    return " or ".join(map(_element, content)) if isinstance(content, list) else str(content)


def _facts(row: Row) -> Iterator[str]:
    """The facts of a patient and the as-of date in shorthand."""
    if row.as_of != AS_OF:
        yield f"as-of {row.as_of}"
    if row.d0 != D0:
        yield f"D0 {row.d0}"
    if row.index is not None:
        yield f"index {'; '.join(row.index) or 'none'}"
    for key, name in _NAMES.items():
        if lines := getattr(row, key):
            yield f"{name} {'; '.join(lines)}"
    if row.death is not None:
        yield f"death {str(row.death).lower() if isinstance(row.death, bool) else row.death}"
    yield from _source(row)
    changes = (("protocol", row.protocol), ("mappings", row.mappings), ("setting", row.settings))
    for name, changed in changes:
        for words in _nested(changed):
            yield f"{name} {words}"


def _source(row: Row) -> Iterator[str]:
    """The ways in which the source of a row differs from the usual one."""
    if row.patient is False:
        yield "no Patient resource"
    elif isinstance(row.patient, dict):
        for words in _nested(row.patient):
            yield f"patient {words}"
    if row.resources:
        names = (
            f"{resource['resourceType']}/{resource.get('id', '')}".rstrip("/")
            for resource in row.resources
        )
        yield f"as in the table's file: {', '.join(names)}"
    for line in row.lines:
        yield f"line {line}"
    for resource_type in row.lacking:
        yield f"no other {resource_type} in the source"
    if row.exclude:
        yield f"excluded: {', '.join(row.exclude)}"


def _outcome(row: Row) -> Iterator[str]:
    for key, words in row.expect.items():
        yield f"`{key}` {_escaped(words)}"
    for name, words in row.characteristics.items():
        yield f"{_escaped(name)} {_escaped(words)}"
    for name, words in row.reasons.items():
        yield f"{_escaped(name)}: {_escaped(words)}"


def _row(row: Row) -> list[str]:
    facts = "<br>".join(_escaped(words) for words in _facts(row)) or "-"
    return [row.id, _escaped(row.say), facts, "<br>".join(_outcome(row))]


def page_name(table: Table) -> str:
    """The name of a table's page, without its suffix."""
    topic = table.name.partition("-")[2]
    return _PAGE_NAMES.get(topic, topic)


def _index_page() -> str:
    contents = (
        [f"[{table.title}]({page_name(table)}.md)", str(len(table.rows))] for table in tables()
    )
    lines = [
        _INTRODUCTION,
        "## Rules and cases\n",
        *_table(["page", "cases"], contents),
        _CATALOGUE,
        *_catalogue(),
        _READING,
    ]
    return "\n".join(lines).rstrip() + "\n"


def _table_page(table: Table) -> str:
    heads = ["case", "what it shows", "facts", "result"]
    lines = [
        f"# {table.title}\n",
        table.about,
        "",
        "[How to read the cases](index.md#how-to-read-the-cases)",
        "",
        *_table(heads, (_row(row) for row in table.rows)),
    ]
    return "\n".join(lines).rstrip() + "\n"


def rendered() -> dict[str, str]:
    """The content of every page by its file name."""
    pages = {f"{page_name(table)}.md": _table_page(table) for table in tables()}
    return {"index.md": _index_page()} | pages


def stale() -> list[str]:
    """The file names of the pages that are missing, out of date, or of no table."""
    there = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.md")}
    pages = rendered()
    return sorted(name for name in there | pages if there.get(name) != pages.get(name))


def main(arguments: list[str]) -> int:
    """Write the pages, or with ``--check`` name those that are out of date (exit code 1)."""
    if arguments == ["--check"]:
        names = stale()
        print(f"out of date, run make docs: {', '.join(names)}" if names else "up to date")
        return 1 if names else 0
    if arguments:
        print(__doc__)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    pages = rendered()
    for path in FOLDER.glob("*.md"):
        if path.name not in pages:
            path.unlink()
    for name, content in pages.items():
        (FOLDER / name).write_text(content, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
