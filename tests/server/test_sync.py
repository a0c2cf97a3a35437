"""Scheduled runs on HAPI: nothing lost, nothing doubled, nothing written twice."""

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from fhircryo.errors import LockedError, SourceError, TargetError, UsageError
from fhircryo.publish.difference import Action
from fhircryo.publish.target_lock import target_lock
from fhircryo.record.patients import ALL_PATIENTS, Selection
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync import full_or_increment
from fhircryo.runs.sync.erasure import forget_patient
from fhircryo.runs.sync.run import sync
from fhircryo.runs.sync.state_file import open_state, state_path
from fhircryo.runs.sync.sync_options import StoppedError, SyncOptions
from fhircryo.runs.sync.sync_result import SyncResult
from fhircryo.runs.to_folder import compute_folder
from fhircryo.settings import ServerSettings, Settings, SyncSettings, WriteSettings
from tests.server import proxy as faults
from tests.server.cohorts import coded, cohort, index, person, psa, record
from tests.server.hapi import HapiServer
from tests.server.loading import _ENCODER, load, post, transaction
from tests.server.proxy import FaultProxy
from tests.server.published import by_name, endpoints, everything, said, statuses, versions

#: As for the targets that are stubs (tests/unit/test_year.py).
YEARS = int(os.environ.get("TEST_YEARS", "1"))
TODAY = date(2016, 6, 1)
FHIR_JSON = {"Content-Type": "application/fhir+json"}


class Site:
    """A hospital with a server, and a timer that starts us."""

    def __init__(self, url: str, state: Path) -> None:
        self.url = url
        self.state = state
        self.today = TODAY
        self.selection = ALL_PATIENTS
        self.settings: dict[str, Any] = {}
        self.sync_settings: dict[str, Any] = {}
        self.retry_budget = 8.0

    def job(self) -> RunConfig:
        quick = {"connect_timeout": 2.0, "read_timeout": 30.0, "retry_budget": self.retry_budget}
        settings = Settings.model_construct(
            source=ServerSettings(**quick),
            sync=SyncSettings(**{"source": self.url, **self.sync_settings}),
            state_folder=self.state,
            **{"write": WriteSettings(), **self.settings},
        )
        return RunConfig.of(settings, self.today, self.selection)

    def sync(self, **wanted: Any) -> SyncResult:
        return sync(self.job(), SyncOptions(**{"today": self.today, **wanted}))

    @property
    def state_file(self) -> Path:
        job = self.job()
        return state_path(job, self.url, self.url)

    def put(self, *resources: dict[str, Any]) -> None:
        post(self.url, transaction(resources))

    def delete(self, name: str) -> None:
        answer = requests.delete(f"{self.url}/{name}", timeout=60)
        assert answer.ok, answer.text

    def expected(self, folder: Path) -> dict[str, Any]:
        """What a fresh full computation of the same server gives."""
        shutil.rmtree(folder, ignore_errors=True)
        compute_folder(self.url, folder, self.job())
        lines = (folder / "Observation.ndjson").read_text().splitlines()
        return {one["id"]: _content(one) for one in map(json.loads, lines)}

    def standing(self) -> dict[str, Any]:
        """What stands on the server and is not retracted."""
        versions(self.url)  # nothing is doubled
        return {
            one["identifier"][0]["value"]: _content(json.loads(_ENCODER.encode(one)))
            for one in endpoints(self.url)
            if one["status"] != "entered-in-error"
        }


def _content(resource: dict[str, Any]) -> dict[str, Any]:
    content = said(resource)
    if content["status"] == "amended" or content["status"] == "final":
        content["status"] = "final or once final"
    return content


def same(standing: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Equal, but that what was final once stays amended though it is preliminary now."""
    if standing.keys() != expected.keys():
        return False
    for name, content in expected.items():
        theirs = standing[name]
        if theirs["status"] != content["status"] and theirs["status"] != "final or once final":
            return False
        if {**theirs, "status": ""} != {**content, "status": ""}:
            return False
    return True


def written(done: SyncResult) -> dict[str, int]:
    if done.pushed is None:
        return {}
    counts = done.pushed.written.endpoints
    return {str(action): counts[action] for action in Action if counts[action]}


@pytest.fixture
def site(empty_hapi: HapiServer, tmp_path: Path) -> Site:
    load(empty_hapi.url, cohort("p1", "p2", "p3"))
    return Site(empty_hapi.url, tmp_path / "state")


@pytest.fixture
def proxied(site: Site) -> Iterator[Callable[..., FaultProxy]]:
    proxies: list[FaultProxy] = []

    def start(*misbehaviour: Any) -> FaultProxy:
        proxies.append(FaultProxy(site.url, *misbehaviour))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.stop()


def test_first_all_then_what_changed_then_nothing(site, tmp_path):
    first = site.sync()
    assert first.full == "no state of an earlier run"
    assert written(first) == {"new": len(endpoints(site.url))}
    second = site.sync()
    assert (second.full, second.changed, second.patients, written(second)) == ("", 0, 0, {})
    site.put(psa("p1", "psa-3", "2016-03-01", "6.2", status="corrected"))
    third = site.sync()
    assert (third.full, third.changed, third.patients) == ("", 1, 1)
    assert set(written(third)) == {"changed"}
    assert by_name(site.url)["p1", "disease-free-12-months", ""]["status"] == "amended"
    assert same(site.standing(), site.expected(tmp_path / "out"))
    fourth = site.sync()
    assert (fourth.changed, written(fourth)) == (0, {})


def test_nothing_new_is_a_bounded_number_of_requests(site, proxied):
    site.sync()
    proxy = proxied()
    site.url = proxy.url
    site.sync_settings = {"overlap": 0.0}
    site.sync()  # another URL, so a full run
    time.sleep(2.0)
    site.sync()
    proxy.requests.clear()
    done = site.sync()
    assert done.full == ""
    few = len(proxy.requests)
    assert few == done.requests
    assert few < 3 * 11
    assert not proxy.asked(faults.of_method("PUT"))
    site.put(*cohort(*(f"q{n}" for n in range(20))))
    site.sync()
    time.sleep(2.0)
    site.sync()
    proxy.requests.clear()
    site.sync()
    assert len(proxy.requests) == few


def test_a_new_patient(site, tmp_path):
    site.sync()
    site.put(*cohort("p9"))
    done = site.sync()
    assert (done.full, done.patients) == ("", 1)
    assert set(written(done)) == {"new"}
    assert same(site.standing(), site.expected(tmp_path / "out"))


def test_others_are_not_followed(site):
    """A patient without a cryoablation: what happens to him concerns nobody."""
    site.sync()
    site.put(person("stranger"), psa("stranger", "a", "2016-01-01", "3"))
    done = site.sync()
    assert (done.full, done.changed, done.patients) == ("", 0, 0)


def test_deleted_moved_and_recoded_resources(site, tmp_path):
    site.sync()
    site.delete("QuestionnaireResponse/p1-iief")
    done = site.sync()
    assert set(written(done)) == {"retracted"}
    site.delete("Observation/p2-psa-2")
    assert "changed" in written(site.sync())
    assert same(site.standing(), site.expected(tmp_path / "out"))
    # Of p2, and now of p3.
    moved = {**psa("p2", "psa-3", "2016-03-01", "0.5"), "subject": {"reference": "Patient/p3"}}
    site.put(moved)
    done = site.sync()
    assert (done.full, done.patients) == ("", 2)
    assert same(site.standing(), site.expected(tmp_path / "out"))
    # No PSA any more: the search by codes does not find it, the history does.
    recoded = psa("p1", "psa-3", "2016-03-01", "0.5")
    recoded["code"] = coded("http://loinc.org", "718-7")
    site.put(recoded)
    assert site.sync().patients == 1
    assert same(site.standing(), site.expected(tmp_path / "out"))


def test_without_a_history_a_full_run_finds_deletions(site, proxied, tmp_path):
    def edit(statement: dict[str, Any]) -> None:
        for resource in statement["rest"][0]["resource"]:
            resource["interaction"] = [
                one for one in resource["interaction"] if one["code"] != "history-type"
            ]

    site.url = proxied(
        faults.Statement(edit), faults.Refuse(400, when=lambda asked: "_history" in asked.path)
    ).url
    site.sync()
    requests.delete(f"{site.url}/Observation/p2-psa-2", timeout=60)
    assert written(site.sync()) == {}
    site.today += timedelta(days=7)
    done = site.sync()
    assert done.full == "every 7 days"
    assert "changed" in written(done)
    assert same(site.standing(), site.expected(tmp_path / "out"))


def test_a_server_without_last_updated_is_read_in_full(site, proxied, tmp_path):
    """As Epic."""
    refuse = faults.Refuse(400, when=lambda asked: bool(asked.param("_lastUpdated")))
    site.url = proxied(refuse).url
    site.sync()
    done = site.sync()
    assert done.full.startswith("the changes cannot be read")
    assert written(done) == {}
    requests.delete(f"{site.url}/Observation/p2-psa-2", timeout=60)
    assert "changed" in written(site.sync())
    assert same(site.standing(), site.expected(tmp_path / "out"))


def test_time_alone_changes_endpoints(site, tmp_path):
    site.sync_settings = {"full_every_days": 10_000}
    site.today = date(2016, 2, 1)
    site.sync()
    free = by_name(site.url)["p1", "disease-free-12-months", ""]
    assert free["dataAbsentReason"]["coding"][-1]["code"] == "landmark-not-reached"
    site.today = date(2016, 2, 19)
    assert site.sync().patients == 0
    site.today = date(2016, 3, 1)
    done = site.sync()
    assert (done.full, done.changed, done.patients) == ("", 0, 3)
    free = by_name(site.url)["p1", "disease-free-12-months", ""]
    assert free["valueCodeableConcept"]["coding"][0]["code"] == "Y"
    assert same(site.standing(), site.expected(tmp_path / "out"))


def test_day_after_day_without_a_full_run(site, tmp_path):
    site.sync_settings = {"full_every_days": 10_000}
    site.today = date(2015, 2, 1)
    site.sync()
    assert site.standing() == {}
    for _ in range(24):
        site.today += timedelta(days=29)
        assert site.sync().full == ""
        assert same(site.standing(), site.expected(tmp_path / "out")), site.today


def test_a_merged_patient(site, tmp_path):
    site.sync()
    site.put(person("kept"))
    merged = {
        **person("p2"),
        "link": [{"other": {"reference": "Patient/kept"}, "type": "replaced-by"}],
    }
    site.put(merged)
    done = site.sync()
    assert done.full == ""
    assert statuses(site.url, "p2") == {"entered-in-error"}
    assert same(site.standing(), site.expected(tmp_path / "out"))
    assert {who for who, _, _ in by_name(site.url)} == {"p1", "p2", "p3", "kept"}
    # What is recorded under the old id is his.
    site.put(psa("p2", "psa-9", "2016-05-01", "9"))
    assert site.sync().patients == 1
    assert same(site.standing(), site.expected(tmp_path / "out"))
    site.put(person("p2"))  # and taken apart again
    site.sync()
    assert same(site.standing(), site.expected(tmp_path / "out"))


def test_who_objects_is_retracted_and_may_come_back(site):
    site.sync()
    site.selection = Selection(exclude=frozenset({"p2"}))
    done = site.sync()
    assert done.full == ""
    assert set(written(done)) == {"retracted"}
    assert statuses(site.url, "p2") == {"entered-in-error"}
    assert written(site.sync()) == {}
    site.selection = ALL_PATIENTS
    assert set(written(site.sync())) == {"changed"}
    assert "entered-in-error" not in statuses(site.url, "p2")


def test_a_deleted_patient_is_retracted(site, hapi, tmp_path):
    site.sync()
    with hapi.switched(integrity_on_delete=False):
        site.delete("Patient/p3")
        done = site.sync()
        assert done.full == ""
        assert statuses(site.url, "p3") == {"entered-in-error"}
        assert same(site.standing(), site.expected(tmp_path / "out"))


def test_a_list_of_patients(site):
    site.selection = Selection(include=frozenset({"p1", "p2"}))
    site.sync()
    assert {who for who, _, _ in by_name(site.url)} == {"p1", "p2"}
    assert site.sync().patients == 0
    site.selection = Selection(include=frozenset({"p2", "p3"}))
    done = site.sync()
    assert done.full == ""
    assert statuses(site.url, "p1") == {"entered-in-error"}
    assert "entered-in-error" not in statuses(site.url, "p3")


def test_a_patient_is_erased(site, proxied):
    """From target and state; what cannot be deleted is named."""
    site.sync()
    job = site.job()
    done = forget_patient(job, "p2")
    assert done.left == {}
    assert {who for who, _, _ in by_name(site.url)} == {"p1", "p3"}
    assert len(everything(site.url, "Provenance")) == 2
    with open_state(site.state_file) as state:
        assert state.current_id("p2") is None
        assert "p2" not in state.published_identifiers().values()
    # On the list of who objected he stays away, else he comes back with the next change.
    site.selection = Selection(exclude=frozenset({"p2"}))
    site.sync(full=True)
    assert {who for who, _, _ in by_name(site.url)} == {"p1", "p3"}
    kept = faults.Refuse(405, text="no deleting", when=faults.of_method("DELETE"))
    proxy = proxied(kept)
    site.url = proxy.url
    done = forget_patient(site.job(), "p1")
    assert done.deleted == []
    assert all("405" in why for why in done.left.values())
    assert len(done.left) > 10


def test_a_dry_run_remembers_nothing(site):
    site.sync(dry_run=True)
    assert endpoints(site.url) == []
    assert site.sync().full == "no state of an earlier run"
    site.put(psa("p1", "psa-3", "2016-03-01", "6.2"))
    site.sync(dry_run=True)
    assert "changed" in written(site.sync())


@pytest.mark.parametrize("harm", ["lost", "cut short", "overwritten", "zeros", "in its middle"])
def test_a_lost_or_damaged_state_costs_one_full_run(harm, site, tmp_path):
    site.sync()
    file = site.state_file
    site.put(psa("p1", "psa-3", "2016-03-01", "6.2"))
    site.delete("QuestionnaireResponse/p2-iief")
    if harm == "lost":
        for one in site.state.iterdir():
            one.unlink()
    elif harm == "cut short":
        file.write_bytes(file.read_bytes()[:5000])
    elif harm == "overwritten":
        file.write_bytes(b"not a database" * 1000)
    elif harm == "zeros":
        file.write_bytes(bytes(file.stat().st_size))
    else:  # it opens, and is found to be damaged while it is used
        content = file.read_bytes()
        file.write_bytes(content[:4096] + b"\xa5" * (len(content) - 4096))
    done = site.sync()
    assert done.full
    assert set(written(done)) == {"changed", "retracted"}
    assert same(site.standing(), site.expected(tmp_path / "out"))
    assert site.sync().full == ""


def test_no_value_stands_in_the_state_and_nobody_else_reads_it(site):
    site.put(psa("p1", "psa-4", "2016-04-01", "7777.25"))
    site.sync()
    # What runs know of the source, and what they know of the target.
    (known_ids,) = site.state.glob("target-*.ids.sqlite")
    (state,) = site.state.glob("sync-*.sqlite")
    for file, expected in ((known_ids, "Device"), (state, "p1-psa-4")):
        assert file.stat().st_mode & 0o077 == 0
        content = "".join(sqlite3.connect(file).iterdump())
        assert expected in content
        for value in ("7777.25", "ng/mL", "2016-04-01", "N-p1"):
            assert value not in content


@pytest.mark.parametrize("change", ["protocol", "mappings", "settings", "version"])
def test_what_a_result_depends_on_recomputes_all(change, site, tmp_path, monkeypatch):
    from fhircryo.mapping.load import find_protocol

    ours = find_protocol("bomers-2020").read_text().replace("id: bomers-2020", "id: ours")
    (tmp_path / "ours.yaml").write_text(ours)
    site.settings["protocol"] = str(tmp_path / "ours.yaml")
    site.sync()
    if change == "protocol":
        (tmp_path / "ours.yaml").write_text(ours.replace("rise: 2.0", "rise: 0.1"))
    elif change == "mappings":
        (tmp_path / "site.yaml").write_text(
            "concepts: {psa: {codes: [{system: 's', code: c, verified: v}]}}"
        )
        site.settings["mappings"] = (tmp_path / "site.yaml",)
    elif change == "settings":
        site.settings["timezone"] = "Europe/Amsterdam"
    else:
        monkeypatch.setattr(full_or_increment, "__version__", "0.1.9")
    done = site.sync()
    assert done.full == "version, mappings, protocol or settings have changed"
    assert site.sync().full == ""


def test_a_state_of_a_newer_version_is_refused(site):
    site.sync()
    connection = sqlite3.connect(site.state_file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(UsageError, match="newer version"):
        site.sync()


def test_a_full_disk_loses_nothing(site, monkeypatch, tmp_path):
    """Written to the server, not remembered: the next run looks again and writes nothing."""
    connect = sqlite3.connect

    def small(*arguments: Any, **named: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **named)
        connection.execute("PRAGMA max_page_count = 26")
        return connection

    monkeypatch.setattr("fhircryo.runs.sync.state_file.sqlite3.connect", small)
    site.put(*cohort(*(f"q{n}" for n in range(20))))
    with pytest.raises(UsageError, match="full"):
        site.sync()
    monkeypatch.undo()
    assert same(site.standing(), site.expected(tmp_path / "out"))
    done = site.sync()
    assert done.full
    assert written(done) == {}


def test_one_at_a_time(site):
    with (
        target_lock(site.url, site.state),
        pytest.raises(LockedError, match="since") as caught,
    ):
        site.sync()
    assert caught.value.exit_code == 6
    site.sync()


def test_one_rejected_patient_waits_and_is_tried_again(site, proxied):
    """The server fails whenever p2 is written."""
    bad = faults.Refuse(
        422, text="no", when=lambda asked: b"Patient/p2" in asked.body and asked.path in ("", "/")
    )
    proxy = proxied(bad)
    site.url = proxy.url
    done = site.sync()
    assert [(one.patient, one.tries) for one in done.pending] == [("p2", 1)]
    assert {who for who, _, _ in by_name(site.url)} == {"p1", "p3"}
    done = site.sync()
    assert (done.full, [(one.patient, one.tries) for one in done.pending]) == ("", [("p2", 2)])
    site.put(psa("p1", "psa-3", "2016-03-01", "6.2"))
    assert "changed" in written(site.sync())
    proxy.faults = ()
    done = site.sync()
    assert done.pending == []
    assert {who for who, _, _ in by_name(site.url)} == {"p1", "p2", "p3"}
    assert site.sync().patients == 0


def test_a_server_that_goes_down_in_the_middle(site, proxied, tmp_path):
    site.sync()
    proxy = proxied()
    site.url = proxy.url
    site.sync()
    site.put(psa("p1", "psa-3", "2016-03-01", "6.2"))
    proxy.faults = [faults.Unavailable(503, times=None, when=faults.of_kind("Observation"))]
    site.retry_budget = 1.0
    with pytest.raises(SourceError, match="503"):
        site.sync()
    proxy.faults = [faults.Unavailable(503, times=None, when=lambda asked: asked.path in ("", "/"))]
    with pytest.raises(TargetError, match="503"):
        site.sync()
    proxy.faults = ()
    site.retry_budget = 8.0
    assert "changed" in written(site.sync())
    assert same(site.standing(), site.expected(tmp_path / "out"))


def test_asked_to_stop_it_ends_clean(site, tmp_path):
    """After the transaction in hand; the next run writes the rest."""
    site.put(*cohort(*(f"q{n}" for n in range(9))))
    calls = []

    def after_two() -> bool:
        calls.append(1)
        return len(calls) > 40

    for _ in range(12):
        calls.clear()
        try:
            done = site.sync(stopped=after_two)
        except StoppedError:
            continue
        if not done.stopped:
            break
    site.sync()
    assert same(site.standing(), site.expected(tmp_path / "out"))


def test_the_overlap_covers_what_was_committed_late(site, tmp_path):
    """A resource that becomes visible after the run, with a stamp from before it."""
    late = psa("p1", "psa-3", "2016-03-01", "6.2")
    site.put(late)  # its stamp is of now
    hidden = {"on": True}

    def hide(bundle: dict[str, Any]) -> dict[str, Any]:
        """As if its transaction were not committed yet: the version before it is seen."""
        if hidden["on"] and bundle.get("resourceType") == "Bundle":
            entries = [
                one
                for one in bundle.get("entry", ())
                if one.get("resource", {}).get("id") != "p1-psa-3"
            ]
            bundle["total"] = bundle.get("total", 0) - (len(bundle.get("entry", ())) - len(entries))
            bundle["entry"] = entries
        return bundle

    with FaultProxy(site.url, faults.Edit(hide)) as proxy:
        site.url = proxy.url
        site.sync()
        hidden["on"] = False
        done = site.sync()
        assert (done.full, done.patients) == ("", 1)
        assert same(site.standing(), site.expected(tmp_path / "out"))


EVENTS = (
    "result",
    "correct",
    "delete",
    "move",
    "questionnaire",
    "new",
    "index",
    "merge",
    "condition",
    "therapy",
    "panel",
)


@pytest.mark.parametrize("seed", range(1, YEARS + 1))
def test_a_year_of_hospital_life(seed, site, tmp_path):
    """After each of many small runs the endpoints equal those of a fresh full computation."""
    chance = random.Random(seed)
    site.sync_settings = {"full_every_days": 10_000}
    life = Life(site, chance)
    site.sync()
    for day in range(14):
        site.today += timedelta(days=chance.randint(1, 40))
        for _ in range(chance.randint(0, 4)):
            life.happens(chance.choice(EVENTS))
        done = site.sync()
        assert done.full == ""
        assert done.pending == []
        assert same(site.standing(), site.expected(tmp_path / "out")), (day, life.log[-6:])
    before = versions(site.url)
    assert written(site.sync(full=True)) == {}
    assert versions(site.url) == before


class Life:
    """What happens in a hospital, at random."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        self.site = site
        self.chance = chance
        self.patients = ["p1", "p2", "p3"]
        self.results = {f"{p}-psa-{n}": p for p in self.patients for n in (1, 2, 3)}
        self.count = 0
        self.log: list[str] = []

    def happens(self, what: str) -> None:
        self.count += 1
        patient = self.chance.choice(self.patients)
        self.log.append(f"{what} {patient}")
        getattr(self, what)(patient)

    def _when(self) -> str:
        return str(date(2015, 3, 1) + timedelta(days=self.chance.randint(-100, 600)))

    def _put_psa(self, name: str, patient: str, **more: Any) -> None:
        value = f"{self.chance.randint(1, 60) / 10}"
        made = psa(patient, "x", self._when(), value)
        self.site.put({**made, "id": name, **more})
        self.results[name] = patient

    def new(self, _: str) -> None:
        name = f"n{self.count}"
        self.site.put(*record(name))
        self.patients.append(name)
        self.results |= {f"{name}-psa-{n}": name for n in (1, 2, 3)}

    def result(self, patient: str) -> None:
        self._put_psa(f"{patient}-late-{self.count}", patient)

    def correct(self, _: str) -> None:
        if self.results:
            name = self.chance.choice(sorted(self.results))
            status = self.chance.choice(["corrected", "entered-in-error", "amended"])
            self._put_psa(name, self.results[name], status=status)

    def delete(self, _: str) -> None:
        if self.results:
            name = self.chance.choice(sorted(self.results))
            del self.results[name]
            self.site.delete(f"Observation/{name}")

    def move(self, patient: str) -> None:
        if self.results:
            self._put_psa(self.chance.choice(sorted(self.results)), patient)

    def questionnaire(self, patient: str) -> None:
        (response,) = [one for one in record(patient) if "questionnaire" in one]
        answers = [
            {"linkId": f"q{n}", "answer": [{"valueInteger": self.chance.randint(1, 5)}]}
            for n in range(1, 6)
        ]
        changed = {**response, "authored": self._when(), "item": answers}
        self.site.put({**changed, "status": self.chance.choice(["completed", "entered-in-error"])})

    def index(self, patient: str) -> None:
        status = self.chance.choice(["completed", "stopped", "entered-in-error"])
        self.site.put({**index(patient, status), "performedDateTime": self._when()[:10]})

    def condition(self, patient: str) -> None:
        self.site.put(
            {
                "resourceType": "Condition",
                "id": f"{patient}-meta",
                "subject": {"reference": f"Patient/{patient}"},
                "code": coded("http://snomed.info/sct", "314994000"),
                "onsetDateTime": self._when(),
            }
        )

    def therapy(self, patient: str) -> None:
        self.site.put(
            {
                "resourceType": "MedicationStatement",
                "id": f"{patient}-hormone",
                "status": self.chance.choice(["completed", "active", "entered-in-error"]),
                "subject": {"reference": f"Patient/{patient}"},
                "medicationCodeableConcept": coded("http://www.whocc.no/atc", "L02AE02"),
                "effectiveDateTime": self._when(),
            }
        )

    def panel(self, patient: str) -> None:
        """A PSA that stands in a component only."""
        panel = psa(patient, "panel", self._when(), f"{self.chance.randint(1, 60) / 10}")
        names = ("code", "valueString")
        component = {name: panel.pop(name) for name in names}
        code = coded("http://loinc.org", "53764-7")
        self.site.put({**panel, "code": code, "component": [component]})

    def merge(self, patient: str) -> None:
        other = self.chance.choice(self.patients)
        if other == patient:
            self.site.put(person(patient))  # taken apart, or nothing
            return
        link = {"other": {"reference": f"Patient/{other}"}, "type": "replaced-by"}
        self.site.put({**person(patient), "link": [link]})


def test_the_command_line(site, tmp_path):
    config = tmp_path / "fhircryo.toml"
    metrics = tmp_path / "fhircryo.prom"
    config.write_text(
        f'state_folder = "{site.state}"\nlog_format = "json"\n'
        f'[sync]\nsource = "{site.url}"\nmetrics_file = "{metrics}"\n'
    )

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fhircryo", "sync", "--config", str(config), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    assert run("--status").returncode == 2
    done = run()
    assert done.returncode == 0, done.stderr
    assert "full run: no state of an earlier run" in done.stderr
    told = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    assert len({one["run"] for one in told}) == 1
    assert run().returncode == 0
    status = run("--status")
    content = json.loads(status.stdout)
    assert (status.returncode, content["exit_code"], content["patients_computed"]) == (0, 0, 0)
    assert "fhircryo_sync_last_run_exit_code 0" in metrics.read_text()
    with target_lock(site.url, site.state):
        locked = run()
    assert locked.returncode == 6
    assert "process" in locked.stderr
    assert json.loads(run("--status").stdout)["exit_code"] == 0
