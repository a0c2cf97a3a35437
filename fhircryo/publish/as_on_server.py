"""The form in which endpoints stand on a server: how they refer to patient, evidence and Device."""

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from fhircryo.endpoints.result import Part
from fhircryo.publish.shapes import ENCODER

Json = dict[str, Any]

#: The elements that we write; what a server adds beside them is its own.
_OURS = (
    "category",
    "code",
    "subject",
    "partOf",
    "effectiveDateTime",
    "effectivePeriod",
    "valueQuantity",
    "valueCodeableConcept",
    "valueInteger",
    "dataAbsentReason",
    "method",
    "device",
    "derivedFrom",
    "component",
)


@dataclass(frozen=True)
class References:
    """How a target is told of what endpoints stand on.

    ``subject``: a patient by his id, by type and identifier, or as the target's own;
    ``evidence``: by id or by type and identifier; ``system``: of these identifiers, the base of
    the source.
    """

    subject: Literal["literal", "logical", "match"]
    evidence: Literal["literal", "logical"]
    system: str

    def to_subject(self, patient: str, matched: str = "") -> Json:
        """The reference to a patient (``Patient/1``); ``matched``: the target's id of him."""
        if self.subject == "match":
            return {"reference": f"Patient/{matched}"}
        return {"reference": patient} if self.subject == "literal" else self._logical(patient)

    def to_evidence(self, ref: str) -> Json:
        """The reference to a resource (``Observation/1``) of the source."""
        return {"reference": ref} if self.evidence == "literal" else self._logical(ref)

    def _logical(self, ref: str) -> Json:
        return {
            "type": ref.partition("/")[0],
            "identifier": {"system": self.system, "value": ref},
            "display": ref,
        }


def as_on_server(
    observation: Json, references: References, subject: Json, device: Json | None
) -> Json:
    """An Observation of a folder as it stands on a server, without its id."""
    found = {key: value for key, value in observation.items() if key != "id"}
    found["subject"] = subject
    for element in ("partOf", "derivedFrom"):
        if element in found:
            found[element] = [references.to_evidence(one["reference"]) for one in found[element]]
    if device is None:
        found.pop("device", None)
    else:
        found["device"] = device
    return found


def owner(observation: Json) -> str:
    """Whom an Observation on a server is about: his id, by whichever kind of reference."""
    subject = observation.get("subject") or {}
    text = subject.get("reference") or (subject.get("identifier") or {}).get("value") or ""
    return str(text).rpartition("Patient/")[2]


def digest(observation: Json, base: str) -> bytes:
    """What an Observation says, hashed: whatever id, version, status and spelling of numbers.

    ``base``: of the server; a reference to it is the same with and without.
    """
    said = {key: _plain(observation[key], base) for key in _OURS if key in observation}
    return hashlib.blake2b(ENCODER.encode(said), digest_size=16).digest()


def _plain(value: Any, base: str) -> Any:
    if isinstance(value, dict):
        found = {key: _plain(inner, base) for key, inner in sorted(value.items())}
        if isinstance(found.get("reference"), str):
            reference = found["reference"].removeprefix(f"{base}/")
            found["reference"] = reference.partition("/_history/")[0]
        return found
    if isinstance(value, list):
        return [_plain(inner, base) for inner in value]
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return f"{Decimal(value).normalize():f}"
    return value


def name_of(observation: Json) -> str:
    """Which endpoint it is: its key, and the time point where it has one."""
    words = [_code(observation.get("code"))]
    for component in observation.get("component") or ():
        if _code(component.get("code")) == Part.TIME_POINT:
            words.append(_code(component.get("valueCodeableConcept")))
    return " ".join(words)


def value_of(observation: Json) -> str:
    """Its value and status in a few words, for people to compare."""
    if "valueQuantity" in observation:
        quantity = observation["valueQuantity"]
        value = f"{quantity.get('value')} {quantity.get('unit', '')}"
    elif "valueInteger" in observation:
        value = str(observation["valueInteger"])
    elif "valueCodeableConcept" in observation:
        value = _code(observation["valueCodeableConcept"])
    else:
        reasons = (observation.get("dataAbsentReason") or {}).get("coding") or [{}]
        value = f"absent, {reasons[-1].get('code', '?')}"
    period = observation.get("effectivePeriod")
    if period:
        when = f"{period.get('start', '')}..{period.get('end', '')}"
    else:
        when = observation.get("effectiveDateTime", "")
    return " ".join(filter(None, (value, when, f"[{observation.get('status', '?')}]")))


def _code(concept: Any) -> str:
    codings = (concept or {}).get("coding") or [{}]
    return str(codings[0].get("code", "?"))
