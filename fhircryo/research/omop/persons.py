"""The persons of the model: their numbers, their dates and their years of birth."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from fhircryo.research.cells import Row
from fhircryo.research.omop.cdm import TEXT_LENGTH
from fhircryo.research.omop.concepts import FROM_EHR, MALE, NO_CONCEPT, free_number
from fhircryo.research.patient_columns import BIRTH_YEAR, INDEX_DATE, LAST_CONTACT
from fhircryo.research.stored_table import StoredTable
from fhircryo.research.table import PATIENT

#: Day 0 of every patient whose dates are not told: the model has no days from index. Before there
#: was cryoablation of the prostate, so that nobody takes it for the true date.
DAY_0 = date(1970, 1, 1)
#: The largest integer of the model, which has 32 bits.
_LARGEST = 2**31 - 1
_AGE = "age_years"


@dataclass
class Person:
    """A patient in the model.

    ``name``: the pseudonym, or the id of an identified cohort. ``day_0``: the date of the index
    procedure. ``contact``: the days from it to the last contact. ``first``, ``last``: the days
    from it to the first and the last of the rows so far.
    """

    number: int
    name: str
    born: int
    day_0: date
    contact: int
    first: int = 0
    last: int = 0

    def reaches(self, days: int) -> bool:
        """Whether the calendar, of the years 1 to 9999, has the day this many days after day 0."""
        return date.min.toordinal() <= self.day_0.toordinal() + days <= date.max.toordinal()

    def on(self, days: int) -> date:
        """The date of a row this many days after day 0; the observation period then holds it.

        The calendar has this day.
        """
        self.first, self.last = min(self.first, days), max(self.last, days)
        return self.day_0 + timedelta(days=days)


def persons_of(patients: StoredTable) -> dict[str, Person]:
    """The persons by name; without those whose year of birth is not known.

    The model's conventions leave a person without a year of birth out altogether. A number is a
    hash of the name, so that it stays the same with the same key; where two are the same, the
    name that comes later in the alphabet has the next free number.
    """
    known: dict[str, Row] = {}
    names = patients.columns.names()
    wanted = [
        PATIENT,
        _AGE,
        LAST_CONTACT,
        *(one for one in (INDEX_DATE, BIRTH_YEAR) if one in names),
    ]
    for part in patients.parts(wanted):
        known.update({row[PATIENT]: row for row in part.to_pylist() if row[_AGE] is not None})
    taken: set[int] = set()
    return {
        name: _person(free_number(name, 0, _LARGEST, taken), known[name]) for name in sorted(known)
    }


def _person(number: int, row: Row) -> Person:
    day_0 = _day(row.get(INDEX_DATE)) or DAY_0
    born = row.get(BIRTH_YEAR) or day_0.year - row[_AGE]
    contact = row[LAST_CONTACT] or 0
    person = Person(number, row[PATIENT], born, day_0, contact)
    person.last = contact if person.reaches(contact) else 0
    return person


def _day(value: Any) -> date | None:
    """The calendar date of a cell, which holds a time at midnight."""
    return None if value is None else date(value.year, value.month, value.day)


def person_rows(persons: Iterable[Person]) -> list[Row]:
    """The rows of the table PERSON.

    Sex is male because the organ that was treated is the prostate: the field is about the sex at
    birth. Race and ethnicity are not read.
    """
    return [
        {
            "person_id": person.number,
            "gender_concept_id": MALE,
            "year_of_birth": person.born,
            "race_concept_id": NO_CONCEPT,
            "ethnicity_concept_id": NO_CONCEPT,
            # An id that does not fit would be cut, and could then be that of two patients.
            "person_source_value": person.name if len(person.name) <= TEXT_LENGTH else None,
        }
        for person in persons
    ]


def period_rows(persons: Iterable[Person]) -> list[Row]:
    """The rows of OBSERVATION_PERIOD: from the first to the last date of a person's other rows."""
    return [
        {
            "observation_period_id": number,
            "person_id": person.number,
            "observation_period_start_date": person.on(person.first),
            "observation_period_end_date": person.on(person.last),
            "period_type_concept_id": FROM_EHR,
        }
        for number, person in enumerate(persons, 1)
    ]
