"""The columns of the table of patients."""

from collections.abc import Iterator
from functools import cache

from msgspec.structs import replace

from fhircryo.endpoints.by_salvage_rule import SALVAGE_RULES
from fhircryo.endpoints.catalogue import BIOCHEMICAL_FAILURE, DISEASE_FREE, PSA_NADIR
from fhircryo.endpoints.labels import label
from fhircryo.endpoints.time_to_event import COMPETING
from fhircryo.mapping.instrument_schema import (
    Instrument,
)
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.protocol import BASELINE, Protocol
from fhircryo.research.baseline_columns import baseline_columns
from fhircryo.research.baseline_summary import NAMES
from fhircryo.research.endpoint_columns import (
    CONFIRMED_FAILURE,
    OF_PATIENTS,
    death_column,
    endpoint_columns,
    rule_column,
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

INDEX_DATE, BIRTH_YEAR = "index_date", "birth_year"
LAST_CONTACT = "last_contact_days"
#: The column of a component of the PSA nadir.
PSA_RESPONSE = "psa_response"


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


def patient_key() -> Column:
    """The column that names the patient."""
    words = "The patient: a pseudonym; the source's id where the tables are identified"
    return Column(PATIENT, ColumnType.TEXT, words, required=True)


def resource_column(words: str) -> Column:
    """The column of the resource that a row stands on."""
    return Column("resource", ColumnType.TEXT, words, identifying=True)


def _characteristics(protocol: Protocol) -> tuple[Column, ...]:
    """The columns of a patient that are not endpoints."""
    return (
        patient_key(),
        Column(INDEX_DATE, ColumnType.DATE, "Day of the index procedure (day 0)", identifying=True),
        resource_column("The index procedure"),
        Column(BIRTH_YEAR, ColumnType.INTEGER, "Year of birth", identifying=True),
        Column(
            LAST_CONTACT,
            ColumnType.INTEGER,
            "Day of the last contact from index; empty without any contact after index",
            DAYS_UNIT,
        ),
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


def patients_table(mappings: Mappings, protocol: Protocol) -> Table:
    """The table of patients with all columns that it can have."""
    columns = list(_characteristics(protocol))
    for endpoint in OF_PATIENTS:
        columns += endpoint_columns(endpoint, mappings)
        if endpoint is PSA_NADIR:
            columns.append(_psa_response())
        elif endpoint is BIOCHEMICAL_FAILURE:
            columns += _confirmed_failure(protocol)
        elif endpoint is DISEASE_FREE:
            columns += _disease_free_by_rule()
        elif endpoint in COMPETING:
            words = f"A death, and no event before it, ended {endpoint.key}"
            columns.append(Column(death_column(endpoint), ColumnType.BOOLEAN, words))
    months = sorted({row.months for row in protocol.published if row.months is not None})
    for number in months:
        words = f"A metastasis dated no later than {number} months after index"
        columns.append(Column(within_column(number), ColumnType.BOOLEAN, words))
    for point in time_points(protocol):
        words = f"Alive at {point} and its window past by the data cut-off, or answered"
        columns.append(Column(expected_column(point), ColumnType.BOOLEAN, words, required=True))
    for instrument in instruments(mappings):
        columns += _instrument_columns(instrument, protocol)
    labels = NAMES | {snake(endpoint.key): label(endpoint, protocol) for endpoint in OF_PATIENTS}
    named = [replace(column, label=labels.get(column.name, "")) for column in columns]
    return Table("patients", "One row per patient", tuple(named), (PATIENT,))


def _psa_response() -> Column:
    words = "The nadir lies below the baseline PSA; empty where that is not known"
    return Column(PSA_RESPONSE, ColumnType.BOOLEAN, words)


def _confirmed_failure(protocol: Protocol) -> Iterator[Column]:
    days = protocol.biochemical_failure.confirm_days
    later = "the next PSA result" if days is None else f"a PSA result at least {days} days later"
    words = f"{BIOCHEMICAL_FAILURE.key} if {later} has to confirm it"
    yield Column(CONFIRMED_FAILURE, ColumnType.BOOLEAN, words)
    words = f"Why {CONFIRMED_FAILURE} is absent"
    yield reason_column(f"{CONFIRMED_FAILURE}_reason", words)


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
