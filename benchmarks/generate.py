"""Generates a large cohort as a hospital would export it: deterministic, of any size.

    python benchmarks/generate.py FOLDER --patients 10000

Per patient about 28 resources and 30 kB: PSA and other laboratory results, the index procedure and
others, adverse events with grades, questionnaires, conditions, the patient.
"""

import argparse
import json
import random
from datetime import date, timedelta
from pathlib import Path

BASE = "https://w3id.org/fhircryo"
SCT = "http://snomed.info/sct"
LOINC = "http://loinc.org"
_META = {
    "versionId": "1",
    "lastUpdated": "2018-01-01T00:00:00.000Z",
    "profile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab"],
}
_NARRATIVE = {
    "status": "generated",
    "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>' + "result " * 25 + "</p></div>",
}
_LAB = [
    {
        "coding": [
            {
                "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                "code": "laboratory",
                "display": "Laboratory",
            }
        ]
    }
]
_UNITS = (("ng/mL", 1), ("ug/L", 1), ("ng/dL", 100))
_ITEMS = {
    "iief-5": {f"q{n}": (1, 5) for n in range(1, 6)},
    "iciq-ui-sf": {"frequency": (0, 5), "interference": (0, 10)},
    "qlq-c30-ql2": {"q29": (1, 7), "q30": (1, 7)},
}


def code(system: str, value: str, display: str = "") -> dict:
    """A CodeableConcept of one coding."""
    return {"coding": [{"system": system, "code": value, "display": display}], "text": display}


class Hospital:
    """Writes the resources of one patient after another to a file per type."""

    def __init__(self, folder: Path, seed: int = 7) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files: dict[str, object] = {}
        self._random = random.Random(seed)
        self.resources = 0

    def write(self, resource: dict) -> None:
        """One line."""
        kind = resource["resourceType"]
        if kind not in self._files:
            self._files[kind] = (self._folder / f"{kind}.ndjson").open("w", encoding="utf-8")
        resource["meta"] = _META
        self._files[kind].write(json.dumps(resource, separators=(",", ":")) + "\n")
        self.resources += 1

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.close()

    def patient(self, number: int) -> None:
        """All resources of a patient."""
        random_ = self._random
        patient = f"pat-{number:06d}"
        subject = {"reference": f"Patient/{patient}", "display": "Patient"}
        d0 = date(2010, 1, 1) + timedelta(days=random_.randrange(2500))
        self.write(
            {
                "resourceType": "Patient",
                "id": patient,
                "text": _NARRATIVE,
                "gender": "male",
                "birthDate": str(d0 - timedelta(days=365 * 65 + random_.randrange(5000))),
                **({"deceasedDateTime": str(d0 + timedelta(days=900))} if number % 17 == 0 else {}),
            }
        )
        self._procedures(patient, subject, d0)
        self._laboratory(patient, subject, d0)
        self._events(patient, subject, d0)
        self._questionnaires(patient, subject, d0)

    def _procedures(self, patient: str, subject: dict, d0: date) -> None:
        for n, (system, value, when) in enumerate(
            (
                ("http://www.ama-assn.org/go/cpt", "55873", d0),
                (SCT, "65575008", d0 - timedelta(days=40)),
            )
        ):
            self.write(
                {
                    "resourceType": "Procedure",
                    "id": f"{patient}-proc-{n}",
                    "text": _NARRATIVE,
                    "status": "completed",
                    "code": code(system, value, "Procedure"),
                    "subject": subject,
                    "performedPeriod": {
                        "start": f"{when}T09:00:00+01:00",
                        "end": f"{when}T11:00:00+01:00",
                    },
                }
            )

    def _laboratory(self, patient: str, subject: dict, d0: date) -> None:
        random_ = self._random
        value = random_.uniform(3, 15)
        rising = random_.random() < 0.4
        for n in range(12):
            when = d0 + timedelta(days=-30 + 91 * n + random_.randrange(20))
            if n == 1:
                value *= 0.1
            elif n > 3:
                value *= 1.6 if rising else 1.02
            unit, factor = random_.choice(_UNITS)
            quantity = {
                "value": round(value * factor, 2),
                "unit": unit,
                "system": "http://unitsofmeasure.org",
                "code": unit,
            }
            if value < 0.1:
                quantity |= {"value": round(0.1 * factor, 2), "comparator": "<"}
            self._result(patient, subject, f"psa-{n}", "2857-1", when, quantity)
        for n in range(3):
            when = d0 + timedelta(days=91 * n)
            quantity = {"value": round(random_.uniform(7, 10), 1), "unit": "mmol/L"}
            self._result(patient, subject, f"lab-{n}", "718-7", when, quantity)

    def _result(
        self, patient: str, subject: dict, name: str, loinc: str, when: date, quantity: dict
    ) -> None:
        self.write(
            {
                "resourceType": "Observation",
                "id": f"{patient}-{name}",
                "text": _NARRATIVE,
                "identifier": [{"system": "urn:hospital:lab", "value": f"{patient}-{name}"}],
                "status": "final",
                "category": _LAB,
                "code": code(LOINC, loinc, "Laboratory result"),
                "subject": subject,
                "effectiveDateTime": f"{when}T08:{self._random.randrange(60):02d}:00+01:00",
                "issued": f"{when}T15:00:00.000+01:00",
                "performer": [{"reference": "Organization/lab", "display": "Laboratory"}],
                "valueQuantity": quantity,
                "referenceRange": [{"high": {"value": 4, "unit": "ng/mL"}}],
            }
        )

    def _events(self, patient: str, subject: dict, d0: date) -> None:
        random_ = self._random
        for n in range(random_.randrange(3)):
            when = d0 + timedelta(days=random_.randrange(1, 300))
            severity = code(f"{BASE}/CodeSystem/clavien-dindo", random_.choice(["I", "II", "IIIa"]))
            severity["coding"].append(
                {"system": f"{BASE}/CodeSystem/sir-2003", "code": random_.choice("ABC")}
            )
            self.write(
                {
                    "resourceType": "AdverseEvent",
                    "id": f"{patient}-ae-{n}",
                    "text": _NARRATIVE,
                    "actuality": "actual",
                    "subject": subject,
                    "date": str(when),
                    "event": code(SCT, "45007003", "Event"),
                    "severity": severity,
                    "suspectEntity": [{"instance": {"reference": f"Procedure/{patient}-proc-0"}}],
                }
            )
        metastatic = random_.random() < 0.1
        for n, (value, after) in enumerate((("399068003", -900), ("314994000", 500))):
            if n and not metastatic:
                break
            self.write(
                {
                    "resourceType": "Condition",
                    "id": f"{patient}-cond-{n}",
                    "text": _NARRATIVE,
                    "verificationStatus": code(
                        "http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"
                    ),
                    "code": code(SCT, value, "Condition"),
                    "subject": subject,
                    "onsetDateTime": str(d0 + timedelta(days=after)),
                }
            )

    def _questionnaires(self, patient: str, subject: dict, d0: date) -> None:
        random_ = self._random
        for key, items in _ITEMS.items():
            for n, after in enumerate((-10, 180, 365)):
                answers = [
                    {
                        "linkId": link,
                        "text": "Item of the questionnaire",
                        "answer": [{"valueInteger": random_.randint(low, high)}],
                    }
                    for link, (low, high) in items.items()
                ]
                if key == "iciq-ui-sf":
                    answers.append(
                        {"linkId": "amount", "answer": [{"valueInteger": random_.choice([0, 2])}]}
                    )
                self.write(
                    {
                        "resourceType": "QuestionnaireResponse",
                        "id": f"{patient}-{key}-{n}",
                        "text": _NARRATIVE,
                        "questionnaire": f"{BASE}/Questionnaire/{key}|1.0",
                        "status": "completed",
                        "subject": subject,
                        "authored": f"{d0 + timedelta(days=after)}T10:00:00+01:00",
                        "item": [{"linkId": "group", "item": answers}],
                    }
                )


def generate(folder: Path, patients: int, seed: int = 7) -> int:
    """Write a cohort; the number of its resources."""
    hospital = Hospital(folder, seed)
    for number in range(patients):
        hospital.patient(number)
    hospital.close()
    return hospital.resources


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--patients", type=int, default=10_000)
    options = parser.parse_args()
    print(generate(options.folder, options.patients), "resources")
