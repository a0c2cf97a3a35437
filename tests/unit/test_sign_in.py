"""Signing in: what is sent to a token endpoint, when it is asked, and for what."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fhircryo.errors import SignInError, UsageError
from fhircryo.fhir.auth import credentials, keys, oauth2
from fhircryo.fhir.auth.scopes import missing, scope_version, scopes_for
from fhircryo.fhir.client import Client, HttpError
from fhircryo.fhir.connect import COMPARING, ERASING, READING, WRITING, open_client
from fhircryo.settings import ServerSettings
from tests.unit.hospital import Hospital, Reply, Seen, Stub, refusal


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    with Hospital() as server:
        yield server


@pytest.fixture(scope="module", params=["RS384", "ES384"])
def key(request: pytest.FixtureRequest) -> keys.SigningKey:
    return keys.generate(request.param)


@pytest.fixture(scope="module")
def one_key() -> keys.SigningKey:
    return keys.generate("ES384")


def written(key: keys.SigningKey, folder: Path) -> Path:
    path = folder / "key.pem"
    path.write_bytes(key.key.as_pem(private=True))
    path.chmod(0o600)
    return path


def backend(key: keys.SigningKey, folder: Path, **more: Any) -> ServerSettings:
    quick = {"retry_budget": 2.0, "connect_timeout": 2.0, "read_timeout": 5.0}
    settings = {"auth": "smart-backend", "client_id": "fhircryo-night", **quick, **more}
    return ServerSettings(key_file=written(key, folder), **settings)


def metadata(client: Client) -> int:
    return client.request("GET", f"{client.base}/metadata").status_code


def ask(url: str, settings: ServerSettings) -> int:
    with open_client(url, settings) as client:
        return metadata(client)


# ------------------------------------------------------------------ SMART Backend Services


def test_the_assertion_is_what_smart_asks_for(hospital, key, tmp_path):
    """Signed by the registered key, for the token endpoint, for less than five minutes."""
    hospital.jwks = [key.public()]
    with open_client(hospital.base, backend(key, tmp_path)) as client:
        assert metadata(client) == 200
    ((header, claims),) = hospital.assertions
    assert header == {"alg": key.algorithm, "kid": key.kid, "typ": "JWT"}
    assert claims["iss"] == claims["sub"] == "fhircryo-night"
    assert claims["aud"] == hospital.token_url
    assert 0 < claims["exp"] - time.time() <= 300
    assert claims["exp"] - claims["iat"] <= 300
    assert claims["iat"] <= time.time()
    (asked,) = hospital.asked("/token")
    assert asked.form["grant_type"] == "client_credentials"
    assert (
        asked.form["client_assertion_type"]
        == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    )
    assert "client_id" not in asked.form
    assert asked.token == ""


def test_a_jti_is_never_used_again(hospital, one_key, tmp_path):
    """Not when a token endpoint fails and is asked again, either."""
    hospital.jwks = [one_key.public()]
    given = hospital.routes["/token"]
    failures = iter([True, True])
    seen = []

    def sometimes(request: Seen) -> Reply:
        seen.append(request.form["client_assertion"])
        return Reply(503) if next(failures, False) else given(request)

    hospital.routes["/token"] = sometimes
    settings = backend(one_key, tmp_path, retry_budget=10.0)
    with open_client(hospital.base, settings) as client:
        for _ in range(20):
            metadata(client)
            hospital.accepted.clear()
    assert len(seen) == len(set(seen)) > 20
    jtis = [claims["jti"] for _, claims in hospital.assertions]
    assert len(jtis) == len(set(jtis)) >= 20
    assert min(map(len, jtis)) >= 20


def test_the_audience_and_the_kid_can_be_set(hospital, one_key, tmp_path):
    hospital.jwks = [{**one_key.public(), "kid": "of-2026"}]
    settings = backend(one_key, tmp_path, key_id="of-2026", assertion_audience="urn:ours")
    with open_client(hospital.base, settings) as client:
        assert metadata(client) == 200
    ((header, claims),) = hospital.assertions
    assert (header["kid"], claims["aud"]) == ("of-2026", "urn:ours")


@pytest.mark.parametrize(
    "configuration, word",
    [
        ({"capabilities": ["permission-v1", "permission-v2"]}, "rs"),
        ({"capabilities": ["permission-v1"]}, "read"),
        ({"scopes_supported": ["system/*.read", "openid"]}, "read"),
        ({"scopes_supported": ["system/*.read", "system/*.rs"]}, "rs"),
        ({}, "rs"),
    ],
)
def test_scopes_are_written_as_the_server_knows_them(
    configuration, word, hospital, one_key, tmp_path
):
    hospital.configuration |= configuration
    with open_client(hospital.base, backend(one_key, tmp_path)) as client:
        metadata(client)
    asked = hospital.asked("/token")[0].form["scope"].split()
    assert f"system/Observation.{word}" in asked
    assert {scope.rpartition(".")[2] for scope in asked} == {word}


def test_a_command_asks_for_what_it_does_and_no_more():
    assert "system/Observation.rs" in scopes_for(READING, "v2")
    assert all(scope.endswith(".rs") for scope in scopes_for(READING, "v2"))
    assert all(scope.endswith(".rs") for scope in scopes_for(COMPARING, "v2"))
    assert scopes_for(WRITING, "v2") == (
        "system/Device.crus",
        "system/Observation.crus",
        "system/Provenance.crus",
    )
    assert scopes_for(ERASING, "v2") == ("system/Observation.rds", "system/Provenance.rds")
    assert scopes_for({"Provenance": "cu", "Patient": "rs"}, "v1") == (
        "system/Patient.read",
        "system/Provenance.write",
    )
    assert scopes_for({"Device": "rc"}, "v1") == ("system/Device.read", "system/Device.write")


def test_what_was_not_granted_is_known():
    needs = {"Observation": "crus", "Patient": "rs"}
    assert missing(needs, ["system/*.cruds"]) == {}
    assert missing(needs, ["system/Patient.read", "system/*.rs?category=x"]) == {
        "Observation": "cu"
    }
    assert missing(needs, ["system/Observation.write", "user/*.*", "openid"]) == {
        "Observation": "rs",
        "Patient": "rs",
    }
    assert missing(needs, ["system/*.*"]) == {}
    assert scope_version([], ["launch", "openid"]) == "v2"


def test_less_than_was_asked_for_is_told(hospital, one_key, tmp_path, caplog):
    hospital.granted["scope"] = " ".join(
        one for one in scopes_for(READING, "v2") if "AdverseEvent" not in one
    )
    with open_client(hospital.base, backend(one_key, tmp_path)) as client:
        metadata(client)
        hospital.accepted.clear()
        metadata(client)
    told = [one.message for one in caplog.records if "granted fewer scopes" in one.message]
    assert len(told) == 1
    assert "missing: system/AdverseEvent.rs" in told[0]


def test_scopes_of_the_settings_are_asked_for_instead(hospital, one_key, tmp_path, caplog):
    hospital.granted["scope"] = "system/*.rs"
    settings = backend(one_key, tmp_path, scopes=("system/*.rs",))
    with open_client(hospital.base, settings) as client:
        metadata(client)
    assert hospital.asked("/token")[0].form["scope"] == "system/*.rs"
    assert "granted fewer scopes" not in caplog.text


def test_a_set_token_url_needs_no_discovery(hospital, one_key, tmp_path):
    """As of HAPI behind Keycloak: the server itself knows nothing of tokens."""
    del hospital.routes["/fhir/.well-known/smart-configuration"]
    with pytest.raises(SignInError, match=r"names no token endpoint.*token_url"):
        ask(hospital.base, backend(one_key, tmp_path))
    settings = backend(one_key, tmp_path, token_url=hospital.token_url)
    with open_client(hospital.base, settings) as client:
        assert metadata(client) == 200


def test_discovery_and_token_endpoint_see_no_credentials_of_the_server(hospital, one_key, tmp_path):
    hospital.accepted.add("x")
    with open_client(hospital.base, backend(one_key, tmp_path)) as client:
        metadata(client)
        metadata(client)
    (discovery,) = hospital.asked("/fhir/.well-known/smart-configuration")
    assert discovery.token == ""
    assert hospital.asked("/token")[0].token == ""


# ------------------------------------------------------------------ OAuth 2.0, by secret or key


def oauth2_settings(hospital: Hospital, **more: Any) -> ServerSettings:
    quick = {"retry_budget": 2.0, "connect_timeout": 2.0}
    return ServerSettings(
        auth="oauth2",
        client_id="night job",
        token_url=hospital.token_url,
        client_secret_env="CLIENT_SECRET",
        **{**quick, **more},
    )


def test_a_secret_goes_in_the_header_or_in_the_form(hospital, monkeypatch):
    monkeypatch.setenv("CLIENT_SECRET", "open:sesame/ü")
    with open_client(hospital.base, oauth2_settings(hospital)) as client:
        assert metadata(client) == 200
    (asked,) = hospital.asked("/token")
    # As RFC 6749 section 2.3.1 says: each form-encoded first.
    import base64

    scheme, _, encoded = asked.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(encoded) == b"night+job:open%3Asesame%2F%C3%BC"
    assert set(asked.form) == {"grant_type"}
    settings = oauth2_settings(
        hospital, client_authentication="client_secret_post", scopes=("a", "b")
    )
    with open_client(hospital.base, settings) as client:
        assert metadata(client) == 200
    asked = hospital.asked("/token")[1]
    assert "Authorization" not in asked.headers
    assert asked.form == {
        "grant_type": "client_credentials",
        "client_id": "night job",
        "client_secret": "open:sesame/ü",
        "scope": "a b",
    }


def test_a_key_instead_of_a_secret(hospital, one_key, tmp_path):
    hospital.jwks = [one_key.public()]
    settings = ServerSettings(
        auth="oauth2",
        client_id="c",
        token_url=hospital.token_url,
        key_file=written(one_key, tmp_path),
    )
    with open_client(hospital.base, settings) as client:
        assert metadata(client) == 200
    assert len(hospital.assertions) == 1
    assert hospital.asked("/fhir/.well-known/smart-configuration") == []


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"auth": "oauth2"}, "client_id is needed"),
        ({"auth": "oauth2", "client_id": "c"}, "client_secret_env and client_secret_file"),
        (
            {"auth": "oauth2", "client_id": "c", "client_secret_env": "CLIENT_SECRET"},
            "token_url is needed",
        ),
        ({"auth": "smart-backend", "client_id": "c"}, r"key_file is needed.*auth keygen"),
        (
            {
                "auth": "smart-backend",
                "client_id": "c",
                "client_authentication": "client_secret_post",
            },
            "does not support client_secret_post",
        ),
        (
            {
                "auth": "oauth2",
                "client_id": "c",
                "client_secret_env": "A",
                "client_secret_file": "b",
            },
            "both set",
        ),
        ({"auth": "bearer"}, "one of token_env, token_file and token_command"),
        ({"auth": "bearer", "token_env": "A", "token_command": ["b"]}, "one of"),
        ({"auth": "basic"}, "user is needed"),
        ({"auth": "basic", "user": "u"}, "password_env and password_file"),
    ],
)
def test_what_is_missing_in_the_settings_is_named(settings, words, monkeypatch):
    monkeypatch.setenv("CLIENT_SECRET", "s3cr3t")
    with pytest.raises(UsageError, match=words):
        ask("http://127.0.0.1:9/fhir", ServerSettings(**settings))


# ------------------------------------------------------------------ a token's life


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that have passed for tokens, to be set."""
    passed = [0.0]
    begun = time.monotonic()

    class Clock:
        @staticmethod
        def monotonic() -> float:
            return begun + passed[0]

    monkeypatch.setattr(oauth2, "time", Clock)
    return passed


@pytest.mark.parametrize(
    "lasts, good, renewed", [(300, 235, 241), (3600, 3500, 3541), (5, 3.5, 4.5), ("60", 47, 49)]
)
def test_a_token_is_renewed_ahead_of_its_end(lasts, good, renewed, hospital, clock, monkeypatch):
    monkeypatch.setenv("CLIENT_SECRET", "s3cr3t")
    hospital.granted["expires_in"] = lasts
    with open_client(hospital.base, oauth2_settings(hospital)) as client:
        metadata(client)
        clock[0] = good
        metadata(client)
        assert hospital.given == 1
        clock[0] = renewed
        metadata(client)
        assert hospital.given == 2
    assert all(one.token for one in hospital.asked("/fhir/metadata"))


@pytest.mark.parametrize("said", [None, "soon", -1, 0])
def test_a_token_that_does_not_say_how_long_it_lasts(said, hospital, clock, monkeypatch):
    monkeypatch.setenv("CLIENT_SECRET", "s3cr3t")
    hospital.granted["expires_in"] = said
    with open_client(hospital.base, oauth2_settings(hospital)) as client:
        metadata(client)
        clock[0] = 230.0
        metadata(client)
        assert hospital.given == 1
        clock[0] = 250.0
        metadata(client)
        assert hospital.given == 2


def test_a_refused_token_is_renewed_once(hospital, monkeypatch):
    monkeypatch.setenv("CLIENT_SECRET", "s3cr3t")
    with open_client(hospital.base, oauth2_settings(hospital)) as client:
        metadata(client)
        hospital.accepted.clear()
        metadata(client)
        assert hospital.given == 2
        hospital.routes["/fhir/metadata"] = lambda _: Reply(401)
        with pytest.raises(HttpError, match="401 unauthorised"):
            metadata(client)
    assert hospital.given == 3
    assert len(hospital.asked("/fhir/metadata")) == 5


def test_parallel_requests_share_one_renewal(hospital, monkeypatch):
    """Eight threads whose token is refused at once: one new token for all of them."""
    monkeypatch.setenv("CLIENT_SECRET", "s3cr3t")
    together = threading.Barrier(8)
    first = set()

    def all_at_once(seen: Seen) -> Reply:
        if seen.token not in hospital.accepted:
            first.add(seen.token)
            together.wait(5)
            return Reply(401)
        return Reply(content={})

    with open_client(hospital.base, oauth2_settings(hospital)) as client:
        metadata(client)
        hospital.accepted.clear()
        hospital.routes["/fhir/metadata"] = all_at_once
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: metadata(client), range(8)))
    assert answers == [200] * 8
    assert first == {"the-secret-token-1"}
    assert hospital.given == 2


def test_threads_that_need_the_first_token_wait_for_one(hospital, monkeypatch):
    monkeypatch.setenv("CLIENT_SECRET", "s3cr3t")
    given = hospital.routes["/token"]

    def slowly(seen: Seen) -> Reply:
        time.sleep(0.2)
        return given(seen)

    hospital.routes["/token"] = slowly
    with (
        open_client(hospital.base, oauth2_settings(hospital)) as client,
        ThreadPoolExecutor(8) as threads,
    ):
        assert list(threads.map(lambda _: metadata(client), range(8))) == [200] * 8
    assert hospital.given == 1


def test_a_good_token_is_used_while_the_endpoint_fails(hospital, clock, monkeypatch, caplog):
    monkeypatch.setenv("CLIENT_SECRET", "s3cr3t")
    with open_client(hospital.base, oauth2_settings(hospital, retry_budget=0.0)) as client:
        metadata(client)
        hospital.refusal = Reply(503)
        clock[0] = 250.0
        assert metadata(client) == 200
        assert "could not be renewed yet" in caplog.text
        asked = len(hospital.asked("/token"))
        clock[0] = 252.0
        metadata(client)
        assert len(hospital.asked("/token")) == asked, "it is not asked in every request"
        clock[0] = 301.0
        with pytest.raises(SignInError, match=r"does not answer.*503"):
            metadata(client)


def test_source_and_target_sign_in_each_in_its_own_way(hospital, one_key, tmp_path, monkeypatch):
    monkeypatch.setenv("CLIENT_SECRET", "s3cr3t")
    with Hospital() as other:
        other.jwks = [one_key.public()]
        with (
            open_client(hospital.base, oauth2_settings(hospital)) as source,
            open_client(other.base, backend(one_key, tmp_path), WRITING) as target,
        ):
            metadata(source)
            metadata(target)
        assert "system/Observation.crus" in other.asked("/token")[0].form["scope"]
    assert hospital.asked("/token")[0].headers["Authorization"].startswith("Basic ")


# ------------------------------------------------------------------ tokens that are given


def test_a_command_prints_the_token_and_is_run_again_after_a_401(hospital, tmp_path):
    counter = tmp_path / "count"
    script = tmp_path / "give"
    script.write_text(f'#!/bin/sh\necho x >> {counter}\necho "tok-$(wc -l < {counter})"\n')
    script.chmod(0o700)
    hospital.accepted = {"tok-1"}
    settings = ServerSettings(auth="bearer", token_command=(str(script),))
    with open_client(hospital.base, settings) as client:
        assert metadata(client) == 200
        hospital.accepted = {"tok-2"}
        assert metadata(client) == 200
    assert [one.token for one in hospital.asked("/fhir/metadata")] == ["tok-1", "tok-1", "tok-2"]


@pytest.mark.parametrize(
    "command, words",
    [
        (("/nowhere/at-all",), "cannot be run: No such file"),
        (("sh", "-c", "echo s3cr3t-token >&2; exit 3"), "ended with exit code 3"),
        (("true",), "contains no bearer token"),
        (("echo", "two words"), "contains no bearer token"),
    ],
)
def test_a_command_that_gives_none(command, words):
    with pytest.raises(UsageError, match=words) as caught:
        ask("http://127.0.0.1:9/fhir", ServerSettings(auth="bearer", token_command=command))
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.slow
def test_a_command_that_does_not_end_is_ended_with_what_it_started(tmp_path, monkeypatch):
    monkeypatch.setattr(credentials, "_COMMAND_SECONDS", 0.5)
    # The command has ended, but what it started holds its output open.
    command = ("sh", "-c", f"echo $$ > {tmp_path}/group; sleep 600 & exit 0")
    with pytest.raises(UsageError, match=r"token_command sh: not finished after"):
        ask("http://127.0.0.1:9/fhir", ServerSettings(auth="bearer", token_command=command))
    group = int((tmp_path / "group").read_text())
    for _ in range(100):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    pytest.fail("what the command started still runs")


def test_no_shell_reads_a_command(hospital, tmp_path):
    """What a shell would run stays an argument."""
    hospital.accepted = {f"$(touch${{IFS}}{tmp_path}/made);`id`"}
    (token,) = hospital.accepted
    settings = ServerSettings(auth="bearer", token_command=("printf", "%s", token))
    with open_client(hospital.base, settings) as client:
        assert metadata(client) == 200
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ refusals


OTHERS = [
    ("invalid_client", "client assertion audience invalid", "expects another audience"),
    ("invalid_client", "jti already used", "a proxy that repeats requests"),
    ("invalid_client", "JWT has expired", "is this machine's clock right"),
    ("invalid_client", "No matching JWKS key", "the server has no public key {kid}"),
    ("invalid_client", "Signature verification failed", "does not match our key_file"),
    ("invalid_client", "", "is not known there, or is disabled or revoked; or its public key"),
    ("unauthorized_client", "", "may not use the grant client_credentials"),
    ("invalid_scope", "", "Requested: .*system/Observation.rs"),
    ("unsupported_grant_type", "", "does not support the grant client_credentials"),
    ("invalid_grant", "", "does not accept the authentication"),
    ("invalid_request", "", "does it support private_key_jwt"),
    ("something_else", "", "the server issues no token"),
]


@pytest.mark.parametrize("error, description, words", OTHERS)
def test_each_refusal_says_what_to_do(error, description, words, hospital, one_key, tmp_path):
    hospital.refusal = refusal(error, description)
    with pytest.raises(SignInError, match=words.format(kid=one_key.kid)) as caught:
        ask(hospital.base, backend(one_key, tmp_path))
    assert caught.value.exit_code == 3
    assert f"refused (400 {error}" in str(caught.value)
    assert description in str(caught.value)
    assert len(hospital.asked("/token")) == 1, "a refusal is not tried again"


def test_oracle_says_what_is_wrong_in_a_url(hospital, one_key, tmp_path):
    """As in public reports: no description, but an error_uri with the reason in it."""
    uri = (
        "https://authorization.cerner.com/errors/urn%3Acerner%3Aerror%3Aauthorization-server%3A"
        "client-assertion%3Ajwt-bearer%3Ainvalid-signature/instances/8?client=unknown&tenant=e"
    )
    hospital.refusal = Reply(400, {"error": "invalid_client", "error_uri": uri})
    with pytest.raises(SignInError, match="does not match our key_file") as caught:
        ask(hospital.base, backend(one_key, tmp_path))
    assert "jwt-bearer:invalid-signature" in str(caught.value)
    assert "tenant=" not in str(caught.value)


def test_epic_says_nothing(hospital, one_key, tmp_path):
    hospital.refusal = Reply(400, {"error": "invalid_client", "error_description": None})
    with pytest.raises(SignInError, match="not known there, or is disabled or revoked"):
        ask(hospital.base, backend(one_key, tmp_path))


def test_refusals_of_a_secret(hospital, monkeypatch):
    monkeypatch.setenv("CLIENT_SECRET", "s3cr3t")
    for error, words in [
        ("invalid_client", "not known there, or is disabled, or its secret is wrong"),
        ("unauthorized_client", "or its secret is wrong"),
    ]:
        hospital.refusal = refusal(error, status=401)
        with pytest.raises(SignInError, match=words):
            ask(hospital.base, oauth2_settings(hospital))


def test_revoked_during_a_run(hospital, one_key, tmp_path):
    with open_client(hospital.base, backend(one_key, tmp_path)) as client:
        metadata(client)
        hospital.accepted.clear()
        hospital.refusal = refusal("invalid_client")
        with pytest.raises(SignInError, match="obtained a token earlier in this run"):
            metadata(client)


@pytest.mark.parametrize("offset, words", [(600, "10 minutes behind"), (-605, "10 minutes ahead")])
@pytest.mark.parametrize("who", ["token endpoint", "FHIR server"])
def test_a_wrong_clock_is_measured(offset, words, who, hospital, one_key, tmp_path, monkeypatch):
    """By the token endpoint's Date; Keycloak sends none, so else by the FHIR server's."""
    from email.utils import formatdate

    from fhircryo.fhir.auth import token_endpoint

    hospital.refusal = refusal("invalid_client", "Token is not active")
    hospital.date = formatdate(time.time() + offset, usegmt=True)
    if who == "FHIR server":
        real = token_endpoint.HttpError.__init__

        def without_date(self: Any, *args: Any, **more: Any) -> None:
            real(self, *args, **{**more, "date": None})

        monkeypatch.setattr(token_endpoint.HttpError, "__init__", without_date)
    with pytest.raises(SignInError, match=f"clock is {words}.*set the clock by NTP"):
        ask(hospital.base, backend(one_key, tmp_path))


@pytest.mark.parametrize(
    "reply, words",
    [
        (Reply(content=b"<html>log in</html>"), "not JSON with a token"),
        (Reply(content={"token_type": "bearer"}), "contains no token"),
        (Reply(content={"access_token": "a b\r\nX: y"}), "contains no token"),
        (Reply(content={"access_token": "abcdef", "token_type": "mac"}), "only bearer tokens"),
        (Reply(404), "no token endpoint at this URL: is the URL right"),
        (Reply(500), "does not answer"),
    ],
)
def test_odd_answers_of_a_token_endpoint(reply, words, hospital, one_key, tmp_path):
    hospital.refusal = reply
    settings = backend(one_key, tmp_path, retry_budget=0.3)
    with pytest.raises(SignInError, match=words):
        ask(hospital.base, settings)


def test_a_configuration_that_is_none(hospital, one_key, tmp_path):
    for content in (b"<html/>", {"token_endpoint": ["x"]}):
        hospital.routes["/fhir/.well-known/smart-configuration"] = lambda _, it=content: Reply(
            content=it
        )
        with pytest.raises(SignInError, match="not a SMART configuration"):
            ask(hospital.base, backend(one_key, tmp_path))
        # Where the endpoint is set, it is not needed.
        settings = backend(one_key, tmp_path, token_url=hospital.token_url)
        assert ask(hospital.base, settings) == 200


def test_what_the_fhir_server_says_of_a_token_is_told(hospital, one_key, tmp_path):
    challenge = 'Bearer error="insufficient_scope", scope="system/Observation.rs"'
    hospital.routes["/fhir/metadata"] = lambda _: Reply(403, b"", {"WWW-Authenticate": challenge})
    words = r"403 forbidden.*insufficient_scope: system/Observation.rs"
    with pytest.raises(HttpError, match=words):
        ask(hospital.base, backend(one_key, tmp_path))


# ------------------------------------------------------------------ keys


def test_a_key_is_read_as_pem_and_as_jwk(key, tmp_path):
    import json

    pem = keys.load_key(written(key, tmp_path))
    assert (pem.kid, pem.algorithm) == (key.kid, key.algorithm)
    jwk = tmp_path / "key.json"
    private = {**key.key.as_dict(private=True), "kid": "mine", "alg": "RS256", "use": "enc"}
    jwk.write_text(json.dumps(private))
    jwk.chmod(0o600)
    found = keys.load_key(jwk)
    assert (found.kid, found.algorithm) == ("mine", key.algorithm)
    assert found.public().keys() & {"d", "p", "q", "dp", "dq", "qi"} == set()
    assert key.key.as_dict(private=True)["d"] not in repr(found)


def unusable() -> dict[str, bytes]:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    def pem(key: Any, how: Any = None) -> bytes:
        how = how or NoEncryption()
        return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how))

    p256 = ec.generate_private_key(ec.SECP256R1())
    return {
        "holds a public key": keys.generate("ES384").key.as_pem(private=False),
        "must be on P-384": pem(p256),
        "RSA of 1024 bits": pem(rsa.generate_private_key(65537, 1024)),
        "neither PEM nor a JWK": b"hello",
        "neither PEM nor a JWK.": b'{"kty": "RSA"}',
        "neither PEM nor a JWK..": pem(ed25519.Ed25519PrivateKey.generate()),
        "it is encrypted": pem(p256, BestAvailableEncryption(b"x")),
    }


@pytest.mark.filterwarnings("ignore:Key size")
def test_keys_that_cannot_sign(tmp_path):
    for words, content in unusable().items():
        path = tmp_path / "key.pem"
        path.write_bytes(content)
        path.chmod(0o600)
        with pytest.raises(UsageError, match=words.rstrip(".")):
            keys.load_key(path)


def test_another_server_is_no_token_endpoint(hospital, one_key, tmp_path):
    with Stub() as elsewhere:
        settings = backend(one_key, tmp_path, token_url=f"{elsewhere.origin}/token")
        with pytest.raises(SignInError, match="is the URL right"):
            ask(hospital.base, settings)
