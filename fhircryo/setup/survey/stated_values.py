"""What the values of Observations suggest about the code beside them: a finding, or a grading."""

from collections.abc import Iterator
from functools import lru_cache

from fhircryo.fhir.wire import Component, Observation
from fhircryo.mapping.concepts import FINDINGS, GRADINGS
from fhircryo.setup.survey.counts import CodeCounts, CodeOrText, Value, code_or_text
from fhircryo.setup.survey.search_words import Description
from fhircryo.setup.survey.suggestions import Suggester

_Stated = tuple[tuple[str, Value], ...]


class StatedValues:
    """Counts the values of Observations and components by what they suggest."""

    def __init__(self, suggester: Suggester) -> None:
        self._suggester = suggester
        self._of = lru_cache(maxsize=100_000)(self._look_up)

    def add(self, code: CodeCounts, element: Observation | Component) -> None:
        """Count the coded value of a resource or component, and what it suggests."""
        value = element.value_codeable_concept
        if value is None:
            return
        name = code_or_text(value)
        stated = self._of(name)
        for concept, found in stated:
            code.add_stated(concept, found)
        if stated:
            code.may_be |= {concept for concept, _ in stated}
        if not code.may_be.isdisjoint(FINDINGS):
            # A text is shown only if it contains a word that was looked for.
            code.add_other_element("value", {*name.codings, *(found for _, found in stated)})

    def _look_up(self, name: CodeOrText) -> _Stated:
        return tuple(self._suggested(name))

    def _suggested(self, name: CodeOrText) -> Iterator[tuple[str, Value]]:
        for system, code, display in name.codings:
            value = (system, code, display)
            description = Description.of((display,), system, code)
            for concept in self._suggester.stated_by(description):
                yield concept, value
            grading = self._suggester.graded_by(description, display)
            if grading in GRADINGS:
                yield grading, value
        if name.text:
            description = Description.of((name.text,))
            for concept in self._suggester.stated_by(description):
                yield concept, name.text
            grading = self._suggester.graded_by(description, name.text)
            if grading in GRADINGS:
                yield grading, name.text
