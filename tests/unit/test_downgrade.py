"""A version that is older than the one that wrote the state or the target is refused with words."""

from datetime import date
from typing import Any, cast

import pytest

from fhircryo import __version__
from fhircryo.errors import TargetError, UsageError
from fhircryo.publish.newer_version import is_newer
from fhircryo.publish.target_server import Permissions
from fhircryo.record.items import Lacking
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync import full_or_increment
from fhircryo.runs.sync.full_or_increment import full_run_reason, remember_full_run
from fhircryo.runs.sync.state_database import State
from fhircryo.runs.sync.sync_options import SyncOptions
from fhircryo.runs.to_server import compute_server
from fhircryo.settings import ServerSettings, Settings
from tests.unit.inputs import folder, patient, procedure, psa
from tests.unit.stub_target import StubTarget, own_ids
from tests.unit.test_full_or_increment import Facts

TODAY = date(2026, 1, 2)
NEWER = "99.1.0"


@pytest.mark.parametrize(
    ("version", "newer"),
    [
        (__version__, False),
        ("0.1.0", False),
        ("0.2", False),
        ("0.2.0.dev1", False),
        ("0.2.1", True),
        ("0.10.0", True),
        ("1", True),
        ("1.0rc1", True),
        ("", False),
        ("unknown", False),
        ("9" * 5000, True),
    ],
)
def test_versions_are_compared_by_number(version, newer, monkeypatch):
    monkeypatch.setattr("fhircryo.publish.newer_version.__version__", "0.2.0")
    assert is_newer(version) is newer


def test_the_state_of_a_newer_version_is_refused(monkeypatch):
    facts: Any = Facts()
    facts.path = "sync.sqlite"
    state = cast("State", facts)
    config = RunConfig.of(Settings(), TODAY)
    with monkeypatch.context() as patched:
        patched.setattr(full_or_increment, "__version__", NEWER)
        remember_full_run(state, config, TODAY, Lacking())
    with pytest.raises(
        UsageError, match=rf"sync.sqlite: the state was written by fhircryo {NEWER}"
    ):
        full_run_reason(state, config, SyncOptions(today=TODAY))
    allowed = SyncOptions(today=TODAY, allow_downgrade=True)
    assert full_run_reason(state, config, allowed).startswith("version, mappings")
    remember_full_run(state, config, TODAY, Lacking())
    assert full_run_reason(state, config, SyncOptions(today=TODAY)) == ""


@pytest.fixture
def target():
    with StubTarget(own_ids()) as stub:
        yield stub


def write(stub: StubTarget, tmp_path: Any, as_of: date, **allowed: bool) -> Any:
    results = (("a", "2016-03-01", 0.4), ("b", "2016-12-10", 0.5), ("c", "2017-03-01", 0.6))
    resources = {
        "Patient.ndjson": [patient("p1")],
        "Procedure.ndjson": [procedure("x", "2016-01-10", of="p1")],
        "Observation.ndjson": [psa(*result, of="p1") for result in results],
    }
    folder(tmp_path / "in", resources)
    settings = Settings.model_construct(
        target=ServerSettings(retry_budget=5), state_folder=tmp_path / "state"
    )
    config = RunConfig.of(settings, as_of)
    done = compute_server(tmp_path / "in", stub.base, config, Permissions(**allowed))
    assert done.pushed is not None
    return done.pushed


def test_a_target_to_which_a_newer_version_has_written_is_refused(target, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        for module in ("provenance", "newer_version"):
            patched.setattr(f"fhircryo.publish.{module}.__version__", NEWER)
        assert write(target, tmp_path, date(2016, 12, 31)).written.landed
    before = target.endpoints()
    later = date(2017, 12, 31)
    words = rf"the endpoints there were written by fhircryo {NEWER}, and this is {__version__}"
    with pytest.raises(TargetError, match=words):
        write(target, tmp_path, later)
    dry = write(target, tmp_path, later, dry_run=True)
    assert "--allow-downgrade" in dry.refusal
    assert target.endpoints() == before
    assert write(target, tmp_path, later, allow_downgrade=True).written.landed
    # Now it is the target of this version again.
    assert not write(target, tmp_path, later, dry_run=True).refusal
    assert write(target, tmp_path, date(2018, 12, 31)).refusal == ""


def test_where_nothing_differs_nothing_is_refused(target, tmp_path, monkeypatch):
    """A target that would not be written to is as good for an older version."""
    with monkeypatch.context() as patched:
        for module in ("provenance", "newer_version"):
            patched.setattr(f"fhircryo.publish.{module}.__version__", NEWER)
        write(target, tmp_path, date(2017, 12, 31))
    done = write(target, tmp_path, date(2017, 12, 31))
    assert not done.written.landed
