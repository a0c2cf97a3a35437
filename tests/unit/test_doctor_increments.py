"""What the doctor measures of a source's times and versions; the habits are in ``stub_fhir``."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from fhircryo.cli.main import app
from fhircryo.fhir.capability import capabilities
from fhircryo.fhir.connect import open_client
from fhircryo.fhir.search import Searcher
from fhircryo.mapping.load import load_mappings
from fhircryo.settings import ServerSettings
from fhircryo.setup.doctor.check_increments import increment_checks
from tests.unit import inputs
from tests.unit.hospital import Reply, Seen
from tests.unit.stub_fhir import (
    GivesNoVersions,
    IgnoresLastUpdated,
    IgnoresLastUpdatedBesideCodes,
    StubFhir,
    TwoClocks,
)

RECORD = [inputs.patient("p1"), inputs.procedure("x1"), inputs.psa("a1", "2016-03-01", 0.4)]


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[StubFhir]:
    with request.param() as found:
        found.put(*RECORD, at=datetime.now(UTC) - timedelta(seconds=5))
        yield found


def of(*servers: type[StubFhir]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("server", servers, indirect=True, ids=lambda one: one.__name__)


def checked(server: StubFhir) -> dict[str, tuple[str, str]]:
    with open_client(server.base, ServerSettings(retry_budget=2.0)) as client:
        searcher = Searcher(client)
        try:
            results = increment_checks(client, searcher, capabilities(client), load_mappings())
            return {one.check: (str(one.status), one.text) for one in results}
        finally:
            searcher.close()


@of(StubFhir)
def test_a_server_without_a_habit(server):
    checks = checked(server)
    assert {status for status, _ in checks.values()} == {"ok"}
    seconds = int(checks["clock of the data"][1].partition(" s:")[0])
    assert -15 <= seconds <= 0


@of(IgnoresLastUpdated)
def test_last_updated_is_ignored(server):
    status, words = checked(server)["_lastUpdated"]
    assert status == "warning"
    assert words.startswith("ignored in searches of ")
    assert all(kind in words for kind in ("Patient", "Procedure", "Observation"))


@pytest.mark.slow
@of(IgnoresLastUpdatedBesideCodes)
def test_last_updated_is_ignored_beside_codes_only(server):
    status, words = checked(server)["_lastUpdated"]
    assert (status, words.partition(":")[0]) == ("warning", "ignored in searches of Observation")


@of(StubFhir)
def test_a_stamp_of_the_year_9999_is_no_habit(server):
    server.put(inputs.patient("mistake"), at=datetime(9999, 12, 1, tzinfo=UTC))
    assert checked(server)["_lastUpdated"][0] == "ok"


@of(StubFhir)
def test_last_updated_is_refused(server, monkeypatch):
    """As Epic."""
    monkeypatch.setattr(server, "_as_supported", lambda query: "_lastUpdated" not in query)
    status, words = checked(server)["_lastUpdated"]
    assert status == "warning"
    assert words.startswith("not supported in searches of Patient, ")


@of(GivesNoVersions)
def test_resources_without_version_and_time(server):
    checks = checked(server)
    assert checks["versions"][0] == "warning"
    assert checks["versions"][1].startswith("3 of 3 resources state neither")
    assert "not known" in checks["clock of the data"][1]


@of(TwoClocks)
def test_the_header_is_ahead_of_the_newest_stamp(server):
    """That alone may also mean that nothing was written since: it is told, and is no warning."""
    status, words = checked(server)["clock of the data"]
    assert status == "ok"
    assert -1215 <= int(words.partition(" s:")[0]) <= -1200
    assert "behind" in words


@of(StubFhir)
def test_the_data_are_ahead_of_the_header(server):
    server.date_ahead = timedelta(minutes=-20)
    status, words = checked(server)["clock of the data"]
    assert status == "warning"
    assert 1180 <= int(words.partition(" s:")[0]) <= 1200
    assert "ahead" in words


@of(TwoClocks)
def test_the_stamp_of_an_answer_tells_the_difference_exactly(server, monkeypatch):
    search = server._search

    def stamped(kind: str, query: dict[str, str]) -> Reply:
        reply = search(kind, query)
        reply.content["meta"] = {"lastUpdated": server.now().isoformat()}
        return reply

    monkeypatch.setattr(server, "_search", stamped)
    status, words = checked(server)["clock of the data"]
    assert status == "warning"
    assert -1205 <= int(words.partition(" s:")[0]) <= -1195


@of(StubFhir)
def test_a_server_that_answers_nothing_of_it(server, monkeypatch):
    answer = server._answer

    def metadata_only(seen: Seen) -> Reply:
        return answer(seen) if seen.path.endswith("/metadata") else Reply(403, b"")

    monkeypatch.setattr(server.routes, "_answer", metadata_only)
    checks = checked(server)
    for name in ("_lastUpdated", "versions", "clock of the data"):
        status, words = checks[name]
        assert status == "not tried"
        assert "403" in words


@of(StubFhir)
def test_a_server_that_holds_nothing(server):
    server.stored.clear()
    checks = checked(server)
    for name in ("versions", "clock of the data"):
        assert checks[name] == (
            "not tried",
            "there is no Patient and no Procedure and no Observation",
        )


@of(StubFhir)
def test_types_that_are_forbidden_are_named_beside_an_answer(server, monkeypatch):
    answer = server._answer

    def without_conditions(seen: Seen) -> Reply:
        return Reply(403) if "/Condition" in seen.path else answer(seen)

    monkeypatch.setattr(server.routes, "_answer", without_conditions)
    status, words = checked(server)["_lastUpdated"]
    assert (status, "not tried, because forbidden: Condition (403)" in words) == ("ok", True)


@of(IgnoresLastUpdated)
def test_the_command_says_it(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))
    done = CliRunner().invoke(app, ["doctor", server.base, "--json"])
    found = {one["check"]: one for one in json.loads(done.stdout)}
    assert found["_lastUpdated"]["status"] == "warning"
    assert "once a night" in found["_lastUpdated"]["advice"]
    assert {"versions", "clock of the data"} <= found.keys()
