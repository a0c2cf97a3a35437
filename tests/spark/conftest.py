"""A Spark of this machine for all tests of a process."""

import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec

import pytest


def _lacking() -> str:
    """What is missing to start Spark; empty if nothing is."""
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        return "no Java: install a Java 17 runtime to run the tests of Spark"
    if find_spec("pyspark") is None:
        return "no PySpark: uv sync --extra spark"
    return ""


@pytest.fixture(scope="session")
def spark() -> Iterator:
    """Spark with two tasks at a time, each in at most two attempts."""
    if lacking := _lacking():
        if os.environ.get("CI") == "true":
            pytest.fail(lacking)
        pytest.skip(lacking)
    from fhircryo.runs.spark.session import spark_session

    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    with spark_session("local[2,2]", {"spark.ui.enabled": "false"}) as session:
        yield session
