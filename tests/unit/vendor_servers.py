"""Stub servers with the habits of FHIR servers that hospitals use.

What a server holds is the same for all; ``Habits`` says how it is searched. Each vendor's habits
have their public source in the docstring of its test (``test_vendor_servers.py``).
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from fhircryo.fhir.wire import DECODERS
from tests.unit.hospital import Reply, Seen, Stub
from tests.unit.inputs import Resource

KINDS = tuple(DECODERS)
#: The search parameters that a CapabilityStatement lists by default.
PARAMETERS = {
    "Patient": ("_id", "link"),
    "Procedure": ("_id", "patient", "code"),
    "Observation": ("_id", "patient", "code", "combo-code"),
    "AdverseEvent": ("_id", "subject"),
    "Medication": ("_id", "code"),
}
_PATIENT = ("patient", "subject")
_RESULT = frozenset({"_count", "_total", "_page", "_offset", "ct", "_skip"})


def outcome(severity: str, code: str, text: str = "", *details: tuple[str, str]) -> Resource:
    """An OperationOutcome with one issue; ``details``: its codings, (system, code)."""
    codings = [{"system": system, "code": value} for system, value in details]
    issue = {
        "severity": severity,
        "code": code,
        "diagnostics": text,
        "details": {"coding": codings},
    }
    return {"resourceType": "OperationOutcome", "issue": [issue]}


@dataclass
class Habits:
    """How a server is searched.

    ``page``: the most matches on a page. ``post``: whether it is searched by POST. ``lists``:
    whether all values of a list of patients or ids are honoured, or only the ``first``, or lists
    are ``refused``. ``total``: ``asked`` (only where ``_total`` asks for it), ``always``,
    ``estimate`` (until the last page), ``never``, or ``outcomes`` (counted with the matches).
    ``refuses``: parameters that are answered with 400; ``needs_patient``: types that are searched
    by patient or id only. ``ids_alone``: ``_id`` is refused beside other parameters. ``next_page``:
    the query of the next page, by its offset; ``next_by_post``: the next page is given by POST
    only. ``relative``: links are relative. ``outcomes``: by type, what stands beside the matches.
    ``forbidden``: types that are answered with 403. ``unindexed``: references that a search does
    not find. ``parameters``: those that the CapabilityStatement lists.
    """

    page: int = 1000
    post: bool = True
    lists: str = "all"
    total: str = "asked"
    refuses: tuple[str, ...] = ()
    needs_patient: tuple[str, ...] = ()
    ids_alone: bool = False
    next_page: Callable[[int], dict[str, str]] = lambda offset: {"_offset": str(offset)}
    next_by_post: bool = False
    relative: bool = False
    outcomes: dict[str, list[Resource]] = field(default_factory=dict)
    forbidden: tuple[str, ...] = ()
    unindexed: tuple[str, ...] = ()
    parameters: dict[str, tuple[str, ...]] = field(default_factory=dict)


class VendorServer(Stub):
    """A FHIR server with habits. ``busy``: how many requests it answers with ``busy_reply``."""

    def __init__(self, resources: Iterable[Resource], habits: Habits) -> None:
        super().__init__()
        self.base = f"{self.origin}/fhir"
        self.habits = habits
        self.busy = 0
        self.busy_reply = Reply(429)
        self._held: dict[str, dict[str, Resource]] = {kind: {} for kind in KINDS}
        for one in resources:
            self._held.setdefault(one["resourceType"], {})[one["id"]] = one
        self.routes["/fhir/metadata"] = lambda _: Reply(content=self._statement())
        for kind in KINDS:
            self.routes[f"/fhir/{kind}"] = self._search
            self.routes[f"/fhir/{kind}/_search"] = self._search
        for kind, held in self._held.items():
            for name in held:
                self.routes[f"/fhir/{kind}/{name}"] = self._read

    def searches(self, kind: str) -> list[dict[str, str]]:
        """The parameters of the searches for a type."""
        paths = (f"/fhir/{kind}", f"/fhir/{kind}/_search")
        return [_query(one) for one in self.seen if urlsplit(one.path).path in paths]

    def _statement(self) -> Resource:
        listed = dict.fromkeys(KINDS, ("_id", "patient")) | PARAMETERS | self.habits.parameters
        resources = [
            {"type": kind, "searchParam": [{"name": name} for name in listed[kind]]}
            for kind in KINDS
        ]
        rest = [{"mode": "server", "resource": resources}]
        return {"resourceType": "CapabilityStatement", "fhirVersion": "4.0.1", "rest": rest}

    def _read(self, seen: Seen) -> Reply:
        _, _, kind, name = urlsplit(seen.path).path.split("/")
        if kind in self.habits.forbidden:
            return Reply(403, outcome("error", "forbidden"))
        return Reply(content=self._held[kind][name])

    def _search(self, seen: Seen) -> Reply:
        path = urlsplit(seen.path).path
        kind = path.split("/")[2]
        asked = _query(seen)
        if self.busy:
            self.busy -= 1
            return self.busy_reply
        refused = self._refused(seen, kind, path, asked)
        return refused or Reply(content=self._bundle(kind, path, asked))

    def _refused(self, seen: Seen, kind: str, path: str, asked: dict[str, str]) -> Reply | None:
        habits = self.habits
        by_patient = [asked[name] for name in (*_PATIENT, "_id") if name in asked]
        if seen.method == "POST" and (not habits.post or urlsplit(seen.path).query):
            return Reply(405 if not habits.post else 400, outcome("error", "not-supported"))
        if seen.method == "GET" and path.endswith("/_search"):
            return Reply(400, outcome("error", "invalid", "_search is not an id"))
        if kind in habits.forbidden:
            return Reply(403, outcome("error", "forbidden"))
        wrong = [name for name in asked if name in habits.refuses]
        if kind in habits.needs_patient and not by_patient:
            wrong.append("patient is required")
        if habits.lists == "refused" and any("," in values for values in by_patient):
            wrong.append("one patient only")
        if habits.ids_alone and "_id" in asked and len(asked) > 1:
            wrong.append("_id beside other parameters")
        return Reply(400, outcome("error", "invalid", wrong[0])) if wrong else None

    def _bundle(self, kind: str, path: str, asked: dict[str, str]) -> Resource:
        habits = self.habits
        found = [one for one in self._held[kind].values() if self._matches(one, asked)]
        size = min(int(asked.get("_count", 10)), habits.page)
        offset = next((int(asked[name]) for name in ("_offset", "ct", "_page") if name in asked), 0)
        page = found[offset : offset + size]
        beside = habits.outcomes.get(kind, []) + habits.outcomes.get("*", [])
        last = offset + size >= len(found)
        entries = [{"resource": one, "search": {"mode": "match"}} for one in page]
        entries += [{"resource": one, "search": {"mode": "outcome"}} for one in beside]
        bundle: Resource = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
        total = self._total(len(found), len(beside), asked, last=last)
        if total is not None:
            bundle["total"] = total
        if not last:
            kept = {name: value for name, value in asked.items() if name not in _RESULT}
            count = {name: asked[name] for name in ("_count", "_total") if name in asked}
            query = urlencode({**kept, **count, **habits.next_page(offset + size)})
            where = path if habits.next_by_post else path.removesuffix("/_search")
            base = "" if habits.relative else self.origin
            bundle["link"] = [{"relation": "next", "url": f"{base}{where}?{query}"}]
        return bundle

    def _total(self, found: int, beside: int, asked: dict[str, str], *, last: bool) -> int | None:
        match self.habits.total:
            case "asked":
                return found if asked.get("_total") == "accurate" else None
            case "always":
                return found
            case "estimate":
                return found if last else found + 7
            case "outcomes":
                return found + beside
        return None

    def _matches(self, one: Resource, asked: dict[str, str]) -> bool:
        reference = f"{one['resourceType']}/{one['id']}"
        if reference in self.habits.unindexed:
            return False
        return all(
            self._has(one, name, value) for name, value in asked.items() if name not in _RESULT
        )

    def _has(self, one: Resource, name: str, value: str) -> bool:
        values = value.split(",")
        if name in _PATIENT or name in ("_id", "link"):
            names = [each.rpartition("/")[2] for each in values]
            names = names[:1] if self.habits.lists == "first" else names
            return not _named(one, name).isdisjoint(names)
        if name in ("code", "combo-code", "component-code"):
            places = [] if name == "component-code" else [one]
            places += [] if name == "code" else one.get("component", [])
            return not _codes(places).isdisjoint(values)
        return not name.endswith(":text")


def _named(one: Resource, parameter: str) -> set[str]:
    if parameter == "_id":
        return {one["id"]}
    if parameter == "link":
        return {link["other"]["reference"].rpartition("/")[2] for link in one.get("link", [])}
    return {str(one.get("subject", {}).get("reference", "")).rpartition("/")[2]}


def _codes(places: list[Resource]) -> set[str]:
    return {
        f"{coding.get('system', '')}|{coding.get('code', '')}"
        for place in places
        for coding in place.get("code", {}).get("coding", [])
    }


def _query(seen: Seen) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(seen.path).query)) | seen.form


def as_json(content: Any) -> bytes:
    """Content as a server sends it."""
    return json.dumps(content).encode()
