"""The format of grading scales, as pydantic models."""

from typing import Self

from pydantic import model_validator

from fhircryo.mapping.schema import CodeRef, Key, Text, TextRef
from fhircryo.mapping.yamlfile import StrictModel


class GradeCode(CodeRef):
    """A code that states a grade."""

    grade: Text
    verified: Text


class GradeText(TextRef):
    """A text that states a grade."""

    grade: Text
    verified: Text


class Scale(StrictModel):
    """A grading scale.

    ``order``: its grades, mildest first. ``unspecified``: for a grade without subgrade (III) the
    worst grade that it may mean (IIIb). ``suffixes``: additions to a grade that are left out when
    it is read (IIIb-d). ``fatal``: the grade of a complication of which the patient died.
    """

    words: Text
    source: Text
    system: Text
    order: tuple[Text, ...]
    unspecified: dict[Text, Text] = {}
    suffixes: tuple[Text, ...] = ()
    fatal: Text
    codes: tuple[GradeCode, ...] = ()

    @model_validator(mode="after")
    def _grades_are_of_the_scale(self) -> Self:
        if len(set(self.order)) != len(self.order):
            raise ValueError("a grade occurs twice in order")
        named = [
            *self.unspecified,
            *self.unspecified.values(),
            self.fatal,
            *(c.grade for c in self.codes),
        ]
        for grade in named:
            if grade not in self.order:
                raise ValueError(f"{grade!r} is not a grade of this scale")
        return self


class GradeScales(StrictModel):
    """The scales, and the extensions that state a grade of any of them."""

    extensions: tuple[Text, ...]
    scales: dict[Key, Scale]


class GradesFile(StrictModel):
    """The file of the grading scales."""

    grades: GradeScales
