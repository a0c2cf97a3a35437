"""The tables of a cohort, patient by patient, in several processes where that is worth it."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date

import msgspec
import pyarrow as pa

from fhircryo.endpoints.patient_endpoints import PatientEndpoints
from fhircryo.fhir.resource_names import KNOWN_TYPES
from fhircryo.record.collector import type_of
from fhircryo.record.items import NotUsed, PatientRecord, Reason
from fhircryo.research.arrow import decode, encode, joined, to_arrow
from fhircryo.research.columns import (
    NO_CODE,
    PATIENT,
    Table,
    optional_columns,
    score_column,
    tables,
    time_points,
)
from fhircryo.research.patient_row import Row, patient_row
from fhircryo.research.rows import (
    adverse_event_rows,
    endpoint_rows,
    event_rows,
    psa_rows,
    questionnaire_rows,
)
from fhircryo.runs.processes import in_parallel
from fhircryo.runs.run_config import RunConfig
from fhircryo.sources.read_result import ReadResult
from fhircryo.sources.reading import Progress

# So many patients' rows are in memory as Python objects at a time.
_PATIENTS_AT_A_TIME = 2_000
# Fewer patients than this are computed before a second process has started.
_PATIENTS_PER_WORKER = 500
#: Of what is no FHIR resource type, whatever it says.
_OTHER_TYPE = "other"

#: Why, of which resource type, coded as what.
NotUsedKey = tuple[str, str, str]


@dataclass(frozen=True)
class Between:
    """Index dates of the cohort, both ends included; None is open."""

    first: date | None = None
    last: date | None = None

    def holds(self, day: date) -> bool:
        """Whether a day lies between."""
        return (self.first is None or self.first <= day) and (self.last is None or day <= self.last)


#: Whatever the index date.
ALL_DATES = Between()


@dataclass
class Built:
    """The tables as Arrow with their columns; how many candidates are not in them, and why."""

    schemas: dict[str, Table]
    tables: dict[str, pa.Table]
    index_after_as_of: int = 0
    index_out_of_range: int = 0


class _Part(msgspec.Struct):
    """What a worker built, as it goes from process to process."""

    tables: dict[str, bytes]
    not_used: list[tuple[str, str, str, int]]
    after_as_of: int
    out_of_range: int


@dataclass
class _Builder:
    """Builds the tables of some patients."""

    job: RunConfig
    read: ReadResult
    schemas: dict[str, Table]
    name: Callable[[str], str]
    between: Between
    identified: bool
    not_used: Counter[NotUsedKey] = field(default_factory=Counter)
    after_as_of: int = 0
    out_of_range: int = 0
    _done: dict[str, list[pa.Table]] = field(default_factory=dict)
    _rows: dict[str, list[Row]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [name for name in self.schemas if name != "not_used"]
        self._done = {name: [] for name in names}
        self._rows = {name: [] for name in names}

    def take(self, record: PatientRecord) -> None:
        """Add a patient, if he is of the cohort."""
        computed = self.job.endpoints(record, self.read.lacking)
        if computed is None:
            self.after_as_of += 1
            self._count_outside(record)
        elif not self.between.holds(computed.line.d0):
            self.out_of_range += 1
        else:
            self._add(computed)
            self._count(record, computed)

    def _add(self, computed: PatientEndpoints) -> None:
        mine = {
            "patients": iter(
                [patient_row(computed, self.job.protocol, identified=self.identified)]
            ),
            "endpoints": endpoint_rows(computed, identified=self.identified),
            "psa": psa_rows(computed),
            "events": event_rows(computed),
            "adverse_events": adverse_event_rows(computed, self.job.mappings.scales),
            "questionnaires": questionnaire_rows(computed),
        }
        called = self.name(computed.line.record.patient)
        for name, rows in mine.items():
            into = self._rows[name]
            for row in rows:
                row[PATIENT] = called
                into.append(row)
        if len(self._rows["patients"]) >= _PATIENTS_AT_A_TIME:
            self._flush()

    def _flush(self) -> None:
        for name, rows in self._rows.items():
            self._done[name].append(to_arrow(self.schemas[name], rows))
            rows.clear()

    def _count(self, record: PatientRecord, computed: PatientEndpoints) -> None:
        """What of his was not used."""
        labels = {item.ref: item.code for item in record.items()} if self.identified else {}
        for notice in computed.line.notices:
            if not notice.used:
                kind = type_of(notice.ref)
                self.not_used[notice.reason, kind, labels.get(notice.ref, "")] += 1
        self._count_older(record)

    def _count_older(self, record: PatientRecord) -> None:
        for notice in self.read.older.get(record.patient, ()):
            self.not_used[notice.reason, type_of(notice.ref), ""] += 1

    def _count_outside(self, record: PatientRecord) -> None:
        """What of a candidate's was not used who has no index procedure by as-of."""
        for item in record.items():
            reason = Reason.NOT_IN_COHORT
            if isinstance(item, NotUsed):
                reason = item.reason
            elif type_of(item.ref) == "Procedure":
                reason = Reason.AFTER_AS_OF
            self.not_used[reason, type_of(item.ref), item.code if self.identified else ""] += 1
        self._count_older(record)

    def finish(self) -> dict[str, pa.Table]:
        """The tables."""
        self._flush()
        return {name: joined(parts) for name, parts in self._done.items()}


def build(
    read: ReadResult,
    job: RunConfig,
    name: Callable[[str], str],
    *,
    identified: bool,
    between: Between,
    workers: int = 1,
    progress: Progress | None = None,
) -> Built:
    """Compute the cohort of a source into tables.

    ``name``: what a patient is called in them; rows are in the order of these names, so that
    pseudonyms do not stand in the order of ids.
    """
    schemas = tables(job.mappings, job.protocol)
    if not identified:
        schemas = {key: table.without_identifying() for key, table in schemas.items()}
    records = sorted(read.records.records.values(), key=lambda record: name(record.patient))
    workers = max(1, min(workers, len(records) // _PATIENTS_PER_WORKER))
    builders = [_Builder(job, read, schemas, name, between, identified) for _ in range(workers)]
    mine: dict[str, pa.Table] = {}

    def build_slice(number: int) -> bytes:
        start, end = (len(records) * n // workers for n in (number, number + 1))
        builder = builders[number]
        for done, record in enumerate(records[start:end], 1):
            builder.take(record)
            if progress is not None and not number and not done % 100:
                progress(done, end - start)
        if not number:
            mine.update(builder.finish())
            return b""
        return msgspec.msgpack.encode(
            _Part(
                tables={key: encode(table) for key, table in builder.finish().items()},
                not_used=[(*key, count) for key, count in builder.not_used.items()],
                after_as_of=builder.after_as_of,
                out_of_range=builder.out_of_range,
            )
        )

    others = [
        msgspec.msgpack.decode(content, type=_Part)
        for content in in_parallel(build_slice, workers)[1:]
    ]
    not_used = builders[0].not_used
    for part in others:
        for reason, kind, code, count in part.not_used:
            not_used[reason, kind, code] += count
    found = {
        key: joined([table, *(decode(part.tables[key]) for part in others)])
        for key, table in mine.items()
    }
    found["not_used"] = _not_used(read, not_used, schemas["not_used"], identified=identified)
    built = Built(
        schemas,
        found,
        builders[0].after_as_of + sum(part.after_as_of for part in others),
        builders[0].out_of_range + sum(part.out_of_range for part in others),
    )
    _drop_unanswered(built, job)
    return built


def _not_used(
    read: ReadResult, counted: Counter[NotUsedKey], schema: Table, *, identified: bool
) -> pa.Table:
    """Everything that was not used: of patients of the cohort, of others, and of nobody."""
    total = counted.copy()
    for (reason, kind, code), count in read.records.counted.items():
        total[reason, kind, code if identified else ""] += count
    for notice, _ in read.records.listed:
        total[notice.reason, type_of(notice.ref), ""] += 1
    in_records = Counter(notice.ref for notices in read.older.values() for notice in notices)
    for older in read.records.older:
        if in_records[older.ref]:
            in_records[older.ref] -= 1
        else:
            total[Reason.SUPERSEDED, type_of(older.ref), ""] += 1
    for unreadable in read.reading.shelf.unreadable:
        kind = unreadable.kind if unreadable.kind in KNOWN_TYPES else _OTHER_TYPE
        total[Reason.UNREADABLE, kind, ""] += 1
    order = {str(reason): number for number, reason in enumerate(Reason)}
    rows = [
        {"reason": reason, "resource_type": kind, "code": code or NO_CODE, "count": count}
        for (reason, kind, code), count in sorted(
            total.items(), key=lambda pair: (order[pair[0][0]], *pair[0][1:])
        )
    ]
    return to_arrow(schema, rows)


def _drop_unanswered(built: Built, job: RunConfig) -> None:
    """Leave out the columns of instruments that nobody answered and no publication names."""
    patients = built.tables["patients"]
    unwanted: list[str] = []
    for instrument, columns in optional_columns(job.mappings, job.protocol).items():
        of_scores = [score_column(instrument, point) for point in time_points(job.protocol)]
        reasons = [f"{name}_reason" for name in of_scores]
        asked = [*of_scores, *reasons]
        if all(patients[name].null_count == len(patients) for name in asked):
            unwanted += columns
    built.tables["patients"] = patients.drop_columns(unwanted)
    built.schemas["patients"] = built.schemas["patients"].without(unwanted)
