"""Salvage therapy from files: Medications elsewhere, what is told, what is published."""

import json
from pathlib import Path
from typing import Any

import pytest

from fhircryo.extract.lines import read
from fhircryo.mapping.load import load_protocol
from fhircryo.mapping.protocol import Protocol
from fhircryo.publish.validate import validate_line
from fhircryo.record.collector import RecordCollector
from fhircryo.record.items import Drug, PsaResult, Therapy, Treatment, VagueTreatment
from fhircryo.runs import drivers
from fhircryo.runs.in_memory import compute_resources
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import Settings
from fhircryo.setup.explanation import explain_patient
from fhircryo.sources import folder_source
from tests.unit.inputs import (
    AS_OF,
    HTEST,
    Resource,
    bundle,
    cli,
    compute,
    concept,
    condition,
    folder,
    line,
    meta,
    patient,
    procedure,
    psa,
    value,
)

ATC = "http://www.whocc.no/atc"
LEUPRORELIN = concept(ATC, "L02AE02")
PARACETAMOL = concept(ATC, "N02BE01")
SERIES = [procedure(), psa("a", "2016-02-10", 1), psa("b", "2016-11-10", 2)]


def drug(name: str, code: Resource = LEUPRORELIN, **more: Any) -> Resource:
    return {"resourceType": "Medication", "id": name, "code": code, **more}


def request(name: str, on: str | None = "2016-06-01", of: str = "p1", **more: Any) -> Resource:
    made = {
        "resourceType": "MedicationRequest",
        "id": name,
        "status": "active",
        "intent": "order",
        "subject": {"reference": f"Patient/{of}"},
        "authoredOn": on,
        "medicationCodeableConcept": LEUPRORELIN,
        **more,
    }
    return {key: one for key, one in made.items() if one is not None}


def referring(name: str, to: str, **more: Any) -> Resource:
    reference = {"reference": to}
    return request(name, medicationCodeableConcept=None, medicationReference=reference, **more)


def under(rule: str, **changes: Any) -> Protocol:
    return load_protocol().model_copy(update={"salvage_therapy": rule, **changes})


def of_key(observations: list[Resource], key: str) -> Resource:
    (one,) = (one for one in observations if one["code"]["coding"][0]["code"] == key)
    return one


def first_day(observations: list[Resource]) -> str | None:
    """The day of the first salvage therapy; None where there is none."""
    time = of_key(observations, "time-to-salvage-therapy")
    for part in time.get("component", ()):
        if part["valueCodeableConcept"]["coding"][0]["code"] == "Y":
            return str(time["effectiveDateTime"])
    return None


FILES = {
    "one file": {"everything.ndjson": [*SERIES, referring("t", "Medication/d"), drug("d")]},
    "the Medication before": {
        "0.ndjson": [drug("d")],
        "Procedure.ndjson": SERIES[:1],
        "Observation.ndjson": SERIES[1:],
        "MedicationRequest.ndjson": [referring("t", "Medication/d")],
    },
    "the Medication after": {
        "Procedure.ndjson": SERIES[:1],
        "Observation.ndjson": SERIES[1:],
        "MedicationRequest.ndjson": [referring("t", "Medication/d")],
        "Z.Medication.ndjson": [drug("d")],
    },
    "an absolute reference": {
        "everything.ndjson": [*SERIES, drug("d"), referring("t", "https://h.org/r4/Medication/d")],
    },
    "a Bundle": {
        "all.json": [
            bundle(
                [*SERIES, referring("t", "urn:uuid:1"), drug("d")],
                [*("urn:uuid:7", "urn:uuid:8", "urn:uuid:9", "urn:uuid:2", "urn:uuid:1")],
            )
        ],
    },
}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("name", FILES)
def test_a_medication_may_stand_in_any_file(name, workers, tmp_path, monkeypatch):
    monkeypatch.setattr(drivers, "_WORTH_SHARING", 0)
    monkeypatch.setattr(folder_source, "PART_SIZE", 100)
    done = compute(folder(tmp_path / "in", FILES[name]), tmp_path / "out", workers=workers)
    assert first_day(done.observations) == "2016-06-01"
    assert done.summary.not_used == {"after-salvage-therapy": 1}


def test_what_others_take_only_counts_wherever_it_stands(tmp_path):
    """The counts are the same whether it was let go at once or only at the end."""
    others = [
        request("a", of="p2"),
        referring("b", "Medication/d", of="p2"),
        referring("c", "Medication/e", of="p2"),
        referring("f", "Medication/e"),
    ]
    drugs = [drug("d"), drug("e", PARACETAMOL)]
    early = {"0.ndjson": [*others, *drugs, *SERIES]}
    late = {
        "Procedure.ndjson": SERIES[:1],
        "Observation.ndjson": SERIES[1:],
        "MedicationRequest.ndjson": others,
        "Medication.ndjson": drugs,
    }
    counts = []
    for number, files in enumerate((early, late)):
        done = compute(folder(tmp_path / f"in{number}", files), tmp_path / f"out{number}")
        counts.append((done.summary.not_used, sorted(map(str, done.issues))))
    assert counts[0] == counts[1]
    assert counts[0][0] == {"unmapped-code": 2, "not-in-cohort": 4}


def test_items_go_from_process_to_process_as_they_are():
    lines = [*SERIES, procedure("x2", "2016-07"), request("t"), referring("u", "Medication/d")]
    reading = RunConfig.of(Settings(), AS_OF).read_request(drivers.OneProcess())
    collector = RecordCollector(reading.retention())
    read([line(one) for one in (*lines, drug("d"))], collector, reading.context(), 0)
    other = collector.empty_copy()
    other.merge(collector.encode())
    assert other.items == collector.items
    assert {type(item) for item in other.items.values()} == {
        *(Treatment, PsaResult, VagueTreatment, Therapy, Drug),
    }


def test_a_later_version_of_a_medication_is_another_medication(tmp_path):
    old = drug("d", meta=meta(version="1"))
    new = drug("d", PARACETAMOL, meta=meta(version="2"))
    for number, versions in enumerate(([old, new], [new, old])):
        files = {"all.ndjson": [*SERIES, referring("t", "Medication/d"), *versions]}
        done = compute(folder(tmp_path / f"in{number}", files), tmp_path / f"out{number}")
        assert first_day(done.observations) is None
        assert done.summary.not_used == {"superseded": 1, "unmapped-code": 2}


@pytest.mark.parametrize(
    "contained",
    [
        None,
        [],
        [{"resourceType": "Medication", "id": "other", "code": LEUPRORELIN}],
        [{"resourceType": "Medication", "id": "m", "code": "L02AE02"}],
        [{"resourceType": "CodeSystem", "id": "m", "code": LEUPRORELIN}],
        [{"resourceType": "Medication", "id": "m"}],
        ["m"],
    ],
)
def test_a_contained_resource_that_is_no_medication_leaves_a_count(contained):
    done = compute_resources([*SERIES, referring("t", "#m", contained=contained)], AS_OF)
    assert first_day(done.observations) is None
    assert done.counted["unmapped-code", "MedicationRequest", "(no code)"] == 1


def test_what_a_contained_resource_holds_beside_it_does_not_matter():
    contained = [
        {"resourceType": "Practitioner", "id": "p", "code": 5},
        {"resourceType": "Medication", "id": "#m", "code": LEUPRORELIN},
    ]
    done = compute_resources([*SERIES, referring("t", "#m", contained=contained)], AS_OF)
    assert first_day(done.observations) == "2016-06-01"


def test_an_own_observation_is_never_a_medication():
    identifier = [{"system": "https://w3id.org/fhircryo/endpoint", "value": "e1"}]
    done = compute_resources([*SERIES, request("t", identifier=identifier)], AS_OF)
    assert first_day(done.observations) is None
    assert done.counted["own-output", "MedicationRequest", f"{ATC}|L02AE02"] == 1


def test_test_data_of_somebody_else_is_told_wherever_it_stands(tmp_path):
    labelled = [request("t", of="p2", meta=HTEST)]
    files = {"Procedure.ndjson": SERIES[:1], "MedicationRequest.ndjson": labelled}
    done = compute(folder(tmp_path / "in", files), tmp_path / "out")
    assert done.told("test-data") == ["MedicationRequest/t (Patient/p2)"]


def test_a_patient_merged_into_another_brings_his_therapy():
    link = [{"other": {"reference": "Patient/p1"}, "type": "replaced-by"}]
    done = compute_resources([*SERIES, patient("old", link=link), request("t", of="old")], AS_OF)
    assert first_day(done.observations) == "2016-06-01"


def test_every_published_shape_is_valid():
    for on in ("2016-06-01", "2016-06", None):
        for rule in ("report", "event", "censor"):
            done = compute_resources([*SERIES, request("t", on)], AS_OF, under(rule))
            for one in done.observations:
                validate_line(json.dumps(one, default=float).encode())


def test_an_event_by_therapy_stands_on_it():
    done = compute_resources([*SERIES, request("t")], AS_OF, under("event"))
    (provenance,) = done.provenances
    refs = [entity["what"]["reference"] for entity in provenance["entity"]]
    assert "MedicationRequest/t" in refs
    disease_free = of_key(done.observations, "disease-free-12-months")
    assert disease_free["effectiveDateTime"] == "2016-06-01"
    assert value(done.observations, "disease-free-12-months") == "N"
    assert "derivedFrom" not in disease_free


def test_a_reported_therapy_is_a_component_of_what_rests_on_later_psa():
    done = compute_resources([*SERIES, request("t")], AS_OF, under("report"))
    parts = {
        part["code"]["coding"][0]["code"]: part
        for part in of_key(done.observations, "biochemical-failure")["component"]
    }
    assert parts["salvage-therapy"]["valueDateTime"] == "2016-06-01"


def test_identifiers_are_those_of_the_protocol():
    """Two protocols side by side on one server, and neither overwrites the other's endpoints."""
    found = {
        protocol.id: {
            one["identifier"][0]["value"]
            for one in compute_resources(SERIES, AS_OF, protocol).observations
        }
        for protocol in (
            load_protocol(),
            load_protocol("oishi-2019"),
            under("event", id="bomers-2020-event"),
        )
    }
    assert len(found) == 3
    assert len(set.union(*found.values())) == sum(map(len, found.values()))


STUTTGART = load_protocol().biochemical_failure.model_copy(
    update={"definition": "stuttgart", "rise": load_protocol("oishi-2019").psa.nadir_limit_max + 1}
)


def test_nothing_says_phoenix_where_stuttgart_is_meant(tmp_path):
    from dataclasses import asdict, replace

    source = folder(tmp_path / "in", {"all.ndjson": SERIES})
    protocol = under("report", biochemical_failure=STUTTGART)
    job = replace(RunConfig.of(Settings(), AS_OF), protocol=protocol)
    told = str(asdict(explain_patient(source, "p1", job)))
    published = str(compute_resources(SERIES, AS_OF, protocol))
    assert "Stuttgart: nadir + 1.2 ng/mL" in told
    assert "phoenix" not in (told + published).lower()
    by_default = str(asdict(explain_patient(source, "p1", RunConfig.of(Settings(), AS_OF))))
    assert "Phoenix: nadir + 2 ng/mL" in by_default
    assert "stuttgart" not in by_default.lower()


def protocol_file(folder: Path, rule: str) -> Path:
    """The default protocol under an id of its own, with another rule for salvage therapy."""
    text = cli("protocols", "show", "bomers-2020").out.replace("id: bomers-2020", "id: ours")
    path = folder / f"{rule}.yaml"
    path.write_text(text.replace("salvage_therapy: event", f"salvage_therapy: {rule}"))
    return path


def test_explain_lists_it_in_the_time_line(tmp_path):
    repeat = procedure("x2", "2016-07-01")
    files = {"all.ndjson": [*SERIES, request("t"), request("u", "2016-08"), repeat]}
    source, report = folder(tmp_path / "in", files), protocol_file(tmp_path, "report")
    ran = cli("explain", source, "p1", "--as-of", AS_OF, "--protocol", report)
    shown = [" ".join(one.split()) for one in ran.out.splitlines()]
    assert f"2016-06-01 +143 d salvage-therapy: {ATC}|L02AE02 [MedicationRequest/t]" in shown
    assert (
        "2016-07-01 +173 d salvage-therapy: http://www.ama-assn.org/go/cpt|55873 [Procedure/x2]"
        in shown
    )
    assert any(one.startswith("2016-08-01..2016-08-31 +204 d salvage-therapy, on") for one in shown)
    assert "salvage-therapy since 2016-06-01: PSA after it may be lowered" in shown
    assert "Procedure/x2 used, but outside-window a repeat treatment" in shown


def test_explain_tells_what_ends_the_series(tmp_path):
    source = folder(tmp_path / "in", {"all.ndjson": [*SERIES, request("t")]})
    for rule in ("event", "censor"):
        protocol = protocol_file(tmp_path, rule)
        ran = cli("explain", source, "p1", "--as-of", AS_OF, "--protocol", protocol)
        shown = " ".join(ran.out.split())
        assert "PSA 2 ng/mL: not used: after salvage therapy" in shown
        assert "Observation/b after-salvage-therapy" in shown


def test_a_run_says_first_that_no_medications_are_kept(tmp_path):
    source = folder(tmp_path / "in", {"all.ndjson": [*SERIES]})
    for number, rule in enumerate(("event", "report")):
        options = ("--as-of", AS_OF, "--protocol", protocol_file(tmp_path, rule))
        ran = cli("compute", source, tmp_path / f"out{number}", *options)
        assert "LACKING: no MedicationRequest in the whole source" in ran.err


def test_an_unreadable_medication_is_one_that_is_there():
    broken = line(request("t")).replace(b'"active"', b"5")
    done = compute_resources([*SERIES, broken], AS_OF, under("event"))
    assert value(done.observations, "biochemical-failure") == "N"
    assert [issue.reason for issue in done.issues] == ["unreadable"]


CONTINUED = [
    *SERIES,
    request("at-index", "2015-12-01"),
    request("continued", "2016-06-01", status="completed"),
]


@pytest.mark.parametrize("rule", ["event", "censor", "report"])
def test_continued_hormone_therapy_is_no_salvage_therapy(rule):
    done = compute_resources(CONTINUED, AS_OF, under(rule))
    assert first_day(done.observations) is None
    assert not done.issues
    failure = of_key(done.observations, "biochemical-failure")
    parts = {part["code"]["coding"][0]["code"] for part in failure["component"]}
    assert "hormone-therapy-at-index" in parts
    assert "salvage-therapy" not in parts
    assert "Observation/b" in str(failure["derivedFrom"])


def test_explain_tells_what_continues(tmp_path):
    source = folder(tmp_path / "in", {"all.ndjson": CONTINUED})
    shown = " ".join(cli("explain", source, "p1", "--as-of", AS_OF).out.split())
    assert "hormone therapy at index; later therapy continues it up to a gap of 270 days" in shown
    assert "continues the hormone therapy at index, no salvage therapy" in shown
    assert "hormone-therapy-at-index: it lowers PSA" in shown


@pytest.mark.parametrize(
    "rule, last, status",
    [("event", "a", "N"), ("censor", "a", "absent insufficient-psa"), ("report", "b", "Y")],
)
def test_what_each_rule_publishes(rule, last, status):
    """The first result is the nadir, the second one is clear, the third is after the therapy."""
    series = [psa("n", "2016-03-01", 1), psa("a", "2016-05-01", 2), psa("b", "2016-11-10", 0.5)]
    resources = [procedure(), *series, request("t", "2016-06-01"), condition("c", None, "p2")]
    done = compute_resources(resources, AS_OF, under(rule))
    failure = of_key(done.observations, "biochemical-failure")
    assert value(done.observations, "biochemical-failure") == "N"
    assert f"Observation/{last}" in str(failure["derivedFrom"])
    assert first_day(done.observations) == "2016-06-01"
    assert value(done.observations, "disease-free-12-months") == status
