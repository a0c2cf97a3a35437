"""What a survey says, as `survey.json` holds it."""

from decimal import Decimal
from typing import Any

import msgspec

Number = int | Decimal


class _Part(msgspec.Struct, omit_defaults=True):
    pass


class Candidate(_Part):
    """What something may be: a concept, scale or instrument; why, or what to ask.

    ``status``: only with one of these.
    """

    of: str
    remark: str = ""
    grade: str = ""
    status: list[str] = []


class ResultRow(_Part):
    """How results are recorded, and in which unit; ``known``: the unit can be read as PSA.

    ``quartiles``: of the numbers, by the inclusive method; none where too few.
    """

    how: str
    results: int
    unit: str = ""
    known: bool | None = None
    quartiles: list[Number] = []


class Beside(_Part):
    """What stands in another element of the same resources."""

    element: str
    resources: int
    text: str = ""
    system: str = ""
    code: str = ""


class CodeRow(_Part):
    """A code, or a text that stands alone, in an element of a type.

    ``mapped``: how many resources it gives a meaning, by meaning; ``by_other``: how many have one
    by another code; ``in_part``: it is mapped, and counts under conditions only.
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
    beside: list[Beside] = []

    @property
    def name(self) -> str:
        """How it is called."""
        if self.code:
            return f"{self.system}|{self.code}"
        return f"text {self.text!r}" if self.text else "(no code)"


class GradeRow(_Part):
    """What stands where a grade may stand; ``scale`` and ``grade``: as it is read."""

    place: str
    resources: int
    system: str = ""
    code: str = ""
    text: str = ""
    display: str = ""
    scale: str = ""
    grade: str = ""
    candidate: Candidate | None = None


class PlaceRow(_Part):
    """A place where grades may stand; ``others``: values that are none, and are not shown."""

    place: str
    resources: int
    patients: int
    read: bool
    scale: str = ""
    values: list[GradeRow] = []
    others: int = 0
    candidate: Candidate | None = None


class LinkRow(_Part):
    """A linkId: how often answered, with what."""

    link_id: str
    answers: dict[str, int]
    numbers: list[Number] = []
    codes: list[list[str]] = []


class Fit(_Part):
    """How well a form fits a questionnaire: items found of those needed, and their answers.

    ``items``: by item, the linkId; ``by_likeness``: of those, the linkIds that are not mapped.
    ``allowed`` and ``other``: answers that are numbers; ``scored`` and ``unscored``: coded ones.
    """

    questionnaire: str
    items: dict[str, str]
    needed: int
    by_likeness: list[str] = []
    allowed: int = 0
    other: int = 0
    scored: int = 0
    unscored: int = 0


class FormRow(_Part):
    """The responses to one questionnaire, or of none that is named, with the same linkIds."""

    responses: int
    patients: int
    canonical: str = ""
    years: list[str] = []
    known_as: list[str] = []
    links: list[LinkRow] = []
    fits: list[Fit] = []
    candidates: list[Candidate] = []


class SearchRow(_Part):
    """What a server was asked for, and gave; ``all``: there was no more.

    ``total``: how many it says there are. ``refused``: what it answered instead.
    """

    asked: str
    pages: int = 0
    resources: int = 0
    all: bool = False
    total: int | None = None
    refused: str = ""


class Survey(_Part):
    """All of it. ``requests`` and ``searches``: of a server, of which only a sample is read."""

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
    requests: int = 0
    searches: list[SearchRow] = []

    def as_json(self) -> bytes:
        """As it is written; numbers exact."""
        encoder = msgspec.json.Encoder(decimal_format="number")
        return msgspec.json.format(encoder.encode(self), indent=1) + b"\n"

    @property
    def candidates(self) -> list[Any]:
        """Everything that looks like ours and is not mapped."""
        found: list[Any] = [row for row in self.codes if row.candidate is not None]
        for place in self.grades:
            found += [place] if place.candidate is not None else []
            found += [one for one in place.values if one.candidate is not None]
        return [*found, *(form for form in self.forms if form.candidates)]
