"""Concept maps from codes of other systems to the concepts, grades and endpoints of fhircryo."""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import NamedTuple

from fhircryo.endpoints.catalogue import PROM_SCORE
from fhircryo.mapping.concepts import CONCEPTS
from fhircryo.mapping.load import Mappings
from fhircryo.mapping.schema import (
    CodeRef,
    ConceptCode,
    TextRef,
)
from fhircryo.setup.terminology.canonical import Resource, canonical, url
from fhircryo.setup.terminology.descriptions import TerminologyWords, with_notices
from fhircryo.setup.terminology.nested_codes import CONDITIONS

#: https://hl7.org/fhir/R4/valueset-concept-map-equivalence.html: the target says less.
_WIDER = "wider"
_EQUIVALENT = "equivalent"
_BEGINS = "and every code that begins with this one, unless a longer one is listed"


class _CodeMapping(NamedTuple):
    """A code of another system and the target to which it maps."""

    system: str
    code: str
    target: Resource


def concept_maps(mappings: Mappings, words: TerminologyWords) -> list[Resource]:
    """Return all concept maps that map at least one code."""
    base = mappings.base
    concepts = canonical(
        "ConceptMap", "concept", base, "Codes to concepts", "What the codes of a record mean here"
    )
    scores = canonical(
        "ConceptMap", "score", base, "Codes to scores", "Codes of Observations that hold a score"
    )
    found = [
        _with_groups(concepts, _concepts(mappings), url("CodeSystem", "concept", base)),
        _with_groups(scores, _scores(mappings), url("CodeSystem", "endpoint", base)),
    ]
    for key, layered in mappings.merged.scales.items():
        title = f"Codes to {layered.scale.words} grades"
        made = canonical("ConceptMap", f"grade-{key}", base, title, title)
        grades = (
            _CodeMapping(code.system, code.code, {"code": code.grade, "equivalence": _EQUIVALENT})
            for code, _ in layered.codes
        )
        found.append(_with_groups(made, grades, layered.scale.system))
    return [
        with_notices(made, words, (group["source"] for group in made["group"]))
        for made in found
        if made["group"]
    ]


def _with_groups(made: Resource, mappings: Iterable[_CodeMapping], target: str) -> Resource:
    groups: dict[str, dict[str, list[Resource]]] = {}
    for system, code, target_code in mappings:
        # The codes of the target system itself need no mapping.
        if system != target:
            groups.setdefault(system, {}).setdefault(code, []).append(target_code)
    made["group"] = [
        {
            "source": system,
            "target": target,
            "element": [{"code": code, "target": targets} for code, targets in codes.items()],
        }
        for system, codes in groups.items()
    ]
    return made


def _concepts(mappings: Mappings) -> Iterator[_CodeMapping]:
    for key, known in CONCEPTS.items():
        for code, _ in mappings.merged.concepts[key].codes:
            for depends in _depends(code, known.resource):
                target: Resource = {"code": key, "equivalence": _WIDER}
                comments = [code.kind] if code.kind else []
                if code.descendants:
                    comments.append(_BEGINS)
                if comments:
                    target["comment"] = "; ".join(comments)
                if depends:
                    target["dependsOn"] = depends
                yield _CodeMapping(code.system, code.code, target)


def _scores(mappings: Mappings) -> Iterator[_CodeMapping]:
    for form in mappings.merged.questionnaires.by_key.values():
        for score in form.questionnaire.scores:
            target = {"code": f"{PROM_SCORE.key}-{score.key}", "equivalence": "relatedto"}
            for code in score.observations:
                yield _CodeMapping(code.system, code.code, target)


def _depends(code: ConceptCode, resource: str) -> Iterator[list[Resource]]:
    """The conditions of a code, as every combination of one value for each condition."""
    conditions = [(name, getattr(code, name)) for name in CONDITIONS if getattr(code, name)]
    for chosen in product(*(values for _, values in conditions)):
        yield [
            _depend(f"{resource}.{_element(name)}", value)
            for (name, _), value in zip(conditions, chosen, strict=True)
        ]


def _element(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)


def _depend(element: str, value: CodeRef | TextRef | str) -> Resource:
    property_ = f"http://hl7.org/fhir/{element.partition('.')[0]}#{element}"
    if isinstance(value, CodeRef):
        return {"property": property_, "system": value.system, "value": value.code}
    return {"property": property_, "value": value if isinstance(value, str) else value.text}
