"""What must never happen with a secret, each a test.

A secret in a log, an error, a traceback, ``config show``, state, manifest, the process list or HTTP
debug output; a token at another origin; TLS unverified without a word; a key that others can read;
a token endpoint in the clear.
"""

import contextlib
import http.client
import json
import logging
import os
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fhircryo.cli import main
from fhircryo.errors import SignInError, SourceError, UsageError
from fhircryo.fhir.auth import keys
from fhircryo.fhir.client import HttpError
from fhircryo.fhir.connect import open_client
from fhircryo.logs import MASK, keep_secret, masked, set_up_logs
from fhircryo.settings import ServerSettings, load_settings
from tests.unit.hospital import STATEMENT, Hospital, Reply, Seen, Stub, refusal

SECRETS = {
    "PASSWORD": "open-sesame-47",
    "TOKEN": "bearer-of-all-11",
    "CLIENT_SECRET": "clients-own-23",
    "API_KEY": "gateways-key-59",
}


@pytest.fixture
def hospital(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hospital]:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    with Hospital() as server:
        yield server


@pytest.fixture(scope="module")
def key() -> keys.SigningKey:
    return keys.generate("ES384")


@pytest.fixture
def key_file(key: keys.SigningKey, tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(key.key.as_pem(private=True))
    path.chmod(0o600)
    return path


def ways(hospital: Hospital, key_file: Path) -> dict[str, dict[str, Any]]:
    """Settings of every way to sign in, and what is secret of each."""
    api = {"headers": {"X-Api-Key": SECRETS["API_KEY"]}}
    oauth2 = {"auth": "oauth2", "client_id": "c1", "token_url": hospital.token_url}
    secret = {**oauth2, "client_secret_env": "CLIENT_SECRET"}
    return {
        "basic": {"auth": "basic", "user": "me", "password_env": "PASSWORD", **api},
        "bearer": {"auth": "bearer", "token_env": "TOKEN", **api},
        "command": {"auth": "bearer", "token_command": ["printenv", "TOKEN"], **api},
        "client_secret_basic": {**secret, **api},
        "client_secret_post": {**secret, "client_authentication": "client_secret_post", **api},
        "private_key_jwt": {**oauth2, "key_file": key_file, **api},
        "smart-backend": {
            "auth": "smart-backend",
            "client_id": "c1",
            "key_file": key_file,
            **api,
        },
    }


WAYS = [
    "basic",
    "bearer",
    "command",
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
    "smart-backend",
]


def secrets_of(hospital: Hospital, key_file: Path) -> set[str]:
    """All that is secret: what was set, what was given, what was sent to prove who we are."""
    import base64
    from urllib.parse import quote_plus

    found = set(SECRETS.values()) | hospital.accepted
    found |= {quote_plus(one) for one in found}
    found |= {one.form["client_assertion"] for one in hospital.seen if b"assertion" in one.body}
    found.add(base64.b64encode(b"me:open-sesame-47").decode())
    found.add(base64.b64encode(b"c1:clients-own-23").decode())
    found |= set(key_file.read_text().splitlines()[1:-1])
    return found


def assert_clean(text: str, hospital: Hospital, key_file: Path) -> None:
    for secret in secrets_of(hospital, key_file):
        assert secret not in text


def ask(url: str, **settings: Any) -> None:
    quick = {"retry_budget": 0.0, "connect_timeout": 2.0, "read_timeout": 5.0}
    with open_client(url, ServerSettings(**{**quick, **settings})) as client:
        client.request("GET", f"{client.base}/metadata")


# ------------------------------------------------------------------ words


def echo(seen: Seen) -> Reply:
    """A server that repeats what it was sent, in its refusal."""
    words = f"refused: {seen.headers.get('Authorization')} {seen.headers.get('X-Api-Key')}"
    issue = [{"diagnostics": words}]
    challenge = f'Bearer error_description="{words}"'
    content = {"resourceType": "OperationOutcome", "issue": issue}
    return Reply(403, content, {"WWW-Authenticate": challenge})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_in_logs_errors_and_tracebacks(way, log_format, hospital, key_file, capsys):
    """With all that is logged, by a server that repeats every secret in its refusal."""
    set_up_logs("debug", log_format)
    hospital.routes["/fhir/metadata"] = echo
    try:
        ask(hospital.base, **ways(hospital, key_file)[way])
    except HttpError as error:
        log = logging.getLogger("fhircryo")
        log.exception("failed")
        log.info("the client was refused with %s", error)
        told = "".join(traceback.format_exception(error)) + str(error) + repr(error)
    assert "403" in told
    assert MASK in told
    written = capsys.readouterr()
    assert "GET" in written.err
    assert_clean(told + written.err + written.out, hospital, key_file)


@pytest.mark.parametrize("way", ["client_secret_basic", "client_secret_post", "smart-backend"])
def test_no_secret_that_a_token_endpoint_repeats(way, hospital, key_file):
    def repeat(seen: Seen) -> Reply:
        words = f"cannot use {seen.headers.get('Authorization')} {' '.join(seen.form.values())}"
        return refusal("invalid_client", words)

    hospital.routes["/token"] = repeat
    with pytest.raises(SignInError, match="cannot use") as caught:
        ask(hospital.base, **ways(hospital, key_file)[way])
    assert_clean(str(caught.value), hospital, key_file)


@pytest.mark.parametrize("way", WAYS)
def test_no_secret_in_http_debug_output(way, hospital, key_file, monkeypatch, capsys):
    """http.client prints every header once it is told to; ours are not among them."""
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    logging.getLogger("urllib3").setLevel("DEBUG")
    hospital.accepted |= {SECRETS["TOKEN"]}
    hospital.routes["/fhir/metadata"] = lambda _: Reply(content=STATEMENT)
    ask(hospital.base, **ways(hospital, key_file)[way])
    written = capsys.readouterr()
    assert "send:" not in written.out
    assert_clean(written.out + written.err, hospital, key_file)


def test_http_client_would_print_them(hospital, monkeypatch, capsys):
    """That the test above can fail: a plain session does."""
    import requests

    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    requests.get(f"{hospital.base}/metadata", headers={"Authorization": "Bearer abc"}, timeout=5)
    assert "Bearer abc" in capsys.readouterr().out


@pytest.mark.parametrize("way", WAYS)
def test_no_secret_in_what_objects_say_of_themselves(way, hospital, key_file):
    """A debugger, or a traceback with locals, shows these."""
    settings = ServerSettings(**ways(hospital, key_file)[way])
    hospital.routes["/fhir/metadata"] = lambda _: Reply(content=STATEMENT)
    with open_client(hospital.base, settings) as client:
        client.request("GET", f"{client.base}/metadata")
        auth = client.connection.auth
        shown = [settings, client, client.connection, auth]
        if hasattr(auth, "_grant"):
            endpoint = auth._grant.endpoint()
            shown += [auth._token, auth._grant, endpoint, endpoint.authentication]
    assert_clean(" ".join(map(repr, shown)), hospital, key_file)
    assert SECRETS["API_KEY"] not in settings.model_dump_json()


def test_a_bug_shows_no_secret(monkeypatch, capsys):
    """An error of ours that nobody foresaw, with a secret in its words."""
    keep_secret("a-bugs-secret-3")

    def broken() -> None:
        raise ValueError("Invalid header value b'Bearer a-bugs-secret-3'")

    monkeypatch.setattr(main, "app", broken)
    with pytest.raises(SystemExit) as stop:
        main.run()
    assert stop.value.code == 1
    written = capsys.readouterr().err
    assert "ValueError: Invalid header value" in written
    assert "a-bugs-secret-3" not in written


def test_what_looks_like_a_token_is_masked_whosever_it_is():
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"
    assert masked(f"token={token}.") == f"token={MASK}."
    assert masked("nothing to mask in eyJ or abc") == "nothing to mask in eyJ or abc"


def test_a_header_that_cannot_be_sent_is_not_shown(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for value in (" begins-with-a-space", "two\nlines-hush"):
        monkeypatch.setenv("FHIRCRYO_SOURCE__HEADERS", json.dumps({"X-Key": value}))
        with pytest.raises(UsageError, match="X-Key") as caught:
            load_settings()
        text = "".join(traceback.format_exception(caught.value))
        assert "hush" not in text
        assert "begins-with" not in text


# ------------------------------------------------------------------ commands


def settings_file(folder: Path, settings: dict[str, Any]) -> None:
    lines = ["[source]"]
    for name, value in settings.items():
        if isinstance(value, dict):
            inner = ", ".join(f"{key} = {json.dumps(one)}" for key, one in value.items())
            lines.append(f"{name} = {{ {inner} }}")
        else:
            lines.append(f"{name} = {json.dumps(str(value) if isinstance(value, Path) else value)}")
    (folder / "fhircryo.toml").write_text("\n".join(lines) + "\n")


@pytest.mark.parametrize("way", WAYS)
def test_config_show_shows_no_secret(way, hospital, key_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings_file(tmp_path, ways(hospital, key_file)[way])
    shown = CliRunner().invoke(main.app, ["config", "show"])
    assert shown.exit_code == 0, shown.output
    assert "source.headers" in shown.output
    assert_clean(shown.output, hospital, key_file)


def searchset(seen: Seen) -> Reply:
    """An empty answer to every search."""
    return Reply(content={"resourceType": "Bundle", "type": "searchset", "total": 0})


READ = (
    "Patient Observation Procedure Condition AdverseEvent QuestionnaireResponse Medication"
    " MedicationRequest MedicationStatement MedicationAdministration"
).split()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no process list to look at")
@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_no_secret_in_output_state_or_process_list(way, hospital, key_file, tmp_path, monkeypatch):
    """A whole run in a process of its own, that is looked at while it runs."""
    hospital.accepted |= {SECRETS["TOKEN"]}
    seen_processes: list[str] = []

    def look(_: Seen) -> Reply:
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                seen_processes.append(process.read_bytes().replace(b"\0", b" ").decode())
        return Reply(content=STATEMENT)

    hospital.routes["/fhir/metadata"] = look
    hospital.routes |= {f"/fhir/{kind}/_search": searchset for kind in READ}
    settings_file(tmp_path, ways(hospital, key_file)[way])
    patients = tmp_path / "patients.txt"
    patients.write_text("p1\n")
    environment = {
        **os.environ,
        "FHIRCRYO_STATE_FOLDER": str(tmp_path / "state"),
        "FHIRCRYO_LOG_LEVEL": "debug",
    }
    done = subprocess.run(
        [
            *(sys.executable, "-m", "fhircryo", "compute", hospital.base, "out"),
            *("--patients", str(patients), "--as-of", "2020-01-01"),
        ],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert any("fhircryo compute" in one for one in seen_processes)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    ours = [path for path in written if path not in (key_file, tmp_path / "fhircryo.toml")]
    assert {path.name for path in ours} >= {"manifest.json", "patients.txt"}
    texts = [path.read_text() for path in ours] + seen_processes + [done.stdout, done.stderr]
    assert_clean("\n".join(texts), hospital, key_file)


@pytest.mark.slow
def test_an_error_of_a_command_is_one_line_without_secrets(hospital, key_file, tmp_path):
    hospital.routes["/fhir/metadata"] = echo
    settings_file(tmp_path, ways(hospital, key_file)["smart-backend"])
    done = subprocess.run(
        [sys.executable, "-m", "fhircryo", "compute", hospital.base, "out"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert MASK in done.stderr
    assert_clean(done.stdout + done.stderr, hospital, key_file)


# ------------------------------------------------------------------ other origins


@pytest.fixture
def elsewhere() -> Iterator[Stub]:
    with Stub() as server:
        yield server


def leads(status: int, to: str) -> Callable[[Seen], Reply]:
    return lambda _: Reply(status, b"", {"Location": to})


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_takes_no_secret_elsewhere(way, status, hospital, key_file, elsewhere):
    hospital.routes["/fhir/metadata"] = leads(status, f"{elsewhere.origin}/fhir/metadata")
    with pytest.raises(SourceError, match="another origin"):
        ask(hospital.base, **ways(hospital, key_file)[way])
    assert elsewhere.seen == []


@pytest.mark.parametrize("way", ["client_secret_basic", "client_secret_post", "smart-backend"])
@pytest.mark.parametrize("status", [302, 307])
def test_a_token_endpoint_sends_no_secret_elsewhere(way, status, hospital, key_file, elsewhere):
    hospital.routes["/token"] = leads(status, f"{elsewhere.origin}/token")
    with pytest.raises(SourceError, match="another origin"):
        ask(hospital.base, **ways(hospital, key_file)[way])
    assert elsewhere.seen == []


NO_URLS = ["http://[::1", "https://x.example:abc/", "//[", "data:x"]


@pytest.mark.parametrize("link", NO_URLS)
def test_what_is_no_url_leads_nowhere(link, hospital, key_file):
    """A redirect or a token endpoint that cannot be understood is an error with a message."""
    settings = ways(hospital, key_file)["smart-backend"]
    hospital.configuration["token_endpoint"] = link
    with pytest.raises(SignInError, match="another origin"):
        ask(hospital.base, **settings)
    hospital.configuration["token_endpoint"] = hospital.token_url
    hospital.routes["/fhir/metadata"] = leads(302, link)
    with pytest.raises(SourceError, match="another origin"):
        ask(hospital.base, **settings)


TWO_HOSTS = ["http://{evil}\\@{good}/x", "http://{evil}\\\\@{good}/x", "http://{evil}#@{good}/x"]


@pytest.mark.parametrize("link", TWO_HOSTS)
def test_a_url_that_is_read_in_two_ways_leads_nowhere(link, hospital, key_file, elsewhere):
    """For one parser its host is ours, for the one that connects it is another's."""
    good, evil = (one.origin.removeprefix("http://") for one in (hospital, elsewhere))
    url = link.format(good=good, evil=evil)
    settings = ways(hospital, key_file)["smart-backend"]
    hospital.configuration["token_endpoint"] = url
    with pytest.raises(SourceError, match="another origin"):
        ask(hospital.base, **settings)
    hospital.configuration["token_endpoint"] = hospital.token_url
    hospital.routes["/fhir/metadata"] = leads(302, url)
    with pytest.raises(SourceError, match="another origin"):
        ask(hospital.base, **settings)
    assert elsewhere.seen == []


def test_discovery_leads_nowhere_else(hospital, key_file, elsewhere):
    place = "/fhir/.well-known/smart-configuration"
    hospital.routes[place] = leads(302, f"{elsewhere.origin}{place}")
    with pytest.raises(SourceError, match="another origin"):
        ask(hospital.base, **ways(hospital, key_file)["smart-backend"])
    assert elsewhere.seen == []


def test_a_foreign_token_endpoint_is_asked_only_where_allowed(hospital, key_file, elsewhere, key):
    hospital.configuration["token_endpoint"] = f"{elsewhere.origin}/token"
    elsewhere.routes["/token"] = hospital.routes["/token"]
    settings = ways(hospital, key_file)["smart-backend"]
    with pytest.raises(SignInError, match=r"another origin.*nothing is sent there") as caught:
        ask(hospital.base, **settings)
    assert elsewhere.seen == []
    assert f'token_origins = ["{elsewhere.origin}"]' in str(caught.value)
    ask(hospital.base, **settings, token_origins=[elsewhere.origin])
    (asked,) = elsewhere.seen
    assert "X-Api-Key" not in asked.headers, "a key of the server's own gateway"
    assert hospital.seen[-1].headers["X-Api-Key"] == SECRETS["API_KEY"]


def test_allowed_for_a_token_is_not_allowed_for_data(hospital, key_file, elsewhere):
    hospital.routes["/fhir/metadata"] = leads(307, f"{elsewhere.origin}/fhir/metadata")
    settings = ways(hospital, key_file)["smart-backend"]
    with pytest.raises(SourceError, match="another origin"):
        ask(hospital.base, **settings, token_origins=[elsewhere.origin])
    assert elsewhere.seen == []


# ------------------------------------------------------------------ in the clear, unverified


@pytest.mark.parametrize("named_by", ["setting", "server"])
def test_a_token_endpoint_of_plain_http_is_refused(named_by, hospital, key_file):
    url = "http://login.hospital.example/token"
    settings = ways(hospital, key_file)["smart-backend"]
    if named_by == "setting":
        with pytest.raises(UsageError, match="plain http"):
            ask(hospital.base, **settings, token_url=url)
    else:
        hospital.configuration["token_endpoint"] = url
        with pytest.raises(SignInError, match="plain http"):
            ask(hospital.base, **settings, token_origins=["http://login.hospital.example"])
    assert hospital.asked("/token") == []


@pytest.mark.parametrize("url", ["ftp://x/token", "https:///token", "token", "file:///etc/x"])
def test_what_is_no_token_endpoint(url, hospital, key_file):
    with pytest.raises(UsageError, match="not the URL of a token endpoint"):
        ask(hospital.base, **ways(hospital, key_file)["smart-backend"], token_url=url)


def test_credentials_over_plain_http_are_told(caplog):
    settings = ServerSettings(auth="basic", user="u", password_env="PATH")
    with open_client("http://fhir.hospital.example/r4", settings):
        pass
    assert "UNENCRYPTED" in caplog.text
    caplog.clear()
    with open_client("http://fhir.hospital.example/r4", ServerSettings()):
        pass
    with open_client("https://fhir.hospital.example/r4", settings):
        pass
    assert caplog.text == ""


def test_unverified_tls_is_told_and_never_the_default(caplog):
    assert ServerSettings().verify_tls is True
    with open_client("https://fhir.hospital.example/r4", ServerSettings(verify_tls=False)):
        pass
    assert "NOT verified" in caplog.text


# ------------------------------------------------------------------ files


@pytest.mark.skipif(os.name != "posix", reason="no such permissions")
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610])
def test_a_key_that_others_can_use_is_refused(mode, hospital, key_file):
    key_file.chmod(mode)
    with pytest.raises(UsageError, match=f"mode {mode:04o}.*chmod 600 {key_file}"):
        ask(hospital.base, **ways(hospital, key_file)["smart-backend"])
    assert hospital.seen == []


@pytest.mark.skipif(os.name != "posix", reason="no such permissions")
def test_the_chmod_can_be_typed(tmp_path, key):
    path = tmp_path / "my key.pem"
    path.write_bytes(key.key.as_pem(private=True))
    path.chmod(0o644)
    with pytest.raises(UsageError) as caught:
        keys.load_key(path)
    command = str(caught.value).rpartition("run: ")[2]
    subprocess.run(command, shell=True, check=True)
    assert keys.load_key(path).kid == key.kid


@pytest.mark.skipif(os.name != "posix", reason="no such permissions")
def test_a_password_file_that_everybody_can_read_is_told(tmp_path, caplog):
    path = tmp_path / "password"
    path.write_text("open-sesame\n")
    settings = ServerSettings(auth="basic", user="u", password_file=path)
    for mode, told in ((0o644, True), (0o640, False), (0o600, False)):
        caplog.clear()
        path.chmod(mode)
        with open_client("https://fhir.hospital.example", settings):
            pass
        assert (f"chmod 600 {path}" in caplog.text) is told


@pytest.mark.parametrize(
    "user, group, refused",
    [("us", 0, False), ("another", 0, True), ("us", 4, True)],
)
def test_a_key_that_an_access_list_gives_to_us_alone(user, group, refused, key_file):
    """As systemd hands credentials over: its mode says 0440, and only we can read it."""
    whose = os.geteuid() if user == "us" else 12345
    none = 0xFFFFFFFF
    entries = [(1, 4, none), (2, 4, whose), (4, group, none), (0x10, 4, none), (0x20, 0, none)]
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *one) for one in entries)
    key_file.chmod(0o400)
    try:
        os.setxattr(key_file, "system.posix_acl_access", acl)
    except (AttributeError, OSError) as error:
        pytest.skip(f"no access lists here: {error}")
    assert key_file.stat().st_mode & 0o777 == 0o440
    if refused:
        with pytest.raises(UsageError, match="mode 0440"):
            keys.load_key(key_file)
    else:
        assert keys.load_key(key_file).algorithm == "ES384"
