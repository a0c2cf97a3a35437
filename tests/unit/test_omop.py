"""The cohort as rows of OMOP CDM 5.4, loaded into a database with the model's constraints.

``omop_cdm_5_4.csv`` has the fields of the tables as the model defines them; source:
https://github.com/OHDSI/CommonDataModel, inst/csv/OMOP_CDMv5.4_Field_Level.csv.
"""

import csv
import re
from collections import Counter
from datetime import date
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from fhircryo.research.omop.concepts import CustomConcept, concept_ids, fitted, free_number
from tests.unit import inputs
from tests.unit.inputs import AS_OF, COHORT, cli

FIELDS = Path(__file__).with_name("omop_cdm_5_4.csv")
#: The concepts of the standardized vocabularies that rows may have; a database has them already.
STANDARD = {
    0: "No matching concept",
    8507: "MALE",
    32817: "EHR",
    3013603: "Prostate specific Ag [Mass/volume] in Serum or Plasma",
    8842: "nanogram per milliliter",
    4188539: "Yes",
    4188540: "No",
    4171756: "<",
    4171754: "<=",
    4171755: ">=",
    4172704: ">",
    32531: "Treatment Regimen",
}
#: The tables, in an order in which every row finds what it refers to.
ORDER = (
    "vocabulary",
    "concept",
    "person",
    "observation_period",
    "death",
    "measurement",
    "observation",
    "episode",
)


def definitions() -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = {name: [] for name in ORDER}
    with FIELDS.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            found[row["table"]].append(row)
    return found


def column(field: dict[str, str]) -> str:
    """The definition of a column, with the length of texts, which DuckDB does not check."""
    name, kind = field["field"], field["type"]
    words = [name, {"float": "NUMERIC", "datetime": "TIMESTAMP"}.get(kind, kind)]
    if field["required"] == "Yes":
        words.append("NOT NULL")
    if field["primary_key"] == "Yes":
        words.append("PRIMARY KEY")
    length = re.fullmatch(r"varchar\((\d+)\)", kind)
    if length is not None:
        words.append(f"CHECK (length({name}) <= {length[1]})")
    # A concept needs its vocabulary, and a vocabulary its concept: the first is checked afterwards.
    if field["references"] in ("concept", "person") and field["table"] != "vocabulary":
        target = field["references"]
        words.append(f"REFERENCES {target} ({target}_id)")
    return " ".join(words)


def database() -> duckdb.DuckDBPyConnection:
    """An empty database of the model, with the standard concepts."""
    opened = duckdb.connect()
    for name, fields in definitions().items():
        opened.execute(f"CREATE TABLE {name} ({', '.join(map(column, fields))})")
    opened.executemany(
        "INSERT INTO concept VALUES (?, ?, 'Metadata', 'None', 'Undefined', 'S', ?,"
        " '1970-01-01', '2099-12-31', NULL)",
        [(number, name, str(number)) for number, name in STANDARD.items()],
    )
    return opened


def load(folder: Path, kind: str) -> duckdb.DuckDBPyConnection:
    """A database with the rows of a folder of ``csv`` or ``parquet``."""
    opened = database()
    for name in ORDER:
        file = folder / f"{name}.{kind}"
        read = f"read_csv('{file}', header = true, all_varchar = true)"
        source = read if kind == "csv" else f"'{file}'"
        opened.execute(f"INSERT INTO {name} BY NAME SELECT * FROM {source}")
    return opened


@pytest.fixture(scope="module")
def cohort(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("omop") / "out"
    options = ("--as-of", AS_OF, "--no-report", "--format", "csv,parquet,omop")
    ran = cli("cohort", COHORT, target, *options)
    assert ran.code == 0, ran.err
    assert "not in omop: 1 patients without a year of birth" in ran.err
    return target


@pytest.fixture(scope="module", params=["csv", "parquet"])
def loaded(cohort, request) -> duckdb.DuckDBPyConnection:
    return load(cohort / "omop", request.param)


def rows(opened: duckdb.DuckDBPyConnection, query: str) -> list[tuple]:
    return opened.execute(query).fetchall()


@pytest.mark.slow
def test_every_row_of_every_table_is_loaded(loaded, cohort):
    for name in ORDER:
        written = len(pd.read_parquet(cohort / "omop" / f"{name}.parquet"))
        more = len(STANDARD) if name == "concept" else 0
        assert rows(loaded, f"SELECT count(*) FROM {name}") == [(written + more,)]
        assert written


def test_the_database_refuses_what_breaks_a_constraint(cohort, tmp_path):
    """Each of the constraints is one that can fail."""
    opened = load(cohort / "omop", "csv")
    [(person,)] = rows(opened, "SELECT min(person_id) FROM person")
    broken = {
        "NOT NULL": f"INSERT INTO death (person_id) VALUES ({person})",
        "Duplicate key": f"INSERT INTO person VALUES ({person}, 8507, 1940, NULL, NULL, NULL, 0,"
        " 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        "foreign key": "INSERT INTO episode VALUES (0, 0, 0, '1970-01-01', NULL, NULL, NULL, NULL,"
        " NULL, 0, 32817, NULL, NULL)",
        "CHECK": f"INSERT INTO death VALUES ({person}, '1970-01-01', NULL, NULL, NULL,"
        f" '{'x' * 51}', NULL)",
    }
    for words, statement in broken.items():
        with pytest.raises(duckdb.ConstraintException, match=words):
            opened.execute(statement)


def test_own_concepts_are_custom_ones(loaded):
    """As the conventions ask: above 2 billion, not standard, only as the source's concept."""
    own = "SELECT concept_id FROM concept WHERE vocabulary_id = 'FHIRCRYO'"
    assert rows(
        loaded,
        "SELECT count(*) FROM concept WHERE vocabulary_id = 'FHIRCRYO'"
        " AND (concept_id <= 2000000000 OR standard_concept IS NOT NULL)",
    ) == [(0,)]
    assert rows(
        loaded,
        "SELECT count(*) FROM concept WHERE vocabulary_id NOT IN"
        " (SELECT vocabulary_id FROM vocabulary UNION SELECT 'None')",
    ) == [(0,)]
    for name, fields in definitions().items():
        for field in fields:
            used = field["field"]
            if field["references"] != "concept" or name in ("concept", "vocabulary"):
                continue
            [(number,)] = rows(loaded, f"SELECT count(*) FROM {name} WHERE {used} IN ({own})")
            assert used.endswith("_source_concept_id") or number == 0, (name, used)


def test_the_domain_of_a_concept_decides_its_table(loaded):
    domains = {"measurement": "Measurement", "observation": "Observation", "episode": "Episode"}
    for table, domain in domains.items():
        found = rows(
            loaded,
            f"SELECT DISTINCT domain_id FROM {table} JOIN concept"
            f" ON concept_id = {table}_source_concept_id WHERE concept_id > 0",
        )
        assert found == [(domain,)]


def test_rows_say_what_the_tables_say(loaded, cohort):
    patients = pd.read_parquet(cohort / "patients.parquet")
    persons = dict(rows(loaded, "SELECT person_id, person_source_value FROM person"))
    born = set(patients[patients["age_years"].notna()]["patient"])
    assert set(persons.values()) == born
    ages = dict(rows(loaded, "SELECT person_source_value, 1970 - year_of_birth FROM person"))
    assert ages == dict(
        patients[patients["patient"].isin(born)][["patient", "age_years"]].to_numpy()
    )

    psa = pd.read_parquet(cohort / "psa.parquet")
    psa = psa[psa["patient"].isin(born)]
    found = rows(
        loaded,
        "SELECT person_id, measurement_date, value_as_number FROM measurement"
        " WHERE measurement_concept_id = 3013603",
    )
    expected = Counter((row.patient, int(row.days), round(row.psa, 3)) for row in psa.itertuples())
    assert expected == Counter(
        (persons[number], (day - date(1970, 1, 1)).days, round(float(value), 3))
        for number, day, value in found
    )


def test_every_endpoint_is_there_once_or_its_absence(loaded, cohort):
    endpoints = pd.read_parquet(cohort / "endpoints.parquet")
    persons = dict(rows(loaded, "SELECT person_id, person_source_value FROM person"))
    endpoints = endpoints[endpoints["patient"].isin(persons.values())]
    expected = Counter()
    for row in endpoints.itertuples():
        point = "" if row.time_point == "follow-up" else f" {row.time_point}"
        absent = "absent " if pd.isna(row.value) else ""
        text = row.reason if absent else row.value
        if pd.notna(row.high):
            text = f"{row.number:g}..{row.high:g}"
        comparator = row.comparator if isinstance(row.comparator, str) else ""
        expected[row.patient, f"{absent}{row.endpoint}{point}", f"{comparator}{text}"] += 1
    found = rows(
        loaded,
        "SELECT person_id, measurement_source_value, value_source_value FROM measurement"
        " WHERE measurement_concept_id = 0 UNION ALL"
        " SELECT person_id, observation_source_value, value_source_value FROM observation"
        " WHERE observation_source_value NOT SIMILAR TO '(grade|complication) .*'",
    )
    assert Counter((persons[number], code, value) for number, code, value in found) == expected
    assert max(expected.values()) == 1


def test_answers_and_times_have_their_concepts(loaded):
    def of(code: str) -> list[tuple]:
        return rows(
            loaded,
            "SELECT value_source_value, value_as_concept_id, value_as_number FROM observation"
            f" WHERE observation_source_value = '{code}'",
        )

    answers = {"Y": 4188539, "N": 4188540}
    assert {concept for value, concept, _ in of("metastasis") if answers[value] != concept} == set()
    times = of("time-to-biochemical-failure")
    assert {concept for _, concept, _ in times} == set(answers.values())
    for value, _, number in times:
        # An interval has no number that could be taken for the day of the event.
        assert (number is None) == (".." in value)
    assert any(".." in value for value, _, _ in times)


def test_events_are_episodes_and_deaths_or_counted(loaded, cohort):
    events = pd.read_parquet(cohort / "events.parquet")
    persons = rows(loaded, "SELECT person_source_value FROM person")
    events = events[events["patient"].isin([name for (name,) in persons])]
    death = events["kind"] == "death"
    on_a_day = events["certainty"] == "day"
    [(episodes,)] = rows(
        loaded, "SELECT count(*) FROM episode WHERE episode_source_value LIKE 'episode %'"
    )
    assert episodes == (on_a_day & ~death).sum()
    assert rows(loaded, "SELECT count(*) FROM death") == [((on_a_day & death).sum(),)]
    page = (cohort / "omop" / "README.md").read_text()
    assert f"- {(~on_a_day & ~death).sum()} events whose day after index is not known" in page
    assert f"- {(~on_a_day & death).sum()} deaths whose day after index is not known" in page
    assert rows(loaded, "SELECT count(*) FROM episode WHERE episode_concept_id = 32531") == [
        (len(persons),)
    ]


def test_the_observation_period_holds_all_dates(loaded):
    dates = {
        "measurement": "measurement_date",
        "observation": "observation_date",
        "episode": "episode_start_date",
        "death": "death_date",
    }
    for table, day in dates.items():
        outside = rows(
            loaded,
            f"SELECT count(*) FROM {table} JOIN observation_period USING (person_id) WHERE {day}"
            " NOT BETWEEN observation_period_start_date AND observation_period_end_date",
        )
        assert outside == [(0,)], table
    assert rows(loaded, "SELECT count(*) - count(DISTINCT person_id) FROM observation_period") == [
        (0,)
    ]


@pytest.fixture
def hospital(tmp_path) -> Path:
    """Three men: one dated, one without a date of birth, one whose id is longer than the field."""
    long = "x" * 60
    return inputs.folder(
        tmp_path / "in",
        {
            "Patient.ndjson": [
                inputs.patient("p1", birthDate="1940-12-31", deceasedDateTime="2017-03-01"),
                inputs.patient("p2"),
                inputs.patient(long, birthDate="1950"),
            ],
            "Procedure.ndjson": [
                inputs.procedure(f"x-{who}", "2016-01-10", who) for who in ("p1", "p2", long)
            ],
            "Observation.ndjson": [
                inputs.psa("a", "2016-01-01", 5),
                inputs.psa("b", "2016-06-01", 1),
            ],
            "AdverseEvent.ndjson": [inputs.adverse_event("ae", "2016-02-01")],
        },
    )


def pulled(hospital: Path, target: Path, *options: object) -> duckdb.DuckDBPyConnection:
    ran = cli("cohort", hospital, target, "--as-of", AS_OF, "--no-report", *options)
    assert ran.code == 0, ran.err
    return load(target / "omop", "csv")


def test_identified_rows_have_the_dates_and_ids_of_the_record(hospital, tmp_path):
    options = ("--identified", "--yes", "--format", "omop")
    opened = pulled(hospital, tmp_path / "out", *options)
    assert sorted(rows(opened, "SELECT year_of_birth, person_source_value FROM person")) == [
        (1940, "p1"),
        (1950, None),
    ]
    assert rows(
        opened,
        "SELECT measurement_date, value_as_number FROM measurement"
        " WHERE measurement_concept_id = 3013603 ORDER BY 1",
    ) == [(date(2016, 1, 1), 5), (date(2016, 6, 1), 1)]
    assert rows(opened, "SELECT death_date FROM death") == [(date(2017, 3, 1),)]
    grades = rows(
        opened,
        "SELECT observation_date, value_as_string, qualifier_source_value FROM observation"
        " WHERE observation_source_value = 'grade clavien-dindo'",
    )
    assert grades == [(date(2016, 2, 1), "II", "attributed")]
    assert "Dates are those of the record" in (tmp_path / "out/omop/README.md").read_text()


@pytest.mark.slow
def test_pseudonymised_numbers_are_of_the_key(hospital, tmp_path):
    def numbers(name: str, key: str) -> list[tuple]:
        opened = pulled(hospital, tmp_path / name, "--format", "omop", "--key", tmp_path / key)
        return sorted(rows(opened, "SELECT person_id, person_source_value FROM person"))

    first = numbers("a", "one.key")
    assert first == numbers("b", "one.key")
    assert {number for number, _ in first}.isdisjoint(
        number for number, _ in numbers("c", "other.key")
    )


def test_an_aggregate_has_no_rows(hospital, tmp_path):
    ran = cli("cohort", hospital, tmp_path / "out", "--aggregate-only", "--format", "omop")
    assert ran.code == 2
    assert "--format needs tables with a row per patient" in ran.err


def test_numbers_that_are_taken_and_texts_that_are_long():
    taken: set[int] = set()
    first = free_number("same", 5, 8, set())
    assert free_number("same", 5, 8, taken) == first
    free_number("same", 5, 8, taken), free_number("same", 5, 8, taken)
    assert taken == {6, 7, 8}
    codes = [CustomConcept(f"c{number}", "", "") for number in range(500)]
    assert len(set(concept_ids(codes).values())) == 500
    one, other = fitted("a" * 60 + "1"), fitted("a" * 60 + "2")
    assert one != other
    assert len(one) == len(other) == 50
