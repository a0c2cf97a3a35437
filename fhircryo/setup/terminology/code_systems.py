"""The code systems of fhircryo, with all of their codes."""

from collections.abc import Iterable, Mapping

from fhircryo.endpoints.catalogue import CATALOGUE, PROM_CHANGE, PROM_SCORE
from fhircryo.endpoints.complications import NO_COMPLICATION
from fhircryo.endpoints.reason_words import WHY
from fhircryo.mapping.concepts import CONCEPTS
from fhircryo.mapping.grade_schema import (
    Scale,
)
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.protocol import Protocol, TimePoint
from fhircryo.publish.outcome import WORDS
from fhircryo.record.items import Reason
from fhircryo.setup.terminology.canonical import Resource, canonical
from fhircryo.setup.terminology.descriptions import TerminologyWords


def code_systems(
    mappings: Mappings, protocols: Iterable[Protocol], words: TerminologyWords
) -> list[Resource]:
    """Return all code systems; the one of time points holds those of ``protocols``."""
    contents: dict[str, Mapping[str, str]] = {
        "endpoint": _endpoints(mappings),
        "component": {**words.components, **_marks(mappings)},
        "time-point": _time_points(protocols),
        "category": words.categories,
        "tag": words.tags,
        "reason": {reason: WORDS.get(reason) or WHY[reason] for reason in Reason},
        "concept": {key: mappings.concepts[key].words for key in CONCEPTS},
    }
    found = [
        _code_system(key, system.title, system.words, contents[key], mappings.base)
        for key, system in words.code_systems.items()
    ]
    for scale in mappings.scales.values():
        key = scale.system.rpartition("/")[2]
        title = f"{scale.words} grades"
        description = f"Grades of complications by {scale.words}: {scale.source}; letters only"
        found.append(_code_system(key, title, description, _grades(scale, words), mappings.base))
    return found


def _code_system(
    key: str, title: str, description: str, codes: Mapping[str, str], base: str
) -> Resource:
    return {
        **canonical("CodeSystem", key, base, title, description),
        "caseSensitive": True,
        "content": "complete",
        "count": len(codes),
        "concept": [{"code": str(code), "display": display} for code, display in codes.items()],
    }


def _endpoints(mappings: Mappings) -> dict[str, str]:
    """The endpoints of the catalogue; those of questionnaires once for each instrument."""
    found: dict[str, str] = {}
    for endpoint in CATALOGUE:
        if endpoint in (PROM_SCORE, PROM_CHANGE):
            what = "score" if endpoint is PROM_SCORE else "change of the score"
            for instrument in mappings.instruments:
                found[f"{endpoint.key}-{instrument.key}"] = f"{instrument.words}: {what}"
        else:
            found[endpoint.key] = endpoint.words
    return found


def _marks(mappings: Mappings) -> dict[str, str]:
    """The marks of all instruments, which are components of the scores that carry them."""
    return {
        mark.key: mark.words for instrument in mappings.instruments for mark in instrument.marks
    }


def _time_points(protocols: Iterable[Protocol]) -> dict[str, str]:
    found: dict[str, str] = {}
    for protocol in protocols:
        for name, point in protocol.time_points.items():
            found.setdefault(name, _when(point))
    return found


def _when(point: TimePoint) -> str:
    if point.target is None:
        return "Before the index procedure"
    return f"{point.target} months after the index procedure"


def _grades(scale: Scale, words: TerminologyWords) -> dict[str, str]:
    found = {NO_COMPLICATION: words.no_grade}
    for grade in scale.order:
        more = ", not specified further" if grade in scale.unspecified else ""
        found[grade] = f"{scale.words} {grade}{more}"
    return found
