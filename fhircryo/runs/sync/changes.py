"""What changed on a source since the last run, and whose endpoints that may concern."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import msgspec

from fhircryo.calendar import moment
from fhircryo.errors import UnreadableResource
from fhircryo.extract.context import Context
from fhircryo.extract.extractor import extract
from fhircryo.fhir import refusals
from fhircryo.fhir.bulk.exporting import Exported, lines
from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.decode import decode, kind_of
from fhircryo.fhir.history import latest_of, version_of
from fhircryo.fhir.search import Searcher, head_of
from fhircryo.fhir.wire import DECODERS, Reference
from fhircryo.record.items import Dropped, Item, PatientFacts, Treatment
from fhircryo.runs.sync.state_database import State
from fhircryo.sources.code_searches import observation_searches
from fhircryo.sources.resource_types import optional_types

LOG = logging.getLogger("fhircryo.sync")


class NoIncrementError(Exception):
    """The server cannot be asked what changed."""


class _Whose(msgspec.Struct):
    subject: Reference | None = None


@dataclass
class Changes:
    """Patients who may be concerned, by the ids that resources name; what changed, by reference."""

    patients: set[str] = field(default_factory=set)
    resources: set[str] = field(default_factory=set)


def stamp_of(client: Client, searcher: Searcher) -> str | None:
    """The server's time before it answered anything of this run; None where it does not say.

    Of what its answers' headers and its Bundles say the earlier: they may come from two clocks.
    """
    said = [client.first_answered] if client.first_answered is not None else []
    if searcher.answered:
        said.append(moment(searcher.answered))
    return _instant(min(said)) if said else None


def _instant(when: datetime) -> str:
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class ChangeReader:
    """Asks one server once, type by type.

    ``state`` knows who is followed, whatever happened to him, and so are those ``listed``;
    ``overlap``: seconds before the watermark that are read again.
    """

    def __init__(
        self,
        client: Client,
        searcher: Searcher,
        can: Capabilities,
        context: Context,
        state: State,
        listed: frozenset[str],
        overlap: float,
    ) -> None:
        self._client = client
        self._searcher = searcher
        self._can = can
        self._context = context
        self._state = state
        self._listed = listed
        self._overlap = timedelta(seconds=overlap)
        self._found = Changes()

    def read(self) -> Changes:
        """What changed.

        Raises:
            NoIncrementError: the server does not tell.
            SourceError: it cannot be reached, or does not give all that it has.
        """
        watermarks = self._state.watermarks()
        for kind in DECODERS:
            if self._can.types and kind not in self._can.types:
                continue
            if kind not in watermarks:
                raise NoIncrementError(f"{kind}: not read before")
            since = _instant(moment(watermarks[kind]) - self._overlap)
            self._changed(kind, since)
            self._gone(kind, since)
        return self._found

    def since(self) -> str:
        """From when on a bulk export has to tell: the overlap before the oldest watermark.

        Raises:
            NoIncrementError: nothing is remembered.
        """
        watermarks = self._state.watermarks()
        if not watermarks:
            raise NoIncrementError("nothing was read before")
        return _instant(min(map(moment, watermarks.values())) - self._overlap)

    def read_export(self, exported: Exported) -> Changes:
        """What a bulk export since then says: what changed, and what was deleted."""
        for path in sorted(exported.files.iterdir()):
            by_kind: dict[str, list[bytes]] = {}
            for line in lines(path):
                by_kind.setdefault(kind_of(line), []).append(line)
            for kind, found in by_kind.items():
                if kind in DECODERS:
                    self._take(kind, found)
        patients = self._state.who_stands_on(exported.deleted)
        if patients:
            self._found.resources.update(exported.deleted)
            self._found.patients |= patients
        return self._found

    def _changed(self, kind: str, since: str) -> None:
        """What a type's resources say that is new to us."""
        params = {"_lastUpdated": f"ge{since}", "_sort": "_lastUpdated"}
        searches = [params]
        if kind == "Observation":
            by_code = observation_searches(self._context.mappings)
            searches = [{**params, **one} for one in by_code]
        for search in searches:
            try:
                for lines in self._searcher.search(kind, search):
                    self._take(kind, lines)
            except HttpError as error:
                if refusals.forbidden(error) and kind in optional_types():
                    return
                if refusals.interaction_unsupported(error):
                    raise NoIncrementError(str(error)) from None
                raise

    def _take(self, kind: str, lines: list[bytes]) -> None:
        named = [(f"{kind}/{head.id}", head, line) for line in lines if (head := head_of(line))]
        seen = self._state.versions(ref for ref, _, _ in named)
        for ref, head, line in named:
            meta = head.meta
            if meta is not None and seen.get(ref) == version_of(meta.version_id, meta.last_updated):
                continue
            patients = set(self._concerned(line)) | self._state.who_stands_on([ref])
            if patients:
                self._found.resources.add(ref)
                self._found.patients |= patients

    def _concerned(self, line: bytes) -> Iterator[str]:
        """The patients whom a resource concerns now, among those followed or to be followed."""
        try:
            kind, resource = decode(line)
            item: Item | None = None
            if resource is not None:
                item = extract(kind, resource, self._context)
        except (UnreadableResource, UnicodeDecodeError):
            patient = self._subject(line)
            if self._followed(patient):
                yield patient  # reading his record will tell of it
            return
        # What only counts concerned somebody if it was of use before: that is known by its id.
        if item is None or isinstance(item, Dropped):
            return
        if isinstance(item, Treatment) or self._followed(item.patient):
            yield item.patient
        if isinstance(item, PatientFacts) and self._followed(item.replaced_by):
            yield item.patient
            yield item.replaced_by

    def _followed(self, patient: str) -> bool:
        return patient in self._listed or self._state.current(patient) is not None

    def _subject(self, line: bytes) -> str:
        try:
            return self._context.patient(msgspec.json.decode(line, type=_Whose).subject)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return ""

    def _gone(self, kind: str, since: str) -> None:
        """What was deleted, or is no longer found by its codes, where the server remembers it."""
        if not self._can.allows(kind, "history-type"):
            return
        try:
            past = latest_of(self._searcher, kind, since)
        except HttpError as error:
            if not (refusals.interaction_unsupported(error) or refusals.forbidden(error)):
                raise
            LOG.info("%s: no history (%d): a full run finds what was deleted", kind, error.status)
            return
        seen = self._state.versions(past)
        for ref, one in past.items():
            if one.deleted or seen.get(ref) != one.version:
                patients = self._state.who_stands_on([ref])
                if patients:
                    self._found.resources.add(ref)
                    self._found.patients |= patients
