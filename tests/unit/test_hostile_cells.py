"""Cells that a spreadsheet would compute: neutralised in every CSV file; nothing else changes."""

import csv
import json
import re
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhircryo.research.quoting import cell, cells
from tests.unit import inputs

SIGNS = "=+-@＝＋－＠"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+SUM(A1)", "'+SUM(A1)"),
        ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\rtext", "'\rtext"),
        ("\ntext", "'\ntext"),
        ("＝1+1", "'＝1+1"),
        ("  =1", "'  =1"),
        ('"=1', "'\"=1"),
        ("\u00a0=1", "'\u00a0=1"),
        ("\u200b=1", "'\u200b=1"),
        ("\x00=1", "'\x00=1"),
        ("'=1", "''=1"),
        ("'tis", "''tis"),
        ("-5", "-5"),
        ("+4.25", "+4.25"),
        ("-5\n", "'-5\n"),
        ("-5+1", "'-5+1"),
        ("- 5", "'- 5"),
        ("plain", "plain"),
        ("a=b", "a=b"),
        ("<0.1", "<0.1"),
        ("", ""),
    ],
)
def test_cells(text: str, written: str):
    assert cell(text) == written
    assert cells(pa.chunked_array([[text, None]])).to_pylist() == [written, None]


@given(st.text(st.sampled_from(" \"'`\t\r\n\x00\u00a0\u200b\ufeff=+-@＝＠a1.e5") | st.characters()))
def test_both_ways_agree_and_the_text_comes_back(text: str):
    written = cell(text)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert cells(pa.chunked_array([[text]])).to_pylist() == [written]
    assert re.sub("^'", "", written) == text
    shown = written.lstrip('" `\t\r\n\x00\u00a0\u200b\ufeff')
    assert not shown.startswith(tuple(SIGNS)) or re.fullmatch(r"[+-][0-9]+(\.[0-9]+)?", text)


FORMULA = '=HYPERLINK("https://evil.example","x")'
RECORD = [
    inputs.patient("-2+3", birthDate="1950-01-01"),
    inputs.procedure("-x1", of="-2+3"),
    inputs.psa("-a0", "2015-12-01", 4.0, of="-2+3"),
    inputs.psa("-a1", "2016-03-01", 0.4, of="-2+3"),
    inputs.psa("-a2", "2016-12-10", 3.5, of="-2+3"),
    inputs.lab("l1", of="-2+3", code={"text": FORMULA}),
    inputs.lab("l2", of="-2+3", code={"coding": [{"system": FORMULA, "code": f"@{FORMULA}"}]}),
    inputs.procedure(
        "l3", of="-2+3", code={"coding": [{"system": f"+{FORMULA}", "code": f"-{FORMULA}"}]}
    ),
]
#: What begins a cell that is computed, after blanks and quotes.
_COMPUTED = re.compile(r"^[\s\"]*[=+\-@＝＋－＠\t\r]")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    base = tmp_path_factory.mktemp("cells")
    source = inputs.folder(base / "in", {"a.ndjson": RECORD})
    done = inputs.cli(
        "cohort", source, base / "out", "--as-of", "2017-12-31", "--identified", "--yes",
        "--format", "csv,parquet,redcap,omop",
    )  # fmt: skip
    assert done.code == 0, done.err
    return base / "out"


@pytest.mark.slow
def test_no_csv_file_holds_a_formula(folder):
    files = list(folder.rglob("*.csv"))
    assert {"patients.csv", "redcap_patients.csv", "dictionary.csv", "psa-courses.csv"} <= {
        file.name for file in files
    }
    neutralised = 0
    for file in files:
        with file.open(newline="", encoding="utf-8") as opened:
            for row in csv.reader(opened):
                for text in row:
                    neutralised += text.startswith("'")
                    if not re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
                        assert not _COMPUTED.search(text), (file.name, text)
    assert neutralised


@pytest.mark.slow
def test_numbers_stay_numbers_and_texts_come_back(folder):
    written = pd.read_csv(folder / "psa.csv")
    assert (written["days"] < 0).any()
    assert written["days"].dtype == "int64"
    assert set(written["patient"]) == {"'-2+3"}
    kept = pq.read_table(folder / "psa.parquet").to_pandas()
    assert set(kept["patient"]) == {"-2+3"}
    assert list(written["patient"].str.replace("^'", "", regex=True)) == list(kept["patient"])
    assert list(written["days"]) == list(kept["days"])


@pytest.mark.slow
def test_what_was_not_used_is_told_with_its_code(folder):
    written = pd.read_csv(folder / "not_used.csv")
    codes = set(pq.read_table(folder / "not_used.parquet").to_pandas()["code"])
    assert any(code.startswith(tuple(SIGNS)) for code in codes), codes
    assert set(written["code"].str.replace("^'", "", regex=True)) == codes


@pytest.mark.slow
def test_redcap_keeps_negative_days_and_one_record_name(folder):
    records = pd.read_csv(folder / "redcap_psa.csv")
    assert records["psa_days"].min() < 0
    assert set(records["record_id"]) == set(
        pd.read_csv(folder / "redcap_patients.csv")["record_id"]
    )


@pytest.mark.slow
def test_the_data_package_describes_what_is_written(folder):
    frictionless = pytest.importorskip("frictionless")
    report = frictionless.validate(str(folder / "datapackage.json"), type="package")
    assert report.valid, report.flatten(["type", "message"])[:5]
    assert json.loads((folder / "datapackage.json").read_text(encoding="utf-8"))["resources"]
