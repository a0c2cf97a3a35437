"""The folder of the model's files: a file for each table, and a page that explains them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from fhircryo.research.arrow import to_arrow
from fhircryo.research.cells import Row
from fhircryo.research.columns import ADVERSE_EVENTS, EVENTS, PATIENTS, PSA
from fhircryo.research.omop.cdm import (
    CDM_TABLES,
    CONCEPT,
    DEATH,
    EPISODE,
    MEASUREMENT,
    OBSERVATION,
    OBSERVATION_PERIOD,
    PERSON,
    VOCABULARY,
)
from fhircryo.research.omop.clinical_rows import ClinicalRows
from fhircryo.research.omop.concepts import (
    VOCABULARY_ID,
    concept_ids,
    concept_rows,
    custom_concepts,
    vocabulary_row,
)
from fhircryo.research.omop.persons import DAY_0, Person, period_rows, person_rows, persons_of
from fhircryo.research.stored_table import StoredTable, in_memory
from fhircryo.research.table import PATIENT, Table
from fhircryo.research.table_files import write_csv, write_parquet
from fhircryo.runs.run_config import RunConfig

#: The folder within that of the cohort, and its page.
FOLDER, PAGE = "omop", "README.md"
_ROWS_AT_A_TIME = 10_000
_ENDPOINTS = "endpoints"
Maker = Callable[[Person, Row], Iterator[Row]]


@dataclass(frozen=True)
class LeftOut:
    """What the model has no place for.

    ``persons``: the patients without a year of birth. ``without_day``: the events, deaths and
    adverse events whose day after the index procedure is not known, by the words for them.
    ``beyond``: by the cohort's table, the rows whose dates the calendar does not have.
    """

    persons: int = 0
    without_day: Mapping[str, int] = field(default_factory=dict)
    beyond: Mapping[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """A line for each number that is not 0."""
        found = {"patients without a year of birth": self.persons} | {
            f"{what.replace('_', ' ')} whose day after index is not known": number
            for what, number in sorted(self.without_day.items())
        }
        found |= {
            f"{what.replace('_', ' ')} whose date is outside the years 1 to 9999": number
            for what, number in sorted(self.beyond.items())
        }
        return [f"{number} {words}" for words, number in found.items() if number]


def write_omop(
    tables: Mapping[str, StoredTable], folder: Path, config: RunConfig, *, parquet: bool, csv: bool
) -> LeftOut:
    """Write a cohort's tables as files of the model to a new folder.

    ``parquet``, ``csv``: the formats of the files.

    Returns:
        What the files do not have.
    """
    folder.mkdir()
    concepts = tuple(custom_concepts(config.mappings, config.protocol))
    ids = concept_ids(concepts)
    rows = ClinicalRows(ids, config.mappings)
    persons = persons_of(tables[PATIENTS])
    writer = _Writer(folder, tables, persons, parquet=parquet, csv=csv)
    writer.write(
        MEASUREMENT, ((PSA, rows.psa), (_ENDPOINTS, rows.measured_endpoint)), key="measurement_id"
    )
    writer.write(
        OBSERVATION,
        ((_ENDPOINTS, rows.endpoint), (ADVERSE_EVENTS, rows.adverse_event)),
        key="observation_id",
    )
    treatments = [rows.treatment(person) for person in persons.values()]
    writer.write(EPISODE, ((EVENTS, rows.event),), key="episode_id", before=treatments)
    writer.write(DEATH, ((EVENTS, rows.death),))
    # After all others, because they say from when to when the persons were observed.
    writer.write_rows(OBSERVATION_PERIOD, period_rows(persons.values()))
    writer.write_rows(PERSON, person_rows(persons.values()))
    writer.write_rows(CONCEPT, concept_rows(concepts, ids))
    writer.write_rows(VOCABULARY, [vocabulary_row(config.settings.base)])
    left = LeftOut(_count(tables[PATIENTS]) - len(persons), rows.without_day, writer.beyond)
    identified = "index_date" in tables[PATIENTS].columns.names()
    (folder / PAGE).write_text(_page(left, identified=identified), encoding="utf-8")
    return left


def _count(table: StoredTable) -> int:
    return sum(len(part) for part in table.parts([PATIENT]))


@dataclass(frozen=True)
class _Writer:
    """Writes the tables of the model."""

    folder: Path
    tables: Mapping[str, StoredTable]
    persons: Mapping[str, Person]
    parquet: bool
    csv: bool
    beyond: dict[str, int] = field(default_factory=dict)

    def write(
        self,
        columns: Table,
        makers: Sequence[tuple[str, Maker]],
        key: str = "",
        before: Sequence[Row] = (),
    ) -> None:
        """Write a table whose rows are made of those of the cohort's tables.

        ``makers``: each with the cohort's table whose rows it takes. ``key``: the field that
        numbers the rows from 1; empty: there is none. ``before``: the first rows.
        """
        parts = list(_tables(columns, self._rows(makers, before), key))
        self._write(in_memory(columns, *parts))

    def write_rows(self, columns: Table, rows: Sequence[Row]) -> None:
        """Write a table of a few rows."""
        self._write(in_memory(columns, to_arrow(columns, rows)))

    def _write(self, table: StoredTable) -> None:
        name = table.columns.name
        if self.csv:
            write_csv(table, self.folder / f"{name}.csv")
        if self.parquet:
            write_parquet(table, self.folder / f"{name}.parquet")

    def _rows(self, makers: Sequence[tuple[str, Maker]], before: Sequence[Row]) -> Iterator[Row]:
        yield from before
        for name, make in makers:
            beyond = 0
            for row in self._rows_of(name):
                person = self.persons.get(row[PATIENT])
                if person is None:
                    continue
                # Day 0 can be another day than that of the record, so that a date has no place.
                days = person.contact if row["days"] is None else row["days"]
                if person.reaches(days):
                    yield from make(person, row)
                else:
                    beyond += 1
            # Several makers take the rows of one table, and pass over the same ones.
            self.beyond[name] = beyond

    def _rows_of(self, name: str) -> Iterator[Row]:
        for part in self.tables[name].parts():
            for batch in part.to_batches(_ROWS_AT_A_TIME):
                yield from batch.to_pylist()


def _tables(columns: Table, rows: Iterable[Row], key: str) -> Iterator[pa.Table]:
    """Rows as Arrow tables of some thousand rows each, numbered."""
    held: list[Row] = []
    for number, row in enumerate(rows, 1):
        held.append(row | {key: number} if key else row)
        if len(held) == _ROWS_AT_A_TIME:
            yield to_arrow(columns, held)
            held = []
    yield to_arrow(columns, held)


def _page(left: LeftOut, *, identified: bool) -> str:
    """The page: which tables there are, what their dates are, and what they do not have."""
    dates = (
        "Dates are those of the record."
        if identified
        else f"Dates are not those of the record: day 0 of every patient is {DAY_0}. The days"
        " between the dates of a patient are true, and a year of birth gives the age at day 0."
    )
    listed = [f"- `{table.name}`: {table.words}" for table in CDM_TABLES]
    lost = [f"- {line}" for line in left.lines()] or ["- nothing"]
    lines = [
        "# OMOP CDM 5.4",
        "",
        dates,
        "",
        f"The concepts of the vocabulary {VOCABULARY_ID} are in `concept`; all others are those of"
        " the standardized vocabularies, which are to be loaded from Athena first.",
        "",
        *listed,
        "",
        "Left out, because the model has no place for it:",
        "",
        *lost,
        "",
    ]
    return "\n".join(lines)
