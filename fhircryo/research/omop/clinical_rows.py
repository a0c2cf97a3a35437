"""The rows of the clinical tables, made from the rows of the cohort's tables.

Every maker takes a row of a cohort's table and gives rows of one table of the model without their
keys. A row without a day of its own is given only where the model's date means the date on which
something was stated, which is then the last contact: an endpoint. Events without a day are left
out, because the model's dates of episodes and deaths are those of the events.
"""

from collections.abc import Iterator
from datetime import date

from fhircryo.endpoints.catalogue import CATALOGUE
from fhircryo.mapping.load import Mappings
from fhircryo.record.items import EventKind
from fhircryo.research.cells import Row
from fhircryo.research.columns import FOLLOW_UP, NO, YES, Certainty
from fhircryo.research.omop.cdm import VALUE_LENGTH
from fhircryo.research.omop.concepts import (
    FROM_EHR,
    INDEX_TREATMENT,
    NG_PER_ML,
    NO_ANSWER_CONCEPT,
    NO_CONCEPT,
    OPERATORS,
    PSA_CONCEPT,
    TREATMENT,
    YES_CONCEPT,
    absent_code,
    complication_code,
    endpoint_code,
    episode_code,
    fitted,
    grade_code,
    is_measurement,
)
from fhircryo.research.omop.persons import Person
from fhircryo.research.table import snake

_ANSWERS = {YES: YES_CONCEPT, NO: NO_ANSWER_CONCEPT}
_UNITS = {"ng/mL": NG_PER_ML}
_NO_DAY = "day not known: dated by the last contact"
#: With these begin the codes of endpoints that are measurements: for a questionnaire's score, its
#: instrument follows.
_MEASURED = tuple(one.key for one in CATALOGUE if is_measurement(one))


class ClinicalRows:
    """Makes the rows of persons.

    ``ids``: the custom concepts by code. ``without_day``: the rows that were left out because
    their day is not known, by the table of the cohort that has them.
    """

    def __init__(self, ids: dict[str, int], mappings: Mappings) -> None:
        self._ids = ids
        self._scales = {key: snake(key) for key in mappings.scales}
        self.without_day: dict[str, int] = {}

    def psa(self, person: Person, row: Row) -> Iterator[Row]:
        """The measurement of a PSA result."""
        value, comparator = row["psa"], row["comparator"]
        yield {
            "person_id": person.number,
            "measurement_concept_id": PSA_CONCEPT,
            "measurement_date": person.on(row["days"]),
            "measurement_type_concept_id": FROM_EHR,
            "operator_concept_id": OPERATORS.get(comparator or ""),
            "value_as_number": value,
            "unit_concept_id": NG_PER_ML,
            "measurement_source_value": "psa",
            "measurement_source_concept_id": NO_CONCEPT,
            "unit_source_value": "ng/mL",
            "value_source_value": fitted(f"{comparator or ''}{value:g}"),
        }

    def measured_endpoint(self, person: Person, row: Row) -> Iterator[Row]:
        """The measurement of an endpoint that has a value; nothing for the other endpoints."""
        if row["value"] is None or not row["endpoint"].startswith(_MEASURED):
            return
        code = endpoint_code(row["endpoint"], _time_point(row))
        unit = row["unit"]
        yield {
            "person_id": person.number,
            "measurement_concept_id": NO_CONCEPT,
            "measurement_date": _stated(person, row),
            "measurement_type_concept_id": FROM_EHR,
            "operator_concept_id": OPERATORS.get(row["comparator"] or ""),
            "value_as_number": row["number"],
            "unit_concept_id": _UNITS.get(unit, NO_CONCEPT),
            "measurement_source_value": code,
            "measurement_source_concept_id": self._ids[code],
            "unit_source_value": unit,
            "value_source_value": fitted(f"{row['comparator'] or ''}{row['value']}"),
        }

    def endpoint(self, person: Person, row: Row) -> Iterator[Row]:
        """The observation of an endpoint, or of why it is absent; nothing for a measurement."""
        qualifier = row["status"] if row["days"] is not None else _NO_DAY
        made = _observed(person, _stated(person, row), qualifier)
        if row["value"] is None:
            code = absent_code(row["endpoint"], _time_point(row))
            made |= {"value_as_string": row["reason"], "value_source_value": row["reason"]}
        elif row["endpoint"].startswith(_MEASURED):
            return
        else:
            code = endpoint_code(row["endpoint"], _time_point(row))
            made |= _value(row)
        yield made | {
            "observation_source_value": code,
            "observation_source_concept_id": self._ids[code],
        }

    def adverse_event(self, person: Person, row: Row) -> Iterator[Row]:
        """The observations of an adverse event: one for each kind, and one for each grade."""
        if row["days"] is None:
            self._leave_out("adverse_events")
            return
        common = _observed(person, person.on(row["days"]), row["attribution"])
        for kind in row["kinds"].split(", "):
            code = complication_code(kind)
            yield common | self._coded(code, kind)
        for scale, column in self._scales.items():
            grade = row.get(column)
            if grade is not None:
                yield common | self._coded(grade_code(scale), grade)

    def _coded(self, code: str, value: str) -> Row:
        return {
            "value_as_string": value[:VALUE_LENGTH],
            "observation_source_value": code,
            "observation_source_concept_id": self._ids[code],
            "value_source_value": fitted(value),
        }

    def event(self, person: Person, row: Row) -> Iterator[Row]:
        """The episode of an event whose day is known; a death is none."""
        if row["kind"] == EventKind.DEATH:
            return
        if row["certainty"] != Certainty.DAY or row["days"] is None:
            self._leave_out("events")
            return
        yield self._episode(person, episode_code(row["kind"]), row["days"])

    def death(self, person: Person, row: Row) -> Iterator[Row]:
        """The death, if its day is known."""
        if row["kind"] != EventKind.DEATH:
            return
        if row["certainty"] != Certainty.DAY or row["days"] is None:
            self._leave_out("deaths")
            return
        yield {
            "person_id": person.number,
            "death_date": person.on(row["days"]),
            "death_type_concept_id": FROM_EHR,
        }

    def treatment(self, person: Person) -> Row:
        """The episode of the index treatment, on day 0."""
        return self._episode(person, INDEX_TREATMENT, 0) | {
            "episode_concept_id": TREATMENT,
            "episode_number": 1,
        }

    def _episode(self, person: Person, code: str, days: int) -> Row:
        return {
            "person_id": person.number,
            "episode_concept_id": NO_CONCEPT,
            "episode_start_date": person.on(days),
            "episode_object_concept_id": NO_CONCEPT,
            "episode_type_concept_id": FROM_EHR,
            "episode_source_value": code,
            "episode_source_concept_id": self._ids[code],
        }

    def _leave_out(self, what: str) -> None:
        self.without_day[what] = self.without_day.get(what, 0) + 1


def _time_point(row: Row) -> str:
    point = str(row["time_point"])
    return "" if point == FOLLOW_UP else point


def _observed(person: Person, on: date, qualifier: str) -> Row:
    """The fields that all observations have."""
    return {
        "person_id": person.number,
        "observation_concept_id": NO_CONCEPT,
        "observation_date": on,
        "observation_type_concept_id": FROM_EHR,
        "qualifier_source_value": qualifier,
    }


def _stated(person: Person, row: Row) -> date:
    """The date of an endpoint: its day, else the last contact, on which it was last known."""
    return person.on(person.contact if row["days"] is None else row["days"])


def _value(row: Row) -> Row:
    """The value of an endpoint.

    A time to event has the days as a number, and whether the event happened as a concept. One that
    is known only as an interval has no number, which would be read as the day of the event: its
    bounds are a text.
    """
    text, number = row["value"], row["number"]
    if row["high"] is not None:
        text, number = f"{number:g}..{row['high']:g}", None
    made: Row = {
        "value_as_number": number,
        "value_as_string": text[:VALUE_LENGTH],
        "value_as_concept_id": _ANSWERS.get(row["value"]),
        "value_source_value": fitted(text),
    }
    if row["event"] is not None:
        made["value_as_concept_id"] = YES_CONCEPT if row["event"] else NO_ANSWER_CONCEPT
    if row["unit"] is not None:
        made |= {"unit_concept_id": NO_CONCEPT, "unit_source_value": row["unit"]}
    return made
