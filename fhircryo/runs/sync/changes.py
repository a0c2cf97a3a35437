"""Reads which resources of a source changed since the last run, and which patients they affect."""

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from fhircryo.calendar import moment
from fhircryo.fhir import refusals
from fhircryo.fhir.bulk.exporting import Exported, lines
from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import HttpError
from fhircryo.fhir.decode import kind_of
from fhircryo.fhir.history import latest_of, version_of_resource
from fhircryo.fhir.search import Searcher, head_of
from fhircryo.fhir.wire import DECODERS
from fhircryo.mapping.load import Mappings
from fhircryo.runs.sync.data_clock import DataClock
from fhircryo.runs.sync.followed_patients import FollowedPatients
from fhircryo.runs.sync.server_time import as_instant
from fhircryo.runs.sync.state_database import State
from fhircryo.runs.sync.time_ignored import ignores_time
from fhircryo.sources.code_searches import component_search, observation_searches
from fhircryo.sources.resource_types import optional_types

LOG = logging.getLogger("fhircryo.sync")


#: An export that holds something older than what was asked for by more than this was not filtered
#: by time; less may be the precision of a day, or a time zone that was not looked at.
_NOT_FILTERED = timedelta(days=1)


class NoIncrementError(Exception):
    """The changes since the last run cannot be determined, so that a full run is needed."""


class TimeIgnoredError(NoIncrementError):
    """The server returns resources whatever ``_lastUpdated`` it is asked for."""


@dataclass
class SourceChanges:
    """What changed on the source.

    ``patients``: ids, as the resources name them, of the patients whose endpoints may be affected.
    ``resources``: references of the changed or deleted resources that affect a patient.
    ``whole``: an export holds resources from before the time that it was asked for.
    """

    patients: set[str] = field(default_factory=set)
    resources: set[str] = field(default_factory=set)
    whole: bool = False


class _Found(NamedTuple):
    """What a page holds: whether none of it was read before as it is now, and its stamps."""

    all_new: bool
    stamps: list[str | None]

    def is_new_since(self, instant: datetime) -> bool:
        """Whether all of it is new, and has a stamp that is not before an instant."""
        return self.all_new and all(self.stamps) and not self.has_older_than(instant)

    def has_older_than(self, instant: datetime) -> bool:
        """Whether the stamp of any resource is before an instant."""
        return any(stamp and moment(stamp) < instant for stamp in self.stamps)


class ChangeReader:
    """Reads the changes of one server since the watermarks; used for one run.

    ``can``: what the server's CapabilityStatement declares. ``clock``: it sees the stamps of what
    is read.
    """

    def __init__(
        self,
        searcher: Searcher,
        can: Capabilities,
        mappings: Mappings,
        followed: FollowedPatients,
        state: State,
        clock: DataClock,
    ) -> None:
        self._searcher = searcher
        self._can = can
        self._mappings = mappings
        self._followed = followed
        self._state = state
        self._clock = clock
        self._changes = SourceChanges()

    def search_changes(self) -> SourceChanges:
        """The changes of all resource types, by searches and by the history of each type.

        Raises:
            NoIncrementError: a type has no watermark, or the server cannot search by time.
            TimeIgnoredError: the server's answer is not restricted to the time asked for.
            SourceError: the server cannot be reached, or an answer is incomplete.
        """
        watermarks = self._state.watermarks()
        for kind in DECODERS:
            if self._can.types and kind not in self._can.types:
                continue
            if kind not in watermarks:
                raise NoIncrementError(f"there is no watermark for {kind}")
            since = self._clock.since(watermarks[kind])
            self._search_updated(kind, since)
            self._read_history(kind, since)
        self._check_withheld()
        return self._changes

    def _check_withheld(self) -> None:
        """Raise NoIncrementError if the server withheld results: a change may be among them."""
        withheld = self._searcher.outcomes.withheld
        if withheld:
            raise NoIncrementError(f"the server withholds results of {', '.join(sorted(withheld))}")

    def oldest_watermark(self) -> str:
        """The ``_since`` of a bulk export: the oldest watermark, less the overlap.

        Raises:
            NoIncrementError: there is no watermark.
        """
        watermarks = self._state.watermarks()
        if not watermarks:
            raise NoIncrementError("there is no watermark")
        return as_instant(self._clock.since(min(watermarks.values(), key=moment)))

    def exported_changes(self, exported: Exported) -> SourceChanges:
        """The changes in a bulk export since the oldest watermark, deletions included.

        What a server exports although it has not changed is recognised by its version.
        """
        not_asked_for = moment(self.oldest_watermark()) - _NOT_FILTERED
        for path in sorted(exported.files.iterdir()):
            by_kind: dict[str, list[bytes]] = {}
            for line in lines(path):
                by_kind.setdefault(kind_of(line), []).append(line)
            for kind, resources in by_kind.items():
                if kind in DECODERS:
                    found = self._add_updated(kind, resources)
                    if found.has_older_than(not_asked_for):
                        self._changes.whole = True
        patients = self._state.patients_depending_on(exported.deleted)
        if patients:
            self._changes.resources.update(exported.deleted)
            self._changes.patients |= patients
        return self._changes

    def _search_updated(self, kind: str, since: datetime) -> None:
        """Add the resources of a type that were created or updated."""
        by_time = {"_lastUpdated": f"ge{as_instant(since)}", "_sort": "_lastUpdated"}
        try:
            for search in self._searches(kind, by_time):
                self._search_since(kind, search, since)
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

    def _search_since(self, kind: str, search: dict[str, str], since: datetime) -> None:
        trusted = False
        for page in self._searcher.search(kind, search):
            found = self._add_updated(kind, page)
            if trusted or found.is_new_since(since):
                continue
            # It is the overlap, or the server does not look at the time.
            if self._ignores_time(kind, search):
                raise TimeIgnoredError(f"the server ignores _lastUpdated in searches of {kind}")
            trusted = True

    def _ignores_time(self, kind: str, search: dict[str, str]) -> bool:
        try:
            return ignores_time(self._searcher, kind, search)
        except HttpError as error:
            if refusals.parameter_unsupported(error):
                return False  # It refuses that time, so that it looks at it.
            raise

    def _add_updated(self, kind: str, resources: list[bytes]) -> _Found:
        """Add the resources whose version differs from the state and that affect a patient."""
        named = [(f"{kind}/{head.id}", head, line) for line in resources if (head := head_of(line))]
        known = self._state.versions(ref for ref, _, _ in named)
        all_new = True
        for ref, head, line in named:
            if known.get(ref) == version_of_resource(head, line):
                all_new = False
                continue
            affected = set(self._followed.affected_by(line))
            self._add(ref, affected | self._state.patients_depending_on([ref]))
        stamps = [head.meta.last_updated if head.meta else None for _, head, _ in named]
        self._clock.see(stamps)
        return _Found(all_new, stamps)

    def _read_history(self, kind: str, since: datetime) -> None:
        """Add the resources of a type that were deleted, or that their codes no longer find.

        A server may keep no history of the type, or forbid it.
        """
        if not self._can.allows(kind, "history-type"):
            return
        try:
            history = latest_of(self._searcher, kind, as_instant(since))
        except HttpError as error:
            if not (refusals.interaction_unsupported(error) or refusals.forbidden(error)):
                raise
            LOG.info(
                "%s: the server gives no history (HTTP %d); the next full run finds deletions",
                kind,
                error.status,
            )
            return
        self._clock.see(past.when for past in history.values())
        known = self._state.versions(history)
        for ref, past in history.items():
            if past.deleted or known.get(ref) != past.version:
                self._add(ref, self._state.patients_depending_on([ref]))

    def _add(self, ref: str, patients: set[str]) -> None:
        if patients:
            self._changes.resources.add(ref)
            self._changes.patients |= patients
