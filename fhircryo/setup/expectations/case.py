"""A case: the facts of a patient in shorthand, and the endpoints that are expected of him."""

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, StrictBool, model_validator

from fhircryo.calendar import read_day
from fhircryo.mapping.yamlfile import StrictModel
from fhircryo.setup.expectations.fhir_values import Resource
from fhircryo.setup.expectations.shorthand import SHORTHANDS
from fhircryo.setup.expectations.shorthand_line import ShorthandError

#: The day of the index procedure and the cut-off date of a case that does not say others.
D0 = "2016-01-10"
AS_OF = "2019-12-31"
#: The patient to whom the lines of a case belong.
PATIENT = "p1"
#: Somebody else in the source: whose resources keep a type from being lacking.
OTHER = "Patient/somebody-else"


def _as_words(value: Any) -> Any:
    """A number as the words that were written; a truth value stays, and is refused."""
    return value if isinstance(value, bool | dict | list) or value is None else str(value)


def _day(text: str) -> str:
    read_day(text)
    return text


#: The keys of facts.
_FACTS = {*SHORTHANDS, "d0", "death", "patient", "resources", "lacking"}

Words = Annotated[str, BeforeValidator(_as_words)]
Lines = tuple[str, ...]


class Case(StrictModel):
    """One case.

    Attributes:
        id: its name.
        say: what it shows, in a sentence.
        d0: the day of the index procedure.
        as_of: the data cut-off date.
        index: the index procedures; None: the usual one, ``x1``, on ``d0``.
        death: a date, or true for a death without one.
        patient: more elements of the Patient, or false for no Patient resource.
        resources: FHIR as it is.
        lacking: types of which the source has nothing else.
        source: a folder or the base URL of a server that is computed instead of lines.
        subject: the patient to whom the expectations belong.
        complete: every other endpoint of the patient is a failure.
        expect: the words of a result by endpoint.
        characteristics: the words of baseline characteristics by name.
        reasons: the reason for which a resource is not used, by ``Type/id``.
    """

    id: str
    say: str
    d0: str = D0
    as_of: Annotated[str, AfterValidator(_day)] = AS_OF
    index: Lines | None = None
    psa: Lines = ()
    conditions: Lines = ()
    progression: Lines = ()
    findings: Lines = ()
    causes: Lines = ()
    measures: Lines = ()
    death: str | StrictBool | None = None
    adverse_events: Lines = ()
    gradings: Lines = ()
    responses: Lines = ()
    scores: Lines = ()
    procedures: Lines = ()
    therapies: Lines = ()
    patient: dict[str, Any] | StrictBool = True
    resources: tuple[Resource, ...] = ()
    lacking: Lines = ()
    source: str | None = None
    subject: str = PATIENT
    complete: StrictBool = False
    expect: dict[str, Words] = {}
    characteristics: dict[str, Words] = {}
    reasons: dict[str, Words] = {}

    @model_validator(mode="after")
    def _check(self) -> "Case":
        if not (self.expect or self.characteristics or self.reasons):
            raise ValueError("nothing is expected: give expect, characteristics or reasons")
        own = {
            *SHORTHANDS,
            "d0",
            "death",
            "patient",
            "resources",
            "lacking",
        } & self.model_fields_set
        if self.source is not None and own:
            raise ValueError(
                f"a case with source has no facts of its own: {', '.join(sorted(own))}"
            )
        return self

    @property
    def cut_off(self) -> date:
        """The data cut-off date."""
        return read_day(self.as_of)

    def shorthand(self) -> dict[str, list[str]]:
        """The lines of the case by their key; the usual index procedure included."""
        given = {key: list(getattr(self, key) or []) for key in SHORTHANDS}
        if self.index is None:
            given["index"] = [self.d0]
        return given

    def in_source(self) -> list[Resource | bytes]:
        """All that the source holds, in the order of reading."""
        return [*self.made(), *self.resources]

    def made(self) -> Iterator[Resource]:
        """The resources that the shorthand stands for.

        Raises:
            ShorthandError: a line cannot be read.
        """
        if self.patient is not False:
            more = self.patient if isinstance(self.patient, dict) else {}
            yield {"resourceType": "Patient", "id": PATIENT} | self._deceased() | more
        given = self.shorthand()
        for key, lines in given.items():
            shift = len(given["index"]) if key == "procedures" else 0
            for number, line in enumerate(lines, shift):
                yield _resource(key, line, number)
        yield from self._others()

    def _deceased(self) -> Resource:
        if self.death is None:
            return {}
        if isinstance(self.death, bool):
            return {"deceasedBoolean": self.death}
        return {"deceasedDateTime": self.death}

    def _others(self) -> Iterator[Resource]:
        subject = {"reference": OTHER}
        if "Condition" not in self.lacking:
            yield {"resourceType": "Condition", "id": "somebody-elses", "subject": subject}
        if "AdverseEvent" not in self.lacking:
            yield {
                "resourceType": "AdverseEvent",
                "id": "somebody-elses",
                "actuality": "actual",
                "subject": subject,
            }
        if "MedicationRequest" not in self.lacking:
            yield {
                "resourceType": "MedicationRequest",
                "id": "somebody-elses",
                "status": "active",
                "intent": "order",
                "medicationCodeableConcept": {"text": "something"},
                "subject": subject,
            }


def _resource(key: str, line: str, number: int) -> Resource:
    try:
        return SHORTHANDS[key](line, number)
    except ShorthandError as error:
        raise ShorthandError(f"{key}: {error}") from None
    except (ValueError, ArithmeticError) as error:
        raise ShorthandError(f"{key}: {line!r}: cannot be read: {error}") from None
