"""Starts Spark with what this program needs of it, or says what is missing."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from fhircryo.errors import SourceError, TargetError, UsageError
from fhircryo.logs import line_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: What a site may not set otherwise: the result or its protection depends on it.
_NEEDED = {
    # One task writes several files at once, so that Spark does not sort what it writes.
    "spark.sql.maxConcurrentOutputFileWriters": "16",
    # Hashes of references are collected by the driver; they are limited by its memory.
    "spark.driver.maxResultSize": "0",
    # A file that cannot be read stops the run: it is never passed over in silence.
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.sql.session.timeZone": "UTC",
}
#: What a site may set otherwise, in ``spark-defaults.conf`` or by ``spark-submit --conf``.
_DEFAULTS = {
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.files.maxPartitionBytes": str(32 << 20),
    # What is written on a local disk is readable by its owner alone.
    "spark.hadoop.fs.permissions.umask-mode": "077",
    "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
}


@contextmanager
def spark_session(
    master: str | None, more: Mapping[str, str] = MappingProxyType({})
) -> Iterator["SparkSession"]:
    """A session of Spark: the one of ``spark-submit``, or a new one, which is stopped at the end.

    ``master``: the URL of the cluster; None: as Spark's own configuration says, else this machine.
    ``more``: further settings of Spark.

    Raises:
        UsageError: PySpark is not installed, or Spark does not start.
    """
    try:
        from pyspark import SparkConf
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise UsageError(
            '--engine spark needs PySpark, which is not installed: pip install "fhircryo[spark]"'
        ) from None
    conf = SparkConf()
    for key, value in {**_DEFAULTS, **more, **_NEEDED}.items():
        if key in more or key in _NEEDED or not conf.contains(key):
            conf.set(key, value)
    if master is not None:
        conf.setMaster(master)
    elif not conf.contains("spark.master"):
        conf.setMaster("local[*]")
    if conf.get("spark.master", "").startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    try:
        session = SparkSession.builder.appName("fhircryo").config(conf=conf).getOrCreate()
    except (PySparkException, RuntimeError, OSError) as error:
        raise UsageError(
            f"Spark cannot be started: {line_of(str(error))}; it needs Java 17 or later (JAVA_HOME)"
        ) from error
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()


@contextmanager
def words_of_failure(source: str, target: str) -> Iterator[None]:
    """Turn what Spark raises into an error with the words that a user can act on.

    Raises:
        SourceError, TargetError: Spark could not read the source or write the target.
    """
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        words = _cause(error)
        if "AccessControl" in words or "FileAlreadyExists" in words or "No space left" in words:
            raise TargetError(f"{target}: cannot be written by Spark: {words}") from error
        raise SourceError(f"{source}: Spark failed: {words}") from error


def _cause(error: Exception) -> str:
    """The last cause that Spark names, in one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    causes = [line for line in lines if line.startswith("Caused by:")]
    python = [line for line in lines if line.startswith("fhircryo.errors.")]
    return line_of((python or causes or [line for line in lines if line] or ["unknown"])[-1])
