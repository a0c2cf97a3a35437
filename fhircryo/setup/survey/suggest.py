"""What something of a site may be, by its names: suggested, never mapped."""

from typing import NamedTuple

from fhircryo.mapping.concepts import CONCEPTS, GRADINGS
from fhircryo.mapping.load import Mappings
from fhircryo.setup.survey.search_words import Listed, Said, Words, load_words, plain

_GRADING_OF = {scale: concept for concept, scale in GRADINGS.items() if scale}


class Suggestion(NamedTuple):
    """A concept, or the instrument whose score it may be; ``status``: only with one of these."""

    what: str
    score: bool
    remark: str
    status: tuple[str, ...]


class Suggester:
    """Compares names with the words, under the mappings of a run."""

    def __init__(self, mappings: Mappings, words: Words | None = None) -> None:
        self.words = words or load_words()
        self._mappings = mappings
        totals = {one.key for one in mappings.instruments if one.total is not None}
        self._scores = {key: one for key, one in self.words.instruments.items() if key in totals}

    def of(self, kind: str, element: str, said: Said) -> list[Suggestion]:
        """What something that stands in an element of a type may be, the likeliest first."""
        place = (kind, "code" if element == "component" else element)
        found = []
        for key, listed in self.words.concepts.items():
            if CONCEPTS[key].is_read_from(*place):
                found += _suggested(key, listed, said, score=False)
        if place == ("Observation", "code") and element != "component":
            for key, listed in self._scores.items():
                found += _suggested(key, listed, said, score=True)
        if element == "component" and not found:
            grading = _GRADING_OF.get(self.words.scale_of(said.words))
            if grading:
                found.append(Suggestion(grading, False, "", ()))
        return found

    def forms(self, names: list[str]) -> frozenset[str]:
        """The questionnaires that a form may be by its canonical and linkIds."""
        said = Said.of(names)
        return frozenset(
            key
            for key, listed in self.words.instruments.items()
            if key in self._mappings.merged.questionnaires.by_key
            and any(rule.holds(said) for rule in listed.rules)
        )

    def scale(self, name: str) -> str:
        """The scale that a text, code or URL names where a grade may stand; empty: none."""
        return self.words.scale_of(plain(name))

    def grade(self, text: str, scale: str) -> str:
        """The grade of a scale that a text or code spells; empty: none."""
        return self.words.grade_of(plain(text), scale, self._mappings.scales[scale].order)


def _suggested(key: str, listed: Listed, said: Said, *, score: bool) -> list[Suggestion]:
    return [
        Suggestion(key, score, rule.remark, rule.status)
        for rule in listed.rules
        if rule.holds(said)
    ]
