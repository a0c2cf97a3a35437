"""Servers with the habits of known vendors: read equal to a folder, or a clear error.

The habits are those of public documents and reports, named in each test; no vendor's server itself
was tried.
"""

from pathlib import Path
from typing import Any

import pytest

from fhircryo.errors import SourceError
from fhircryo.fhir.connect import open_client
from fhircryo.fhir.outcomes import Outcomes
from fhircryo.fhir.page_cache import KeptPages
from fhircryo.fhir.search import Searcher
from fhircryo.record.collector import Facts
from fhircryo.record.patients import ALL_PATIENTS, Patients, Selection
from fhircryo.settings import ServerSettings, Settings
from fhircryo.sources.lacking import lacking_of
from fhircryo.sources.source import Collected
from tests.unit import inputs
from tests.unit.hospital import Reply
from tests.unit.inputs import Computed, Resource
from tests.unit.vendor_servers import Habits, VendorServer, as_json, outcome

pytestmark = pytest.mark.slow

ATC = "http://www.whocc.no/atc"
EPIC = "urn:oid:1.2.840.114350.1.13.1.1.7.2.657369"
NOT_AUTHORIZED = outcome(
    "warning",
    "processing",
    "Client not authorized for Procedure - Patient-Reported Surgical History. Search results of"
    " this type have not been included.",
    (EPIC, "59204"),
)
ADVICE = outcome(
    "warning",
    "processing",
    "This response includes information available to the authorized user at the time of the"
    " request. It may not contain the entire record available in the system.",
    (EPIC, "4119"),
)


def _therapy(name: str, of: str, on: str, drug: str) -> Resource:
    return {
        "resourceType": "MedicationRequest",
        "id": name,
        "status": "active",
        "intent": "order",
        "subject": {"reference": f"Patient/{of}"},
        "authoredOn": on,
        "medicationReference": {"reference": f"Medication/{drug}"},
    }


def _man(name: str, *psa: tuple[str, float]) -> list[Resource]:
    results = [inputs.psa(f"{name}-{on}", on, value, name) for on, value in psa]
    return [inputs.patient(name), inputs.procedure(f"x-{name}", "2016-01-10", name), *results]


#: p1 fails, p2 is free of disease, p3 has a metastasis, p4 gets hormone therapy by a Medication,
#: p5 has died and has a complication and scores; p9 was never treated.
RESOURCES = [
    *_man("p1", ("2016-03-01", 0.4), ("2016-06-01", 0.5), ("2016-09-01", 3.4)),
    *_man("p2", ("2016-03-01", 0.4), ("2016-06-01", 0.5), ("2016-12-10", 0.5)),
    *_man("p3", ("2016-03-01", 0.4), ("2016-12-10", 0.5)),
    *_man("p4", ("2016-03-01", 0.4), ("2016-12-10", 0.5)),
    inputs.patient("p5", deceasedDateTime="2017-05-01"),
    *_man("p5", ("2016-03-01", 0.4), ("2016-12-10", 0.5))[1:],
    inputs.patient("p9"),
    inputs.psa("p9-psa", "2016-03-01", 9.0, "p9"),
    inputs.condition("c3", "2016-08-01", "p3"),
    inputs.adverse_event("a5", "2016-01-12", "p5"),
    inputs.response("q5", "2016-07-10", [3, 3, 3, 3, 3], "p5"),
    _therapy("t4", "p4", "2016-07-01", "m1"),
    _therapy("t2", "p2", "2016-07-01", "m2"),
    {"resourceType": "Medication", "id": "m1", "code": inputs.concept(ATC, "L02AE03")},
    {"resourceType": "Medication", "id": "m2", "code": inputs.concept(ATC, "N02BE01")},
]
PATIENTS = Selection(frozenset({"p1", "p2", "p3", "p4", "p5"}))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Computed:
    """The same resources, computed from a folder."""
    path = tmp_path_factory.mktemp("folder")
    source = inputs.folder(path / "in", {"all.ndjson": RESOURCES})
    return inputs.compute(source, path / "out")


def read(
    server: VendorServer,
    target: Path,
    selection: Selection = ALL_PATIENTS,
    *,
    accept_withheld: bool = False,
    **source: Any,
) -> Computed:
    """Compute a server's cohort."""
    quick = {"retry_budget": 5.0, "page_size": 4, **source}
    settings = Settings(source=ServerSettings(**quick), accept_withheld=accept_withheld)
    # The parameter is declared as a folder; a run takes a server's URL in its place.
    return inputs.compute(server.base, target, selection=selection, settings=settings)  # type: ignore[arg-type]


def same(found: Computed, folder: Computed) -> None:
    """The endpoints are those of the folder."""
    assert found.summary.cohort == 5
    assert found.files["Observation.ndjson"] == folder.files["Observation.ndjson"]


def test_the_folder_itself(folder):
    """What the comparisons stand on: each man has his own result."""
    values = [folder.value("disease-free-12-months", f"p{number}") for number in range(1, 5)]
    assert values == ["N", "Y", "N", "N"]


# ------------------------------------------------------------------ vendors


def test_epic(folder, tmp_path):
    """Epic searches Procedures by patient only, and refuses lists of patients.

    Its code 4119 beside every answer is advice. Source of the code:
    https://github.com/onc-healthit/onc-certification-g10-test-kit/issues/278. That a patient
    leads, and one only: https://open.epic.com/Clinical/FHIR?whereTo=procedure
    """
    habits = Habits(
        lists="refused",
        needs_patient=("Procedure", "Observation", "Condition"),
        outcomes={"*": [ADVICE]},
        total="outcomes",
        parameters={"Procedure": ("_id", "patient")},
    )
    with VendorServer(RESOURCES, habits) as server:
        with pytest.raises(SourceError, match="--patients FILE or Group/ID"):
            read(server, tmp_path / "all")
        habits.total = "never"
        same(read(server, tmp_path / "listed", PATIENTS), folder)


@pytest.mark.parametrize("kind", ["Patient", "Procedure", "Observation"])
def test_epic_withholds_what_is_needed(kind, folder, tmp_path):
    """Epic's code 59204: results of a sub-type are left out, with status 200.

    Source: https://github.com/onc-healthit/onc-certification-g10-test-kit/issues/278
    """
    habits = Habits(outcomes={kind: [ADVICE, NOT_AUTHORIZED]})
    with VendorServer(RESOURCES, habits) as server:
        with pytest.raises(SourceError, match=f"{kind}: .*59204.*--accept-withheld") as caught:
            read(server, tmp_path / "refused")
        assert caught.value.exit_code == 3
        found = read(server, tmp_path / "accepted", accept_withheld=True)
    same(found, folder)
    assert "59204" in found.summary.withheld[kind]


@pytest.mark.parametrize(
    ("kind", "lacking", "wrong"),
    [
        ("Condition", ["Condition"], {"metastasis": "p2", "disease-free-12-months": "p2"}),
        ("AdverseEvent", ["AdverseEvent"], {"worst-clavien-dindo": "p2"}),
        ("MedicationRequest", ["MedicationRequest"], {"disease-free-12-months": "p2"}),
        ("Medication", ["Medication"], {"disease-free-12-months": "p2"}),
        ("QuestionnaireResponse", [], {}),
    ],
)
def test_epic_withholds_what_may_be_lacking(kind, lacking, wrong, folder, tmp_path):
    """The type is lacking, even where some of it was read. Source: as the test before."""
    with VendorServer(RESOURCES, Habits(outcomes={kind: [NOT_AUTHORIZED]})) as server:
        found = read(server, tmp_path / "out")
    assert found.summary.lacking == lacking
    assert list(found.summary.withheld) == [kind]
    for endpoint, patient in wrong.items():
        assert folder.value(endpoint, patient) in ("N", "Y", "none")
        assert found.value(endpoint, patient) == "absent source-lacks-type"
    assert found.value("disease-free-12-months", "p1") == "N"


def test_oracle_health(folder, tmp_path):
    """Oracle Health (Cerner Millennium): ``_id`` stands alone, else a patient is required.

    Source: https://github.com/cerner/fhir.cerner.com/pull/663 (Procedure: "If _id is provided, no
    other parameters may be provided"; ``_id``, ``patient`` or ``subject`` is required).
    """
    habits = Habits(
        lists="first",
        ids_alone=True,
        refuses=("_total",),
        total="never",
        needs_patient=("Procedure", "Observation", "Condition"),
        parameters={"Procedure": ("_id", "patient", "date"), "Patient": ("_id",)},
    )
    with VendorServer(RESOURCES, habits) as server:
        with pytest.raises(SourceError, match="--patients FILE or Group/ID"):
            read(server, tmp_path / "all")
        same(read(server, tmp_path / "listed", PATIENTS), folder)


def test_azure(folder, tmp_path):
    """Azure Health Data Services: tokens for pages, no total unless asked, busy with milliseconds.

    Unsupported parameters are ignored, and an outcome says so. Sources:
    https://github.com/microsoft/fhir-server/issues/2837 (total),
    https://github.com/microsoft/fhir-server/pull/1731 (outcome),
    https://github.com/FirelyTeam/firely-net-sdk/issues/1405 (the next page of a search by POST is
    not given by GET, ``ct``),
    https://app.unpkg.com/@azure/core-rest-pipeline@1.19.1 (throttlingRetryStrategy: the header).
    """
    ignored = outcome("warning", "not-supported", "The search parameter is not supported.")
    habits = Habits(
        page=2,
        next_page=lambda offset: {"ct": str(offset)},
        next_by_post=True,
        outcomes={"*": [ignored]},
    )
    with VendorServer(RESOURCES, habits) as server:
        server.busy, server.busy_reply = 3, Reply(429, b"", {"x-ms-retry-after-ms": "5"})
        same(read(server, tmp_path / "out"), folder)


def test_azure_without_totals(folder, tmp_path):
    """A server that refuses ``_total`` is read without. Source: as the test before."""
    with VendorServer(RESOURCES, Habits(page=2, refuses=("_total",), total="never")) as server:
        same(read(server, tmp_path / "out"), folder)


def test_google(folder, tmp_path):
    """Google Cloud Healthcare: the total is an estimate until the last page.

    Source: https://cloud.google.com/healthcare-api/docs/how-tos/best-practices-fhir-search
    """
    with VendorServer(RESOURCES, Habits(page=2, total="estimate")) as server:
        same(read(server, tmp_path / "out"), folder)
        asked = [one for one in server.searches("Condition") if "_count" in one]
    assert len(asked) == 1, "an estimate alone is no reason to read again"


def test_aws_healthlake(folder, tmp_path):
    """AWS HealthLake: a search by POST has its parameters in the body, not in the URL as well.

    A resource that was updated leaves the index until it is indexed again; a Patient is then read
    by his id. Source: https://docs.aws.amazon.com/healthlake/latest/devguide/
    searching-fhir-resources-post.html
    """
    habits = Habits(page=2, total="always", unindexed=("Patient/p5",))
    with VendorServer(RESOURCES, habits) as server:
        same(read(server, tmp_path / "out"), folder)
        lists = [one for one in server.searches("Observation") if "," in one.get("patient", "")]
    assert lists, "lists are honoured"


def test_medplum(folder, tmp_path):
    """Medplum: pages by ``_offset``, and a total only where ``_total=accurate`` asks for it.

    Sources: https://www.medplum.com/docs/search/paginated-search,
    https://github.com/medplum/medplum/pull/8088
    """
    habits = Habits(page=2, next_page=lambda offset: {"_offset": str(offset)})
    with VendorServer(RESOURCES, habits) as server:
        same(read(server, tmp_path / "out"), folder)


def test_firely(folder, tmp_path):
    """Firely: a parameter that it does not know is named by an outcome beside the matches.

    Source: https://github.com/FirelyTeam/spark/issues/1267 (the answer of vonk.fire.ly)
    """
    unknown = outcome("warning", "not-supported", "Parameter component-code is not supported")
    habits = Habits(page=3, total="always", outcomes={"Observation": [unknown]})
    with VendorServer(RESOURCES, habits) as server:
        same(read(server, tmp_path / "out"), folder)


def test_aidbox(folder, tmp_path):
    """Aidbox: links are relative, pages are named by ``_page``, and every answer has a total.

    Source: https://docs.aidbox.app/api-1/fhir-api/search-1/search-parameters-list/_count-and-_page
    """
    habits = Habits(
        page=2, total="always", relative=True, next_page=lambda offset: {"_page": str(offset)}
    )
    with VendorServer(RESOURCES, habits) as server:
        same(read(server, tmp_path / "out"), folder)


# ------------------------------------------------------------------ single habits


@pytest.mark.parametrize("post", [True, False])
@pytest.mark.parametrize("selection", [ALL_PATIENTS, PATIENTS])
def test_only_the_first_of_a_list_is_honoured(post, selection, folder, tmp_path):
    """Nothing is lost where a server ignores all values of a list but the first."""
    with VendorServer(RESOURCES, Habits(lists="first", post=post)) as server:
        same(read(server, tmp_path / "out", selection), folder)


def test_lists_of_patients_alone_are_not_honoured(folder, tmp_path):
    """Lists of ids are honoured, and those of patients are not."""

    class Server(VendorServer):
        def _has(self, one: Resource, name: str, value: str) -> bool:
            first = value.split(",")[0]
            return super()._has(one, name, first if name in ("patient", "subject") else value)

    with Server(RESOURCES, Habits()) as server:
        same(read(server, tmp_path / "out"), folder)
        same(read(server, tmp_path / "listed", PATIENTS), folder)


def test_lists_that_are_honoured_stay_lists(folder, tmp_path):
    """An honest server is not asked for one patient after another."""
    with VendorServer(RESOURCES, Habits()) as server:
        same(read(server, tmp_path / "out"), folder)
        assert all("," in one["subject"] for one in server.searches("AdverseEvent"))


def test_codes_that_are_ignored(folder, tmp_path):
    """A server that ignores the codes of a search gives more, and the endpoints are the same."""

    class Server(VendorServer):
        def _has(self, one: Resource, name: str, value: str) -> bool:
            return "code" in name or super()._has(one, name, value)

    with Server([*RESOURCES, inputs.lab("l1", "p1")], Habits()) as server:
        same(read(server, tmp_path / "out"), folder)


def test_doctor_says_what_is_withheld(tmp_path, monkeypatch):
    """It is a failure for what is needed, and a warning for what is then lacking."""
    monkeypatch.chdir(tmp_path)
    habits = Habits(outcomes={"Observation": [NOT_AUTHORIZED], "Condition": [NOT_AUTHORIZED]})
    with VendorServer(RESOURCES, habits) as server:
        told = inputs.cli("doctor", server.base).out
    lines = {line for line in told.splitlines() if "withheld" in line}
    assert len([line for line in lines if "Observation withheld" in line]) == 1
    assert len([line for line in lines if "Condition withheld" in line]) == 1


def test_one_patient_is_searched_once(tmp_path):
    """There is no list to be doubted."""
    with VendorServer(RESOURCES, Habits()) as server:
        read(server, tmp_path / "out", Selection(frozenset({"p2"})))
        asked = [one["patient"] for one in server.searches("QuestionnaireResponse")]
    assert asked == ["p2"]


@pytest.mark.parametrize("status", ["forbidden", "absent"])
def test_medications_that_are_forbidden(status, folder, tmp_path):
    """A therapy whose Medication cannot be read may be hormone therapy: medications are lacking."""
    habits = Habits(forbidden=("Medication",))
    with VendorServer(RESOURCES, habits) as server:
        if status == "absent":
            habits.forbidden = ()
            del server.routes["/fhir/Medication"], server.routes["/fhir/Medication/_search"]
        found = read(server, tmp_path / "out")
    assert folder.value("disease-free-12-months", "p4") == "N"
    assert found.value("disease-free-12-months", "p4") == "absent source-lacks-type"
    assert found.summary.lacking == ["Medication"]


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_total_that_differs(difference, tmp_path):
    """The search is read again, and then it is an error."""

    class Server(VendorServer):
        def _total(self, found: int, *_: Any, **__: Any) -> int | None:
            return found + difference if found > 4 else found

    with Server(RESOURCES, Habits()) as server:
        with pytest.raises(SourceError, match=r"counts .* matches but returns"):
            read(server, tmp_path / "out", page_size=100)
        assert len(server.searches("Procedure")) == 3


def test_a_total_that_differs_once(folder, tmp_path):
    """While others write, a total may differ; reading again settles it."""

    class Server(VendorServer):
        times = 1

        def _total(self, found: int, *_: Any, **__: Any) -> int | None:
            self.times -= 1
            return found + (self.times >= 0)

    with Server(RESOURCES, Habits()) as server:
        same(read(server, tmp_path / "out"), folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (outcome("error", "throttled", "too busy"), "OperationOutcome: error throttled: too busy"),
        (outcome("fatal", "exception"), "OperationOutcome: fatal exception"),
        ({"error": "invalid_request"}, "an error in JSON: invalid_request"),
        ({"error": {"code": 7, "message": "no"}}, "an error in JSON: 7: no"),
        ({"fault": {"faultstring": "Rate limit"}}, "an error in JSON: Rate limit"),
        (b"<!DOCTYPE html><html><title>Sign\nin</title>", "HTML with the title 'Sign in'"),
        (b"", "an empty body"),
        ([], "JSON that is no resource"),
        ({"resourceType": "Patient"}, "a Patient"),
        (b"\xff", "no JSON"),
    ],
)
@pytest.mark.parametrize("path", ["/fhir/Observation/_search", "/fhir/metadata"])
def test_an_error_with_status_200(path, content, words, tmp_path):
    """The error names what came instead of a Bundle or a CapabilityStatement."""
    with VendorServer(RESOURCES, Habits()) as server:
        server.routes[path] = lambda _: Reply(content=content)
        with pytest.raises(SourceError) as caught:
            read(server, tmp_path / "out")
    assert words in str(caught.value)
    assert caught.value.exit_code == 3


def test_a_patient_that_is_answered_with_an_error(tmp_path):
    """A read that gives an error with status 200 is no patient."""
    habits = Habits(unindexed=("Patient/p5",))
    with VendorServer(RESOURCES, habits) as server:
        server.routes["/fhir/Patient/p5"] = lambda _: Reply(content=outcome("error", "exception"))
        with pytest.raises(SourceError, match="error exception instead of a Patient"):
            read(server, tmp_path / "out")


@pytest.mark.parametrize(
    ("severity", "code", "text", "details", "withheld"),
    [
        ("warning", "forbidden", "", (), True),
        ("error", "security", "", (), True),
        ("warning", "suppressed", "", (), True),
        ("fatal", "suppressed", "", (), True),
        ("error", "incomplete", "", (), True),
        ("warning", "processing", "", ((EPIC, "59204"),), True),
        ("warning", "processing", "", (("urn:oid:1.2.3", "59204"),), False),
        ("warning", "processing", "Results were NOT INCLUDED.", (), True),
        ("warning", "processing", "You are not authorized for this.", (), True),
        ("information", "suppressed", "", (), False),
        ("warning", "suppressed", "", ((EPIC, "4119"),), False),
        ("warning", "processing", "", (), False),
        ("error", "not-supported", "parameter ignored", (), False),
    ],
)
def test_what_says_that_results_are_withheld(severity, code, text, details, withheld):
    """By code, coding or text; advice that is known to be harmless decides first."""
    found = Outcomes()
    found.note("Condition", as_json(outcome(severity, code, text, *details)))
    assert bool(found.withheld) is withheld


def test_what_is_withheld_is_known_after_an_interruption(tmp_path):
    """The stored pages of an interrupted run hold what the server said beside the matches."""
    kept = KeptPages(tmp_path)
    with VendorServer(RESOURCES, Habits(outcomes={"Condition": [NOT_AUTHORIZED]})) as server:
        for _ in range(2):
            with open_client(server.base, ServerSettings()) as client:
                searcher = Searcher(client, kept)
                found = [*searcher.search("Condition", {"patient": "p3"})]
                searcher.close()
            assert len(found) == 1
            assert "59204" in searcher.outcomes.withheld["Condition"]
        assert len(server.searches("Condition")) == 1


@pytest.mark.parametrize(
    ("withheld", "complete", "lacking"),
    [
        ({}, (), (False, False)),
        ({"Condition": "no"}, (), (True, False)),
        ({"Condition": "no"}, ("Condition",), (False, False)),
        ({"MedicationRequest": "no"}, (), (False, True)),
        ({"MedicationRequest": "no"}, ("MedicationStatement",), (False, True)),
        ({"Medication": "no"}, ("MedicationRequest",), (False, True)),
        ({"Patient": "no", "QuestionnaireResponse": "no"}, (), (False, False)),
    ],
)
def test_what_is_lacking_where_something_is_withheld(withheld, complete, lacking):
    """What the site declares complete is not lacking, a Medication that cannot be read is."""
    present = frozenset({"Condition", "AdverseEvent", "MedicationStatement", "MedicationRequest"})
    collected = Collected(
        {}, Facts(), Patients({}, ALL_PATIENTS), str, present, frozenset(), withheld
    )
    found = lacking_of(collected, complete, deaths_complete=True)
    assert (found.conditions, found.medications) == lacking


def test_withheld_is_said_by_the_command(tmp_path, monkeypatch):
    """The summary begins with what was withheld; the option accepts it."""
    monkeypatch.chdir(tmp_path)
    habits = Habits(outcomes={"Procedure": [NOT_AUTHORIZED], "Condition": [NOT_AUTHORIZED]})
    with VendorServer(RESOURCES, habits) as server:
        arguments = ("compute", server.base, tmp_path / "out", "--as-of", "2017-12-31")
        refused = inputs.cli(*arguments)
        accepted = inputs.cli(*arguments, "--accept-withheld")
    assert refused.code == 3
    assert "Procedure: the server withholds results" in refused.err
    assert accepted.code == 0
    lines = accepted.err.splitlines()
    told = [line.partition(": not everything")[0] for line in lines if "WITHHELD" in line]
    assert told == ["WITHHELD: Condition", "WITHHELD: Procedure"]
    assert not [line for line in lines if line.startswith("LACKING: no Condition")]
