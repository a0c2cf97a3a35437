"""The shape that FHIR R5 gives to resources of R4, element by element.

Source: the R4-R5 mappings and the resource pages of https://hl7.org/fhir/R5.
"""

from typing import Any

Resource = dict[str, Any]

#: R4 statuses of MedicationStatement that R5 records as ``recorded``.
_TAKEN = {"active", "completed", "stopped", "on-hold"}


def as_r5(resource: Resource) -> Resource:
    """A resource of R4 (or a Bundle of them) in the shape of R5."""
    kind = resource.get("resourceType", "")
    if kind == "Bundle":
        entries = [
            entry | {"resource": as_r5(entry["resource"])} if "resource" in entry else entry
            for entry in resource.get("entry", [])
        ]
        return resource | {"entry": entries}
    change = _CHANGES.get(kind)
    return resource if change is None else change(dict(resource))


def _renamed(resource: Resource, names: dict[str, str]) -> Resource:
    return {names.get(name, name): value for name, value in resource.items()}


def _procedure(resource: Resource) -> Resource:
    return _renamed(
        resource,
        {"performedDateTime": "occurrenceDateTime", "performedPeriod": "occurrencePeriod"},
    )


def _adverse_event(resource: Resource) -> Resource:
    """R5 has no severity: what R4 puts there stands among the categories."""
    severity = resource.pop("severity", None)
    if severity is not None:
        resource["category"] = [*resource.get("category", []), severity]
    for name in ("outcome", "identifier"):
        if name in resource:
            resource[name] = [resource[name]]
    for entity in resource.get("suspectEntity", []):
        if "instance" in entity:
            entity["instanceReference"] = entity.pop("instance")
        for assessed in entity.pop("causality", [])[:1]:
            entity["causality"] = _renamed(assessed, {"assessment": "entityRelatedness"})
    resource["status"] = "completed"
    return _renamed(resource, {"event": "code", "date": "occurrenceDateTime"})


def _medicated(resource: Resource) -> Resource:
    concept = resource.pop("medicationCodeableConcept", None)
    reference = resource.pop("medicationReference", None)
    if concept is not None:
        resource["medication"] = {"concept": concept}
    elif reference is not None:
        resource["medication"] = {"reference": reference}
    return resource


def _statement(resource: Resource) -> Resource:
    if resource.get("status") in _TAKEN:
        resource["status"] = "recorded"
    return _medicated(resource)


def _administration(resource: Resource) -> Resource:
    """R5 spells the element with one r."""
    names = {"effectiveDateTime": "occurenceDateTime", "effectivePeriod": "occurencePeriod"}
    return _renamed(_medicated(resource), names)


def _questionnaire_response(resource: Resource) -> Resource:
    if isinstance(resource.get("identifier"), dict):
        resource["identifier"] = [resource["identifier"]]
    return resource


_CHANGES = {
    "Procedure": _procedure,
    "AdverseEvent": _adverse_event,
    "MedicationRequest": _medicated,
    "MedicationStatement": _statement,
    "MedicationAdministration": _administration,
    "QuestionnaireResponse": _questionnaire_response,
}
