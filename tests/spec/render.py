"""Render the reference of the endpoints from the catalogue and the tables.

``python -m tests.spec.render`` writes it, ``--check`` compares it with what is there.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from fhircryo.endpoints.catalogue import CATALOGUE

from .rows import AS_OF, D0, Row, Table, tables

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "endpoints.md"

_INTRODUCTION = """\
# Endpoints

What is computed, and every rule of it as a case that runs as a test. The page is rendered from the
catalogue and from the tables in `tests/spec/tables/` (`python -m tests.spec.render`): change those,
not this page.

## Catalogue

`prom-score` and `prom-change` exist once per instrument and time point; the instrument is part of
the code (`prom-score-iief-5`), the time point is a component.
"""

_READING = f"""\
## How to read the tables

Each row is one patient. Where it says nothing else, the index procedure `Procedure/x1` is on D0 =
{D0} and the data are cut at {AS_OF} (as-of). Resources are called a, b, c ... (PSA), c1
(Condition), s1 (disease status), ae1 (AdverseEvent), g1 (grading), q1 (QuestionnaireResponse), o1
(a score as an Observation), t1 (therapy) in the order given. A PSA without a unit is in ng/mL, a
status that is not named is the usual one (`final`, `completed`, `active`). A result `a..b` is a
period; `-` means that nothing is published, or not reported, or of a component that there is none;
`[final]` and `[preliminary]` are the status; a reason with `(used)` is only noted, the resource is
used. Only what a row is about is shown: the patient has all other endpoints as well.
"""


def _escaped(text: str) -> str:
    """Text as it may stand in a cell of a Markdown table."""
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
        [f"`{one.key}`", _escaped(one.words), _escaped(one.value_type.words), _escaped(one.window)]
        for one in CATALOGUE
    )
    yield from _table(["key", "what it says", "value", "window"], rows)


_NAMES = {
    "psa": "PSA",
    "conditions": "condition",
    "progression": "disease status",
    "adverse_events": "adverse event",
    "gradings": "grading",
    "responses": "response",
    "scores": "score",
    "procedures": "procedure",
    "therapies": "therapy",
}


def _nested(content: object, path: str = "") -> Iterator[str]:
    """The leaves of nested settings as ``a.b: value``."""
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _nested(value, f"{path}.{key}" if path else str(key))
    else:
        value = ", ".join(map(_one, content)) if isinstance(content, list) else content
        yield f"{path}: {value}" if path else str(value)


def _one(content: object) -> str:
    """An element of a list; of several words, without what says where they were verified."""
    if isinstance(content, dict):
        return " ".join(
            f"{key} {_one(value)}" for key, value in content.items() if key != "verified"
        )
    return " or ".join(map(_one, content)) if isinstance(content, list) else str(content)


def _facts(row: Row) -> Iterator[str]:
    """What is known of the patient, in short."""
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
    for kind, changed in changes:
        for words in _nested(changed):
            yield f"{kind} {words}"


def _source(row: Row) -> Iterator[str]:
    """What is special about the source of a row."""
    if row.patient is False:
        yield "no Patient resource"
    if row.resources:
        given = (f"{one['resourceType']}/{one.get('id', '')}".rstrip("/") for one in row.resources)
        yield f"as in the table's file: {', '.join(given)}"
    for line in row.lines:
        yield f"line {line}"
    for kind in row.lacking:
        yield f"no other {kind} in the source"
    if row.exclude:
        yield f"excluded: {', '.join(row.exclude)}"


def _outcome(row: Row) -> Iterator[str]:
    for key, words in row.expect.items():
        yield f"`{key}` {_escaped(words)}"
    for name, words in row.reasons.items():
        yield f"{_escaped(name)}: {_escaped(words)}"


def _row(row: Row) -> list[str]:
    facts = "<br>".join(_escaped(words) for words in _facts(row)) or "-"
    as_of = "" if row.as_of == AS_OF else row.as_of
    return [row.id, _escaped(row.say), facts, as_of, "<br>".join(_outcome(row))]


def _topic(table: Table) -> Iterator[str]:
    yield f"## {table.title}"
    yield ""
    yield table.about
    yield ""
    heads = ["case", "what it shows", "facts", "as-of", "result"]
    yield from _table(heads, (_row(row) for row in table.rows))


def rendered() -> str:
    """The page."""
    lines = [_INTRODUCTION, *_catalogue(), _READING]
    for table in tables():
        lines.extend(_topic(table))
    return "\n".join(lines).rstrip() + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` say whether it is stale (exit code 1)."""
    if arguments == ["--check"]:
        fresh = PAGE.exists() and PAGE.read_text("utf-8") == rendered()
        print("up to date" if fresh else f"{PAGE.name} is stale: python -m tests.spec.render")
        return 0 if fresh else 1
    if arguments:
        print(__doc__)
        return 2
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(rendered(), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
