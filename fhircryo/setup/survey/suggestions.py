"""Suggests what something in a source may be, by its names. A suggestion is never a mapping."""

from typing import NamedTuple

from fhircryo.mapping.concepts import CONCEPTS, GRADINGS
from fhircryo.mapping.load import Mappings
from fhircryo.setup.survey.search_words import (
    Description,
    SearchRules,
    SearchWords,
    load_words,
    plain,
)

_GRADING_OF = {scale: concept for concept, scale in GRADINGS.items() if scale}


class Suggestion(NamedTuple):
    """A concept, or an instrument of which it may be the score.

    ``status``: the suggestion holds only for resources with one of these statuses. ``kind``: the
    kind of therapy.
    """

    name: str
    remark: str
    status: tuple[str, ...]
    kind: str = ""


class Suggester:
    """Compares names with the search words; it suggests only what the mappings know."""

    def __init__(self, mappings: Mappings, words: SearchWords | None = None) -> None:
        self.words = words or load_words()
        self._mappings = mappings
        totals = {one.key for one in mappings.instruments if one.total is not None}
        self._scores = {key: one for key, one in self.words.instruments.items() if key in totals}

    def suggestions(self, kind: str, element: str, description: Description) -> list[Suggestion]:
        """Return what a code or text in an element of a resource type may be, likeliest first."""
        place = (kind, "code" if element == "component" else element)
        found = []
        for key, rules in self.words.concepts.items():
            if CONCEPTS[key].is_read_from(*place):
                found += _suggestions(key, rules, description)
        if place == ("Observation", "code") and element != "component":
            for key, rules in self._scores.items():
                found += _suggestions(key, rules, description)
        if element == "component" and not found:
            grading = _GRADING_OF.get(self.words.scale_of(description.words))
            if grading:
                found.append(Suggestion(grading, "", ()))
        return found

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
        """Return the grade of a scale that a text or code spells; empty if it spells none."""
        return self.words.grade_of(plain(text), scale, self._mappings.scales[scale].order)


def _suggestions(key: str, rules: SearchRules, description: Description) -> list[Suggestion]:
    return [
        Suggestion(key, rule.remark, rule.status, rule.kind)
        for rule in rules.rules
        if rule.matches(description)
    ]
