"""A real OAuth 2.0 server: Keycloak, built once, started as a process, with a realm of its own.

Needs what HAPI needs: Java 17 and Maven. What Maven fetches (160 MB) and what Keycloak makes of it
stays in the same folder as HAPI's (``tests/server/hapi.py``).
"""

import hashlib
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
import zipfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
from joserfc.jwk import KeySet

from fhircryo.setup.hapi.hapi_build import end_of, file_hash, one_builder, run_tool, tool
from tests.server.hapi import CACHE, HapiUnavailable

POM = Path(__file__).resolve().parent / "keycloak-pom" / "pom.xml"
REALM = "hospital"

#: Seconds until it must answer; ten are usual on two cores.
START_TIMEOUT = 180.0
_STOP_TIMEOUT = 20.0
_REQUEST_TIMEOUT = 30.0
_JVM = ("-Xmx400m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
# As bin/kc.sh has them.
_PROPERTIES = (
    "-Djava.util.concurrent.ForkJoinPool.common.threadFactory="
    "io.quarkus.bootstrap.forkjoin.QuarkusForkJoinWorkerThreadFactory",
    "-Djava.util.logging.manager=org.jboss.logmanager.LogManager",
    "-Dquarkus-log-max-startup-records=10000",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/java.util.concurrent=ALL-UNNAMED",
    "--add-opens=java.base/java.security=ALL-UNNAMED",
)
_BUILD = ("build", "--db=dev-mem", "--features-disabled=account,admin")
_START = (
    "start",
    "--optimized",
    "--http-enabled=true",
    "--http-host=127.0.0.1",
    "--hostname-strict=false",
    "--cache=local",
    # A client's keys are read again at once where one is not known.
    "--spi-public-key-storage--infinispan--min-time-between-requests=0",
)


def _command(home: Path, *arguments: str) -> list[str]:
    return [
        tool("java", "openjdk-17-jdk-headless"),
        *_JVM,
        *_PROPERTIES,
        f"-Dkc.home.dir={home}",
        f"-Djboss.server.config.dir={home / 'conf'}",
        *("-cp", str(home / "lib" / "quarkus-run.jar")),
        *("io.quarkus.bootstrap.runner.QuarkusEntryPoint", *arguments),
    ]


def home() -> Path:
    """Where it is; fetched, unpacked and built where it is not yet.

    Raises:
        HapiUnavailable: Java or Maven is missing, or fails.
    """
    with one_builder():
        options = hashlib.sha256(" ".join(_BUILD).encode()).hexdigest()[:8]
        built = CACHE / f"keycloak-{file_hash(POM)}-{options}"
        if built.exists():
            return built
        work = CACHE / "keycloak.part"
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        maven = [tool("mvn", "maven"), "-q", "-B", "-f", str(POM)]
        maven += ["dependency:copy-dependencies", f"-DoutputDirectory={work}"]
        run_tool(maven, CACHE / "keycloak-maven.log")
        (packed,) = work.glob("*.zip")
        with zipfile.ZipFile(packed) as archive:
            archive.extractall(work)
        packed.unlink()
        (unpacked,) = work.iterdir()
        run_tool(_command(unpacked, *_BUILD), CACHE / "keycloak-build.log")
        unpacked.rename(built)
        work.rmdir()
        return built


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Keycloak:
    """A running one, with the realm ``hospital``. ``log``: its log."""

    def __init__(self, url: str, log: Path, process: subprocess.Popen[bytes], password: str):
        self.url = url
        self.log = log
        self._process = process
        self._password = password
        self._admin = requests.Session()
        self._certs: KeySet | None = None
        self._scopes: set[str] = set()

    @classmethod
    def start(cls) -> "Keycloak":
        """Start one, and wait until it answers.

        Raises:
            HapiUnavailable: it cannot be built, or does not come up in time.
        """
        place, port, password = home(), _free_port(), secrets.token_hex(16)
        log = CACHE / "logs" / f"keycloak-{os.getpid()}-{time.monotonic_ns()}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {
            **os.environ,
            "KC_BOOTSTRAP_ADMIN_USERNAME": "admin",
            "KC_BOOTSTRAP_ADMIN_PASSWORD": password,
        }
        with log.open("wb") as file:
            process = subprocess.Popen(
                _command(place, *_START, f"--http-port={port}"),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=environment,
            )
        started = cls(f"http://127.0.0.1:{port}", log, process, password)
        try:
            started._await_ready()
            started._call("POST", "", {"realm": REALM, "enabled": True})
        except BaseException:
            started.stop()
            raise
        return started

    def _await_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                if requests.get(f"{self.url}/realms/master", timeout=5).ok:
                    return
            except requests.RequestException:
                pass
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise HapiUnavailable(f"Keycloak did not start; see {self.log}\n{self.log_end()}")
            time.sleep(0.2)

    def log_end(self) -> str:
        """The last lines of its log."""
        return end_of(self.log)

    def stop(self) -> None:
        """End its process, by its own id."""
        if self._process.poll() is None:
            self._process.kill()  # all that it holds is in memory
            self._process.wait(_STOP_TIMEOUT)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    # --- the realm

    def _call(self, method: str, path: str, content: Any = None) -> Any:
        """A request of the administrator, below ``/admin/realms``."""
        url = f"{self.url}/admin/realms{path}"
        for _ in range(2):
            answer = self._admin.request(method, url, json=content, timeout=_REQUEST_TIMEOUT)
            if answer.status_code != 401:
                break
            form = {"grant_type": "password", "client_id": "admin-cli", "username": "admin"}
            token = requests.post(
                f"{self.url}/realms/master/protocol/openid-connect/token",
                {**form, "password": self._password},
                timeout=_REQUEST_TIMEOUT,
            ).json()["access_token"]
            self._admin.headers["Authorization"] = f"Bearer {token}"
        if not answer.ok:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.content else None

    @property
    def issuer(self) -> str:
        return f"{self.url}/realms/{REALM}"

    @property
    def token_url(self) -> str:
        return f"{self.issuer}/protocol/openid-connect/token"

    def certs(self) -> KeySet:
        """The keys that its tokens are signed by."""
        if self._certs is None:
            answer = requests.get(
                f"{self.issuer}/protocol/openid-connect/certs", timeout=_REQUEST_TIMEOUT
            )
            self._certs = KeySet.import_key_set(answer.json())
        return self._certs

    def register(
        self,
        name: str,
        scopes: Iterable[str],
        *,
        keys: Iterable[dict[str, Any]] = (),
        secret: str | None = None,
        lasts: int = 300,
    ) -> None:
        """A client that may sign in by itself, by keys (JWKs) or a secret, for some scopes.

        ``lasts``: seconds of its tokens.
        """
        wanted = sorted(scopes)
        for scope in wanted:
            if scope not in self._scopes:
                attributes = {"include.in.token.scope": "true"}
                made = {"name": scope, "protocol": "openid-connect", "attributes": attributes}
                self._call("POST", f"/{REALM}/client-scopes", made)
                self._scopes.add(scope)
        client: dict[str, Any] = {
            "clientId": name,
            "publicClient": False,
            "standardFlowEnabled": False,
            "serviceAccountsEnabled": True,
            "defaultClientScopes": [],
            "optionalClientScopes": wanted,
            "attributes": {"access.token.lifespan": str(lasts)},
        }
        if secret is not None:
            client |= {"clientAuthenticatorType": "client-secret", "secret": secret}
        else:
            client["clientAuthenticatorType"] = "client-jwt"
            client["attributes"] |= _registered(keys)
        self._call("POST", f"/{REALM}/clients", client)

    def change(
        self, name: str, *, keys: Iterable[dict[str, Any]] | None = None, **changes: Any
    ) -> None:
        """Change a client: other keys, or ``enabled``, ``serviceAccountsEnabled``."""
        (client,) = self._call("GET", f"/{REALM}/clients?clientId={name}")
        client |= changes
        if keys is not None:
            client["attributes"] |= _registered(keys)
        self._call("PUT", f"/{REALM}/clients/{client['id']}", client)


def _registered(keys: Iterable[dict[str, Any]]) -> dict[str, str]:
    found = list(keys)
    attributes = {"use.jwks.string": "true", "jwks.string": json.dumps({"keys": found})}
    if found:
        attributes["token.endpoint.auth.signing.alg"] = found[-1]["alg"]
    return attributes
