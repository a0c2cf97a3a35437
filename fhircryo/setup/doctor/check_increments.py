"""Checks what scheduled runs stand on: searches by time, versions, and the clock of the data."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec

from fhircryo.calendar import moment
from fhircryo.errors import SourceError
from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.search import Head, Searcher, head_of
from fhircryo.fhir.wire import DECODERS
from fhircryo.mapping.load import Mappings
from fhircryo.runs.sync.time_ignored import ignores_time
from fhircryo.setup.doctor.check import (
    CLOCK_TOLERANCE,
    FORBIDDEN,
    CheckResult,
    not_tried,
    ok,
    warning,
)
from fhircryo.sources.code_searches import code_searches

_PART = "source"
#: Types of which a hospital writes something all day: their newest stamps tell the data's clock.
_BUSY_TYPES = ("Patient", "Procedure", "Observation")
#: By default HAPI reuses the result of an equal search of the last minute, with its time.
_FRESH = {"Cache-Control": "no-cache"}
_READ_IN_FULL = "sync reads the whole cohort in every run and compares it: run it once a night"


def increment_checks(
    client: Client, searcher: Searcher, known: Capabilities, mappings: Mappings
) -> Iterator[CheckResult]:
    """Check whether a source tells what changed, and how its clocks differ, in seconds."""
    yield _last_updated(searcher, known, mappings)
    sample = _Newest()
    for kind in _BUSY_TYPES:
        sample.take(client, kind)
    yield _versions(sample)
    yield _data_clock(sample)


def _last_updated(searcher: Searcher, known: Capabilities, mappings: Mappings) -> CheckResult:
    """Search for what was updated in the far future: a server that heeds the time finds nothing."""
    ignored: list[str] = []
    answered: list[str] = []
    forbidden: list[str] = []
    refused: list[tuple[str, SourceError]] = []
    for kind in DECODERS:
        if known.types and kind not in known.types:
            continue
        search = code_searches(mappings, ("psa",))[0] if kind == "Observation" else {}
        try:
            (ignored if ignores_time(searcher, kind, search) else answered).append(kind)
        except SourceError as error:
            if isinstance(error, HttpError) and error.status in FORBIDDEN:
                forbidden.append(f"{kind} ({error.status})")
            else:
                refused.append((kind, error))
    name = "_lastUpdated"
    if ignored:
        words = f"ignored in searches of {', '.join(ignored)}: everything is returned"
        return warning(_PART, name, words, _READ_IN_FULL)
    if refused:
        kinds = ", ".join(kind for kind, _ in refused)
        words = f"not supported in searches of {kinds}: {refused[0][1]}"
        return warning(_PART, name, words, _READ_IN_FULL)
    if not answered:
        words = f"no search was answered; forbidden: {', '.join(forbidden) or 'none'}"
        return not_tried(_PART, name, words, "check the credentials, scopes and rights")
    beside = f"; not tried, because forbidden: {', '.join(forbidden)}" if forbidden else ""
    return ok(_PART, name, f"supported: nothing is returned that was not updated since{beside}")


class _Meta(msgspec.Struct, rename="camel"):
    last_updated: str | None = None


class _Entry(msgspec.Struct):
    resource: msgspec.Raw = msgspec.Raw(b"")


class _Page(msgspec.Struct):
    meta: _Meta | None = None
    entry: list[_Entry] | None = None


@dataclass
class _Newest:
    """The newest resources of a server, and what it states of its time beside them.

    ``behind``: by how many seconds the newest stamp is behind the header Date, at most;
    ``bundle_behind``: by how many a Bundle's own stamp is. None: not known. ``refusals``: why types
    could not be asked for.
    """

    heads: list[Head] = field(default_factory=list)
    behind: float | None = None
    bundle_behind: float | None = None
    refusals: list[str] = field(default_factory=list)

    def take(self, client: Client, kind: str) -> None:
        """Ask for the newest resources of a type; a type that cannot be asked for is noted."""
        newest_first = {"_sort": "-_lastUpdated", "_count": "10"}
        try:
            url = f"{client.base}/{kind}"
            answer = client.request("GET", url, params=newest_first, headers=_FRESH)
            page = msgspec.json.decode(answer.content, type=_Page)
        except SourceError as error:
            self.refusals.append(str(error))
            return
        except (msgspec.MsgspecError, UnicodeDecodeError):
            self.refusals.append(f"{kind}: the answer is not a Bundle")
            return
        found = [head for one in page.entry or () if (head := head_of(bytes(one.resource)))]
        heads = [head for head in found if head.resource_type == kind]
        self.heads += heads
        try:
            stated = parsedate_to_datetime(answer.headers["Date"]).astimezone(UTC)
        except (KeyError, ValueError):
            return
        stamps = [head.meta.last_updated for head in heads if head.meta and head.meta.last_updated]
        if stamps:
            self.behind = _least(self.behind, stated, max(map(moment, stamps)))
        if page.meta is not None and page.meta.last_updated:
            self.bundle_behind = _least(self.bundle_behind, stated, moment(page.meta.last_updated))


def _least(known: float | None, stated: datetime, stamp: datetime) -> float:
    found = (stated - stamp).total_seconds()
    return found if known is None else min(known, found)


def _versions(sample: _Newest) -> CheckResult:
    name = "versions"
    if not sample.heads:
        return not_tried(_PART, name, _without_sample(sample))
    without = sum(
        not (head.meta and (head.meta.version_id or head.meta.last_updated))
        for head in sample.heads
    )
    if not without:
        return ok(_PART, name, "resources state a version or the time of their last update")
    words = (
        f"{without} of {len(sample.heads)} resources state neither meta.versionId nor"
        " meta.lastUpdated"
    )
    return warning(_PART, name, words, "sync compares their content; nothing to do")


def _without_sample(sample: _Newest) -> str:
    """Why there is no resource to look at."""
    return next(iter(sample.refusals), f"there is no {' and no '.join(_BUSY_TYPES)}")


def _data_clock(sample: _Newest) -> CheckResult:
    """Compare the header Date with the clock that stamps the data."""
    name = "clock of the data"
    by_bundle, behind = sample.bundle_behind, sample.behind
    follows = "sync follows the clock of the data; set the server's clocks by NTP"
    if by_bundle is not None and abs(by_bundle) > CLOCK_TOLERANCE:
        words = f"{-by_bundle:+.0f} s: Bundle.meta.lastUpdated beside the header Date"
        return warning(_PART, name, words, follows)
    if behind is None and not sample.heads:
        return not_tried(_PART, name, _without_sample(sample))
    if behind is None:
        words = "not known: the header Date or meta.lastUpdated is missing"
        advice = "if the server's clock may be ahead, set sync.overlap to more than that"
        return warning(_PART, name, words, advice)
    words = f"{-behind:+.0f} s: the newest meta.lastUpdated beside the header Date"
    if behind < -CLOCK_TOLERANCE:
        return warning(_PART, name, f"{words}; the clock of the data is ahead", follows)
    if behind > CLOCK_TOLERANCE:
        words += "; nothing was written since, or that clock is behind; sync follows it"
    return ok(_PART, name, words)
