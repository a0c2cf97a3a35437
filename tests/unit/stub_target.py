"""A FHIR server in memory that is written to, with habits that real targets are documented to have.

Each habit is a field of ``Target`` and names its public source. The stub looks at what it holds
itself, so that it counts what was doubled, what is missing and what has no Provenance, whatever its
search index says.

Sources: https://hl7.org/fhir/R4/http.html (named "http.html" below), the FHIR pages of Google Cloud
Healthcare API and AWS HealthLake, RFC 6585 and RFC 9110.
"""

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import parse_qs, urlsplit

from tests.unit.hospital import Reply, Seen
from tests.unit.inputs import Resource
from tests.unit.stub_fhir import _TYPES, StubFhir, _bundle, _matches, _path, _query, _Stored

ENDPOINT = "https://w3id.org/fhircryo/endpoint"

#: What becomes of a request that writes: its answer is lost before or after the write was done, or
#: a gateway answers 504 after it was done (RFC 9110, section 15.6.5).
Fate = Literal["", "lost before", "lost after", "504 after"]


@dataclass
class Target:
    """The habits of a target. By default it takes our own ids and transactions, as HAPI does.

    ``update_create``: a PUT to an id that does not exist creates it; else 405 (http.html#upsert).
    ``conditional_update``: ``PUT Observation?identifier=`` (http.html#cond-update): 412 where more
    than one matches. ``conditional_create``: ``If-None-Exist`` is ``honoured`` (http.html#ccreate),
    ``ignored`` (an unknown header is), or ``refused`` by 400. ``claims``: elements of the
    CapabilityStatement's Observation that differ from what the server does.

    ``transaction``: ``whole``; ``batch``: carried out entry by entry (http.html#transaction: an
    entry of a batch succeeds or fails alone, and references between entries are not resolved); or
    ``refused`` by ``transaction_refusal``: 404, 405 or 501 (http.html, 2.21.0.17). ``batch_type``:
    the type of a batch's answer. ``states_transaction``: what the CapabilityStatement says of it.
    ``most_entries``: a longer Bundle is refused by ``too_large``: 413 (RFC 9110), or 400 or 422
    with the issue type ``too-costly`` (https://hl7.org/fhir/R4/valueset-issue-type.html).

    ``lag_requests``, ``lag_seconds``: how many requests or seconds after a write the search index
    has it (Google Cloud Healthcare: searches are eventually consistent). Conditional operations
    search the index as well (http.html: "using its standard search facilities").
    ``updates_leave_index``: an updated resource is not found until it is indexed again (AWS
    HealthLake); else its former version is found. ``finds_identifiers``: whether a search by
    identifier finds anything (a server that does not index it returns nothing), or of which types
    it does. ``finds_systems``: whether it finds a system without a value
    (https://hl7.org/fhir/R4/search.html#token). ``searches``: other parameters that are indexed;
    None: all.

    ``refuses``: by type, the status by which each write of it is refused, for instance 401, 403,
    405, 412, 422, or 428 (RFC 6585). ``states_refusals``: whether the CapabilityStatement leaves
    the writing of these types out. ``rejects``: patients whose Observations are refused by 422.
    ``versioned``: ``If-Match`` is honoured (http.html#concurrency): 412 where it does not match.
    ``profiles``: what becomes of ``meta.profile``: ``kept``; ``dropped``, as by a server that sets
    ``meta`` itself (http.html#create: it may ignore or change what is sent); or ``refused`` by
    ``profile_refusal`` where it does not know the profile: 422 by HAPI's interceptor that validates
    requests, 412 by its RepositoryValidatingInterceptor
    (https://hapifhir.io/hapi-fhir/docs/validation/repository_validating_interceptor.html).
    ``fhir_version``: of FHIR.

    ``revinclude``: ``_revinclude=Provenance:target`` is supported. ``deleted_update``: the status
    of a PUT to a deleted id where the client may not choose ids.
    """

    update_create: bool = True
    conditional_update: bool = False
    conditional_create: Literal["honoured", "ignored", "refused"] = "ignored"
    claims: Resource = field(default_factory=dict)
    transaction: Literal["whole", "batch", "refused"] = "whole"
    transaction_refusal: int = 405
    batch_type: str = "batch-response"
    states_transaction: bool = True
    most_entries: int | None = None
    too_large: int = 413
    lag_requests: int = 0
    lag_seconds: float = 0.0
    updates_leave_index: bool = False
    finds_identifiers: bool | frozenset[str] = True
    finds_systems: bool = True
    searches: frozenset[str] | None = None
    refuses: dict[str, int] = field(default_factory=dict)
    states_refusals: bool = False
    rejects: frozenset[str] = frozenset()
    versioned: bool = True
    profiles: Literal["kept", "dropped", "refused"] = "kept"
    profile_refusal: int = 422
    fhir_version: str = "4.0.1"
    revinclude: bool = True
    deleted_update: int = 405


def own_ids(**habits: object) -> Target:
    """A server that lets clients choose ids, as HAPI by default."""
    return Target(**habits)  # type: ignore[arg-type]


def conditional_update(**habits: object) -> Target:
    """A server that chooses the ids and takes conditional updates."""
    usual = {"update_create": False, "conditional_update": True, "conditional_create": "honoured"}
    return Target(**{**usual, **habits})  # type: ignore[arg-type]


def conditional_create(**habits: object) -> Target:
    """A server that chooses the ids and takes conditional creates only."""
    usual = {"update_create": False, "conditional_create": "honoured"}
    return Target(**{**usual, **habits})  # type: ignore[arg-type]


def neither(**habits: object) -> Target:
    """A server that chooses the ids and ignores conditions."""
    return Target(**{"update_create": False, **habits})  # type: ignore[arg-type]


class _RefusedError(Exception):
    """A write is refused."""

    def __init__(self, status: int, text: str, code: str = "processing") -> None:
        super().__init__(text)
        self.status = status
        self.outcome = _outcome(code, text)


class StubTarget(StubFhir):
    """A target with habits.

    ``requests``: how many came in. ``lose``: what becomes of the next writes; ``fate``: decides it
    for each write that ``lose`` says nothing of.
    """

    def __init__(self, habits: Target | None = None) -> None:
        self.habits = habits or Target()
        self.requests = 0
        self.lose: list[Fate] = []
        self.fate: Callable[[Seen], Fate] = lambda _: ""
        #: How many resources were created and updated.
        self.carried_out: Counter[str] = Counter()
        self._index: dict[str, _Stored] = {}
        #: What is not indexed yet: the request and the time from which it is, its name, itself.
        self._unindexed: list[tuple[int, float, str, _Stored]] = []
        #: By Provenance, the version that each of its targets had when it was written.
        self._evidenced: dict[str, frozenset[tuple[str, int]]] = {}
        self._ids = 0
        self._guard = threading.RLock()
        super().__init__()

    # --- what a test does to it, and asks it

    def put(self, *resources: Resource, **at: object) -> None:
        super().put(*resources, **at)  # type: ignore[arg-type]
        for resource in resources:
            self._is_written(f"{resource['resourceType']}/{resource['id']}")

    def delete(self, name: str) -> None:
        """Delete a resource: 410 from then on."""
        super().delete(name)
        self._is_written(name)

    def settle(self) -> None:
        """Index everything now."""
        with self._guard:
            for _, _, name, stored in self._unindexed:
                self._index[name] = stored
            self._unindexed.clear()

    def endpoints(self) -> dict[str, list[Resource]]:
        """The living endpoints by their identifier, retracted ones included."""
        found: dict[str, list[Resource]] = {}
        for one in self.of_type("Observation"):
            for identifier in one.get("identifier", ()):
                if identifier.get("system") == ENDPOINT:
                    found.setdefault(identifier["value"], []).append(one)
        return found

    def doubles(self) -> list[str]:
        """The identifiers on more than one Observation or Device; Provenances that say the same."""
        found = [name for name, those in self.endpoints().items() if len(those) > 1]
        devices = Counter(
            f"Device {one['identifier'][0]['value']}" for one in self.of_type("Device")
        )
        found += [name for name, number in devices.items() if number > 1]
        alive = [each for name, each in self._evidenced.items() if self._is_alive(name)]
        said = Counter(alive)
        found += [f"Provenance of {min(each)}" for each, number in said.items() if number > 1]
        return found

    def lost(self, identifiers: Iterable[str]) -> list[str]:
        """Which of these endpoints it does not hold."""
        held = self.endpoints()
        return sorted(name for name in identifiers if name not in held)

    def without_provenance(self) -> list[str]:
        """The endpoints whose present version no Provenance names."""
        named = {each for name, those in self._evidenced.items() for each in those}
        return sorted(
            name
            for name, one in self.stored.items()
            if name.startswith("Observation/")
            and one.resource is not None
            and (name, one.version) not in named
        )

    def dangling(self) -> list[str]:
        """What Provenances name that is not there."""
        return sorted(
            target["reference"]
            for one in self.of_type("Provenance")
            for target in one["target"]
            if not self._is_alive(target["reference"])
        )

    def writes(self) -> list[Seen]:
        """The requests that write, whatever became of them."""
        return [one for one in self.seen if _writes(one)]

    # --- the index

    def _is_alive(self, name: str) -> bool:
        one = self.stored.get(name)
        return one is not None and one.resource is not None

    def _is_written(self, name: str) -> None:
        with self._guard:
            habits = self.habits
            if habits.updates_leave_index:
                self._index.pop(name, None)
                self._unindexed = [one for one in self._unindexed if one[2] != name]
            due = self.requests + habits.lag_requests
            at = time.monotonic() + habits.lag_seconds
            self._unindexed.append((due, at, name, self.stored[name]))
            self._index_due()

    def _index_due(self) -> None:
        now = time.monotonic()
        waiting = []
        for one in self._unindexed:
            due, at, name, stored = one
            if due <= self.requests and at <= now:
                self._index[name] = stored
            else:
                waiting.append(one)
        self._unindexed = waiting

    def _as_indexed(self) -> dict[str, _Stored]:
        return self._index

    # --- answers

    def _answer(self, seen: Seen) -> Reply:
        with self._guard:
            self.requests += 1
            self._index_due()
            if seen.method == "DELETE":
                self.delete("/".join(_path(seen)))
                return Reply(204)
            if not _writes(seen):
                return self._as_read(seen)
            fate = self.lose.pop(0) if self.lose else self.fate(seen)
            if fate == "lost before":
                raise ConnectionResetError
            try:
                reply = self._written(seen)
            except _RefusedError as refused:
                return Reply(refused.status, refused.outcome)
            if fate == "lost after":
                raise ConnectionResetError
            return Reply(504) if fate == "504 after" else reply

    def _as_read(self, seen: Seen) -> Reply:
        query = _query(seen)
        if not self._finds((_path(seen) or [""])[0], query):
            return Reply(content={**_bundle("searchset", []), "total": 0})
        reply = super()._answer(seen)
        if query.get("_revinclude") == "Provenance:target" and self.habits.revinclude:
            self._include_provenances(reply.content)
        return reply

    def _finds(self, kind: str, query: dict[str, str]) -> bool:
        """Whether a search can find anything, as far as parameters are indexed."""
        habits = self.habits
        found = habits.finds_identifiers
        indexed = found if isinstance(found, bool) else kind in found
        token = query.get("identifier", "")
        if "identifier" in query and not (indexed and (habits.finds_systems or token[-1:] != "|")):
            return False
        others = {name for name in query if name[0] != "_" and name != "identifier"}
        return habits.searches is None or others <= habits.searches

    def _include_provenances(self, bundle: Resource) -> None:
        names = {
            f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in bundle["entry"]
        }
        for name, one in self._index.items():
            resource = one.resource
            if not name.startswith("Provenance/") or resource is None:
                continue
            if names & {target["reference"] for target in resource["target"]}:
                given = {"resource": self._as_given(one), "search": {"mode": "include"}}
                bundle["entry"].append(given)

    def _statement(self) -> Resource:
        habits = self.habits
        statement = super()._statement()
        statement["fhirVersion"] = habits.fhir_version
        (rest,) = statement["rest"]
        for one in rest["resource"]:
            one["updateCreate"] = habits.update_create
            one["conditionalUpdate"] = habits.conditional_update
            one["conditionalCreate"] = habits.conditional_create == "honoured"
            one["versioning"] = "versioned-update" if habits.versioned else "versioned"
            if habits.states_refusals and one["type"] in habits.refuses:
                one["interaction"] = [{"code": "read"}, {"code": "search-type"}]
            if one["type"] == "Observation":
                one.update(habits.claims)
        if not habits.states_transaction:
            rest["interaction"] = []
        return statement

    # --- writing

    def _written(self, seen: Seen) -> Reply:
        path = _path(seen)
        if not path:
            return self._bundle_written(json.loads(seen.body))
        self._check_taken(path[0])
        resource = json.loads(seen.body)
        if not resource.get("resourceType"):
            raise _RefusedError(400, "not a resource", "structure")
        condition = seen.headers.get("If-None-Exist") if seen.method == "POST" else None
        where = urlsplit(seen.path)
        url = "/".join(path) + (f"?{where.query}" if where.query else "")
        status, name = self._carry_out(
            seen.method, url, resource, seen.headers.get("If-Match"), condition
        )
        stored = self.stored[name]
        headers = {
            "Location": f"{self.base}/{name}/_history/{stored.version}",
            "ETag": f'W/"{stored.version}"',
        }
        return Reply(status, self._as_given(stored), headers)

    def _bundle_written(self, sent: Resource) -> Reply:
        habits = self.habits
        if habits.transaction == "refused" and sent["type"] == "transaction":
            raise _RefusedError(habits.transaction_refusal, "no transactions", "not-supported")
        entries = sent.get("entry", [])
        if habits.most_entries is not None and len(entries) > habits.most_entries:
            raise _RefusedError(habits.too_large, "too many entries", "too-costly")
        if habits.transaction == "batch" or sent["type"] == "batch":
            answers = [self._alone(entry) for entry in entries]
            return Reply(content=_bundle(habits.batch_type, answers))
        return Reply(content=_bundle("transaction-response", self._together(entries)))

    def _alone(self, entry: Resource) -> Resource:
        try:
            return self._entry_written(entry)
        except _RefusedError as refused:
            return {"response": {"status": str(refused.status), "outcome": refused.outcome}}

    def _together(self, entries: list[Resource]) -> list[Resource]:
        """All entries or none. References to other entries become the ids that these got."""
        before = (dict(self.stored), dict(self._index), list(self._unindexed), self._ids)
        evidenced, carried_out = dict(self._evidenced), Counter(self.carried_out)
        ids: dict[str, str] = {}
        answers: dict[int, Resource] = {}
        try:
            for number, entry in _observations_first(entries):
                text = json.dumps(entry["resource"])
                for full_url, name in ids.items():
                    text = text.replace(f'"{full_url}"', f'"{name}"')
                answer = self._entry_written({**entry, "resource": json.loads(text)})
                if "fullUrl" in entry:
                    location = answer["response"]["location"]
                    ids[entry["fullUrl"]] = location.partition("/_history/")[0]
                answers[number] = answer
        except _RefusedError:
            self.stored, self._index, self._unindexed, self._ids = before
            self._evidenced, self.carried_out = evidenced, carried_out
            raise
        return [answers[number] for number in range(len(entries))]

    def _entry_written(self, entry: Resource) -> Resource:
        asked = entry["request"]
        status, name = self._carry_out(
            asked["method"],
            asked["url"],
            entry["resource"],
            asked.get("ifMatch"),
            asked.get("ifNoneExist"),
        )
        version = self.stored[name].version
        words = "201 Created" if status == 201 else "200 OK"
        location = f"{name}/_history/{version}"
        return {"response": {"status": words, "location": location, "etag": f'W/"{version}"'}}

    def _carry_out(
        self, method: str, url: str, resource: Resource, match: str | None, condition: str | None
    ) -> tuple[int, str]:
        """Write one resource; returns the status and the resource's name."""
        kind = url.partition("?")[0].partition("/")[0]
        self._check_taken(kind)
        resource = self._with_its_profile(resource)
        subject = str(resource.get("subject", {}).get("reference") or "")
        subject = subject or str(resource.get("subject", {}).get("identifier", {}).get("value", ""))
        if subject.removeprefix("Patient/") in self.habits.rejects:
            raise _RefusedError(422, f"{subject}: not processable", "business-rule")
        if method == "POST":
            return self._create(kind, resource, condition)
        if "?" in url:
            return self._update_by_search(kind, url.partition("?")[2], resource)
        return self._update(url, resource, match)

    def _check_taken(self, kind: str) -> None:
        """Refuse a type, whatever is sent: rights are checked before content."""
        if kind in self.habits.refuses:
            raise _RefusedError(self.habits.refuses[kind], f"{kind} is not taken", "not-supported")

    def _with_its_profile(self, resource: Resource) -> Resource:
        """The resource as it is kept."""
        meta = resource.get("meta", {})
        if "profile" not in meta or self.habits.profiles == "kept":
            return resource
        if self.habits.profiles == "refused":
            words = f"Profile reference {meta['profile'][0]!r} has not been found"
            raise _RefusedError(self.habits.profile_refusal, words)
        return {**resource, "meta": {key: meta[key] for key in meta if key != "profile"}}

    def _create(self, kind: str, resource: Resource, condition: str | None) -> tuple[int, str]:
        how = self.habits.conditional_create
        if condition is not None and how == "refused":
            raise _RefusedError(400, "If-None-Exist is not supported", "not-supported")
        if condition is not None and how == "honoured":
            matches = self._found(kind, condition)
            if len(matches) > 1:
                raise _RefusedError(412, "more than one resource matches", "multiple-matches")
            if matches:
                return 200, matches[0]
        return 201, self._create_new(kind, resource)

    def _create_new(self, kind: str, resource: Resource) -> str:
        self._ids += 1
        name = f"{kind}/s{self._ids}"
        self._keep(name, resource)
        self.carried_out["create"] += 1
        return name

    def _update_by_search(self, kind: str, query: str, resource: Resource) -> tuple[int, str]:
        if not self.habits.conditional_update:
            raise _RefusedError(400, "no conditional updates", "not-supported")
        matches = self._found(kind, query)
        if len(matches) > 1:
            raise _RefusedError(412, "more than one resource matches", "multiple-matches")
        if not matches:
            return 201, self._create_new(kind, resource)
        self._keep(matches[0], resource)
        self.carried_out["update"] += 1
        return 200, matches[0]

    def _update(self, name: str, resource: Resource, match: str | None) -> tuple[int, str]:
        stored = self.stored.get(name)
        if f"{resource['resourceType']}/{resource.get('id')}" != name:
            raise _RefusedError(400, "the id of the resource is not that of the URL", "invalid")
        if not self._is_alive(name) and not self.habits.update_create:
            status = 405 if stored is None else self.habits.deleted_update
            raise _RefusedError(status, "clients may not choose ids", "not-supported")
        if match is not None and self.habits.versioned:
            present = stored.version if stored is not None else 0
            if match != f'W/"{present}"':
                raise _RefusedError(412, "the version has changed", "conflict")
        status = 200 if self._is_alive(name) else 201
        self._keep(name, resource)
        self.carried_out["update" if status == 200 else "create"] += 1
        return status, name

    def _keep(self, name: str, resource: Resource) -> None:
        self.put({**resource, "id": name.partition("/")[2]})
        if name.startswith("Provenance/"):
            targets = [one.get("reference", "") for one in resource["target"]]
            self._evidenced[name] = frozenset(
                (one, self.stored[one].version if one in self.stored else 0) for one in targets
            )

    def _found(self, kind: str, condition: str) -> list[str]:
        """The resources that a condition matches, as far as they are indexed."""
        query = {name: ",".join(values) for name, values in parse_qs(condition).items()}
        if not self._finds(kind, query):
            return []
        return [
            name
            for name, one in self._index.items()
            if name.startswith(f"{kind}/")
            and one.resource is not None
            and self._is_alive(name)
            and _matches(one.resource, query)
        ]


def _writes(seen: Seen) -> bool:
    if seen.method == "PUT":
        return True
    path = _path(seen)
    return seen.method == "POST" and path[-1:] != ["_search"] and (not path or path[0] in _TYPES)


def _observations_first(entries: list[Resource]) -> list[tuple[int, Resource]]:
    """The entries with their places; Provenances last, because they refer to the others."""
    numbered = list(enumerate(entries))
    return sorted(numbered, key=lambda one: one[1]["resource"]["resourceType"] == "Provenance")


def _outcome(code: str, text: str) -> Resource:
    issue = {"severity": "error", "code": code, "diagnostics": text}
    return {"resourceType": "OperationOutcome", "issue": [issue]}
