"""The tables of a cohort with all columns that they can have."""

from enum import StrEnum

from fhircryo.endpoints.catalogue import published_codes
from fhircryo.endpoints.psa import Judgement
from fhircryo.endpoints.result import Absent
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.protocol import Protocol
from fhircryo.record.items import EventKind, Reason
from fhircryo.research.endpoint_columns import COMPARATORS, units
from fhircryo.research.patient_columns import (
    instruments,
    patient_key,
    patients_table,
    resource_column,
    time_points,
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

#: The tables that are treated differently from the others.
PATIENTS, EVENTS, ADVERSE_EVENTS = "patients", "events", "adverse_events"
PSA, NOT_USED = "psa", "not_used"
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
YES, NO = "Y", "N"
FINAL, PRELIMINARY = "final", "preliminary"

_REASONS = tuple(str(reason) for reason in Reason)


def tables(mappings: Mappings, protocol: Protocol) -> dict[str, Table]:
    """All tables by name, with all columns that they can have."""
    found = (
        patients_table(mappings, protocol),
        _endpoints(mappings, protocol),
        _psa(),
        _events(),
        _adverse_events(mappings),
        _questionnaires(mappings, protocol),
        _not_used(),
    )
    return {table.name: table for table in found}


def _number(words: str) -> Column:
    return Column("number", ColumnType.INTEGER, f"{words}, from 1 in order of time", required=True)


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


def _endpoints(mappings: Mappings, protocol: Protocol) -> Table:
    codes = published_codes(instrument.key for instrument in instruments(mappings))
    columns = (
        patient_key(),
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
        resource_column("What the endpoint stands on"),
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
        patient_key(),
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
        resource_column("The result"),
    )
    words = "The PSA results that are used: the baseline and all after index"
    return Table("psa", words, columns, (PATIENT, "number"))


def _events() -> Table:
    columns = (
        patient_key(),
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
            "day: its day is known; interval: its first and last possible day are after index;"
            " possible: neither counted nor ruled out; at-baseline: on or before index",
            levels=tuple(str(certainty) for certainty in Certainty),
            required=True,
        ),
        reason_column("reason", "Why the event is neither counted nor ruled out"),
        _days("The event"),
        *_dates("the event's date"),
        resource_column("The event"),
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
        patient_key(),
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
        resource_column("The adverse event, or what grades it"),
    )
    return Table("adverse_events", "Adverse events, graded", columns, (PATIENT, "number"))


def _questionnaires(mappings: Mappings, protocol: Protocol) -> Table:
    columns = (
        patient_key(),
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
        resource_column("The response"),
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
