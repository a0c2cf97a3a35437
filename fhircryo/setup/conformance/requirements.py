"""What is required of a server: of one that endpoints are written to, and of one that is read.

Both follow from what the commands do: the scopes that they request, and the table of the resource
types that are read.

Source: https://hl7.org/fhir/R4/capabilitystatement.html, and the same page of R5.
"""

from collections.abc import Iterable, Iterator

from fhircryo.fhir.auth.scopes import Needs
from fhircryo.fhir.connect import READING, WRITING
from fhircryo.publish.profiles import DEVICE, PROVENANCE, profile_key, profile_url
from fhircryo.setup.conformance.endpoint_profiles import value_types
from fhircryo.setup.conformance.releases import Release
from fhircryo.setup.terminology.canonical import Resource, canonical
from fhircryo.sources.resource_types import RESOURCE_TYPES, ResourceType

#: The day on which what is required changed last; FHIR wants a date, and the package no clock.
_CHANGED = "2026-11-28"
#: The interactions by the letters of SMART scopes, in the order in which they are listed.
_INTERACTIONS = {"c": "create", "r": "read", "u": "update", "s": "search-type"}
#: What a run searches a target by. https://hl7.org/fhir/R4/searchparameter-registry.html
_TARGET_SEARCHES = {
    "Observation": {"identifier": "token", "_id": "token"},
    "Device": {"identifier": "token"},
    "Provenance": {"target": "reference"},
}
_TARGET_WORDS = {
    "Observation": "Clients choose ids (update as create). Otherwise one of conditional update,"
    " conditional create or a search by identifier that finds what was written has to keep"
    " endpoints from being doubled.",
    "Device": "Written before endpoints, to see what the server honours and keeps.",
    "Provenance": "Left out where the setting write.provenance is false.",
}
_SOURCE_SEARCHES = {
    "Patient": {"_id": "token", "link": "reference"},
    "Procedure": {"code": "token"},
    "Observation": {"code": "token"},
    "Medication": {"_id": "token"},
}


def requirements(base: str, release: Release) -> list[Resource]:
    """The CapabilityStatements of a target and of a source."""
    target = _statement(
        "target",
        "A server that endpoints are written to",
        [_of_target(kind, letters, base) for kind, letters in WRITING.items()],
        base,
        release,
    )
    target["rest"][0]["interaction"] = [
        {
            "code": "transaction",
            "documentation": "The endpoints of a patient are written together; without"
            " transactions by single requests.",
        }
    ]
    source = _statement(
        "source",
        "A server that records are read from",
        [_of_source(kind, READING) for kind in RESOURCE_TYPES],
        base,
        release,
    )
    return [target, source]


def _statement(
    key: str, title: str, resources: Iterable[Resource], base: str, release: Release
) -> Resource:
    words = f"{title}: what fhircryo requires of it"
    return {
        **canonical("CapabilityStatement", f"requirements-{key}", base, title, words),
        "date": _CHANGED,
        "kind": "requirements",
        "fhirVersion": release.version,
        "format": ["json"],
        "rest": [{"mode": "server", "resource": list(resources)}],
    }


def _of_target(kind: str, letters: str, base: str) -> Resource:
    found: Resource = {"type": kind}
    profiles = {
        "Observation": [profile_key(one) for one in value_types()],
        "Provenance": [PROVENANCE],
        "Device": [DEVICE],
    }
    found["supportedProfile"] = [profile_url(key, base) for key in profiles[kind]]
    found["documentation"] = _TARGET_WORDS[kind]
    found["interaction"] = list(_interactions(letters))
    if kind == "Observation":
        found |= {"versioning": "versioned-update", "updateCreate": True}
    return found | {"searchParam": list(_parameters(_TARGET_SEARCHES[kind]))}


def _of_source(kind: ResourceType, needs: Needs) -> Resource:
    found: Resource = {"type": kind.name}
    if kind.without or kind.optional:
        wanted = "Optional" if kind.optional else "Without a search by patient"
        found["documentation"] = f"{wanted}: {kind.without}."
    found["interaction"] = list(_interactions(needs[kind.name]))
    parameters = dict.fromkeys(kind.patient_parameters[:1], "reference")
    parameters |= _SOURCE_SEARCHES.get(kind.name, {})
    return found | {"searchParam": list(_parameters(parameters))}


def _interactions(letters: str) -> Iterator[Resource]:
    return ({"code": code} for letter, code in _INTERACTIONS.items() if letter in letters)


def _parameters(named: dict[str, str]) -> Iterator[Resource]:
    return ({"name": name, "type": kind} for name, kind in named.items())
