"""Targets that do not keep ``meta.tag``, where two sources may share them.

The tag names the source, so that each source retracts its own endpoints only. Servers may set
``meta`` themselves (https://hl7.org/fhir/R4/http.html#create).
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from fhircryo.publish.origin import Origin
from fhircryo.publish.published_endpoint import endpoint_of
from tests.unit.inputs import AS_OF, BASE, COHORT, Resource, compute
from tests.unit.stub_target import StubTarget
from tests.unit.test_target_kinds import KINDS, Site, counts


class DropsTags(StubTarget):
    def _keep(self, name: str, resource: Resource) -> None:
        meta = {key: value for key, value in resource.get("meta", {}).items() if key != "tag"}
        super()._keep(name, {**resource, "meta": meta})


class DropsTagsAndProcedures(DropsTags):
    """It keeps no ``partOf`` either, so that nothing shows whose endpoint it is."""

    def _keep(self, name: str, resource: Resource) -> None:
        super()._keep(name, {key: value for key, value in resource.items() if key != "partOf"})


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    with ExitStack() as stack:

        def started(target: type[StubTarget], kind: str) -> Site:
            return Site(stack.enter_context(target(KINDS[kind]())), tmp_path)

        yield started


def _statuses(one: Site, patient: str) -> set[str]:
    return {
        each["status"]
        for those in one.endpoints.values()
        for each in those
        if each["subject"]["identifier"]["value"] == f"Patient/{patient}"
    }


@pytest.mark.parametrize("name", ["", "urology"])
@pytest.mark.parametrize("kind", ["own ids", "neither"])
def test_endpoints_without_tags_are_retracted(kind, name, start):
    one = start(DropsTags, kind)
    one.write(source_name=name)
    one.has("p1", "p2")
    done = counts(one.write(source_name=name, allow_retractions=True))
    assert done.keys() == {"retracted"}
    assert _statuses(one, "p3") == {"entered-in-error"}
    assert "entered-in-error" not in _statuses(one, "p1") | _statuses(one, "p2")
    one.quiet(source_name=name)


@pytest.mark.parametrize("first", ["", "urology"])
def test_sources_without_tags_do_not_retract_each_others_endpoints(first, start, caplog):
    one = start(DropsTags, "own ids")
    one.write(source_name=first)
    number = len(one.endpoints)
    one.has("q1")
    done = counts(one.write(source_name="surgery", allow_retractions=True))
    assert done.keys() == {"new"}
    one.has("p1", "p2", "p3")
    one.quiet(source_name=first)
    assert len(one.endpoints) > number
    for patient in ("p1", "p2", "p3", "q1"):
        assert "entered-in-error" not in _statuses(one, patient)
    assert "stand there under source_name" not in caplog.text


def test_a_renamed_source_is_told_only_of_endpoints_of_another_name(start, caplog):
    one = start(DropsTags, "own ids")
    one.write(source_name="urology")
    one.quiet(source_name="urology")
    assert "stand there under source_name" not in caplog.text


def test_endpoints_that_may_be_of_any_source_are_told(start, caplog):
    """Nothing is retracted that may be of another source."""
    one = start(DropsTagsAndProcedures, "own ids")
    one.write(source_name="urology")
    one.has("p1", "p2")
    caplog.clear()
    done = one.write(source_name="urology", allow_retractions=True)
    assert "retracted" not in counts(done)
    number = sum(
        each["subject"]["identifier"]["value"] == "Patient/p3"
        for those in one.endpoints.values()
        for each in those
    )
    assert f"of {number} endpoints it is not known" in caplog.text


def test_every_endpoint_shows_whose_it_is(tmp_path):
    """Its identifier follows from what it states, whatever endpoint and time point it is of."""
    observations = compute(COHORT, tmp_path / "out").observations
    assert len({one["code"]["coding"][0]["code"] for one in observations}) > 20
    own = Origin(BASE, "", "bomers-2020", "1.0", AS_OF)
    other = replace(own, source_name="urology")
    for one in observations:
        untagged = {**one, "meta": {}}
        found = endpoint_of(untagged, own, "https://fhir.example")
        assert found is not None
        assert found.ours
        foreign = endpoint_of(untagged, other, "https://fhir.example")
        assert foreign is not None
        assert foreign.of_unknown_source
        assert not foreign.ours
