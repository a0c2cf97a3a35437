"""Rows of PSA results as every reader has to give them, and how two readers' rows are compared."""

from collections import Counter
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

#: Reference or id of the patient; day; value and unit as recorded.
Row = tuple[str, date | str, Decimal | float, str]


def line_of(row: Row) -> str:
    """A row as text: the same for the same content, whatever types a reader uses.

    Of a date with a time the day as written counts. Numbers are compared exactly: the shortest text
    of a float is the number that stood in the file.
    """
    patient, day, value, unit = row
    number = Decimal(str(value)).normalize()
    return f"{patient.removeprefix('Patient/')}\t{str(day)[:10]}\t{number:f}\t{unit}"


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    """Write rows in an order that does not depend on the reader's; how many there are."""
    lines = sorted(map(line_of, rows))
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return len(lines)


def difference(ours: Path, theirs: Path) -> str:
    """How the rows of two readers differ, in words; empty if they are the same."""
    mine, others = (
        Counter(path.read_text(encoding="utf-8").splitlines()) for path in (ours, theirs)
    )
    missing, more = mine - others, others - mine
    if not missing and not more:
        return ""
    words = f"{missing.total()} of {mine.total()} rows are missing, {more.total()} are others"
    examples = [f"{word} {min(rows)!r}" for word, rows in (("no", missing), ("but", more)) if rows]
    return f"{words}: {', '.join(examples)}"


def row_of(resource: dict[str, Any]) -> Row:
    """The row of an Observation as JSON."""
    quantity = resource["valueQuantity"]
    when = date.fromisoformat(resource["effectiveDateTime"][:10])
    return resource["subject"]["reference"], when, quantity["value"], quantity["unit"]


def pyrate_rows(bundle: Any) -> dict[str, list[dict[str, object]]]:
    """The values of a Bundle as functions for FHIR-PYrate give them: rows by type."""
    rows = [
        {
            "id": entry.resource.id,
            "patient": entry.resource.subject.reference,
            "day": entry.resource.effectiveDateTime,
            "value": entry.resource.valueQuantity.value,
            "unit": entry.resource.valueQuantity.unit,
        }
        for entry in bundle.entry or ()
    ]
    return {"Observation": rows}
