"""The elements of differentials: what a profile says of an element of a resource."""

from typing import Any

from fhircryo.setup.terminology.canonical import Resource

_DEFINITIONS = "http://hl7.org/fhir/StructureDefinition"
#: Slices are told apart by the value of an element.
BY_VALUE = "value"
#: Slices are told apart by the type of a value.
BY_TYPE = "type"


def element(name: str, short: str, **more: Any) -> Resource:
    """An element of a differential.

    ``name``: its id, such as ``Observation.component:event.code``; the path follows from it.
    ``more``: the other parts of the ElementDefinition.
    """
    parts = [part.partition(":") for part in name.split(".")]
    found: Resource = {"id": name, "path": ".".join(part[0] for part in parts)}
    if parts[-1][2]:
        found["sliceName"] = parts[-1][2]
    return {**found, "short": short, **more}


def sliced(by: str, path: str) -> Resource:
    """The slicing of an element whose slices are told apart by what stands at a path."""
    return {
        "discriminator": [{"type": by, "path": path}],
        "ordered": False,
        "rules": "open",
    }


def coded(system: str, code: str) -> Resource:
    """A CodeableConcept with one coding, as a pattern."""
    return {"coding": [{"system": system, "code": code}]}


def bound(value_set: str) -> Resource:
    """The binding to a value set, out of which one coding has to be."""
    return {"strength": "required", "valueSet": value_set}


def references(*kinds: str) -> list[Resource]:
    """The type of an element that refers to resources of some types."""
    return [{"code": "Reference", "targetProfile": [f"{_DEFINITIONS}/{kind}" for kind in kinds]}]


def types(*names: str) -> list[Resource]:
    """The data types of an element."""
    return [{"code": name} for name in names]


def constraint(key: str, human: str, expression: str) -> Resource:
    """A rule in FHIRPath that no instance may break."""
    return {
        "key": f"fhircryo-{key}",
        "severity": "error",
        "human": human,
        "expression": expression,
    }
