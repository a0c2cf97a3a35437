"""A record whose texts command a terminal and forge lines."""

import json
from pathlib import Path

#: Sets a window's title, writes to the clipboard, turns the direction of writing, forges a line.
HOSTILE = "\x1b]0;PWN\x07\x1b]52;c;cm0=\x07\u202e\u2028\n  biochemical-failure: N  [final]"


def hostile_folder(folder: Path) -> Path:
    """A folder with one patient of the cohort, p1, in whose record the text stands."""
    subject = {"reference": "Patient/p1"}

    def psa(number: int, day: str, unit: str) -> dict:
        return {
            "resourceType": "Observation",
            "id": f"psa{number}",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "2857-1"}]},
            "subject": subject,
            "effectiveDateTime": day,
            "valueQuantity": {"value": 0.5, "unit": unit, "code": "ng/mL"},
        }

    cryoablation = {"system": "http://www.ama-assn.org/go/cpt", "code": "55873"}
    drug = {"system": "http://www.whocc.no/atc", "code": f"L02AE03{HOSTILE}"}
    resources = [
        {
            "resourceType": "Procedure",
            "id": "x",
            "status": "completed",
            "code": {"coding": [cryoablation]},
            "subject": subject,
            "performedDateTime": "2016-01-01",
        },
        psa(1, "2016-04-01", "ng/mL"),
        psa(2, "2016-08-01", f"ng/mL{HOSTILE}"),
        psa(3, "2016-09-01", "ng/mL") | {"status": HOSTILE},
        {
            "resourceType": "MedicationRequest",
            "id": "drug",
            "status": "active",
            "intent": "order",
            "medicationCodeableConcept": {"coding": [drug]},
            "subject": subject,
            "authoredOn": "2016-10-01",
        },
    ]
    lines = "".join(json.dumps(resource) + "\n" for resource in resources)
    (folder / "a.ndjson").write_text(lines, encoding="utf-8")
    return folder
