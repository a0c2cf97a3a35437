"""A cohort as a folder: tables, statistics and a report."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fhircryo.errors import UsageError
from fhircryo.logs import json_text
from fhircryo.publish.folder_target import check_target, writing_to
from fhircryo.research import redcap
from fhircryo.research.aggregate import aggregated
from fhircryo.research.analysis import Analysis, analyse
from fhircryo.research.build import Built, build, build_ranges
from fhircryo.research.cohort_manifest import manifest
from fhircryo.research.cohort_tables import Cohort, cohort_from
from fhircryo.research.columns import FOLLOW_UP, PSA
from fhircryo.research.flow import Flow
from fhircryo.research.folder_options import (
    CSV,
    DICTIONARY,
    FIGURES,
    FLOW,
    MANIFEST,
    METHODS,
    OWN,
    PACKAGE,
    PARQUET,
    REDCAP,
    REPORT,
    TABLES,
    FolderOptions,
)
from fhircryo.research.methods import methods
from fhircryo.research.package import data_package, dictionary
from fhircryo.research.pseudonyms import Pseudonyms, read_key, write_key
from fhircryo.research.quoting import plain
from fhircryo.research.table_files import write_csv, write_parquet
from fhircryo.research.table_options import TableOptions
from fhircryo.runs.execution import Execution
from fhircryo.runs.read_source import ReadOptions, no_garbage_collection, read_source
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.slices import hashes_of
from fhircryo.runs.workload import ranges_for
from fhircryo.sources.folder_source import FolderSource, file_limits
from fhircryo.sources.open_source import ServerReading
from fhircryo.sources.places import folder_of

#: The folder of the tables in parts while the files are written.
_PARTS = "parts"
#: Bytes of memory that every process needs to build tables, whatever it reads.
_BASE_MEMORY = 240 << 20


@dataclass(frozen=True)
class Found:
    """What a run tells beside its files; the attributes are those of ``Cohort``."""

    flow: Flow
    unknown_patients: list[str]


def write_cohort(
    source: str | Path,
    folder: Path,
    config: RunConfig,
    options: FolderOptions,
    execution: Execution | None = None,
) -> Found:
    """Compute a source's cohort and write its folder: all files, or none if anything fails.

    Raises:
        SourceError: the source cannot be read.
        TargetError: the folder cannot be written.
        UsageError: the folder holds other files, or the key cannot be used.
    """
    how = execution or Execution()
    read_from = folder_of(source)
    check_target(folder, read_from, own=OWN)
    key = options.key or folder.with_name(f"{folder.name}.key")
    job = _Job(folder, config, options, pseudonyms_of(options, folder, key), how)
    how.begin("reading")
    if read_from is not None:
        files = FolderSource(read_from, file_limits(config.settings.source))
        count = ranges_for(files.input.files, how, _BASE_MEMORY)
        if count > 1:
            return job.by_ranges(files, key, count)
    built = job.in_memory(source)
    how.begin("writing")
    job.retain(key)
    with writing_to(folder, OWN) as work:
        return job.write(work, built)


@dataclass(frozen=True)
class _Job:
    """A cohort that is computed into a folder."""

    folder: Path
    config: RunConfig
    options: FolderOptions
    pseudonyms: Pseudonyms
    how: Execution

    def by_ranges(self, source: FolderSource, key: Path, count: int) -> Found:
        """Compute ranges of patients one after another; in memory only where that is needed."""
        with writing_to(self.folder, OWN) as work, no_garbage_collection():
            parts = work / _PARTS
            parts.mkdir()
            how = replace(self.how, ranges=count)
            built = build_ranges(source, self.config, self._tables, how, parts)
            if built is None:
                built = self.in_memory(source.name)
            self.how.begin("writing")
            self.retain(key)
            found = self.write(work, built)
            shutil.rmtree(parts)
        return found

    def in_memory(self, source: str | Path) -> Built:
        """Read everything into memory and build the tables."""
        how = self.how
        server = ServerReading(self.folder, how.bulk)
        read = read_source(
            source, self.config, ReadOptions(how.workers, how.progress, server=server)
        )
        how.begin("computing")
        with no_garbage_collection():
            built = build(read, self.config, self._tables, how)
        # The records take most of the memory, and they are not needed any more.
        read.records.records.clear()
        read.collected.items.clear()
        return replace(built, hashes=hashes_of(read.collected.files))

    @property
    def _tables(self) -> TableOptions:
        identified = self.options.kind == "identified"
        name = str if identified else self.pseudonyms.of
        return TableOptions(name, identified, self.options.between)

    def retain(self, key: Path) -> None:
        """Write the key if it is a new one that the tables need."""
        if self.options.kind == "pseudonymised" and not key.exists():
            key.parent.mkdir(parents=True, exist_ok=True)
            write_key(key, self.pseudonyms)

    def write(self, work: Path, built: Built) -> Found:
        """Write the files of the cohort's folder."""
        cohort = cohort_from(built, self.config)
        about = (self.config, self.options, cohort.flow, self.pseudonyms, built.hashes or {})
        _write_json(work / MANIFEST, manifest(built.read, *about))
        _write_folder(work, cohort, self.options)
        return Found(cohort.flow, cohort.unknown_patients)


def pseudonyms_of(options: FolderOptions, folder: Path, key: Path) -> Pseudonyms:
    """The pseudonyms of the key; of a new key if there is none, or if no pseudonyms are used."""
    if folder.resolve() in key.resolve().parents:
        raise UsageError(f"{key}: the key would lie with the tables; name another --key")
    if options.kind == "pseudonymised" and key.exists():
        return read_key(key)
    return Pseudonyms.at_random()


def _write_folder(work: Path, cohort: Cohort, options: FolderOptions) -> None:
    tables = cohort.analysed()
    shown = analyse(tables, cohort.config, cohort.flow)
    if options.kind == "aggregate-only":
        shown = aggregated(shown, tables, cohort.config, options.threshold)
    del tables
    if options.kind != "aggregate-only":
        _write_tables(work, cohort, options.formats)
    _write_json(work / FLOW, _flow(shown))
    about = (cohort.config, shown.flow, options.between, options.kind)
    (work / METHODS).write_text(methods(*about), encoding="utf-8")
    if options.report:
        _write_report(work, cohort, shown, methods(*about, quote=plain), options.kind)


def _write_tables(work: Path, cohort: Cohort, formats: tuple[str, ...]) -> None:
    tables = [cohort.stored[name] for name in TABLES]
    for table in tables:
        if CSV in formats:
            write_csv(table, work / f"{table.columns.name}.csv")
        if PARQUET in formats:
            write_parquet(table, work / f"{table.columns.name}.parquet")
    if REDCAP in formats:
        redcap.write_redcap(cohort.stored, work)
    title = f"{cohort.config.protocol.title}, as of {cohort.config.as_of}"
    described = [table.columns for table in tables]
    package = data_package(described, cohort.config.protocol.id, title, frozenset(formats))
    _write_json(work / PACKAGE, package)
    (work / DICTIONARY).write_text(dictionary(described), encoding="utf-8")


def _write_report(work: Path, cohort: Cohort, shown: Analysis, text: str, kind: str) -> None:
    from fhircryo.research.report.curves import PSA_COLUMNS
    from fhircryo.research.report.page import figures_of, page

    psa = None if kind == "aggregate-only" else cohort.stored[PSA].frame(PSA_COLUMNS)
    figures = figures_of(shown, psa)
    (work / REPORT).write_text(page(shown, figures, cohort.config, text, kind), encoding="utf-8")
    folder = work / FIGURES
    folder.mkdir()
    for figure in figures.all:
        (folder / f"{figure.name}.svg").write_bytes(figure.svg)
        (folder / f"{figure.name}.csv").write_text(figure.data, encoding="utf-8")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json_text(content, indent=2) + "\n", encoding="utf-8")


def _flow(shown: Analysis) -> dict[str, Any]:
    """The flow and the evaluable patients as data for JSON; null if too few to be shown."""
    flow = shown.flow
    return {
        "resources_read": flow.resources_read,
        "patients_read": flow.patients_read,
        "with_index_candidate": flow.candidates,
        "lost": [{"why": lost.words, "patients": lost.patients} for lost in flow.lost],
        "cohort": flow.cohort,
        "no_index_procedure": [
            {"cryoablation": reason, "patients": number}
            for reason, number in flow.procedures.items()
        ],
        "source_lacks": flow.lacking,
        "never_stated": flow.never_stated,
        "unreadable": flow.unreadable,
        "evaluable": [
            {
                "endpoint": endpoint.code,
                "time_point": endpoint.time_point or FOLLOW_UP,
                "patients": endpoint.patients,
                "absent": {absence.reason: absence.patients for absence in endpoint.absent},
            }
            for endpoint in shown.evaluable
        ],
    }
