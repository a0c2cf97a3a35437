"""When a scheduled run computes every patient again."""

from datetime import date
from typing import Any, cast

import pytest

from fhircryo.mapping.load import load_protocol
from fhircryo.record.items import Lacking
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync import full_or_increment
from fhircryo.runs.sync.full_or_increment import (
    full_run_reason,
    lacking_changed,
    remember_full_run,
)
from fhircryo.runs.sync.state_database import State
from fhircryo.runs.sync.sync_options import SyncOptions
from fhircryo.settings import Settings

TODAY = date(2026, 1, 2)
CHANGED = "version, mappings, protocol or settings have changed"


class Facts:
    """The facts of a state, without its database."""

    def __init__(self) -> None:
        self._facts: dict[str, str] = {}

    def fact(self, name: str) -> str | None:
        return self._facts.get(name)

    def set_fact(self, name: str, value: str) -> None:
        self._facts[name] = value


def config(**settings: Any) -> RunConfig:
    return RunConfig.of(Settings(**settings), TODAY)


@pytest.fixture
def state() -> State:
    """The state after a full run with the default settings."""
    found = cast("State", Facts())
    remember_full_run(found, config(), TODAY, Lacking())
    return found


def reason(state: State, of: RunConfig) -> str:
    return full_run_reason(state, of, SyncOptions(today=TODAY))


def test_nothing_has_changed(state):
    assert reason(state, config()) == ""


def test_another_version_of_the_protocol(state):
    """A state of protocol version 1.0 is computed anew by version 2.0."""
    protocol = load_protocol()
    assert protocol.version == "2.0"
    of = config()
    older = protocol.model_copy(update={"version": "1.0"})
    object.__setattr__(of, "protocol", older)
    assert reason(state, of) == CHANGED
    remember_full_run(state, of, TODAY, Lacking())
    assert reason(state, config()) == CHANGED


def test_another_number_of_the_protocol(state):
    of = config()
    rules = of.protocol.psa.model_copy(update={"first_days": 0})
    object.__setattr__(of, "protocol", of.protocol.model_copy(update={"psa": rules}))
    assert reason(state, of) == CHANGED


def test_another_version_of_the_program(state, monkeypatch):
    monkeypatch.setattr(full_or_increment, "__version__", "99")
    assert reason(state, config()) == CHANGED


@pytest.mark.parametrize(
    "settings",
    [
        {"vital_status_complete": True},
        {"complete_types": ("Condition",)},
        {"timezone": "Europe/Amsterdam"},
    ],
)
def test_a_setting_on_which_endpoints_depend(settings, state):
    assert reason(state, config(**settings)) == CHANGED


def test_what_the_source_lacks(state):
    assert not lacking_changed(state, Lacking())
    assert lacking_changed(state, Lacking(medications=True))
    assert lacking_changed(state, Lacking(deaths=False))


def test_the_order_of_graded_scales_does_not_matter(state):
    scales = [f"scale-{number}" for number in range(40)]
    remember_full_run(state, config(), TODAY, Lacking(graded=frozenset(scales)))
    assert not lacking_changed(state, Lacking(graded=frozenset(reversed(scales))))
