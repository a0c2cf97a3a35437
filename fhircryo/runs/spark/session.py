"""Starts Spark with what this program needs of it, or says what is missing."""

import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

from fhircryo.errors import SourceError, TargetError, UsageError
from fhircryo.logs import line_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: What Hadoop says where the target cannot be written.
_OF_TARGET = ("access=WRITE", "FileAlreadyExists", "No space left")
#: How the trace of a task in Python ends.
_PYTHON_ERROR = re.compile(r"(?:[a-z_]+\.)*[A-Z]\w*(?:Error|Exception|Resource): ")
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
        from py4j.protocol import Py4JError
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
    except (PySparkException, Py4JError, RuntimeError, OSError) as error:
        raise UsageError(
            f"Spark cannot be started: {_cause(error)}; check the master, and that Java 17 or later"
            " is installed (JAVA_HOME)"
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
        if any(sign in words for sign in (*_OF_TARGET, target)):
            raise TargetError(f"{target}: cannot be written by Spark: {words}") from error
        raise SourceError(f"{source}: Spark failed: {words}") from error
    except OSError as error:
        raise TargetError(f"{target}: cannot be written: {error.strerror or error}") from error


def _cause(error: Exception) -> str:
    """The last cause that Spark names, in one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    lines = [line for line in lines if line and not line.startswith(("at ", "..."))]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    python = [line for line in lines if _PYTHON_ERROR.match(line)]
    first = [line.removeprefix(": ") for line in lines if line.startswith(": ")][:1]
    words = line_of((python or causes or first or lines or ["unknown"])[-1]).rstrip(".")
    if "FileSystem not found" in words or "No FileSystem for scheme" in words:
        words += " (this Spark lacks the library of the file system, hadoop-aws for s3a)"
    return words
