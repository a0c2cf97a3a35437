"""What holds for every unit test."""

import pytest


@pytest.fixture(autouse=True)
def short_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a moment, not seconds, before a failed request is sent again."""
    monkeypatch.setattr("fhircryo.fhir.client._FIRST_WAIT", 0.001)
