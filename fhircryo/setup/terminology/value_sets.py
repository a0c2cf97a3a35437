"""Value sets: the codes of each concept and of each grading scale, and those of endpoints.

Codes of other systems are included without their displays.
"""

import re
from collections.abc import Iterable

from fhircryo.endpoints.catalogue import CATALOGUE
from fhircryo.endpoints.result import Absent
from fhircryo.endpoints.value_types import ValueForm, ValueType
from fhircryo.mapping.concepts import CONCEPTS, SCALES
from fhircryo.mapping.load import Mappings
from fhircryo.publish.observation_maker import DATA_ABSENT, YES_NO
from fhircryo.publish.profiles import profile_key
from fhircryo.setup.terminology.canonical import Resource, canonical, url
from fhircryo.setup.terminology.descriptions import TerminologyWords, with_notices
from fhircryo.setup.terminology.nested_codes import CONDITIONS, AnyCode, nested_codes

#: The statuses of published endpoints: https://hl7.org/fhir/R4/codesystem-observation-status.html
_STATUS = "http://hl7.org/fhir/observation-status"
_STATUSES = ("preliminary", "final", "amended", "entered-in-error")


def concept_key(concept: str) -> str:
    """Return the id of the value set of a concept."""
    return f"concept-{concept}"


def grade_key(scale: str) -> str:
    """Return the id of the value set of a scale's grades."""
    return f"grade-{scale}"


def value_sets(mappings: Mappings, words: TerminologyWords) -> list[Resource]:
    """Return all value sets that hold at least one code."""
    found = [_concept(key, mappings) for key in CONCEPTS]
    found += [_grades(key, mappings) for key in sorted(SCALES)]
    for key, system in words.code_systems.items():
        made = canonical("ValueSet", key, mappings.base, system.title, system.words)
        include = [{"system": url("CodeSystem", key, mappings.base)}]
        found.append({**made, "compose": {"include": include}})
    yes_no = canonical(
        "ValueSet", "yes-no", mappings.base, "Yes or no", "Values of endpoints that are yes or no"
    )
    include = [_include(YES_NO, ["Y", "N"])]
    found.append({**yes_no, "compose": {"include": include}})
    found += _published(mappings)
    filled = [one for one in found if one["compose"]["include"]]
    return [
        with_notices(made, words, (one["system"] for one in made["compose"]["include"]))
        for made in filled
    ]


def _published(mappings: Mappings) -> list[Resource]:
    """What the profiles of published endpoints are bound to, other than whole code systems."""
    base = mappings.base
    found = []

    def add(key: str, words: str, *include: Resource) -> None:
        made = canonical("ValueSet", key, base, words, words)
        found.append({**made, "compose": {"include": list(include)}})

    add("endpoint-status", "Statuses of published endpoints", _include(_STATUS, _STATUSES))
    reasons = {"system": url("CodeSystem", "reason", base)}
    absent = _include(DATA_ABSENT, Absent)
    add("endpoint-absent", "Kinds of absence, and the reasons beside them", absent, reasons)
    scales = dict.fromkeys(one.scale for one in CATALOGUE if one.value_type.form is ValueForm.GRADE)
    own = [{"system": mappings.scales[scale].system} for scale in scales]
    foreign = [one for scale in scales for one in _foreign_grades(scale, mappings)]
    words = "Grades of all scales and systems, and that there is no complication"
    add("endpoint-grade-value", words, *own, *foreign)
    codes: dict[ValueType, list[str]] = {}
    instruments = [one.key for one in mappings.instruments]
    for endpoint in CATALOGUE:
        keys = instruments if endpoint.per_instrument else [""]
        codes.setdefault(endpoint.value_type, []).extend(endpoint.code(key) for key in keys)
    for value_type, listed in codes.items():
        include = _include(url("CodeSystem", "endpoint", base), listed)
        add(profile_key(value_type), f"Endpoints of the type: {value_type.words}", include)
    return found


def _concept(key: str, mappings: Mappings) -> Resource:
    layered = mappings.merged.concepts[key]
    codes = [code for code, _ in layered.codes]
    description = layered.words
    limited = sorted({one.code for one in codes if any(getattr(one, c) for c in CONDITIONS)})
    if limited:
        description += f". Only under conditions: {', '.join(limited)}"
    if layered.texts:
        description += f". In addition, {len(layered.texts)} texts, which a value set cannot hold"
    made = canonical("ValueSet", concept_key(key), mappings.base, layered.words, description)
    compose = {"include": _includes(codes, mappings)}
    excluded: list[AnyCode] = [code for code, _ in layered.withdrawn]
    excluded += nested_codes(key, mappings)
    if excluded:
        compose["exclude"] = _includes(excluded, mappings)
    return {**made, "compose": compose}


def _grades(key: str, mappings: Mappings) -> Resource:
    """The grades of a scale: first its own codes, then those of other systems."""
    layered = mappings.merged.scales[key]
    scale = layered.scale
    title = f"{scale.words}: grades, of all systems"
    made = canonical("ValueSet", grade_key(key), mappings.base, title, title)
    include = [_include(scale.system, scale.order), *_foreign_grades(key, mappings)]
    return {**made, "compose": {"include": include}}


def _foreign_grades(key: str, mappings: Mappings) -> list[Resource]:
    """The grades of a scale as other systems code them."""
    codes = [code for code, _ in mappings.merged.scales[key].codes]
    return [
        _include(system, [code.code for code in codes if code.system == system])
        for system in dict.fromkeys(code.system for code in codes)
    ]


def _includes(codes: Iterable[AnyCode], mappings: Mappings) -> list[Resource]:
    """The codes by system: one list of whole codes, and one pattern of all prefixes.

    A system is named by its URL: FHIR allows no OID of a system that has one.
    """
    found = []
    listed = [code for code in codes if code.system not in mappings.merged.systems.oids]
    for system in dict.fromkeys(code.system for code in listed):
        of_system = [code for code in listed if code.system == system]
        exact = dict.fromkeys(code.code for code in of_system if not code.descendants)
        if exact:
            found.append(_include(system, exact))
        prefixes = dict.fromkeys(code.code for code in of_system if code.descendants)
        if prefixes:
            undotted = system in mappings.merged.systems.undotted
            found.append(_prefixes(system, prefixes, undotted=undotted))
    return found


def _include(system: str, codes: Iterable[str]) -> Resource:
    return {"system": system, "concept": [{"code": code} for code in codes]}


def _prefixes(system: str, codes: Iterable[str], *, undotted: bool) -> Resource:
    """Include every code that begins with one of these.

    ``undotted``: codes of the system are compared without their dots.
    """
    dot = r"\.?" if undotted else r"\."
    patterns = [re.escape(code).replace(r"\.", dot) for code in codes]
    value = f"({'|'.join(patterns)}).*" if len(patterns) > 1 else f"{patterns[0]}.*"
    return {"system": system, "filter": [{"property": "code", "op": "regex", "value": value}]}
