"""A target whose resources are not what FHIR defines: no run stops, and who is left out is named.

Other programs write to a target as well, and gateways on the way change what they pass on.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fhircryo.publish.matching import Matched, match_patients
from tests.unit.hospital import Reply, Seen
from tests.unit.inputs import Resource
from tests.unit.stub_target import neither, own_ids
from tests.unit.test_odd_targets import Odd
from tests.unit.test_target_kinds import Site

SYSTEM = "https://national.example/patient"
GOOD = {"resourceType": "Patient", "id": "t2", "identifier": [{"system": SYSTEM, "value": "2"}]}

#: Patients of a target, and the words for who has the identifier "5".
PATIENTS: dict[str, tuple[Any, str]] = {
    "a number": ({"identifier": [{"system": SYSTEM, "value": 5}]}, "not FHIR"),
    "no list": ({"identifier": {"system": SYSTEM, "value": "5"}}, "not FHIR"),
    "no id": ({"id": None, "identifier": [{"system": SYSTEM, "value": "5"}]}, "no patient"),
    "an id that is a number": ({"id": 5, "identifier": [{"system": SYSTEM, "value": "5"}]}, "not"),
    "text": ({"identifier": "5"}, "no patient"),
    "null within": ({"identifier": [None, {"system": SYSTEM, "value": "6"}]}, "no patient"),
    "true": ({"identifier": [{"system": SYSTEM, "value": True}]}, "no patient"),
}


class Answers:
    """Stands in for a search for patients."""

    def __init__(self, *resources: Any) -> None:
        self._page = [json.dumps(one).encode() for one in resources]

    def search(self, kind: str, params: dict[str, str]) -> Iterator[list[bytes]]:
        yield self._page


def matched(known_as: dict[str, str], *resources: Any) -> Matched:
    """Match patients with those that a search gives."""
    answers = Answers(*resources)
    return match_patients(answers, SYSTEM, known_as)  # type: ignore[arg-type]  # all that is called


@pytest.mark.parametrize("what", PATIENTS)
def test_a_malformed_patient_is_named_and_the_others_are_matched(what):
    wrong, words = PATIENTS[what]
    given = {"resourceType": "Patient", "id": "t1", **wrong}
    found = matched({"a": "5", "b": "2"}, given, GOOD)
    assert found.ids == {"b": "t2"}
    assert words in found.problems["a"]


@pytest.mark.parametrize("other", [None, 5, "text", [], {}])
def test_what_is_no_resource_stops_no_matching(other):
    found = matched({"b": "2"}, other, GOOD)
    assert found.ids == {"b": "t2"}


def test_a_malformed_patient_makes_a_good_one_doubtful():
    """Which of the two is the patient is for a person to say."""
    wrong = {"resourceType": "Patient", "id": "t1", "identifier": [{"system": SYSTEM, "value": 2}]}
    found = matched({"b": "2"}, wrong, GOOD)
    assert found.ids == {}
    assert "Patient/t1, Patient/t2" in found.problems["b"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    with ExitStack() as stack:
        yield lambda habits, change: Site(stack.enter_context(Odd(habits, change)), tmp_path)


#: Elements of other types than FHIR defines, in whatever resource has them.
ELEMENTS: dict[str, Any] = {
    "meta": [{}, [], "text", None, {"versionId": 3}, {"profile": "text"}, {"tag": "text"}],
    "version": [None, "1", [None], [{"value": 3}], {}],
    "identifier": [None, "text", [None], [{"system": 3, "value": 4}], {}],
    "recorded": [None, 5, [], {}, "yesterday"],
    "target": [None, "Observation/1", [None], ["Observation/1"], [{"reference": 7}], {}],
}
MALFORMED = [
    (kind, element, value)
    for kind, elements in {
        "Device": ("meta", "version", "identifier"),
        "Provenance": ("meta", "recorded", "target"),
    }.items()
    for element in elements
    for value in ELEMENTS[element]
]


def with_element(kind: str, element: str, value: Any) -> Callable[[Seen, Reply], None]:
    """All resources of a type are answered with another value of an element."""

    def change(seen: Seen, reply: Reply) -> None:
        content = reply.content
        if not isinstance(content, dict):
            return
        entries = content.get("entry") or ()
        for resource in (content, *(entry.get("resource", {}) for entry in entries)):
            if resource.get("resourceType") == kind:
                resource[element] = value

    return change


@pytest.mark.parametrize("habits", [own_ids, neither])
@pytest.mark.parametrize(("kind", "element", "value"), MALFORMED)
def test_a_malformed_device_or_provenance_stops_nobody(kind, element, value, habits, start):
    site = start(habits(), lambda *_: None)
    site.has("p1")
    site.write()
    site.target._change = with_element(kind, element, value)
    (ids,) = site.state.glob("target-*.ids.sqlite")
    ids.unlink()  # so that Device and Provenances are looked for
    site.has("p1", risen=("p1",))
    done = site.write(index_patience=0.0)
    assert done.pushed is not None
    assert done.pushed.rejected == {}
    assert done.pushed.written.landed >= {"p1"}
    site.target._change = lambda *_: None
    assert site.target.doubles() == [] or kind == "Provenance"


#: What stands in a searchset in place of a resource.
ENTRIES: list[Resource] = [
    {"resource": None},
    {"resource": 5},
    {"resource": []},
    {"resource": "text"},
    {"resource": {}},
    {"search": {"mode": "match"}},
    {"resource": {"resourceType": "OperationOutcome", "issue": "text"}},
    {"resource": "text", "search": {"mode": "outcome"}},
]


@pytest.mark.parametrize("entry", ENTRIES, ids=str)
@pytest.mark.parametrize("habits", [own_ids, neither])
def test_an_entry_without_a_resource_stops_nobody(entry, habits, start):
    def change(seen: Seen, reply: Reply) -> None:
        content = reply.content
        if isinstance(content, dict) and content.get("type") == "searchset":
            content["entry"].append(entry)
            content.pop("total", None)

    site = start(habits(), change)
    site.has("p1")
    assert site.write().pushed.rejected == {}
    site.has("p1", risen=("p1",))
    assert site.write().pushed.rejected == {}
    site.check(("p1",))
