"""A cohort pulled from a server: what a folder of the same gives."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import fhircryo
from fhircryo.settings import ServerSettings, Settings
from tests.server import proxy as faults
from tests.server.demo_server import load_cohort
from tests.server.hapi import HapiServer, reset
from tests.server.loading import post, transaction
from tests.server.proxy import FaultProxy
from tests.unit.inputs import AS_OF, COHORT, cli

TABLES = ["adverse_events", "endpoints", "events", "patients", "psa", "questionnaires"]


@pytest.fixture(scope="module")
def loaded(hapi: HapiServer) -> HapiServer:
    """The server with the 62 patients in it."""
    reset(hapi.url)
    load_cohort(hapi.url)
    return hapi


def test_the_same_tables_as_from_the_folder(loaded, tmp_path):
    key = tmp_path / "key"
    for name, source in (("folder", COHORT), ("server", loaded.url)):
        ran = cli("cohort", source, tmp_path / name, "--as-of", AS_OF, "--key", key)
        assert ran.code == 0, ran.err
        assert "in the cohort               62" in ran.err
    for name in TABLES:
        ours, theirs = (
            pd.read_parquet(tmp_path / one / f"{name}.parquet") for one in ("folder", "server")
        )
        pd.testing.assert_frame_equal(ours, theirs)
    flows = [json.loads((tmp_path / one / "flow.json").read_text()) for one in ("folder", "server")]
    assert flows[0]["evaluable"] == flows[1]["evaluable"]
    for file in (tmp_path / "server").rglob("*"):
        if file.is_file():
            assert loaded.url.encode() not in file.read_bytes(), file


def test_the_patients_of_a_group(loaded, tmp_path):
    names = sorted(fhircryo.cohort(COHORT, as_of=AS_OF, identified=True)["patients"]["patient"])[:3]
    members = [{"entity": {"reference": f"Patient/{name}"}} for name in names]
    group = {
        "resourceType": "Group",
        "id": "trial",
        "type": "person",
        "actual": True,
        "member": members,
    }
    post(loaded.url, transaction([group]))
    found = fhircryo.cohort(loaded.url, as_of=AS_OF, patients="Group/trial", identified=True)
    assert sorted(found["patients"]["patient"]) == names


def test_a_library_call_takes_settings(loaded):
    settings = Settings(source=ServerSettings(page_size=200))
    found = fhircryo.cohort(loaded.url, as_of=AS_OF, settings=settings)["patients"]
    folder = fhircryo.cohort(COHORT, as_of=AS_OF)["patients"]
    assert len(found) == 62
    free = "disease_free_12_months"
    assert found[free].sum() == folder[free].sum() > 0


def test_a_server_that_is_not_there(small_pages, tmp_path: Path):
    ran = cli("cohort", "http://127.0.0.1:9/fhir", tmp_path / "out")
    assert ran.code == 3
    assert list(tmp_path.iterdir()) == []


# --------------------------------------------------------------------------- broken off


@pytest.fixture
def proxied(loaded: HapiServer) -> Iterator[Callable[..., FaultProxy]]:
    proxies: list[FaultProxy] = []

    def start(*misbehaviour: Any) -> FaultProxy:
        proxies.append(FaultProxy(loaded.url, *misbehaviour))
        return proxies[-1].__enter__()

    yield start
    for proxy in proxies:
        proxy.__exit__(None, None, None)


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FHIRCRYO_SOURCE__PAGE_SIZE", "60")
    monkeypatch.setenv("FHIRCRYO_SOURCE__RETRY_BUDGET", "0")


def pull(url: str, target: Path, key: Path) -> Any:
    return cli("cohort", url, target, "--as-of", AS_OF, "--key", key, "--no-report")


def files(folder: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in folder.iterdir() if one.suffix == ".csv"}


@pytest.mark.parametrize("forgotten", [False, True], ids=["known", "forgotten"])
def test_a_run_that_breaks_off_goes_on(forgotten, proxied, small_pages, tmp_path):
    """In the middle of a search; also where the server knows its pages no more."""
    key, target = tmp_path / "key", tmp_path / "out"
    whole = proxied()
    assert pull(whole.url, tmp_path / "whole", key).code == 0
    broken = faults.Refuse(500, when=faults.next_pages, skip=12)
    proxy = proxied(broken)
    ran = pull(proxy.url, target, key)
    assert ran.code == 3
    work = tmp_path / "out.work"
    assert f"kept in {work} for 24 hours" in ran.err
    assert work.stat().st_mode & 0o777 == 0o700
    pages = [one for one in work.iterdir() if one.name not in ("lock", "fhircryo-work.json")]
    assert len(pages) > 12
    assert all(one.stat().st_mode & 0o777 == 0o600 for one in work.iterdir())
    assert not target.exists()
    # A page that was torn is read again.
    sorted(pages)[-1].write_bytes(b"torn")
    proxy.faults = [faults.Refuse(410, when=faults.next_pages, times=1)] if forgotten else []
    before = len(proxy.requests)
    ran = pull(proxy.url, target, key)
    assert ran.code == 0, ran.err
    assert len(proxy.requests) - before < len(whole.requests) - len(pages) // 2
    assert files(target) == files(tmp_path / "whole")
    assert not work.exists()


def test_what_is_too_old_or_of_another_server_is_read_anew(loaded, proxied, small_pages, tmp_path):
    key, target = tmp_path / "key", tmp_path / "out"
    work = tmp_path / "out.work"
    proxy = proxied(faults.Refuse(500, when=faults.next_pages, skip=3))
    assert pull(proxy.url, target, key).code == 3
    mark = work / "fhircryo-work.json"
    said = json.loads(mark.read_text())
    begun = datetime.fromisoformat(said["begun"]) - timedelta(hours=25)
    mark.write_text(json.dumps({**said, "begun": begun.isoformat()}))
    proxy.faults = [faults.Refuse(500, when=faults.pages)]
    before = len(proxy.requests)
    assert pull(proxy.url, target, key).code == 3
    assert not work.exists()
    assert len(proxy.requests) > before
    assert pull(loaded.url, target, key).code == 0
    assert len(pd.read_csv(target / "patients.csv")) == 62


def test_a_folder_of_somebody_else_is_left_alone(loaded, tmp_path):
    work = tmp_path / "out.work"
    work.mkdir()
    (work / "thesis.docx").write_text("mine")
    ran = pull(loaded.url, tmp_path / "out", tmp_path / "key")
    assert (ran.code, "not made by fhircryo" in ran.err) == (2, True)
    assert (work / "thesis.docx").exists()
