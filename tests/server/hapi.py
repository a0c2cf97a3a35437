"""A real HAPI FHIR server: built once, started as a process, emptied, switched, stopped.

Needs Java 17 (a JDK) and Maven. What Maven fetches (400 MB) and what javac makes stay under
``.cache/hapi`` (or the folder that ``HAPI_CACHE`` names), in a folder named by the hash of the pom,
so that CI can keep it between runs.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import requests

HERE = Path(__file__).resolve().parent / "hapi"
POM = HERE / "pom.xml"
SOURCES = HERE / "src" / "main"
CACHE = Path(os.environ.get("HAPI_CACHE") or HERE.parents[2] / ".cache" / "hapi").absolute()
MAIN = "fhircryo.HapiServer"

#: Seconds until a server must answer; 15 to 45 are usual on two cores.
START_TIMEOUT = 240.0
_READY = b"HAPI ready "
_STOP_TIMEOUT = 20.0
_LOG_END = 30
#: Serial and C1: the least memory, and a tenth to a third faster in runs of minutes.
_JVM = (
    "-Xmx1g",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dunlimited_db_connection=true",
)


class HapiUnavailable(Exception):
    """No server can be had here: what to install, or the end of what the tool said."""


def _tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise HapiUnavailable(f"{name} is not installed (on Debian: apt install {package})")
    return found


def _run(command: list[str], log: Path) -> None:
    with log.open("wb") as file:
        code = subprocess.run(
            command, stdout=file, stderr=subprocess.STDOUT, check=False
        ).returncode
    if code:
        raise HapiUnavailable(f"{command[0]} failed with {code}; see {log}\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(line[:400] for line in lines[-_LOG_END:])


def _hash(*files: Path) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


@contextmanager
def _one_builder() -> Iterator[None]:
    """Test workers start together; one builds, the others wait and find it done."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_jars(folder: Path) -> Path:
    jars = folder / "jars"
    if not jars.exists():
        command = [_tool("mvn", "maven"), "-q", "-B", "-f", str(POM)]
        command += ["dependency:copy-dependencies", "-DincludeScope=runtime"]
        unfinished = folder / "jars.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        _run([*command, f"-DoutputDirectory={unfinished}"], folder / "maven.log")
        unfinished.rename(jars)
    return jars


def _compile(folder: Path, jars: Path) -> Path:
    java = sorted((SOURCES / "java").rglob("*.java"))
    resources = sorted((SOURCES / "resources").iterdir())
    classes = folder / f"classes-{_hash(*java, *resources)}"
    if not classes.exists():
        command = [_tool("javac", "openjdk-17-jdk-headless"), "-proc:none"]
        unfinished = folder / "classes.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        command += ["-d", str(unfinished), "-cp", f"{jars}/*", *map(str, java)]
        _run(command, folder / "javac.log")
        for resource in resources:
            shutil.copy(resource, unfinished)
        unfinished.rename(classes)
    return classes


def classpath() -> str:
    """What ``java -cp`` needs; fetched and compiled where it is not there yet.

    Raises:
        HapiUnavailable: Maven or the compiler is missing, or fails.
    """
    with _one_builder():
        folder = CACHE / _hash(POM)
        folder.mkdir(exist_ok=True)
        jars = _fetch_jars(folder)
        return f"{_compile(folder, jars)}{os.pathsep}{jars}/*"


class HapiServer:
    """A running server. ``url``: its FHIR base, without a slash at the end; ``log``: its log."""

    def __init__(self, url: str, log: Path, process: subprocess.Popen[bytes] | None = None) -> None:
        self.url = url
        self.log = log
        self._process = process

    @classmethod
    def start(
        cls, log: Path | None = None, port: int = 0, **properties: str | int | bool
    ) -> "HapiServer":
        """Start one and wait until it answers.

        ``port`` 0: a free one. ``properties``: the switches of ``HapiServer.java`` (``max_page``,
        ``default_page``, ``update_as_create``, ``delete``, ``integrity_on_write``,
        ``integrity_on_delete``, ``external_references``, ``reuse_searches``, ``reference_types``,
        ``validate_requests``, ``hurry_jobs``), and ``fhir`` = ``R4`` or ``R5``.

        Raises:
            HapiUnavailable: it cannot be built, or does not come up in time.
        """
        java = _tool("java", "openjdk-17-jdk-headless")
        command = [
            java,
            *_JVM,
            *(f"-Dhapi.{key}={_word(value)}" for key, value in properties.items()),
        ]
        command += ["-cp", classpath(), MAIN, str(port)]
        log = log or CACHE / "logs" / f"hapi-{os.getpid()}-{time.monotonic_ns()}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file
            )
        server = cls("", log, process)
        try:
            server.url = server._await_ready()
        except BaseException:
            server.stop()
            raise
        return server

    def _await_ready(self) -> str:
        """The URL that it says when it answers."""
        said: list[bytes] = []
        reader = threading.Thread(target=self._read_stdout, args=(said,), daemon=True)
        reader.start()
        deadline = time.monotonic() + START_TIMEOUT
        while not said:
            if self._process is None or self._process.poll() is not None:
                raise HapiUnavailable(f"HAPI ended; see {self.log}\n{_end_of(self.log)}")
            if time.monotonic() > deadline:
                raise HapiUnavailable(
                    f"HAPI did not answer in {START_TIMEOUT:.0f} s; see {self.log}\n"
                    f"{_end_of(self.log)}"
                )
            time.sleep(0.1)
        return said[0].decode()

    def _read_stdout(self, said: list[bytes]) -> None:
        assert self._process is not None
        stdout: BinaryIO = self._process.stdout  # type: ignore[assignment]
        for line in stdout:  # to the end, so that the pipe never fills up
            if line.startswith(_READY):
                said.append(line.removeprefix(_READY).strip())

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """End its process, by its own id."""
        process = self._process
        if process is None:
            return
        self._process = None
        process.kill()  # all that it holds is in memory
        process.wait(_STOP_TIMEOUT)
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def log_end(self) -> str:
        """The last lines of its log."""
        return _end_of(self.log)

    def count(self, kind: str, **params: str) -> int:
        """How many resources a search matches."""
        answer = requests.get(
            f"{self.url}/{kind}", {**params, "_summary": "count"}, timeout=60
        ).json()
        return int(answer["total"])

    @contextmanager
    def switched(self, **switches: str | int | bool) -> Iterator[None]:
        """Have it with other switches for a while."""
        with switched(self.url, **switches):
            yield


def _word(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def switches(url: str, changes: Mapping[str, str | int | bool] | None = None) -> dict[str, str]:
    """The switches of a server of ours; with ``changes``, those set first."""
    address = f"{url.removesuffix('/fhir')}/settings"
    if changes:
        form = {key: _word(value) for key, value in changes.items()}
        response = requests.post(address, form, timeout=30)
    else:
        response = requests.get(address, timeout=30)
    response.raise_for_status()
    return dict(response.json())


@contextmanager
def switched(url: str, **changes: str | int | bool) -> Iterator[None]:
    """Have a server with other switches for a while."""
    before = switches(url)
    switches(url, changes)
    try:
        yield
    finally:
        switches(url, {key: before[key] for key in changes})


def install(url: str, package: bytes, name: str, version: str) -> str:
    """Have a server install an NPM package; what it installed, in its words."""
    answer = requests.post(
        f"{url.removesuffix('/fhir')}/packages",
        params={"name": name, "version": version},
        data=package,
        headers={"Content-Type": "application/gzip"},
        timeout=300,
    )
    assert answer.ok, answer.text
    return answer.text


def reset(url: str) -> None:
    """Empty a server: every resource, every version, every kept search."""
    everything = {"name": "expungeEverything", "valueBoolean": True}
    response = requests.post(
        f"{url}/$expunge",
        json={"resourceType": "Parameters", "parameter": [everything]},
        headers={"Content-Type": "application/fhir+json"},
        timeout=120,
    )
    response.raise_for_status()
