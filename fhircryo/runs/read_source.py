"""Reads a source into the records of a run."""

import gc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from fhircryo.record.assemble import Records, assemble
from fhircryo.record.collector import Counted, Older, type_of
from fhircryo.record.items import Issue, Lacking, Reason
from fhircryo.runs.drivers import driver_of
from fhircryo.runs.run_config import RunConfig
from fhircryo.sources.lacking import lacking_of, with_missing_medications
from fhircryo.sources.open_source import ServerReading, open_source
from fhircryo.sources.source import Collected, Driver, Progress, Source


@dataclass(frozen=True)
class ReadOptions:
    """How a source is read, beside what the run computes with.

    ``workers``: how many processes share the files of a folder. ``traced``: patients of whom
    resources that are only counted are retained as well. ``server``: how a server is read.
    """

    workers: int = 1
    progress: Progress | None = None
    traced: frozenset[str] = frozenset()
    server: ServerReading = field(default_factory=ServerReading)


@dataclass(frozen=True)
class ReadResult:
    """What was read from a source.

    ``name``: the folder or base URL. ``server``: the base URL of a server; None for a folder.
    """

    name: str
    server: str | None
    collected: Collected
    records: Records
    lacking: Lacking

    @cached_property
    def older(self) -> dict[str, list[Issue]]:
        """Issues of older versions, by the patient whose record they belong to."""
        found: dict[str, list[Issue]] = {}
        for older in sorted(self.records.older):
            current = self._current(older)
            if current in self.records.records:
                issue = Issue(older.ref, Reason.SUPERSEDED, _words(older))
                found.setdefault(current, []).append(issue)
        return found

    @cached_property
    def older_of_others(self) -> Counter[Counted]:
        """How many older versions there are of resources that belong to no record, by type."""
        return Counter((Reason.SUPERSEDED, type_of(older.ref), "") for older in self.others_older())

    def others_older(self) -> list[Older]:
        """Older versions of resources that belong to no record."""
        records = self.records.records
        return [one for one in self.records.older if self._current(one) not in records]

    def _current(self, older: Older) -> str:
        return self.collected.patients.current(older.patient) if older.patient else ""


def _words(older: Older) -> str:
    if not older.deleted:
        return "an older version of it"
    if "#" in older.ref:
        return "the resource that contained it was deleted, or no longer contains it"
    return "it was deleted later"


def read_source(
    place: str | Path, config: RunConfig, options: ReadOptions | None = None
) -> ReadResult:
    """Read the source that a place names, a folder or a server, into records.

    Raises:
        SourceError: it is not there, refuses to be read, or holds nothing to read.
    """
    options = options or ReadOptions()
    with open_source(place, config.settings.source, options.server) as source:
        return read_opened(source, config, options)


def read_opened(
    source: Source,
    config: RunConfig,
    options: ReadOptions | None = None,
    driver: Driver | None = None,
) -> ReadResult:
    """Read a source that is open already into records.

    ``driver``: distributes the files of a source; None: as many processes as the options say.

    Raises:
        SourceError: it refuses to be read, or does not give all that it holds.
    """
    options = options or ReadOptions()
    request = config.read_request(
        driver or driver_of(options.workers), options.traced, options.progress
    )
    with no_garbage_collection():
        collected = with_missing_medications(source.collect(request))
        records = assemble(collected.items, collected.facts, collected.patients)
    return ReadResult(source.name, source.server, collected, records, lacking_in(collected, config))


def lacking_in(collected: Collected, config: RunConfig) -> Lacking:
    """What the whole source does not hold or withholds, unless the settings say otherwise."""
    return lacking_of(
        collected,
        config.settings.complete_types,
        deaths_complete=config.settings.vital_status_complete,
    )


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Switch the garbage collector off: millions of records that live to the end cost it time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
