"""The columns of a cohort's tables: data package, dictionary, files and docs follow from them."""

from collections.abc import Iterable
from enum import StrEnum
from functools import cache

import msgspec

from fhircryo.endpoints.catalogue import (
    CATALOGUE,
    PROM_CHANGE,
    PROM_SCORE,
    UNITS,
    Endpoint,
    ValueType,
)
from fhircryo.endpoints.complications import NO_COMPLICATION
from fhircryo.endpoints.psa import Judgement
from fhircryo.endpoints.result import Absent
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.protocol import BASELINE, Protocol
from fhircryo.mapping.schema import Instrument
from fhircryo.record.items import Kind, Reason

#: The age from which on patients are of one age: HIPAA, 45 CFR 164.514(b)(2)(i)(C).
OLDEST = 90

#: The column that says whose a row is.
PATIENT = "patient"
#: What the time point of an endpoint is called that is about the whole follow-up.
FOLLOW_UP = "follow-up"


class Type(StrEnum):
    """What kind of values a column has."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    CATEGORY = "category"
    DATE = "date"


class Column(msgspec.Struct, frozen=True):
    """A column. ``unit`` is UCUM; ``levels``: the values that a category can have, in order.

    ``identifying``: it is in identified tables only.
    """

    name: str
    type: Type
    words: str
    unit: str = ""
    levels: tuple[str, ...] = ()
    ordered: bool = False
    identifying: bool = False
    required: bool = False


class Table(msgspec.Struct, frozen=True):
    """A table; ``key``: the columns that tell its rows apart."""

    name: str
    words: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]

    def names(self) -> list[str]:
        """The columns' names in order."""
        return [column.name for column in self.columns]

    def without_identifying(self) -> "Table":
        """The table as it is when it is pseudonymised."""
        kept = tuple(column for column in self.columns if not column.identifying)
        key = tuple(name for name in self.key if name in {column.name for column in kept})
        return msgspec.structs.replace(self, columns=kept, key=key)

    def without(self, names: Iterable[str]) -> "Table":
        """The table without some of its columns."""
        unwanted = set(names)
        kept = tuple(column for column in self.columns if column.name not in unwanted)
        return msgspec.structs.replace(self, columns=kept)


class Attribution(StrEnum):
    """Whether an adverse event is attributed to the index procedure."""

    ATTRIBUTED = "attributed"
    POSSIBLE = "possible"
    NOT_ATTRIBUTED = "not-attributed"


class Certainty(StrEnum):
    """How much is known of an event's date."""

    DAY = "day"
    INTERVAL = "interval"
    POSSIBLE = "possible"
    AT_BASELINE = "at-baseline"


#: What the judgement of the baseline PSA is called.
BASELINE_PSA = "baseline"
COMPARATORS = ("<", ">")
#: Of what nothing is told but its type.
NO_CODE = "-"
YES, NO = "Y", "N"
FINAL, PRELIMINARY = "final", "preliminary"

_REASONS = tuple(str(reason) for reason in Reason)
_DAYS = "d"


@cache
def snake(key: str) -> str:
    """A key as the name of a column."""
    return key.replace("-", "_")


@cache
def score_column(instrument: str, time_point: str, *, change: bool = False) -> str:
    """The column of a score, or of its change since baseline, in the table of patients."""
    middle = "change_" if change else ""
    return f"{snake(instrument)}_{middle}{snake(time_point)}"


def expected_column(time_point: str) -> str:
    """The column that says whether questionnaires were to be expected of a patient."""
    return f"expected_{snake(time_point)}"


def within_column(months: int) -> str:
    """The column that says whether a metastasis came within some months."""
    return f"metastasis_within_{months}_months"


def unit_of(endpoint: Endpoint) -> str:
    """The unit of an endpoint's values, empty for none."""
    return UNITS.get(endpoint.value_type, "")


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
    """The instruments by key."""
    return sorted(mappings.instruments, key=lambda one: one.key)


def optional_columns(mappings: Mappings, protocol: Protocol) -> dict[str, list[str]]:
    """By instrument that no row of the protocol's publication names, its columns of patients."""
    named = {row.instrument for row in protocol.published}
    return {
        one.key: [column.name for column in _of_instrument(one, protocol)]
        for one in instruments(mappings)
        if one.key not in named
    }


def grade_levels(mappings: Mappings, scale: str) -> tuple[str, ...]:
    """The grades of a scale, mildest first, after that of no complication."""
    return (NO_COMPLICATION, *mappings.scales[scale].order)


def codes(mappings: Mappings) -> tuple[str, ...]:
    """The published codes of all endpoints in catalogue order."""
    found: list[str] = []
    for endpoint in CATALOGUE:
        if endpoint in (PROM_SCORE, PROM_CHANGE):
            found += [f"{endpoint.key}-{one.key}" for one in instruments(mappings)]
        else:
            found.append(endpoint.key)
    return tuple(found)


def _key() -> Column:
    words = "The patient: a pseudonym; the source's id where the tables are identified"
    return Column(PATIENT, Type.TEXT, words, required=True)


def _number(words: str) -> Column:
    return Column("number", Type.INTEGER, f"{words}, from 1 in order of time", required=True)


def _reason(name: str, words: str) -> Column:
    return Column(name, Type.CATEGORY, words, levels=_REASONS)


def _resource(words: str) -> Column:
    return Column("resource", Type.TEXT, words, identifying=True)


def _dates(what: str) -> tuple[Column, Column]:
    return (
        Column("date_first", Type.DATE, f"First day that {what} can mean", identifying=True),
        Column("date_last", Type.DATE, f"Last day of it, the same for {what}", identifying=True),
    )


def _days(what: str) -> Column:
    words = f"{what}, days from index; empty where the day is not known"
    return Column("days", Type.INTEGER, words, _DAYS)


def _patients(mappings: Mappings, protocol: Protocol) -> Table:
    window = protocol.psa.baseline_days
    columns = [
        _key(),
        Column("index_date", Type.DATE, "Day of the index procedure (day 0)", identifying=True),
        _resource("The index procedure"),
        Column(
            "age_years",
            Type.INTEGER,
            f"Age at the index procedure; {OLDEST} stands for {OLDEST} and older unless"
            " identified; empty where the date of birth leaves it open",
            "a",
        ),
        Column("baseline_psa", Type.NUMBER, f"Last PSA of the {window} days to index", "ng/mL"),
        Column(
            "baseline_psa_comparator",
            Type.CATEGORY,
            "Whether the baseline PSA lies below or above its value",
            levels=COMPARATORS,
        ),
        Column("baseline_psa_days", Type.INTEGER, "Day of the baseline PSA from index", _DAYS),
        Column(
            "salvage_therapy",
            Type.BOOLEAN,
            "Hormone therapy or a second local treatment after index is recorded",
            required=True,
        ),
        Column(
            "salvage_therapy_days",
            Type.INTEGER,
            "Day of the first salvage therapy from index, where its day is known",
            _DAYS,
        ),
    ]
    for endpoint in CATALOGUE:
        if endpoint in (PROM_SCORE, PROM_CHANGE):
            continue
        columns += _of_endpoint(endpoint, mappings)
    months = sorted({row.months for row in protocol.published if row.months is not None})
    for number in months:
        words = f"A metastasis dated no later than {number} months after index"
        columns.append(Column(within_column(number), Type.BOOLEAN, words))
    for point in time_points(protocol):
        words = f"Alive at {point} and its window past by the data cut-off, or answered"
        columns.append(Column(expected_column(point), Type.BOOLEAN, words, required=True))
    for instrument in instruments(mappings):
        columns += _of_instrument(instrument, protocol)
    return Table("patients", "One row per patient", tuple(columns), (PATIENT,))


def _of_endpoint(endpoint: Endpoint, mappings: Mappings) -> list[Column]:
    name, words = snake(endpoint.key), endpoint.words
    reason = _reason(f"{name}_reason", f"Why {endpoint.key} is absent")
    unit = unit_of(endpoint)
    if endpoint.value_type is ValueType.DAYS:
        event = f"{endpoint.key}: the event happened (false: censored)"
        return [
            Column(name, Type.INTEGER, words, unit),
            Column(f"{name}_event", Type.BOOLEAN, event),
            reason,
        ]
    if endpoint.value_type is ValueType.COUNT:
        return [Column(name, Type.INTEGER, words), reason]
    if endpoint.value_type is ValueType.GRADE:
        levels = grade_levels(mappings, endpoint.scale)
        left = f"{endpoint.key}: attributed events that carry no grade of this scale"
        return [
            Column(name, Type.CATEGORY, words, levels=levels, ordered=True),
            reason,
            Column(f"{name}_ungraded", Type.INTEGER, left),
        ]
    days = f"Day that {endpoint.key} is dated by, from index"
    kind = Type.BOOLEAN if endpoint.value_type is ValueType.YES_NO else Type.NUMBER
    return [
        Column(name, kind, words, unit),
        reason,
        Column(f"{name}_days", Type.INTEGER, days, _DAYS),
    ]


def _of_instrument(instrument: Instrument, protocol: Protocol) -> list[Column]:
    columns = []
    worse = f"({instrument.worse} is worse)"
    for point in time_points(protocol):
        name = score_column(instrument.key, point)
        words = f"{instrument.words} at {point} {worse}"
        columns += [
            Column(name, Type.NUMBER, words, "{score}"),
            _reason(f"{name}_reason", f"Why a response of {point} gives no {instrument.key}"),
            Column(f"{name}_days", Type.INTEGER, f"Day of {instrument.key} at {point}", _DAYS),
        ]
    for point in time_points(protocol):
        if point != BASELINE:
            name = score_column(instrument.key, point, change=True)
            words = f"{instrument.words} at {point} less baseline {worse}"
            columns.append(Column(name, Type.NUMBER, words, "{score}"))
    return columns


def _endpoints(mappings: Mappings, protocol: Protocol) -> Table:
    columns = (
        _key(),
        Column("endpoint", Type.CATEGORY, "The endpoint", levels=codes(mappings), required=True),
        Column(
            "time_point",
            Type.CATEGORY,
            f"The time point of a questionnaire's score; else {FOLLOW_UP}",
            levels=(FOLLOW_UP, *time_points(protocol)),
            required=True,
        ),
        Column("value", Type.TEXT, f"The value: {YES} or {NO}, a grade, or a number as text"),
        Column("number", Type.NUMBER, "The value where it is a number"),
        Column("unit", Type.CATEGORY, "Unit of the number", levels=tuple(UNITS.values())),
        Column("event", Type.BOOLEAN, "Of a time: the event happened (false: censored)"),
        _days("The day that the endpoint is dated by"),
        Column(
            "status",
            Type.CATEGORY,
            "final: nothing later can change it by rule",
            levels=(PRELIMINARY, FINAL),
            required=True,
        ),
        Column(
            "absent",
            Type.CATEGORY,
            "What kind of absence, where there is no value",
            levels=tuple(str(kind) for kind in Absent),
        ),
        _reason("reason", "Why there is no value"),
        *_dates("what the endpoint is dated by"),
        _resource("What the endpoint stands on"),
    )
    key = (PATIENT, "endpoint", "time_point")
    return Table("endpoints", "One row per patient, endpoint and time point", columns, key)


def _psa() -> Table:
    judgements = (BASELINE_PSA, *(str(one) for one in Judgement))
    columns = (
        _key(),
        _number("The PSA result"),
        Column("days", Type.INTEGER, "Day of the result from index", _DAYS, required=True),
        Column("psa", Type.NUMBER, "The value used", "ng/mL", required=True),
        Column(
            "comparator",
            Type.CATEGORY,
            "Whether the result lies below or above a limit",
            levels=COMPARATORS,
        ),
        Column(
            "judgement",
            Type.CATEGORY,
            "What the result says of biochemical failure",
            levels=judgements,
            required=True,
        ),
        Column("running_nadir", Type.NUMBER, "Lowest result before this one", "ng/mL"),
        Column("threshold", Type.NUMBER, "Running nadir and the protocol's rise", "ng/mL"),
        Column("failure", Type.BOOLEAN, "This result is the biochemical failure", required=True),
        Column(
            "after_salvage_therapy",
            Type.BOOLEAN,
            "Dated after the first day that a salvage therapy may have begun",
            required=True,
        ),
        Column("date", Type.DATE, "Day of the result", identifying=True),
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
            Type.CATEGORY,
            "What happened",
            levels=tuple(str(kind) for kind in Kind),
            required=True,
        ),
        Column(
            "certainty",
            Type.CATEGORY,
            "day: its day is known; interval: wholly after index; possible: neither counted nor"
            " ruled out; at-baseline: on or before index",
            levels=tuple(str(one) for one in Certainty),
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
            snake(name), Type.CATEGORY, f"Worst: {scale.words}", levels=scale.order, ordered=True
        )
        for name, scale in sorted(mappings.scales.items())
    )
    columns = (
        _key(),
        _number("The adverse event"),
        Column(
            "attribution",
            Type.CATEGORY,
            "Whether it is attributed to the index procedure",
            levels=tuple(str(one) for one in Attribution),
            required=True,
        ),
        Column(
            "only_graded",
            Type.BOOLEAN,
            "Known by an Observation that grades it alone; no AdverseEvent is recorded",
            required=True,
        ),
        _days("The adverse event"),
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
            Type.CATEGORY,
            "The instrument",
            levels=tuple(one.key for one in instruments(mappings)),
            required=True,
        ),
        Column("days", Type.INTEGER, "Day of the answer from index", _DAYS, required=True),
        Column("score", Type.NUMBER, "The score", "{score}"),
        Column(
            "time_point",
            Type.CATEGORY,
            "The time point that it is the score of",
            levels=tuple(time_points(protocol)),
        ),
        _reason("reason", "Why there is no score, or no time point"),
        Column(
            "score_mismatch",
            Type.BOOLEAN,
            "The recorded total is another number than the items give; the items decide",
            required=True,
        ),
        Column("date", Type.DATE, "Day of the answer", identifying=True),
        _resource("The response"),
    )
    words = "Scores of answered questionnaires, also of those that no time point takes"
    return Table("questionnaires", words, columns, (PATIENT, "number"))


def _not_used() -> Table:
    columns = (
        Column("reason", Type.CATEGORY, "Why", levels=_REASONS, required=True),
        Column("resource_type", Type.TEXT, "Type of the resources", required=True),
        Column(
            "code",
            Type.TEXT,
            f"What they are coded as; {NO_CODE} where that is not told",
            identifying=True,
            required=True,
        ),
        Column("count", Type.INTEGER, "How many resources", required=True),
    )
    words = "What was read and not used"
    return Table("not_used", words, columns, ("reason", "resource_type", "code"))
