"""The watermark of a run, by the clock of the data."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fhircryo.fhir.bulk.exporting import Exported
from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.content_version import content_version
from fhircryo.mapping.load import load_mappings
from fhircryo.runs.sync.changes import ChangeReader
from fhircryo.runs.sync.data_clock import DataClock
from fhircryo.runs.sync.state_file import open_state
from fhircryo.runs.sync.watermark import after_export
from tests.unit import inputs

NOW = datetime.now(UTC)
AT = "2026-11-01T03:00:00Z"


def clock(*stamps: datetime | str | None) -> DataClock:
    made = DataClock(300)
    made.see(one.isoformat() if isinstance(one, datetime) else one for one in stamps)
    return made


@pytest.mark.parametrize(
    ("stated", "newest", "most"),
    [(0, -10, 12), (1200, -10, 1212), (0, 30, 1), (0, -3600, 3602)],
    ids=["one clock", "Date ahead", "data ahead", "quiet"],
)
def test_how_far_the_stated_time_is_ahead_at_most(stated, newest, most):
    ahead = clock(NOW + timedelta(seconds=newest)).ahead(NOW + timedelta(seconds=stated))
    assert ahead is not None
    assert max(0, most - 1) <= ahead <= most


def test_nothing_is_known_without_stamps():
    assert clock(None, "", "nonsense", "1970-01-01").ahead(NOW) is None
    assert clock().watermark(NOW, None) == NOW
    assert clock().watermark(None, None) is None


def test_a_stamp_of_the_far_future_is_a_mistake():
    assert clock("2099-01-01T00:00:00Z").ahead(NOW) is None


def test_without_a_stated_time_the_newest_stamp_counts():
    mark = clock(NOW).watermark(None, None)
    assert mark is not None
    assert NOW - timedelta(seconds=1) < mark <= NOW


def after(*stamps: str, at: str | None = AT, anew: bool = True) -> datetime | None:
    return after_export(cast("Any", SimpleNamespace(clock=clock(*stamps))), at, anew=anew).time


def test_an_export_is_as_new_as_what_it_holds():
    """HAPI FHIR issue 6841: transactionTime was the end of the export, not its beginning."""
    earlier = "2026-11-01T02:00:00Z"
    assert after("2026-10-01T00:00:00Z", earlier) == datetime.fromisoformat(earlier)
    assert after(AT, "2026-11-01T04:00:00Z") == datetime.fromisoformat(AT)
    assert after(earlier, at=None) == datetime.fromisoformat(earlier)
    assert after() == datetime.fromisoformat(AT)
    assert after(anew=False) is None
    assert after(at="nonsense") is None


class _Nobody:
    """Follows nobody: which patients are affected is read from the state."""

    def affected_by(self, line: bytes) -> list[str]:
        return ["p1"]


@pytest.mark.slow
def test_an_export_of_everything_is_compared(tmp_path: Path):
    """A server that ignores _since; microsoft/fhir-server issue 593: exports without meta."""
    files = tmp_path / "files"
    files.mkdir()
    known, changed = inputs.psa("a1", "2016-03-01", 0.4), inputs.psa("a2", "2016-12-10", 3.5)
    old = inputs.psa("a3", "2016-12-11", 3.5, meta=inputs.meta("2016-12-12T00:00:00Z", "1"))
    (files / "Observation.ndjson").write_bytes(inputs.lines(known, changed, old))
    with open_state(tmp_path / "state.sqlite") as state:
        state.set_watermarks({"Observation": AT})
        before = {"Observation/a2": "sha256:0@", "Observation/a3": "1@2016-12-12T00:00:00Z"}
        written = json.dumps(known, indent=1).encode()
        state.set_versions({"Observation/a1": f"{content_version(written)}@", **before})
        can = Capabilities("4.0.1", {}, {}, False, False, False, False)
        reader = ChangeReader(
            cast("Any", None), can, load_mappings(), cast("Any", _Nobody()), state, clock()
        )
        changes = reader.exported_changes(Exported(files, AT, ""))
    assert changes.resources == {"Observation/a2"}
    assert changes.patients == {"p1"}
    assert changes.whole


def test_content_versions():
    one = content_version(b'{"a": 1.50, "b": [1, 2]}')
    assert one == content_version(b'{"b":[1,2],"a":1.50}')
    assert len({one, content_version(b'{"a": 1.5, "b": [1, 2]}'), content_version(b'{"a"')}) == 3
    deep = b"[" * 100_000
    assert content_version(deep) == content_version(deep)
