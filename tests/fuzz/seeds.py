"""What is mutated: the patients of the examples, and the values that they are made of."""

import gzip
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"

Resource = dict[str, Any]

#: Patients of the example cohort who are never mutated, beside those who are. Together they have
#: resources of every type and gradings on every scale, so that a source with them lacks nothing.
BYSTANDERS = ("2088461", "2029487", "2117948")


_OWN_SYSTEMS = "https://w3id.org/fhircryo/CodeSystem"
#: The codes of Observations that grade, shipped and of the example's overlay, with a grade.
_GRADINGS = (
    ("http://snomed.info/sct", "789279006", "clavien-dindo", "I"),
    ("https://klinikum.example/befund", "SIR", "sir-2003", "A"),
    ("https://ziekenhuis.example/bevinding", "CTC", "ctcae-grade", "1"),
)


@dataclass
class Seeds:
    """Patients and what mutations draw from.

    ``patients``: by id, the resources of each patient of a cohort. ``strangers``: resources of
    HL7's, mCODE's and Synthea's examples. ``bystanders``: those who are never mutated.
    ``by_key``: all values that occur under a key in any of these.
    """

    patients: dict[str, list[Resource]] = field(default_factory=dict)
    site: dict[str, list[Resource]] = field(default_factory=dict)
    strangers: list[Resource] = field(default_factory=list)
    bystanders: list[Resource] = field(default_factory=list)
    by_key: dict[str, list[Any]] = field(default_factory=dict)


@cache
def seeds() -> Seeds:
    """The seeds, read once."""
    cohort = by_patient(resources_in(EXAMPLES / "bomers-2020"))
    made = Seeds(
        patients={name: one for name, one in cohort.items() if name not in BYSTANDERS},
        site=by_patient(resources_in(EXAMPLES / "site-overlay" / "export")),
        bystanders=[one for name in BYSTANDERS for one in cohort[name]] + _of_every_type(),
    )
    for folder in ("synthea/sample", "hl7/sample", "hl7/sample-r5"):
        made.strangers += resources_in(EXAMPLES / folder)
    made.by_key = _values_by_key(
        [*made.strangers, *(one for group in made.site.values() for one in group)]
        + [one for group in made.patients.values() for one in group]
    )
    return made


def resources_in(folder: Path) -> list[Resource]:
    """The resources in the files of a folder, those of Bundles one by one."""
    found: list[Resource] = []
    for file in sorted(folder.iterdir()):
        if ".ndjson" in file.name or file.suffix == ".json":
            content = file.read_bytes()
            if file.suffix == ".gz":
                content = gzip.decompress(content)
            texts = [content] if file.suffix == ".json" else content.splitlines()
            for text in texts:
                found += _unpacked(json.loads(text))
    return found


def _unpacked(resource: Resource) -> Iterator[Resource]:
    if resource.get("resourceType") != "Bundle":
        yield resource
        return
    for entry in resource.get("entry", ()):
        if "resource" in entry:
            yield from _unpacked(entry["resource"])


def by_patient(resources: list[Resource]) -> dict[str, list[Resource]]:
    """The resources by the id of their patient; those of nobody are left out."""
    found: dict[str, list[Resource]] = defaultdict(list)
    for one in resources:
        patient = patient_of(one)
        if patient:
            found[patient].append(one)
    return dict(found)


def patient_of(resource: Resource) -> str:
    """The id of the patient that a resource is about; empty if it does not refer to one."""
    if resource.get("resourceType") == "Patient":
        return str(resource.get("id", ""))
    subject = resource.get("subject")
    name = subject.get("reference", "") if isinstance(subject, dict) else ""
    return name.partition("/_history/")[0].rpartition("Patient/")[2] if "Patient/" in name else ""


def _of_every_type() -> list[Resource]:
    """Resources of the first bystander, so that the bystanders have one of every type and scale."""
    subject = {"reference": f"Patient/{BYSTANDERS[0]}"}
    drug = {"coding": [{"system": "http://www.whocc.no/atc", "code": "G04CA02"}]}
    taken = {"status": "completed", "subject": subject, "effectiveDateTime": "2012-01-01"}
    gradings = [
        {
            "resourceType": "Observation",
            "id": f"bystander-{code}",
            "status": "final",
            "subject": subject,
            "effectiveDateTime": "2012-03-25",
            "code": {"coding": [{"system": system, "code": code}]},
            "valueCodeableConcept": {
                "coding": [{"system": f"{_OWN_SYSTEMS}/{scale}", "code": grade}]
            },
        }
        for system, code, scale, grade in _GRADINGS
    ]
    return [
        *gradings,
        {
            "resourceType": "MedicationRequest",
            "id": "bystander-order",
            "status": "active",
            "intent": "order",
            "subject": subject,
            "medicationCodeableConcept": drug,
            "authoredOn": "2012-01-01",
        },
        {"resourceType": "MedicationStatement", "id": "bystander-taken", **taken}
        | {"medicationCodeableConcept": drug},
        {"resourceType": "MedicationAdministration", "id": "bystander-given", **taken}
        | {"medicationReference": {"reference": "Medication/bystander-drug"}},
        {"resourceType": "Medication", "id": "bystander-drug", "code": drug},
    ]


def _values_by_key(resources: list[Resource]) -> dict[str, list[Any]]:
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    waiting: list[Any] = list(resources)
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            for key, value in node.items():
                if len(found[key]) < 300:
                    found[key].setdefault(json.dumps(value, sort_keys=True), value)
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node
    return {key: list(values.values()) for key, values in sorted(found.items())}
