"""The decisions of reviewers on computed endpoints: read, joined to a cohort, and compared."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

import msgspec

from fhircryo.errors import UsageError
from fhircryo.research.baseline_columns import without_free_text
from fhircryo.research.cells import Row
from fhircryo.research.patient_columns import patient_key
from fhircryo.research.table import Column, ColumnType, Table

if TYPE_CHECKING:
    import pandas as pd

#: The table of decisions, and the columns of the file that ``review`` downloads.
REVIEWS = "reviews"
_FILE = (
    "patient",
    "endpoint",
    "time_point",
    "computed",
    "decision",
    "reviewed",
    "comment",
    "reviewer",
    "at",
)
DecisionWord = Literal["agreed", "disagreed"]
_DECISIONS = ("agreed", "disagreed")
_APOSTROPHE = "'"
#: The forms of values: a number or an interval with its unit and whether it is an event, yes or no,
#: a grade, and why a value is absent.
_VALUE = re.compile(
    r"(?:[<>]=?)?-?[0-9]{1,5}(?:\.[0-9]{1,6})?(?: \.\. [0-9]{1,5})?(?: [A-Za-z/%]{1,12})?"
    r"(?:, (?:event|censored))?|Y|N|none|[IVX]{1,4}[a-d]?|[A-F]"
    r"|absent(?: \([a-z-]{1,40}: [a-z-]{1,40}\))?"
)


class Decision(msgspec.Struct, frozen=True):
    """What a reviewer decided on an endpoint of a patient.

    ``computed``: the value that the reviewer saw; ``reviewed``: the value that it should be, empty
    where the reviewer agreed or gave none. ``at``: when, ISO 8601.
    """

    patient: str
    endpoint: str
    time_point: str
    computed: str
    decision: DecisionWord
    reviewed: str
    comment: str
    reviewer: str
    at: str

    @property
    def value(self) -> str:
        """The value that the reviewer takes for right; empty if it is not said."""
        return self.computed if self.decision == "agreed" else self.reviewed


class EndpointAgreement(msgspec.Struct, frozen=True):
    """How far reviewers agree with an endpoint as computed.

    ``kappa``: Cohen's, of computed and reviewed values; None where it is not defined, or where a
    reviewer disagreed without a value.
    """

    endpoint: str
    reviewed: int
    agreed: int
    kappa: float | None


class ReviewerAgreement(msgspec.Struct, frozen=True):
    """How far two reviewers agree on what both reviewed."""

    first: str
    second: str
    both: int
    same: int
    kappa: float | None


class Disagreement(msgspec.Struct, frozen=True):
    """An endpoint of a patient on which somebody disagreed; ``values``: by reviewer."""

    patient: str
    endpoint: str
    computed: str
    values: tuple[tuple[str, str], ...]


class Review(msgspec.Struct, frozen=True):
    """The review of a cohort.

    ``decisions``: on patients of the cohort, named as in the tables; ``outside``: the number of
    decisions on others.
    """

    decisions: tuple[Decision, ...]
    outside: int

    @property
    def endpoints(self) -> list[EndpointAgreement]:
        """The agreement by endpoint, all reviewers together."""
        found: dict[str, list[Decision]] = {}
        for one in self.decisions:
            found.setdefault(_name(one), []).append(one)
        return [
            EndpointAgreement(
                name,
                len(decided),
                sum(one.decision == "agreed" for one in decided),
                kappa([(one.computed, one.value) for one in decided]),
            )
            for name, decided in sorted(found.items())
        ]

    @property
    def reviewers(self) -> list[ReviewerAgreement]:
        """The agreement of each two reviewers."""
        by_reviewer: dict[str, dict[tuple[str, str], str]] = {}
        for one in self.decisions:
            by_reviewer.setdefault(one.reviewer, {})[one.patient, _name(one)] = one.value
        found = []
        for first, second in combinations(sorted(by_reviewer), 2):
            mine, other = by_reviewer[first], by_reviewer[second]
            pairs = [(value, other[key]) for key, value in mine.items() if key in other]
            same = sum(one == another for one, another in pairs)
            found.append(ReviewerAgreement(first, second, len(pairs), same, kappa(pairs)))
        return found

    @property
    def disagreements(self) -> list[Disagreement]:
        """What somebody disagreed on, or what two reviewers saw differently."""
        found: dict[tuple[str, str], list[Decision]] = {}
        for one in self.decisions:
            found.setdefault((one.patient, _name(one)), []).append(one)
        return [
            Disagreement(
                patient,
                name,
                decided[0].computed,
                tuple((one.reviewer, _said(one)) for one in decided),
            )
            for (patient, name), decided in sorted(found.items())
            if any(one.decision == "disagreed" for one in decided)
        ]


def _name(one: Decision) -> str:
    return f"{one.endpoint} {one.time_point}".strip()


def _said(one: Decision) -> str:
    return one.value or "disagreed, without a value"


def kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of pairs of ratings; None where it is not defined, or a rating is missing.

    Source: Cohen, Educ Psychol Meas 1960;20:37-46.
    """
    total = len(pairs)
    if not total or any(not first or not second for first, second in pairs):
        return None
    observed = sum(first == second for first, second in pairs) / total
    firsts, seconds = (Counter(ratings) for ratings in zip(*pairs, strict=True))
    expected = sum(firsts[rating] * seconds[rating] for rating in firsts) / total**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def read_decisions(files: Iterable[Path]) -> list[Decision]:
    """The decisions in files that reviewers downloaded; the latest of each reviewer counts.

    Raises:
        UsageError: a file cannot be read, or is no file of decisions.
    """
    latest: dict[tuple[str, str, str, str], Decision] = {}
    for file in files:
        for one in _decisions_in(file):
            key = (one.patient, one.endpoint, one.time_point, one.reviewer)
            if key not in latest or latest[key].at <= one.at:
                latest[key] = one
    return [latest[key] for key in sorted(latest)]


def _decisions_in(file: Path) -> Iterator[Decision]:
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            rows = csv.DictReader(lines, strict=True)
            if tuple(rows.fieldnames or ()) != _FILE:
                raise UsageError(f"{file}: no file of decisions that fhircryo review made")
            for number, row in enumerate(rows, 2):
                cells = [row[name] for name in _FILE]
                if None in row or any(cell is None for cell in cells):
                    raise UsageError(f"{file}: row {number} has another number of cells")
                one = _decision([_unquoted(cell).strip() for cell in cells])
                if one is None:
                    raise UsageError(
                        f"{file}: row {number}: it needs a patient, a reviewer, and a decision"
                        f" ({' or '.join(_DECISIONS)})"
                    )
                yield one
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file}: cannot be read as CSV: {error}") from error


def _decision(cells: list[str]) -> Decision | None:
    """The decision of a row; None if it is none."""
    patient, endpoint, time_point, computed, decision, reviewed, comment, reviewer, at = cells
    if decision not in _DECISIONS or not patient or not reviewer:
        return None
    word = cast("DecisionWord", decision)
    return Decision(patient, endpoint, time_point, computed, word, reviewed, comment, reviewer, at)


def _unquoted(cell: str) -> str:
    """The text of a cell; the first apostrophe only stops spreadsheets from computing it."""
    return cell.removeprefix(_APOSTROPHE)


def review_of(
    decisions: Sequence[Decision],
    patients: "pd.Series[str]",
    name: Callable[[str], str],
    *,
    identified: bool,
) -> Review:
    """The decisions on the patients of a cohort.

    ``patients``: their names in the tables. ``name``: the name in the tables, by id. Unless the
    tables are identified, reviewers are numbered, and what could be free text is ``other``.
    """
    known = set(patients)
    reviewers = sorted({one.reviewer for one in decisions})
    found, outside = [], 0
    for one in decisions:
        named = name(one.patient)
        if named not in known:
            outside += 1
            continue
        decided = msgspec.structs.replace(one, patient=named)
        if not identified:
            decided = msgspec.structs.replace(
                decided,
                reviewer=f"reviewer {reviewers.index(one.reviewer) + 1}",
                computed=_without_free_text(one.computed),
                reviewed=_without_free_text(one.reviewed),
                comment="",
            )
        found.append(decided)
    return Review(tuple(found), outside)


def _without_free_text(value: str) -> str:
    """A value that is a number, a time, yes or no, a grade or a reason; else ``other``."""
    if not value or _VALUE.fullmatch(value):
        return value
    return without_free_text(value)


def reviews_table(*, identified: bool) -> Table:
    """The columns of the table of decisions; a comment may name people."""
    columns = (
        patient_key(),
        Column("endpoint", ColumnType.TEXT, "The endpoint", required=True),
        Column("time_point", ColumnType.TEXT, "The time point of a questionnaire, else empty"),
        Column("reviewer", ColumnType.TEXT, "Who decided", required=True),
        Column("computed", ColumnType.TEXT, "The value that the reviewer saw", required=True),
        Column("decision", ColumnType.CATEGORY, "The decision", levels=_DECISIONS, required=True),
        Column("reviewed", ColumnType.TEXT, "The value that the reviewer takes for right"),
        Column("comment", ColumnType.TEXT, "The comment", identifying=True),
    )
    key = ("patient", "endpoint", "time_point", "reviewer")
    table = Table(REVIEWS, "One row per decision of a reviewer", columns, key)
    return table if identified else table.without_identifying()


def review_rows(review: Review) -> list[Row]:
    """The rows of the table of decisions."""
    return [
        {
            "patient": one.patient,
            "endpoint": one.endpoint,
            "time_point": one.time_point,
            "reviewer": one.reviewer,
            "computed": one.computed,
            "decision": one.decision,
            "reviewed": one.value or None,
            "comment": one.comment or None,
        }
        for one in review.decisions
    ]
