"""A cohort: read, computed, its tables; and as a folder with all that a paper needs."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from fhircryo.errors import UsageError
from fhircryo.publish.folder_target import check_target, writing_to
from fhircryo.research import redcap
from fhircryo.research.aggregate import aggregated
from fhircryo.research.analysis import Analysis, analyse
from fhircryo.research.arrow import to_frame
from fhircryo.research.build import ALL_DATES, Between, build
from fhircryo.research.cohort_manifest import manifest
from fhircryo.research.columns import Table
from fhircryo.research.flow import Flow, flow_of
from fhircryo.research.methods import methods
from fhircryo.research.package import data_package, dictionary
from fhircryo.research.pseudonyms import Pseudonyms, read_key, write_key
from fhircryo.research.table_files import write_csv, write_parquet
from fhircryo.runs.read_source import ReadOptions, ReadResult, no_garbage_collection, read_source
from fhircryo.runs.run_config import RunConfig
from fhircryo.sources.bulk_source import Bulk
from fhircryo.sources.open_source import ServerReading
from fhircryo.sources.places import folder_of
from fhircryo.sources.source import Progress

if TYPE_CHECKING:
    import pandas as pd

CSV, PARQUET, REDCAP = "csv", "parquet", "redcap"
FORMATS = (CSV, PARQUET, REDCAP)

Kind = Literal["identified", "pseudonymised", "aggregate-only"]

_TABLES = (
    "patients",
    "endpoints",
    "psa",
    "events",
    "adverse_events",
    "questionnaires",
    "not_used",
)
MANIFEST, REPORT, FIGURES = "manifest.json", "report.html", "figures"
_PACKAGE, _DICTIONARY, _METHODS, _FLOW = (
    "datapackage.json",
    "dictionary.csv",
    "methods.md",
    "flow.json",
)
#: What a run can have written.
OWN = frozenset(
    {MANIFEST, REPORT, FIGURES, _PACKAGE, _DICTIONARY, _METHODS, _FLOW}
    | {f"{name}.{kind}" for name in _TABLES for kind in (CSV, PARQUET)}
    | redcap.FILES
)


@dataclass(frozen=True)
class Wanted:
    """What a cohort's folder is to hold. ``threshold``: groups smaller than this are not shown."""

    kind: Kind = "pseudonymised"
    formats: tuple[str, ...] = (CSV, PARQUET)
    report: bool = True
    between: Between = ALL_DATES
    threshold: int = 5


@dataclass(frozen=True)
class Cohort:
    """A cohort's tables.

    ``columns``: what their columns are; ``flow``: where patients were lost; ``unknown_patients``:
    asked for by name and not in the source.
    """

    job: RunConfig
    columns: dict[str, Table]
    arrow: dict[str, pa.Table]
    flow: Flow
    unknown_patients: list[str]

    @cached_property
    def tables(self) -> "dict[str, pd.DataFrame]":
        """The tables as data frames, by name."""
        return {name: to_frame(table) for name, table in self.arrow.items()}

    @cached_property
    def analysis(self) -> Analysis:
        """The numbers of the report."""
        return analyse(self.tables, self.job, self.flow)

    def __getitem__(self, name: str) -> "pd.DataFrame":
        """A table by name.

        Raises:
            KeyError: there is none of this name.
        """
        return self.tables[name]


def cohort_of(
    read: ReadResult,
    job: RunConfig,
    name: Callable[[str], str],
    *,
    identified: bool = False,
    between: Between = ALL_DATES,
    workers: int = 1,
    progress: Progress | None = None,
) -> Cohort:
    """The cohort of a source that was read; ``name``: what a patient is called in it."""
    built = build(
        read,
        job,
        name,
        identified=identified,
        between=between,
        workers=workers,
        progress=progress,
    )
    flow = flow_of(read, job, built, len(built.tables["patients"]))
    unknown: list[str] = []
    if job.selection.include is not None:
        unknown = sorted(job.selection.include - read.collected.facts.met)
    return Cohort(job, built.schemas, built.tables, flow, unknown)


def pull(
    source: str | Path,
    folder: Path,
    job: RunConfig,
    wanted: Wanted,
    *,
    key: Path | None = None,
    workers: int = 1,
    progress: Progress | None = None,
    stage: Callable[[str], None] | None = None,
    bulk: Bulk | None = None,
) -> Cohort:
    """Write a source's cohort to a folder: all its files or none.

    ``bulk``: read a server by bulk export.

    ``key``: of the pseudonyms; made where it is not there. Without one it stands beside the folder.
    ``stage`` is told what is being done, ``progress`` how far it is.

    Raises:
        SourceError, UsageError, TargetError: as the messages say.
    """
    tell = stage or (lambda _: None)
    check_target(folder, folder_of(source), own=OWN)
    place = key or folder.with_name(f"{folder.name}.key")
    if folder.resolve() in place.resolve().parents:
        raise UsageError(f"{place}: the key would lie with the tables; name another --key")
    kept = wanted.kind == "pseudonymised" and place.exists()
    pseudonyms = read_key(place) if kept else Pseudonyms.at_random()
    tell("reading")
    options = ReadOptions(workers, progress, server=ServerReading(folder, bulk))
    read = read_source(source, job, options)
    tell("computing")
    identified = wanted.kind == "identified"
    with no_garbage_collection():
        found = cohort_of(
            read,
            job,
            str if identified else pseudonyms.of,
            identified=identified,
            between=wanted.between,
            workers=workers,
            progress=progress,
        )
    made = manifest(
        read, job, wanted.between, found.flow, kind=wanted.kind, formats=[*wanted.formats]
    )
    del read  # the records are not needed any more, and most of the memory is theirs
    tell("writing")
    if wanted.kind == "pseudonymised" and not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        write_key(place, pseudonyms)
    with writing_to(folder, OWN) as work:
        _write_json(work / MANIFEST, made)
        _write_folder(work, found, wanted)
    return found


def _write_folder(work: Path, found: Cohort, wanted: Wanted) -> None:
    shown = found.analysis
    if wanted.kind == "aggregate-only":
        shown = aggregated(shown, wanted.threshold)
    else:
        _write_tables(work, found, wanted.formats)
    _write_json(work / _FLOW, _flow(shown))
    text = methods(found.job, found.flow, wanted.between, wanted.kind)
    (work / _METHODS).write_text(text, encoding="utf-8")
    if wanted.report:
        _write_report(work, found, shown, text, wanted.kind)


def _write_tables(work: Path, found: Cohort, formats: tuple[str, ...]) -> None:
    tables = [found.columns[name] for name in _TABLES]
    for table in tables:
        if CSV in formats:
            write_csv(found.arrow[table.name], table, work / f"{table.name}.csv")
        if PARQUET in formats:
            write_parquet(found.tables[table.name], work / f"{table.name}.parquet")
    if REDCAP in formats:
        redcap.write_redcap(found.columns, found.arrow, work)
    title = f"{found.job.protocol.title}, as of {found.job.as_of}"
    package = data_package(tables, found.job.protocol.id, title, frozenset(formats))
    _write_json(work / _PACKAGE, package)
    (work / _DICTIONARY).write_text(dictionary(tables), encoding="utf-8")


def _write_report(work: Path, found: Cohort, shown: Analysis, text: str, kind: str) -> None:
    from fhircryo.research.report.page import figures_of, page

    figures = figures_of(shown, None if kind == "aggregate-only" else found.tables["psa"])
    (work / REPORT).write_text(page(shown, figures, found.job, text, kind), encoding="utf-8")
    folder = work / FIGURES
    folder.mkdir()
    for figure in figures.all:
        (folder / f"{figure.name}.svg").write_bytes(figure.svg)
        (folder / f"{figure.name}.csv").write_text(figure.data, encoding="utf-8")


def _write_json(path: Path, content: dict[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8")


def _flow(shown: Analysis) -> dict[str, Any]:
    """The flow and what is evaluable, as JSON; null where too few to be shown."""
    flow = shown.flow
    return {
        "resources_read": flow.resources_read,
        "patients_read": flow.patients_read,
        "with_index_candidate": flow.candidates,
        "lost": [{"why": one.words, "patients": one.patients} for one in flow.lost],
        "cohort": flow.cohort,
        "no_index_procedure": [
            {"cryoablation": reason, "patients": number}
            for reason, number in flow.procedures.items()
        ],
        "source_lacks": flow.lacking,
        "unreadable": flow.unreadable,
        "evaluable": [
            {
                "endpoint": one.code,
                "time_point": one.time_point or "follow-up",
                "patients": one.patients,
                "absent": {gone.reason: gone.patients for gone in one.absent},
            }
            for one in shown.evaluable
        ],
    }
