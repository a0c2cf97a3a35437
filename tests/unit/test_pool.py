"""Cohort folders of several hospitals as one."""

import csv
import json
import os
import re
import shutil
from collections.abc import Callable
from math import log
from pathlib import Path
from typing import Any

import frictionless
import pandas as pd
import pyarrow.parquet as pq
import pytest

from fhircryo.errors import TargetError
from fhircryo.research.folder_options import TABLES
from fhircryo.research.pool import pool_folder
from fhircryo.research.statistics.heterogeneity import combine, pooled_proportion
from fhircryo.research.statistics.proportions import proportion
from tests.unit.hostile_text import FORGED, HOSTILE, MARKUP
from tests.unit.inputs import AS_OF, COHORT, cli

# ---------------------------------------------------------------- statistics

#: Tuberculosis with and without BCG: cases and others, vaccinated and not; Colditz et al., JAMA
#: 1994;271:698-702, as dat.bcg of R's metafor has it.
BCG = [
    (4, 119, 11, 128),
    (6, 300, 29, 274),
    (3, 228, 11, 209),
    (62, 13536, 248, 12619),
    (33, 5036, 47, 5761),
    (180, 1361, 372, 1079),
    (8, 2537, 10, 619),
    (505, 87886, 499, 87892),
    (29, 7470, 45, 7232),
    (17, 1699, 65, 1600),
    (186, 50448, 141, 27197),
    (5, 2493, 3, 2338),
    (27, 16886, 29, 17825),
]


def test_the_model_gives_what_metafor_prints():
    """rma(method="DL") of the log risk ratios: -0.7141 (-1.0644 to -0.3638), Q 152.2330."""
    effects = [log(a / (a + b)) - log(c / (c + d)) for a, b, c, d in BCG]
    found = combine(effects, [1 / a - 1 / (a + b) + 1 / c - 1 / (c + d) for a, b, c, d in BCG])
    shown = [round(one, 4) for one in (found.estimate, found.lower, found.upper, found.tau2)]
    assert shown == [-0.7141, -1.0644, -0.3638, 0.3088]
    assert (round(found.q, 4), found.df, round(100 * found.i2, 2)) == (152.2330, 12, 92.12)
    assert found.p < 1e-4


def test_sites_that_agree_have_no_heterogeneity():
    found = pooled_proportion([proportion(30, 100), proportion(60, 200), proportion(0, 0)])
    assert (found.sites, found.df, found.i2, found.tau2) == (2, 1, 0, 0)
    assert found.estimate == pytest.approx(0.3)
    assert found.q == pytest.approx(0, abs=1e-20)
    assert found.p == pytest.approx(1)
    assert not found.corrected


def test_q_of_two_sites_by_hand():
    """Two logits with variances v: Q is the squared difference over the sum of the variances."""
    found = pooled_proportion([proportion(10, 40), proportion(20, 40)])
    difference, variance = log(10 / 30) - log(1), 1 / 10 + 1 / 30 + 2 / 20
    assert found.q == pytest.approx(difference**2 / variance)
    assert found.i2 == pytest.approx(1 - variance / difference**2)
    assert 0.25 < found.estimate < 0.5


def test_what_has_no_model():
    assert pooled_proportion([proportion(3, 9)]) is None
    assert pooled_proportion([proportion(3, 9), proportion(0, 0)]) is None
    assert pooled_proportion([proportion(0, 9), proportion(0, 5)]) is None
    assert pooled_proportion([proportion(9, 9), proportion(5, 5)]) is None
    assert pooled_proportion([proportion(1, 9), proportion(0, 5)]).corrected


# ---------------------------------------------------------------- two hospitals and the whole


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example cohort whole, in two halves with keys of their own, and as an aggregate."""
    place = tmp_path_factory.mktemp("pool")
    lines = (COHORT / "Patient.ndjson").read_text().splitlines()
    (place / "half.txt").write_text(
        "\n".join(sorted(json.loads(line)["id"] for line in lines)[:37]) + "\n"
    )
    for name, *options in (
        ("whole", "--no-report"),
        ("east", "--patients", place / "half.txt", "--no-report"),
        ("west", "--exclude", place / "half.txt", "--no-report", "--format", "csv"),
        ("shown", "--aggregate-only"),
    ):
        ran = cli("cohort", COHORT, place / name, "--as-of", AS_OF, *options)
        assert ran.code == 0, ran.err
    ran = cli("pool", place / "east", place / "west", place / "shown", place / "out")
    assert ran.code == 0, ran.err
    return place


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """Copies of the folders, to be changed."""
    for name in ("east", "west", "shown"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def rates_of(folder: Path) -> dict[str, tuple[Any, Any]]:
    found = json.loads((folder / "rates.json").read_text())["rates"]
    return {one["key"]: (one["successes"], one["n"]) for one in found}


def forest(out: Path, key: str) -> dict[str, tuple[str, str]]:
    with (out / "figures" / f"forest-{key}.csv").open(newline="") as lines:
        return {
            row["site"] or row["row"]: (row["successes"], row["n"]) for row in csv.DictReader(lines)
        }


@pytest.mark.slow
@pytest.mark.parametrize("table", TABLES)
def test_the_pooled_tables_are_the_rows_of_the_sites(made, table):
    """East was read of Parquet, West of CSV, and both give what the whole has."""
    pooled = pd.read_parquet(made / "out" / f"{table}.parquet")
    whole = pd.read_parquet(made / "whole" / f"{table}.parquet")
    assert set(pooled["site"]) == {"east", "west"}
    assert list(pooled.drop(columns="site").columns) == list(whole.columns)
    if table == "not_used":
        return  # of the other half, each site has what it does not use
    assert len(pooled) == len(whole)
    for column in whole.columns.drop("patient"):
        values = [frame[column].astype(object).map(repr) for frame in (pooled, whole)]
        assert sorted(values[0]) == sorted(values[1]), column
        assert pooled[column].dtype == whole[column].dtype


def test_pseudonyms_are_apart_by_site(made):
    pooled = pd.read_parquet(made / "out" / "patients.parquet")
    assert all(pooled["patient"] == pooled["site"] + ":" + pooled["patient"].str.split(":").str[1])
    assert pooled["patient"].is_unique
    events = pd.read_parquet(made / "out" / "events.parquet")
    assert set(events["patient"]) <= set(pooled["patient"])


@pytest.mark.slow
def test_the_data_package_describes_the_tables(made):
    report = frictionless.validate(str(made / "out" / "datapackage.json"))
    assert report.valid, report.flatten(["title", "message"])
    assert {
        resource.name
        for resource in frictionless.Package(str(made / "out" / "datapackage.json")).resources
    } == set(TABLES)
    with (made / "out" / "dictionary.csv").open(newline="") as lines:
        assert sum(row["column"] == "site" for row in csv.DictReader(lines)) == len(TABLES)


def test_the_rates_of_the_sites_add_up_to_the_whole(made):
    whole, shown, halves = rates_of(made / "whole"), rates_of(made / "shown"), []
    halves = [rates_of(made / name) for name in ("east", "west")]
    assert whole["disease-free-12-months"] == (36, 57)
    for key, (yes, n) in whole.items():
        assert (yes, n) == tuple(
            sum(pair) for pair in zip(*(half[key] for half in halves), strict=True)
        )
        found = forest(made / "out", key)
        assert found["east"] == tuple(map(str, halves[0][key]))
        # The aggregate takes part where it shows the rate, and is left out where it does not.
        again = shown[key] if shown[key][0] is not None else (0, 0)
        assert found["shown"] == (("", "") if shown[key][0] is None else tuple(map(str, again)))
        assert found["total"] == (str(yes + again[0]), str(n + again[1]))
    assert shown["major-complication-clavien"] == (None, None)
    assert shown["disease-free-12-months"] == (36, 57)


SCRIPT = re.compile(r"<script[^>]*>.*?</script>", re.DOTALL)


def without_scripts(page: str) -> str:
    """A page without its drawings, which are data, and its programs."""
    return SCRIPT.sub("", page)


def test_the_report_and_the_manifest_name_the_sites(made):
    text = (made / "out" / "pool.html").read_text()
    assert "rates only (aggregate only)" in text
    assert "Together (n = 62)" in text
    assert "I²" in text
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", without_scripts(text))
    manifest = json.loads((made / "out" / "manifest.json").read_text())
    assert [(one["name"], one["tables"], one["as_of"]) for one in manifest["sites"]] == [
        ("east", "pseudonymised", "2017-12-31"),
        ("west", "pseudonymised", "2017-12-31"),
        ("shown", "aggregate-only", "2017-12-31"),
    ]
    assert sum(one["patients"] for one in manifest["sites"][:2]) == 62
    assert manifest["tables"] == "pseudonymised"
    assert str(made) not in json.dumps(manifest) + text


@pytest.mark.slow
def test_aggregates_alone_have_no_tables(made, copied):
    other = copied / "other"
    assert cli("cohort", COHORT, other, "--as-of", "2016-12-31", "--aggregate-only").code == 0
    ran = cli("pool", made / "shown", other, copied / "out")
    assert ran.code == 0
    names = {file.name for file in (copied / "out").iterdir()}
    assert names == {"manifest.json", "pool.html", "figures"}
    assert json.loads((copied / "out" / "manifest.json").read_text())["tables"] == "aggregate-only"
    text = (copied / "out" / "pool.html").read_text()
    assert "2016-12-31" in text
    assert "The data cut-offs differ" in text
    assert forest(copied / "out", "salvage-therapy")["total"] == ("12", "123")


@pytest.mark.slow
def test_a_later_run_replaces_the_folder(made, copied):
    for formats in ("csv,parquet", "parquet"):
        ran = cli("pool", copied / "east", copied / "west", copied / "out", "--format", formats)
        assert ran.code == 0
    assert not (copied / "out" / "patients.csv").exists()
    assert (copied / "out" / "patients.parquet").exists()


# ---------------------------------------------------------------- names and pseudonyms


@pytest.mark.slow
def test_the_same_pseudonym_at_two_sites_is_two_patients(made, copied):
    """West is rewritten so that one of its patients has a pseudonym of East."""
    east = pd.read_parquet(made / "east" / "patients.parquet")["patient"][0]
    west = pd.read_csv(made / "west" / "patients.csv")["patient"][0]
    for file in (copied / "west").glob("*.csv"):
        file.write_text(file.read_text().replace(west, east))
    ran = cli("pool", copied / "east", copied / "west", copied / "out")
    assert ran.code == 0
    assert "warning: 1 pseudonyms occur at several sites" in ran.err
    assert "1 pseudonyms occur at several sites" in (copied / "out" / "pool.html").read_text()
    patients = pd.read_parquet(copied / "out" / "patients.parquet")["patient"]
    assert len(patients) == 62
    assert {f"east:{east}", f"west:{east}"} <= set(patients)
    assert "occur at several" not in (made / "out" / "pool.html").read_text()


@pytest.mark.slow
def test_hostile_names(made, tmp_path):
    names = ("=HYPERLINK(1)" + HOSTILE, MARKUP, "$\\frac$")
    inputs = [made / name for name in ("east", "west", "shown")]
    ran = cli("pool", *inputs, tmp_path / "out", *(f"--name={one}" for one in names))
    assert ran.code == 0
    text = (tmp_path / "out" / "pool.html").read_text()
    assert "<img src=x" not in without_scripts(text)
    assert len(SCRIPT.findall(text)) == len(SCRIPT.findall((made / "out/pool.html").read_text()))
    assert "\u202e" not in text + ran.out + ran.err
    assert not [line for line in (ran.out + ran.err).splitlines() if line.startswith(FORGED)]
    for file in tmp_path.glob("out/**/*.csv"):
        with file.open(newline="") as lines:
            for row in csv.reader(lines):
                assert not [one for one in row if one.startswith(("=", "\x1b"))], file
    for svg in tmp_path.glob("out/figures/*.svg"):
        assert "<script" not in svg.read_text()
    assert frictionless.validate(str(tmp_path / "out" / "datapackage.json")).valid


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("A",), "1 names for 2 folders"),
        (("A", "a"), "not distinct"),
        (("A", " \n"), "a site without a name"),
        (("A b", "A\tb"), "not distinct"),
    ],
)
def test_names_that_do_not_tell_sites_apart(made, tmp_path, names, message):
    options = [f"--name={one}" for one in names]
    ran = cli("pool", made / "east", made / "west", tmp_path / "out", *options)
    assert ran.code == 2
    assert message in ran.err


# ---------------------------------------------------------------- what is refused


def changed(file: Path, change: Callable[[Any], Any]) -> None:
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def edit(name: str, **values: Any) -> Callable[[Path], None]:
    return lambda west: changed(west / name, lambda content: content.update(values))


def protocol(**values: str) -> Callable[[Path], None]:
    return lambda west: changed(
        west / "manifest.json", lambda content: content["protocol"].update(values)
    )


def column(change: Callable[[pd.DataFrame], Any]) -> Callable[[Path], None]:
    """Change the table of PSA results as a spreadsheet would."""

    def write(west: Path) -> None:
        frame = pd.read_csv(west / "psa.csv", dtype=object, keep_default_na=False)
        change(frame)
        frame.to_csv(west / "psa.csv", index=False)

    return write


def field(table: str, column_name: str, /, **values: Any) -> Callable[[Path], None]:
    def change(content: Any) -> None:
        resource = next(one for one in content["resources"] if one["name"] == table)
        found = next(one for one in resource["schema"]["fields"] if one["name"] == column_name)
        found.update(values)

    return lambda west: changed(west / "datapackage.json", change)


def pipe(file: Path) -> None:
    """Put a pipe that nobody writes to in the place of a file."""
    file.unlink()
    os.mkfifo(file)


def twice(west: Path) -> None:
    lines = (west / "patients.csv").read_text().splitlines()
    (west / "patients.csv").write_text("\n".join([*lines, lines[-1]]) + "\n")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda west: (west / "manifest.json").unlink(), "not a folder that fhircryo cohort wrote"),
        (lambda west: (west / "manifest.json").write_text("{"), "cannot be read"),
        (lambda west: (west / "manifest.json").write_text("[]"), "not a folder that"),
        (edit("manifest.json", tables="identified"), "identified tables are not pooled"),
        (edit("manifest.json", tables="other"), "damaged"),
        (edit("manifest.json", mappings={"overlays": float("inf")}), "damaged"),
        (lambda west: pipe(west / "manifest.json"), "it is not a regular file"),
        (lambda west: pipe(west / "psa.csv"), "psa.csv is not a regular file"),
        (edit("manifest.json", as_of="x"), "damaged"),
        (edit("manifest.json", sites=[]), "already pooled"),
        (edit("manifest.json", fhircryo="0.0.9"), "written by fhircryo 0.0.9"),
        (protocol(id="oishi-2019"), "different protocols (bomers-2020 2.0 and oishi-2019 2.0)"),
        (protocol(version="1.0"), "different protocols (bomers-2020 2.0 and bomers-2020 1.0)"),
        (protocol(sha256="0"), "other content under the same name"),
        (lambda west: (west / "psa.csv").unlink(), "the table psa is missing"),
        (lambda west: (west / "datapackage.json").unlink(), "it has no datapackage.json"),
        (edit("datapackage.json", resources=[]), "the table patients is missing"),
        (edit("datapackage.json", resources=3), "damaged"),
        (lambda west: (west / "psa.csv").write_bytes(b'"'), "the table psa cannot be read"),
        (lambda west: (west / "psa.parquet").write_bytes(b"x"), "the table psa cannot be read"),
        (lambda west: (west / "psa.parquet").mkdir(), "the table psa cannot be read"),
        (column(lambda psa: psa.pop("days")), "other columns than datapackage.json says: days"),
        (column(lambda psa: psa.insert(0, "=x", 1)), "other columns than datapackage.json says"),
        (column(lambda psa: psa.insert(0, "days ", 1)), "other columns"),
        (column(lambda psa: psa.update({"judgement": ["fine"] * len(psa)})), "none of its levels"),
        (field("psa", "days", name="day"), "other columns than datapackage.json says"),
        (field("psa", "days", name="=1+1"), "is no name of a column"),
        (field("psa", "psa", unit="ug/L"), "psa is not of the type number"),
        (field("psa", "days", type="number"), "days is not of the type integer"),
        (twice, "a patient has several rows"),
    ],
)
def test_what_cannot_be_pooled(copied, change, message):
    change(copied / "west")
    ran = cli("pool", copied / "east", copied / "west", copied / "out")
    assert ran.code == 2, ran.err
    assert message in ran.err
    assert not (copied / "out").exists()


def aggregate(change: Callable[[Any], Any]) -> Callable[[Path], None]:
    return lambda shown: changed(shown / "rates.json", lambda content: change(content["rates"][0]))


@pytest.mark.parametrize(
    "change",
    [
        aggregate(lambda one: one.update(successes=9, n=3)),
        aggregate(lambda one: one.update(n=None)),
        aggregate(lambda one: one.update(successes=1.5)),
        aggregate(lambda one: one.pop("key")),
        lambda shown: (shown / "rates.json").unlink(),
        lambda shown: (shown / "flow.json").write_text("[]"),
    ],
)
def test_a_damaged_aggregate(copied, change):
    change(copied / "shown")
    ran = cli("pool", copied / "east", copied / "shown", copied / "out")
    assert ran.code == 2, ran.err
    assert "shown" in ran.err
    assert not (copied / "out").exists()


@pytest.mark.slow
def test_csv_and_parquet_that_differ(copied):
    """A patient who withdrew was taken out of the CSV alone."""
    lines = (copied / "east" / "patients.csv").read_text().splitlines()
    (copied / "east" / "patients.csv").write_text("\n".join(lines[:-1]) + "\n")
    ran = cli("pool", copied / "east", copied / "west", copied / "out")
    assert ran.code == 2
    assert "patients.csv and patients.parquet differ" in ran.err
    (copied / "east" / "patients.parquet").unlink()
    ran = cli("pool", copied / "east", copied / "west", copied / "out")
    assert ran.code == 0
    assert len(pd.read_parquet(copied / "out" / "patients.parquet")) == 61


@pytest.mark.slow
def test_parquet_in_parts(made, copied):
    """As the engine spark writes it."""
    (copied / "east" / "psa.csv").unlink()
    whole = copied / "east" / "psa.parquet"
    table = pq.read_table(whole)
    whole.unlink()
    whole.mkdir()
    pq.write_table(table.slice(0, 20), whole / "part-00000.parquet")
    pq.write_table(table.slice(20), whole / "part-00001.parquet")
    assert cli("pool", copied / "east", copied / "west", copied / "out").code == 0
    files = [place / "out" / "psa.parquet" for place in (made, copied)]
    assert pd.read_parquet(files[0]).equals(pd.read_parquet(files[1]))


@pytest.mark.slow
def test_a_site_without_patients(made, copied):
    (copied / "nobody.txt").write_text("no-such-patient\n")
    empty = copied / "empty"
    cli("cohort", COHORT, empty, "--as-of", AS_OF, "--patients", copied / "nobody.txt")
    ran = cli("pool", copied / "east", copied / "west", empty, copied / "out")
    assert ran.code == 0, ran.err
    assert forest(copied / "out", "disease-free-12-months")["empty"] == ("0", "0")
    assert forest(copied / "out", "disease-free-12-months")["total"] == ("36", "57")
    frames = [pd.read_parquet(place / "out" / "patients.parquet") for place in (made, copied)]
    assert frames[0].equals(frames[1])
    assert "empty (n = 0)" in (copied / "out" / "pool.html").read_text()


@pytest.mark.slow
def test_more_sites_than_lines(copied):
    """Curves of seven sites are not drawn, and the report says so."""
    places = []
    for number in range(7):
        place = copied / f"s{number}"
        shutil.copytree(copied / "west", place)
        lines = (place / "patients.csv").read_text().splitlines()
        (place / "patients.csv").write_text("\n".join([lines[0], *lines[number + 1 :]]) + "\n")
        places.append(place)
    ran = cli("pool", *places, copied / "out")
    assert ran.code == 0, ran.err
    assert not list((copied / "out" / "figures").glob("groups-*"))
    text = (copied / "out" / "pool.html").read_text()
    assert "Curves of more than 6 sites are not drawn" in text
    assert "s6</th>" in text


def test_a_copy_is_not_a_second_hospital(copied):
    shutil.copytree(copied / "east", copied / "north")
    (copied / "north" / "patients.parquet").unlink()
    ran = cli("pool", copied / "east", copied / "north", copied / "out")
    assert ran.code == 2
    assert "is it a copy?" in ran.err


def test_a_site_that_shows_numbers_without_end_is_damaged(copied):
    changed(copied / "shown" / "flow.json", lambda content: content.update(cohort=float("inf")))
    ran = cli("pool", copied / "east", copied / "shown", copied / "out")
    assert ran.code == 2, ran.err
    assert "damaged" in ran.err


def test_a_manifest_names_no_file_to_open(copied, monkeypatch):
    """The protocol of a site's manifest is a shipped one, and no path within what it sent."""
    monkeypatch.chdir(copied)
    (copied / "west" / "own.yaml").write_text("secret: of this machine\n")
    for site in ("east", "west"):
        protocol(id="west/own.yaml")(copied / site)
    ran = cli("pool", copied / "east", copied / "west", copied / "out")
    assert ran.code == 2
    assert "is none of the shipped ones" in ran.err
    assert "secret" not in ran.err


def test_folders_that_are_named_wrongly(copied):
    east, west = copied / "east", copied / "west"
    for arguments, message in (
        ((east, copied / "out"), "name two or more"),
        ((east, east, copied / "out"), "the same folder"),
        ((east, copied / "west" / ".." / "east", copied / "out"), "the same folder"),
        ((east, west, east), "OUT, the last folder"),
        ((east, west, west / "out"), "or lies in it"),
        ((east, west, copied), "TARGET holds SOURCE"),
        ((east, west, copied / "shown"), "TARGET holds something else"),
        ((east, copied / "none", copied / "out"), "not a folder that fhircryo cohort wrote"),
        ((east, west, copied / "out", "--format", "redcap"), "not one of csv, parquet"),
        ((east, west, copied / "out", "--format", ","), "name one or more"),
        ((east, west, copied / "out", "--protocol", "oishi-2019"), "differs from it"),
    ):
        ran = cli("pool", *arguments)
        assert ran.code == 2, ran.err
        assert message in ran.err
    assert {one.name for one in copied.iterdir()} == {"east", "west", "shown"}


def test_a_cohort_does_not_overwrite_a_pooled_folder(made, copied):
    shutil.copytree(made / "out", copied / "out")
    ran = cli("cohort", COHORT, copied / "out", "--as-of", AS_OF)
    assert ran.code == 2
    assert "pool.html" in ran.err


def test_nothing_is_left_of_a_run_that_fails(copied, monkeypatch):
    def full_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pool_folder, "_write_report", full_disk)
    before = sorted(one.name for one in copied.iterdir())
    ran = cli("pool", copied / "east", copied / "west", copied / "out")
    assert ran.code == TargetError.exit_code
    assert "No space left" in ran.err
    assert sorted(one.name for one in copied.iterdir()) == before


# ---------------------------------------------------------------- columns that sites do not share


@pytest.mark.slow
def test_a_site_without_an_instrument_has_empty_columns(copied):
    """An optional instrument of East that West does not have."""
    names = [f"sexual_{point}" for point in ("baseline", "12_months")]

    def extend(content: Any) -> None:
        resource = next(one for one in content["resources"] if one["name"] == "patients")
        resource["schema"]["fields"] += [
            {"name": name, "type": "number", "description": "A score"} for name in names
        ]

    changed(copied / "east" / "datapackage.json", extend)
    (copied / "east" / "patients.parquet").unlink()
    frame = pd.read_csv(copied / "east" / "patients.csv", dtype=object, keep_default_na=False)
    lines = (copied / "east" / "patients.csv").read_text().splitlines()
    heading = ",".join([lines[0], *(f'"{name}"' for name in names)])
    rows = [f"{line},{number},{number}.5" for number, line in enumerate(lines[1:])]
    (copied / "east" / "patients.csv").write_text("\n".join([heading, *rows]) + "\n")
    assert len(frame) == len(rows)
    ran = cli("pool", copied / "east", copied / "west", copied / "out")
    assert ran.code == 0, ran.err
    pooled = pd.read_parquet(copied / "out" / "patients.parquet")
    of_east = pooled["site"] == "east"
    assert list(pooled.loc[of_east, names[1]]) == [one + 0.5 for one in range(len(rows))]
    assert pooled.loc[~of_east, names[1]].isna().all()
    assert frictionless.validate(str(copied / "out" / "datapackage.json")).valid
