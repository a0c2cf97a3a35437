"""Targets that answer oddly, or hold what somebody else wrote: no run stops, nothing is doubled."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.unit.hospital import Reply, Seen
from tests.unit.stub_target import (
    ENDPOINT,
    StubTarget,
    Target,
    conditional_create,
    conditional_update,
    neither,
    own_ids,
)
from tests.unit.test_target_kinds import Site

Change = Callable[[Seen, Reply], None]
Start = Callable[[Target, Change], Site]


class Odd(StubTarget):
    """A target whose answers are changed."""

    def __init__(self, habits: Target, change: Change) -> None:
        self._change = change
        super().__init__(habits)

    def _answer(self, seen: Seen) -> Reply:
        reply = super()._answer(seen)
        self._change(seen, reply)
        return reply


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:
        yield lambda habits, change: Site(stack.enter_context(Odd(habits, change)), tmp_path)


def is_written_alone(seen: Seen, reply: Reply) -> bool:
    alone = seen.path.rstrip("/") != "/fhir" and not seen.path.endswith("_search")
    return alone and seen.method in ("PUT", "POST") and reply.status < 300


def answers_with_an_outcome(seen: Seen, reply: Reply) -> None:
    """``Prefer: return=OperationOutcome``, https://hl7.org/fhir/R4/http.html#ops"""
    if is_written_alone(seen, reply):
        issue = {"severity": "information", "code": "informational"}
        reply.content = {"resourceType": "OperationOutcome", "id": "o1", "issue": [issue]}


def answers_with_a_location_that_ends_with_a_slash(seen: Seen, reply: Reply) -> None:
    if is_written_alone(seen, reply) and "Location" in reply.headers:
        reply.content = b""
        reply.headers["Location"] = reply.headers["Location"].partition("/_history")[0] + "/"


@pytest.mark.slow
@pytest.mark.parametrize("habits", [own_ids, conditional_update, conditional_create, neither])
@pytest.mark.parametrize(
    "change", [answers_with_an_outcome, answers_with_a_location_that_ends_with_a_slash]
)
def test_what_was_written_is_named_by_its_location(start, habits, change):
    site = start(habits(transaction="refused"), change)
    assert site.write().pushed.rejected == {}
    site.check()


#: Elements of types that FHIR does not define.
MALFORMED: dict[str, Any] = {
    "meta": {"tag": [None]},
    "subject": "Patient/p1",
    "code": {"coding": [None]},
    "component": [1],
    "effectivePeriod": "2016",
    "valueRange": [],
    "valueQuantity": {"value": {}},
    "status": {},
    "method": {"text": []},
    "partOf": ["Procedure/x1"],
    "dataAbsentReason": [],
}


def with_another(content: dict[str, Any]) -> Change:
    """Searches find an Observation that somebody else wrote with an identifier of ours."""

    def change(seen: Seen, reply: Reply) -> None:
        found = reply.content
        if not seen.path.startswith("/fhir/Observation") or not isinstance(found, dict):
            return
        if found.get("type") == "searchset":
            other = {"resourceType": "Observation", "id": "other", "status": "final"}
            identifier = {"identifier": [{"system": ENDPOINT, "value": "eother"}]}
            found["entry"].append({"resource": other | identifier | content})
            found["total"] += 1

    return change


@pytest.mark.slow
@pytest.mark.parametrize("element", MALFORMED)
def test_what_is_not_fhir_stops_nobody(start, element, caplog):
    site = start(own_ids(), with_another({element: MALFORMED[element]}))
    assert site.write().pushed.rejected == {}
    site.check()
    assert "Observation/other of TARGET has elements of types" in caplog.text


def test_an_endpoint_that_was_overwritten_with_what_is_not_fhir_is_written_again(start):
    site = start(own_ids(), lambda *_: None)
    site.write()
    identifier = min(site.endpoints)
    broken = True

    def change(seen: Seen, reply: Reply) -> None:
        if broken and isinstance(reply.content, dict):
            entries = reply.content.get("entry", ())
            for resource in (reply.content, *(entry.get("resource", {}) for entry in entries)):
                if resource.get("id") == identifier:
                    resource["code"] = {"coding": "none"}

    site.target._change = change
    assert site.write().pushed.written.endpoints.total() == 1
    broken = False
    site.check()


def test_a_number_beyond_measure_stops_nobody(start):
    def change(seen: Seen, reply: Reply) -> None:
        with_another({"valueQuantity": {"value": "@"}})(seen, reply)
        if isinstance(reply.content, dict):
            reply.content = (
                json.dumps(reply.content).replace('"@"', "1e99999999999999999999").encode()
            )

    site = start(own_ids(), change)
    assert site.write().pushed.rejected == {}
    site.check()
