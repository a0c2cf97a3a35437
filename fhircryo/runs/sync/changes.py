"""Reads which resources of a source changed since the last run, and which patients they affect."""

import logging
from dataclasses import dataclass, field
from datetime import timedelta

from fhircryo.calendar import moment
from fhircryo.fhir import refusals
from fhircryo.fhir.bulk.exporting import Exported, lines
from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import HttpError
from fhircryo.fhir.decode import kind_of
from fhircryo.fhir.history import latest_of, version_of
from fhircryo.fhir.search import Searcher, head_of
from fhircryo.fhir.wire import DECODERS
from fhircryo.mapping.load import Mappings
from fhircryo.runs.sync.followed_patients import FollowedPatients
from fhircryo.runs.sync.server_time import as_instant
from fhircryo.runs.sync.state_database import State
from fhircryo.sources.code_searches import component_search, observation_searches
from fhircryo.sources.resource_types import optional_types

LOG = logging.getLogger("fhircryo.sync")


class NoIncrementError(Exception):
    """The changes since the last run cannot be determined, so that a full run is needed."""


@dataclass
class SourceChanges:
    """What changed on the source.

    ``patients``: ids, as the resources name them, of the patients whose endpoints may be affected.
    ``resources``: references of the changed or deleted resources that affect a patient.
    """

    patients: set[str] = field(default_factory=set)
    resources: set[str] = field(default_factory=set)


class ChangeReader:
    """Reads the changes of one server since the watermarks; used for one run.

    ``overlap``: seconds before a watermark that are read again, for resources that were committed
    late. ``can``: what the server's CapabilityStatement declares.
    """

    def __init__(
        self,
        searcher: Searcher,
        can: Capabilities,
        mappings: Mappings,
        followed: FollowedPatients,
        state: State,
        overlap: float,
    ) -> None:
        self._searcher = searcher
        self._can = can
        self._mappings = mappings
        self._followed = followed
        self._state = state
        self._overlap = timedelta(seconds=overlap)
        self._changes = SourceChanges()

    def search_changes(self) -> SourceChanges:
        """The changes of all resource types, by searches and by the history of each type.

        Raises:
            NoIncrementError: a type has no watermark, or the server cannot search by time.
            SourceError: the server cannot be reached, or an answer is incomplete.
        """
        watermarks = self._state.watermarks()
        for kind in DECODERS:
            if self._can.types and kind not in self._can.types:
                continue
            if kind not in watermarks:
                raise NoIncrementError(f"there is no watermark for {kind}")
            since = as_instant(moment(watermarks[kind]) - self._overlap)
            self._search_updated(kind, since)
            self._read_history(kind, since)
        return self._changes

    def oldest_watermark(self) -> str:
        """The ``_since`` of a bulk export: the oldest watermark, less the overlap.

        Raises:
            NoIncrementError: there is no watermark.
        """
        watermarks = self._state.watermarks()
        if not watermarks:
            raise NoIncrementError("there is no watermark")
        return as_instant(min(map(moment, watermarks.values())) - self._overlap)

    def exported_changes(self, exported: Exported) -> SourceChanges:
        """The changes in a bulk export since the oldest watermark, deletions included."""
        for path in sorted(exported.files.iterdir()):
            by_kind: dict[str, list[bytes]] = {}
            for line in lines(path):
                by_kind.setdefault(kind_of(line), []).append(line)
            for kind, resources in by_kind.items():
                if kind in DECODERS:
                    self._add_updated(kind, resources)
        patients = self._state.patients_depending_on(exported.deleted)
        if patients:
            self._changes.resources.update(exported.deleted)
            self._changes.patients |= patients
        return self._changes

    def _search_updated(self, kind: str, since: str) -> None:
        """Add the resources of a type that were created or updated."""
        params = {"_lastUpdated": f"ge{since}", "_sort": "_lastUpdated"}
        try:
            for search in self._searches(kind, params):
                for page in self._searcher.search(kind, search):
                    self._add_updated(kind, page)
        except HttpError as error:
            if refusals.forbidden(error) and kind in optional_types():
                return
            if refusals.interaction_unsupported(error):
                raise NoIncrementError(str(error)) from None
            raise

    def _searches(self, kind: str, params: dict[str, str]) -> list[dict[str, str]]:
        """The searches that find the resources of a type with further parameters."""
        if kind != "Observation":
            return [params]
        how = component_search(self._can, self._searcher, self._mappings, params)
        return [{**params, **by_code} for by_code in observation_searches(self._mappings, how)]

    def _add_updated(self, kind: str, resources: list[bytes]) -> None:
        """Add the resources whose version differs from the state and that affect a patient."""
        named = [(f"{kind}/{head.id}", head, line) for line in resources if (head := head_of(line))]
        known = self._state.versions(ref for ref, _, _ in named)
        for ref, head, line in named:
            meta = head.meta
            if meta is not None and known.get(ref) == version_of(
                meta.version_id, meta.last_updated
            ):
                continue
            affected = set(self._followed.affected_by(line))
            self._add(ref, affected | self._state.patients_depending_on([ref]))

    def _read_history(self, kind: str, since: str) -> None:
        """Add the resources of a type that were deleted, or that their codes no longer find.

        A server may keep no history of the type, or forbid it.
        """
        if not self._can.allows(kind, "history-type"):
            return
        try:
            history = latest_of(self._searcher, kind, since)
        except HttpError as error:
            if not (refusals.interaction_unsupported(error) or refusals.forbidden(error)):
                raise
            LOG.info(
                "%s: the server gives no history (HTTP %d); the next full run finds deletions",
                kind,
                error.status,
            )
            return
        known = self._state.versions(history)
        for ref, past in history.items():
            if past.deleted or known.get(ref) != past.version:
                self._add(ref, self._state.patients_depending_on([ref]))

    def _add(self, ref: str, patients: set[str]) -> None:
        if patients:
            self._changes.resources.add(ref)
            self._changes.patients |= patients
