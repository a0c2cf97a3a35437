"""Whatever a record, a server, a file or a setting says: no command shows a control character.

Each test has hostile text wherever text comes from outside, and looks at all that is printed.
"""

import io
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from fhircryo.cli.progress import progress
from fhircryo.logs import _INVISIBLE, escaped
from tests.unit import inputs
from tests.unit.bulk_server import BulkServer, files_of
from tests.unit.hospital import Reply, Stub
from tests.unit.hostile_text import FORGED, HOSTILE, poisoned
from tests.unit.stub_fhir import StubFhir

RECORD = [
    inputs.patient("p1", birthDate="1950-01-01", gender="male"),
    inputs.procedure("x1"),
    inputs.psa("a0", "2015-12-01", 4.0),
    inputs.psa("a1", "2016-03-01", 0.4),
    inputs.psa("a2", "2016-12-10", 3.5),
    inputs.lab("l1"),
    inputs.condition("c1", "2017-01-01"),
    inputs.adverse_event("e1", "2016-01-20"),
    inputs.response("r1", "2016-01-01", [1, 2, 3, 4, 5]),
    {
        "resourceType": "MedicationRequest",
        "id": "m1",
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": {
            "coding": [{"system": "http://www.whocc.no/atc", "code": "L02AE03", "display": "d"}]
        },
        "subject": {"reference": "Patient/p1"},
        "authoredOn": "2016-10-01",
    },
]
EVIL = f"evil{HOSTILE}"
AS_OF = ("--as-of", "2017-12-31")


@pytest.fixture(autouse=True)
def log_format(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """Everything is logged, as text or in the format that a test names."""
    monkeypatch.setenv("FHIRCRYO_LOG_FORMAT", getattr(request, "param", "text"))
    monkeypatch.setenv("FHIRCRYO_LOG_LEVEL", "debug")
    monkeypatch.setenv("FHIRCRYO_SOURCE__RETRY_BUDGET", "0.1")
    monkeypatch.setenv("FHIRCRYO_TARGET__RETRY_BUDGET", "0.1")
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)


both_formats = pytest.mark.parametrize("log_format", ["text", "json"], indirect=True)


@pytest.fixture(autouse=True)
def logs_as_before() -> Iterator[None]:
    """Leave the logger as it was, for other tests."""
    yield
    logging.getLogger("fhircryo").handlers.clear()


@dataclass
class Shown:
    """All that a command printed, which was looked at."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err


def assert_visible(text: str) -> None:
    """Check that each line shows all of its characters, and that none was forged."""
    for line in text.split("\n"):
        assert line.isprintable(), repr(line)
        assert not _INVISIBLE.search(line), repr(line)
        assert not line.startswith(FORGED), line


def shown(*arguments: object) -> Shown:
    """Run a command, and look at every character that it prints."""
    ran = inputs.cli(*arguments)
    assert_visible(ran.out + "\n" + ran.err)
    for line in ran.err.split("\n"):
        if line.startswith('{"time"'):
            assert json.loads(line)["message"]
    assert "Traceback" not in ran.err, ran.err
    return Shown(ran.code, ran.out, ran.err)


def hostile_source(folder: Path) -> Path:
    """A folder of a hostile name with hostile texts, hostile file names and damaged files."""
    source = folder / EVIL
    source.mkdir()
    (source / "a.ndjson").write_bytes(inputs.lines(*RECORD, *poisoned(RECORD)))
    (source / f"{EVIL}.ndjson").write_bytes(b'{"resourceType": "Pati')
    (source / f"damaged{EVIL}.ndjson.gz").write_bytes(b"no gzip")
    (source / f"{EVIL}.txt").write_bytes(b"?")
    return source


def hostile_protocol(folder: Path) -> Path:
    """A protocol that is valid, and whose words are hostile."""
    text = inputs.cli("protocols", "show", "bomers-2020", "--with-published").out
    lines = [
        f"{line.split(':')[0]}: {json.dumps(HOSTILE)}"
        if line.startswith(("version:", "title:"))
        else line
        for line in text.replace("id: bomers-2020", "id: ours", 1).split("\n")
    ]
    file = folder / f"protocol{EVIL}.yaml"
    file.write_text("\n".join(lines) + f"# {escaped(HOSTILE)}\u202e\u200b\n", encoding="utf-8")
    return file


def hostile_overlay(folder: Path) -> Path:
    """A valid overlay with hostile codes and texts."""
    one = {"system": HOSTILE, "code": HOSTILE, "display": HOSTILE, "verified": HOSTILE}
    content = {"concepts": {"psa": {"codes": [one]}}}
    file = folder / f"overlay{EVIL}.yaml"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


@pytest.mark.slow
@both_formats
def test_folders(tmp_path):
    source, protocol = hostile_source(tmp_path), hostile_protocol(tmp_path)
    overlay = hostile_overlay(tmp_path)
    how = ("--protocol", protocol, "--mappings", overlay)
    computed = shown("compute", source, tmp_path / f"out{EVIL}", *AS_OF, *how)
    assert computed.code == 4
    assert escaped(EVIL) in computed.err
    told = shown("explain", source, "p1", *AS_OF, *how)
    assert told.code == 4
    assert told.out.count("\n  biochemical-failure:") == 1
    assert escaped(HOSTILE) in told.out
    as_json = json.loads(shown("explain", source, "p1", *AS_OF, *how, "--json").out)
    assert HOSTILE.rstrip() in as_json["protocol"]
    for kind in (("--identified", "--yes"), (), ("--aggregate-only",)):
        folder = tmp_path / f"cohort{len(kind)}{kind[:1]}{EVIL}"
        assert (
            escaped(EVIL) in shown("cohort", source, folder, *AS_OF, *how, *kind, "--no-report").out
        )
    draft, written = tmp_path / f"draft{EVIL}", tmp_path / "survey.json"
    more = ("--draft", draft, "--out", written, "--mappings", overlay)
    surveyed = shown("mappings", "survey", source, *more)
    assert escaped(EVIL)[:20] in surveyed.out
    for file in (draft, written, tmp_path / f"out{EVIL}" / "issues.ndjson"):
        assert_visible(file.read_text(encoding="utf-8"))
    assert shown("doctor", source, tmp_path / f"out{EVIL}", *how).out
    json.loads(shown("doctor", source, *how, "--json").out)


@pytest.mark.slow
def test_mappings_and_protocols(tmp_path):
    overlay, protocol = hostile_overlay(tmp_path), hostile_protocol(tmp_path)
    assert shown("mappings", "check", overlay).code == 0
    assert escaped(HOSTILE)[:20] in shown("mappings", "show", "psa", "--mappings", overlay).out
    assert escaped(HOSTILE) in shown("protocols", "show", protocol).out
    place = tmp_path / f"terminology{EVIL}"
    assert escaped(EVIL) in shown("mappings", "export", "--fhir", place, "--mappings", overlay).out


@pytest.mark.parametrize(
    "content",
    [
        {HOSTILE: 1},
        {"concepts": {HOSTILE: {}}},
        {"concepts": {"psa": {"codes": [{"system": HOSTILE}]}}},
        {"concepts": {"psa": {"codes": HOSTILE}}},
        {"units": {"psa": {"factors": {HOSTILE: HOSTILE}}}},
        {"instruments": {HOSTILE: HOSTILE}},
    ],
)
def test_errors_in_mappings(tmp_path, content):
    file = tmp_path / f"{EVIL}.yaml"
    file.write_text(json.dumps(content), encoding="utf-8")
    refused = shown("mappings", "check", file)
    assert refused.code == 2
    assert "\\x1b" in refused.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("compute", EVIL, "out"),
        ("compute", ".", "out", "--mappings", EVIL),
        ("compute", ".", "out", "--protocol", EVIL),
        ("compute", ".", "out", "--patients", EVIL),
        ("compute", ".", "out", "--exclude", EVIL),
        ("compute", ".", "out", "--as-of", EVIL),
        ("compute", ".", "out", EVIL),
        ("compute", ".", "out", f"--{EVIL}"),
        (EVIL,),
        ("mappings", EVIL),
        ("mappings", "show", EVIL),
        ("protocols", "show", EVIL),
        ("explain", inputs.COHORT, EVIL),
        ("explain", ".", "p1", "--endpoint", EVIL),
        ("cohort", ".", "out", "--format", EVIL),
        ("push", EVIL, "http://127.0.0.1:9/fhir"),
        ("push", ".", EVIL),
        ("export", EVIL, "out"),
        ("auth", "test", EVIL),
        ("config", "show", "--config", EVIL),
        ("config", "init", f"{EVIL}/no/such/folder"),
        ("state", "show", "--config", EVIL),
        ("sync", "--config", EVIL),
        ("auth", "keygen", f"{EVIL}/no/such/folder"),
    ],
)
def test_errors_in_arguments(tmp_path, arguments):
    refused = shown(*arguments)
    assert refused.code not in (0, 1)
    assert "\\x1b" in refused.all


def test_the_progress_on_a_terminal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with progress() as (stage, _):
        assert stage is not None
        stage(f"[red]{EVIL}")
    shown = terminal.getvalue()
    assert "[red]evil" in shown
    for text in ("\x1b]", "\x07", "\x9b", "\u202e", "\u2066", "\u200b", f"\n{FORGED}"):
        assert text not in shown


def test_bytes_that_are_no_text(tmp_path):
    """A name of a file that is not UTF-8 becomes half of a surrogate pair."""
    source = inputs.folder(tmp_path / "s\udcff", {"a.ndjson": RECORD})
    assert shown("compute", source, tmp_path / "out\udcfe", *AS_OF).code == 0
    assert "\\udcff" in shown("compute", tmp_path / "no\udcff", tmp_path / "o", *AS_OF).err


@pytest.mark.parametrize(
    "content",
    [
        f"{json.dumps(EVIL)} = 1",
        f"[{json.dumps(EVIL)}]\na = 1",
        f"timezone = {json.dumps(EVIL)}",
        f"sync.source = {json.dumps(EVIL)}",
        f"source_name = {json.dumps(EVIL)}",
        f"a = {EVIL}",
    ],
)
def test_settings(tmp_path, content):
    file = tmp_path / f"{EVIL}.toml"
    file.write_text(content.replace("\\u007f", "\\u007F"), encoding="utf-8", newline="")
    assert "x1b" in shown("config", "show", "--config", file).all.replace("u001b", "x1b")
    for command in (("state", "show"), ("sync", "--status")):
        assert shown(*command, "--config", file).all


def test_environment(monkeypatch):
    for name in ("TIMEZONE", "SOURCE_NAME", "SYNC__SOURCE", "SOURCE__KEY_FILE", "PROTOCOL"):
        monkeypatch.setenv(f"FHIRCRYO_{name}", EVIL)
        assert "x1b" in shown("config", "show").all.replace("u001b", "x1b")
        monkeypatch.delenv(f"FHIRCRYO_{name}")


def _settings(tmp_path: Path, source: str, target: str) -> Path:
    file = tmp_path / "site.toml"
    file.write_text(
        f"[sync]\nsource = {json.dumps(source)}\ntarget = {json.dumps(target)}\n",
        encoding="utf-8",
    )
    return file


@pytest.mark.slow
@both_formats
def test_servers_with_hostile_records(tmp_path):
    with StubFhir(*RECORD) as source, StubFhir() as target:
        for one in poisoned(RECORD):
            source.stored[f"{one['resourceType']}/{one['id']}"] = source.stored["Patient/p1"]
            source.put(one)
        source.stored = {
            name: stored
            for name, stored in source.stored.items()
            if stored.resource and stored.resource["resourceType"] == name.split("/")[0]
        }
        assert shown("doctor", source.base, target.base).out
        assert shown("explain", source.base, "p1", *AS_OF).out
        assert shown("mappings", "survey", source.base).out
        assert shown("compute", source.base, target.base, *AS_OF, "--dry-run").err
        site = ("--config", _settings(tmp_path, source.base, target.base))
        for command in ("sync", "sync --dry-run", "sync --status", "state show", "state check"):
            assert shown(*command.split(), *site).all
        assert shown("forget", "p1", "--yes", *site).out


def _refusing() -> Stub:
    """A server that answers everything with a hostile error: words, codes, headers."""
    stub = Stub()
    words = {"severity": "error", "code": HOSTILE, "diagnostics": HOSTILE}
    issue = {**words, "details": {"text": HOSTILE, "coding": [{"code": HOSTILE}]}}
    content = {"resourceType": "OperationOutcome", "issue": [issue]}
    line = HOSTILE.replace("\r", "").replace("\n", "").encode().decode("latin-1")
    headers = {"Content-Type": f"text/{line}", "WWW-Authenticate": line, "Location": f"/{line}"}

    class Routes(dict):
        def get(self, path, default=None):
            return lambda _: Reply(stub.status, content, headers)

    stub.routes = Routes()
    stub.status = 400
    return stub


@pytest.mark.slow
@pytest.mark.parametrize("status", [200, 302, 401, 404, 422, 500])
def test_servers_with_hostile_answers(tmp_path, status):
    folder = inputs.folder(tmp_path / "in", {"a.ndjson": RECORD})
    assert shown("compute", folder, tmp_path / "out", *AS_OF).code == 0
    with _refusing() as stub:
        stub.status = status
        server = f"{stub.origin}/fhir"
        site = ("--config", _settings(tmp_path, server, server))
        for arguments in (
            ("compute", server, tmp_path / "o", *AS_OF),
            ("explain", server, "p1", *AS_OF),
            ("cohort", server, tmp_path / "c", *AS_OF),
            ("mappings", "survey", server),
            ("export", server, tmp_path / "e"),
            ("doctor", server, server),
            ("auth", "test", server),
            ("push", tmp_path / "out", server),
            ("sync", *site),
            ("sync", "--status", *site),
            ("state", "show", *site),
            ("forget", "p1", "--yes", *site),
        ):
            assert shown(*arguments).all, arguments


@both_formats
def test_a_target_that_rejects_with_hostile_words(tmp_path):
    with StubFhir(*RECORD) as source, StubFhir() as target:
        words = {"severity": "error", "code": "invalid", "diagnostics": EVIL}
        refusal = {"resourceType": "OperationOutcome", "issue": [words]}
        target._transaction = lambda sent: Reply(422, refusal)
        plain = target._answer
        target._answer = lambda seen: (
            Reply(422, refusal)
            if seen.method == "PUT" and "/Observation/" in seen.path
            else plain(seen)
        )
        target.routes = type(target.routes)(target._answer)
        site = ("--config", _settings(tmp_path, source.base, target.base))
        assert "\\x1b" in shown("sync", *site).err
        assert shown("state", "show", *site).out
        assert shown("sync", "--status", *site).out


def test_a_bulk_export_with_hostile_errors(tmp_path):
    words = {"severity": "error", "code": "invalid", "diagnostics": EVIL}
    error = inputs.lines({"resourceType": "OperationOutcome", "issue": [words]})
    with BulkServer(files_of(RECORD), errors=error) as server:
        exported = shown("export", server.url, tmp_path / f"e{EVIL}")
        assert "ERROR reported by the server: evil" in exported.err
        assert escaped(EVIL) in exported.out
