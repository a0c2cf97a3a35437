"""A server that lets nothing pass costs a run one retry budget, whatever the run asks of it."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from fhircryo.fhir import outage as module
from fhircryo.fhir.outage import Outage
from tests.unit import inputs
from tests.unit.hospital import Reply, Seen
from tests.unit.inputs import cli
from tests.unit.stub_fhir import StubFhir

RECORD = [
    inputs.patient("p1"),
    inputs.procedure("x1", "2016-01-10"),
    inputs.psa("a1", "2016-03-01", 0.4),
]
BUDGET = 0.8
#: A wait is 0.25 s at least.
RETRIES = 3


class Failing(StubFhir):
    """Answers 503 to all requests that ``works`` does not name; tokens are at ``/token``."""

    def __init__(self, works: Callable[[Seen], bool]) -> None:
        self.works = works
        #: How often each request failed.
        self.failed: Counter[tuple[str, str, bytes]] = Counter()
        super().__init__(*RECORD)

    def _answer(self, seen: Seen) -> Reply:
        if self.works(seen):
            if seen.path.endswith("/token"):
                return Reply(content={"access_token": "t0ken", "token_type": "bearer"})
            return super()._answer(seen)
        self.failed[seen.method, seen.path, seen.body or b""] += 1
        return Reply(503, {"resourceType": "OperationOutcome"})

    @property
    def tried_again(self) -> int:
        return sum(self.failed.values()) - len(self.failed)


def is_metadata(seen: Seen) -> bool:
    return "metadata" in seen.path


def is_read(seen: Seen) -> bool:
    return is_metadata(seen) or seen.method == "GET" or "_search" in seen.path


WORKS: dict[str, Callable[[Seen], bool]] = {
    "nothing": lambda _: False,
    "metadata": is_metadata,
    "reading": is_read,
    "no token": lambda seen: not seen.path.endswith("/token"),
}


@pytest.fixture
def computed(tmp_path: Path) -> Path:
    folder = inputs.folder(tmp_path / "in", {"a.ndjson": RECORD})
    assert cli("compute", folder, tmp_path / "computed").code == 0
    return tmp_path / "computed"


@pytest.mark.slow
@pytest.mark.parametrize("works", WORKS)
@pytest.mark.parametrize(
    "command", ["compute", "sync", "sync bulk", "export", "push", "doctor", "survey", "forget"]
)
def test_a_run_has_one_budget(command, works, computed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HUSH", "secret")
    monkeypatch.setattr("fhircryo.fhir.client._FIRST_WAIT", 0.5)  # tests wait less elsewhere
    with Failing(WORKS[works]) as server:
        for name in ("SOURCE", "TARGET"):
            settings = {"RETRY_BUDGET": str(BUDGET)}
            if works == "no token":
                settings |= {"AUTH": "oauth2", "CLIENT_ID": "c", "CLIENT_SECRET_ENV": "HUSH"}
                settings["TOKEN_URL"] = f"{server.origin}/token"
            for key, value in settings.items():
                monkeypatch.setenv(f"FHIRCRYO_{name}__{key}", value)
        monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))
        monkeypatch.setenv("FHIRCRYO_SYNC__SOURCE", server.base)
        arguments: dict[str, tuple[object, ...]] = {
            "compute": ("compute", server.base, "out"),
            "sync": ("sync",),
            "sync bulk": ("sync", "--bulk", "system"),
            "export": ("export", server.base, "out"),
            "push": ("push", computed, server.base),
            "doctor": ("doctor", server.base, server.base),
            "survey": ("mappings", "survey", server.base),
            "forget": ("forget", "p1", "--yes"),
        }
        cli(*arguments[command])
        assert server.failed or works == "reading"
        # The source and the target are one server here, and each is tried for as long.
        both = 2 if command == "doctor" else 1
        assert server.tried_again <= both * RETRIES, server.failed


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(module.time, "monotonic", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


FAR = float("inf")


def test_the_budget_is_that_of_all_requests(clock):
    outage = Outage()
    assert outage.allows(1, 10, FAR)
    clock.now = 9
    assert outage.allows(1, 10, FAR)
    assert not outage.allows(1.1, 10, FAR)  # another request has no time of its own


def test_a_success_ends_an_outage(clock):
    outage = Outage()
    assert outage.allows(1, 10, FAR)
    clock.now = 9.5
    outage.over()
    assert outage.allows(9, 10, FAR)  # nothing was given up, so the budget is whole


def test_who_answers_some_requests_only_costs_twice_the_budget_at_most(clock):
    outage = Outage()
    waited = 0.0
    for _ in range(50):
        while outage.allows(0.01, 10, FAR):
            clock.now += 0.01
            waited += 0.01
        outage.over()
    assert 10 < waited < 20.1


def test_one_request_among_others_that_succeed_ends_at_its_deadline(clock):
    outage = Outage()
    while outage.allows(1, 10, 10):
        clock.now += 1
        outage.over()
    assert clock.now <= 10
