"""Suggests what something in a source may be, by its code and names. It never maps."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fhircryo.mapping.code_index import CodeEntry
from fhircryo.mapping.concepts import CONCEPTS, GRADINGS, SCORE
from fhircryo.mapping.load import Mappings
from fhircryo.setup.survey.known_codes import KnownCode, KnownCodes
from fhircryo.setup.survey.search_words import (
    Description,
    SearchRules,
    SearchWords,
    load_words,
    plain,
)

_GRADING_OF = {scale: concept for concept, scale in GRADINGS.items() if scale}
#: The concept that a code means in an Observation, by what it means in a Condition.
_FINDING_OF = {
    "metastasis": "metastasis-finding",
    "metastasis-unclear-site": "metastasis-finding",
    "nodal-recurrence": "nodal-recurrence-finding",
    "local-recurrence": "local-recurrence-finding",
}
_CONDITION_OF = {
    finding: condition
    for condition, finding in _FINDING_OF.items()
    if finding.removesuffix("-finding") == condition
}


class Suggestion(NamedTuple):
    """A concept, or an instrument of which it may be the score.

    ``status``: the suggestion holds only for resources with one of these statuses. ``kind``: the
    kind of therapy.
    """

    name: str
    remark: str
    status: tuple[str, ...] = ()
    kind: str = ""


def is_looked_for(kind: str, element: str, concept: str) -> bool:
    """Return whether a run looks for a concept in this element of this resource type."""
    if concept == SCORE:
        return (kind, element) == ("Observation", "code")
    if element == "component":
        # Components are read for what they state, and for the grades of their Observation.
        return concept in GRADINGS or CONCEPTS[concept].is_read_from(kind, "component.code")
    return CONCEPTS[concept].is_read_from(kind, element)


class Suggester:
    """Compares codes and names with the mappings and the search words."""

    def __init__(self, mappings: Mappings, words: SearchWords | None = None) -> None:
        self.words = words or load_words()
        self.known = KnownCodes(mappings, self.words)
        self._mappings = mappings
        totals = {one.key for one in mappings.instruments if one.total is not None}
        self._scores = {key: one for key, one in self.words.instruments.items() if key in totals}

    def suggestions(self, kind: str, element: str, description: Description) -> list[Suggestion]:
        """Return what a code or text in an element of a resource type may be, likeliest first.

        What holds only with some status comes first, then what the mappings know the code as under
        another name of its system, then what the words say.
        """
        known = list(self._known(description))
        concepts = {entry.concept for _, entry in known}
        of_status: list[Suggestion] = []
        found: list[Suggestion] = []
        for key, rules in self.words.concepts.items():
            if is_looked_for(kind, element, key):
                for one in _suggestions(key, rules, description, concepts):
                    (of_status if one.status else found).append(one)
        if (kind, element) == ("Observation", "code"):
            for key, rules in self._scores.items():
                found += _suggestions(key, rules, description, concepts)
        if element == "component" and not found:
            grading = _GRADING_OF.get(self.words.scale_of(description.words))
            if grading:
                found.append(Suggestion(grading, ""))
        by_code = [one for code, entry in known for one in _by_code(kind, element, code, entry)]
        return [*of_status, *by_code, *found]

    def _known(self, description: Description) -> Iterator[tuple[KnownCode | None, CodeEntry]]:
        """What the mappings know a code as; None: under exactly this system and code."""
        if not description.code:
            return
        for entry in self._mappings.meanings(description.system, description.code):
            yield None, entry
        for code in self.known.same(description.system, description.code):
            for entry in self._mappings.meanings(code.system, code.code):
                yield code, entry

    def stated_by(self, description: Description) -> frozenset[str]:
        """Return the findings that a value may state, whatever the code beside it."""
        found = {
            key
            for key, rules in self.words.concepts.items()
            if any(rule.matches(description) for rule in rules.values)
        }
        found |= {
            _FINDING_OF[entry.concept]
            for _, entry in self._known(description)
            if entry.concept in _FINDING_OF
        }
        return frozenset(found)

    def graded_by(self, description: Description, text: str) -> str:
        """Return the concept of Observations that have such a value, if it is a grade.

        ``text``: the display or text of the value; one without a code must name the scale.
        """
        entry = self._mappings.grades.get((description.system, description.code))
        if entry is None:
            same = self.known.same(description.system, description.code)
            codes = (self._mappings.grades.get(code) for code in same)
            entry = next(filter(None, codes), None) if description.code else None
        scale = entry.scale if entry is not None else self.words.scale_of(plain(text), short=False)
        if not scale or (entry is None and not self.grade(text, scale)):
            return ""
        return _GRADING_OF[scale]

    def questionnaires(self, names: list[str]) -> frozenset[str]:
        """Return the questionnaires that a form may be, by its canonical URL and linkIds."""
        description = Description.of(names)
        return frozenset(
            key
            for key, rules in self.words.instruments.items()
            if key in self._mappings.merged.questionnaires.by_key
            and any(rule.matches(description) for rule in rules.rules)
        )

    def scale(self, name: str) -> str:
        """Return the grading scale that a text, code or URL names; empty if it names none."""
        return self.words.scale_of(plain(name))

    def grade(self, text: str, scale: str) -> str:
        """Return the grade of a scale that a text or code spells; empty if it spells none.

        A suffix of the scale is left out, as when a grade is read.
        """
        of, words = self._mappings.scales[scale], plain(text)
        spelt = [words, *(words.removesuffix(f" {suffix}") for suffix in of.suffixes)]
        found = (self.words.grade_of(one, scale, of.order) for one in spelt)
        return next(filter(None, found), "")


def _suggestions(
    key: str, rules: SearchRules, description: Description, known: set[str]
) -> list[Suggestion]:
    return [
        Suggestion(key, rule.remark, rule.status, rule.kind)
        for rule in rules.rules
        if rule.matches(description, known)
    ]


def _by_code(
    kind: str, element: str, code: KnownCode | None, entry: CodeEntry
) -> Iterable[Suggestion]:
    """What a known code may mean here."""
    here = entry.concept
    words = f"it may be {code.system}|{code.code}, which is mapped" if code is not None else ""
    if not is_looked_for(kind, element, here):
        here = (_FINDING_OF if kind == "Observation" else _CONDITION_OF).get(here, "")
        of = "a Condition" if kind == "Observation" else "an Observation"
        words = f"as the code of {of} it is {entry.concept}"
        if not here or not is_looked_for(kind, element, here):
            return
    elif code is None:
        return
    elif entry.conditions:
        elements = " and ".join(condition.element for condition in entry.conditions)
        words += f" with some values of {elements}"
    name = entry.of if entry.concept == SCORE else here
    yield Suggestion(name, words, kind=entry.kind)
