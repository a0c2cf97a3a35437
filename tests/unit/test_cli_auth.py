"""``fhircryo auth``: a new key and its registration; signing in, reported step by step."""

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from typer.testing import CliRunner

from fhircryo.cli.main import app
from fhircryo.errors import UsageError
from fhircryo.fhir.auth.keys import load_key
from fhircryo.logs import MASK
from tests.unit.hospital import Hospital, Reply, Stub, refusal


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    with Hospital() as server:
        server.routes["/fhir/AdverseEvent"] = server.guarded(lambda _: Reply(content={"total": 4}))
        yield server


def cli(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["auth", *arguments])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("algorithm, kind", [("RS384", "RSA"), ("ES384", "EC")])
def test_a_new_key(algorithm, kind, tmp_path):
    done = cli("keygen", "key.pem", "--algorithm", algorithm)
    assert done.exit_code == 0, done.output
    private, public = tmp_path / "key.pem", tmp_path / "key.pem.jwks.json"
    assert (mode(private), mode(public)) == (0o600, 0o644)
    key = load_key(private)
    assert key.kid in done.output
    assert algorithm in done.output
    (registered,) = json.loads(public.read_text())["keys"]
    assert registered.keys() & {"d", "p", "q", "dp", "dq", "qi"} == set()
    assert (registered["kty"], registered["use"], registered["alg"], registered["kid"]) == (
        kind,
        "sig",
        algorithm,
        key.kid,
    )
    signed = jwt.encode({"alg": algorithm}, {"sub": "x"}, key.key, algorithms=[algorithm])
    keys = KeySet.import_key_set({"keys": [registered]})
    assert jwt.decode(signed, keys, algorithms=[algorithm]).claims == {"sub": "x"}
    for line in private.read_text().splitlines()[1:-1]:
        assert line not in done.output


def test_a_key_is_never_overwritten(tmp_path):
    cli("keygen", "key.pem", "--algorithm", "ES384")
    before = (tmp_path / "key.pem").read_bytes(), (tmp_path / "key.pem.jwks.json").read_bytes()
    again = cli("keygen", "key.pem", "--algorithm", "ES384")
    assert isinstance(again.exception, UsageError)
    assert "never overwritten" in str(again.exception)
    assert before == (
        (tmp_path / "key.pem").read_bytes(),
        (tmp_path / "key.pem.jwks.json").read_bytes(),
    )


def test_both_keys_are_registered_during_a_change(tmp_path):
    cli("keygen", "old.pem", "--jwks", "registered.json")
    cli("keygen", "new.pem", "--jwks", "registered.json", "--algorithm", "ES384")
    keys = json.loads((tmp_path / "registered.json").read_text())["keys"]
    assert [one["kid"] for one in keys] == [
        load_key(tmp_path / name).kid for name in ("old.pem", "new.pem")
    ]


@pytest.mark.parametrize(
    "content, words",
    [
        ("[]", "is not a JWKS"),
        ('{"keys": [1]}', "is not a JWKS"),
        ("hello", "is not a JWKS"),
        ('{"keys": [{"kty": "EC", "d": "x"}]}', "contains a private key"),
    ],
)
def test_a_file_that_is_no_jwks_is_not_changed(content, words, tmp_path):
    (tmp_path / "j.json").write_text(content)
    done = cli("keygen", "key.pem", "--jwks", "j.json", "--algorithm", "ES384")
    assert words in str(done.exception)
    assert (tmp_path / "j.json").read_text() == content
    assert not (tmp_path / "key.pem").exists()


def test_no_key_is_left_if_a_file_cannot_be_written(tmp_path):
    done = cli("keygen", "nowhere/key.pem", "--algorithm", "ES384")
    assert "cannot be written" in str(done.exception)
    done = cli("keygen", "key.pem", "--jwks", "nowhere/j.json", "--algorithm", "ES384")
    assert "cannot be written" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


# ------------------------------------------------------------------ signing in


def backend(hospital: Hospital, section: str = "source", **more: str) -> None:
    """Create and register a key, and write settings that sign in with it."""
    cli("keygen", "key.pem", "--algorithm", "ES384")
    hospital.jwks = json.loads(Path("key.pem.jwks.json").read_text())["keys"]
    settings = {"auth": "smart-backend", "client_id": "night", "key_file": "key.pem", **more}
    lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items()]
    Path("fhircryo.toml").write_text(f"[{section}]\nretry_budget = 0\n" + "\n".join(lines) + "\n")


def test_each_step_is_reported(hospital):
    backend(hospital)
    hospital.configuration["capabilities"] = ["client-confidential-asymmetric", "permission-v2"]
    done = cli("test", hospital.base)
    assert done.exit_code == 0, done.output
    kid = load_key(Path("key.pem")).kid
    lines = done.stdout.splitlines()
    assert [line[10:27].strip() for line in lines] == [
        *("settings", "key", "discovery", "token endpoint", "scopes requested", "assertion"),
        *("token", "request", "clock"),
    ]
    assert all(line.startswith("ok ") for line in lines)
    assert f"EC P-384, signs ES384, kid {kid}" in done.output
    assert "scopes v2, client-confidential-asymmetric permission-v2" in done.output
    assert hospital.token_url in done.output
    assert "system/Observation.rs" in done.output
    assert f"iss night, sub night, aud {hospital.token_url}" in done.output
    assert f"{MASK}, for 300 s" in done.output
    assert "GET AdverseEvent: access granted" in done.output
    for secret in (*hospital.accepted, hospital.asked("/token")[0].form["client_assertion"]):
        assert secret not in done.output
    assert "_summary=count" in hospital.asked("/fhir/AdverseEvent")[0].path


def test_the_scopes_for_writing_are_requested_with_target(hospital):
    backend(hospital, "target")
    hospital.routes["/fhir/Device"] = hospital.guarded(lambda _: Reply(content={"total": 0}))
    done = cli("test", hospital.base, "--target")
    assert done.exit_code == 0, done.output
    assert "system/Observation.crus" in hospital.asked("/token")[0].form["scope"]


def test_the_first_step_that_fails_is_the_last(hospital):
    backend(hospital)
    hospital.refusal = refusal("invalid_client", "Unable to load public key")
    done = cli("test", hospital.base)
    assert done.exit_code == 3
    last = done.stdout.splitlines()[-1]
    assert last.startswith("failed    token ")
    assert "the server has no public key" in last
    assert hospital.asked("/fhir/AdverseEvent") == []


def test_a_token_endpoint_of_another_origin_is_refused(hospital):
    backend(hospital)
    with Stub() as elsewhere:
        hospital.configuration["token_endpoint"] = f"{elsewhere.origin}/token"
        done = cli("test", hospital.base)
        assert done.exit_code == 3
        assert "failed    token endpoint" in done.output
        assert "token_origins" in done.output
        assert elsewhere.seen == []


def test_a_method_that_the_server_does_not_list_is_a_warning(hospital):
    backend(hospital)
    hospital.configuration |= {
        "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        "token_endpoint_auth_signing_alg_values_supported": ["RS384"],
    }
    hospital.granted["scope"] = "system/Patient.rs"
    done = cli("test", hospital.base)
    assert done.exit_code == 0, done.output
    assert "warning   method" in done.output
    assert "lists RS384, but not ES384" in done.output
    assert "warning   scopes granted" in done.output
    assert "system/Observation.rs" in done.output.split("missing: ")[1]


def test_without_a_configuration_the_set_endpoint_is_used(hospital):
    backend(hospital, token_url=hospital.token_url)
    place = "/fhir/.well-known/smart-configuration"
    for reply in (Reply(404), Reply(content=b"<html/>")):
        hospital.routes[place] = lambda _, it=reply: it
        done = cli("test", hospital.base)
        assert done.exit_code == 0, done.output
        assert "warning   discovery" in done.stdout


def test_a_token_that_the_server_rejects(hospital):
    backend(hospital)
    hospital.routes["/fhir/AdverseEvent"] = lambda _: Reply(
        403, b"", {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}
    )
    done = cli("test", hospital.base)
    assert done.exit_code == 3
    assert "403 forbidden" in done.output
    assert "insufficient_scope" in done.output


@pytest.mark.parametrize("status", [400, 404, 405, 500])
def test_an_answer_that_is_neither_access_nor_a_refusal_is_not_called_ok(status, hospital):
    backend(hospital)
    outcome = {"resourceType": "OperationOutcome", "issue": [{"diagnostics": "no summaries"}]}
    hospital.routes["/fhir/AdverseEvent"] = lambda _: Reply(status, outcome)
    done = cli("test", hospital.base)
    assert done.exit_code == 0
    (line,) = [line for line in done.stdout.splitlines() if " request " in line]
    assert line.startswith("warning   request")
    assert f"{status}" in line
    assert "no summaries" in line


def test_passwords_tokens_and_none(hospital, monkeypatch):
    monkeypatch.setenv("FHIR_TOKEN", "a-token-from-afar")
    hospital.accepted.add("a-token-from-afar")
    Path("fhircryo.toml").write_text('[source]\nauth = "bearer"\ntoken_env = "FHIR_TOKEN"\n')
    done = cli("test", hospital.base)
    assert done.exit_code == 0, done.output
    assert f"FHIR_TOKEN: {MASK}" in done.output
    assert "a-token-from-afar" not in done.output
    Path("fhircryo.toml").unlink()
    done = cli("test", hospital.base)
    assert done.exit_code == 3
    assert "none are sent" in done.output
    assert "401 unauthorised" in done.output


def test_a_secret_and_a_wrong_clock(hospital, monkeypatch):
    import time
    from email.utils import formatdate

    monkeypatch.setenv("CLIENT_SECRET", "clients-own-31")
    hospital.date = formatdate(time.time() + 300, usegmt=True)
    Path("fhircryo.toml").write_text(
        f'[source]\nauth = "oauth2"\nclient_id = "c"\ntoken_url = "{hospital.token_url}"\n'
        'client_secret_env = "CLIENT_SECRET"\n'
    )
    done = cli("test", hospital.base)
    assert done.exit_code == 0, done.output
    assert f"CLIENT_SECRET: {MASK}" in done.output
    assert f"client_secret_basic, client c, {MASK}" in done.output
    assert "clients-own-31" not in done.output
    # A busy machine may take a minute.
    assert re.search(r"^warning   clock +-(2[4-9][0-9]|30[01]) s", done.stdout, re.MULTILINE)


def test_a_folder_as_source_is_a_usage_error():
    assert isinstance(cli("test", "export/").exception, UsageError)
