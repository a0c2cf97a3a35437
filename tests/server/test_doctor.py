"""What the doctor says of servers that can all, less, or nothing."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from fhircryo.publish.target_lock import target_lock
from tests.server import proxy as faults
from tests.server.cohorts import cohort, psa
from tests.server.hapi import HapiServer, reset
from tests.server.loading import load
from tests.server.proxy import FaultProxy


@pytest.fixture(scope="module")
def loaded(hapi: HapiServer) -> str:
    reset(hapi.url)
    load(hapi.url, cohort("p1", "p2"))
    return hapi.url


@pytest.fixture
def proxied(loaded: str) -> Iterator[Callable[..., FaultProxy]]:
    proxies: list[FaultProxy] = []

    def start(*misbehaviour: Any) -> FaultProxy:
        proxies.append(FaultProxy(loaded, *misbehaviour))
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.stop()


Told = dict[tuple[str, str], tuple[str, str]]


@pytest.fixture
def doctor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, Told]]:
    """The exit code, and by part and check: status and words with advice."""
    monkeypatch.setenv("FHIRCRYO_STATE_FOLDER", str(tmp_path / "state"))
    monkeypatch.setenv("FHIRCRYO_SOURCE__RETRY_BUDGET", "1")
    monkeypatch.setenv("FHIRCRYO_TARGET__RETRY_BUDGET", "1")

    def run(*arguments: str) -> tuple[int, Told]:
        done = subprocess.run(
            [sys.executable, "-m", "fhircryo", "doctor", *arguments, "--json"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert "Traceback" not in done.stderr
        told = json.loads(done.stdout)
        return done.returncode, {
            (one["part"], one["check"]): (one["status"], f"{one['words']}; {one['advice']}")
            for one in told
        }

    return run


def test_a_server_that_can_all(loaded, doctor):
    code, told = doctor(loaded, loaded)
    assert code == 0
    assert {status for status, _ in told.values()} == {"ok", "not tried"}
    untried = {check for (_, check), (status, _) in told.items() if status == "not tried"}
    # There is no Medication, nothing was written yet, and 400 to what is no resource says nothing.
    assert untried == {
        *("Medication?_id", "ids", "search by identifier"),
        *("Observation", "Device", "Provenance"),
    }
    for check in ("Procedure?code", "page size", "clock", "_lastUpdated", "index procedures"):
        assert ("source", check) in told
    assert told["target", "transactions"][0] == "ok"
    for kind in ("MedicationRequest", "MedicationStatement", "MedicationAdministration"):
        assert ("source", f"{kind}?patient|subject") in told
    assert ("source", "Medication?_id") in told
    medications = "MedicationRequest or MedicationStatement or MedicationAdministration kept"
    assert ("source", medications) in told
    assert ("source", "Observation?combo-code|component-code") in told


def test_nothing_is_written_to_find_out(loaded, proxied, doctor):
    def count() -> int:
        answer = requests.get(f"{loaded}/Observation?_summary=count", timeout=60).json()
        return int(answer["total"])

    before = count()
    proxy = proxied()
    doctor(proxy.url, proxy.url)
    assert count() == before
    assert not proxy.asked(faults.of_method("PUT", "DELETE", "PATCH"))


def _procedures_by_patient(statement: Any) -> None:
    for resource in statement["rest"][0]["resource"]:
        if resource["type"] == "Procedure":
            resource["searchParam"] = [{"name": "patient"}, {"name": "_id"}]


def _ids_of_its_own(statement: Any) -> None:
    statement["rest"][0]["interaction"] = []
    for resource in statement["rest"][0]["resource"]:
        resource["updateCreate"] = False


LESS = {
    "as Epic": (
        lambda: [
            faults.NoSearchBy("Procedure", "code"),
            faults.NoSearchWithoutPatient("Procedure", "Condition", "AdverseEvent", "Observation"),
            faults.NoSearchBy("Patient", "_lastUpdated"),
        ],
        {
            ("source", "_lastUpdated"): ("warning", "not supported"),
            ("source", "Condition kept"): ("warning", "complete_types"),
            ("source", "index procedures"): ("warning", "--patients"),
            ("source", "PSA results"): ("warning", "one patient at a time"),
        },
    ),
    "its statement lists no code": (
        lambda: [faults.Statement(_procedures_by_patient)],
        {("source", "Procedure?code"): ("warning", "--patients")},
    ),
    "no AdverseEvent": (
        lambda: [faults.NoType("AdverseEvent", 403)],
        {("source", "AdverseEvent kept"): ("warning", "source-lacks-type")},
    ),
    "no transactions, ids of its own": (
        lambda: [faults.Statement(_ids_of_its_own)],
        {
            ("target", "ids"): ("warning", "one machine"),
            ("target", "transactions"): ("warning", "a request of its own"),
            ("target", "Observation"): ("not tried", "400"),
            ("target", "lock"): ("ok", "free"),
        },
    ),
    "may not write": (
        lambda: [faults.Refuse(403, when=lambda asked: asked.path in ("", "/"))],
        {("target", "transactions"): ("failed", "the right to write")},
    ),
    "unauthorised": (
        lambda: [faults.Bearer("secret", when=lambda asked: asked.path != "/metadata")],
        {("source", "index procedures"): ("failed", "401")},
    ),
    "HTML": (lambda: [faults.Html()], {("source", "reachable"): ("failed", "not a FHIR server")}),
}


@pytest.mark.parametrize("name", LESS)
def test_a_server_that_can_less(name, proxied, doctor):
    make, expected = LESS[name]
    proxy = proxied(*make())
    code, told = doctor(proxy.url, proxy.url)
    for check, (status, words) in expected.items():
        assert told[check][0] == status, told[check]
        assert words in told[check][1]
    failures = [one for one in told.values() if one[0] == "failed"]
    assert bool(code) == bool(failures)


def test_nobody_and_nothing_mapped(doctor, empty_hapi_small_pages):
    load(empty_hapi_small_pages.url, [{"resourceType": "Patient", "id": "p1"}])
    code, told = doctor(empty_hapi_small_pages.url)
    assert code == 0
    assert told["source", "index procedures"][0] == "warning"
    assert "survey" in told["source", "PSA results"][1]


def test_times_in_utc_without_a_timezone(doctor, empty_hapi_small_pages, monkeypatch):
    late = [psa("p1", f"psa-{n}", f"2016-01-0{n}T23:30:00Z", "1") for n in range(1, 8)]
    load(empty_hapi_small_pages.url, [{"resourceType": "Patient", "id": "p1"}, *late])
    _, told = doctor(empty_hapi_small_pages.url)
    assert told["source", "times"][0] == "warning"
    assert told["source", "page size"][1].startswith("5 of 500")
    monkeypatch.setenv("FHIRCRYO_TIMEZONE", "Europe/Amsterdam")
    _, told = doctor(empty_hapi_small_pages.url)
    assert told["source", "times"][0] == "ok"


def test_a_lock_that_is_held(loaded, hapi, doctor, tmp_path):
    with hapi.switched(update_as_create=False), target_lock(loaded, tmp_path / "state"):
        code, told = doctor(loaded, loaded)
    assert code == 6
    assert told["target", "lock"][0] == "failed"


def test_a_target_that_is_not_there(loaded, doctor):
    code, told = doctor(loaded, "http://127.0.0.1:9/fhir")
    assert code == 5
    assert told["target", "reachable"][0] == "failed"


def test_a_clock_that_is_an_hour_behind(doctor):
    statement = b'{"resourceType":"CapabilityStatement","fhirVersion":"4.0.1","rest":[]}'

    class Behind(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(statement)))
            self.end_headers()
            self.wfile.write(statement)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return super().date_time_string(time.time() - 3600)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    _, told = doctor(f"http://127.0.0.1:{server.server_port}/fhir")
    server.shutdown()
    server.server_close()
    status, words = told["source", "clock"]
    assert status == "warning"
    assert 3590 < int(words.partition(" s")[0]) < 3700
