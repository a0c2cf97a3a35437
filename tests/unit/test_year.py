"""A year of hospital life on a target of each kind: nothing is doubled, nothing is lost.

Scheduled runs follow a source that changes all the time; answers of the target are lost, its search
index lags, runs are killed at any step, and their state is lost. ``TEST_YEARS=10`` for longer
(``make years``). The habits and their sources are in ``stub_target``.
"""

import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from fhircryo.errors import FhircryoError
from fhircryo.fhir import client as http
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.run import sync
from fhircryo.runs.sync.state_database import State
from fhircryo.runs.sync.state_file import remove, state_path
from fhircryo.runs.sync.sync_options import SyncOptions
from fhircryo.runs.sync.sync_result import SyncResult
from fhircryo.settings import ServerSettings, Settings, SyncSettings, WriteSettings
from tests.unit import inputs
from tests.unit.inputs import Resource
from tests.unit.stub_fhir import StubFhir
from tests.unit.stub_target import (
    Fate,
    StubTarget,
    Target,
    conditional_create,
    conditional_update,
    neither,
    own_ids,
)

pytestmark = pytest.mark.slow

YEARS = int(os.environ.get("TEST_YEARS", "1"))
#: A run every two weeks; more runs in a longer test.
RUNS = 26 * YEARS
START = date(2017, 1, 2)
#: Seconds: the next run begins before the index has what the last one wrote.
LAG = 0.15
#: Longer than the index lags.
_PATIENCE: dict[str, Any] = (
    {"index_patience": 4 * LAG} if "index_patience" in WriteSettings.model_fields else {}
)

KINDS: dict[str, Callable[[], Target]] = {
    "own ids": own_ids,
    "conditional update": lambda: conditional_update(lag_seconds=LAG),
    "conditional create": lambda: conditional_create(lag_seconds=LAG, updates_leave_index=True),
    "neither": lambda: neither(lag_seconds=LAG),
}
#: Only in a longer test.
MORE_KINDS: dict[str, Callable[[], Target]] = {
    "own ids, no transactions": lambda: own_ids(states_transaction=False, transaction="refused"),
    "own ids, a batch": lambda: own_ids(transaction="batch", lag_seconds=LAG),
    "conditional create, a batch": lambda: conditional_create(transaction="batch", lag_seconds=LAG),
    "conditional create, small bundles": lambda: conditional_create(
        most_entries=10, lag_seconds=LAG
    ),
    "neither, transactions refused": lambda: neither(transaction="refused", lag_seconds=LAG),
    "neither, no versions": lambda: neither(versioned=False, revinclude=False, lag_seconds=LAG),
}
if YEARS > 1:
    KINDS |= MORE_KINDS


class KilledError(BaseException):
    """The process ends here: nothing that comes after is done."""


@dataclass
class Killer:
    """Ends a run at a step: before or after a request, or while the state is saved."""

    steps_left: int | None = None

    def step(self) -> None:
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left < 0:
                raise KilledError


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Killer:
    found = Killer()
    send, save = http.Client._send_once, State.save_patient

    def sent(*arguments: Any) -> Any:
        found.step()
        answer = send(*arguments)
        found.step()
        return answer

    def saved(*arguments: Any) -> None:
        found.step()
        save(*arguments)

    monkeypatch.setattr(http.Client, "_send_once", sent)
    monkeypatch.setattr(State, "save_patient", saved)
    # Waiting is a matter of the retries' own tests.
    monkeypatch.setattr(http, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(http, "_LONGEST_WAIT", 0.05)
    return found


class Hospital:
    """A source whose record grows and is corrected. ``day``: today there."""

    def __init__(self, source: StubFhir, chance: random.Random) -> None:
        self.source, self.chance = source, chance
        self.day = START
        self._made = 0
        source.now = lambda: datetime.combine(self.day, time(3), UTC)
        for number in range(4):
            self._treat(f"p{number}")

    def _name(self, kind: str) -> str:
        self._made += 1
        return f"{kind}{self._made}"

    def _any(self, kind: str) -> Resource | None:
        those = self.source.of_type(kind)
        return self.chance.choice(those) if those else None

    def _treat(self, patient: str) -> None:
        """A man treated a year ago, with results since."""
        treated = self.day - timedelta(days=self.chance.randint(200, 500))
        self.source.put(
            inputs.patient(patient),
            inputs.procedure(self._name("x"), treated.isoformat(), patient),
        )
        for months in (2, 5):
            self._result(patient, treated + timedelta(days=30 * months))

    def _result(self, patient: str, on: date) -> None:
        value = self.chance.choice((0.2, 0.4, 0.7, 1.5, 2.6, 4.0))
        name = self._name("a")
        # A day of its own: of two results of one moment the later written counts.
        self.source.put(
            inputs.psa(name, f"{on.isoformat()}T10:{self._made % 60:02}:00Z", value, of=patient)
        )

    def event(self) -> None:
        """Something that happens in a hospital."""
        one = self.chance.choice(
            [self._new_result] * 5
            + [self._correction] * 3
            + [self._deletion, self._mistake, self._new_patient, self._other_record]
        )
        one()

    def _new_result(self) -> None:
        patient = self._any("Patient")
        if patient is not None:
            self._result(patient["id"], self.day)

    def _correction(self) -> None:
        result = self._any("Observation")
        if result is not None:
            result["valueQuantity"]["value"] = self.chance.choice((0.1, 0.9, 3.3))
            self.source.put({**result, "status": "corrected"})

    def _deletion(self) -> None:
        result = self._any("Observation")
        if result is not None:
            self.source.delete(f"Observation/{result['id']}")

    def _mistake(self) -> None:
        """The procedure was entered in error, or was not."""
        procedure = self._any("Procedure")
        if procedure is not None:
            wrong = procedure["status"] == "completed"
            self.source.put({**procedure, "status": "entered-in-error" if wrong else "completed"})

    def _new_patient(self) -> None:
        self._treat(self._name("new"))

    def _other_record(self) -> None:
        """Something that no endpoint depends on."""
        patient = self._any("Patient")
        if patient is not None:
            self.source.put({**patient, "active": self.chance.random() < 0.5})


class Site:
    """A timer that runs a scheduled run on a target."""

    def __init__(self, hospital: Hospital, target: StubTarget, state: Path) -> None:
        self.hospital, self.target = hospital, target
        server = ServerSettings(retry_budget=5.0)
        self._settings = Settings.model_construct(
            source=server,
            target=server,
            sync=SyncSettings(source=hospital.source.base, target=target.base, full_every_days=90),
            write=WriteSettings(**_PATIENCE),
            state_folder=state,
        )

    @property
    def config(self) -> RunConfig:
        return RunConfig.of(self._settings, self.hospital.day)

    def sync(self, *, full: bool = False) -> SyncResult:
        # What is retracted here is right, so that a person would allow it.
        options = SyncOptions(today=self.hospital.day, allow_retractions=True, full=full)
        return sync(self.config, options)

    def lose_state(self) -> None:
        """The state is lost, long after the last run, so that the index has everything."""
        self.target.settle()
        remove(state_path(self.config, self.hospital.source.base, self.target.base))


def _fates(chance: random.Random) -> Callable[[Any], Fate]:
    def fate(_: Any) -> Fate:
        number = chance.random()
        if number < 0.1:
            return "lost after"
        if number < 0.15:
            return "lost before"
        return "504 after" if number < 0.2 else ""

    return fate


@contextmanager
def _year(
    kind: Callable[[], Target], seed: int, state: Path, killer: Killer
) -> Iterator[tuple[Site, list[str]]]:
    """A site after a year of faults; and the errors that its runs ended with."""
    chance = random.Random(seed)
    errors: list[str] = []
    with StubFhir() as source, StubTarget(kind()) as target:
        site = Site(Hospital(source, chance), target, state)
        target.fate = _fates(chance)
        for _ in range(RUNS):
            site.hospital.day += timedelta(days=14 // YEARS or 1)
            for _ in range(chance.randint(0, 3)):
                site.hospital.event()
            if chance.random() < 0.05:
                site.lose_state()
            killer.steps_left = chance.randint(0, 120) if chance.random() < 0.4 else None
            try:
                site.sync()
            except KilledError:
                errors.append("killed")
            except FhircryoError as error:
                errors.append(str(error))
            if chance.random() < 0.3:
                target.settle()
        killer.steps_left = None
        target.fate = lambda _: ""
        yield site, errors


def _as_computed(hospital: Hospital, state: Path) -> dict[str, Resource]:
    """The endpoints that a first run writes to an empty server that has no habit."""
    with StubTarget() as target:
        Site(hospital, target, state).sync()
        return {name: those[0] for name, those in target.endpoints().items()}


def _content(endpoint: Resource) -> Resource:
    """What an endpoint says, without what depends on the server and on its history."""
    changing = {"id", "meta", "status", "device", "derivedFrom", "partOf", "component"}
    return {key: value for key, value in endpoint.items() if key not in changing}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(YEARS))
def test_a_year(kind, seed, killer, tmp_path):
    with _year(KINDS[kind], seed, tmp_path / "state", killer) as (site, errors):
        target = site.target
        with suppress(FhircryoError):
            site.sync()  # after a run that failed
        target.settle()
        done = site.sync()
        assert done.pending == [], errors

        expected = _as_computed(site.hospital, tmp_path / "other")
        held = target.endpoints()
        assert target.doubles() == []
        assert target.lost(expected) == []
        for name, (endpoint,) in held.items():
            if name in expected:
                assert endpoint["status"] != "entered-in-error"
                assert _content(endpoint) == _content(expected[name])
            else:
                assert endpoint["status"] == "entered-in-error"
        assert target.without_provenance() == []
        assert target.dangling() == []

        before = len(target.writes())
        done = site.sync()
        assert (done.full, done.changed, len(target.writes())) == ("", 0, before)
        site.sync(full=True)
        assert len(target.writes()) == before
        assert "killed" in errors
