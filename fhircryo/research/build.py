"""The tables of a cohort, built patient by patient, by several processes if that is faster."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

import msgspec
import pyarrow as pa

from fhircryo.endpoints.patient_endpoints import PatientEndpoints
from fhircryo.record.collector import type_of
from fhircryo.record.items import PatientRecord
from fhircryo.research.arrow import decode, encode, joined, to_arrow
from fhircryo.research.cells import Row
from fhircryo.research.columns import tables
from fhircryo.research.intervals import without_calendar
from fhircryo.research.not_used_table import NotUsedKey, not_used_rows
from fhircryo.research.patient_columns import optional_columns, score_column, time_points
from fhircryo.research.patient_row import patient_row
from fhircryo.research.rows import (
    adverse_event_rows,
    endpoint_rows,
    event_rows,
    psa_rows,
    questionnaire_rows,
)
from fhircryo.research.table import PATIENT, Table
from fhircryo.runs.processes import in_parallel
from fhircryo.runs.publish_patients import reason_outside_cohort
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig
from fhircryo.sources.source import Progress

# The rows of at most this many patients are in memory as Python objects at a time.
_PATIENTS_AT_A_TIME = 2_000
# One process computes fewer patients than this before a second process has started.
_PATIENTS_PER_WORKER = 500
_PATIENTS_PER_REPORT = 100


@dataclass(frozen=True)
class Between:
    """The index dates of the cohort, first and last included; None: no limit."""

    first: date | None = None
    last: date | None = None

    def holds(self, day: date) -> bool:
        """Whether a day is within the limits."""
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


#: No limit to the index date.
ALL_DATES = Between()


@dataclass(frozen=True)
class TableOptions:
    """What the tables hold: which patients, and how they are named.

    ``name``: the name of a patient in the tables, by id. ``identified``: with dates and resource
    ids. ``between``: the index dates of the cohort.
    """

    name: Callable[[str], str]
    identified: bool = False
    between: Between = ALL_DATES


@dataclass
class BuiltTables:
    """The tables as Arrow with their columns, and how many candidates are not in the cohort."""

    schemas: dict[str, Table]
    tables: dict[str, pa.Table]
    index_after_as_of: int
    index_out_of_range: int


class _WorkerResult(msgspec.Struct):
    """The tables that a worker built, encoded to be sent to the first process."""

    tables: dict[str, bytes]
    not_used: list[tuple[str, str, str, int]]
    after_as_of: int
    out_of_range: int


@dataclass
class _Builder:
    """Builds the tables of some patients."""

    read: ReadResult
    config: RunConfig
    options: TableOptions
    schemas: dict[str, Table]
    not_used: Counter[NotUsedKey] = field(default_factory=Counter)
    after_as_of: int = 0
    out_of_range: int = 0
    _finished: dict[str, list[pa.Table]] = field(default_factory=dict)
    _rows: dict[str, list[Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [name for name in self.schemas if name != "not_used"]
        self._finished = {name: [] for name in names}
        self._rows = {name: [] for name in names}

    def add(self, record: PatientRecord) -> None:
        """Add the rows of a patient, or count why the patient is not in the cohort."""
        computed = self.config.endpoints(record, self.read.lacking)
        if computed is None:
            self.after_as_of += 1
            self._count_outside_cohort(record)
        elif not self.options.between.holds(computed.line.d0):
            self.out_of_range += 1
        else:
            self._add_rows(computed)
            self._count_not_used(record, computed)

    def _add_rows(self, computed: PatientEndpoints) -> None:
        identified = self.options.identified
        if not identified:
            computed = _without_calendar(computed)
        rows_by_table = {
            "patients": iter([patient_row(computed, self.config.protocol, identified=identified)]),
            "endpoints": endpoint_rows(computed, identified=identified),
            "psa": psa_rows(computed),
            "events": event_rows(computed),
            "adverse_events": adverse_event_rows(computed, self.config.mappings.scales),
            "questionnaires": questionnaire_rows(computed),
        }
        name = self.options.name(computed.line.record.patient)
        for table, rows in rows_by_table.items():
            kept = self._rows[table]
            for row in rows:
                row[PATIENT] = name
                kept.append(row)
        if len(self._rows["patients"]) >= _PATIENTS_AT_A_TIME:
            self._flush()

    def _flush(self) -> None:
        for name, rows in self._rows.items():
            self._finished[name].append(to_arrow(self.schemas[name], rows))
            rows.clear()

    def _count_not_used(self, record: PatientRecord, computed: PatientEndpoints) -> None:
        """Count the patient's resources that are not used."""
        codes: dict[str, str] = {}
        if self.options.identified:
            codes = {item.ref: item.code for item in record.items()}
        for issue in computed.line.issues:
            if not issue.used:
                self.not_used[issue.reason, type_of(issue.ref), codes.get(issue.ref, "")] += 1
        self._count_older(record)

    def _count_older(self, record: PatientRecord) -> None:
        for issue in self.read.older.get(record.patient, ()):
            self.not_used[issue.reason, type_of(issue.ref), ""] += 1

    def _count_outside_cohort(self, record: PatientRecord) -> None:
        """Count the resources of a candidate who has no index procedure by the as-of date."""
        for item in record.items():
            reason = reason_outside_cohort(item)
            code = item.code if self.options.identified else ""
            self.not_used[reason, type_of(item.ref), code] += 1
        self._count_older(record)

    def finish(self) -> dict[str, pa.Table]:
        """The tables of all patients that were added."""
        self._flush()
        return {name: joined(parts) for name, parts in self._finished.items()}

    def encoded(self) -> bytes:
        """The tables and the counts as bytes, for another process."""
        return msgspec.msgpack.encode(
            _WorkerResult(
                tables={key: encode(table) for key, table in self.finish().items()},
                not_used=[(*key, count) for key, count in self.not_used.items()],
                after_as_of=self.after_as_of,
                out_of_range=self.out_of_range,
            )
        )


def _without_calendar(computed: PatientEndpoints) -> PatientEndpoints:
    """The endpoints with bounds of intervals that do not disclose D0."""
    course = computed.course
    visits = {point.day for point in course.psa.points}
    if course.contact is not None:
        visits.add(course.contact.day)
    results = [without_calendar(result, course.line.d0, visits) for result in computed.results]
    return msgspec.structs.replace(computed, results=results)


def build(
    read: ReadResult,
    config: RunConfig,
    options: TableOptions,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> BuiltTables:
    """Compute the cohort of a source and build its tables.

    Rows are in the order of the patients' names in the tables, so that pseudonyms are not in the
    order of the ids.
    """
    schemas = tables(config.mappings, config.protocol)
    if not options.identified:
        schemas = {key: table.without_identifying() for key, table in schemas.items()}
    records = sorted(read.records.records.values(), key=lambda record: options.name(record.patient))
    workers = max(1, min(workers, len(records) // _PATIENTS_PER_WORKER))
    builder = _Builder(read, config, options, schemas)

    def build_slice(number: int) -> bytes:
        start, end = (len(records) * n // workers for n in (number, number + 1))
        # The first slice is built in this process, so its tables need no encoding.
        mine = builder if number == 0 else _Builder(read, config, options, schemas)
        for done, record in enumerate(records[start:end], 1):
            mine.add(record)
            if progress is not None and number == 0 and not done % _PATIENTS_PER_REPORT:
                progress(done, end - start)
        return b"" if number == 0 else mine.encoded()

    others = [
        msgspec.msgpack.decode(content, type=_WorkerResult)
        for content in in_parallel(build_slice, workers)[1:]
    ]
    built = _joined(builder, others)
    _drop_unanswered(built, config)
    return built


def _joined(builder: _Builder, others: list[_WorkerResult]) -> BuiltTables:
    """The tables of the first process and of the other workers, in their order."""
    not_used = builder.not_used
    for other in others:
        for reason, kind, code, count in other.not_used:
            not_used[reason, kind, code] += count
    arrow = {
        key: joined([table, *(decode(other.tables[key]) for other in others)])
        for key, table in builder.finish().items()
    }
    rows = not_used_rows(builder.read, not_used, identified=builder.options.identified)
    arrow["not_used"] = to_arrow(builder.schemas["not_used"], rows)
    return BuiltTables(
        builder.schemas,
        arrow,
        builder.after_as_of + sum(other.after_as_of for other in others),
        builder.out_of_range + sum(other.out_of_range for other in others),
    )


def _drop_unanswered(built: BuiltTables, config: RunConfig) -> None:
    """Drop the columns of instruments without any response, unless the publication names them."""
    patients = built.tables["patients"]
    dropped: list[str] = []
    for instrument, columns in optional_columns(config.mappings, config.protocol).items():
        scores = [score_column(instrument, point) for point in time_points(config.protocol)]
        reasons = [f"{name}_reason" for name in scores]
        if all(patients[name].null_count == len(patients) for name in (*scores, *reasons)):
            dropped += columns
    built.tables["patients"] = patients.drop_columns(dropped)
    built.schemas["patients"] = built.schemas["patients"].without(dropped)
