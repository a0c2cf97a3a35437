"""Files of Stata and SPSS, as ReadStat and pandas read them back."""

import sys
import time
from datetime import date
from pathlib import Path

import pandas as pd
import pyreadstat
import pytest

from fhircryo.research.arrow import to_arrow
from fhircryo.research.labelled_files import ENDINGS, write_labelled
from fhircryo.research.stored_table import StoredTable, in_memory
from fhircryo.research.table import Column, ColumnType, Table
from tests.unit.inputs import AS_OF, COHORT, cli

LONG = "time_to_biochemical_failure_event"
COLUMNS = Table(
    "patients",
    "One row per patient",
    (
        Column("patient", ColumnType.TEXT, "Patient"),
        Column("seen", ColumnType.DATE, "Day"),
        Column("age", ColumnType.INTEGER, "Age", "a"),
        Column("psa", ColumnType.NUMBER, "PSA", "ng/mL"),
        Column(
            "grade", ColumnType.CATEGORY, "Gräde " * 60, levels=("none", "I", "<b>"), ordered=True
        ),
        Column(LONG, ColumnType.BOOLEAN, "The event happened"),
    ),
    ("patient",),
)
ROWS = [
    {
        "patient": "Ä-1",
        "seen": date(1899, 12, 31),
        "age": 90,
        "psa": 0.1,
        "grade": "<b>",
        LONG: True,
    },
    {
        "patient": "=1+1",
        "seen": date(2016, 2, 29),
        "age": -5,
        "psa": 1e9,
        "grade": "I",
        LONG: False,
    },
    {"patient": "x" * 3000},
]


def stored(rows: list[dict[str, object]]) -> StoredTable:
    return in_memory(COLUMNS, to_arrow(COLUMNS, rows))


def read(path: Path, kind: str, *, labels: bool = False) -> tuple[pd.DataFrame, object]:
    reader = pyreadstat.read_dta if kind == "stata" else pyreadstat.read_sav
    frame, about = reader(str(path), apply_value_formats=labels)
    return frame, about


@pytest.mark.parametrize("kind", ENDINGS)
def test_what_is_written_is_read_back(kind, tmp_path):
    path = tmp_path / f"patients.{ENDINGS[kind]}"
    write_labelled(stored(ROWS), kind, path)
    frame, about = read(path, kind)
    name = frame.columns[5]
    assert list(frame.columns[:5]) == ["patient", "seen", "age", "psa", "grade"]
    assert list(frame["patient"]) == ["Ä-1", "=1+1", "x" * 3000]
    assert list(frame["seen"])[:2] == [date(1899, 12, 31), date(2016, 2, 29)]
    assert list(frame["age"])[:2] == [90, -5]
    assert list(frame["psa"])[:2] == [0.1, 1e9]
    assert list(frame["grade"])[:2] == [3, 2]
    assert list(frame[name])[:2] == [1, 0]
    assert frame.iloc[2, 1:].isna().all()
    labels = about.column_names_to_labels
    assert labels["psa"] == "PSA [ng/mL]"
    assert labels["grade"].startswith("Gräde Gräde")
    assert about.variable_value_labels["grade"] == {1: "none", 2: "I", 3: "<b>"}
    assert about.variable_value_labels[name] == {0: "no", 1: "yes"}
    assert about.file_label == "One row per patient"
    if kind == "stata":
        assert name.startswith("time_to_biochemical_fai_")
        assert labels[name] == f"{LONG}: The event happened"
    else:
        assert (name, labels[name]) == (LONG, "The event happened")


@pytest.mark.parametrize("kind", ENDINGS)
def test_the_same_table_gives_the_same_bytes(kind, tmp_path, monkeypatch):
    """Whenever it is written: the files of ReadStat begin with the time."""
    paths = [tmp_path / f"{name}.{ENDINGS[kind]}" for name in ("one", "other")]
    write_labelled(stored(ROWS), kind, paths[0])
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    write_labelled(stored(ROWS), kind, paths[1])
    monkeypatch.undo()
    time.tzset()
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert str(date.today().year).encode() not in paths[0].read_bytes()[:1024]


def test_pandas_reads_what_is_for_stata(tmp_path):
    """A second reader, which ReadStat is no part of."""
    write_labelled(stored(ROWS), "stata", tmp_path / "p.dta")
    frame = pd.read_stata(tmp_path / "p.dta")
    assert list(frame["grade"])[:2] == ["<b>", "I"]
    assert list(frame["seen"])[:2] == [pd.Timestamp(1899, 12, 31), pd.Timestamp(2016, 2, 29)]
    assert frame["age"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize("kind", ENDINGS)
def test_a_table_without_rows(kind, tmp_path):
    path = tmp_path / f"patients.{ENDINGS[kind]}"
    write_labelled(stored([]), kind, path)
    frame, about = read(path, kind)
    assert len(frame) == 0
    assert about.column_names_to_labels["psa"] == "PSA [ng/mL]"


@pytest.mark.slow
def test_cohort_writes_every_table_for_both_programs(tmp_path):
    """The values are those of the CSV files; two names that are cut are not alike."""
    target = tmp_path / "cohort"
    options = ("--as-of", AS_OF, "--no-report", "--identified", "--yes")
    ran = cli("cohort", COHORT, target, *options, "--format", "csv,stata,spss")
    assert ran.code == 0, ran.err
    tables = sorted(file.stem for file in target.glob("*.csv") if file.stem != "dictionary")
    assert len(tables) == 7
    for kind, ending in ENDINGS.items():
        assert sorted(file.stem for file in target.glob(f"*.{ending}")) == tables
        for name in tables:
            frame, _ = read(target / f"{name}.{ending}", kind, labels=True)
            text = pd.read_csv(target / f"{name}.csv", keep_default_na=False, dtype=str)
            assert len(frame) == len(text)
            assert len(set(frame.columns)) == len(text.columns)
            for place, column in enumerate(text):
                missing = frame.iloc[:, place].isna() | frame.iloc[:, place].astype(str).eq("")
                assert missing.tolist() == text[column].eq("").tolist(), (kind, name, column)
    patients, _ = read(target / "patients.sav", "spss")
    text = pd.read_csv(target / "patients.csv")
    assert patients["baseline_psa"].fillna(-1).tolist() == text["baseline_psa"].fillna(-1).tolist()
    assert [str(day) for day in patients["index_date"]] == text["index_date"].tolist()


def test_without_the_package_nothing_is_read(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyreadstat", None)
    ran = cli("cohort", COHORT, tmp_path / "cohort", "--as-of", AS_OF, "--format", "stata")
    assert ran.code == 2
    assert "install fhircryo[readstat]" in ran.err
    assert not (tmp_path / "cohort").exists()
