"""The form of endpoints on a server: their references to patient, evidence and Device."""

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from msgspec import UNSET, structs

from fhircryo.endpoints.result import ComponentKey
from fhircryo.fhir.urls import relative
from fhircryo.publish.patient_output import PatientOutput
from fhircryo.publish.shapes import Json, OutIdentifier, OutMeta, OutObservation, OutReference

#: The elements that are compared. A server adds others (text, meta) that are its own.
_COMPARED = (
    "category",
    "code",
    "subject",
    "partOf",
    "effectiveDateTime",
    "effectivePeriod",
    "valueQuantity",
    "valueRange",
    "valueCodeableConcept",
    "valueInteger",
    "dataAbsentReason",
    "method",
    "device",
    "derivedFrom",
    "component",
)
#: The lists whose order says nothing, so that a server may answer them in another one.
_UNORDERED = frozenset({"partOf", "derivedFrom", "component"})
#: What a server may add to an element without changing what it says. The words of a code are those
#: of its code system, and the version of that is not published.
_ADDED = frozenset({"display", "extension", "id", "userSelected"})
_CODING = frozenset({"system", "code"})
_NAMED = frozenset({"reference", "identifier"})
#: More digits before or after the point than any number has that is published.
_MOST_DIGITS = 30
#: The words after a time to event, by the code of its component ``event``.
_EVENT_WORDS = {"Y": ", event", "N": ", censored"}


@dataclass(frozen=True)
class References:
    """The kinds of reference that endpoints have on a target.

    ``subject``: by the patient's id, by type and identifier, or to the matching patient on the
    target. ``evidence``: by id, or by type and identifier. ``system``: the system of these
    identifiers, which is the base URL of the source.
    """

    subject: Literal["literal", "logical", "match"]
    evidence: Literal["literal", "logical"]
    system: str

    def to_subject(self, patient: str, matched: str = "") -> OutReference:
        """The reference to a patient (``Patient/1``), whose id on the target is ``matched``."""
        if self.subject == "match":
            return OutReference(f"Patient/{matched}")
        return OutReference(patient) if self.subject == "literal" else self._logical(patient)

    def to_evidence(self, reference: OutReference) -> OutReference:
        """The reference to a resource of the source, given the literal one of a folder."""
        ref = reference.reference or ""
        return OutReference(ref) if self.evidence == "literal" else self._logical(ref)

    def _logical(self, ref: str) -> OutReference:
        return OutReference(
            type=ref.partition("/")[0], identifier=OutIdentifier(self.system, ref), display=ref
        )


def as_on_server(
    output: PatientOutput,
    references: References,
    matched: str,
    device: OutReference | None,
    *,
    profiles: bool = True,
) -> PatientOutput:
    """A patient's resources in the form of a server: with its references, without ids.

    ``matched``: the patient's id on the target, where the subject is matched. ``profiles``: whether
    they state their profiles.
    """
    subject = references.to_subject(f"Patient/{output.patient}", matched)
    entities = [
        structs.replace(entity, what=references.to_evidence(entity.what))
        for entity in output.provenance.entity or ()
    ]
    return PatientOutput(
        output.patient,
        [
            _with_references(
                observation if profiles else _without_profile(observation),
                references,
                subject,
                device,
            )
            for observation in output.observations
        ],
        structs.replace(output.provenance, id=UNSET, entity=entities or None),
    )


def _with_references(
    observation: OutObservation,
    references: References,
    subject: OutReference,
    device: OutReference | None,
) -> OutObservation:
    def translated(found: list[OutReference] | None) -> list[OutReference] | None:
        return found and [references.to_evidence(reference) for reference in found]

    return structs.replace(
        observation,
        id=UNSET,
        subject=subject,
        part_of=translated(observation.part_of),
        derived_from=translated(observation.derived_from),
        device=device,
    )


def _without_profile(observation: OutObservation) -> OutObservation:
    return structs.replace(observation, meta=OutMeta(tag=observation.meta.tag))


def subject_id(observation: Json) -> str:
    """The id of the patient that an Observation on a server is about, whatever its reference."""
    subject = observation.get("subject") or {}
    text = subject.get("reference") or (subject.get("identifier") or {}).get("value") or ""
    return str(text).partition("/_history/")[0].rpartition("Patient/")[2]


def procedure_of(observation: Json) -> str:
    """The reference to the index procedure (``Procedure/x1``), whatever its kind; empty if none."""
    for part in observation.get("partOf") or ():
        text = part.get("reference") or (part.get("identifier") or {}).get("value") or ""
        return "/".join(str(text).partition("/_history/")[0].split("/")[-2:])
    return ""


def digest(observation: Json, base: str) -> bytes:
    """A hash of what an Observation says.

    It does not depend on the id, the version, the status, the spelling of numbers, the order of
    components and evidence, and what servers add: words of codes, display texts, extensions.

    ``base``: the base URL of the server; absolute and relative references to it are the same.
    """
    content = {key: _canonical(observation[key], base) for key in _COMPARED if key in observation}
    for key in _UNORDERED & content.keys():
        content[key].sort(key=repr)
    return hashlib.blake2b(repr(content).encode(), digest_size=16).digest()


def _canonical(value: Any, base: str) -> Any:
    """A value with sorted keys, plain numbers and relative references without a version."""
    if isinstance(value, dict):
        found = {
            key: _canonical(inner, base)
            for key, inner in sorted(value.items())
            if not _is_added(key, value)
        }
        if isinstance(found.get("reference"), str):
            reference = relative(found["reference"], base)
            found["reference"] = reference.partition("/_history/")[0]
        return found
    if isinstance(value, list):
        return [_canonical(inner, base) for inner in value]
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        number = Decimal(value)
        # Written out, 1e99999999 would fill the memory.
        return f"{number.normalize():f}" if abs(number.adjusted()) <= _MOST_DIGITS else str(number)
    return value


def _is_added(key: str, element: Json) -> bool:
    """Whether an element of an element says nothing of its own."""
    if key in _ADDED:
        return True
    if key == "version":
        return element.keys() >= _CODING
    # The type of a reference is in the reference, or in the identifier of a logical one.
    return key == "type" and bool(_NAMED & element.keys())


def name_of(observation: Json) -> str:
    """The name of an endpoint for people: its key, and its time point where it has one."""
    words = (_code(observation.get("code")), _part_code(observation, ComponentKey.TIME_POINT))
    return " ".join(filter(None, words))


def value_of(observation: Json) -> str:
    """The value, date and status of an endpoint in a few words, for people to compare."""
    period = observation.get("effectivePeriod")
    if period:
        when = f"{period.get('start', '')}..{period.get('end', '')}"
    else:
        when = observation.get("effectiveDateTime", "")
    status = f"[{observation.get('status', '?')}]"
    return " ".join(filter(None, (answer_of(observation), when, status)))


def answer_of(observation: Json) -> str:
    """The value of an endpoint, or why it is absent, in a few words; of a time also its event."""
    if "valueQuantity" in observation:
        value = _quantity_words(observation["valueQuantity"])
    elif "valueRange" in observation:
        found = observation["valueRange"]
        low, high = (found.get(bound) or {} for bound in ("low", "high"))
        value = f"{_number(low)}..{_quantity_words(high)}"
    elif "valueInteger" in observation:
        value = str(observation["valueInteger"])
    elif "valueCodeableConcept" in observation:
        value = _code(observation["valueCodeableConcept"])
    else:
        reasons = (observation.get("dataAbsentReason") or {}).get("coding") or [{}]
        return f"absent, {reasons[-1].get('code', '?')}"
    return f"{value}{_EVENT_WORDS.get(_part_code(observation, ComponentKey.EVENT), '')}"


def _quantity_words(quantity: Json) -> str:
    words = f"{quantity.get('comparator', '')}{_number(quantity)} {quantity.get('unit', '')}"
    return words.rstrip()


def _number(quantity: Json) -> str:
    return str(_canonical(quantity.get("value", "?"), ""))


def _part_code(observation: Json, part: ComponentKey) -> str:
    """The coded value of a component; empty where the endpoint has no such component."""
    for component in observation.get("component") or ():
        if _code(component.get("code")) == part:
            return _code(component.get("valueCodeableConcept"))
    return ""


def _code(concept: Any) -> str:
    codings = (concept or {}).get("coding") or [{}]
    return str(codings[0].get("code", "?"))
