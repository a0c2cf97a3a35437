"""An endpoint in words: its value, and the reasons for it."""

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

from fhircryo.calendar import Span
from fhircryo.endpoints.catalogue import (
    BIOCHEMICAL_FAILURE,
    DISEASE_FREE_SURVIVAL,
    METASTASIS_FREE_SURVIVAL,
    TECHNICAL_SUCCESS,
    Endpoint,
)
from fhircryo.endpoints.events import Event
from fhircryo.endpoints.patient_course import PatientCourse
from fhircryo.endpoints.patient_endpoints import PatientEndpoints
from fhircryo.endpoints.reason_words import WHY
from fhircryo.endpoints.result import (
    PART_UNITS,
    ComponentKey,
    Evidence,
    Result,
    ResultComponent,
    Role,
)
from fhircryo.publish.shapes import ENCODER, number
from fhircryo.setup.explanation_psa import failure_words


@dataclass(frozen=True)
class EndpointExplanation:
    """An endpoint in words; ``effective``: its day or period, ``because``: the reasons."""

    endpoint: str
    time_point: str
    value: str
    status: str
    effective: str
    because: list[str]


def endpoint_explanation(result: Result, computed: PatientEndpoints) -> EndpointExplanation:
    """The explanation of a result of a patient."""
    return EndpointExplanation(
        endpoint=result.code,
        time_point=result.time_point,
        value=_value(result),
        status="final" if result.final else "preliminary",
        effective=_effective(result),
        because=_because(result, computed),
    )


def plain(value: object) -> str:
    """A value as text; a number as it is published."""
    if isinstance(value, Decimal | Fraction):
        return ENCODER.encode(number(value)).decode()
    return str(value)


#: The endpoints of which a late death is no event.
_DEATH_MAY_BE_LATE: frozenset[Endpoint] = frozenset(
    {DISEASE_FREE_SURVIVAL, METASTASIS_FREE_SURVIVAL}
)
#: The words of components that are yes or no.
_YES_NO_WORDS: dict[tuple[str, bool], str] = {
    (ComponentKey.PSA_RESPONSE, True): "psa-response Y: PSA fell below the baseline PSA",
    (ComponentKey.PSA_RESPONSE, False): "psa-response N: PSA never fell below the baseline PSA",
    (ComponentKey.HORMONE_THERAPY_AT_INDEX, True): "hormone-therapy-at-index: it lowers PSA",
}


def _value(result: Result) -> str:
    value, value_type = result.value, result.endpoint.value_type
    if value is None:
        return f"absent ({result.absent}: {result.reason})"
    if isinstance(value, bool):
        return "Y" if value else "N"
    high = f" .. {result.high}" if result.high is not None else ""
    words = f"{result.comparator}{plain(value)}{high} {value_type.unit_words}".rstrip()
    if value_type.is_time_to_event:
        words += ", event" if _is_event(result) else ", censored"
    return words


def _is_event(result: Result) -> bool:
    return any(part.part == ComponentKey.EVENT and part.value for part in result.components)


def _effective(result: Result) -> str:
    if not result.period:
        return result.start.isoformat()
    return f"{result.start} .. {result.end or ''}".strip()


def _because(result: Result, computed: PatientEndpoints) -> list[str]:
    """The rule, the reason of absence, the components and the evidence, each a line."""
    course = computed.course
    lines = []
    if result.endpoint is BIOCHEMICAL_FAILURE:
        rule = course.protocol.biochemical_failure
        lines.append(f"{rule.definition.capitalize()}: nadir + {plain(rule.rise)} ng/mL")
        lines += failure_words(course.psa)
    if result.reason is not None:
        lines.append(WHY.get(result.reason, str(result.reason)))
    lines += _death_words(result, course)
    roles = {str(evidence.role) for evidence in result.evidence}
    for component in result.components:
        part = component.part
        if part not in (ComponentKey.EVENT, ComponentKey.TIME_POINT) and str(part) not in roles:
            lines.append(_component_words(component))
    possible = {event.ref: event for event in _possible_events(course)}
    limits = {str(part.part): part.comparator for part in result.components}
    limits[Role.NADIR] = limits.get(Role.NADIR) or result.comparator
    lines += (_evidence_words(evidence, possible, limits) for evidence in result.evidence)
    if not lines and result.endpoint is TECHNICAL_SUCCESS:
        lines.append(f"index procedure {computed.line.index.ref}")
    return lines or ["nothing recorded that would say otherwise"]


def _possible_events(course: PatientCourse) -> list[Event]:
    return [*course.events.possible, *course.therapies.possible, *course.failures.possible]


def _death_words(result: Result, course: PatientCourse) -> list[str]:
    """Why a death is no event of a time that is censored."""
    death, endpoint = course.death, result.endpoint
    censored = result.value is not None and not _is_event(result)
    if death is None or not censored or endpoint not in _DEATH_MAY_BE_LATE:
        return []
    months = course.protocol.survival.death_gap_months
    return [
        f"the death is no event here: it came more than {months} months after the day of censoring,"
        " in which nobody looked"
    ]


def _component_words(component: ResultComponent) -> str:
    value, part = component.value, component.part
    if isinstance(value, Span):
        when = str(value.first) if value.precise else f"one day of {value.first}..{value.last}"
        return f"{part} since {when}: PSA after it may be lowered"
    if isinstance(value, bool):
        return _YES_NO_WORDS.get((part, value)) or f"{part}: {'Y' if value else 'N'}"
    unit = next((unit for key, unit in PART_UNITS.items() if key == part), "")
    # A UCUM annotation such as {score} has no meaning for a reader.
    number_words = f"{component.comparator}{plain(value)}"
    return f"{part} {number_words} {'' if unit.startswith('{') else unit}".rstrip()


def _evidence_words(evidence: Evidence, possible: dict[str, Event], limits: dict[str, str]) -> str:
    """A resource that a result rests on.

    ``possible``: the possible events, by resource. ``limits``: the comparator of a value that is
    only a limit, by the role of the evidence.
    """
    value = "" if evidence.value in ("", evidence.role) else plain(evidence.value)
    value = f" {limits.get(evidence.role, '')}{value}" if value else ""
    if isinstance(evidence.value, Decimal):
        value += " ng/mL"
    event = possible.get(evidence.ref) if evidence.role is Role.VAGUE_EVENT else None
    why = f", {event.reason}" if event is not None else ""
    when = f", {evidence.day}" if evidence.day else ""
    return f"{evidence.role}{value}{why} ({evidence.ref}{when})"
