"""One resource, extracted."""

from collections.abc import Iterable
from typing import Any

from fhircryo.extract.context import Context
from fhircryo.extract.extractor import extract
from fhircryo.extract.lines import grading_labels
from fhircryo.fhir.dates import DateReader
from fhircryo.fhir.decode import decode
from fhircryo.mapping.load import Mappings, load_mappings
from fhircryo.record.assemble import Records, assemble
from fhircryo.record.collector import Retention
from fhircryo.record.items import PatientRecord
from fhircryo.runs.drivers import OneProcess
from fhircryo.sources.memory_source import MemorySource
from fhircryo.sources.source import ReadRequest
from tests.unit.inputs import Resource, line

SHIPPED = load_mappings()
LOINC, SNOMED, UCUM = "http://loinc.org", "http://snomed.info/sct", "http://unitsofmeasure.org"
ICD_10 = "http://hl7.org/fhir/sid/icd-10"
ABSENT = {
    "extension": [
        {
            "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
            "valueCode": "unknown",
        }
    ]
}


def codings(*pairs: tuple[str | None, str]) -> Resource:
    return {
        "coding": [
            {"system": system, "code": code} if system else {"code": code} for system, code in pairs
        ]
    }


def extracted(resource: Resource | bytes, mappings: Mappings = SHIPPED) -> Any:
    """The item of a resource; ``Any``: each test knows its kind."""
    kind, decoded = decode(line(resource))
    return extract(kind, decoded, Context(mappings, DateReader()))


def assembled(resources: Iterable[Resource | bytes], mappings: Mappings = SHIPPED) -> Records:
    """The records of resources in memory."""
    source = MemorySource([line(one) for one in resources])
    collected = source.collect(ReadRequest(mappings, OneProcess()))
    return assemble(collected.items, collected.facts, collected.patients)


def record(*resources: Resource | bytes, of: str = "p1") -> PatientRecord:
    """The record of a patient; his index procedure must be among the resources."""
    return assembled(resources).records[of]


def retention(wanted: frozenset[str]) -> Retention:
    return Retention(grading_labels(SHIPPED), wanted=wanted)
