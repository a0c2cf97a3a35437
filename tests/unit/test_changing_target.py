"""Targets that do not keep what is written to them as it is: runs come to rest all the same.

Servers may add to what they store, or change it (https://hl7.org/fhir/R4/http.html#create). What is
added without changing what an endpoint says is not compared; of what is changed, a person is told.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from fhircryo.cli.published_text import exit_code
from fhircryo.cli.real_run import InputRead
from fhircryo.errors import REJECTED
from tests.unit.inputs import Resource
from tests.unit.stub_target import StubTarget, Target
from tests.unit.test_target_kinds import KINDS, Site, counts

Change = Callable[[Resource], None]


class Changing(StubTarget):
    """A target that changes the Observations and Devices that it stores.

    ``later``: another program does it after the answer, which makes a version of its own.
    """

    def __init__(self, habits: Target, change: Change, *, later: bool = False) -> None:
        self._change = change
        self._later = later
        super().__init__(habits)

    def stops_changing(self) -> None:
        self._change = lambda _: None

    def _keep(self, name: str, resource: Resource) -> None:
        super()._keep(name, resource)
        if not name.startswith(("Observation/", "Device/")):
            return
        stored = self.stored[name]
        if self._later:
            changed = stored.resource
            assert changed is not None
            self.put(changed)
            stored = self.stored[name]
        assert stored.resource is not None
        self._change(stored.resource)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    with ExitStack() as stack:

        def started(habits: Target, change: Change, **how: Any) -> Site:
            one = Site(stack.enter_context(Changing(habits, change, **how)), tmp_path)
            one.has("p1")
            return one

        yield started


def _codings(value: Any) -> Iterator[Resource]:
    if isinstance(value, dict):
        if "system" in value and "code" in value and "value" not in value:
            yield value
        for inner in value.values():
            yield from _codings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _codings(inner)


def adds_displays(one: Resource) -> None:
    for coding in _codings(one):
        coding["display"] = "as the terminology server calls it"


def adds_versions_of_code_systems(one: Resource) -> None:
    for coding in _codings(one):
        coding["version"] = "1.0"


def adds_extensions(one: Resource) -> None:
    extension = [{"url": "https://server.example/seen", "valueBoolean": True}]
    one["extension"] = extension
    for element in ("code", "subject", "type"):
        if isinstance(one.get(element), dict):
            one[element]["extension"] = extension
            one[element]["id"] = "e1"


def adds_what_is_its_own(one: Resource) -> None:
    one["text"] = {"status": "generated", "div": "<div>generated</div>"}
    one.setdefault("identifier", []).append({"system": "urn:server", "value": "4711"})
    one.setdefault("meta", {})["security"] = [{"system": "urn:security", "code": "N"}]
    if "subject" in one:
        one["subject"]["display"] = "the patient"
        one["subject"]["type"] = "Patient"
        one["issued"] = "2026-01-01T00:00:00Z"


ADDS = [adds_displays, adds_versions_of_code_systems, adds_extensions, adds_what_is_its_own]


@pytest.mark.parametrize("change", ADDS)
@pytest.mark.parametrize("kind", ["own ids", "neither"])
def test_what_a_target_adds_is_not_compared(kind, change, start, caplog):
    one = start(KINDS[kind](), change)
    one.write()
    one.quiet()
    shutil.rmtree(one.state)
    one.quiet()
    assert "otherwise than" not in caplog.text
    one.has("p1", risen=("p1",))
    done = counts(one.write())
    assert done.keys() == {"changed"}
    assert done["changed"] < len(one.endpoints)
    one.check(("p1",))
    devices = [seen for seen in one.target.writes() if "/Device" in seen.path]
    assert len(devices) <= 2  # its creation, and the trial of conditional requests


def adds_a_translation(one: Resource) -> None:
    if "subject" in one:
        one["code"]["coding"].append({"system": "urn:local", "code": "1"})


def sets_another_text(one: Resource) -> None:
    if "subject" in one:
        one["method"]["text"] = "by computer"


def drops_components(one: Resource) -> None:
    """Whether a time is that of an event stands in one of them."""
    one.pop("component", None)


def adds_a_time(one: Resource) -> None:
    if "effectiveDateTime" in one:
        one["effectiveDateTime"] += "T00:00:00Z"


CHANGES = [adds_a_translation, sets_another_text, adds_a_time]


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("kind", ["own ids", "neither"])
def test_what_a_target_changes_is_told_and_not_written_for_ever(kind, change, later, start, caplog):
    one = start(KINDS[kind](), change, later=later)
    one.write()
    for _ in range(2 if later else 0):
        one.write()
    caplog.clear()
    one.quiet()
    assert "endpoints stand there otherwise than they were written" in caplog.text
    one.has("p1", risen=("p1",))
    assert counts(one.write()).keys() == {"changed"}
    for _ in range(2 if later else 0):
        one.write()
    one.quiet()
    assert one.target.doubles() == []


@pytest.mark.parametrize("kind", ["own ids", "neither"])
def test_what_somebody_else_changed_is_written_again(kind, start):
    """It has a version that no run wrote."""
    one = start(KINDS[kind](), lambda _: None)
    one.write()
    endpoint = one.target.of_type("Observation")[0]
    one.target.put({**endpoint, "method": {"text": "by hand"}})
    assert counts(one.write()) == {"changed": 1}
    one.quiet()


def rounds_numbers(one: Resource) -> None:
    quantity = one.get("valueQuantity")
    if quantity:
        quantity["value"] = round(quantity["value"])


def says_the_contrary(one: Resource) -> None:
    answer = one.get("valueCodeableConcept", {}).get("coding", [{}])[0]
    if answer.get("code") in {"Y", "N"}:
        answer["code"] = "N" if answer["code"] == "Y" else "Y"


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("change", [rounds_numbers, says_the_contrary, drops_components])
@pytest.mark.parametrize("kind", ["own ids", "neither"])
def test_a_value_that_a_target_changes_is_a_failure_of_each_run(kind, change, later, start):
    """It is not written for ever, but who reads it there reads a wrong endpoint."""
    one = start(KINDS[kind](), change, later=later)
    one.write()
    for _ in range(2 if later else 0):
        one.write()
    for dry_run in (True, False):
        before = dict(one.target.carried_out)
        done = one.write(dry_run=dry_run).pushed
        assert done is not None
        assert dict(one.target.carried_out) == before
        assert done.rejected.keys() == {"p1"}
        assert exit_code(done, InputRead(0, accepted=False)) == REJECTED
        assert "says" in done.rejected["p1"]
        assert "changes the value whenever it is written" in done.rejected["p1"]
    one.target.stops_changing()
    one.write()
    assert one.target.doubles() == []
