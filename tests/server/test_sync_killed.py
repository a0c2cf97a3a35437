"""kill -9 at random moments of scheduled runs: the next run brings the clean result.

``TEST_KILLS=200`` for more of them (``make kills``).
"""

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from fhircryo.runs.in_memory import compute_resources
from tests.server.cohorts import cohort, psa
from tests.server.hapi import HapiServer
from tests.server.loading import load
from tests.server.published import said
from tests.server.test_sync import Site, _content, same

KILLS = int(os.environ.get("TEST_KILLS", "25"))
PATIENTS = [f"p{number}" for number in range(6)]


def expected(site: Site, resources: dict[tuple[str, str], Any]) -> dict[str, Any]:
    """The clean result, without a server."""
    job = site.job()
    outcome = compute_resources(
        resources.values(), job.as_of, job.protocol, job.mappings, job.settings
    )
    return {one["id"]: _content(_floats(said(one))) for one in outcome.observations}


def _floats(resource: dict[str, Any]) -> Any:
    import json

    from tests.server.loading import _ENCODER

    return json.loads(_ENCODER.encode(resource))


def killed_run(site: Site, after: float) -> bool:
    """Start a run in a process of its own and kill it; whether it was killed before its end."""
    child = os.fork()
    if child == 0:
        try:
            site.sync()
        finally:
            os._exit(0)
    time.sleep(after)
    finished, _ = os.waitpid(child, os.WNOHANG)
    if finished:
        return False
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
def test_killed_at_any_moment(empty_hapi: HapiServer, tmp_path: Path) -> None:
    chance = random.Random(7)
    resources = {(one["resourceType"], one["id"]): one for one in cohort(*PATIENTS)}
    load(empty_hapi.url, resources.values())
    site = Site(empty_hapi.url, tmp_path / "state")
    site.sync(dry_run=True)  # what a run imports is there, so that kills hit the run itself
    killed = 0
    usual = 1.0
    for number in range(KILLS):
        for patient in chance.sample(PATIENTS, 2):
            name = f"psa-{chance.randint(1, 3)}"
            value = f"{chance.randint(1, 60) / 10}"
            # A day of its own: of two results of one moment the later written counts.
            day = f"2015-{chance.randint(4, 12):02d}-1{name[-1]}"
            one = psa(patient, name, day, value)
            resources["Observation", one["id"]] = one
            site.put(one)
        if chance.random() < 0.15:
            for file in site.state.glob("*.sqlite*"):
                file.unlink()  # a first run, and one that has everything to look at
        killed += killed_run(site, chance.uniform(0.0, 1.3 * usual))
        started = time.monotonic()
        site.sync()
        usual = time.monotonic() - started
        assert same(site.standing(), expected(site, resources)), number
    done = site.sync()
    assert (done.full, done.changed) == ("", 0)
    assert killed > KILLS / 3, "most runs had ended before they were killed"
