"""The FHIR Measure of disease-free at the landmark, whose populations are searches of a server.

A server that holds published endpoints can be asked for each population by its criteria. Source:
https://hl7.org/fhir/R4/measure.html; codes: https://terminology.hl7.org/CodeSystem-measure-scoring.html,
.../CodeSystem-measure-type.html, .../CodeSystem-measure-population.html and
.../CodeSystem-measure-improvement-notation.html
"""

from enum import StrEnum
from typing import Any

from fhircryo.endpoints.catalogue import DISEASE_FREE
from fhircryo.endpoints.labels import label
from fhircryo.mapping.protocol import Protocol
from fhircryo.publish.observation_maker import YES_NO

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
#: The program's name; it is also the publisher of its other canonical resources.
_PUBLISHER = "fhircryo"
Resource = dict[str, Any]


class Population(StrEnum):
    """The populations of the measure, as the code system of measure populations names them."""

    INITIAL = "initial-population"
    DENOMINATOR = "denominator"
    EXCLUDED = "denominator-exclusion"
    NUMERATOR = "numerator"


class Stratifier(StrEnum):
    """What the measure is divided by."""

    YEAR = "year of treatment"
    REASON = "reason of exclusion"


_WORDS = {
    Population.INITIAL: "Every patient of the cohort",
    Population.DENOMINATOR: "Every patient of the cohort",
    Population.EXCLUDED: "Patients of whom it is not known whether they were disease-free",
    Population.NUMERATOR: "Patients who were disease-free at the landmark",
}
_STRATIFIERS = {
    Stratifier.YEAR: "The calendar year of the index procedure",
    Stratifier.REASON: "Why it is not known whether a patient was disease-free",
}


def measure_url(protocol: Protocol, base: str) -> str:
    """The canonical URL of a protocol's measure, without its version."""
    return f"{base}/Measure/{measure_id(protocol)}"


def measure_id(protocol: Protocol) -> str:
    """The id of a protocol's measure; an id has at most 64 characters."""
    return f"disease-free-{protocol.id}"[:64]


def concept(system: str, code: str) -> Resource:
    """A concept of a code system of HL7 Terminology."""
    return {"coding": [{"system": f"{_TERMINOLOGY}/{system}", "code": code}]}


def population_code(population: Population) -> Resource:
    """The code of a population."""
    return concept("measure-population", population)


def stratifier_code(stratifier: Stratifier) -> Resource:
    """The code of a stratifier: a text, since there is no code system that has it."""
    return {"text": str(stratifier)}


def measure(protocol: Protocol, base: str) -> Resource:
    """The Measure of disease-free at a protocol's landmark; ``base``: of canonical URLs."""
    words = label(DISEASE_FREE, protocol)
    return {
        "resourceType": "Measure",
        "id": measure_id(protocol),
        "url": measure_url(protocol, base),
        "version": protocol.version,
        "name": "FhircryoDiseaseFree",
        "title": words,
        "status": "active",
        "experimental": False,
        "publisher": _PUBLISHER,
        "description": f"{words}, of the patients of whom it is known. Protocol: {protocol.title}.",
        "scoring": concept("measure-scoring", "proportion"),
        "type": [concept("measure-type", "outcome")],
        "improvementNotation": concept("measure-improvement-notation", "increase"),
        "group": [
            {
                "population": [_population(one, base) for one in Population],
                "stratifier": [
                    {"code": stratifier_code(one), "description": _STRATIFIERS[one]}
                    for one in Stratifier
                ],
            }
        ],
    }


def _population(population: Population, base: str) -> Resource:
    """A population, with the search for its patients' Observations."""
    search = (
        f"Observation?code={base}/CodeSystem/endpoint|{DISEASE_FREE.key}"
        "&status=final,amended,preliminary"
    )
    if population is Population.NUMERATOR:
        search += f"&value-concept={YES_NO}|Y"
    elif population is Population.EXCLUDED:
        search += "&value-concept:missing=true"
    return {
        "code": population_code(population),
        "description": _WORDS[population],
        "criteria": {"language": "application/x-fhir-query", "expression": search},
    }
