"""The cohort as tables: what stands in them, in which files, and what must never."""

import base64
import csv
import hashlib
import hmac
import io
import itertools
import json
import re
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from frictionless import Package

import fhircryo
from fhircryo.errors import UsageError
from fhircryo.research.aggregate import aggregated
from fhircryo.research.cohort_tables import Cohort
from fhircryo.research.columns import tables
from fhircryo.research.folder_options import OWN
from fhircryo.settings import Settings
from tests.unit import inputs
from tests.unit.inputs import AS_OF, COHORT, Resource, cli

TABLES = ["adverse_events", "endpoints", "events", "not_used", "patients", "psa", "questionnaires"]
LONG = ["adverse_events", "endpoints", "events", "psa", "questionnaires"]


def pull(target: Path, *options: object, source: Path = COHORT, as_of: date = AS_OF) -> Path:
    ran = cli("cohort", source, target, "--as-of", as_of, *options)
    assert ran.code == 0, ran.err
    return target


@pytest.fixture(scope="module")
def pseudonymised(tmp_path_factory) -> Path:
    return pull(tmp_path_factory.mktemp("cohort") / "out", "--format", "csv,parquet,redcap,omop")


@pytest.fixture(scope="module")
def identified(tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("identified") / "out"
    return pull(target, "--identified", "--yes", "--no-report", "--format", "csv,parquet,redcap")


@pytest.fixture(scope="module")
def aggregate(tmp_path_factory) -> Path:
    return pull(tmp_path_factory.mktemp("aggregate") / "out", "--aggregate-only")


@pytest.fixture(scope="module")
def computed(tmp_path_factory) -> inputs.Computed:
    target = tmp_path_factory.mktemp("computed") / "out"
    return inputs.compute(COHORT, target, settings=Settings())


# --------------------------------------------------------------------------- what stands in them


def published(one: Resource) -> tuple[Any, ...]:
    """Whose, which, and what, of an Observation."""
    code = one["code"]["coding"][0]["code"]
    point, event = "follow-up", None
    for part in one.get("component", ()):
        name = part["code"]["coding"][0]["code"]
        if name == "time-point":
            point = part["valueCodeableConcept"]["coding"][0]["code"]
        elif name == "event":
            event = part["valueCodeableConcept"]["coding"][0]["code"] == "Y"
    value = reason = None
    if "valueRange" in one:
        value = float(one["valueRange"]["low"]["value"])
    elif "valueQuantity" in one:
        value = float(one["valueQuantity"]["value"])
    elif "valueCodeableConcept" in one:
        value = one["valueCodeableConcept"]["coding"][0]["code"]
    elif "valueInteger" in one:
        value = float(one["valueInteger"])
    else:
        reason = one["dataAbsentReason"]["coding"][1]["code"]
    patient = one["subject"]["reference"].removeprefix("Patient/")
    return (patient, code, point, value, event, reason, one["status"])


def none_for_missing(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.astype(object).where(frame.notna(), None)


@pytest.mark.slow
def test_the_endpoints_are_those_that_compute_publishes(identified, computed):
    frame = none_for_missing(pd.read_parquet(identified / "endpoints.parquet"))
    found = {(row.patient, row.endpoint, row.time_point): row for row in frame.itertuples()}
    assert len(found) == len(frame) == len(computed.observations)
    for one in computed.observations:
        *key, value, event, reason, status = published(one)
        row = found[tuple(key)]
        shown = row.value if row.number is None else row.number
        assert shown == (pytest.approx(value, abs=0.005) if isinstance(value, float) else value)
        assert (row.event, row.reason, row.status) == (event, reason, status)
        when = one.get("effectiveDateTime") or one["effectivePeriod"]["start"]
        assert row.date_first.date().isoformat() == when
        assert (row.days is None) == ("effectiveDateTime" not in one)


def test_the_table_of_patients_says_what_the_endpoints_say(identified):
    patients = pd.read_parquet(identified / "patients.parquet").set_index("patient")
    endpoints = none_for_missing(pd.read_parquet(identified / "endpoints.parquet"))
    for row in endpoints.itertuples():
        name = row.endpoint.replace("-", "_")
        point = row.time_point.replace("-", "_")
        if name.startswith("prom_"):
            middle = "change_" if name.startswith("prom_change_") else ""
            name = (
                f"{name.removeprefix('prom_score_').removeprefix('prom_change_')}_{middle}{point}"
            )
        value = patients.loc[row.patient, name]
        if row.value is None:
            assert pd.isna(value)
            assert patients.loc[row.patient, f"{name}_reason"] == row.reason
        elif row.number is not None:
            assert value == pytest.approx(row.number)
        elif row.value in ("Y", "N") and value in (True, False):
            assert value == (row.value == "Y")
        else:
            assert value == row.value


def test_days_are_those_between_the_dates(identified):
    patients = pd.read_parquet(identified / "patients.parquet").set_index("patient")
    for name, first in (("psa", "date"), ("questionnaires", "date"), ("events", "date_first")):
        frame = pd.read_parquet(identified / f"{name}.parquet")
        known = frame[frame["days"].notna()]
        assert len(known)
        d0 = patients.loc[known["patient"], "index_date"].to_numpy()
        assert (
            (known[first].to_numpy() - d0).astype("timedelta64[D]").astype(int) == known["days"]
        ).all()


def without_bounds(frame: pd.DataFrame) -> pd.DataFrame:
    """A table without the bounds of its intervals, which only an identified one has exactly."""
    frame = frame.copy()
    if "high" in frame:
        frame.loc[frame["high"].notna(), ["value", "number", "high"]] = None
    for name in frame.columns:
        if name.endswith("_high"):
            frame.loc[frame[name].notna(), [name.removesuffix("_high"), name]] = None
    return frame


@pytest.mark.slow
def test_pseudonymised_and_identified_differ_in_names_dates_and_bounds(pseudonymised, identified):
    for name in TABLES:
        theirs = without_bounds(pd.read_parquet(identified / f"{name}.parquet"))
        ours = without_bounds(pd.read_parquet(pseudonymised / f"{name}.parquet"))
        shared = [column for column in ours.columns if column != "patient"]
        assert set(theirs.columns) >= set(shared)
        if name == "not_used":
            theirs = theirs.groupby(["reason", "resource_type"], observed=True)["count"].sum()
            assert sorted(ours["count"]) == sorted(theirs[theirs > 0])
            continue
        one, other = (
            sorted(map(str, none_for_missing(frame[shared]).itertuples(index=False, name=None)))
            for frame in (ours, theirs)
        )
        assert one == other


@pytest.fixture
def hospital(tmp_path) -> Path:
    """A patient of whom several things are odd."""
    return inputs.folder(
        tmp_path / "in",
        {
            "Patient.ndjson": [
                inputs.patient("p1", birthDate="1925-06"),
                inputs.patient("p2", birthDate="1950-01-11"),
                inputs.patient("p3", birthDate="1950"),
            ],
            "Procedure.ndjson": [
                inputs.procedure("x1", "2016-01-10", "p1"),
                inputs.procedure("x2", "2016-01-10", "p2"),
                inputs.procedure("x3", "2016-01-10", "p3"),
            ],
            "Observation.ndjson": [
                inputs.psa("a0", "2015-12-01", 7.5),
                inputs.psa("a1", "2016-03-01", 0.4),
                inputs.psa("a2", "2016-06-01", 0.5),
                inputs.psa("a3", "2016-12-01", 2.4),
                inputs.psa("late", "2018-02-01", 9),
            ],
            "Condition.ndjson": [
                inputs.condition("c1", "2016"),
                inputs.condition("c2", "2017-03-01"),
                inputs.condition("c3", "2017", "p2"),
            ],
            "AdverseEvent.ndjson": [
                inputs.adverse_event("e1", "2016-02-01"),
                inputs.adverse_event("e2", "2015-02-01"),
                inputs.adverse_event("e3", "2016"),
            ],
            "QuestionnaireResponse.ndjson": [
                inputs.response("q1", "2016-01-02", [4, 4, 4, 4, 4]),
                inputs.response("q2", "2016-07-10", [4, 4, 9, 4, 4]),
                inputs.response("q3", "2017-01-10", [3, 3, 3, 3]),
                inputs.response("q4", "2017-01-20", [3, 3, 3, 3, 3]),
            ],
        },
    )


def tables_of(source: Path, **more: Any) -> Cohort:
    return fhircryo.cohort(source, as_of=AS_OF, settings=Settings(), **more)


def test_ages(hospital):
    """Of a month, of a day and of a year of birth; 90 and over."""
    (hospital / "Patient.ndjson").write_bytes(
        inputs.lines(
            inputs.patient("p1", birthDate="1921-06"),
            inputs.patient("p2", birthDate="1950-01-11"),
            inputs.patient("p3", birthDate="1950"),
        )
    )
    found = tables_of(hospital, identified=True)["patients"].sort_values("patient")
    assert list(found["age_years"]) == [94, 65, 65]
    assert list(found["age_approximate"]) == [True, False, True]
    assert sorted(tables_of(hospital)["patients"]["age_years"]) == [65, 65, 90]


def test_rows_of_a_patient(hospital):
    found = tables_of(hospital, identified=True)
    psa = found["psa"]
    assert list(psa["days"]) == [-40, 51, 143, 326]
    assert list(psa["judgement"]) == ["baseline", "no result before it", "clear", "fails"]
    assert list(psa["failure"]) == [False, False, False, True]
    assert list(psa["threshold"].dropna()) == [2.4, 2.4]
    events = found["events"].query("patient == 'p1'")
    rows = [(row.kind, row.certainty) for row in events.itertuples()]
    assert rows == [
        ("metastasis", "possible"),
        ("biochemical-failure", "day"),
        ("metastasis", "day"),
    ]
    assert list(events["days"]) == [pd.NA, 326, 416]
    interval = found["events"].query("patient == 'p2'").iloc[0]
    assert (interval["certainty"], interval["days"]) == ("interval", pd.NA)
    adverse = found["adverse_events"]
    assert list(adverse["attribution"]) == ["not-attributed", "possible", "attributed"]
    assert list(adverse["clavien_dindo"]) == ["II", "II", "II"]
    scores = found["questionnaires"]
    assert list(scores["time_point"].astype(object).where(scores["time_point"].notna(), None)) == [
        "baseline",
        None,
        None,
        "12-months",
    ]
    assert list(scores["reason"].astype(object))[1:3] == ["invalid-item", "incomplete"]
    mine = found["patients"].set_index("patient").loc["p1"]
    assert mine["iief_5_6_months_reason"] == "invalid-item"
    assert (mine["iief_5_12_months"], mine["iief_5_change_12_months"]) == (15, -5)
    assert pd.isna(mine["iief_5_12_months_reason"])


def test_no_day_of_an_interval_is_in_pseudonymised_tables(hospital):
    """The ends of months and years would tell when day 0 was."""
    found = tables_of(hospital)
    for name in LONG:
        assert not [one for one in found[name].columns if "date" in one or one == "resource"]
    assert found["events"]["days"].isna().sum() == 2
    assert found["adverse_events"]["days"].isna().sum() == 1


def test_index_dates_lists_and_objections(hospital, tmp_path):
    everybody = tables_of(hospital, identified=True)
    assert everybody.flow.cohort == 3
    none = tables_of(hospital, index_from=date(2016, 1, 11))
    assert (none.flow.cohort, none.flow.lost[0].patients) == (0, 3)
    assert len(tables_of(hospital, index_to=date(2016, 1, 10))["patients"]) == 3
    listed = tables_of(hospital, patients=["p1", "nobody"], identified=True)
    assert list(listed["patients"]["patient"]) == ["p1"]
    assert listed.unknown_patients == ["nobody"]
    objected = tables_of(hospital, exclude=["p1"], identified=True)
    assert list(objected["patients"]["patient"]) == ["p2", "p3"]
    assert [(one.words, one.patients) for one in objected.flow.lost] == [
        ("objected (--exclude)", 1)
    ]


@pytest.mark.slow
def test_processes_change_nothing(tmp_path):
    files = []
    for number, workers in enumerate((1, 2)):
        target = tmp_path / str(number)
        many = cli(
            "cohort",
            COHORT,
            target,
            "--as-of",
            AS_OF,
            "--workers",
            workers,
            "--key",
            tmp_path / "k",
        )
        assert many.code == 0
        files.append({one.name: one.read_bytes() for one in target.rglob("*") if one.is_file()})
    assert files[0].keys() == files[1].keys()
    assert all(files[0][name] == files[1][name] for name in files[0])


def test_workers_on_a_cohort_that_is_worth_them(monkeypatch):
    from fhircryo.research import build, table_builder

    monkeypatch.setattr(build, "_PATIENTS_PER_WORKER", 10)
    monkeypatch.setattr(table_builder, "_PATIENTS_AT_A_TIME", 7)
    from fhircryo.research.cohort_tables import cohort_of
    from fhircryo.research.table_options import TableOptions
    from fhircryo.runs.execution import Execution
    from fhircryo.runs.read_source import read_source
    from fhircryo.runs.run_config import RunConfig

    job = RunConfig.of(Settings(), AS_OF)
    read = read_source(COHORT, job)
    found = [cohort_of(read, job, TableOptions(str), Execution(number)) for number in (1, 3)]
    for name in TABLES:
        assert found[0].arrow[name].equals(found[1].arrow[name]), name


# --------------------------------------------------------------------------- files


@pytest.mark.slow
def test_types_survive(pseudonymised):
    frame = pd.read_parquet(pseudonymised / "patients.parquet")
    assert str(frame["psa_nadir_days"].dtype) == "Int64"
    assert str(frame["biochemical_failure"].dtype) == "boolean"
    assert str(frame["psa_nadir"].dtype) == "float64"
    grades = frame["worst_clavien_dindo"].cat
    assert grades.ordered
    order = ["none", "I", "II", "IIIa", "III", "IIIb", "IVa", "IV", "IVb", "V"]
    assert list(grades.categories) == order
    assert (frame["worst_clavien_dindo"] >= "IIIb").sum() == 2


def test_dates_are_dates(identified):
    frame = pd.read_parquet(identified / "patients.parquet")
    assert str(frame["index_date"].dtype).startswith("datetime64")
    text = pd.read_csv(identified / "patients.csv")["index_date"]
    assert list(text) == [day.date().isoformat() for day in frame["index_date"]]


@pytest.mark.parametrize("kind", ["pseudonymised", "identified"])
def test_csv_and_parquet_say_the_same(kind, request):
    folder = request.getfixturevalue(kind)
    for name in TABLES:
        frame = pd.read_parquet(folder / f"{name}.parquet")
        plain = pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)
        assert list(plain.columns) == list(frame.columns)
        assert len(plain) == len(frame)
        for column in frame.columns:
            blank = frame[column].isna().to_numpy()
            assert (plain[column].to_numpy() == "").tolist() == blank.tolist(), (name, column)
            numbers = frame[column].dtype.kind in "fi" and frame[column].dtype != "boolean"
            if numbers:
                read = plain[column][~blank].astype(float).tolist()
                assert read == frame[column][~blank].astype(float).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pseudonymised", "identified"])
def test_the_data_package_is_valid(kind, request):
    folder = request.getfixturevalue(kind)
    report = Package(str(folder / "datapackage.json")).validate()
    assert report.valid, report.flatten(["resource", "rowNumber", "fieldName", "message"])[:5]
    assert [task.name for task in report.tasks] == [
        "patients", "endpoints", "psa", "events", "adverse_events", "questionnaires", "not_used"
    ]  # fmt: skip


@pytest.mark.slow
def test_the_data_package_would_find_a_wrong_value(pseudonymised, tmp_path):
    for one in pseudonymised.glob("*.*"):
        (tmp_path / one.name).write_bytes(one.read_bytes())
    file = tmp_path / "adverse_events.csv"
    file.write_text(file.read_text().replace(',"II",', ',"VII",', 1))
    assert not Package(str(tmp_path / "datapackage.json")).validate().valid


def test_every_column_is_in_the_dictionary(pseudonymised):
    rows = list(csv.DictReader(io.StringIO((pseudonymised / "dictionary.csv").read_text())))
    named = {(row["table"], row["column"]) for row in rows}
    for name in TABLES:
        frame = pd.read_parquet(pseudonymised / f"{name}.parquet")
        assert {(name, column) for column in frame.columns} <= named
    assert all(row["description"] for row in rows)


@pytest.mark.slow
def test_files_are_their_owners_alone_and_all_of_them_ours(pseudonymised, aggregate):
    for folder in (pseudonymised, aggregate):
        assert folder.stat().st_mode & 0o077 == 0
        assert {one.name for one in folder.iterdir()} <= OWN
        for one in folder.rglob("*"):
            assert one.stat().st_mode & 0o077 == 0, one
    key = pseudonymised.with_name("out.key")
    assert key.stat().st_mode & 0o777 == 0o600


def test_the_manifest_says_what_made_it(pseudonymised):
    made = json.loads((pseudonymised / "manifest.json").read_text())
    assert made["fhircryo"] == fhircryo.__version__
    assert (made["as_of"], made["tables"]) == (str(AS_OF), "pseudonymised")
    assert made["protocol"]["id"] == "bomers-2020"


def input_hashes() -> set[str]:
    return {hashlib.sha256(one.read_bytes()).hexdigest() for one in COHORT.glob("*json*")}


def test_only_the_key_tells_which_files_were_read(pseudonymised):
    """Somebody who holds a file of a hospital could otherwise tell that its patients were read."""
    made = json.loads((pseudonymised / "manifest.json").read_text())
    key = bytes.fromhex(pseudonymised.with_name("out.key").read_text())

    def keyed(what: str, value: str) -> str:
        return hmac.new(key, f"input {what}\n{value}".encode(), "sha256").hexdigest()

    assert {one["sha256_hmac"] for one in made["inputs"]} == {
        keyed("sha256", one) for one in input_hashes()
    }
    assert {one["name_hmac"] for one in made["inputs"]} == {
        keyed("name", one.name) for one in COHORT.glob("*json*")
    }
    assert {name for one in made["inputs"] for name in one} == {"sha256_hmac", "name_hmac"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pseudonymised", "aggregate", "identified"])
def test_nothing_in_a_folder_confirms_a_file(kind, request):
    folder = request.getfixturevalue(kind)
    text = b"\n".join(one.read_bytes() for one in folder.rglob("*") if one.is_file()).lower()
    told = set()
    for one in COHORT.glob("*json*"):
        content = one.read_bytes()
        forms = [hashlib.new(name, content).digest() for name in ("sha256", "sha1", "md5")]
        names = [one.name.encode().lower(), *(form.hex().encode() for form in forms)]
        shortened = [name[:16] for name in names[1:]]
        sizes = [rf"(?<![\d.]){len(content)}(?![\d.])".encode()] if len(content) > 9999 else []
        if any(name in text for name in (*names, *shortened)) or any(
            re.search(size, text) for size in sizes
        ):
            told.add(one.name)
    assert bool(told) == (kind == "identified"), told


def test_an_identified_manifest_names_the_files(identified):
    made = json.loads((identified / "manifest.json").read_text())
    assert {one["sha256"] for one in made["inputs"]} == input_hashes()
    assert {one["name"] for one in made["inputs"]} == {one.name for one in COHORT.glob("*json*")}


def test_methods_carry_the_protocols_numbers(pseudonymised):
    text = (pseudonymised / "methods.md").read_text()
    for words in ("Phoenix", "nadir + 2.0 ng/mL", "62 patients", "12 months", "IIIb", "Wilson"):
        assert words in text.replace("nadir +\n", "nadir + "), words


# --------------------------------------------------------------------------- REDCap


def test_redcap_files_fit_their_dictionary(identified):
    """Every field is in the dictionary, every value among its choices or of its format."""
    text = (identified / "redcap_data_dictionary.csv").read_text()
    listed = list(csv.DictReader(io.StringIO(text)))
    fields = {row["Variable / Field Name"]: row for row in listed}
    assert len(fields) == len(listed), "a name stands once in the whole project"
    first = next(iter(fields))
    assert first == "record_id"
    for name, row in fields.items():
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name), name
        assert "__" not in name
        assert not name.endswith("_")
        assert row["Form Name"] in {"patients", *LONG}
    records = set()
    for table in ("patients", "psa", "events", "adverse_events", "questionnaires"):
        rows = list(csv.DictReader(io.StringIO((identified / f"redcap_{table}.csv").read_text())))
        assert len(rows) == len(pd.read_parquet(identified / f"{table}.parquet"))
        seen = set()
        for row in rows:
            instance = row.pop("redcap_repeat_instance", "")
            instrument = row.pop("redcap_repeat_instrument", "")
            assert instrument == ("" if table == "patients" else table)
            key = (row["record_id"], instance)
            assert key not in seen
            seen.add(key)
            if table == "patients":
                records.add(row["record_id"])
            assert row["record_id"] in records
            assert row.pop(f"{table}_complete") == "2"
            for name, value in row.items():
                field = fields[name]
                if value:
                    check_redcap(field, value)


def check_redcap(field: dict[str, str], value: str) -> None:
    kind, validation = field["Field Type"], field["Text Validation Type OR Show Slider Number"]
    if kind == "dropdown":
        choices = [
            one.split(", ", 1)[0]
            for one in field["Choices, Calculations, OR Slider Labels"].split(" | ")
        ]
        assert value in choices
    elif kind == "yesno":
        assert value in "01"
    elif validation == "integer":
        int(value)
    elif validation == "number":
        float(value)
    elif validation == "date_ymd":
        date.fromisoformat(value)


def test_redcap_marks_what_identifies(identified, pseudonymised):
    def marked(folder: Path) -> list[str]:
        text = (folder / "redcap_data_dictionary.csv").read_text()
        rows = csv.DictReader(io.StringIO(text))
        return [row["Variable / Field Name"] for row in rows if row["Identifier?"] == "y"]

    assert "index_date" in marked(identified)
    assert marked(pseudonymised) == []


# --------------------------------------------------------------------------- nothing leaks


def decoded(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file, and what is packed within it, as text."""
    for file in sorted(folder.rglob("*")):
        if not file.is_file():
            continue
        content = file.read_bytes()
        yield file.name, content.decode("utf-8", "replace")
        if file.suffix == ".parquet":
            yield file.name, pd.read_parquet(file).to_csv()
        for packed in re.findall(rb"base64,([A-Za-z0-9+/=]+)", content):
            yield f"{file.name}, embedded", base64.b64decode(packed).decode("utf-8", "replace")


def words_of(content: Any) -> Iterator[str]:
    """Every text of a resource, elements of codes and units aside."""
    if isinstance(content, dict):
        for key, value in content.items():
            if key not in ("resourceType", "system", "code", "unit", "url", "status", "linkId"):
                yield from words_of(value)
    elif isinstance(content, list):
        for value in content:
            yield from words_of(value)
    elif isinstance(content, str):
        yield content


def secrets_of(source: Path) -> set[str]:
    """Ids, dates and names of the input."""
    import gzip

    found: set[str] = set()
    for file in source.iterdir():
        if ".ndjson" not in file.name:
            continue
        found.add(file.name)
        content = file.read_bytes()
        if file.suffix == ".gz":
            content = gzip.decompress(content)
        for one in content.splitlines():
            try:
                resource = json.loads(one)
            except ValueError:
                continue
            found.add(resource.get("id", ""))
            for text in words_of(resource):
                found.update(re.findall(r"\d{4}-\d{2}(?:-\d{2})?", text))
                if re.fullmatch(r"[A-Z][A-Za-z]+/[A-Za-z0-9./_-]+", text):
                    found.update(text.split("/")[1:2])
            for name in resource.get("name", ()):
                found.update([name["family"], *name["given"]])
            found.update(one["value"] for one in resource.get("identifier", ()))
    shipped = {"Observation.ndjson", "Patient.ndjson", "Procedure.ndjson", "Condition.ndjson"}
    return {one for one in found if len(one) > 3} - shipped


def leaks(folder: Path, secrets: set[str]) -> list[tuple[str, str]]:
    # The data cut-off is said; a figure's data name no day.
    allowed = {str(AS_OF), str(AS_OF)[:7]}
    whole = re.compile(r"[A-Za-z0-9ÄÖÜäöüß-]+(?:\.[A-Za-z0-9]+)*")
    found = []
    for name, text in decoded(folder):
        words = set(whole.findall(text))
        words |= {part for word in words for part in word.split(".")}
        dates = set(re.findall(r"\d{4}-\d{2}(?:-\d{2})?", text)) - allowed
        found += [(name, secret) for secret in sorted(secrets & (words | dates) - allowed)]
    return found


@pytest.fixture
def nasty(tmp_path) -> Path:
    """People's names and numbers wherever they can stand."""
    person = inputs.patient(
        "patient-4711",
        birthDate="1950-04-23",
        identifier=[{"system": "urn:bsn", "value": "123456782"}],
        text={"status": "generated", "div": "<div>Zwartendijk 1950-04-23</div>"},
    )
    person["name"] = [{"family": "Zwartendijk", "given": ["Gijsbertus"]}]
    return inputs.folder(
        tmp_path / "in",
        {
            "Patient.ndjson": [person],
            "Procedure.ndjson": [inputs.procedure("proc-815", "2016-01-10", "patient-4711")],
            "Observation-Zwartendijk.ndjson": inputs.lines(
                inputs.psa("lab-1001", "2016-03-01", 0.4, "patient-4711"),
                inputs.psa("lab-1002", "2016-06-11", 0.5, "patient-4711", unit="Zwartendijk"),
                inputs.psa(
                    "lab-1003", "2016-09-11", None, "patient-4711", valueString="Zwartendijk"
                ),
                inputs.lab("lab-1004", "patient-4711", code={"text": "Zwartendijk"}),
                b'{"resourceType":"Zwartendijk","id":"x"}',
                b'{"resourceType":"Zwartendijk","id":',
            ),
            "Condition.ndjson": [
                inputs.condition(
                    "cond-2001", "2016-12", "patient-4711", note=[{"text": "Zwartendijk"}]
                )
            ],
            "QuestionnaireResponse.ndjson": [
                inputs.response("qr-3001", "2016-07-09", [1, 2, 99, 4, 5], "patient-4711"),
                inputs.response("qr-3002", "2016-07-10", [1, 2, 3, 4, 5], "patient-4711"),
            ],
        },
    )


FORMATS = ("--format", "csv,parquet,redcap,stata,spss,omop")


@pytest.mark.slow
@pytest.mark.parametrize("options", [FORMATS, ("--aggregate-only",)], ids=["rows", "aggregate"])
@pytest.mark.parametrize("which", ["nasty", "cohort"])
def test_nothing_of_the_input_can_be_read_in_any_file(options, which, request, tmp_path):
    source = COHORT if which == "cohort" else request.getfixturevalue("nasty")
    target = tmp_path / "out"
    ran = cli("cohort", source, target, "--as-of", AS_OF, *options)
    assert ran.code == (0 if which == "cohort" else 4)
    secrets = secrets_of(source)
    assert len(secrets) > 10
    if which == "nasty":
        assert secrets >= {"Zwartendijk", "Gijsbertus", "patient-4711", "123456782", "2016-01-10"}
    assert leaks(target, secrets) == []


@pytest.mark.slow
def test_the_search_for_leaks_finds_them(nasty, tmp_path):
    target = tmp_path / "out"
    ran = cli("cohort", nasty, target, "--as-of", AS_OF, "--identified", "--yes", *FORMATS)
    assert ran.code == 4
    found = {secret for _, secret in leaks(target, secrets_of(nasty))}
    assert found >= {"patient-4711", "proc-815", "2016-01-10", "2016-07-10", "lab-1001"}
    # Even there: no name, no free text.
    assert not found & {"Gijsbertus", "123456782"}


def guesses(secret: str) -> Iterator[str]:
    """What a hash of a text without a key looks like: as words, shortened, and as numbers."""
    for prefix in ("", "Patient/"):
        for name in ("md5", "sha1", "sha256", "sha512", "blake2b"):
            digest = hashlib.new(name, (prefix + secret).encode()).digest()
            yield digest.hex()[:12]
            yield base64.b64encode(digest).decode()[:12]
            yield base64.urlsafe_b64encode(digest).decode()[:12]
            yield base64.b32encode(digest).decode().lower()[:12]
            for size, order in itertools.product((4, 8), ("big", "little")):
                number = int.from_bytes(digest[:size], order)
                yield from map(str, {number, number % (2**31 - 1), number % 2**31} - {0})


def tried_out(texts: Iterable[tuple[str, str]], secrets: Iterable[str]) -> set[str]:
    """The secrets of which a text has a hash."""
    guessed = {guess: secret for secret in secrets for guess in guesses(secret)}
    found = set()
    for _, text in texts:
        words = re.findall(r"[A-Za-z0-9+/_-]{6,}", text)
        starts = {start for word in words for start in (word, word[:12], word[1:13])}
        found |= {guessed[start] for start in starts & guessed.keys()}
    return found


def test_no_list_of_ids_and_dates_finds_anything_without_the_key(pseudonymised):
    """Whoever has the ids, the dates and the names of the files cannot try them out."""
    secrets = secrets_of(COHORT)
    assert len(secrets) > 1000
    assert tried_out(decoded(pseudonymised), secrets) == set()
    planted = "P" + base64.b32encode(hashlib.sha256(b"2015001").digest()[:10]).decode().lower()
    assert tried_out([("planted", planted)], secrets) == {"2015001"}


@pytest.mark.slow
def test_packages_of_other_keys_have_no_name_of_a_patient_or_file_in_common(tmp_path):
    def names(key: str) -> set[str]:
        options = ("--key", tmp_path / key, "--no-report", "--format", "csv,omop")
        folder = pull(tmp_path / f"of {key}", *options)
        text = " ".join(text for _, text in decoded(folder))
        persons = pd.read_csv(folder / "omop" / "person.csv")["person_id"]
        found = set(re.findall(r"\bP[a-z2-7]{16}\b|\b[0-9a-f]{16,}\b", text))
        made = json.loads((folder / "manifest.json").read_text())
        return (found | set(map(str, persons))) - {
            made["protocol"]["sha256"],
            made["mappings"]["sha256"],
            made["mappings"]["sha256"][:16],
        }

    one, other = names("one"), names("other")
    assert len(one) == len(other) > 2 * 62
    assert one & other == set()


@pytest.mark.slow
def test_pseudonyms_are_of_the_key(tmp_path):
    def names(*options: object) -> list[str]:
        target = tmp_path / "out"
        pull(target, "--no-report", "--format", "csv", *options)
        return list(pd.read_csv(target / "patients.csv")["patient"])

    first = names()
    assert first == sorted(first) == names()
    assert set(names("--key", tmp_path / "other.key")).isdisjoint(first)
    assert names("--key", tmp_path / "out.key") == first
    assert all(re.fullmatch(r"P[a-z2-7]{16}", one) for one in first)


@pytest.mark.slow
def test_a_key_that_others_can_read_is_refused(tmp_path):
    key = tmp_path / "key"
    pull(tmp_path / "out", "--no-report", "--key", key)
    key.chmod(0o640)
    ran = cli("cohort", COHORT, tmp_path / "out", "--as-of", AS_OF, "--key", key)
    assert ran.code == 2
    assert f"chmod 600 {key}" in ran.err
    key.chmod(0o600)
    key.write_text("no key\n")
    assert "no key" in cli("cohort", COHORT, tmp_path / "out", "--key", key).err
    inside = tmp_path / "out" / "key"
    assert "lie with the tables" in cli("cohort", COHORT, tmp_path / "out", "--key", inside).err


@pytest.mark.slow
def test_a_key_is_looked_at_only_where_there_are_pseudonyms(tmp_path):
    (tmp_path / "out.key").write_text("somebody else's")
    pull(tmp_path / "out", "--aggregate-only", "--no-report")
    assert cli("cohort", COHORT, tmp_path / "out", "--as-of", AS_OF).code == 2


# --------------------------------------------------------------------------- aggregate only


def numbers(content: Any) -> Iterator[int]:
    if isinstance(content, dict):
        for value in content.values():
            yield from numbers(value)
    elif isinstance(content, list):
        for value in content:
            yield from numbers(value)
    elif isinstance(content, int) and not isinstance(content, bool):
        yield content


def test_no_small_group_is_written(aggregate):
    flow = json.loads((aggregate / "flow.json").read_text())
    assert flow["cohort"] == 62
    assert [one for one in numbers(flow) if 0 < one < 5] == []
    assert {one.suffix for one in aggregate.rglob("*") if one.is_file()} == {
        ".csv", ".html", ".json", ".md", ".svg"
    }  # fmt: skip
    page = (aggregate / "report.html").read_text()
    assert not re.search(r"\b2/62: ", page)
    assert not re.search(r"\b1/62: ", page)
    assert "36/57" in page
    assert not re.search(r"P[a-z2-7]{16}", page)
    for file in (aggregate / "figures").glob("survival-*.csv"):
        rows = list(csv.DictReader(io.StringIO(file.read_text())))
        gone = [0, *(int(row["events"]) for row in rows)]
        steps = [now - before for before, now in pairwise(gone)]
        assert not [step for step in steps if 0 < step < 5]
        assert all(int(row["at_risk"]) >= 5 for row in rows)


@pytest.mark.slow
def test_a_margin_gives_nothing_away(hospital):
    """Three patients: nothing of them can be shown at all."""
    cohort = tables_of(hospital)
    found = aggregated(cohort.analysis, cohort.tables, cohort.config, 5)
    assert all(one.patients is None for one in found.evaluable)
    assert all(one.counted is None and one.change is None for one in found.table)
    assert found.grades.cells is None
    assert found.nadir is None
    assert found.salvage is None
    assert all(not one.landmarks and one.curve is None for one in found.survival)
    assert all(point.scores is None for prom in found.proms for point in prom.points)


@pytest.mark.slow
def test_the_smallest_group_is_a_setting(tmp_path, monkeypatch):
    monkeypatch.setenv("FHIRCRYO_SMALLEST_GROUP", "2")
    page = (pull(tmp_path / "out", "--aggregate-only") / "report.html").read_text()
    assert re.search(r"\b2/62: ", page)
    assert not re.search(r"\b1/62: ", page)


# --------------------------------------------------------------------------- bad input


def test_a_folder_in_use_is_refused(tmp_path):
    target = tmp_path / "out"
    target.mkdir()
    (target / "thesis.docx").write_text("mine")
    ran = cli("cohort", COHORT, target)
    assert (ran.code, "thesis.docx" in ran.err, "--force" in ran.err) == (2, True, False)
    assert [one.name for one in target.iterdir()] == ["thesis.docx"]
    assert cli("cohort", COHORT, COHORT).code == 2


@pytest.mark.slow
def test_an_earlier_run_is_replaced_as_a_whole(tmp_path):
    target = pull(tmp_path / "out", "--format", "redcap,csv")
    assert (target / "redcap_psa.csv").exists()
    pull(target, "--no-report", "--format", "csv")
    names = {one.name for one in target.iterdir()}
    assert "patients.csv" in names
    assert not names & {"redcap_psa.csv", "report.html", "figures", "patients.parquet"}


@pytest.mark.slow
def test_nothing_is_left_of_a_run_that_fails(tmp_path, monkeypatch):
    from fhircryo.research import cohort_writer

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cohort_writer, "_write_report", full_disk)
    ran = cli("cohort", COHORT, tmp_path / "out")
    assert (ran.code, "No space left" in ran.err) == (5, True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_nobody_in_the_cohort(hospital, tmp_path):
    (hospital / "Procedure.ndjson").write_bytes(
        inputs.lines(
            inputs.procedure("x1", "2016", "p1"),
            inputs.procedure("x2", "2016-01-10", "p2", status="not-done"),
        )
    )
    target = tmp_path / "out"
    ran = cli("cohort", hospital, target, "--as-of", AS_OF)
    assert ran.code == 0
    assert "its cryoablation: imprecise-date" in ran.err
    assert "its cryoablation: status" in ran.err
    # The codes are mapped: what was lost is shown.
    assert "mappings survey" not in ran.err
    assert len(pd.read_parquet(target / "patients.parquet")) == 0
    assert Package(str(target / "datapackage.json")).validate().valid
    flow = json.loads((target / "flow.json").read_text())
    assert (flow["cohort"], len(flow["no_index_procedure"])) == (0, 2)


@pytest.mark.slow
def test_unknown_patients_are_named(hospital, tmp_path):
    wanted = tmp_path / "patients.txt"
    wanted.write_text("p1\nPatient/p9\n")
    ran = cli("cohort", hospital, tmp_path / "out", "--as-of", AS_OF, "--patients", wanted)
    assert "UNKNOWN: Patient/p9" in ran.err
    assert len(pd.read_csv(tmp_path / "out" / "patients.csv")) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--identified", "--aggregate-only"), "choose one"),
        (("--format", "xlsx"), "xlsx: not one of"),
        (("--format", ","), "name one or more"),
        (("--aggregate-only", "--format", "csv"), "--aggregate-only"),
        (("--identified", "--yes", "--key", "k"), "have none"),
        (("--from", "2016-02-01", "--to", "2016-01-01"), "--to is before --from"),
        (("--identified",), "add --yes"),
    ],
)
def test_what_does_not_fit_together_is_refused(options, words, tmp_path):
    ran = cli("cohort", COHORT, tmp_path / "out", *options)
    assert ran.code == 2
    assert words in ran.err
    assert not (tmp_path / "out").exists()


def test_the_columns_are_those_of_the_protocol_and_the_instruments():
    from fhircryo.mapping.load import load_mappings, load_protocol

    mappings = load_mappings()
    for name in ("bomers-2020", "oishi-2019"):
        protocol = load_protocol(name)
        found = tables(mappings, protocol)
        assert sorted(found) == TABLES
        for table in found.values():
            assert len(set(table.names())) == len(table.columns)
            assert set(table.key) <= set(table.names())
        points = [one for one in found["patients"].names() if one.startswith("expected_")]
        assert len(points) == len(protocol.time_points)


def test_a_key_is_needed_where_one_is_named(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        fhircryo.cohort(COHORT, key=tmp_path / "none.key", settings=Settings())
