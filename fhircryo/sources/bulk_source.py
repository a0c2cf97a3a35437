"""A FHIR server read by bulk export as a source: its files, and what only the server can tell."""

import logging
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from fhircryo.errors import UsageError
from fhircryo.extract.context import Context
from fhircryo.extract.lines import read
from fhircryo.fhir.auth.scopes import Needs
from fhircryo.fhir.bulk.export_job import Asked, cancel
from fhircryo.fhir.bulk.exporting import Exported, Watch, export
from fhircryo.fhir.capability import Capabilities, capabilities
from fhircryo.fhir.client import Client
from fhircryo.fhir.connect import READING, READING_A_GROUP
from fhircryo.fhir.file_lines import FileLimits
from fhircryo.fhir.input_files import InputFile, input_files
from fhircryo.fhir.limits import Limits
from fhircryo.fhir.search import Params, Searcher
from fhircryo.mapping.load import Mappings
from fhircryo.record.collector import RecordCollector, Unreadable
from fhircryo.record.items import PatientFacts, Treatment
from fhircryo.record.patients import Patients
from fhircryo.sources.code_searches import (
    observation_searches,
    stated_component_search,
    warn_without_components,
)
from fhircryo.sources.folder_source import LocalFiles, collect_files
from fhircryo.sources.groups import GROUP
from fhircryo.sources.resource_types import MEDICATION, RESOURCE_TYPES
from fhircryo.sources.server_lookups import (
    ListSearch,
    Named,
    SingleReads,
    deleted_patients,
    fetch_medications,
    graded_scales,
    types_held,
)
from fhircryo.sources.source import Collected, ReadRequest

SYSTEM, PATIENT = "system", "patient"

LOG = logging.getLogger("fhircryo.bulk")

#: The part of the input that stands for the export itself, and for what was looked up after it.
_OF_THE_EXPORT = -1


@dataclass(frozen=True)
class Bulk:
    """That a server is read by bulk export, and how.

    ``level``: ``system``, ``patient`` or ``Group/ID``. ``keep``: where the files of the export stay
    (None: they are removed).
    """

    level: str
    watch: Watch = field(default_factory=Watch)
    keep: Path | None = None


def level_of(text: str) -> str:
    """The level of an export as the user wrote it.

    Raises:
        UsageError: it is none of the three.
    """
    if text in (SYSTEM, PATIENT) or (text.startswith(GROUP) and len(text) > len(GROUP)):
        return text
    raise UsageError(f"--bulk {text}: one of system, patient and Group/ID is needed")


def needs_of(level: str) -> Needs:
    """The rights that reading a server by an export of this level needs."""
    return {**READING, **READING_A_GROUP} if level.startswith(GROUP) else READING


def asked_for(level: str, mappings: Mappings, can: Capabilities, since: str | None = None) -> Asked:
    """The export that a run needs: the types that the server has, Observations by their codes."""
    unavailable = _unavailable(can)
    types = tuple(kind.name for kind in RESOURCE_TYPES if kind.name not in unavailable)
    filters = []
    # A code that is mapped with its descendants cannot be searched: all Observations, then.
    with suppress(UsageError):
        how = stated_component_search(can)
        for search in observation_searches(mappings, how):
            filters += [f"Observation?{key}={value}" for key, value in search.items()]
        warn_without_components(how)
    return Asked(level, types, tuple(filters), since)


class BulkSource:
    """An open server that exports into ``work``, a private folder.

    ``patience``: seconds to wait for the export.
    """

    def __init__(self, client: Client, bulk: Bulk, work: Path, patience: float) -> None:
        self.name = client.base
        self.server: str | None = client.base
        self._client = client
        self._bulk = bulk
        self._work = work
        self._patience = patience

    def collect(self, request: ReadRequest) -> Collected:
        """Export the server's resources and read the files as those of a folder.

        An export does not tell whether a Patient was deleted, an export of patients has no
        Medications, and one of a Group does not show what the whole server holds: the server is
        asked for these.
        """
        client, bulk = self._client, self._bulk
        can = capabilities(client)
        asked = asked_for(bulk.level, request.mappings, can)
        exported = export(client, asked, self._work, self._patience, bulk.watch)
        bulk.watch.tell("reading")
        context = request.context(client.base)
        collected = collect_files(
            LocalFiles(files_of(exported.files, client.connection.limits)), request, context
        )
        searcher = Searcher(client)
        try:
            collected = self._look_up(collected, searcher, request, can)
        finally:
            searcher.close()
        _note_errors(collected, exported)
        cancel(client, exported.status_url)  # The server may remove its files now.
        if bulk.keep is not None:
            exported.files.rename(bulk.keep)
        place = collected.place
        return replace(
            collected,
            files=(),
            place=lambda one: "export" if one.part == _OF_THE_EXPORT else place(one),
            exported_at=exported.at,
        )

    def _look_up(
        self, collected: Collected, searcher: Searcher, request: ReadRequest, can: Capabilities
    ) -> Collected:
        reads = SingleReads(self._client)
        collected = _without_deleted(reads, collected, request)
        withheld: dict[str, str] = {}
        if not collected.facts.seen.get(MEDICATION):
            context = request.context(self._client.base)
            refused = _add_medications(searcher, reads, collected, request, context)
            if refused:
                withheld[MEDICATION] = refused
        if self._bulk.level.startswith(GROUP):
            collected = replace(
                collected,
                present=types_held(searcher, collected.present, _unavailable(can)),
                graded=graded_scales(searcher, request.mappings, collected.graded),
            )
        return replace(collected, withheld=withheld | searcher.outcomes.withheld)


def _without_deleted(reads: SingleReads, collected: Collected, request: ReadRequest) -> Collected:
    """The same without the candidates whose Patient was deleted, as if they had objected."""
    items = collected.items.values()
    candidates = {item.patient for item in items if type(item) is Treatment and item.patient}
    found = {item.patient for item in items if type(item) is PatientFacts}
    deleted = deleted_patients(reads, candidates - found)
    if not deleted:
        return collected
    selection = request.selection
    selection = replace(selection, exclude=selection.exclude | deleted)
    return replace(collected, patients=Patients(collected.facts.links, selection))


def _add_medications(
    searcher: Searcher,
    reads: SingleReads,
    collected: Collected,
    request: ReadRequest,
    context: Context,
) -> str:
    """Add the Medications that therapies refer to: they belong to no patient.

    Returns why the server does not let us read them; empty if it does.
    """
    collector = RecordCollector(request.retention())

    def take(kind: str, params: Params) -> Named:
        named = Named()
        for lines in searcher.search(kind, params):
            read(lines, collector, context, _OF_THE_EXPORT)
            named.add(lines)
        return named

    def take_one(_: str, content: bytes) -> None:
        read([content], collector, context, _OF_THE_EXPORT)

    refused = fetch_medications(collected.items, ListSearch(take, take_one, reads))
    collected.items.update(collector.items)
    collected.facts.merge(collector.facts)
    return refused


def _unavailable(can: Capabilities) -> frozenset[str]:
    return frozenset(
        kind.name for kind in RESOURCE_TYPES if can.types and kind.name not in can.types
    )


def _note_errors(collected: Collected, exported: Exported) -> None:
    """List what the server says that its export lacks."""
    collected.facts.unreadable += [
        Unreadable(_OF_THE_EXPORT, number, "", f"the server's export says: {words}")
        for number, words in enumerate(exported.errors, 1)
    ]


def check_keep(place: Path) -> Path:
    """Where the files of an export are to stay, beside a target.

    Raises:
        UsageError: something has this name already.
    """
    keep = place.with_name(f"{place.name}.bulk")
    if keep.exists():
        raise UsageError(f"{keep}: --keep needs this name; remove what is there")
    return keep


def files_of(folder: Path, limits: Limits) -> list[InputFile]:
    """The files of an export, whose sizes were checked by these limits; none if it is empty."""
    of_files = FileLimits(limits.megabytes, limits.file_gigabytes)
    return input_files(folder, of_files)[0] if any(folder.iterdir()) else []
