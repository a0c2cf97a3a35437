"""A HAPI FHIR server: started as a process, switched, stopped."""

import os
import subprocess  # nosec B404
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import requests

from fhircryo.setup.hapi.hapi_build import (
    HapiUnavailable,
    cache_folder,
    classpath,
    end_of,
    tool,
)

MAIN = "fhircryo.HapiServer"

#: Seconds until a server must answer; 15 to 45 are usual on two cores.
START_TIMEOUT = 240.0
_READY = b"HAPI ready "
_STOP_TIMEOUT = 20.0
#: Serial and C1: the least memory, and a tenth to a third faster in runs of minutes.
_JVM = (
    "-Xmx1g",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dunlimited_db_connection=true",
)


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
        java = tool("java", "openjdk-17-jdk-headless")
        command = [
            java,
            *_JVM,
            *(f"-Dhapi.{key}={_word(value)}" for key, value in properties.items()),
        ]
        command += ["-cp", classpath(), MAIN, str(port)]
        log = log or cache_folder() / "logs" / f"hapi-{os.getpid()}-{time.monotonic_ns()}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as file:
            # Java is found on the path, and all arguments are ours.
            process = subprocess.Popen(  # noqa: S603  # nosec B603
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
                raise HapiUnavailable(f"HAPI ended; see {self.log}\n{end_of(self.log)}")
            if time.monotonic() > deadline:
                raise HapiUnavailable(
                    f"HAPI did not answer in {START_TIMEOUT:.0f} s; see {self.log}\n"
                    f"{end_of(self.log)}"
                )
            time.sleep(0.1)
        return said[0].decode()

    def _read_stdout(self, said: list[bytes]) -> None:
        stdout = None if self._process is None else self._process.stdout
        for line in stdout or ():  # to the end, so that the pipe never fills up
            if line.startswith(_READY):
                said.append(line.removeprefix(_READY).strip())

    @property
    def pid(self) -> int:
        """Its process id; 0 where it has ended."""
        return 0 if self._process is None else self._process.pid

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
        return end_of(self.log)

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
