"""Signing in for real: Keycloak gives the tokens, a guard in front of HAPI looks at each of them.

What only odd servers do is tested in tests/unit/test_sign_in.py.
"""

import itertools
import json
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fhircryo.cli.main import app
from fhircryo.errors import FhircryoError, SignInError
from fhircryo.fhir.auth import assertion, keys, token_endpoint
from fhircryo.fhir.auth.scopes import scopes_for
from fhircryo.fhir.connect import ERASING, READING, WRITING, open_client
from fhircryo.runs.execution import Execution
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.erasure import forget_patient
from fhircryo.runs.sync.run import sync
from fhircryo.runs.sync.sync_options import SyncOptions
from fhircryo.runs.to_folder import compute_folder
from fhircryo.settings import ServerSettings, Settings, SyncSettings
from fhircryo.sources.bulk_source import Bulk
from tests.server import proxy as faults
from tests.server.cohorts import psa, record
from tests.server.guard import Guard
from tests.server.hapi import HapiServer, reset
from tests.server.keycloak import Keycloak
from tests.server.loading import load, post, transaction
from tests.server.proxy import FaultProxy
from tests.server.published import endpoints

COHORT = Path(__file__).parents[2] / "examples" / "bomers-2020"
AS_OF = date(2017, 12, 31)
TODAY = date(2016, 6, 1)

READ = scopes_for(READING, "v2")
WRITE = scopes_for(WRITING, "v2")
ERASE = scopes_for(ERASING, "v2")

_NAMES = itertools.count(1)


@pytest.fixture(scope="session")
def pairs() -> dict[str, keys.SigningKey]:
    return {
        "RS384": keys.generate("RS384"),
        "ES384": keys.generate("ES384"),
        "other": keys.generate("ES384"),
    }


@pytest.fixture(scope="module")
def loaded(hapi: HapiServer) -> str:
    reset(hapi.url)
    load(hapi.url, COHORT)
    return hapi.url


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    target = tmp_path_factory.mktemp("folder") / "out"
    compute_folder(COHORT, target, RunConfig.of(Settings.model_construct(), AS_OF))
    return (target / "Observation.ndjson").read_bytes()


@pytest.fixture
def guard(keycloak: Keycloak) -> Guard:
    return Guard(keycloak)


@pytest.fixture
def guarded(hapi: HapiServer, guard: Guard) -> Iterator[FaultProxy]:
    with FaultProxy(hapi.url, guard) as proxy:
        yield proxy


class Clients:
    """Registers clients, and makes the settings with which they sign in."""

    def __init__(self, keycloak: Keycloak, pairs: dict[str, keys.SigningKey], folder: Path) -> None:
        self.keycloak = keycloak
        self.pairs = pairs
        self._folder = folder

    def file(self, pair: str) -> Path:
        path = self._folder / f"{pair}.pem"
        if not path.exists():
            path.write_bytes(self.pairs[pair].key.as_pem(private=True))
            path.chmod(0o600)
        return path

    def backend(
        self, pair: str = "ES384", scopes: tuple[str, ...] = READ, lasts: int = 300, **more: Any
    ) -> ServerSettings:
        """A client that is registered with a key."""
        name = f"fhircryo-{next(_NAMES)}"
        public = [self.pairs[pair].public()]
        self.keycloak.register(name, scopes, keys=public, lasts=lasts)
        return ServerSettings(
            **{
                "auth": "smart-backend",
                "client_id": name,
                "key_file": self.file(pair),
                "token_origins": (self.keycloak.url,),
                "retry_budget": 5.0,
                **more,
            }
        )


@pytest.fixture
def clients(keycloak: Keycloak, pairs: dict[str, keys.SigningKey], tmp_path: Path) -> Clients:
    return Clients(keycloak, pairs, tmp_path)


def compute(url: str, target: Path, settings: ServerSettings) -> bytes:
    job = RunConfig.of(Settings.model_construct(source=settings), AS_OF)
    compute_folder(url, target, job)
    return (target / "Observation.ndjson").read_bytes()


def ask(url: str, settings: ServerSettings) -> int:
    """One request that needs a token."""
    with open_client(url, settings) as client:
        return client.request("GET", f"{client.base}/Patient?_summary=count").status_code


def refused(url: str, settings: ServerSettings, words: str) -> None:
    """The message that a refusal is told by, and its exit code."""
    with pytest.raises(SignInError, match=words) as caught:
        ask(url, settings)
    assert caught.value.exit_code == 3


# ------------------------------------------------------------------ let in


@pytest.mark.parametrize("pair", ["RS384", "ES384"])
def test_a_cohort_is_read_by_what_the_key_signs(
    pair, loaded, guarded, guard, clients, expected, tmp_path
):
    settings = clients.backend(pair)
    assert compute(guarded.url, tmp_path / "out", settings) == expected
    assert len(guard.tokens) == 1, "one token for all requests"
    assert {one.status for one in guard.passed} == {200}
    assert guard.scopes_of(settings.client_id) == set(READ)


@pytest.mark.parametrize("level", ["system", "patient"])
def test_a_first_load_by_bulk_export(
    level, hapi, loaded, guarded, guard, clients, expected, monkeypatch, tmp_path
):
    """Tokens of five seconds end while the server still works, and while files are fetched."""
    asleep = time.sleep
    monkeypatch.setattr(
        "fhircryo.fhir.bulk.export_job.time.sleep", lambda wait: asleep(min(wait, 2))
    )
    settings = clients.backend(lasts=5)
    job = RunConfig.of(Settings.model_construct(source=settings), AS_OF)
    target = tmp_path / "out"
    with hapi.switched(hurry_jobs=True):
        compute_folder(guarded.url, target, job, Execution(bulk=Bulk(level)))
    assert (target / "Observation.ndjson").read_bytes() == expected
    files = [one for one in guard.passed if one.asked.kind == "Binary"]
    assert len(files) > 4
    assert {one.status for one in guard.passed} == {200}
    assert len(guard.tokens) > 1


def test_without_a_token_there_is_no_way_in(loaded, guarded):
    """That the guard guards."""
    with pytest.raises(FhircryoError, match="401 unauthorised"):
        ask(guarded.url, ServerSettings())


def test_a_server_that_knows_only_the_first_scopes(loaded, guarded, guard, clients, tmp_path):
    first = scopes_for(READING, "v1")
    guard.configuration["capabilities"] = ["permission-v1"]
    settings = clients.backend(scopes=first)
    assert ask(guarded.url, settings) == 200
    assert guard.scopes_of(settings.client_id) == set(first)


def test_a_server_that_says_nothing_of_signing_in(loaded, guarded, guard, clients, keycloak):
    """As HAPI itself: the token endpoint is a setting then."""
    guard.configuration = None
    refused(guarded.url, clients.backend(), "names no token endpoint")
    assert ask(guarded.url, clients.backend(token_url=keycloak.token_url)) == 200


def test_a_token_endpoint_elsewhere_has_to_be_allowed(loaded, guarded, guard, clients, keycloak):
    words = f"another origin.*token_origins = ..{keycloak.url}"
    refused(guarded.url, clients.backend(token_origins=()), words)
    assert guard.passed == []


# ------------------------------------------------------------------ a token's life


def test_a_long_pull_with_tokens_of_five_seconds(loaded, hapi, guard, clients, expected, tmp_path):
    """Renewed ahead of their end: no request is ever refused."""
    slow = faults.Slow(0.02, chunks=4, when=faults.pages)
    with FaultProxy(hapi.url, guard, slow) as guarded:
        found = compute(guarded.url, tmp_path / "out", clients.backend(lasts=5, page_size=40))
    assert found == expected
    assert len(guard.tokens) >= 3, "not a long pull"
    assert {one.status for one in guard.passed} == {200}


def test_a_token_that_is_refused_is_renewed_once(loaded, guarded, guard, clients):
    with open_client(guarded.url, clients.backend()) as client:
        url = f"{client.base}/Patient?_summary=count"
        client.request("GET", url)
        guard.revoked |= guard.tokens
        assert client.request("GET", url).status_code == 200
    assert [one.status for one in guard.passed] == [200, 401, 200]


# ------------------------------------------------------------------ refused


def test_a_key_that_is_not_the_registered_one(loaded, guarded, clients, pairs):
    settings = clients.backend()
    wrong = settings.model_copy(
        update={"key_file": clients.file("other"), "key_id": pairs["ES384"].kid}
    )
    refused(
        guarded.url, wrong, "the public key that the server has of .* does not match our key_file"
    )


def test_a_key_that_is_not_registered(loaded, guarded, clients, pairs):
    settings = clients.backend().model_copy(update={"key_file": clients.file("other")})
    words = f"the server has no public key {pairs['other'].kid} of client '{settings.client_id}'"
    refused(guarded.url, settings, words)


def test_keys_that_were_rotated(loaded, guarded, clients, keycloak, pairs):
    """The old key is refused in words that name the change, the new one is let in."""
    old = clients.backend()
    assert ask(guarded.url, old) == 200
    keycloak.change(old.client_id, keys=[pairs["other"].public()])
    refused(guarded.url, old, r"no public key .*after a change of keys: the new one")
    new = old.model_copy(update={"key_file": clients.file("other")})
    assert ask(guarded.url, new) == 200


def test_both_keys_while_they_are_changed(loaded, guarded, clients, keycloak, pairs):
    old = clients.backend()
    both = [pairs["ES384"].public(), pairs["other"].public()]
    keycloak.change(old.client_id, keys=both)
    new = old.model_copy(update={"key_file": clients.file("other")})
    assert [ask(guarded.url, one) for one in (old, new)] == [200, 200]


def test_a_client_that_nobody_knows(loaded, guarded, clients):
    settings = clients.backend().model_copy(update={"client_id": "nobody"})
    refused(guarded.url, settings, "client 'nobody' is not known there, or is disabled")


def test_a_client_that_was_revoked(loaded, guarded, guard, clients, keycloak):
    """Before the run, and while it is under way."""
    settings = clients.backend()
    with open_client(guarded.url, settings) as client:
        url = f"{client.base}/Patient?_summary=count"
        client.request("GET", url)
        keycloak.change(settings.client_id, enabled=False)
        guard.revoked |= guard.tokens
        with pytest.raises(SignInError, match="obtained a token earlier in this run") as caught:
            client.request("GET", url)
        assert caught.value.exit_code == 3
    refused(guarded.url, settings, "is disabled or revoked")


def test_a_client_that_may_not_sign_in_by_itself(loaded, guarded, clients, keycloak):
    settings = clients.backend()
    keycloak.change(settings.client_id, serviceAccountsEnabled=False)
    refused(guarded.url, settings, "may not use the grant client_credentials.*service account")


def test_a_scope_that_is_not_granted(loaded, guarded, clients):
    less = tuple(scope for scope in READ if "AdverseEvent" not in scope)
    settings = clients.backend(scopes=less)
    refused(guarded.url, settings, "does not grant .* all of the scopes.*system/AdverseEvent.rs")


def test_scopes_that_a_site_sets(loaded, guarded, guard, clients, tmp_path):
    """A type that is not allowed is lacking then, as the server says it: 403."""
    less = tuple(scope for scope in READ if "AdverseEvent" not in scope)
    settings = clients.backend(scopes=less)
    job_settings = settings.model_copy(update={"scopes": less})
    job = RunConfig.of(Settings.model_construct(source=job_settings), AS_OF)
    assert compute_folder(guarded.url, tmp_path / "out", job).lacking == ["AdverseEvent"]
    assert 403 in {one.status for one in guard.passed}


def test_a_secret_that_is_wrong(loaded, guarded, keycloak, monkeypatch):
    monkeypatch.setenv("CLIENT_SECRET", "not-the-secret")
    keycloak.register("by-secret", READ, secret="the-secret")
    for how in ("client_secret_basic", "client_secret_post"):
        settings = ServerSettings(
            auth="oauth2",
            client_id="by-secret",
            client_secret_env="CLIENT_SECRET",
            client_authentication=how,
            token_url=keycloak.token_url,
            scopes=READ,
        )
        refused(guarded.url, settings, "secret is wrong")
    monkeypatch.setenv("CLIENT_SECRET", "the-secret")
    assert ask(guarded.url, settings) == 200


@pytest.mark.parametrize("minutes, words", [(-10, "behind"), (10, "ahead of")])
def test_a_clock_that_is_ten_minutes_off(minutes, words, loaded, guarded, clients, monkeypatch):
    """Keycloak says only that it is not active, and not what time it is; the FHIR server does."""

    class Clock:
        monotonic = staticmethod(time.monotonic)
        sleep = staticmethod(time.sleep)

        @staticmethod
        def time() -> float:
            return time.time() + minutes * 60

    monkeypatch.setattr(assertion, "time", Clock)
    monkeypatch.setattr(token_endpoint, "time", Clock)
    refused(
        guarded.url,
        clients.backend(),
        f"this machine's clock is 10 minutes {words} the server's.*set the clock by NTP",
    )


def test_a_few_seconds_off_do_no_harm(loaded, guarded, clients, monkeypatch):
    for seconds in (-20, 20):

        class Clock:
            @staticmethod
            def time(seconds: int = seconds) -> float:
                return time.time() + seconds

        monkeypatch.setattr(assertion, "time", Clock)
        assert ask(guarded.url, clients.backend()) == 200


# ------------------------------------------------------------------ the command line


def settings_file(folder: Path, settings: ServerSettings) -> None:
    lines = [
        f"{name} = {json.dumps(value)}"
        for name, value in settings.model_dump(mode="json", exclude_unset=True).items()
    ]
    (folder / "fhircryo.toml").write_text("[source]\n" + "\n".join(lines) + "\n")


def test_the_steps_are_told(loaded, guarded, guard, clients, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings_file(tmp_path, clients.backend())
    done = CliRunner().invoke(app, ["auth", "test", guarded.url])
    assert done.exit_code == 0, done.output
    assert {line.split()[0] for line in done.stdout.splitlines()} == {"ok"}
    assert "GET AdverseEvent: access granted" in done.stdout
    for token in guard.tokens:
        assert token not in done.output


def test_a_refusal_ends_a_command_with_exit_code_3(loaded, guarded, clients, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings_file(tmp_path, clients.backend().model_copy(update={"client_id": "nobody"}))
    done = CliRunner().invoke(app, ["auth", "test", guarded.url])
    assert done.exit_code == 3
    assert "failed    token " in done.stdout
    done = CliRunner().invoke(app, ["compute", guarded.url, "out"])
    assert isinstance(done.exception, SignInError)
    assert not (tmp_path / "out").exists()


# --------------------------------------------------------------- to write; last, HAPI is emptied


def test_a_whole_sync(empty_hapi, guarded, guard, clients, keycloak, tmp_path, monkeypatch):
    """Source by a key, target by a secret; each token for what is done there, and no more."""
    load(empty_hapi.url, [one for number in (1, 2, 3) for one in record(f"p{number}")])
    monkeypatch.setenv("TARGET_SECRET", "sesame-of-the-target")
    source = clients.backend()
    keycloak.register("target-1", [*WRITE, "system/Patient.rs"], secret="sesame-of-the-target")
    target = ServerSettings(
        auth="oauth2",
        client_id="target-1",
        client_secret_env="TARGET_SECRET",
        token_url=keycloak.token_url,
        scopes=WRITE,
    )
    settings = Settings.model_construct(
        source=source,
        target=target,
        sync=SyncSettings(source=guarded.url),
        state_folder=tmp_path / "state",
    )
    job = RunConfig.of(settings, TODAY)
    done = sync(job, SyncOptions(today=TODAY))
    assert done.full
    assert len({one["subject"]["reference"] for one in endpoints(empty_hapi.url)}) == 3
    assert guard.scopes_of(source.client_id) == set(READ)
    assert guard.scopes_of("target-1") == set(WRITE)
    assert {one.status for one in guard.passed} == {200}

    post(empty_hapi.url, transaction([psa("p1", "psa-9", "2016-05-01", "3.9")]))
    done = sync(job, SyncOptions(today=TODAY))
    assert (done.full, done.patients) == ("", 1)
    state = b"".join(path.read_bytes() for path in (tmp_path / "state").rglob("*.*"))
    for secret in (*guard.tokens, "sesame-of-the-target"):
        assert secret.encode() not in state


def test_an_erasure_has_its_own_scopes(empty_hapi, guarded, guard, clients, tmp_path):
    """The same client for source and target, both by a key."""
    load(empty_hapi.url, record("p1"))
    every = clients.backend(scopes=(*READ, *WRITE, *ERASE))
    settings = Settings.model_construct(
        source=every, sync=SyncSettings(source=guarded.url), state_folder=tmp_path / "state"
    )
    job = RunConfig.of(settings, TODAY)
    sync(job, SyncOptions(today=TODAY))
    deleting = [one for one in guard.passed if "system/Observation.rds" in one.scopes]
    assert deleting == []
    done = forget_patient(job, "p1")
    assert done.deleted
    assert not done.left
    deleting = [one for one in guard.passed if "system/Observation.rds" in one.scopes]
    assert {one.asked.method for one in deleting} >= {"DELETE"}
    assert {scope for one in deleting for scope in one.scopes} == set(ERASE)
