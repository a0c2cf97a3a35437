"""A server read by bulk export: its files as a folder, and what only the server can tell."""

import logging
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from fhircryo.errors import UsageError
from fhircryo.extract.context import Context
from fhircryo.fhir.auth.scopes import Needs
from fhircryo.fhir.bulk.export_job import Asked, cancel
from fhircryo.fhir.bulk.exporting import Watch, export
from fhircryo.fhir.capability import Capabilities, capabilities
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.connect import READING, READING_A_GROUP
from fhircryo.fhir.input_files import InputFile, input_files
from fhircryo.fhir.search import Searcher
from fhircryo.fhir.wire import DECODERS
from fhircryo.mapping.load import Mappings
from fhircryo.record.collector import Unreadable
from fhircryo.record.items import PatientFacts, Therapy, Treatment
from fhircryo.runs.run_config import RunConfig
from fhircryo.sources.reading import Progress, Reading, read_folder, read_lines
from fhircryo.sources.search_source import (
    GROUP,
    deleted_patients,
    graded_scales,
    observation_searches,
    types_held,
)

SYSTEM, PATIENT = "system", "patient"

LOG = logging.getLogger("fhircryo.bulk")

_IDS_PER_REQUEST = 25
#: Where an export's own errors stand among what could not be read.
_OF_THE_EXPORT = -1


@dataclass(frozen=True)
class Bulk:
    """That a server is read by bulk export. ``keep``: where its files stay (None: nowhere)."""

    level: str
    watch: Watch = field(default_factory=Watch)
    keep: Path | None = None


def level_of(text: str) -> str:
    """What is exported, as a person writes it.

    Raises:
        UsageError: it is none of the three.
    """
    if text in (SYSTEM, PATIENT) or (text.startswith(GROUP) and len(text) > len(GROUP)):
        return text
    raise UsageError(f"--bulk {text}: one of system, patient and Group/ID is needed")


def needs_of(level: str) -> Needs:
    """What is done at a server that is read by an export of a level."""
    return {**READING, **READING_A_GROUP} if level.startswith(GROUP) else READING


def asked_for(
    level: str, mappings: Mappings, known: Capabilities, since: str | None = None
) -> Asked:
    """The export that a run needs: the types that the server has, Observations by their codes."""
    types = tuple(kind for kind in DECODERS if not known.types or kind in known.types)
    filters = []
    with suppress(UsageError):  # a code that counts with its descendants: all Observations, then
        for search in observation_searches(mappings):
            filters += [f"Observation?{key}={value}" for key, value in search.items()]
    return Asked(level, types, tuple(filters), since)


def read_bulk(
    client: Client,
    job: RunConfig,
    bulk: Bulk,
    work: Path,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Reading:
    """Read a server by an export into a private folder; its files are read as any folder's.

    A Group's export does not show what the whole server holds, nor does any whether a Patient was
    deleted: both are asked for.

    Raises:
        SourceError: the server does not export, or fails.
    """
    context, selection = job.context(server=client.base), job.selection
    asked = asked_for(bulk.level, job.mappings, capabilities(client))
    exported = export(client, asked, work, job.settings.source.bulk_patience, bulk.watch)
    bulk.watch.tell("reading")
    files = files_of(exported.files)
    reading = read_folder(files, context, selection, workers, progress)
    shelf = reading.shelf
    candidates = frozenset(
        item.patient for item in shelf.kept.values() if type(item) is Treatment and item.patient
    )
    met = {item.patient for item in shelf.kept.values() if type(item) is PatientFacts}
    gone = deleted_patients(client, candidates - met)
    if gone:
        selection = replace(selection, exclude=selection.exclude | gone)
        reading = replace(reading, patients=selection.patients(shelf))
    if not shelf.seen["Medication"]:
        _read_medications(client, context, reading)
    if bulk.level.startswith(GROUP):
        reading = _of_the_whole(client, context, reading)
    shelf.unreadable += [
        Unreadable(_OF_THE_EXPORT, number, "", f"the server's export says: {words}")
        for number, words in enumerate(exported.errors, 1)
    ]
    cancel(client, exported.status_url)  # its files are not needed any more
    if bulk.keep is not None:
        exported.files.rename(bulk.keep)
    place = reading.place
    return replace(
        reading,
        place=lambda one: "export" if one.part == _OF_THE_EXPORT else place(one),
        at=exported.at,
    )


def _read_medications(client: Client, context: Context, reading: Reading) -> None:
    """The Medications that therapies name: an export of patients has none, as they are nobody's."""
    named = {item.medication for item in reading.shelf.kept.values() if type(item) is Therapy}
    ids = sorted(ref.removeprefix("Medication/") for ref in named if ref)
    searcher = Searcher(client)
    try:
        for start in range(0, len(ids), _IDS_PER_REQUEST):
            some = ",".join(ids[start : start + _IDS_PER_REQUEST])
            for lines in searcher.search("Medication", {"_id": some}):
                read_lines(lines, reading.shelf, context, _OF_THE_EXPORT)
    except HttpError as error:
        LOG.warning("Medication: the server keeps it from us (%d)", error.status)
    finally:
        searcher.close()


def _of_the_whole(client: Client, context: Context, reading: Reading) -> Reading:
    known = capabilities(client)
    searcher = Searcher(client)
    try:
        absent = frozenset(kind for kind in DECODERS if known.types and kind not in known.types)
        present = types_held(searcher, reading.present, absent)
        graded = graded_scales(searcher, context.mappings, reading.graded)
    finally:
        searcher.close()
    return replace(reading, present=present, graded=graded)


def check_keep(place: Path) -> Path:
    """Where the files of an export are to stay, beside a target.

    Raises:
        UsageError: something is there.
    """
    keep = place.with_name(f"{place.name}.bulk")
    if keep.exists():
        raise UsageError(f"{keep}: --keep needs this name; remove what is there")
    return keep


def files_of(folder: Path) -> list[InputFile]:
    """The files of an export; none where it holds nothing."""
    return input_files(folder)[0] if any(folder.iterdir()) else []
