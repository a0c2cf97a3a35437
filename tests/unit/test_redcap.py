"""The files for REDCap against REDCap's documented rules.

No REDCap server can be had for tests. The rules are those that its users publish, which are the
same in all of them: the knowledge base of bdeveer/REDCap_KB_RAG (RC-FD-03 and RC-FD-08 for the data
dictionary, RC-FD-07 for embedded fields, RC-IMP-01 for the import), and the data dictionary's
schema of linkml/linkml-redcap (names, types of fields, types of validation). The longest name is
that of the dictionary's reference: 100 characters, of which 26 are recommended.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from fhircryo.research import redcap
from fhircryo.research.table import Column, ColumnType, Table
from tests.unit import inputs
from tests.unit.inputs import AS_OF, COHORT, cli

Row = dict[str, str]
NAME, FORM, TYPE, LABEL = "Variable / Field Name", "Form Name", "Field Type", "Field Label"
CHOICES, NOTE = "Choices, Calculations, OR Slider Labels", "Field Note"
VALIDATION = "Text Validation Type OR Show Slider Number"
MINIMUM, MAXIMUM = "Text Validation Min", "Text Validation Max"
COLUMNS = [
    *(NAME, FORM, "Section Header", TYPE, LABEL, CHOICES, NOTE, VALIDATION, MINIMUM, MAXIMUM),
    *("Identifier?", "Branching Logic (Show field only if...)", "Required Field?"),
    *("Custom Alignment", "Question Number (surveys only)", "Matrix Group Name"),
    *("Matrix Ranking?", "Field Annotation"),
]
#: Types of fields that the files may have; ``sql`` is for administrators.
TYPES = set(
    "text notes dropdown radio checkbox calc file descriptive slider yesno truefalse".split()
)
VALIDATIONS = {"": ".*", "integer": r"[-+]?\d+", "number": r"[-+]?\d*\.?\d+", "date_ymd": None}
#: Names that REDCap gives to columns of its own.
RESERVED = re.compile(r"redcap_\w+|.*_complete|record_id_\w+")
#: A reference to another field: ``[piped]``, ``{embedded}``, ``@ACTION``; markup.
REFERENCE = re.compile(r"[][{}<>]|@[A-Z]")
LONGEST = 100
FORMS = ("patients", "psa", "events", "adverse_events", "questionnaires")


def read(path: Path) -> list[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def choices_of(field: Row) -> list[tuple[str, str]]:
    found = []
    for one in field[CHOICES].split("|"):
        value, _, label = one.partition(",")
        found.append((value.strip(), label.strip()))
    return found


def problems(fields: list[Row]) -> Iterator[str]:
    """What REDCap would refuse of a data dictionary, or show otherwise than it is meant."""
    if list(fields[0]) != COLUMNS:
        yield "other columns"
        return
    if fields[0][TYPE] != "text" or fields[0][NAME] != "record_id":
        yield "the first field is no record id"
    for name, count in Counter(field[NAME] for field in fields).items():
        if count > 1:
            yield f"{name}: twice in the project"
    forms = [field[FORM] for field in fields]
    groups = [form for number, form in enumerate(forms) if form not in forms[:number]]
    if forms != sorted(forms, key=groups.index):
        yield "a form's fields do not stand together"
    for field in fields:
        yield from (f"{field[NAME]}: {words}" for words in problems_of_field(field))


def problems_of_field(field: Row) -> Iterator[str]:
    for column in (NAME, FORM):
        if not re.fullmatch(r"[a-z][a-z0-9_]+", field[column]) or len(field[column]) > LONGEST:
            yield f"not a name: {column}"
    if RESERVED.fullmatch(field[NAME]):
        yield "reserved"
    if field[TYPE] not in TYPES:
        yield "no such type"
    if not field[LABEL]:
        yield "no label"
    if field[VALIDATION] not in VALIDATIONS or (field[VALIDATION] and field[TYPE] != "text"):
        yield "no such validation of this type"
    if (field[TYPE] in ("dropdown", "radio", "checkbox")) != bool(field[CHOICES]):
        yield "choices"
    elif field[CHOICES]:
        yield from problems_of_choices(choices_of(field))
    shown = (field[LABEL], field[NOTE], field[CHOICES])
    if any(REFERENCE.search(text) for text in shown):
        yield "a reference or markup"
    if field["Identifier?"] not in ("", "y"):
        yield "identifier"
    if any(field[column] for column in COLUMNS[11:]):
        yield "a column that is not for these files"


def problems_of_choices(choices: list[tuple[str, str]]) -> Iterator[str]:
    values = [value for value, _ in choices]
    if len(set(values)) != len(values):
        yield "a choice twice"
    for value, label in choices:
        if not re.fullmatch(r"\w+", value) or not label:
            yield f"not a choice: {value}, {label}"


def problems_of_data(rows: list[Row], form: str, fields: list[Row]) -> Iterator[str]:
    """What the import would refuse of a file of a form."""
    by_name = {field[NAME]: field for field in fields if field[FORM] == form}
    repeats = form != "patients"
    allowed = {"record_id", *by_name, f"{form}_complete"}
    if repeats:
        allowed |= {"redcap_repeat_instrument", "redcap_repeat_instance"}
    keys = Counter((row["record_id"], row.get("redcap_repeat_instance")) for row in rows)
    if max(keys.values(), default=1) > 1:
        yield "an instance twice"
    for row in rows:
        if set(row) - allowed:
            yield f"unknown columns: {set(row) - allowed}"
        if not row["record_id"].strip() or len(row["record_id"]) > LONGEST:
            yield "no record"
        if repeats and row["redcap_repeat_instrument"] != form:
            yield "another instrument"
        if repeats and not re.fullmatch(r"[1-9]\d*", row["redcap_repeat_instance"]):
            yield "no instance"
        if row[f"{form}_complete"] not in ("0", "1", "2"):
            yield "no such status of a form"
        for name, field in by_name.items():
            value = row.get(name, "")
            if value and not is_valid(value, field):
                yield f"{name}: {value}"


def is_valid(value: str, field: Row) -> bool:
    if field[TYPE] == "yesno":
        return value in ("0", "1")
    if field[CHOICES]:
        return value in [number for number, _ in choices_of(field)]
    if field[VALIDATION] == "date_ymd":
        try:
            return bool(re.fullmatch(r"\d{4}-\d\d-\d\d", value)) and bool(date.fromisoformat(value))
        except ValueError:
            return False
    return re.fullmatch(VALIDATIONS[field[VALIDATION]] or "", value, re.DOTALL) is not None


def pulled(target: Path, *options: object, source: Path = COHORT) -> Path:
    arguments = ("--as-of", AS_OF, "--no-report", "--format", "redcap", *options)
    ran = cli("cohort", source, target, *arguments)
    assert ran.code == 0, ran.err
    return target


@pytest.fixture(scope="module")
def identified(tmp_path_factory) -> Path:
    return pulled(tmp_path_factory.mktemp("redcap") / "out", "--identified", "--yes")


@pytest.fixture(scope="module")
def pseudonymised(tmp_path_factory) -> Path:
    return pulled(tmp_path_factory.mktemp("redcap") / "out")


@pytest.fixture(params=["identified", "pseudonymised"])
def folder(request) -> Path:
    return request.getfixturevalue(request.param)


@pytest.mark.slow
def test_the_dictionary_keeps_the_rules(folder):
    assert list(problems(read(folder / "redcap_data_dictionary.csv"))) == []


def test_the_data_keep_the_rules(folder):
    fields = read(folder / "redcap_data_dictionary.csv")
    for form in FORMS:
        rows = read(folder / f"redcap_{form}.csv")
        assert rows
        assert list(problems_of_data(rows, form, fields)) == []


BROKEN = [
    (NAME, "Age", "not a name"),
    (NAME, "1st", "not a name"),
    (NAME, "a", "not a name"),
    (NAME, "x" * 101, "not a name"),
    (NAME, "patients_complete", "reserved"),
    (NAME, "redcap_event_name", "reserved"),
    (NAME, "record_id", "twice"),
    (FORM, "psa", "do not stand together"),
    (TYPE, "sql", "no such type"),
    (TYPE, "yesno", "validation"),
    (LABEL, "", "no label"),
    (LABEL, "see [age_years]", "reference"),
    (NOTE, "{score}", "reference"),
    (VALIDATION, "float", "validation"),
    (CHOICES, "1, a", "choices"),
    ("Identifier?", "yes", "identifier"),
    ("Field Annotation", "@HIDDEN", "not for these files"),
]


@pytest.mark.parametrize(("column", "value", "words"), BROKEN)
def test_the_rules_find_a_broken_field(column, value, words, pseudonymised):
    fields = read(pseudonymised / "redcap_data_dictionary.csv")
    [field] = [field for field in fields if field[NAME] == "age_years"]
    field[column] = value
    assert words in " ".join(problems(fields))


@pytest.mark.parametrize("choices", ["1, a | 1, b", "1 | 2", "a b, c", "1, < | 2, >"])
def test_the_rules_find_broken_choices(choices, pseudonymised):
    fields = read(pseudonymised / "redcap_data_dictionary.csv")
    [field] = [field for field in fields if field[NAME] == "psa_comparator"]
    field[CHOICES] = choices
    assert len(list(problems(fields))) >= 1


@pytest.mark.parametrize(
    ("form", "column", "value"),
    [
        ("psa", "psa_psa", "1e-05"),
        ("psa", "psa_days", "1.5"),
        ("psa", "psa_failure", "TRUE"),
        ("psa", "psa_comparator", "<"),
        ("psa", "psa_date", "31-12-2016"),
        ("psa", "psa_date", "2016-02-31"),
        ("psa", "psa_complete", "yes"),
        ("psa", "redcap_repeat_instance", "0"),
        ("psa", "redcap_repeat_instrument", "events"),
        ("psa", "record_id", " "),
        ("patients", "metastasis", "Y"),
    ],
)
def test_the_rules_find_a_broken_value(form, column, value, identified):
    fields = read(identified / "redcap_data_dictionary.csv")
    rows = read(identified / f"redcap_{form}.csv")
    rows[0][column] = value
    assert list(problems_of_data(rows, form, fields))


def test_the_rules_find_an_instance_that_is_there_twice(identified):
    fields = read(identified / "redcap_data_dictionary.csv")
    rows = read(identified / "redcap_psa.csv")
    assert list(problems_of_data([*rows, rows[0]], "psa", fields)) == ["an instance twice"]


def test_a_number_has_no_exponent(tmp_path):
    source = inputs.folder(
        tmp_path / "in",
        {
            "Patient.ndjson": [inputs.patient("p1")],
            "Procedure.ndjson": [inputs.procedure("x1", "2016-01-10")],
            "Observation.ndjson": [
                inputs.psa("a", "2016-01-01", 0.00001),
                inputs.psa("b", "2016-06-01", 123456789),
            ],
        },
    )
    target = pulled(tmp_path / "out", source=source)
    fields = read(target / "redcap_data_dictionary.csv")
    rows = read(target / "redcap_psa.csv")
    assert list(problems_of_data(rows, "psa", fields)) == []
    assert [row["psa_psa"] for row in rows] == ["0.00001", "123456789.0"]


def test_words_of_a_site_are_no_markup_and_no_reference():
    levels = ("a | b", "<i>", "{age_years}")
    columns = (
        Column("kind", ColumnType.CATEGORY, "See [age_years] & <b>", levels=levels),
        Column("score", ColumnType.NUMBER, "Score", "{score}"),
    )
    table = Table("patients", "", (Column("patient", ColumnType.TEXT, ""), *columns), ("patient",))
    _, *lines = redcap._dictionary([table])
    fields = [dict(zip(COLUMNS, line, strict=True)) for line in lines]
    assert list(problems(fields)) == []
    _, kind, score = fields
    assert kind[CHOICES] == "1, a / b | 2, &lt;i&gt; | 3, (age_years)"
    assert kind[LABEL] == "See (age_years) &amp; &lt;b&gt;"
    assert score[NOTE] == "score"
