"""Fetches and compiles the HAPI server, once: what it consists of stays in a cache folder.

Needs Java 17 (a JDK) and Maven. What Maven fetches (400 MB) and what javac makes stand in a folder
named by the hash of the pom, so that a CI can keep the cache between runs and several can share it.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess  # nosec B404
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from fhircryo.errors import UsageError

SERVER = Path(__file__).resolve().parent / "server"
POM = SERVER / "pom.xml"
_LOG_END = 30


class HapiUnavailable(UsageError):
    """No server can be had here: what to install, or the end of what the tool said."""


def cache_folder() -> Path:
    """The folder that ``HAPI_CACHE`` names, else one in the user's cache."""
    named = os.environ.get("HAPI_CACHE")
    found = Path(named) if named else platformdirs.user_cache_path("fhircryo") / "hapi"
    return found.absolute()


def tool(name: str, package: str) -> str:
    """The path of a program.

    Raises:
        HapiUnavailable: it is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise HapiUnavailable(f"{name} is not installed (on Debian: apt install {package})")
    return found


def run_tool(command: list[str], log: Path) -> None:
    """Run a tool, whose output goes to a log.

    Raises:
        HapiUnavailable: it fails.
    """
    with log.open("wb") as file:
        # The tools are found on the path, and all arguments are ours.
        code = subprocess.run(  # noqa: S603  # nosec B603
            command, stdout=file, stderr=subprocess.STDOUT, check=False
        ).returncode
    if code:
        raise HapiUnavailable(f"{command[0]} failed with {code}; see {log}\n{end_of(log)}")


def end_of(log: Path) -> str:
    """The last lines of a log."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(line[:400] for line in lines[-_LOG_END:])


def file_hash(*files: Path) -> str:
    """The beginning of the hash of files."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def one_builder() -> Iterator[None]:
    """Of processes that start together one builds; the others wait and find it done."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_jars(folder: Path) -> Path:
    jars = folder / "jars"
    if not jars.exists():
        command = [tool("mvn", "maven"), "-q", "-B", "-f", str(POM)]
        command += ["dependency:copy-dependencies", "-DincludeScope=runtime"]
        unfinished = folder / "jars.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        run_tool([*command, f"-DoutputDirectory={unfinished}"], folder / "maven.log")
        unfinished.rename(jars)
    return jars


def _compile(folder: Path, jars: Path) -> Path:
    java = sorted(SERVER.glob("*.java"))
    resources = [SERVER / "logback.xml"]
    classes = folder / f"classes-{file_hash(*java, *resources)}"
    if not classes.exists():
        command = [tool("javac", "openjdk-17-jdk-headless"), "-proc:none"]
        unfinished = folder / "classes.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        command += ["-d", str(unfinished), "-cp", f"{jars}/*", *map(str, java)]
        run_tool(command, folder / "javac.log")
        for resource in resources:
            shutil.copy(resource, unfinished)
        unfinished.rename(classes)
    return classes


def classpath() -> str:
    """What ``java -cp`` needs; fetched and compiled where it is not there yet.

    Raises:
        HapiUnavailable: Maven or the compiler is missing, or fails.
    """
    with one_builder():
        folder = cache_folder() / file_hash(POM)
        folder.mkdir(exist_ok=True)
        jars = _fetch_jars(folder)
        return f"{_compile(folder, jars)}{os.pathsep}{jars}/*"
