"""A site's own codes and texts on a server: what the folder gives, the server gives."""

from datetime import date
from pathlib import Path

import pytest

from fhircryo.errors import UsageError
from fhircryo.runs.run_config import RunConfig
from fhircryo.runs.summary import Summary
from fhircryo.runs.to_folder import compute_folder
from fhircryo.settings import ServerSettings, Settings
from tests.server.hapi import HapiServer, reset
from tests.server.loading import load

FOLDER = Path(__file__).parents[2] / "examples" / "site-overlay"


@pytest.fixture(scope="module")
def loaded(hapi: HapiServer) -> str:
    reset(hapi.url)
    load(hapi.url, FOLDER / "export")
    return hapi.url


def computed(source: str | Path, target: Path, overlay: Path) -> tuple[bytes, Summary]:
    settings = Settings.model_construct(source=ServerSettings(), mappings=(overlay,))
    summary = compute_folder(source, target, RunConfig.of(settings, date(2020, 12, 31)))
    return (target / "Observation.ndjson").read_bytes(), summary


def test_a_server_gives_what_the_folder_gives(loaded, tmp_path):
    expected, _ = computed(FOLDER / "export", tmp_path / "folder", FOLDER / "site.yaml")
    found, summary = computed(loaded, tmp_path / "server", FOLDER / "site.yaml")
    assert found == expected
    assert summary.cohort == 4
    assert summary.overlays_unmet == []


def test_a_code_with_its_descendants_cannot_be_searched(loaded, tmp_path):
    overlay = tmp_path / "site.yaml"
    overlay.write_text(
        "concepts:\n  cryoablation:\n    codes:\n"
        '      - {system: "https://h.example", code: "5-60", descendants: prefix, verified: x}\n',
        "utf-8",
    )
    with pytest.raises(UsageError, match=r"https://h\.example\|5-60 of cryoablation"):
        computed(loaded, tmp_path / "out", overlay)
