"""A FHIR server as source: the same endpoints as from the folder, or an error; never fewer."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fhircryo.errors import FhircryoError, SourceError, UsageError
from fhircryo.fhir.connect import open_client
from fhircryo.record.patients import ALL_PATIENTS, Selection
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.to_folder import compute_folder
from fhircryo.settings import ServerSettings, Settings
from fhircryo.setup.explanation import explain_patient
from fhircryo.sources.groups import patients_of
from tests.server import proxy as faults
from tests.server.cohorts import part_of_cohort
from tests.server.hapi import HapiServer, reset
from tests.server.loading import load
from tests.server.proxy import FaultProxy

COHORT = Path(__file__).parents[2] / "examples" / "bomers-2020"
AS_OF = date(2017, 12, 31)


def job(selection: Selection = ALL_PATIENTS, **server: Any) -> RunConfig:
    quick = {"retry_budget": 5.0, "connect_timeout": 2.0, "read_timeout": 20.0, **server}
    settings = Settings.model_construct(source=ServerSettings(**quick))
    return RunConfig.of(settings, AS_OF, selection)


def endpoints(source: str | Path, target: Path, **how: Any) -> dict[str, bytes]:
    compute_folder(source, target, job(**how))
    return {
        name: (target / name).read_bytes() for name in ("Observation.ndjson", "Provenance.ndjson")
    }


@pytest.fixture(scope="module")
def loaded(hapi: HapiServer) -> str:
    reset(hapi.url)
    load(hapi.url, COHORT)
    return hapi.url


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return endpoints(COHORT, tmp_path_factory.mktemp("folder") / "out")


@pytest.fixture
def proxied(loaded: str) -> Iterator[Any]:
    proxies = []

    def start(*misbehaviour: Any) -> FaultProxy:
        proxy = FaultProxy(loaded, *misbehaviour)
        proxies.append(proxy)
        return proxy.__enter__()

    yield start
    for proxy in proxies:
        proxy.__exit__(None, None, None)


def test_a_server_gives_what_the_folder_gives(loaded, expected, tmp_path):
    assert endpoints(loaded, tmp_path / "out") == expected


@pytest.fixture(scope="module")
def few(expected, tmp_path_factory) -> tuple[Selection, dict[str, bytes]]:
    """Six of the patients, enough for several pages, and what is expected of them."""
    six = Selection(include=frozenset(sorted(cohort_ids(expected))[:6]))
    return six, endpoints(COHORT, tmp_path_factory.mktemp("few") / "out", selection=six)


@pytest.mark.parametrize("page_size", [1, 7, 1000])
def test_whatever_the_page_size(page_size, loaded, expected, few, tmp_path):
    if page_size == 1:
        one = Selection(include=frozenset({"2029487"}))
        found = endpoints(loaded, tmp_path / "out", selection=one, page_size=1)
        assert found["Observation.ndjson"] in expected["Observation.ndjson"]
        return
    if page_size == 7:
        six, wanted = few
        assert endpoints(loaded, tmp_path / "out", selection=six, page_size=7) == wanted
        return
    assert endpoints(loaded, tmp_path / "out", page_size=page_size) == expected


def test_a_server_of_small_pages(empty_hapi_small_pages, tmp_path):
    part = part_of_cohort(COHORT, 6, tmp_path / "in")
    load(empty_hapi_small_pages.url, part)
    found = endpoints(empty_hapi_small_pages.url, tmp_path / "out")
    assert found == endpoints(part, tmp_path / "expected")


def cohort_ids(expected: dict[str, bytes]) -> frozenset[str]:
    import re

    return frozenset(re.findall(r'"reference":"Patient/([^"]+)"', str(expected)))


@pytest.mark.parametrize("lists", [True, False])
def test_servers_that_search_procedures_by_patient_only(lists, proxied, few, tmp_path):
    """As Epic and Cerner: no search by code alone, no lists of patients."""
    refusals = [faults.NoSearchBy("Procedure", "code")]
    if not lists:
        refusals.append(faults.NoLists("patient", "subject", "_id"))
    proxy = proxied(*refusals)
    with pytest.raises(SourceError, match="--patients"):
        endpoints(proxy.url, tmp_path / "none")
    six, wanted = few
    assert endpoints(proxy.url, tmp_path / "out", selection=six) == wanted


def test_the_patients_of_a_group(loaded, expected, tmp_path):
    members = sorted(cohort_ids(expected))[:3]
    group = {
        "resourceType": "Group",
        "id": "trial-7",
        "type": "person",
        "actual": True,
        "member": [{"entity": {"reference": f"Patient/{one}"}} for one in members],
    }
    load(loaded, [group])
    found = patients_of(loaded, "Group/trial-7", ServerSettings())
    assert found == frozenset(members)
    with pytest.raises(UsageError, match="Group/none"):
        patients_of(loaded, "Group/none", ServerSettings())
    with pytest.raises(UsageError, match="needs a FHIR server"):
        patients_of("folder", "Group/trial-7", ServerSettings())


SOUND = {
    "GET searches": lambda: [faults.NoPostSearch(405)],
    "GET searches, 404": lambda: [faults.NoPostSearch(404)],
    "503, Retry-After in seconds": lambda: [faults.Unavailable(503, retry_after=1, times=2)],
    "429, Retry-After as a date": lambda: [
        faults.Unavailable(429, retry_after=1, as_date=True, times=1)
    ],
    "reset before": lambda: [faults.Reset(times=2, skip=2)],
    "reset after": lambda: [faults.Reset(after=True, times=1, skip=3)],
    "truncated": lambda: [faults.Truncate(times=2, skip=2)],
    "slow": lambda: [faults.Slow(0.05, times=3)],
    "a page twice": lambda: [faults.NextRepeats(times=2)],
    "relative next links": lambda: [faults.NextRelative()],
    "a search expires once": lambda: [faults.NextExpires(times=1)],
    "a page with an entry less": lambda: [faults.DropEntry(times=1)],
}


@pytest.mark.parametrize("name", SOUND)
def test_what_passes_gives_the_same(name, proxied, few, tmp_path):
    misbehaviour = SOUND[name]()
    proxy = proxied(*misbehaviour)
    six, wanted = few
    assert endpoints(proxy.url, tmp_path / "out", selection=six, page_size=20) == wanted
    assert all(fault.hits for fault in misbehaviour), "the fault never came"


BROKEN = {
    "always 503": (lambda: [faults.Unavailable(503, times=None)], "503"),
    "401": (lambda: [faults.Bearer("secret")], "401 unauthorised"),
    "403 for all": (lambda: [faults.Refuse(403)], "403 forbidden"),
    "HTML": (lambda: [faults.Html()], "not a FHIR server"),
    "HTML later": (lambda: [faults.Html(skip=3)], "not a FHIR Bundle"),
    "a circle of pages": (lambda: [faults.NextRepeats(forever=True)], "form a loop"),
    "a circle of new links": (
        lambda: [faults.NextRepeats(forever=True, same_link=False)],
        "form a loop",
    ),
    "searches expire always": (lambda: [faults.NextExpires(times=None)], "discarded the search"),
    "entries go missing always": (lambda: [faults.DropEntry(times=None)], "matches but returns"),
    "STU3": (
        lambda: [faults.Statement(lambda it: {**it, "fhirVersion": "3.0.2"})],
        "3.0.2 is not supported",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_does_not_pass_is_an_error_and_nothing_is_written(name, proxied, tmp_path):
    make, words = BROKEN[name]
    proxy = proxied(*make())
    with pytest.raises(SourceError, match=words):
        endpoints(proxy.url, tmp_path / "out", page_size=20, retry_budget=1.0)
    assert list(tmp_path.iterdir()) == []


def test_the_token_goes_to_no_other_host(loaded, proxied, tmp_path, monkeypatch):
    """A next link and a redirect to another origin: not followed, and told."""
    monkeypatch.setenv("TOKEN", "secret")
    elsewhere = proxied()
    how = {"auth": "bearer", "token_env": "TOKEN", "page_size": 20}
    origin = elsewhere.url.removesuffix("/fhir")
    for fault in (faults.NextElsewhere(origin), faults.Redirect(elsewhere.url)):
        proxy = proxied(fault)
        with pytest.raises(SourceError, match="another origin"):
            endpoints(proxy.url, tmp_path / "out", **how)
        assert elsewhere.requests == []
        assert all("secret" in asked.header("authorization") for asked in proxy.requests)


def test_a_token_file_is_read_again_after_a_401(proxied, expected, tmp_path):
    file = tmp_path / "token"
    file.write_text("old\n")
    guard = faults.Bearer("old")
    proxy = proxied(guard)
    how = {"auth": "bearer", "token_file": file}
    assert endpoints(proxy.url, tmp_path / "one", **how) == expected
    guard.accept = {"new"}
    with pytest.raises(SourceError, match="401"):
        endpoints(proxy.url, tmp_path / "two", **how)
    with open_client(proxy.url, ServerSettings(**how)) as client:
        file.write_text("new\n")
        assert client.request("GET", f"{client.base}/metadata").status_code == 200


def test_a_type_that_is_forbidden_is_lacking(proxied, tmp_path):
    proxy = proxied(faults.NoType("AdverseEvent", 403))
    summary = compute_folder(proxy.url, tmp_path / "out", job())
    assert summary.lacking == ["AdverseEvent"]
    assert b"source-lacks-type" in (tmp_path / "out" / "Observation.ndjson").read_bytes()


ATC = "http://www.whocc.no/atc"


def coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


def treated(patient: str, **therapy: Any) -> list[dict[str, Any]]:
    """A patient with two PSA after his cryoablation, and a therapy between them."""
    subject = {"reference": f"Patient/{patient}"}
    psa = {
        "resourceType": "Observation",
        "status": "final",
        "code": coded("http://loinc.org", "2857-1"),
        "subject": subject,
    }
    index = {
        "resourceType": "Procedure",
        "id": f"{patient}-x1",
        "status": "completed",
        "code": coded("http://www.ama-assn.org/go/cpt", "55873"),
        "subject": subject,
        "performedDateTime": "2016-01-10",
    }
    quantity = {"unit": "ng/mL", "system": "http://unitsofmeasure.org", "code": "ng/mL"}
    results = [
        {
            **psa,
            "id": f"{patient}-{day}",
            "effectiveDateTime": day,
            "valueQuantity": {"value": value, **quantity},
        }
        for day, value in (("2016-02-10", 1), ("2016-11-10", 2))
    ]
    made = {"id": f"{patient}-t1", "status": "completed", "subject": subject, **therapy}
    return [{"resourceType": "Patient", "id": patient}, index, *results, made]


def medications() -> list[dict[str, Any]]:
    """Salvage therapy in every way that it is recorded, each of another patient."""
    contained = {"resourceType": "Medication", "id": "m", "code": coded(ATC, "L02BB")}
    request = {"resourceType": "MedicationRequest", "intent": "order", "authoredOn": "2016-06-01"}
    return [
        {"resourceType": "Medication", "id": "drug", "code": coded(ATC, "L02AE02")},
        {"resourceType": "Medication", "id": "other", "code": coded(ATC, "N02BE01")},
        *treated("coded", **request, medicationCodeableConcept=coded(ATC, "L02AE02")),
        *treated("named", **request, medicationReference={"reference": "Medication/drug"}),
        *treated("not-one", **request, medicationReference={"reference": "Medication/other"}),
        *treated(
            "contained",
            resourceType="MedicationStatement",
            effectiveDateTime="2016-06-01",
            medicationReference={"reference": "#m"},
            contained=[contained],
        ),
        *treated(
            "given",
            resourceType="MedicationAdministration",
            effectiveDateTime="2016-06-01",
            medicationCodeableConcept=coded(ATC, "L02AE02"),
        ),
        *treated(
            "operated",
            resourceType="Procedure",
            performedDateTime="2016-06-01",
            code=coded("http://snomed.info/sct", "26294005"),
        ),
        *treated(
            "twice",
            resourceType="Procedure",
            performedDateTime="2016-06-01",
            code=coded("http://www.ama-assn.org/go/cpt", "55873"),
        ),
        *treated(
            "something-else",
            resourceType="Procedure",
            performedDateTime="2016-06-01",
            code=coded("http://snomed.info/sct", "65801008"),
        ),
    ]


def salvaged(target: Path) -> set[str]:
    """The patients for whom salvage therapy is an event before the landmark."""
    found = set()
    for observation in published(target, "disease-free-12-months"):
        if "valueCodeableConcept" in observation:
            assert observation["valueCodeableConcept"]["coding"][0]["code"] == "N"
            assert observation["effectiveDateTime"] == "2016-06-01"
            found.add(observation["subject"]["reference"].removeprefix("Patient/"))
    return found


def published(target: Path, key: str) -> list[dict[str, Any]]:
    """The published Observations of an endpoint."""
    lines = (target / "Observation.ndjson").read_text().splitlines()
    return [one for one in map(json.loads, lines) if one["code"]["coding"][0]["code"] == key]


def test_salvage_therapy_however_it_is_recorded(empty_hapi_small_pages, tmp_path):
    """As from a folder: orders, statements, doses, Procedures, and Medications by reference."""
    url = empty_hapi_small_pages.url
    load(url, medications())
    folder = tmp_path / "export"
    folder.mkdir()
    lines = "".join(json.dumps(one) + "\n" for one in medications())
    (folder / "everything.ndjson").write_text(lines)
    one = compute_folder(folder, tmp_path / "one", job())
    other = compute_folder(url, tmp_path / "other", job())
    assert salvaged(tmp_path / "one") == {
        *("coded", "named", "contained", "given", "operated", "twice"),
    }
    for name in ("Observation.ndjson", "Provenance.ndjson", "issues.ndjson"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()
    assert one.not_used == other.not_used
    assert one.used == other.used
    with FaultProxy(url, faults.NoSearchBy("Procedure", "code")) as proxy:
        patients = frozenset(salvaged(tmp_path / "one"))
        compute_folder(proxy.url, tmp_path / "list", job(Selection(include=patients)))
        assert salvaged(tmp_path / "list") == patients


MII_METASTASES = (
    "https://www.medizininformatik-initiative.de/fhir/ext/modul-onko/CodeSystem/"
    "mii-cs-onko-verlauf-fernmetastasen"
)


def in_components() -> list[dict[str, Any]]:
    """Two men: the failure of one and the metastasis of the other stand in components only.

    A third has a metastasis that names a cancer of a code that is not mapped.
    """
    of_a_panel = {
        "code": coded("http://loinc.org", "2857-1"),
        "valueQuantity": {
            "value": 9,
            "unit": "ng/mL",
            "system": "http://unitsofmeasure.org",
            "code": "ng/mL",
        },
    }
    of_the_course = {
        "code": coded("http://snomed.info/sct", "399608002"),
        "valueCodeableConcept": coded(MII_METASTASES, "R"),
    }
    panel = {
        "resourceType": "Observation",
        "code": coded("http://loinc.org", "53764-7"),
        "effectiveDateTime": "2016-06-01",
        "component": [of_a_panel],
    }
    course = {
        "resourceType": "Observation",
        "code": coded("http://snomed.info/sct", "396432002"),
        "effectiveDateTime": "2016-07-01",
        "component": [of_the_course],
    }
    cancer = {
        "resourceType": "Condition",
        "id": "cancer",
        "subject": {"reference": "Patient/panel"},
        "code": coded("http://snomed.info/sct", "399068003"),
    }
    theirs = {
        "resourceType": "Condition",
        "id": "their-cancer",
        "subject": {"reference": "Patient/theirs"},
        "code": coded("https://hospital.example/diagnoses", "K7"),
    }
    of_theirs = {
        "resourceType": "Observation",
        "code": coded("http://snomed.info/sct", "385421009"),
        "effectiveDateTime": "2016-07-01",
        "focus": [{"reference": "Condition/their-cancer"}],
    }
    made = [*treated("panel", **panel), *treated("course", **course), cancer, theirs]
    made += treated("theirs", **of_theirs)
    for one in made:
        if one["resourceType"] == "Observation":
            one["status"] = "final"  # "completed" is the status of a therapy
    return made


@pytest.mark.parametrize(
    "unsupported, found",
    [((), True), (("combo-code",), True), (("combo-code", "component-code"), False)],
)
def test_what_stands_in_a_component_only(
    unsupported, found, empty_hapi_small_pages, tmp_path, caplog
):
    url = empty_hapi_small_pages.url
    load(url, in_components())
    refusals = [faults.NoSearchBy("Observation", one) for one in unsupported]
    with FaultProxy(url, *refusals) as proxy:
        compute_folder(proxy.url, tmp_path / "server", job())
    answers = {
        key: {
            one["subject"]["reference"]: one["effectiveDateTime"]
            for one in published(tmp_path / "server", key)
            if one.get("valueCodeableConcept", {"coding": [{}]})["coding"][0].get("code") == "Y"
        }
        for key in ("biochemical-failure", "metastasis")
    }
    told = "stands only in a component is not found" in caplog.text
    assert told is not found
    if not found:
        assert answers == {"biochemical-failure": {}, "metastasis": {}}
        return
    assert answers == {
        "biochemical-failure": {"Patient/panel": "2016-06-01"},
        "metastasis": {"Patient/course": "2016-07-01"},
    }
    export = tmp_path / "export"
    export.mkdir()
    lines = "".join(json.dumps(one) + "\n" for one in in_components())
    (export / "everything.ndjson").write_text(lines)
    compute_folder(export, tmp_path / "folder", job())
    for name in ("Observation.ndjson", "Provenance.ndjson", "issues.ndjson"):
        same = (tmp_path / "folder" / name).read_bytes()
        assert (tmp_path / "server" / name).read_bytes() == same


@pytest.mark.parametrize("status", [403, 404])
def test_medications_that_are_kept_from_us_are_no_error(status, empty_hapi_small_pages, tmp_path):
    url = empty_hapi_small_pages.url
    load(url, medications())
    kinds = ("Medication", "MedicationRequest", "MedicationStatement", "MedicationAdministration")
    with FaultProxy(url, *(faults.NoType(kind, status) for kind in kinds)) as proxy:
        summary = compute_folder(proxy.url, tmp_path / "out", job())
        assert summary.lacking == ["Condition", "AdverseEvent", *sorted(kinds[1:])]
        assert salvaged(tmp_path / "out") == {"operated", "twice"}


def test_a_server_of_which_the_statement_names_no_medications(empty_hapi_small_pages, tmp_path):
    url = empty_hapi_small_pages.url
    load(url, medications())

    def without(statement: dict[str, Any]) -> dict[str, Any]:
        (rest,) = statement["rest"]
        kept = [one for one in rest["resource"] if not one["type"].startswith("Medication")]
        return {**statement, "rest": [{**rest, "resource": kept}]}

    with FaultProxy(url, faults.Statement(without)) as proxy:
        compute_folder(proxy.url, tmp_path / "out", job())
        assert salvaged(tmp_path / "out") == {"operated", "twice"}
        assert not any("Medication" in asked.path for asked in proxy.requests)


def test_neither_host_nor_port(tmp_path, monkeypatch):
    for url, words in (
        ("http://no.such.host.invalid/fhir", "no such host"),
        ("http://127.0.0.1:9/fhir", "cannot be reached"),
    ):
        waits: list[float] = []
        monkeypatch.setattr("fhircryo.fhir.client.time.sleep", waits.append)
        with pytest.raises(FhircryoError, match=words) as caught:
            endpoints(url, tmp_path / "out", retry_budget=1.0)
        assert caught.value.exit_code == 3
        assert all(wait <= 1.0 for wait in waits)


def test_requests_grow_with_the_cohort_not_with_the_server(loaded, proxied, expected, tmp_path):
    """Many patients without a cryoablation more on the server: not one request more."""

    def requests() -> int:
        proxy = proxied()
        assert endpoints(proxy.url, tmp_path / f"out{time.monotonic_ns()}") == expected
        return len(proxy.requests)

    before = requests()
    others = []
    for number in range(150):
        patient = f"other-{number}"
        others.append({"resourceType": "Patient", "id": patient})
        others += [
            {
                "resourceType": "Observation",
                "id": f"{patient}-psa-{n}",
                "status": "final",
                "code": {"coding": [{"system": "http://loinc.org", "code": "2857-1"}]},
                "subject": {"reference": f"Patient/{patient}"},
                "effectiveDateTime": "2016-01-01",
                "valueQuantity": {"value": 1, "unit": "ng/mL"},
            }
            for n in range(2)
        ]
    load(loaded, others)
    assert requests() == before
    one = Selection(include=frozenset({"2029487"}))
    proxy = proxied()
    endpoints(proxy.url, tmp_path / "one", selection=one)
    assert len(proxy.requests) < before / 2


def test_codes_and_ids_stand_in_no_url(loaded, proxied, tmp_path):
    proxy = proxied()
    endpoints(proxy.url, tmp_path / "out")
    for asked in proxy.requests:
        assert "2857-1" not in asked.query
        assert "2029487" not in asked.query


def test_explain_reads_one_patient(loaded):
    story = explain_patient(loaded, "2029487", job())
    folder = explain_patient(COHORT, "2029487", job())
    assert story.endpoints == folder.endpoints
    assert story.moments == folder.moments


def test_explain_tells_of_a_group_on_a_server_that_searches_by_patient_only(proxied, loaded):
    members = ["2015001", "2029487"]
    group = {
        "resourceType": "Group",
        "id": "two",
        "type": "person",
        "actual": True,
        "member": [{"entity": {"reference": f"Patient/{one}"}} for one in members],
    }
    load(loaded, [group])
    proxy = proxied(
        faults.NoSearchBy("Procedure", "code"), faults.NoLists("patient", "subject", "_id")
    )
    done = subprocess.run(
        [
            *(sys.executable, "-m", "fhircryo", "explain", proxy.url, "--patients", "Group/two"),
            *("--as-of", str(AS_OF), "--json"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert [story["patient"] for story in told] == members
    folder = explain_patient(COHORT, "2029487", job())
    assert told[1]["moments"] == folder.as_dict()["moments"]


def test_the_command_line_takes_a_url(loaded, expected, tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "fhircryo", "compute", loaded, str(tmp_path / "out")),
            *("--as-of", str(AS_OF)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "Observation.ndjson").read_bytes() == expected["Observation.ndjson"]
