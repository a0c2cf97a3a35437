"""The result of a survey, in the form of `survey.json`."""

from decimal import Decimal
from typing import Any

import msgspec

from fhircryo.logs import visible_json

Number = int | Decimal


class _Row(msgspec.Struct, omit_defaults=True):
    """A part of the survey; members with a default value are left out of the JSON."""


class OtherElementRow(_Row):
    """A value of another element of the same resources, as text or as code."""

    element: str
    resources: int
    text: str = ""
    system: str = ""
    code: str = ""
    display: str = ""

    @property
    def name(self) -> str:
        """The text, or the code with its system, as it is shown."""
        return self.text or f"{self.system}|{self.code}"


class Candidate(_Row):
    """What something may be.

    ``of``: a concept, scale or instrument; ``remark``: why, or what to ask; ``status``: the
    candidate holds only for resources with one of these statuses; ``kind``: the kind of therapy;
    ``values``: the values of a finding that may state the event.
    """

    of: str
    remark: str = ""
    grade: str = ""
    status: list[str] = []
    kind: str = ""
    values: list[OtherElementRow] = []


class ResultRow(_Row):
    """One way in which results are recorded, and their unit.

    ``known``: whether PSA can be read in this unit; ``quartiles``: of the numbers, by the inclusive
    method; empty if there are too few numbers or patients.
    """

    how: str
    results: int
    unit: str = ""
    known: bool | None = None
    quartiles: list[Number] = []


class CodeRow(_Row):
    """A code, or a text without a code, in an element of a resource type.

    ``mapped``: the number of resources by the concept or instrument to which the code maps them;
    ``by_other``: the number of resources that another of their codes maps; ``in_part``: the code is
    mapped, but only under conditions that some of the resources do not meet; ``beside``: the values
    of other elements.
    """

    resource: str
    element: str
    resources: int
    patients: int
    system: str = ""
    code: str = ""
    text: str = ""
    display: str = ""
    years: list[str] = []
    mapped: dict[str, int] = {}
    by_other: int = 0
    in_part: bool = False
    candidate: Candidate | None = None
    results: list[ResultRow] = []
    beside: list[OtherElementRow] = []

    @property
    def name(self) -> str:
        """The code with its system, or the text, as it is shown."""
        if self.code:
            return f"{self.system}|{self.code}"
        return f"text {self.text!r}" if self.text else "(no code)"


class GradeRow(_Row):
    """A value in a place for grades; ``scale``, ``grade``: the grade that a run reads from it."""

    place: str
    resources: int
    system: str = ""
    code: str = ""
    text: str = ""
    display: str = ""
    scale: str = ""
    grade: str = ""
    candidate: Candidate | None = None


class PlaceRow(_Row):
    """A place in which grades may be recorded.

    ``read``: whether a run reads it; ``others``: the number of values that cannot be grades, which
    are not shown.
    """

    place: str
    resources: int
    patients: int
    read: bool
    scale: str = ""
    values: list[GradeRow] = []
    others: int = 0
    candidate: Candidate | None = None


class LinkRow(_Row):
    """A linkId: the number of answers by type, the range of the numbers, and the codes."""

    link_id: str
    answers: dict[str, int]
    numbers: list[Number] = []
    codes: list[list[str]] = []


class Fit(_Row):
    """How well a form fits a questionnaire.

    ``items``: the linkId of each item that was found; ``needed``: the number of items of the
    questionnaire; ``by_likeness``: the linkIds that are not mapped but similar. ``allowed``,
    ``other``: the number of numeric answers that the item allows, and does not allow; ``scored``,
    ``unscored``: the number of coded answers with and without a score.
    """

    questionnaire: str
    items: dict[str, str]
    needed: int
    by_likeness: list[str] = []
    allowed: int = 0
    other: int = 0
    scored: int = 0
    unscored: int = 0


class FormRow(_Row):
    """The responses to one questionnaire; without a canonical URL, those with the same linkIds."""

    responses: int
    patients: int
    canonical: str = ""
    years: list[str] = []
    known_as: list[str] = []
    links: list[LinkRow] = []
    fits: list[Fit] = []
    candidates: list[Candidate] = []


class SearchRow(_Row):
    """A search on a server, and what it returned.

    ``all``: every page was read; ``total``: the number of matches by the server; ``refused``: why
    the server refused the search.
    """

    asked: str
    pages: int = 0
    resources: int = 0
    all: bool = False
    total: int | None = None
    refused: str = ""


class Survey(_Row):
    """The survey of a source.

    ``sample``: the source is a server, of which only a sample was read, by ``searches`` and
    ``requests``; ``set_aside``: the number of resources that were counted but not surveyed, by
    reason; ``hidden_texts``: the number of resources by type whose text is not shown;
    ``unreadable_in``: what could not be read, by the file's name.
    """

    fhircryo: str
    source: str
    sample: bool
    mappings: str
    types: dict[str, int]
    patients: int
    codes: list[CodeRow] = []
    hidden_texts: dict[str, int] = {}
    grades: list[PlaceRow] = []
    forms: list[FormRow] = []
    set_aside: dict[str, int] = {}
    passed_over: list[str] = []
    unreadable: int = 0
    unreadable_in: dict[str, str] = {}
    requests: int = 0
    searches: list[SearchRow] = []

    def as_json(self) -> bytes:
        """Return the content of `survey.json`; numbers keep all their digits.

        Characters that are not visible are escape sequences, because people look at the file.
        """
        encoder = msgspec.json.Encoder(decimal_format="number")
        text = msgspec.json.format(encoder.encode(self), indent=1).decode()
        return visible_json(text).encode() + b"\n"

    @property
    def candidates(self) -> list[Any]:
        """Everything that is not mapped and may be a concept, scale or instrument."""
        found: list[Any] = [row for row in self.codes if row.candidate is not None]
        for place in self.grades:
            found += [place] if place.candidate is not None else []
            found += [one for one in place.values if one.candidate is not None]
        return [*found, *(form for form in self.forms if form.candidates)]
