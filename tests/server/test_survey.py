"""A survey of a server: the candidates that the folder gives, by a bounded number of requests."""

from pathlib import Path
from typing import Any

import pytest

from fhircryo.errors import SourceError
from fhircryo.settings import ServerSettings, Settings
from fhircryo.setup.survey.run_survey import survey
from fhircryo.setup.survey.survey_json import Survey
from tests.server.hapi import HapiServer, reset
from tests.server.loading import load
from tests.server.proxy import FaultProxy, NoSearchBy, NoType, Refuse

FOLDER = Path(__file__).parents[2] / "examples" / "site-overlay"
PAGES = 2


def surveyed(source: str | Path, pages: int = PAGES, **server: Any) -> Survey:
    settings = Settings.model_construct(source=ServerSettings(**server))
    return survey(str(source), settings, pages)


def found(result: Survey) -> set[tuple[str, ...]]:
    """What the candidates are, and of what."""
    codes = {(row.name, row.candidate.of) for row in result.codes if row.candidate}
    places = {(row.place, row.candidate.of) for row in result.grades if row.candidate}
    values = {
        (one.place, one.code or one.text, one.candidate.of, one.candidate.grade)
        for row in result.grades
        for one in row.values
        if one.candidate
    }
    forms = {(row.canonical, one.of) for row in result.forms for one in row.candidates}
    return codes | places | values | forms


def procedure(name: str, text: str) -> dict[str, Any]:
    return {
        "resourceType": "Procedure",
        "id": name,
        "status": "completed",
        "code": {"text": text},
        "subject": {"reference": "Patient/de-1"},
    }


@pytest.fixture(scope="module")
def loaded(hapi: HapiServer) -> str:
    reset(hapi.url)
    load(hapi.url, FOLDER / "export")
    return hapi.url


def test_a_server_gives_the_candidates_of_the_folder(loaded):
    folder, server = surveyed(FOLDER / "export"), surveyed(loaded)
    assert found(server) == found(folder)
    # 11 codes and texts, two grades, an extension, two forms; C79.5 needs no mapping.
    assert len(found(folder)) == 16
    assert (folder.sample, server.sample) == (False, True)


def test_what_was_asked_is_told(loaded):
    result = surveyed(loaded)
    asked = [one.asked for one in result.searches]
    assert "Observation?_sort=-_lastUpdated" in asked
    assert any(one.startswith("Procedure?code:text=") for one in asked)
    assert all(one.all and not one.refused for one in result.searches)
    # Each search fits on a page; one request more is that for the capabilities.
    assert result.requests == len(result.searches) + 1
    kinds = {one.asked: one.resources for one in result.searches}
    assert kinds["Procedure?_sort=-_lastUpdated"] == 5


def test_no_resource_counts_twice(loaded):
    result = surveyed(loaded)
    psa = next(row for row in result.codes if row.code == "PSA01")
    assert psa.resources == 6


def test_requests_do_not_grow_with_the_server(loaded, hapi):
    """Pages of one: there is always more, and it is not asked for."""
    most = len(surveyed(loaded).searches) * PAGES + 1
    small = surveyed(loaded, page_size=1)
    assert small.requests <= most
    assert not all(one.all for one in small.searches)
    load(loaded, (procedure(f"more-{number}", "Biopsy") for number in range(300)))
    larger = surveyed(loaded, page_size=1)
    assert hapi.count("Procedure") > 300
    assert larger.requests <= most
    assert sum(larger.types.values()) <= most
    assert max(one.pages for one in larger.searches) == PAGES


def test_words_find_what_the_newest_do_not_hold(loaded):
    load(loaded, (procedure(f"newer-{number}", "Appendectomy") for number in range(3)))
    result = surveyed(loaded, pages=1, page_size=3)
    newest = next(one for one in result.searches if one.asked == "Procedure?_sort=-_lastUpdated")
    assert (newest.resources, newest.all) == (3, False)
    cryo = [row for row in result.codes if row.candidate and row.candidate.of == "cryoablation"]
    assert cryo
    assert not any(row.text == "Appendectomy" for row in cryo)


def test_what_a_server_refuses_is_told_and_the_rest_is_read(loaded):
    faults = (
        NoSearchBy("Observation", "code"),
        NoSearchBy("Condition", "_sort"),
        NoType("AdverseEvent", 403),
    )
    with FaultProxy(loaded, *faults) as proxy:
        result = surveyed(proxy.url)
    refused = {one.asked.partition("=")[0]: one.refused for one in result.searches if one.refused}
    assert set(refused) == {"Observation?code:text", "AdverseEvent?"}
    assert refused["Observation?code:text"].startswith("400")
    assert refused["AdverseEvent?"].startswith("403")
    assert "Condition?" in {one.asked for one in result.searches}
    assert any(row.code == "C79.5" for row in result.codes)


def test_wrong_credentials_end_the_survey(loaded):
    with FaultProxy(loaded, Refuse(401)) as proxy, pytest.raises(SourceError, match="401"):
        surveyed(proxy.url)
