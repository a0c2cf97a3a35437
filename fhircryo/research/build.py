"""The tables of a cohort: in memory, or by ranges of patients in files."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import msgspec
import pyarrow as pa

from fhircryo.research.arrow import decode, encode, joined, to_arrow
from fhircryo.research.candidates import candidates_of
from fhircryo.research.columns import NOT_USED, PATIENTS
from fhircryo.research.not_used_table import not_used_rows
from fhircryo.research.patient_columns import optional_columns, score_column, time_points
from fhircryo.research.stored_table import PartWriter, StoredTable, in_files, in_memory
from fhircryo.research.table import Table
from fhircryo.research.table_builder import BuiltCounts, TableBuilder
from fhircryo.research.table_options import TableOptions
from fhircryo.runs.by_ranges import RangeRun
from fhircryo.runs.execution import Execution
from fhircryo.runs.processes import in_parallel
from fhircryo.runs.publish_patients import PublishCounts
from fhircryo.runs.read_source import ReadResult
from fhircryo.runs.run_config import RunConfig
from fhircryo.sources.folder_source import FolderSource

# One process computes fewer patients than this before a second process has started.
_PATIENTS_PER_WORKER = 500
_PATIENTS_PER_REPORT = 100


@dataclass(frozen=True)
class Built:
    """The tables of a cohort by name.

    ``read``: what was read, without the records where ranges were computed. ``hashes``: of the
    files that were read, by name; None if they were not computed.
    """

    read: ReadResult
    tables: dict[str, StoredTable]
    counts: BuiltCounts
    hashes: dict[str, str | None] | None = None


class _WorkerResult(msgspec.Struct):
    """The tables that a worker built, encoded to be sent to the first process."""

    tables: dict[str, bytes]
    counts: BuiltCounts


def build(read: ReadResult, config: RunConfig, options: TableOptions, how: Execution) -> Built:
    """Compute the cohort of a source that was read and build its tables in memory.

    Rows are in the order of the patients' names in the tables, so that pseudonyms are not in the
    order of the ids.
    """
    schemas = built_schemas(config, options)
    records = sorted(read.records.records.values(), key=lambda record: options.name(record.patient))
    workers = max(1, min(how.workers, len(records) // _PATIENTS_PER_WORKER))
    parts: dict[str, list[pa.Table]] = {name: [] for name in schemas}
    counts = BuiltCounts()

    def take(name: str, part: pa.Table) -> None:
        parts[name].append(part)

    def build_slice(number: int) -> bytes:
        start, end = (len(records) * n // workers for n in (number, number + 1))
        builder = TableBuilder(read, config, options, schemas, take)
        for done, record in enumerate(records[start:end], 1):
            builder.add(record)
            if how.progress is not None and not number and not done % _PATIENTS_PER_REPORT:
                how.progress(done, end - start)
        builder.flush()
        # The first slice is built in this process, so its tables need no encoding.
        tables = {name: encode(joined(one)) for name, one in parts.items()} if number else {}
        return msgspec.msgpack.encode(_WorkerResult(tables, builder.counts))

    for content in in_parallel(build_slice, workers):
        result = msgspec.msgpack.decode(content, type=_WorkerResult)
        counts.add(result.counts)
        for name, encoded in result.tables.items():
            parts[name].append(decode(encoded))
    counts.candidates = candidates_of(read, config.selection)
    stored = {name: in_memory(schemas[name], joined(tables)) for name, tables in parts.items()}
    return complete(Built(read, stored, counts), config, options)


class _RangeTask:
    """Builds the tables of each range and writes them to files."""

    def __init__(self, config: RunConfig, options: TableOptions, folder: Path) -> None:
        self._config = config
        self._options = options
        self._folder = folder
        self._schemas = built_schemas(config, options)
        self._counts = BuiltCounts()

    def add(self, read: ReadResult, number: int) -> PublishCounts:
        """Build the tables of a range; nothing is published."""
        with PartWriter(lambda table: _part_file(self._folder, table, number)) as writer:
            counts = build_range(read, self._config, self._options, self._schemas, writer.write)
        self._counts.add(counts)
        return PublishCounts()

    def encode(self) -> bytes:
        """What was counted."""
        return msgspec.msgpack.encode(self._counts)


def build_ranges(
    source: FolderSource, config: RunConfig, options: TableOptions, how: Execution, folder: Path
) -> Built | None:
    """Read and compute the cohort of a folder by ``how.ranges`` ranges of patients.

    ``folder``: an empty folder that then holds the tables.

    Returns:
        None where only reading everything into memory gives the result.
    """
    task = partial(_RangeTask, config, options, folder)
    totals = RangeRun(source, config, how, how.ranges, task, options.name).totals(folder)
    if totals is None:
        return None
    counts = BuiltCounts()
    for result in totals.results:
        counts.add(msgspec.msgpack.decode(result, type=BuiltCounts))
    stored = {
        name: in_files(
            columns, [_part_file(folder, name, number) for number in range(totals.count)]
        )
        for name, columns in built_schemas(config, options).items()
    }
    return complete(Built(totals.read, stored, counts, totals.hashes), config, options)


def build_range(
    read: ReadResult,
    config: RunConfig,
    options: TableOptions,
    schemas: dict[str, Table],
    take: Callable[[str, pa.Table], None],
) -> BuiltCounts:
    """Build the tables of the patients of one range, in the order of their names in the tables.

    ``take``: receives every table in parts, each with its name.
    """
    records = read.records.records
    builder = TableBuilder(read, config, options, schemas, take)
    for patient in sorted(records, key=options.name):
        builder.add(records[patient])
    builder.flush()
    builder.counts.candidates = candidates_of(read, config.selection)
    return builder.counts


def built_schemas(config: RunConfig, options: TableOptions) -> dict[str, Table]:
    """The tables that are built patient by patient."""
    return {name: table for name, table in options.schemas(config).items() if name != NOT_USED}


def _part_file(folder: Path, table: str, number: int) -> Path:
    return folder / f"{table}.{number}"


def complete(built: Built, config: RunConfig, options: TableOptions) -> Built:
    """Add the table of what was not used, and drop columns that are optional and empty."""
    columns = options.schemas(config)[NOT_USED]
    rows = not_used_rows(built.read, built.counts.not_used, identified=options.identified)
    dropped = _unanswered(built.counts.filled, config)
    tables = {
        **built.tables,
        PATIENTS: built.tables[PATIENTS].without(dropped),
        NOT_USED: in_memory(columns, to_arrow(columns, rows)),
    }
    return replace(built, tables=tables)


def _unanswered(filled: set[str], config: RunConfig) -> list[str]:
    """The columns of instruments without any response that the publication does not name.

    ``filled``: the columns that have any value.
    """
    dropped: list[str] = []
    for instrument, columns in optional_columns(config.mappings, config.protocol).items():
        scores = [score_column(instrument, point) for point in time_points(config.protocol)]
        if filled.isdisjoint((*scores, *(f"{name}_reason" for name in scores))):
            dropped += columns
    return dropped
