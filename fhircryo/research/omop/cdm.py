"""The tables of the OMOP Common Data Model 5.4 that are written, with all of their fields.

Source: https://ohdsi.github.io/CommonDataModel/cdm54.html; fields, their order and which of them
are required: https://github.com/OHDSI/CommonDataModel, inst/csv/OMOP_CDMv5.4_Field_Level.csv.
"""

from fhircryo.research.table import Column, ColumnType, Table

#: The length of most texts. A longer one would be refused by the database.
TEXT_LENGTH = 50
#: The length of a text that is a value (``observation.value_as_string``), and of a concept's name.
VALUE_LENGTH, NAME_LENGTH = 60, 255

#: The fields that are numbers, and those that are whole numbers without being the key of a row.
_NUMBERS = frozenset({"value_as_number", "range_low", "range_high"})
_COUNTS = frozenset({"year_of_birth", "month_of_birth", "day_of_birth", "episode_number"})
#: The keys that are texts.
_TEXT_KEYS = frozenset({"domain_id", "vocabulary_id", "concept_class_id"})


def _table(name: str, words: str, fields: str) -> Table:
    """A table by its fields, one word each; ``!``: required.

    It has the fields that no cohort fills too, so that a file has all columns of its table.
    """
    columns = [
        Column(field.rstrip("!"), _type(field.rstrip("!")), "", required=field.endswith("!"))
        for field in fields.split()
    ]
    return Table(name, words, tuple(columns), (columns[0].name,))


def _type(field: str) -> ColumnType:
    """The type of a field, which follows from its name."""
    if field.endswith(("_date", "_datetime")):
        return ColumnType.DATE
    if field in _NUMBERS:
        return ColumnType.NUMBER
    if field in _COUNTS or (field.endswith("_id") and field not in _TEXT_KEYS):
        return ColumnType.INTEGER
    return ColumnType.TEXT


PERSON = _table(
    "person",
    "The patients of the cohort",
    """
    person_id! gender_concept_id! year_of_birth! month_of_birth day_of_birth birth_datetime
    race_concept_id! ethnicity_concept_id! location_id provider_id care_site_id
    person_source_value gender_source_value gender_source_concept_id race_source_value
    race_source_concept_id ethnicity_source_value ethnicity_source_concept_id
    """,
)
OBSERVATION_PERIOD = _table(
    "observation_period",
    "From the first to the last date of a patient",
    """
    observation_period_id! person_id! observation_period_start_date!
    observation_period_end_date! period_type_concept_id!
    """,
)
MEASUREMENT = _table(
    "measurement",
    "PSA results, the nadir, and scores of questionnaires",
    """
    measurement_id! person_id! measurement_concept_id! measurement_date! measurement_datetime
    measurement_time measurement_type_concept_id! operator_concept_id value_as_number
    value_as_concept_id unit_concept_id range_low range_high provider_id visit_occurrence_id
    visit_detail_id measurement_source_value measurement_source_concept_id unit_source_value
    unit_source_concept_id value_source_value measurement_event_id meas_event_field_concept_id
    """,
)
OBSERVATION = _table(
    "observation",
    "The other endpoints, why one is absent, and adverse events",
    """
    observation_id! person_id! observation_concept_id! observation_date! observation_datetime
    observation_type_concept_id! value_as_number value_as_string value_as_concept_id
    qualifier_concept_id unit_concept_id provider_id visit_occurrence_id visit_detail_id
    observation_source_value observation_source_concept_id unit_source_value
    qualifier_source_value value_source_value observation_event_id obs_event_field_concept_id
    """,
)
DEATH = _table(
    "death",
    "Deaths whose day is known",
    """
    person_id! death_date! death_datetime death_type_concept_id cause_concept_id
    cause_source_value cause_source_concept_id
    """,
)
EPISODE = _table(
    "episode",
    "The index treatment, and the events of the disease and its treatment whose day is known",
    """
    episode_id! person_id! episode_concept_id! episode_start_date! episode_start_datetime
    episode_end_date episode_end_datetime episode_parent_id episode_number
    episode_object_concept_id! episode_type_concept_id! episode_source_value
    episode_source_concept_id
    """,
)
CONCEPT = _table(
    "concept",
    "The concepts of this vocabulary",
    """
    concept_id! concept_name! domain_id! vocabulary_id! concept_class_id! standard_concept
    concept_code! valid_start_date! valid_end_date! invalid_reason
    """,
)
VOCABULARY = _table(
    "vocabulary",
    "This vocabulary",
    """
    vocabulary_id! vocabulary_name! vocabulary_reference vocabulary_version
    vocabulary_concept_id!
    """,
)
#: All tables, in an order in which their foreign keys can be checked.
CDM_TABLES = (
    VOCABULARY,
    CONCEPT,
    PERSON,
    OBSERVATION_PERIOD,
    DEATH,
    MEASUREMENT,
    OBSERVATION,
    EPISODE,
)
