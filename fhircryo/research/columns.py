"""The tables of a cohort with all columns that they can have."""

from collections.abc import Iterator
from enum import StrEnum
from functools import cache

from fhircryo.endpoints.by_salvage_rule import SALVAGE_RULES
from fhircryo.endpoints.catalogue import DISEASE_FREE, PSA_NADIR, published_codes
from fhircryo.endpoints.psa import Judgement
from fhircryo.endpoints.result import Absent
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.protocol import BASELINE, Protocol
from fhircryo.mapping.schema import Instrument
from fhircryo.record.items import EventKind, Reason
from fhircryo.research.baseline_columns import baseline_columns
from fhircryo.research.endpoint_columns import (
    COMPARATORS,
    OF_PATIENTS,
    endpoint_columns,
    rule_column,
    units,
)
from fhircryo.research.table import (
    DAYS_UNIT,
    PATIENT,
    Column,
    ColumnType,
    Table,
    reason_column,
    snake,
)

#: The time point of an endpoint that is about the whole follow-up.
FOLLOW_UP = "follow-up"


class Attribution(StrEnum):
    """Whether an adverse event is attributed to the index procedure."""

    ATTRIBUTED = "attributed"
    POSSIBLE = "possible"
    NOT_ATTRIBUTED = "not-attributed"


#: The kind of a complication whose code is not mapped to any.
OTHER_KIND = "other"


class Certainty(StrEnum):
    """How much is known of an event's date."""

    DAY = "day"
    INTERVAL = "interval"
    POSSIBLE = "possible"
    AT_BASELINE = "at-baseline"


#: The judgement of the baseline PSA, which is not judged.
BASELINE_PSA = "baseline"
#: The code of resources that are not counted by code.
NO_CODE = "-"
#: The column of a component of the PSA nadir.
PSA_RESPONSE = "psa_response"
YES, NO = "Y", "N"
FINAL, PRELIMINARY = "final", "preliminary"

_REASONS = tuple(str(reason) for reason in Reason)


@cache
def score_column(instrument: str, time_point: str, *, change: bool = False) -> str:
    """The column of a score, or of its change since baseline, in the table of patients."""
    middle = "change_" if change else ""
    return f"{snake(instrument)}_{middle}{snake(time_point)}"


@cache
def mark_column(instrument: str, time_point: str, mark: str, *, change: bool = False) -> str:
    """The column that says whether a score, or its change since baseline, carries a mark."""
    return f"{score_column(instrument, time_point, change=change)}_{snake(mark)}"


def expected_column(time_point: str) -> str:
    """The column that says whether a patient was expected to answer at a time point."""
    return f"expected_{snake(time_point)}"


def within_column(months: int) -> str:
    """The column that says whether a metastasis is dated within these months of index."""
    return f"metastasis_within_{months}_months"


def tables(mappings: Mappings, protocol: Protocol) -> dict[str, Table]:
    """All tables by name, with all columns that they can have."""
    found = (
        _patients(mappings, protocol),
        _endpoints(mappings, protocol),
        _psa(),
        _events(),
        _adverse_events(mappings),
        _questionnaires(mappings, protocol),
        _not_used(),
    )
    return {table.name: table for table in found}


def time_points(protocol: Protocol) -> list[str]:
    """The time points in order of time, the baseline first."""
    points = protocol.time_points
    return sorted(points, key=lambda name: (name != BASELINE, points[name].target or 0))


def instruments(mappings: Mappings) -> list[Instrument]:
    """The instruments, sorted by key."""
    return sorted(mappings.instruments, key=lambda instrument: instrument.key)


def optional_columns(mappings: Mappings, protocol: Protocol) -> dict[str, list[str]]:
    """The columns of the instruments that the publication does not name, by instrument."""
    named = {row.instrument for row in protocol.published}
    return {
        instrument.key: [column.name for column in _instrument_columns(instrument, protocol)]
        for instrument in instruments(mappings)
        if instrument.key not in named
    }


def _key() -> Column:
    words = "The patient: a pseudonym; the source's id where the tables are identified"
    return Column(PATIENT, ColumnType.TEXT, words, required=True)


def _number(words: str) -> Column:
    return Column("number", ColumnType.INTEGER, f"{words}, from 1 in order of time", required=True)


def _resource(words: str) -> Column:
    return Column("resource", ColumnType.TEXT, words, identifying=True)


def _dates(what: str) -> tuple[Column, Column]:
    return (
        Column("date_first", ColumnType.DATE, f"First day that {what} can mean", identifying=True),
        Column(
            "date_last", ColumnType.DATE, f"Last day of it, the same for {what}", identifying=True
        ),
    )


def _days(what: str) -> Column:
    words = f"{what}, days from index; empty where the day is not known"
    return Column("days", ColumnType.INTEGER, words, DAYS_UNIT)


def _characteristics(protocol: Protocol) -> tuple[Column, ...]:
    """The columns of a patient that are not endpoints."""
    return (
        _key(),
        Column(
            "index_date", ColumnType.DATE, "Day of the index procedure (day 0)", identifying=True
        ),
        _resource("The index procedure"),
        *baseline_columns(protocol),
        Column(
            "salvage_therapy",
            ColumnType.BOOLEAN,
            "Hormone therapy, a second local treatment or chemotherapy after index is recorded",
            required=True,
        ),
        Column(
            "salvage_therapy_days",
            ColumnType.INTEGER,
            "Day of the first salvage therapy from index, where its day is known",
            DAYS_UNIT,
        ),
    )


def _patients(mappings: Mappings, protocol: Protocol) -> Table:
    columns = list(_characteristics(protocol))
    for endpoint in OF_PATIENTS:
        columns += endpoint_columns(endpoint, mappings)
        if endpoint is PSA_NADIR:
            columns.append(_psa_response())
        elif endpoint is DISEASE_FREE:
            columns += _disease_free_by_rule()
    months = sorted({row.months for row in protocol.published if row.months is not None})
    for number in months:
        words = f"A metastasis dated no later than {number} months after index"
        columns.append(Column(within_column(number), ColumnType.BOOLEAN, words))
    for point in time_points(protocol):
        words = f"Alive at {point} and its window past by the data cut-off, or answered"
        columns.append(Column(expected_column(point), ColumnType.BOOLEAN, words, required=True))
    for instrument in instruments(mappings):
        columns += _instrument_columns(instrument, protocol)
    return Table("patients", "One row per patient", tuple(columns), (PATIENT,))


def _psa_response() -> Column:
    words = "The nadir lies below the baseline PSA; empty where that is not known"
    return Column(PSA_RESPONSE, ColumnType.BOOLEAN, words)


def _disease_free_by_rule() -> Iterator[Column]:
    for rule in SALVAGE_RULES:
        name = rule_column(rule)
        words = f"{DISEASE_FREE.key} if the protocol's salvage_therapy were {rule}"
        yield Column(name, ColumnType.BOOLEAN, words)
        yield reason_column(f"{name}_reason", f"Why {DISEASE_FREE.key} is absent under {rule}")


def _instrument_columns(instrument: Instrument, protocol: Protocol) -> list[Column]:
    columns = []
    worse = f"({instrument.worse} is worse)"
    for point in time_points(protocol):
        name = score_column(instrument.key, point)
        words = f"{instrument.words} at {point} {worse}"
        columns += [
            Column(name, ColumnType.NUMBER, words, "{score}"),
            reason_column(f"{name}_reason", f"Why a response of {point} gives no {instrument.key}"),
            Column(
                f"{name}_days", ColumnType.INTEGER, f"Day of {instrument.key} at {point}", DAYS_UNIT
            ),
            *_mark_columns(instrument, point, change=False),
        ]
    for point in time_points(protocol):
        if point != BASELINE:
            name = score_column(instrument.key, point, change=True)
            words = f"{instrument.words} at {point} less baseline {worse}"
            columns.append(Column(name, ColumnType.NUMBER, words, "{score}"))
            columns += _mark_columns(instrument, point, change=True)
    return columns


def _mark_columns(instrument: Instrument, time_point: str, *, change: bool) -> Iterator[Column]:
    what = "The change rests on a score with the mark" if change else "The score has the mark"
    for mark in instrument.marks:
        name = mark_column(instrument.key, time_point, mark.key, change=change)
        words = f"{what} {mark.key}: {mark.words}; else empty"
        yield Column(name, ColumnType.BOOLEAN, words)


def _endpoints(mappings: Mappings, protocol: Protocol) -> Table:
    codes = published_codes(instrument.key for instrument in instruments(mappings))
    columns = (
        _key(),
        Column("endpoint", ColumnType.CATEGORY, "The endpoint", levels=codes, required=True),
        Column(
            "time_point",
            ColumnType.CATEGORY,
            f"The time point of a questionnaire's score; else {FOLLOW_UP}",
            levels=(FOLLOW_UP, *time_points(protocol)),
            required=True,
        ),
        Column("value", ColumnType.TEXT, f"The value: {YES} or {NO}, a grade, or a number as text"),
        Column("number", ColumnType.NUMBER, "The value where it is a number"),
        Column(
            "high",
            ColumnType.NUMBER,
            "Of a time that is known only as an interval: its upper bound; number is the lower one",
        ),
        Column(
            "comparator",
            ColumnType.CATEGORY,
            "Whether the number is only a limit",
            levels=COMPARATORS,
        ),
        Column("unit", ColumnType.CATEGORY, "Unit of the number", levels=units()),
        Column("event", ColumnType.BOOLEAN, "Of a time: the event happened (false: censored)"),
        _days("The day that the endpoint is dated by"),
        Column(
            "status",
            ColumnType.CATEGORY,
            "final: nothing later can change it by rule",
            levels=(PRELIMINARY, FINAL),
            required=True,
        ),
        Column(
            "absent",
            ColumnType.CATEGORY,
            "What kind of absence, where there is no value",
            levels=tuple(str(kind) for kind in Absent),
        ),
        reason_column("reason", "Why there is no value"),
        *_component_columns(),
        *_dates("what the endpoint is dated by"),
        _resource("What the endpoint stands on"),
    )
    key = (PATIENT, "endpoint", "time_point")
    return Table("endpoints", "One row per patient, endpoint and time point", columns, key)


def _component_columns() -> tuple[Column, ...]:
    """The columns of the components that say how far a value can be relied on."""
    return (
        Column(
            "hormone_therapy_at_index",
            ColumnType.BOOLEAN,
            "The endpoint rests on PSA, and hormone therapy was given at index",
            required=True,
        ),
        Column(
            "after_salvage_therapy",
            ColumnType.BOOLEAN,
            "The endpoint rests on PSA that is dated after a salvage therapy",
            required=True,
        ),
        Column(
            "marks",
            ColumnType.TEXT,
            "The marks that a questionnaire's score carries, such as no-intercourse",
        ),
    )


def _psa() -> Table:
    judgements = (BASELINE_PSA, *(str(judgement) for judgement in Judgement))
    columns = (
        _key(),
        _number("The PSA result"),
        Column(
            "days", ColumnType.INTEGER, "Day of the result from index", DAYS_UNIT, required=True
        ),
        Column("psa", ColumnType.NUMBER, "The value used", "ng/mL", required=True),
        Column(
            "comparator",
            ColumnType.CATEGORY,
            "Whether the result lies below or above a limit",
            levels=COMPARATORS,
        ),
        Column(
            "judgement",
            ColumnType.CATEGORY,
            "What the result says of biochemical failure",
            levels=judgements,
            required=True,
        ),
        Column("running_nadir", ColumnType.NUMBER, "Lowest result before this one", "ng/mL"),
        Column("threshold", ColumnType.NUMBER, "Running nadir and the protocol's rise", "ng/mL"),
        Column(
            "failure", ColumnType.BOOLEAN, "This result is the biochemical failure", required=True
        ),
        Column(
            "after_salvage_therapy",
            ColumnType.BOOLEAN,
            "Dated after the first day that a salvage therapy may have begun",
            required=True,
        ),
        Column("date", ColumnType.DATE, "Day of the result", identifying=True),
        _resource("The result"),
    )
    words = "The PSA results that are used: the baseline and all after index"
    return Table("psa", words, columns, (PATIENT, "number"))


def _events() -> Table:
    columns = (
        _key(),
        _number("The event"),
        Column(
            "kind",
            ColumnType.CATEGORY,
            "What happened",
            levels=tuple(str(kind) for kind in EventKind),
            required=True,
        ),
        Column(
            "certainty",
            ColumnType.CATEGORY,
            "day: its day is known; interval: wholly after index; possible: neither counted nor"
            " ruled out; at-baseline: on or before index",
            levels=tuple(str(certainty) for certainty in Certainty),
            required=True,
        ),
        _days("The event"),
        *_dates("the event's date"),
        _resource("The event"),
    )
    return Table("events", "Failures, recurrences, deaths, therapies", columns, (PATIENT, "number"))


def _adverse_events(mappings: Mappings) -> Table:
    grades = tuple(
        Column(
            snake(name),
            ColumnType.CATEGORY,
            f"Worst: {scale.words}",
            levels=scale.order,
            ordered=True,
        )
        for name, scale in sorted(mappings.scales.items())
    )
    columns = (
        _key(),
        _number("The adverse event"),
        Column(
            "attribution",
            ColumnType.CATEGORY,
            "Whether it is attributed to the index procedure",
            levels=tuple(str(attribution) for attribution in Attribution),
            required=True,
        ),
        Column(
            "only_graded",
            ColumnType.BOOLEAN,
            "Known by an Observation that grades it alone; no AdverseEvent is recorded",
            required=True,
        ),
        _days("The adverse event"),
        Column(
            "kinds",
            ColumnType.TEXT,
            f"What kind of complication it is, several joined by a comma; else {OTHER_KIND}",
            required=True,
        ),
        *grades,
        *_dates("the adverse event's date"),
        _resource("The adverse event, or what grades it"),
    )
    return Table("adverse_events", "Adverse events, graded", columns, (PATIENT, "number"))


def _questionnaires(mappings: Mappings, protocol: Protocol) -> Table:
    columns = (
        _key(),
        _number("The score"),
        Column(
            "instrument",
            ColumnType.CATEGORY,
            "The instrument",
            levels=tuple(instrument.key for instrument in instruments(mappings)),
            required=True,
        ),
        Column(
            "days", ColumnType.INTEGER, "Day of the answer from index", DAYS_UNIT, required=True
        ),
        Column("score", ColumnType.NUMBER, "The score", "{score}"),
        Column(
            "time_point",
            ColumnType.CATEGORY,
            "The time point that it is the score of",
            levels=tuple(time_points(protocol)),
        ),
        reason_column("reason", "Why there is no score, or no time point"),
        Column("marks", ColumnType.TEXT, "The marks of the score, such as no-intercourse"),
        Column(
            "score_mismatch",
            ColumnType.BOOLEAN,
            "The recorded total is another number than the items give; the items decide",
            required=True,
        ),
        Column("date", ColumnType.DATE, "Day of the answer", identifying=True),
        _resource("The response"),
    )
    words = "Scores of answered questionnaires, also of those that no time point takes"
    return Table("questionnaires", words, columns, (PATIENT, "number"))


def _not_used() -> Table:
    columns = (
        Column("reason", ColumnType.CATEGORY, "Why", levels=_REASONS, required=True),
        Column("resource_type", ColumnType.TEXT, "Type of the resources", required=True),
        Column(
            "code",
            ColumnType.TEXT,
            f"What they are coded as; {NO_CODE} where that is not told",
            identifying=True,
            required=True,
        ),
        Column("count", ColumnType.INTEGER, "How many resources", required=True),
    )
    words = "What was read and not used"
    return Table("not_used", words, columns, ("reason", "resource_type", "code"))
