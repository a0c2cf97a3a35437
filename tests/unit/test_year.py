"""A year of hospital life on a target of each kind: nothing is doubled, nothing is lost.

Scheduled runs, or pushes of computed folders, follow a source that changes all the time; answers of
the target are lost, its search index lags, runs are killed at any step, and their state is lost.
``TEST_YEARS=10`` for ten years of other chances, on more targets (``make years``). The habits and
their sources are in ``stub_target``.
"""

import os
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from fhircryo.errors import FhircryoError
from fhircryo.fhir import client as http
from fhircryo.publish.comparison import RetractionScope
from fhircryo.publish.computed_folder import read_computed
from fhircryo.publish.target_server import Permissions, open_target
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.run import sync
from fhircryo.runs.sync.state_database import State
from fhircryo.runs.sync.state_file import remove, state_path
from fhircryo.runs.sync.sync_options import SyncOptions
from fhircryo.runs.to_folder import compute_folder
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
from tests.unit.waiting import only_waiting_takes_time

pytestmark = pytest.mark.slow

YEARS = int(os.environ.get("TEST_YEARS", "1"))
#: A scheduled run every two weeks, a push every four.
DAYS = {"sync": 14, "push": 28}
START = date(2017, 1, 2)
#: Seconds: the next run begins before the index has what the last one wrote.
LAG = 0.15
#: Seconds: longer than the index lags.
PATIENCE = 4 * LAG

KINDS: dict[str, Callable[[], Target]] = {
    "own ids": lambda: own_ids(lag_seconds=LAG),
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
    """Ends a run at a step: before or after a request, or while the state is saved.

    ``where``: the base URL of the server whose requests are counted; empty: of both.
    """

    steps_left: int | None = None
    where: str = ""

    @contextmanager
    def held(self) -> Iterator[None]:
        """Kill nothing in this block."""
        before, self.steps_left = self.steps_left, None
        yield
        self.steps_left = before

    def step(self, url: str = "") -> None:
        if self.steps_left is not None and url.startswith(self.where):
            self.steps_left -= 1
            if self.steps_left < 0:
                raise KilledError


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Killer]:
    found = Killer()
    send, save = http.Client._send_once, State.save_patient

    def sent(client: http.Client, request: Any) -> Any:
        found.step(request.url)
        answer = send(client, request)
        found.step(request.url)
        return answer

    def saved(*arguments: Any) -> None:
        found.step(found.where)
        save(*arguments)

    monkeypatch.setattr(http.Client, "_send_once", sent)
    monkeypatch.setattr(State, "save_patient", saved)
    # Waiting is a matter of the retries' own tests.
    monkeypatch.setattr(http, "_FIRST_WAIT", 0.01)
    monkeypatch.setattr(http, "_LONGEST_WAIT", 0.05)
    with only_waiting_takes_time():
        yield found


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
    """A timer that brings a target up to date, by a scheduled run or by pushing a folder."""

    def __init__(self, hospital: Hospital, target: StubTarget, state: Path, command: str) -> None:
        self.hospital, self.target, self._state = hospital, target, state
        self.command = command
        server = ServerSettings(retry_budget=5.0)
        self._settings = Settings.model_construct(
            source=server,
            target=server,
            sync=SyncSettings(source=hospital.source.base, target=target.base, full_every_days=90),
            write=WriteSettings(index_patience=PATIENCE),
            state_folder=state,
        )

    @property
    def config(self) -> RunConfig:
        return RunConfig.of(self._settings, self.hospital.day)

    def run(self, killer: Killer | None = None, *, full: bool = False) -> set[str]:
        """Bring the target up to date; the patients who could not be written.

        ``killer``: of the steps that scheduled runs and pushes make; it is set in the caller.
        """
        # What is retracted here is right, so that a person would allow it.
        if self.command == "sync":
            options = SyncOptions(today=self.hospital.day, allow_retractions=True, full=full)
            return {one.patient for one in sync(self.config, options).pending}
        folder = self._state.with_name("computed")
        with killer.held() if killer is not None else nullcontext():
            compute_folder(self.hospital.source.base, folder, self.config)
        computed = read_computed(folder)
        allowed = Permissions(allow_retractions=True)
        origin = computed.origin
        with open_target(
            computed.server, self.target.base, origin, self._settings, allowed
        ) as writer:
            return set(writer.push(computed.patients, RetractionScope()).rejected)

    def lose_state(self, *, all_of_it: bool) -> None:
        """The state is lost, or the whole state folder is.

        That is long after the last run, so that the index has everything.
        """
        self.target.settle()
        if all_of_it:
            shutil.rmtree(self._state, ignore_errors=True)
        else:
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


def _faulty_run(site: Site, chance: random.Random, killer: Killer) -> str:
    """Run once, and perhaps kill the run; why something was not done, or empty."""
    killer.where = site.target.base if chance.random() < 0.7 else ""
    killer.steps_left = chance.randint(0, 40) if chance.random() < 0.5 else None
    try:
        rejected = site.run(killer)
    except KilledError:
        return "killed"
    except FhircryoError as error:
        return str(error)
    finally:
        killer.steps_left = None
    return f"not written: {', '.join(sorted(rejected))}" if rejected else ""


@contextmanager
def _year(
    kind: Callable[[], Target], command: str, seed: int, state: Path, killer: Killer
) -> Iterator[tuple[Site, list[str]]]:
    """A site after a year of faults; and how each of its runs ended, empty if well."""
    chance = random.Random(seed)
    ends = [""]
    with StubFhir() as source, StubTarget(kind()) as target:
        site = Site(Hospital(source, chance), target, state, command)
        target.fate = _fates(chance)
        for _ in range(364 // DAYS[command]):
            site.hospital.day += timedelta(days=DAYS[command])
            for _ in range(chance.randint(0, 3)):
                site.hospital.event()
            if chance.random() < 0.08:
                site.lose_state(all_of_it=chance.random() < 0.5)
            ends.append(_faulty_run(site, chance, killer))
            if chance.random() < 0.3:
                target.settle()
        target.fate = lambda _: ""
        yield site, ends


def _as_computed(hospital: Hospital, state: Path) -> dict[str, Resource]:
    """The endpoints that a first run writes to an empty server that has no habit."""
    with StubTarget() as target:
        Site(hospital, target, state, "sync").run()
        return {name: those[0] for name, those in target.endpoints().items()}


def _content(endpoint: Resource) -> Resource:
    """What an endpoint says, without what depends on the server and on its history."""
    changing = {"id", "meta", "status", "device"}
    return {key: value for key, value in endpoint.items() if key not in changing}


@pytest.mark.parametrize("command", ["sync", "push"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(YEARS))
def test_a_year(kind, command, seed, killer, tmp_path):
    with _year(KINDS[kind], command, seed, tmp_path / "state", killer) as (site, ends):
        target = site.target
        with suppress(FhircryoError):
            site.run()  # after a run that failed
        target.settle()
        assert site.run() == set(), ends

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
        site.run()
        assert len(target.writes()) == before
        site.run(full=True)
        assert len(target.writes()) == before
        assert "killed" in ends
        assert ends.count("") > 3


def test_what_a_killed_run_wrote_is_retracted_by_the_next(killer, tmp_path):
    """The procedure was an error, which is corrected before the state knows what was written."""
    with StubFhir() as source, StubTarget() as target:
        site = Site(Hospital(source, random.Random(0)), target, tmp_path / "state", "sync")
        site.run()
        before = target.endpoints().keys()
        source.put(inputs.patient("late"), inputs.procedure("x-late", "2016-06-01", "late"))
        killer.where, killer.steps_left = "the state alone", 0
        with pytest.raises(KilledError):
            site.run()
        written = target.endpoints().keys() - before
        assert written
        killer.steps_left = None
        source.put(inputs.procedure("x-late", "2016-06-01", "late", status="entered-in-error"))
        site.run()
        statuses = {target.endpoints()[name][0]["status"] for name in written}
        assert statuses == {"entered-in-error"}


def test_a_retraction_that_a_full_run_could_not_write_is_written_by_the_next(killer, tmp_path):
    """The state that a full run replaces keeps what stands of a patient who was rejected."""
    with StubFhir() as source, StubTarget() as target:
        site = Site(Hospital(source, random.Random(0)), target, tmp_path / "state", "sync")
        site.run()
        (wrong,) = [
            one
            for one in source.of_type("Procedure")
            if one["subject"]["reference"] == "Patient/p0"
        ]
        source.put({**wrong, "status": "entered-in-error"})
        target.habits.rejects = frozenset({"p0"})
        assert site.run(full=True) == {"p0"}
        target.habits.rejects = frozenset()
        assert site.run() == set()
        retracted = [
            one for one in target.of_type("Observation") if one["status"] == "entered-in-error"
        ]
        assert len(retracted) == len(target.endpoints()) / 4
