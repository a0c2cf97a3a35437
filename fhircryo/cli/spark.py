"""Commands that are run by Spark."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from fhircryo.cli.run_options import RunOptions
from fhircryo.errors import UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from fhircryo.runs.execution import Execution
    from fhircryo.runs.run_config import RunConfig


class SparkRun(NamedTuple):
    """What a command needs to be run by Spark."""

    spark: "SparkSession"
    config: "RunConfig"
    how: "Execution"


@contextmanager
def spark_run(
    run: RunOptions,
    target: tuple[str, str],
    master: str | None,
    others: Mapping[str, object],
) -> Iterator[SparkRun]:
    """Start Spark for a command, and stop it at the end.

    ``target``: the name of the argument, and its value. ``others``: the options that Spark does
    not have, each with its value.

    Raises:
        UsageError: an option does not go with Spark, or Spark does not start.
    """
    from fhircryo.cli.progress import progress
    from fhircryo.runs.execution import Execution
    from fhircryo.sources.places import server_of

    given = [name for name, value in others.items() if value]
    if given:
        raise UsageError(f"{given[0]} does not go with --engine spark")
    for name, place in (("SOURCE", run.source), target):
        if server_of(place) is not None:
            raise UsageError(
                f"--engine spark needs a folder as {name}, on this machine, HDFS or S3; export the"
                " server first (--bulk)"
            )
    config = run.config()
    from fhircryo.runs.spark.session import spark_session

    with progress() as (stage, _), spark_session(master) as spark:
        yield SparkRun(spark, config, Execution(stage=stage))


def check_no_master(master: str | None) -> None:
    """Raise a UsageError if a cluster is named that is not used."""
    if master is not None:
        raise UsageError("--spark-master needs --engine spark")
