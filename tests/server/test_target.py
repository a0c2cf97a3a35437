"""A FHIR server as target: what differs is written, nothing twice, nothing half, nothing silent."""

import threading
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import requests
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from fhircryo.errors import LockedError, TargetError
from fhircryo.publish.difference import Action
from fhircryo.publish.target_server import Permissions
from fhircryo.record.patients import ALL_PATIENTS, Selection
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.to_folder import compute_folder
from fhircryo.runs.to_server import ServerRun, compute_server
from fhircryo.settings import ServerSettings, Settings, WriteSettings
from tests.property.strategies import patients as messy_patients
from tests.server import proxy as faults
from tests.server.cohorts import (
    BASE,
    NATIONAL,
    cohort,
    index,
    part_of_cohort,
    person,
    psa,
    record,
)
from tests.server.hapi import HapiServer, reset
from tests.server.loading import load
from tests.server.proxy import FaultProxy
from tests.server.published import (
    by_name,
    contents,
    endpoints,
    everything,
    said,
    statuses,
    versions,
)

COHORT = Path(__file__).parents[2] / "examples" / "bomers-2020"
AS_OF = date(2017, 12, 31)
FHIR_JSON = {"Content-Type": "application/fhir+json"}


def job(
    state: Path,
    *,
    selection: Selection = ALL_PATIENTS,
    source_name: str = "",
    write: dict[str, Any] | None = None,
    target: dict[str, Any] | None = None,
    **server: Any,
) -> RunConfig:
    quick = {"retry_budget": 8.0, "connect_timeout": 2.0, "read_timeout": 20.0}
    settings = Settings.model_construct(
        source=ServerSettings(**quick | server),
        target=None if target is None else ServerSettings(**quick | target),
        write=WriteSettings(**{"index_patience": 2.0, **(write or {})}),
        source_name=source_name,
        state_folder=state,
    )
    return RunConfig.of(settings, AS_OF, selection)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., ServerRun]:
    """Compute a source and write it to a target: (source, target, how=...)."""

    def run(source: str | Path, target: str, /, **how: Any) -> ServerRun:
        names = ("dry_run", "allow_retractions")
        allowed = Permissions(**{name: how.pop(name) for name in names if name in how})
        unreadable = how.pop("accept_unreadable", False)
        made = job(tmp_path / "state", **how)
        return compute_server(source, target, made, allowed, accept_unreadable=unreadable)

    return run


def counts(run: ServerRun) -> dict[str, int]:
    assert run.pushed is not None
    done = run.pushed.written.endpoints
    return {str(action): done[action] for action in Action if done[action]}


@pytest.fixture
def proxied(hapi: HapiServer) -> Iterator[Callable[..., FaultProxy]]:
    proxies: list[FaultProxy] = []

    def start(*misbehaviour: Any) -> FaultProxy:
        proxies.append(FaultProxy(hapi.url, *misbehaviour))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.stop()


@pytest.fixture
def three(empty_hapi: HapiServer) -> str:
    """A server with three patients, nothing published."""
    load(empty_hapi.url, cohort("p1", "p2", "p3"))
    return empty_hapi.url


def folder_of(resources: list[dict[str, Any]], folder: Path) -> Path:
    """Resources as a folder of NDJSON."""
    from tests.server.loading import _ENCODER

    folder.mkdir(parents=True)
    lines = b"".join(_ENCODER.encode(one) + b"\n" for one in resources)
    (folder / "all.ndjson").write_bytes(lines)
    return folder


def computed(source: str | Path, folder: Path) -> dict[str, dict[str, Any]]:
    """What computing a source into a folder gives, by identifier."""
    import json
    from decimal import Decimal

    compute_folder(source, folder, job(folder.parent / "state"))
    lines = (folder / "Observation.ndjson").read_text().splitlines()
    found = [json.loads(line, parse_float=Decimal) for line in lines]
    return {one["id"]: said(one) for one in found}


# --- the same as in a folder


def test_a_cohort_stands_on_the_server_as_in_a_folder(empty_hapi, write, tmp_path):
    """A part of the 62 patients, whom the demonstration on a server writes."""
    source = part_of_cohort(COHORT, 12, tmp_path / "in")
    load(empty_hapi.url, source)
    run = write(empty_hapi.url, empty_hapi.url)
    expected = computed(source, tmp_path / "out")
    assert counts(run) == {"new": len(expected)}
    assert contents(empty_hapi.url) == expected
    before = versions(empty_hapi.url)
    again = write(empty_hapi.url, empty_hapi.url)
    assert counts(again) == {}
    assert again.pushed.difference.counts()[Action.UNCHANGED] == len(expected)
    assert versions(empty_hapi.url) == before
    assert set(before.values()) == {"1"}
    assert empty_hapi.count("Provenance") == 12
    # Our own output is no input: the endpoints computed from the server have not changed.
    assert computed(empty_hapi.url, tmp_path / "after") == expected


@pytest.mark.parametrize("number", range(3))
def test_a_messy_cohort_stands_on_the_server_as_in_a_folder(number, empty_hapi, write, tmp_path):
    cohorts: list[list[dict[str, Any]]] = []

    @hypothesis_settings(
        max_examples=number + 1,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(messy_patients(), min_size=6, max_size=6))
    def draw(drawn: list[list[dict[str, Any]]]) -> None:
        resources = []
        for man, mine in enumerate(drawn):
            for one in mine:
                text = faults._ENCODER.encode(one).decode()
                for kind in ("psa-", "cond-", "ae-", "qr-"):
                    text = text.replace(f'"id":"{kind}', f'"id":"m{man}-{kind}')
                for ref in ("p1", "x1", "x2"):
                    text = text.replace(f'"id":"{ref}"', f'"id":"m{man}-{ref}"')
                    text = text.replace(f'/{ref}"', f'/m{man}-{ref}"')
                resources.append(text)
        cohorts.append([_decimals(text) for text in resources])

    draw()
    loaded = load(empty_hapi.url, cohorts[-1], lenient=True)
    taken = [
        one for one in cohorts[-1] if f"{one['resourceType']}/{one['id']}" not in loaded.refused
    ]
    write(empty_hapi.url, empty_hapi.url)
    expected = computed(folder_of(taken, tmp_path / "in"), tmp_path / "out")
    assert len({one.rpartition("/")[0] for one in expected}) > 0
    assert contents(empty_hapi.url) == expected


def _decimals(text: str) -> dict[str, Any]:
    import json
    from decimal import Decimal

    return dict(json.loads(text, parse_float=Decimal))


def test_what_is_published_is_valid_and_can_be_found(three, write):
    late = psa("p2", "psa-9", "2016-01-20", "7.5")
    load(three, [late])
    write(three, three)
    for kind in ("Observation", "Provenance", "Device"):
        found = endpoints(three) if kind == "Observation" else everything(three, kind)
        assert found
        for resource in found:
            # This server has not loaded the profiles; test_conformance looks at them.
            resource["meta"].pop("profile", None)
            answer = requests.post(
                f"{three}/{kind}/$validate",
                data=faults._ENCODER.encode(resource),
                headers=FHIR_JSON,
                timeout=60,
            )
            problems = [
                one["diagnostics"]
                for one in answer.json()["issue"]
                if one["severity"] in ("error", "fatal")
            ]
            assert problems == [], resource["id"]
    search = {
        "code": f"{BASE}/CodeSystem/endpoint|disease-free-12-months",
        "value-concept": "http://terminology.hl7.org/CodeSystem/v2-0136|N",
    }
    (found,) = everything(three, "Observation", **search)
    assert found["subject"]["reference"] == "Patient/p2"
    with_source = everything(three, "Observation", _id=found["id"], _revinclude="Provenance:target")
    assert [one["resourceType"] for one in with_source] == ["Observation", "Provenance"]


# --- changes


def test_a_correction_changes_what_it_must(three, write):
    write(three, three)
    before = versions(three)
    load(three, [psa("p1", "psa-3", "2016-03-01", "6.2", status="corrected")])
    run = write(three, three)
    found = by_name(three)
    failure = found["p1", "biochemical-failure", ""]
    assert failure["valueCodeableConcept"]["coding"][0]["code"] == "Y"
    assert failure["status"] == "final"  # it was preliminary: nothing final has changed
    free = found["p1", "disease-free-12-months", ""]
    # Y at the landmark (2016-03-01) has become N: a final one was amended.
    assert free["status"] == "amended"
    assert free["meta"]["versionId"] == "2"
    changed = {name for name, version in versions(three).items() if version != before[name]}
    assert counts(run) == {"changed": len(changed)}
    assert {found[key]["identifier"][0]["value"] for key in found if key[0] != "p1"}.isdisjoint(
        changed
    )
    sources = everything(three, "Provenance", target=f"Observation/{free['id']}")
    assert len(sources) == 2
    again = write(three, three)
    assert counts(again) == {}
    assert by_name(three)["p1", "disease-free-12-months", ""]["status"] == "amended"


def test_an_index_entered_in_error_retracts_all_of_the_patient(three, write):
    write(three, three)
    load(three, [index("p2", status="entered-in-error")])
    run = write(three, three)
    assert counts(run) == {"retracted": len([1 for who, _, _ in by_name(three) if who == "p2"])}
    assert statuses(three, "p2") == {"entered-in-error"}
    assert "entered-in-error" not in statuses(three, "p1") | statuses(three, "p3")
    assert counts(write(three, three)) == {}
    sources = [
        one for one in everything(three, "Provenance") if "Retracted" in one["activity"]["text"]
    ]
    assert len(sources) == 1
    # And back: published again, its final ones amended.
    load(three, [index("p2")])
    write(three, three)
    assert statuses(three, "p2") <= {"amended", "preliminary"}
    assert counts(write(three, three)) == {}


def test_a_retracted_endpoint_keeps_what_it_said(three, write):
    write(three, three)
    before = by_name(three)["p1", "prom-score-iief-5", "12-months"]
    gone = {**_response("p1"), "status": "entered-in-error"}
    load(three, [gone])
    write(three, three)
    after = by_name(three)["p1", "prom-score-iief-5", "12-months"]
    assert after["status"] == "entered-in-error"
    assert {**said(after), "status": before["status"]} == said(before)


def _response(patient: str) -> dict[str, Any]:
    return next(one for one in record(patient) if one["resourceType"] == "QuestionnaireResponse")


def test_a_dry_run_writes_nothing(three, proxied, write):
    proxy = proxied()
    run = write(proxy.url, proxy.url, dry_run=True)
    assert run.pushed.difference.counts()[Action.NEW] == len(computed_ids(run))
    assert endpoints(three) == []
    writing = faults.of_method("PUT", "DELETE", "PATCH")
    assert not proxy.asked(writing)
    assert all(one.path.endswith("_search") for one in proxy.asked(faults.of_method("POST")))


def computed_ids(run: ServerRun) -> list[str]:
    return [change.identifier for one in run.pushed.difference.patients for change in one.changes]


def test_only_some_patients_say_nothing_of_others(three, write):
    write(three, three)
    load(three, [index("p1", status="entered-in-error"), index("p2", status="entered-in-error")])
    write(three, three, selection=Selection(include=frozenset({"p1", "p3"})))
    assert statuses(three, "p1") == {"entered-in-error"}
    assert "entered-in-error" not in statuses(three, "p2")


def test_who_objects_is_retracted(three, write):
    write(three, three)
    write(three, three, selection=Selection(exclude=frozenset({"p3"})))
    assert statuses(three, "p3") == {"entered-in-error"}
    write(three, three, selection=Selection(frozenset({"p1"}), frozenset({"p2"})))
    assert statuses(three, "p2") == {"entered-in-error"}
    assert "entered-in-error" not in statuses(three, "p1")


def test_two_sources_and_two_protocols_share_a_target(three, write, tmp_path):
    """Each retracts only what is its own."""
    write(three, three)
    folder = folder_of(cohort("p1", "p2"), tmp_path / "other")
    with_name = {"source_name": "annexe", "write": {"subject": "literal"}}
    write(folder, three, **with_name)
    mine = len(endpoints(three))
    write(folder_of(cohort("p1"), tmp_path / "less"), three, **with_name)
    found = endpoints(three)
    assert len(found) == mine
    retracted = [one for one in found if one["status"] == "entered-in-error"]
    assert {one["subject"]["reference"] for one in retracted} == {"Patient/p2"}
    tags = [{tag["code"] for tag in one["meta"]["tag"]} for one in retracted]
    assert all("annexe" in codes for codes in tags)
    assert counts(write(three, three)) == {}


def test_far_more_retractions_than_usual_write_nothing(empty_hapi, write):
    names = [f"p{number}" for number in range(8)]
    load(empty_hapi.url, cohort(*names))
    write(empty_hapi.url, empty_hapi.url)
    load(empty_hapi.url, [index(name, status="entered-in-error") for name in names[:5]])
    assert counts(write(empty_hapi.url, empty_hapi.url))["retracted"] > 0  # five are not more
    load(empty_hapi.url, [index(name) for name in names[:5]])
    write(empty_hapi.url, empty_hapi.url)
    load(empty_hapi.url, [index(name, status="entered-in-error") for name in names[:6]])
    load(empty_hapi.url, [psa("p7", "psa-9", "2017-03-01", "0.6")])
    before = versions(empty_hapi.url)
    with pytest.raises(TargetError, match="of 6 of 8 patients") as caught:
        write(empty_hapi.url, empty_hapi.url)
    assert caught.value.exit_code == 5
    assert versions(empty_hapi.url) == before
    write(empty_hapi.url, empty_hapi.url, dry_run=True)
    run = write(empty_hapi.url, empty_hapi.url, allow_retractions=True)
    assert counts(run)["retracted"] > 0
    assert counts(run)["changed"] > 0


def test_what_is_unreadable_stops_the_write(three, write, tmp_path):
    folder = folder_of(cohort("p1"), tmp_path / "in")
    with (folder / "all.ndjson").open("a") as file:
        file.write('{"resourceType": "Observation", "id": "cut')
    run = write(folder, three)
    assert run.pushed is None
    assert run.summary.unreadable == 1
    assert endpoints(three) == []
    run = write(folder, three, accept_unreadable=True)
    assert counts(run)["new"] == len(endpoints(three)) > 0


# --- references


def test_the_hospital_can_delete_its_own(three, write):
    write(three, three)
    assert requests.delete(f"{three}/Observation/p1-psa-2", timeout=60).ok
    assert requests.delete(f"{three}/AdverseEvent/p1-ae", timeout=60).ok
    assert requests.delete(f"{three}/Procedure/p1-cryo", timeout=60).ok
    write(three, three)
    assert statuses(three, "p1") == {"entered-in-error"}


def test_with_literal_references_it_cannot(three, write):
    write(three, three, write={"evidence_references": "literal"})
    for name in ("Observation/p1-psa-2", "Procedure/p1-cryo", "AdverseEvent/p1-ae"):
        assert requests.delete(f"{three}/{name}", timeout=60).status_code == 409


def test_logical_references_name_the_source(three, write, tmp_path):
    write(three, three)
    failure = by_name(three)["p1", "biochemical-failure", ""]
    assert {one["identifier"]["system"] for one in failure["derivedFrom"]} == {three}
    assert failure["partOf"] == [
        {
            "type": "Procedure",
            "identifier": {"system": three, "value": "Procedure/p1-cryo"},
            "display": "Procedure/p1-cryo",
        }
    ]
    reset(three)
    folder = folder_of(cohort("p9"), tmp_path / "in")
    write(folder, three, write={"source_base": "https://fhir.hospital.example/r4"})
    (one,) = [one for one in endpoints(three) if one["code"]["coding"][0]["code"] == "worst-sir"]
    assert one["subject"] == {
        "type": "Patient",
        "identifier": {"system": "https://fhir.hospital.example/r4", "value": "Patient/p9"},
        "display": "Patient/p9",
    }
    assert (
        counts(write(folder, three, write={"source_base": "https://fhir.hospital.example/r4"}))
        == {}
    )


def test_patients_are_matched_on_another_server(three, empty_hapi_small_pages, write):
    """By an identifier that both know; who is unknown there, or twice, is told and not written."""
    other = empty_hapi_small_pages.url
    known = [{**person("p1"), "id": "their-1"}, {**person("p2"), "id": "their-2"}]
    load(other, [*known, {**person("p2"), "id": "their-2b"}])
    how = {"write": {"subject": "match", "subject_system": NATIONAL}}
    run = write(three, other, **how)
    assert set(run.pushed.rejected) == {"p2", "p3"}
    assert "several patients" in run.pushed.rejected["p2"]
    assert "no patient of the target" in run.pushed.rejected["p3"]
    found = by_name(other)
    assert {who for who, _, _ in found} == {"their-1"}
    assert contents(other) == {
        name: one for name, one in contents_of(three, write).items() if name in versions(other)
    }
    assert counts(write(three, other, **how)) == {}
    # His record has gone there, so he is not recognised any more: that is no retraction.
    renamed = {**person("p1"), "id": "their-1", "identifier": []}
    load(other, [renamed])
    run = write(three, other, **how)
    assert "p1" in run.pushed.rejected
    assert "entered-in-error" not in statuses(other, "their-1")


def contents_of(url: str, write: Callable[..., ServerRun]) -> dict[str, Any]:
    write(url, url)
    return contents(url)


def test_nothing_is_taken_from_another_servers_settings(
    three, proxied, empty_hapi_small_pages, write
):
    """The token of SOURCE never goes to another TARGET."""
    source = proxied(faults.Bearer("mine"))
    with FaultProxy(empty_hapi_small_pages.url) as target:
        token = {"auth": "bearer", "token_env": "TEST_TOKEN"}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TEST_TOKEN", "mine")
            write(source.url, target.url, **token)
        assert endpoints(empty_hapi_small_pages.url)
        assert all(not one.header("authorization") for one in target.requests)
        assert any(one.header("authorization") for one in source.requests)


# --- several writers


@pytest.mark.parametrize("_round", range(3))
def test_eight_writers_at_once(_round, empty_hapi, write):
    load(empty_hapi.url, cohort("p1", "p2"))
    errors: list[BaseException] = []
    runs: list[ServerRun] = []

    def one() -> None:
        try:
            runs.append(write(empty_hapi.url, empty_hapi.url, retry_budget=60.0))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert [run.pushed.rejected for run in runs] == [{}] * 8
    found = versions(empty_hapi.url)  # each once
    assert found
    assert counts(write(empty_hapi.url, empty_hapi.url)) == {}
    assert {one["id"] for one in endpoints(empty_hapi.url)} == set(found)


def test_where_ids_are_the_servers_one_writes_at_a_time(empty_hapi, proxied, write):
    load(empty_hapi.url, cohort("p1"))
    with empty_hapi.switched(update_as_create=False):
        slow = proxied(faults.Slow(1.0, when=lambda asked: asked.path in ("", "/")))
        first: list[ServerRun] = []
        thread = threading.Thread(target=lambda: first.append(write(slow.url, slow.url)))
        thread.start()
        while not slow.asked(lambda asked: asked.path in ("", "/")):
            assert thread.is_alive()
            thread.join(0.05)
        with pytest.raises(LockedError, match=r"process .* since") as caught:
            write(slow.url, slow.url)
        assert caught.value.exit_code == 6
        thread.join()
        assert counts(first[0])["new"] == len(versions(empty_hapi.url))
        assert counts(write(slow.url, slow.url)) == {}


WITHOUT = {
    "ids of ours": lambda resource: resource.update(updateCreate=False),
    "conditional update": lambda resource: resource.update(
        updateCreate=False, conditionalUpdate=False
    ),
    "versioned update": lambda resource: resource.update(versioning="versioned"),
}


@pytest.mark.parametrize("transactions", [True, False])
@pytest.mark.parametrize("lacking", WITHOUT)
def test_servers_that_can_less(lacking, transactions, three, hapi, proxied, write):
    def edit(statement: dict[str, Any]) -> None:
        rest = statement["rest"][0]
        for resource in rest["resource"]:
            WITHOUT[lacking](resource)
        if not transactions:
            rest["interaction"] = [one for one in rest["interaction"] if "history" in one["code"]]

    misbehaviour = [faults.Statement(edit)]
    if not transactions:
        misbehaviour.append(faults.Refuse(405, when=lambda asked: asked.path in ("", "/")))
    proxy = proxied(*misbehaviour)
    with hapi.switched(update_as_create=lacking == "versioned update"):
        write(proxy.url, proxy.url)
        found = by_name(three)
        assert {who for who, _, _ in found} == {"p1", "p2", "p3"}
        assert set(versions(three).values()) == {"1"}
        assert len(everything(three, "Device")) == 1
        device = everything(three, "Device")[0]["id"]
        assert {one["device"]["reference"] for one in found.values()} == {f"Device/{device}"}
        # By single requests, one of the Device is written beforehand.
        sources = [
            source
            for source in everything(three, "Provenance")
            if source["target"] != [{"reference": f"Device/{device}"}]
        ]
        assert len(sources) == 3
        targets = {one["reference"] for source in sources for one in source["target"]}
        assert targets == {f"Observation/{one['id']}" for one in found.values()}
        assert counts(write(proxy.url, proxy.url)) == {}
        load_psa = psa("p1", "psa-3", "2016-03-01", "6.2", status="corrected")
        answer = requests.put(
            f"{three}/Observation/p1-psa-3", json=load_psa, headers=FHIR_JSON, timeout=60
        )
        assert answer.ok, answer.text
        assert counts(write(proxy.url, proxy.url))["changed"] > 1
        free = by_name(three)["p1", "disease-free-12-months", ""]
        assert (free["status"], free["meta"]["versionId"]) == ("amended", "2")


def test_doubles_are_told_and_nobody_guesses(three, write):
    write(three, three)
    one = by_name(three)["p2", "psa-nadir", ""]
    double = {name: value for name, value in one.items() if name not in ("id", "meta")}
    planted = requests.post(f"{three}/Observation", json=_floats(double), timeout=60).json()
    load(three, [psa(who, "psa-3", "2016-03-01", "0.2") for who in ("p1", "p2")])
    run = write(three, three)
    assert set(run.pushed.rejected) == {"p2"}
    for name in (one["id"], planted["id"]):
        assert f"Observation/{name}" in run.pushed.rejected["p2"]
    assert counts(run)["changed"] > 0  # those of p1
    requests.delete(f"{three}/Observation/{planted['id']}", timeout=60).raise_for_status()
    run = write(three, three)
    assert run.pushed.rejected == {}
    assert counts(run)["changed"] > 0  # those of p2


def _floats(resource: dict[str, Any]) -> Any:
    import json

    return json.loads(faults._ENCODER.encode(resource))


def test_what_an_earlier_writer_put_elsewhere_is_taken_over(three, hapi, write):
    """A server that chose the ids once, and lets us choose them now: no second resource."""
    with hapi.switched(update_as_create=False):
        write(three, three)
    ids = {one["id"] for one in endpoints(three)}
    load(three, [psa("p1", "psa-3", "2016-03-01", "6.2")])
    assert counts(write(three, three))["changed"] > 0
    assert {one["id"] for one in endpoints(three)} == ids


# --- rejections


def test_one_bad_patient_does_not_take_the_others_with_him(three, write, tmp_path):
    """p0 and p9 are nobody on the server, which insists on references that lead somewhere."""
    folder = folder_of(cohort("p0", "p1", "p2", "p3", "p9"), tmp_path / "in")
    run = write(folder, three, write={"subject": "literal", "bundle_size": 1000})
    assert set(run.pushed.rejected) == {"p0", "p9"}
    assert "Patient/p0" in run.pushed.rejected["p0"]
    assert {who for who, _, _ in by_name(three)} == {"p1", "p2", "p3"}
    assert len(everything(three, "Provenance")) == 3


def test_a_server_that_fails_over_one_patient(three, proxied, write):
    """500 whenever p2 is among them, for ever."""
    bad = faults.Refuse(
        500,
        text="NullPointerException",
        when=lambda asked: b"Patient/p2" in asked.body and asked.path in ("", "/"),
    )
    proxy = proxied(bad)
    run = write(proxy.url, proxy.url, retry_budget=60.0)
    assert set(run.pushed.rejected) == {"p2"}
    assert "NullPointerException" in run.pushed.rejected["p2"]
    assert {who for who, _, _ in by_name(three)} == {"p1", "p3"}


def _reading_only(statement: dict[str, Any]) -> None:
    for resource in statement["rest"][0]["resource"]:
        resource["interaction"] = [{"code": "read"}, {"code": "search-type"}]


REFUSED = {
    "401": (lambda: [faults.Bearer("secret")], "401 unauthorised"),
    "403": (lambda: [faults.Refuse(403)], "403 forbidden"),
    "404": (lambda: [faults.Refuse(404)], "404 not found"),
    "HTML": (lambda: [faults.Html()], "not a FHIR server"),
    "HTML, 404": (lambda: [faults.Html(404)], "404 not found"),
    "writing forbidden": (
        lambda: [faults.Refuse(403, when=faults.of_method("PUT"))],
        "403 forbidden",
    ),
    "transactions forbidden": (
        lambda: [faults.Refuse(403, when=lambda asked: asked.path in ("", "/"))],
        "403 forbidden",
    ),
    "always 503": (
        lambda: [faults.Unavailable(503, times=None, when=faults.of_method("PUT"))],
        "503",
    ),
    "no writing": (
        lambda: [faults.Statement(_reading_only)],
        "does not let Observations be written",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_target_that_refuses_altogether(name, three, proxied, write):
    make, words = REFUSED[name]
    proxy = proxied(*make())
    with pytest.raises(TargetError, match=words) as caught:
        write(three, proxy.url, target={"retry_budget": 1.0})
    assert caught.value.exit_code == 5
    assert endpoints(three) == []


@pytest.mark.parametrize(
    "url, words",
    [
        ("http://no.such.host.invalid/fhir", "no such host"),
        ("http://127.0.0.1:9/fhir", "cannot be reached"),
    ],
)
def test_a_target_that_is_not_there(url, words, three, write):
    with pytest.raises(TargetError, match=words):
        write(three, url, target={"retry_budget": 1.0})


# --- faults on the way


def to_the_base(asked: faults.Asked) -> bool:
    """Transactions, but not the one without entries by which a target is tried."""
    return asked.method == "POST" and asked.path in ("", "/") and b'"entry"' in asked.body


PASSING = {
    "503, Retry-After": lambda: faults.Unavailable(503, retry_after=1, times=2, when=to_the_base),
    "429, Retry-After as a date": lambda: faults.Unavailable(
        429, retry_after=1, as_date=True, times=1, when=to_the_base
    ),
    "reset before": lambda: faults.Reset(times=2, when=to_the_base),
    "reset after it was done": lambda: faults.Reset(after=True, times=2, when=to_the_base),
    "the answer cut short": lambda: faults.Truncate(times=2, when=to_the_base),
    "the answer cut short, as if whole": lambda: faults.Truncate(
        honest=True, times=1, when=to_the_base
    ),
    "the answer is HTML": lambda: faults.Edit(
        lambda answer: {"no": "bundle"}, times=1, when=to_the_base
    ),
    "slow": lambda: faults.Slow(0.2, times=2, when=to_the_base),
    "409 twice": lambda: faults.Refuse(409, times=2, when=to_the_base),
    "412 twice": lambda: faults.Refuse(412, times=2, when=to_the_base),
    "a next link to nowhere, once": lambda: faults.NextExpires(times=1),
}


@pytest.mark.parametrize("own_ids", [True, False])
@pytest.mark.parametrize("name", PASSING)
def test_what_passes_gives_the_same(name, own_ids, empty_hapi, proxied, write, tmp_path):
    names = [f"p{number}" for number in range(4)]
    load(empty_hapi.url, cohort(*names))
    fault = PASSING[name]()
    proxy = proxied(fault)
    how = {"write": {"bundle_size": 40}, "retry_budget": 60.0, "page_size": 30}
    with empty_hapi.switched(update_as_create=own_ids):
        write(proxy.url, proxy.url, **how)
        if not fault.hits:  # no page to turn yet: nothing stood there
            write(proxy.url, proxy.url, **how)
        assert fault.hits, "the fault never came"
        expected = computed(folder_of(cohort(*names), tmp_path / "in"), tmp_path / "out")
        assert contents(empty_hapi.url) == expected
        assert set(versions(empty_hapi.url).values()) == {"1"}
        assert len(everything(empty_hapi.url, "Provenance")) == 4


def test_a_target_that_goes_away_in_the_middle(empty_hapi, proxied, write):
    """What landed stays, whole patients; the next run completes it."""
    names = [f"p{number}" for number in range(4)]
    load(empty_hapi.url, cohort(*names))
    proxy = proxied(faults.Unavailable(503, times=None, skip=2, when=to_the_base))
    with pytest.raises(TargetError, match="503"):
        write(proxy.url, proxy.url, write={"bundle_size": 1}, target={"retry_budget": 2.0})
    found = by_name(empty_hapi.url)
    assert {who for who, _, _ in found} == {"p0", "p1"}
    assert len(everything(empty_hapi.url, "Provenance")) == 2
    proxy.faults = ()
    write(proxy.url, proxy.url)
    found = by_name(empty_hapi.url)
    assert {who for who, _, _ in found} == set(names)
    assert len({sum(who == one for who, _, _ in found) for one in names}) == 1
    assert set(versions(empty_hapi.url).values()) == {"1"}


def test_what_stands_is_asked_for_anew(empty_hapi, write):
    """HAPI answers a search as a minute ago, unless it is told that the answer must be fresh."""
    load(empty_hapi.url, cohort("p1"))
    with empty_hapi.switched(reuse_searches=True):
        write(empty_hapi.url, empty_hapi.url)
        load(empty_hapi.url, [psa("p1", "psa-3", "2016-03-01", "6.2")])
        assert counts(write(empty_hapi.url, empty_hapi.url))["changed"] > 0
        load(empty_hapi.url, [psa("p1", "psa-3", "2016-03-01", "0.5")])
        assert counts(write(empty_hapi.url, empty_hapi.url))["changed"] > 0
    assert by_name(empty_hapi.url)["p1", "disease-free-12-months", ""]["status"] == "amended"


def test_pages_that_shift_while_another_writes_lose_nobody(empty_hapi, write, tmp_path):
    names = [f"p{number:02d}" for number in range(12)]
    load(empty_hapi.url, cohort(*names))
    expected = computed(folder_of(cohort(*names), tmp_path / "in"), tmp_path / "out")
    stop = threading.Event()

    def disturb() -> None:
        """The cohort's own resources get new versions, and others come and go between them."""
        number = 0
        while not stop.is_set():
            number += 1
            stranger = {**person(f"stranger-{number % 5}"), "active": bool(number % 2)}
            again = psa(names[number % 12], "psa-1", "2015-06-01", "0.8")
            again["note"] = [{"text": f"edit {number}"}]
            load(empty_hapi.url, [stranger, again])

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(3):
            write(empty_hapi.url, empty_hapi.url, page_size=3, retry_budget=30.0)
            assert contents(empty_hapi.url) == expected
    finally:
        stop.set()
        thread.join()


def test_a_target_that_keeps_neither_devices_nor_provenances(three, proxied, write):
    def edit(statement: dict[str, Any]) -> None:
        rest = statement["rest"][0]
        rest["resource"] = [
            one for one in rest["resource"] if one["type"] not in ("Device", "Provenance")
        ]

    proxy = proxied(faults.Statement(edit), faults.NoType("Device"), faults.NoType("Provenance"))
    write(proxy.url, proxy.url)
    assert all("device" not in one for one in endpoints(three))
    assert everything(three, "Provenance") == []
    assert counts(write(proxy.url, proxy.url)) == {}
