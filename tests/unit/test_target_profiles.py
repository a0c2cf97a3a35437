"""``meta.profile`` on targets that keep it, drop it or refuse it, and targets of FHIR R5.

The habits of the stub target and their sources are in ``stub_target``.
"""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fhircryo.fhir.client import outcome_text
from fhircryo.publish import target_kind
from fhircryo.publish.validate import validate
from tests.unit.inputs import BASE, Resource
from tests.unit.stub_target import StubTarget, Target
from tests.unit.test_target_kinds import CHOOSING, KINDS, PEOPLE, Site, counts
from tests.unit.waiting import only_waiting_takes_time

PROFILES = f"{BASE}/StructureDefinition/"
WRITTEN = ("Observation", "Provenance", "Device")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Any]:
    """Start a site with a target of some habits."""
    with ExitStack() as stack:
        stack.enter_context(only_waiting_takes_time())

        def start(habits: Target) -> Site:
            return Site(stack.enter_context(StubTarget(habits)), tmp_path)

        yield start


def stated(stub: StubTarget, *kinds: str) -> set[str]:
    """The profiles of resources, without our base; empty for one that states none."""
    return {
        profile.removeprefix(PROFILES)
        for kind in kinds or WRITTEN
        for one in stub.of_type(kind)
        for profile in one["meta"].get("profile", [""])
    }


def without_profiles(stub: StubTarget) -> None:
    """Have the target as an earlier version of this program left it."""
    for kind in WRITTEN:
        for one in stub.of_type(kind):
            meta = {key: value for key, value in one["meta"].items() if key == "tag"}
            stub.put({**one, "meta": meta})
    for one in stub.of_type("Device"):
        stub.put({**one, "version": [{"value": "0.0.1"}]})
    stub.settle()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_states_its_profile(kind, site):
    here = site(KINDS[kind]())
    here.write()
    here.check()
    assert stated(here.target, "Provenance") - {""} == {"endpoint-provenance"}
    assert stated(here.target, "Device") == {"endpoint-software"}
    assert stated(here.target, "Observation") == {
        f"endpoint-{name}" for name in ("yes-no", "psa", "time-to-event", "count", "grade")
    }
    here.quiet()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_what_an_earlier_version_wrote_is_written_once_more(kind, site):
    """It states its profile then; nothing is doubled, and a final endpoint stays final."""
    here = site(KINDS[kind]())
    first = counts(here.write())
    before = {name: one["status"] for name, (one,) in here.endpoints.items()}
    assert "final" in before.values()
    without_profiles(here.target)
    (here.state / "unused").touch()
    for file in here.state.iterdir():  # the earlier version may have run on another machine
        file.unlink()
    dry = here.write(dry_run=True)
    assert dry.pushed.difference.counts()["changed"] == first["new"]
    assert counts(here.write()) == {"changed": first["new"]}
    here.check()
    assert {name: one["status"] for name, (one,) in here.endpoints.items()} == before
    assert "" not in stated(here.target, "Observation", "Device")
    here.quiet()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_target_that_drops_profiles_is_not_written_to_for_ever(kind, site):
    here = site(KINDS[kind](profiles="dropped"))
    here.write()
    here.check()
    assert stated(here.target) == {""}
    here.quiet()
    here.has(*PEOPLE, risen=("p1",))
    assert "changed" in counts(here.write())
    here.check()
    here.quiet()


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind, status", [("own ids", 400), ("own ids", 412), *((kind, 422) for kind in KINDS)]
)
def test_a_target_that_refuses_unknown_profiles_gets_endpoints_without(kind, status, site, caplog):
    here = site(KINDS[kind](profiles="refused", profile_refusal=status))
    here.write()
    here.check()
    assert stated(here.target) == {""}
    (told,) = [one for one in caplog.records if "profile" in one.getMessage()]
    assert told.levelname == "WARNING"
    assert "fhircryo terminology package" in told.getMessage()
    caplog.clear()
    here.quiet()
    assert not [one for one in caplog.records if "profile" in one.getMessage()]


def test_a_target_is_tried_again_after_a_week(site, monkeypatch):
    """The hospital has loaded the package meanwhile."""
    here = site(KINDS["own ids"](profiles="refused"))
    first = counts(here.write())
    here.target.habits.profiles = "kept"
    here.quiet()
    later = date.today() + timedelta(days=8)
    assert later > datetime.now(UTC).date()
    monkeypatch.setattr(target_kind, "_today", lambda: later)
    assert counts(here.write()) == {"changed": first["new"]}
    assert "" not in stated(here.target, "Observation")
    here.quiet()


@pytest.mark.slow
@pytest.mark.parametrize("kind", CHOOSING)
def test_profiles_can_be_left_out(kind, site):
    here = site(KINDS[kind]())
    here.write(profile=False)
    assert stated(here.target) == {""}
    here.quiet(profile=False)
    assert "changed" in counts(here.write())
    assert "" not in stated(here.target, "Observation")
    here.quiet()
    here.quiet(profile=False)


def test_a_target_that_takes_no_device_gets_no_profiles(site):
    """Whether it keeps them cannot be seen, so that they might be written in every run."""
    here = site(KINDS["own ids"](refuses={"Device": 405}, states_refusals=True))
    here.write()
    assert stated(here.target, "Observation", "Provenance") == {""}
    here.quiet()


@pytest.mark.parametrize("kind", KINDS)
def test_every_entry_of_a_transaction_has_a_full_url(kind, site):
    """Without one its relative references mean nothing, and HAPI refuses it where it validates."""
    here = site(KINDS[kind]())
    here.write()
    bundles = [json.loads(one.body) for one in here.target.writes() if b'"entry"' in one.body]
    urls = [entry["fullUrl"] for bundle in bundles for entry in bundle["entry"]]
    assert urls
    assert all(url.startswith(("urn:uuid:", f"{here.target.base}/")) for url in urls)
    assert len(set(urls)) == len(urls)


def test_errors_come_before_advice_in_what_a_server_says():
    issues = [("warning", "no performer"), ("information", "no narrative"), ("error", "no value")]
    outcome = {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": severity, "diagnostics": text} for severity, text in issues],
    }
    assert outcome_text(json.dumps(outcome).encode()).startswith("no value; no performer")


# --- FHIR R5


def check_r5(resource: Resource) -> None:
    validate(resource, r5=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_target_of_r5_gets_the_form_of_r5(kind, site):
    here = site(KINDS[kind](fhir_version="5.0.0"))
    here.write()
    here.check()
    for name in WRITTEN:
        for one in here.target.of_type(name):
            check_r5(one)
    (device,) = here.target.of_type("Device")
    assert device["name"] == [{"value": "fhircryo", "type": "user-friendly-name"}]
    assert "deviceName" not in device
    of_patients = [
        one
        for one in here.target.of_type("Provenance")
        if one["target"][0]["reference"].startswith("Observation/")
    ]
    subjects = {one["patient"]["identifier"]["value"] for one in of_patients}
    assert subjects == {f"Patient/{name}" for name in PEOPLE}
    assert all(one["occurredDateTime"] == one["recorded"] for one in of_patients)
    here.quiet()
    here.has("p1", "p2", risen=("p1",))
    assert set(counts(here.write(allow_retractions=True))) == {"changed", "retracted"}
    here.check()
    for one in here.target.of_type("Provenance"):
        check_r5(one)
    here.quiet()


def test_r4_gets_no_elements_of_r5(site):
    here = site(KINDS["own ids"]())
    here.write()
    for one in here.target.of_type("Provenance"):
        assert not one.keys() & {"patient", "occurredDateTime"}
        validate({key: value for key, value in one.items() if key != "meta"})
