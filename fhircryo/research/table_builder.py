"""Builds the tables of some patients of a cohort, patient by patient."""

from collections.abc import Callable, Iterable

import msgspec
import pyarrow as pa

from fhircryo.endpoints.catalogue import DISEASE_FREE
from fhircryo.endpoints.patient_endpoints import PatientEndpoints
from fhircryo.record.collector import add_counts, type_of
from fhircryo.record.items import Issue, PatientRecord
from fhircryo.research.arrow import to_arrow
from fhircryo.research.candidates import Candidates
from fhircryo.research.cells import Row
from fhircryo.research.columns import NO, PATIENTS, YES
from fhircryo.research.intervals import without_calendar
from fhircryo.research.not_used_table import NotUsedKey
from fhircryo.research.patient_row import patient_row
from fhircryo.research.rows import (
    adverse_event_rows,
    endpoint_rows,
    event_rows,
    psa_rows,
    questionnaire_rows,
)
from fhircryo.research.table import PATIENT, Table
from fhircryo.research.table_options import TableOptions
from fhircryo.runs.publish_patients import reason_outside_cohort
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig

# The rows of at most this many patients are in memory as Python objects at a time.
_PATIENTS_AT_A_TIME = 250


class BuiltCounts(msgspec.Struct):
    """What is counted while the tables of some patients are built.

    ``cohort``: the patients in the tables. ``not_used``: resources of candidates. ``after_as_of``,
    ``out_of_range``: the candidates who are not in the cohort because of the date of their index
    procedure. ``first_year`` and ``last_year``: of the index procedures of the cohort; 0 if it is
    empty. ``filled``: the columns of the table of patients that have any value.
    ``disease_free``: the patients by the year of the index procedure and whether they are
    disease-free at the landmark (``YES``, ``NO``, else the reason why that is not known).
    """

    cohort: int = 0
    not_used: dict[NotUsedKey, int] = {}
    after_as_of: int = 0
    out_of_range: int = 0
    first_year: int = 0
    last_year: int = 0
    filled: set[str] = set()
    disease_free: dict[tuple[int, str], int] = {}
    candidates: Candidates = msgspec.field(default_factory=Candidates)

    def add(self, more: "BuiltCounts") -> None:
        """Add what was counted of other patients."""
        self.cohort += more.cohort
        add_counts(self.not_used, more.not_used)
        self.after_as_of += more.after_as_of
        self.out_of_range += more.out_of_range
        self.add_years(more.first_year, more.last_year)
        self.filled |= more.filled
        add_counts(self.disease_free, more.disease_free)
        self.candidates.add(more.candidates)

    def add_years(self, first: int, last: int) -> None:
        """Extend the years of the index procedures; 0: by none."""
        self.first_year = min(self.first_year or first, first or self.first_year)
        self.last_year = max(self.last_year, last)


class TableBuilder:
    """Builds the tables of some patients; the rows are in the order of the patients.

    ``schemas``: the tables to build, by name. ``take``: receives every table in parts, each with
    its name.
    """

    def __init__(
        self,
        read: ReadResult,
        config: RunConfig,
        options: TableOptions,
        schemas: dict[str, Table],
        take: Callable[[str, pa.Table], None],
    ) -> None:
        self.counts = BuiltCounts()
        self._read = read
        self._config = config
        self._options = options
        self._schemas = schemas
        self._take = take
        self._rows: dict[str, list[Row]] = {name: [] for name in schemas}

    def add(self, record: PatientRecord) -> None:
        """Add the rows of a patient, or count why the patient is not in the cohort."""
        computed = self._config.endpoints(record, self._read.lacking)
        if computed is None:
            self.counts.after_as_of += 1
            self._count_outside_cohort(record)
        elif not self._options.between.holds(computed.line.d0):
            self.counts.out_of_range += 1
        else:
            self.counts.cohort += 1
            year = computed.line.d0.year
            self.counts.add_years(year, year)
            add_counts(self.counts.disease_free, {(year, _disease_free(computed)): 1})
            self._add_rows(computed)
            self._count_not_used(record, computed)

    def _add_rows(self, computed: PatientEndpoints) -> None:
        identified = self._options.identified
        if not identified:
            computed = _without_calendar(computed)
        rows_by_table: dict[str, Iterable[Row]] = {
            PATIENTS: [patient_row(computed, self._config.protocol, identified=identified)],
            "endpoints": endpoint_rows(computed, identified=identified),
            "psa": psa_rows(computed),
            "events": event_rows(computed),
            "adverse_events": adverse_event_rows(computed, self._config.mappings.scales),
            "questionnaires": questionnaire_rows(computed),
        }
        name = self._options.name(computed.line.record.patient)
        for table, rows in rows_by_table.items():
            kept = self._rows[table]
            for row in rows:
                row[PATIENT] = name
                kept.append(row)
        if len(self._rows[PATIENTS]) >= _PATIENTS_AT_A_TIME:
            self.flush()

    def flush(self) -> None:
        """Give away the rows that were built."""
        for name, rows in self._rows.items():
            part = to_arrow(self._schemas[name], rows)
            rows.clear()
            self._take(name, part)
            if name == PATIENTS:
                columns = zip(part.column_names, part.columns, strict=True)
                self.counts.filled.update(
                    name for name, column in columns if column.null_count < len(part)
                )

    def _count_not_used(self, record: PatientRecord, computed: PatientEndpoints) -> None:
        """Count the patient's resources that are not used."""
        codes: dict[str, str] = {}
        if self._options.identified:
            codes = {item.ref: item.code for item in record.items()}
        for issue in computed.line.issues:
            if not issue.used:
                self._count(issue, codes.get(issue.ref, ""))
        self._count_older(record)

    def _count_older(self, record: PatientRecord) -> None:
        for issue in self._read.older.get(record.patient, ()):
            self._count(issue, "")

    def _count(self, issue: Issue, code: str) -> None:
        key = issue.reason, type_of(issue.ref), code
        self.counts.not_used[key] = self.counts.not_used.get(key, 0) + 1

    def _count_outside_cohort(self, record: PatientRecord) -> None:
        """Count the resources of a candidate who has no index procedure by the as-of date."""
        for item in record.items():
            code = item.code if self._options.identified else ""
            self._count(Issue(item.ref, reason_outside_cohort(item)), code)
        self._count_older(record)


def _disease_free(computed: PatientEndpoints) -> str:
    """Whether a patient is disease-free at the landmark, else why that is not known."""
    result = next(one for one in computed.results if one.endpoint is DISEASE_FREE)
    if result.value is None:
        return str(result.reason)
    return YES if result.value else NO


def _without_calendar(computed: PatientEndpoints) -> PatientEndpoints:
    """The endpoints with bounds of intervals that do not disclose D0."""
    course = computed.course
    visits = {point.day for point in course.psa.points}
    if course.contact is not None:
        visits.add(course.contact.day)
    results = [without_calendar(result, course.line.d0, visits) for result in computed.results]
    return msgspec.structs.replace(computed, results=results)
