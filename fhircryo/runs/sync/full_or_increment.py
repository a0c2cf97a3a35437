"""Decides whether a sync run is a full run or an increment."""

import hashlib
from datetime import date, timedelta

import msgspec

from fhircryo import __version__
from fhircryo.errors import UsageError
from fhircryo.publish.newer_version import downgrade_refusal, is_newer
from fhircryo.publish.shapes import ENCODER
from fhircryo.record.items import Lacking
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.sync.state_database import State
from fhircryo.runs.sync.sync_options import SyncOptions

_FINGERPRINT, _LACKING, _LAST_FULL = "fingerprint", "lacking", "last-full"
_VERSION = "fhircryo"


def full_run_reason(state: State, config: RunConfig, options: SyncOptions) -> str:
    """The reason why a full run is due; empty if an increment is sufficient.

    Raises:
        UsageError: a newer version of the program ran with this state.
    """
    before = state.fact(_VERSION) or ""
    if is_newer(before) and not options.allow_downgrade:
        raise UsageError(f"{state.path}: {downgrade_refusal(before, 'the state was written')}")
    if options.full:
        return "requested"
    fingerprint = state.fact(_FINGERPRINT)
    if fingerprint is None:
        return "no state of an earlier run"
    if fingerprint != _fingerprint(config):
        return "version, mappings, protocol or settings have changed"
    days = config.settings.sync.full_every_days
    last_full_run = date.fromisoformat(state.fact(_LAST_FULL) or date.min.isoformat())
    if options.today - last_full_run >= timedelta(days=days):
        return f"every {days} days"
    return ""


def lacking_changed(state: State, lacking: Lacking) -> bool:
    """Whether the source lacks other resource types than at the last full run."""
    return _as_text(lacking) != state.fact(_LACKING)


def remember_full_run(state: State, config: RunConfig, today: date, lacking: Lacking) -> None:
    """Save what the next run compares in order to decide; in the caller's transaction."""
    state.set_fact(_FINGERPRINT, _fingerprint(config))
    state.set_fact(_VERSION, __version__)
    state.set_fact(_LAST_FULL, today.isoformat())
    state.set_fact(_LACKING, _as_text(lacking))


def _fingerprint(config: RunConfig) -> str:
    """A digest of everything that endpoints depend on, except the record and the as-of date."""
    settings = config.settings.model_dump(
        mode="json",
        include={
            "base",
            "source_name",
            "timezone",
            "complete_types",
            "vital_status_complete",
            "test_data",
            "accept_withheld",
            "write",
        },
    )
    protocol = config.protocol.model_dump_json(by_alias=True)
    content = ENCODER.encode([__version__, config.mappings.sha256, protocol, settings])
    return hashlib.sha256(content).hexdigest()


def _as_text(lacking: Lacking) -> str:
    return str(msgspec.to_builtins(lacking, order="deterministic"))
