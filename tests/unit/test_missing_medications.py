"""Therapies that name Medications, in a source that holds none: their drug is not known."""

import json
from datetime import date
from pathlib import Path

import pytest

from fhircryo.runs.in_memory import compute_resources
from fhircryo.setup.expectations.fhir_values import Resource
from tests.unit.inputs import cli

SUBJECT = {"reference": "Patient/p1"}
ATC = "http://www.whocc.no/atc"


def coded(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def psa(number: int, day: str, value: float) -> Resource:
    return {
        "resourceType": "Observation",
        "id": f"psa{number}",
        "status": "final",
        "code": coded("http://loinc.org", "2857-1"),
        "subject": SUBJECT,
        "effectiveDateTime": day,
        "valueQuantity": {"value": value, "unit": "ng/mL"},
    }


RECORD: list[Resource] = [
    {
        "resourceType": "Procedure",
        "id": "x",
        "status": "completed",
        "code": coded("http://www.ama-assn.org/go/cpt", "55873"),
        "subject": SUBJECT,
        "performedDateTime": "2015-02-28",
    },
    psa(1, "2015-08-01", 0.4),
    psa(2, "2015-12-01", 0.1),
    {
        "resourceType": "Condition",
        "id": "other",
        "code": coded("http://snomed.info/sct", "38341003"),
        "subject": SUBJECT,
    },
    {
        "resourceType": "MedicationRequest",
        "id": "order",
        "status": "active",
        "intent": "order",
        "medicationReference": {"reference": "Medication/drug"},
        "subject": SUBJECT,
        "authoredOn": "2015-09-01",
    },
]


def disease_free(*more: Resource) -> str:
    """The value of disease-free at 12 months, or the reason why there is none."""
    outcome = compute_resources([*RECORD, *more], as_of=date(2017, 12, 31))
    (found,) = (
        one
        for one in outcome.observations
        if one["code"]["coding"][0]["code"] == "disease-free-12-months"
    )
    if "valueCodeableConcept" in found:
        return str(found["valueCodeableConcept"]["coding"][0]["code"])
    return str(found["dataAbsentReason"]["coding"][1]["code"])


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ([], "source-lacks-type"),
        ([("drug", "N02BE01")], "Y"),
        ([("drug", "L02AE03")], "N"),
        # The source holds Medications: one that a therapy names may have been deleted.
        ([("another", "N02BE01")], "Y"),
    ],
)
def test_a_drug_that_no_source_states_may_be_salvage_therapy(
    more: list[tuple[str, str]], expected: str
) -> None:
    medications = [
        {"resourceType": "Medication", "id": name, "code": coded(ATC, code)} for name, code in more
    ]
    assert disease_free(*medications) == expected


@pytest.mark.parametrize("code", ["N02BE01", "C09AA02"])
def test_a_source_that_names_other_drugs_by_code_lacks_nothing(code: str) -> None:
    coded_order = {
        "resourceType": "MedicationRequest",
        "id": "another",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": coded(ATC, code),
        "subject": SUBJECT,
        "authoredOn": "2015-09-01",
    }
    assert disease_free(coded_order) == "Y"


def test_the_summary_says_so(tmp_path: Path) -> None:
    lines = "".join(json.dumps(one) + "\n" for one in RECORD)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.ndjson").write_text(lines, "utf-8")
    ran = cli("compute", tmp_path / "in", tmp_path / "out", "--as-of", "2017-12-31")
    words = "WITHHELD: Medication: not everything was read: therapies name Medications"
    assert words in ran.err
