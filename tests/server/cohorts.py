"""Small cohorts for the tests of writing: plain patients, and what happens to them later."""

from pathlib import Path
from typing import Any

from fhircryo.publish.shapes import ENCODER
from fhircryo.setup.hapi.loading import read_folder, references

Resource = dict[str, Any]

BASE = "https://w3id.org/fhircryo"
NATIONAL = "https://national.example/patient"


def part_of_cohort(source: Path, number: int, folder: Path) -> Path:
    """A folder with what another one holds of its first patients, and of nobody."""
    resources = list(read_folder(source))
    people = sorted(one["id"] for one in resources if one["resourceType"] == "Patient")
    others = {f"Patient/{one}" for one in people[number:]}
    folder.mkdir()
    with (folder / "part.ndjson").open("wb") as file:
        for resource in resources:
            named = {one["reference"] for one in references(resource)}
            named.add(f"{resource['resourceType']}/{resource['id']}")
            if not named & others:
                file.write(ENCODER.encode(resource) + b"\n")
    return folder


def coded(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def psa(patient: str, name: str, day: str, value: str, status: str = "final") -> Resource:
    return {
        "resourceType": "Observation",
        "id": f"{patient}-{name}",
        "status": status,
        "code": coded("http://loinc.org", "2857-1"),
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": day,
        "valueString": f"{value} ng/mL",
    }


def index(patient: str, status: str = "completed") -> Resource:
    return {
        "resourceType": "Procedure",
        "id": f"{patient}-cryo",
        "status": status,
        "code": coded("http://www.ama-assn.org/go/cpt", "55873"),
        "subject": {"reference": f"Patient/{patient}"},
        "performedDateTime": "2015-03-01",
    }


def person(patient: str) -> Resource:
    identifier = [{"system": NATIONAL, "value": f"N-{patient}"}]
    return {"resourceType": "Patient", "id": patient, "identifier": identifier}


def record(patient: str) -> list[Resource]:
    """A patient who is disease-free, with one minor complication and no failure."""
    answers = [{"linkId": f"q{n}", "answer": [{"valueInteger": 4}]} for n in range(1, 6)]
    return [
        person(patient),
        index(patient),
        psa(patient, "psa-1", "2015-06-01", "0.8"),
        psa(patient, "psa-2", "2015-12-01", "0.4"),
        psa(patient, "psa-3", "2016-03-01", "0.5"),
        {
            "resourceType": "QuestionnaireResponse",
            "id": f"{patient}-iief",
            "questionnaire": f"{BASE}/Questionnaire/iief-5",
            "status": "completed",
            "subject": {"reference": f"Patient/{patient}"},
            "authored": "2016-02-20",
            "item": answers,
        },
        {
            "resourceType": "AdverseEvent",
            "id": f"{patient}-ae",
            "actuality": "actual",
            "subject": {"reference": f"Patient/{patient}"},
            "date": "2015-03-02",
            "event": coded(f"{BASE}/CodeSystem/clavien-dindo", "II"),
        },
        {
            "resourceType": "Condition",
            "id": f"{patient}-cancer",
            "subject": {"reference": f"Patient/{patient}"},
            "code": coded("http://snomed.info/sct", "399068003"),
            "recordedDate": "2015-01-01",
        },
        {
            # No therapy of the cancer; without any medication the source would lack the type.
            "resourceType": "MedicationStatement",
            "id": f"{patient}-drug",
            "status": "completed",
            "subject": {"reference": f"Patient/{patient}"},
            "medicationCodeableConcept": coded("http://www.whocc.no/atc", "N02BE01"),
            "effectiveDateTime": "2015-03-02",
        },
    ]


def cohort(*patients: str) -> list[Resource]:
    """Several of them."""
    return [resource for patient in patients for resource in record(patient)]
