"""Scheduled runs on servers whose times and versions cannot be relied on: nothing is lost.

The habits and their sources are in ``stub_fhir``.
"""

import logging
import random
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync import state_schema
from fhircryo.runs.sync.run import sync
from fhircryo.runs.sync.state_file import open_state, state_path
from fhircryo.runs.sync.sync_options import SyncOptions
from fhircryo.runs.sync.sync_result import SyncResult
from fhircryo.settings import ServerSettings, Settings, SyncSettings, WriteSettings
from tests.unit import inputs
from tests.unit.stub_fhir import (
    GivesNoVersions,
    GivesNoVersionsAndIgnoresLastUpdated,
    IgnoresLastUpdated,
    IgnoresLastUpdatedBesideCodes,
    StubFhir,
    TwoClocks,
    WithholdsConditions,
)

pytestmark = pytest.mark.slow

TODAY = date(2018, 1, 1)
LONG_AGO = datetime(2017, 6, 1, tzinfo=UTC)
RECORD = [
    inputs.patient("p1"),
    inputs.procedure("x1", "2016-01-10"),
    inputs.psa("a1", "2016-03-01", 0.4),
    inputs.psa("a2", "2016-12-10", 0.5),
    inputs.psa("a3", "2017-03-01", 0.6),
    inputs.condition("c1", None, code=inputs.concept("http://loinc.org", "0"), of="p1"),
]
RISEN = inputs.psa("a3", "2017-03-01", 3.5)


class Site:
    """A source with a habit, a target without, and a timer."""

    def __init__(self, source: StubFhir, target: StubFhir, state: Path) -> None:
        self.source, self.target = source, target
        self.today = TODAY
        self._config: RunConfig | None = None
        self.settings = Settings.model_construct(
            source=ServerSettings(retry_budget=3.0),
            target=ServerSettings(retry_budget=3.0),
            sync=SyncSettings(source=source.base, target=target.base, full_every_days=1000),
            write=WriteSettings(),
            state_folder=state,
        )

    @property
    def config(self) -> RunConfig:
        if self._config is None or self._config.as_of != self.today:
            self._config = RunConfig.of(self.settings, self.today)
        return self._config

    @property
    def state_file(self) -> Path:
        return state_path(self.config, self.source.base, self.target.base)

    def sync(self) -> SyncResult:
        return sync(self.config, SyncOptions(today=self.today))

    def failure(self) -> str:
        """The published biochemical failure: Y or N."""
        (found,) = [
            one
            for one in self.target.of_type("Observation")
            if one["code"]["coding"][0]["code"] == "biochemical-failure"
        ]
        return str(found["valueCodeableConcept"]["coding"][0]["code"])


@pytest.fixture
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    """A site whose source is of the class that the test names; its record is of long ago."""
    with ExitStack() as stack:
        source: StubFhir = stack.enter_context(request.param())
        source.put(*RECORD, at=LONG_AGO)
        target = stack.enter_context(StubFhir())
        yield Site(source, target, tmp_path / "state")


def of(*sources: type[StubFhir]) -> Any:
    return pytest.mark.parametrize("site", sources, indirect=True, ids=lambda one: one.__name__)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]


@of(StubFhir)
def test_a_server_without_a_habit(site):
    assert site.sync().full == "no state of an earlier run"
    assert site.failure() == "N"
    done = site.sync()
    assert (done.full, done.changed, done.patients) == ("", 0, 0)
    site.source.put(RISEN)
    done = site.sync()
    assert (done.full, done.changed, done.patients) == ("", 1, 1)
    assert site.failure() == "Y"


@of(WithholdsConditions)
def test_withheld_changes_are_not_taken_for_none(site):
    """Whether a Condition changed cannot be seen, so that everything is read again."""
    site.sync()
    done = site.sync()
    words = "the server withholds results of Condition"
    assert done.full == f"the changes cannot be read: {words}"
    site.source.put(RISEN)
    site.sync()
    assert site.failure() == "Y"


IGNORING = (
    IgnoresLastUpdated,
    IgnoresLastUpdatedBesideCodes,
    GivesNoVersionsAndIgnoresLastUpdated,
)


@of(*IGNORING)
def test_a_server_that_ignores_last_updated_is_compared(site, caplog):
    """It is said once, not in every run, and never again until the server has been heeding it."""
    strangers = [inputs.psa(f"s{n}", "2016-01-01", 1, of=f"s{n}") for n in range(120)]
    site.source.put(*strangers, at=LONG_AGO)
    site.sync()
    assert warnings(caplog) == []
    done = site.sync()
    assert done.full.startswith("the server ignores _lastUpdated in searches of ")
    assert [one for one in warnings(caplog) if "_lastUpdated" in one] == warnings(caplog)
    assert len(warnings(caplog)) == 1
    assert "said once" in warnings(caplog)[0]
    caplog.clear()
    site.source.put(RISEN)
    assert site.sync().full
    assert site.failure() == "Y"
    # Deletions are found without a history, too.
    site.source.delete("Observation/a3")
    site.sync()
    assert site.failure() == "N"
    site.today += timedelta(days=1000)
    assert site.sync().full == "every 1000 days"
    site.sync()
    assert warnings(caplog) == []


@of(IgnoresLastUpdated)
def test_not_the_whole_hospital_is_read_for_its_changes(site):
    strangers = [inputs.patient(f"s{n}") for n in range(3000)]
    site.source.put(*strangers, at=LONG_AGO)
    site.sync()
    site.source.seen.clear()
    site.sync()
    pages = [one for one in site.source.seen if "_page=" in one.path]
    assert len(pages) <= 1  # one is requested ahead while the first is looked at


@of(IgnoresLastUpdated)
def test_a_server_that_begins_to_heed_last_updated(site, monkeypatch, caplog):
    site.sync()
    assert site.sync().full
    monkeypatch.setattr(IgnoresLastUpdated, "_as_filtered", StubFhir._as_filtered)
    assert site.sync().full == ""
    monkeypatch.undo()
    caplog.clear()
    assert site.sync().full
    assert len(warnings(caplog)) == 1


@of(GivesNoVersions)
def test_without_version_and_time_the_content_says_what_changed(site):
    site.sync()
    assert site.failure() == "N"
    done = site.sync()
    assert (done.full, done.changed) == ("", 0)
    # The same content, in another order, is no change.
    again = dict(reversed(site.source.stored["Observation/a3"].resource.items()))
    site.source.put(again)
    done = site.sync()
    assert (done.full, done.changed) == ("", 0)
    site.source.put(RISEN)
    done = site.sync()
    assert (done.full, done.changed, done.patients) == ("", 1, 1)
    assert site.failure() == "Y"
    assert site.sync().changed == 0


@of(GivesNoVersions)
def test_without_version_and_time_the_history_says_what_changed(site):
    """A result that is none of ours any more is found by its history only."""
    site.source.put(RISEN, at=LONG_AGO)
    site.sync()
    assert site.failure() == "Y"
    site.source.put(inputs.lab("a3"))
    assert site.sync().changed == 1
    assert site.failure() == "N"


class NoVersionsAndTwoClocks(GivesNoVersions, TwoClocks):
    """Both: only the history's ``lastModified`` tells the clock of the data."""


@of(NoVersionsAndTwoClocks)
def test_a_history_tells_the_clock_of_data_without_times(site):
    wide = site.settings.sync.model_copy(update={"overlap": 3600.0})
    site.settings = site.settings.model_copy(update={"sync": wide})
    site.source.put(inputs.patient("busy"), at=stale(5))
    site.sync()
    assert _mark(site) > datetime.now(UTC)
    assert site.sync().full == ""
    assert _mark(site) <= datetime.now(UTC)


def stale(seconds: float) -> datetime:
    return datetime.now(UTC) - timedelta(seconds=seconds)


@of(TwoClocks)
def test_the_watermark_follows_the_clock_of_the_data(site):
    """The header Date is ahead by more than the overlap: what is written next is not lost."""
    site.source.put(inputs.patient("busy"), at=stale(5))
    site.sync()
    site.source.put(RISEN)
    done = site.sync()
    assert (done.full, done.changed) == ("", 1)
    assert site.failure() == "Y"
    site.source.put(inputs.psa("a3", "2017-03-01", 0.6))
    assert site.sync().changed == 1
    assert site.failure() == "N"


@of(TwoClocks, StubFhir)
def test_in_quiet_times_the_watermark_moves_on(site):
    """What earlier runs found about the clocks is remembered."""
    site.source.put(inputs.patient("busy"), at=stale(5))
    site.sync()
    marks = [_mark(site)]
    shift = timedelta(hours=3)
    site.source.now = lambda: datetime.now(UTC) + shift
    assert site.sync().full == ""
    marks.append(_mark(site))
    assert timedelta(hours=2, minutes=59) < marks[1] - marks[0] < timedelta(hours=3, minutes=1)
    assert marks[1] <= site.source.now()
    site.source.put(RISEN)
    assert site.sync().changed == 1


@of(StubFhir)
def test_a_stamp_in_the_future_does_not_move_the_watermark(site):
    """A mistake in the data, or a resource that was loaded with its stamp."""
    site.source.put(inputs.patient("mistake"), at=datetime(2099, 1, 1, tzinfo=UTC))
    site.sync()
    assert _mark(site) <= datetime.now(UTC)
    site.source.put(RISEN)
    assert site.sync().changed == 1


@of(StubFhir)
def test_a_date_that_is_behind_the_data_only_reads_more(site):
    site.source.date_ahead = timedelta(hours=-2)
    site.sync()
    site.source.put(RISEN)
    done = site.sync()
    assert (done.full, done.changed) == ("", 1)
    assert site.sync().changed == 0


def _mark(site: Site) -> datetime:
    with open_state(site.state_file) as state:
        (mark,) = set(state.watermarks().values())
    return datetime.fromisoformat(mark)


def _as_first_version(file: Path) -> None:
    """Rewrite a state file as version 0.1.0 left it: watermarks by Date, "@" as version."""
    connection = sqlite3.connect(file)
    with connection:
        connection.execute("DELETE FROM fact WHERE name IN ('clock-ahead', 'ignores-time')")
        connection.execute("UPDATE version SET version = '@' WHERE version LIKE 'sha256:%'")
        later = (datetime.now(UTC) + timedelta(minutes=20)).isoformat(timespec="milliseconds")
        connection.execute("UPDATE watermark SET stamp = ?", (later,))
        connection.execute("PRAGMA user_version = 1")
    connection.close()


@of(GivesNoVersions, TwoClocks)
def test_a_state_of_an_earlier_version_loads_and_loses_nothing(site):
    site.sync()
    _as_first_version(site.state_file)
    site.source.put(RISEN)
    done = site.sync()
    assert done.full == "the changes cannot be read: there is no watermark for Patient"
    assert site.failure() == "Y"
    assert site.sync().full == ""


def test_migrations_keep_patients_and_what_was_published(tmp_path):
    """A file that the first version's own script made."""
    file = tmp_path / "sync.sqlite"
    connection = sqlite3.connect(file)
    connection.executescript(state_schema._MIGRATIONS[0])
    connection.executescript(
        "INSERT INTO alias VALUES ('p1', 'p1'); INSERT INTO stands_on VALUES ('p1', 'Patient/p1');"
        "INSERT INTO published VALUES ('e1', 'p1'); INSERT INTO fact VALUES ('fingerprint', 'f');"
        "INSERT INTO pending VALUES ('p1', 'why', '2026-01-01', 3);"
        "INSERT INTO version VALUES ('Patient/p1', '@'), ('Procedure/x1', '2@2026-01-01');"
        "INSERT INTO watermark VALUES ('Patient', '2026-01-01T00:00:00Z');"
        "PRAGMA user_version = 1;"
    )
    connection.close()
    with open_state(file) as state:
        assert state.current_id("p1") == "p1"
        assert state.published_identifiers() == {"e1": "p1"}
        assert [one.tries for one in state.pending()] == [3]
        assert state.fact("fingerprint") == "f"
        assert state.watermarks() == {}
        assert state.versions(["Patient/p1", "Procedure/x1"]) == {"Procedure/x1": "2@2026-01-01"}


@of(TwoClocks, GivesNoVersions)
@pytest.mark.parametrize("seed", [1, 2])
def test_increments_end_where_a_full_run_ends(seed, site):
    """Results that are written, corrected and deleted between runs, by the clock of the data."""
    chance = random.Random(seed)
    passed = timedelta()
    site.source.now = lambda: datetime.now(UTC) + passed
    site.sync()
    for _ in range(12):
        for _ in range(chance.choice([0, 1, 2])):
            passed += timedelta(seconds=chance.choice([1, 60, 400]))
            name = f"a{chance.randint(1, 5)}"
            if chance.random() < 0.8:
                day = f"2017-0{chance.randint(1, 9)}-11"
                site.source.put(inputs.psa(name, day, round(chance.uniform(0, 4), 1)))
            elif f"Observation/{name}" in site.source.stored:
                site.source.delete(f"Observation/{name}")
        passed += timedelta(seconds=chance.choice([2, 300, 4000]))
        assert site.sync().full == ""
    done = sync(site.config, SyncOptions(today=site.today, full=True))
    assert done.pushed is not None
    assert not done.pushed.written.endpoints
