"""A HAPI server for the tests of this folder: one for all of them, started when first needed.

With pytest-xdist say ``-p tests.server.scheduling --dist loadgroup``: the tests of this folder go
to two workers then, with servers of their own. Without it each worker would start some (1 GB each).

Java and Maven missing: skipped, and said what to install; with ``CI=true``: an error.
"""

import os
from collections.abc import Generator, Iterator

import pytest

from tests.server.hapi import HapiServer, HapiUnavailable, reset
from tests.server.keycloak import Keycloak

_SMALL_PAGE = 5
_LARGE_PAGE = 500


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a server logged stands with the test that failed; the log itself is kept."""
    report = yield
    if report.failed:
        for server in getattr(item, "funcargs", {}).values():
            if isinstance(server, HapiServer | Keycloak):
                name = type(server).__name__
                report.sections.append((f"log of {name} ({server.log})", server.log_end()))
    return report


def serve(request: pytest.FixtureRequest, **properties: str | int) -> Iterator[HapiServer]:
    """A server of these properties while a fixture is in use; skipped where none can be had."""
    try:
        server = HapiServer.start(**properties)
    except HapiUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no HAPI server, so nothing of this was tested: {error}")
    with server:
        yield server
    if not request.session.testsfailed:
        server.log.unlink()


@pytest.fixture(scope="session")
def hapi(request: pytest.FixtureRequest) -> Iterator[HapiServer]:
    """The server of this session; it holds what the tests before left there."""
    yield from serve(request, max_page=_LARGE_PAGE)


@pytest.fixture
def empty_hapi(hapi: HapiServer) -> HapiServer:
    """The server, emptied."""
    reset(hapi.url)
    return hapi


@pytest.fixture(scope="session")
def hapi_r5(request: pytest.FixtureRequest) -> Iterator[HapiServer]:
    """A server of FHIR R5, with data of its own."""
    yield from serve(request, max_page=_LARGE_PAGE, fhir="R5")


@pytest.fixture(scope="session")
def hapi_small_pages(request: pytest.FixtureRequest) -> Iterator[HapiServer]:
    """A second server with data of its own, that gives five matches on a page at most."""
    yield from serve(request, max_page=_SMALL_PAGE, default_page=_SMALL_PAGE)


@pytest.fixture
def empty_hapi_small_pages(hapi_small_pages: HapiServer) -> HapiServer:
    """The second server, emptied."""
    reset(hapi_small_pages.url)
    return hapi_small_pages


@pytest.fixture(scope="session")
def keycloak(request: pytest.FixtureRequest) -> Iterator[Keycloak]:
    """An OAuth 2.0 server; each test has clients of its own there."""
    try:
        server = Keycloak.start()
    except HapiUnavailable as error:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"no Keycloak, so nothing of this was tested: {error}")
    with server:
        yield server
    if not request.session.testsfailed:
        server.log.unlink()
