"""A FHIR server in memory, and servers with a habit that real ones were seen to have.

Each habit names its public source. What a habit leads to in scheduled runs is in
``test_sync_increments``, what the doctor says of it in ``test_doctor_increments``.
"""

import copy
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from fhircryo.fhir.wire import DECODERS
from tests.unit.hospital import Reply, Seen, Stub
from tests.unit.inputs import Resource

_TYPES = (*DECODERS, "Device", "Provenance")
_PARAMETERS = (
    "_id",
    "_lastUpdated",
    "code",
    "combo-code",
    "patient",
    "subject",
    "category",
    "device",
    "device-name",
    "identifier",
    "link",
    "target",
)
_INTERACTIONS = ("read", "create", "update", "search-type", "history-type")


@dataclass
class _Stored:
    """The present version of a resource; ``resource``: None if it was deleted."""

    resource: Resource | None
    version: int
    updated: datetime


class _Routes(dict[str, Callable[[Seen], Reply]]):
    """All paths lead to one function."""

    def __init__(self, answer: Callable[[Seen], Reply]) -> None:
        super().__init__()
        self._answer = answer

    def get(self, path: str, default: Any = None) -> Callable[[Seen], Reply]:
        return self._answer


class StubFhir(Stub):
    """Searches by code, patient, id, identifier and time; history; transactions of updates.

    ``now``: the clock that stamps the data; ``date_ahead``: by how much the header Date is ahead
    of it. Methods named ``_as_...`` are what habits override.
    """

    def __init__(self, *resources: Resource) -> None:
        super().__init__()
        self.base = f"{self.origin}/fhir"
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.date_ahead = timedelta()
        self.stored: dict[str, _Stored] = {}
        self.routes = _Routes(self._answer)
        self.put(*resources)

    # --- what a test does to it

    def put(self, *resources: Resource, at: datetime | None = None) -> None:
        """Create or update resources, stamped ``at`` a time or now."""
        for resource in resources:
            name = f"{resource['resourceType']}/{resource['id']}"
            before = self.stored.get(name)
            version = before.version + 1 if before else 1
            self.stored[name] = _Stored(copy.deepcopy(resource), version, at or self.now())

    def delete(self, name: str) -> None:
        self.stored[name] = _Stored(None, self.stored[name].version + 1, self.now())

    def of_type(self, kind: str) -> list[Resource]:
        """The resources of a type, as they are given out."""
        return [
            self._as_given(one)
            for name, one in self.stored.items()
            if name.startswith(f"{kind}/") and one.resource is not None
        ]

    def searches(self, kind: str) -> list[dict[str, str]]:
        """The parameters of all searches of a type that came in, further pages left out."""
        found = [_query(one) for one in self.seen if _path(one)[:1] == [kind]]
        return [one for one in found if "_page" not in one]

    # --- habits

    def _as_given(self, stored: _Stored) -> Resource:
        """A resource as it is given out; what is changed in it below ``meta`` is changed here."""
        resource = stored.resource or {}
        stamp = {"versionId": str(stored.version), "lastUpdated": _instant(stored.updated)}
        return {**resource, "meta": {**resource.get("meta", {}), **stamp}}

    def _as_filtered(self, stored: _Stored, query: dict[str, str]) -> bool:
        """Whether a resource is of the time that a search asks for."""
        wanted = query.get("_lastUpdated")
        if wanted is None:
            return True
        sign, limit = wanted[:2], datetime.fromisoformat(wanted[2:])
        limit = limit if limit.tzinfo else limit.replace(tzinfo=UTC)
        return stored.updated >= limit if sign in ("ge", "gt") else stored.updated <= limit

    def _as_indexed(self) -> dict[str, _Stored]:
        """What a search looks at."""
        return self.stored

    def _as_supported(self, query: dict[str, str]) -> bool:
        """Whether a search is answered at all."""
        return True

    # --- answers

    def _answer(self, seen: Seen) -> Reply:
        self.date = format_datetime((self.now() + self.date_ahead).astimezone(UTC), usegmt=True)
        path = _path(seen)
        if path == ["metadata"]:
            return Reply(content=self._statement())
        if not path:
            return self._transaction(json.loads(seen.body))
        if seen.method == "PUT":
            self.put(json.loads(seen.body))
            return Reply(content=self._read(path))
        if len(path) == 2 and path[1] == "_history":
            return self._history(path[0], _query(seen))
        if len(path) == 1 or path[1] == "_search":
            return self._search(path[0], _query(seen))
        stored = self.stored.get("/".join(path))
        if stored is None or stored.resource is None:
            return Reply(410 if stored else 404, {"resourceType": "OperationOutcome"})
        return Reply(content=self._as_given(stored))

    def _read(self, path: list[str]) -> Resource:
        return self._as_given(self.stored["/".join(path)])

    def _statement(self) -> Resource:
        resource = {
            "searchParam": [{"name": name} for name in _PARAMETERS],
            "interaction": [{"code": code} for code in _INTERACTIONS],
            "updateCreate": True,
        }
        rest = {
            "mode": "server",
            "resource": [{"type": kind, **resource} for kind in _TYPES],
            "interaction": [{"code": "transaction"}],
        }
        return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": [rest]}

    def _search(self, kind: str, query: dict[str, str]) -> Reply:
        if not self._as_supported(query):
            return Reply(400, {"resourceType": "OperationOutcome"})
        found = [
            one
            for name, one in self._as_indexed().items()
            if name.startswith(f"{kind}/")
            and one.resource is not None
            and _matches(one.resource, query)
            and self._as_filtered(one, query)
        ]
        sort = query.get("_sort", "")
        if sort.endswith("_lastUpdated"):
            found.sort(key=lambda one: one.updated, reverse=sort.startswith("-"))
        page, size = int(query.get("_page", "0")), int(query.get("_count", "50"))
        entries = [
            {"resource": self._as_given(one), "search": {"mode": "match"}}
            for one in found[page * size : (page + 1) * size]
        ]
        links = []
        if (page + 1) * size < len(found):
            further = urlencode({**query, "_page": str(page + 1)})
            links = [{"relation": "next", "url": f"{self.base}/{kind}?{further}"}]
        return Reply(content={**_bundle("searchset", entries), "total": len(found), "link": links})

    def _history(self, kind: str, query: dict[str, str]) -> Reply:
        since = datetime.fromisoformat(query["_since"])
        entries = []
        for name, one in self.stored.items():
            if not name.startswith(f"{kind}/") or one.updated < since:
                continue
            method = "PUT" if one.resource is not None else "DELETE"
            entry: Resource = {
                "request": {"method": method, "url": name},
                "response": {"status": "200", "lastModified": _instant(one.updated)},
            }
            if one.resource is not None:
                entry["resource"] = self._as_given(one)
            entries.append(entry)
        return Reply(content=_bundle("history", entries))

    def _transaction(self, sent: Resource) -> Reply:
        entries = []
        for entry in sent.get("entry", ()):
            name = entry["request"]["url"]
            known = name in self.stored
            self.put({**entry["resource"], "id": name.partition("/")[2]})
            version = self.stored[name].version
            response = {
                "status": "200 OK" if known else "201 Created",
                "location": f"{name}/_history/{version}",
                "etag": f'W/"{version}"',
            }
            entries.append({"response": response})
        return Reply(content=_bundle("transaction-response", entries))


class IgnoresLastUpdated(StubFhir):
    """Returns whatever matches the other parameters, as FHIR allows for unknown parameters.

    https://hl7.org/fhir/R4/search.html#errors: "servers SHOULD ignore unknown or unsupported
    parameters". Seen: microsoft/fhir-server issue 563, where ``_lastUpdated`` was not applied
    beside a search by code.
    """

    def _as_filtered(self, stored: _Stored, query: dict[str, str]) -> bool:
        return True


class IgnoresLastUpdatedBesideCodes(IgnoresLastUpdated):
    """Looks at ``_lastUpdated`` unless a search has a code: microsoft/fhir-server issue 563."""

    def _as_filtered(self, stored: _Stored, query: dict[str, str]) -> bool:
        return any("code" in name for name in query) or StubFhir._as_filtered(self, stored, query)


class GivesNoVersions(StubFhir):
    """Gives ``meta`` without ``versionId`` and ``lastUpdated``, and filters by time all the same.

    Seen: HeliosSoftware/hfs issue 873 (``meta`` with a profile alone, in reads, searches and
    histories); microsoft/fhir-server issue 593 (exports without ``meta``).
    """

    def _as_given(self, stored: _Stored) -> Resource:
        profile = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"
        return {**(stored.resource or {}), "meta": {"profile": [profile]}}


class GivesNoVersionsAndIgnoresLastUpdated(GivesNoVersions, IgnoresLastUpdated):
    """As Epic: it omits both on every resource and does not support ``_lastUpdated``.

    cobuildwithus/murph pull request 3505; https://docs.smarthealthit.org/cumulus/fetch/since.html.
    """


class WithholdsConditions(StubFhir):
    """Leaves Conditions out of its answers, and says so in an outcome of status 200.

    As Epic, code 59204: onc-healthit/onc-certification-g10-test-kit issue 278.
    """

    def _search(self, kind: str, query: dict[str, str]) -> Reply:
        reply = super()._search(kind, query)
        if kind != "Condition":
            return reply
        issue = {
            "severity": "warning",
            "code": "suppressed",
            "diagnostics": "Client not authorized: results of this type have not been included",
        }
        outcome = {"resourceType": "OperationOutcome", "issue": [issue]}
        entry = {"resource": outcome, "search": {"mode": "outcome"}}
        return Reply(content={**_bundle("searchset", [entry]), "total": 0})


class TwoClocks(StubFhir):
    """Its header Date is 20 minutes ahead of the clock that stamps its data.

    LinuxForHealth/FHIR issue 3690: nodes whose clocks drift; RFC 9110, section 6.6.1: a proxy may
    set the header Date itself.
    """

    def __init__(self, *resources: Resource) -> None:
        super().__init__(*resources)
        self.date_ahead = timedelta(minutes=20)


def _path(seen: Seen) -> list[str]:
    return [part for part in urlsplit(seen.path).path.removeprefix("/fhir").split("/") if part]


def _query(seen: Seen) -> dict[str, str]:
    found = parse_qs(urlsplit(seen.path).query)
    if seen.method == "POST" and b"{" not in seen.body[:1]:
        found.update(parse_qs(seen.body.decode()))
    return {name: ",".join(values) for name, values in found.items()}


def _bundle(kind: str, entries: list[Resource]) -> Resource:
    return {"resourceType": "Bundle", "type": kind, "entry": entries}


def _instant(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _matches(resource: Resource, query: dict[str, str]) -> bool:
    """Whether a resource matches the parameters, those about time and pages aside."""
    values = {name: set(text.split(",")) for name, text in query.items() if name[0] != "_"}
    if "_id" in query and resource["id"] not in query["_id"].split(","):
        return False
    codings = resource.get("code", {}).get("coding", ())
    codes = {f"{one.get('system')}|{one.get('code')}" for one in codings}
    subject = resource.get("subject", {}).get("reference", "")
    identifiers = {
        token
        for one in resource.get("identifier", ())
        for token in (f"{one.get('system')}|", f"{one.get('system')}|{one.get('value')}")
    }
    categories = {
        f"{coding.get('system')}|{coding.get('code')}"
        for concept in resource.get("category", ())
        if isinstance(concept, dict)
        for coding in concept.get("coding", ())
    }
    device = resource.get("device")
    names = {one.get("name") or one.get("value") for one in resource.get("deviceName", ())}
    links = {one["other"]["reference"] for one in resource.get("link", ())}
    targets = {one.get("reference", "") for one in resource.get("target", ())}
    held = {
        "code": codes,
        "combo-code": codes,
        "patient": {subject.removeprefix("Patient/")},
        "subject": {subject},
        "category": categories,
        "device": {device.get("reference", "")} if isinstance(device, dict) else set(),
        "device-name": names,
        "identifier": identifiers,
        "link": links,
        "target": targets,
    }
    return all(bool(held.get(name, set()) & wanted) for name, wanted in values.items())
