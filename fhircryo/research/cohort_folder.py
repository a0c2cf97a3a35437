"""A cohort as a folder: tables, statistics and a report."""

from pathlib import Path
from typing import Any

from fhircryo.errors import UsageError
from fhircryo.logs import json_text
from fhircryo.publish.folder_target import check_target, writing_to
from fhircryo.research import redcap
from fhircryo.research.aggregate import aggregated
from fhircryo.research.analysis import Analysis
from fhircryo.research.build import TableOptions
from fhircryo.research.cohort_manifest import manifest
from fhircryo.research.cohort_tables import Cohort, cohort_of
from fhircryo.research.columns import FOLLOW_UP
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
from fhircryo.runs.execution import Execution
from fhircryo.runs.read_source import ReadOptions, ReadResult, no_garbage_collection, read_source
from fhircryo.runs.run_config import RunConfig
from fhircryo.sources.open_source import ServerReading
from fhircryo.sources.places import folder_of


def write_cohort(
    source: str | Path,
    folder: Path,
    config: RunConfig,
    options: FolderOptions,
    execution: Execution | None = None,
) -> Cohort:
    """Compute a source's cohort and write its folder: all files, or none if anything fails.

    Raises:
        SourceError: the source cannot be read.
        TargetError: the folder cannot be written.
        UsageError: the folder holds other files, or the key cannot be used.
    """
    how = execution or Execution()
    check_target(folder, folder_of(source), own=OWN)
    key = options.key or folder.with_name(f"{folder.name}.key")
    pseudonyms = _pseudonyms(options, folder, key)
    read = _read(source, folder, config, how)
    how.begin("computing")
    identified = options.kind == "identified"
    tables = TableOptions(str if identified else pseudonyms.of, identified, options.between)
    with no_garbage_collection():
        found = cohort_of(read, config, tables, workers=how.workers, progress=how.progress)
    made_from = manifest(read, config, options, found.flow, pseudonyms)
    del read  # The records take most of the memory, and they are not needed any more.
    how.begin("writing")
    if options.kind == "pseudonymised" and not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True)
        write_key(key, pseudonyms)
    with writing_to(folder, OWN) as work:
        _write_json(work / MANIFEST, made_from)
        _write_folder(work, found, options)
    return found


def _pseudonyms(options: FolderOptions, folder: Path, key: Path) -> Pseudonyms:
    """The pseudonyms of the key; of a new key if there is none, or if no pseudonyms are used."""
    if folder.resolve() in key.resolve().parents:
        raise UsageError(f"{key}: the key would lie with the tables; name another --key")
    if options.kind == "pseudonymised" and key.exists():
        return read_key(key)
    return Pseudonyms.at_random()


def _read(source: str | Path, folder: Path, config: RunConfig, how: Execution) -> ReadResult:
    how.begin("reading")
    server = ServerReading(folder, how.bulk)
    return read_source(source, config, ReadOptions(how.workers, how.progress, server=server))


def _write_folder(work: Path, found: Cohort, options: FolderOptions) -> None:
    shown = found.analysis
    if options.kind == "aggregate-only":
        shown = aggregated(shown, found.tables, found.config, options.threshold)
    else:
        _write_tables(work, found, options.formats)
    _write_json(work / FLOW, _flow(shown))
    about = (found.config, shown.flow, options.between, options.kind)
    (work / METHODS).write_text(methods(*about), encoding="utf-8")
    if options.report:
        _write_report(work, found, shown, methods(*about, quote=plain), options.kind)


def _write_tables(work: Path, found: Cohort, formats: tuple[str, ...]) -> None:
    tables = [found.columns[name] for name in TABLES]
    for table in tables:
        if CSV in formats:
            write_csv(found.arrow[table.name], table, work / f"{table.name}.csv")
        if PARQUET in formats:
            write_parquet(found.tables[table.name], work / f"{table.name}.parquet")
    if REDCAP in formats:
        redcap.write_redcap(found.columns, found.arrow, work)
    title = f"{found.config.protocol.title}, as of {found.config.as_of}"
    package = data_package(tables, found.config.protocol.id, title, frozenset(formats))
    _write_json(work / PACKAGE, package)
    (work / DICTIONARY).write_text(dictionary(tables), encoding="utf-8")


def _write_report(work: Path, found: Cohort, shown: Analysis, text: str, kind: str) -> None:
    from fhircryo.research.report.page import figures_of, page

    figures = figures_of(shown, None if kind == "aggregate-only" else found.tables["psa"])
    (work / REPORT).write_text(page(shown, figures, found.config, text, kind), encoding="utf-8")
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
