"""Bulk export on a real server; and in scheduled runs, with what HAPI's own does not tell."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fhircryo.runs.sync.sync_options import StoppedError
from tests.server.cohorts import psa, record
from tests.server.demo_server import load_cohort
from tests.server.exporting import Exports
from tests.server.hapi import HapiServer, reset
from tests.server.proxy import FaultProxy
from tests.server.published import endpoints
from tests.server.test_sync import Site, same, site, written
from tests.unit import inputs
from tests.unit.inputs import AS_OF, COHORT, cli

__all__ = ["site"]


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch, hapi: HapiServer) -> Iterator[HapiServer]:
    """HAPI looks after its jobs once a minute, and says: ask again in two. Both are shortened."""
    asleep = time.sleep
    monkeypatch.setattr(
        "fhircryo.fhir.bulk.export_job.time.sleep", lambda wait: asleep(min(wait, 0.25))
    )
    with hapi.switched(hurry_jobs=True):
        yield hapi


def test_the_servers_own_export_gives_what_the_folder_gives(hurried, tmp_path, monkeypatch):
    reset(hurried.url)
    load_cohort(hurried.url)
    expected = inputs.compute(COHORT, tmp_path / "expected").files
    for level in ("system", "patient"):
        target = tmp_path / level
        ran = cli("compute", hurried.url, target, "--as-of", AS_OF, "--bulk", level)
        assert ran.code == 0, ran.err
        found = (target / "Observation.ndjson").read_bytes()
        assert found == expected["Observation.ndjson"]


@pytest.fixture
def exporting(site: Site) -> Iterator[tuple[Site, Exports, FaultProxy]]:
    exports = Exports(site.url)
    with FaultProxy(site.url, exports) as proxy:
        site.url = proxy.url
        site.sync_settings = {"bulk": "system", "overlap": 2.0}
        yield site, exports, proxy


def test_scheduled_runs_by_export(exporting, tmp_path: Path):
    """All at first, then what changed and what was deleted since; nothing searched for by time."""
    site, exports, proxy = exporting
    first = site.sync()
    assert first.full == "no state of an earlier run"
    assert written(first) == {"new": len(endpoints(site.url))}
    assert exports.kick_offs[0].param("_since") == []
    site.put(psa("p1", "psa-3", "2016-03-01", "6.2", status="corrected"), *record("p4"))
    second = site.sync()
    assert (second.full, second.patients) == ("", 2)
    assert len(exports.kick_offs[1].param("_since")) == 1
    assert same(site.standing(), site.expected(tmp_path / "out"))
    site.delete("QuestionnaireResponse/p2-iief")
    exports.deleted = ["QuestionnaireResponse/p2-iief", "Observation/nobodys"]
    third = site.sync()
    assert third.full == ""
    assert "retracted" in written(third)
    assert same(site.standing(), site.expected(tmp_path / "out"))
    assert not [one for one in proxy.requests if one.param("_lastUpdated")]
    assert list(site.state.glob("*.work")) == []


def test_what_changed_after_an_export_that_is_picked_up_is_not_lost(
    exporting, monkeypatch, tmp_path: Path
):
    """Killed with the files there; meanwhile a result is corrected."""
    site, exports, _ = exporting
    monkeypatch.setattr("fhircryo.sources.bulk_source.collect_files", kill)
    with pytest.raises(Killed):
        site.sync()
    monkeypatch.undo()
    time.sleep(4)
    site.put(psa("p1", "psa-3", "2016-03-01", "6.2", status="corrected"))
    first = site.sync()
    assert first.full == "no state of an earlier run"
    assert len(exports.kick_offs) == 1
    second = site.sync()
    assert (second.full, second.patients) == ("", 1)
    assert same(site.standing(), site.expected(tmp_path / "out"))


class Killed(BaseException):
    """As kill -9: nothing of ours runs any more."""


def kill(*_: object) -> None:
    raise Killed


def test_a_scheduled_run_that_is_stopped_cancels_its_export(exporting):
    site, exports, proxy = exporting
    with pytest.raises(StoppedError):
        site.sync(stopped=lambda: bool(exports.kick_offs))
    assert endpoints(site.url) == []
    assert [one for one in proxy.requests if one.method == "DELETE" and "bulk-status" in one.path]
    assert site.sync().full == "no state of an earlier run"
