"""A target that holds endpoints of version 1 of the definitions, after a run of version 2."""

import json
import sqlite3
from collections import Counter
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fhircryo.publish.difference import Action
from fhircryo.publish.target_server import Permissions
from fhircryo.runs.sync import state_schema
from fhircryo.runs.to_server import ServerRun, compute_server
from fhircryo.settings import WriteSettings
from tests.server.cohorts import coded, psa, record
from tests.server.hapi import HapiServer
from tests.server.loading import load
from tests.server.published import by_name, everything, key, versions
from tests.server.test_sync import Site, same, written
from tests.server.test_target import job

#: What version 1 published of these two men as of 2017-12-31, without references to evidence.
VERSION_1 = Path(__file__).parent / "version_1.ndjson"
#: The endpoints that version 2 added.
ADDED = {
    "failure-free-survival",
    "time-to-salvage-therapy",
    "overall-survival",
    "cancer-specific-survival",
}


def two_men() -> list[dict[str, Any]]:
    """The second has hormone therapy before the landmark, and a PSA while freezing releases it."""
    hormone = {
        "resourceType": "MedicationStatement",
        "id": "p2-hormone",
        "status": "completed",
        "subject": {"reference": "Patient/p2"},
        "medicationCodeableConcept": coded("http://www.whocc.no/atc", "L02AE02"),
        "effectiveDateTime": "2015-10-01",
    }
    return [*record("p1"), *record("p2"), hormone, psa("p2", "psa-0", "2015-03-10", "5.0")]


def of_version_1() -> list[dict[str, Any]]:
    return [json.loads(line) for line in VERSION_1.read_text().splitlines()]


def answer(resource: dict[str, Any]) -> str:
    """The code of the value, or our reason why there is none."""
    stated = resource.get("valueCodeableConcept") or resource["dataAbsentReason"]
    return str(stated["coding"][0 if "valueCodeableConcept" in resource else -1]["code"])


@pytest.fixture
def upgraded(empty_hapi: HapiServer) -> str:
    load(empty_hapi.url, [*two_men(), *of_version_1()])
    return empty_hapi.url


def run(url: str, state: Path, *, dry_run: bool = False) -> tuple[ServerRun, Counter[Action]]:
    done = compute_server(url, url, job(state), Permissions(dry_run=dry_run))
    assert done.pushed is not None
    assert done.pushed.rejected == {}
    counts = done.pushed.difference.counts() if dry_run else done.pushed.written.endpoints
    return done, Counter({action: number for action, number in counts.items() if number})


def test_what_was_final_is_amended_and_nothing_is_doubled(upgraded, tmp_path):
    before = {one["id"]: one for one in of_version_1()}
    assert {one["method"]["text"] for one in before.values()} == {"bomers-2020 1.0"}
    _, told = run(upgraded, tmp_path / "state", dry_run=True)
    assert set(versions(upgraded)) == set(before)
    _, counts = run(upgraded, tmp_path / "state")
    assert counts == {Action.CHANGED: len(before), Action.NEW: 2 * len(ADDED)} == told
    found = by_name(upgraded)  # each once
    assert set(before) < {one["id"] for one in found.values()}
    for one in found.values():
        assert one["method"]["text"] == "bomers-2020 2.0"
        old = before.get(one["id"])
        if old is None:
            assert key(one) in ADDED
        else:
            assert one["code"]["coding"] == old["code"]["coding"]
            assert (one["status"] == "amended") is (old["status"] == "final")
    sources = everything(upgraded, "Provenance")
    assert len(sources) == 2
    _, counts = run(upgraded, tmp_path / "state")
    assert counts == {}


def test_what_the_new_definitions_say(upgraded, tmp_path):
    """The early PSA is not used; hormone therapy ends the series, and is an event."""
    run(upgraded, tmp_path / "state")
    found = by_name(upgraded)
    free = {one: found[one, "disease-free-12-months", ""] for one in ("p1", "p2")}
    assert (free["p1"]["status"], answer(free["p1"])) == ("amended", "Y")
    assert (free["p2"]["status"], answer(free["p2"])) == ("amended", "N")
    assert free["p2"]["effectiveDateTime"] == "2015-10-01"
    assert "component" not in free["p2"]  # version 1 marked the salvage therapy
    assert answer(found["p1", "biochemical-failure", ""]) == "N"
    assert answer(found["p2", "biochemical-failure", ""]) == "too-few-psa"
    assert found["p2", "psa-nadir", ""]["valueQuantity"]["value"] == Decimal("0.8")


def state_of_version_1(site: Site) -> None:
    """A state file as version 0.1.0 left it: its own script, and what it knew of the two men."""
    site.state_file.parent.mkdir(mode=0o700, parents=True)
    site.state_file.touch(mode=0o600)
    connection = sqlite3.connect(site.state_file)
    with connection:
        connection.executescript(state_schema._MIGRATIONS[0])
        connection.execute("INSERT INTO fact VALUES ('fingerprint', 'of version 1')")
        connection.execute("INSERT INTO fact VALUES ('last-full', '2017-12-30')")
        connection.execute("INSERT INTO watermark VALUES ('Patient', '2017-12-30T00:00:00Z')")
        for patient in ("p1", "p2"):
            connection.execute("INSERT INTO alias VALUES (?, ?)", (patient, patient))
            connection.execute(
                "INSERT INTO stands_on VALUES (?, ?)", (patient, f"Patient/{patient}")
            )
            connection.execute("INSERT INTO version VALUES (?, '@')", (f"Patient/{patient}",))
        published = [(one["identifier"][0]["value"], of_patient(one)) for one in of_version_1()]
        connection.executemany("INSERT INTO published VALUES (?, ?)", published)
        connection.execute("PRAGMA user_version = 1")
    connection.close()


def of_patient(endpoint: dict[str, Any]) -> str:
    return str(endpoint["subject"]["reference"]).removeprefix("Patient/")


def test_the_first_scheduled_run_upgrades_all_and_the_second_nothing(upgraded, tmp_path):
    site = Site(upgraded, tmp_path / "state")
    state_of_version_1(site)
    # The endpoints of version 1 have no Provenance here, which an index that lags could still hold.
    site.settings["write"] = WriteSettings(index_patience=2.0)
    site.today = date(2017, 12, 31)
    first = site.sync()
    assert first.full == "version, mappings, protocol or settings have changed"
    assert not list(site.state_file.parent.glob("*.damaged"))
    assert written(first) == {"changed": len(of_version_1()), "new": 2 * len(ADDED)}
    assert same(site.standing(), site.expected(tmp_path / "out"))
    second = site.sync()
    assert (second.full, written(second)) == ("", {})
