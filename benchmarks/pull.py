"""The pull of PSA results from a server, against a bare loop and two FHIR clients.

All ask the same search and follow the same pages.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial

from benchmarks.peer_clients import Params, fhirpy_values, pages, pyrate_frame
from benchmarks.rounds import Contender
from fhircryo.extract.lines import read
from fhircryo.fhir.connect import open_client
from fhircryo.fhir.search import Searcher
from fhircryo.record.collector import RecordCollector
from fhircryo.record.patients import Selection
from fhircryo.runs.drivers import OneProcess
from fhircryo.runs.read_source import read_source
from fhircryo.runs.run_config import RunConfig
from fhircryo.settings import ServerSettings
from tests.server.proxy import FaultProxy, searches

GOAL = 0.95
AHEAD = 1.0


def asked(url: str, job: RunConfig, patient: str) -> Params:
    """The search for Observations that computing one patient makes, but of all patients.

    ``compute`` asks for 25 patients at a time. HAPI's database for tests (H2) finds a list of codes
    of a list of patients so slowly that nothing else would be measured.
    """
    of_one = replace(job, selection=Selection(frozenset({patient})))
    with FaultProxy(url) as proxy:
        read_source(proxy.url, of_one)
        searched = next(
            one
            for one in proxy.asked(searches)
            if one.kind == "Observation" and one.param("patient")
        )
    return {key: value for key, value in searched.params if key != "patient"}


def collected(
    url: str,
    job: RunConfig,
    code: str,
    settings: ServerSettings | None = None,
    watch: Callable[[Iterable[bytes]], Iterable[bytes]] = iter,
) -> RecordCollector:
    """As ``search_source`` does: search, decode, extract, collect; ``watch`` sees the matches."""
    with open_client(url, settings or ServerSettings()) as client:
        request = job.read_request(OneProcess())
        context = request.context(client.base)
        collector = RecordCollector(request.retention())
        searcher = Searcher(client)
        for matches in searcher.search("Observation", {"code": code}):
            read(watch(matches), collector, context, part=0)
        searcher.close()
    assert not collector.facts.unreadable
    return collector


def ours(url: str, job: RunConfig, query: Params, settings: ServerSettings | None = None) -> int:
    """How many items there are of what was found."""
    return len(collected(url, job, query["code"], settings).items)


def bare(url: str, query: Params) -> int:
    """``requests`` and ``json``: the same pages, and nothing done with them."""
    return sum(len(page.get("entry", ())) for page in pages(url, query))


def fhirpy(url: str, query: Params) -> int:
    """fhirpy: values picked out of its resources."""
    return len(list(fhirpy_values(url, query)))


def pyrate(url: str, query: Params) -> int:
    """FHIR-PYrate: its way to a DataFrame."""
    return len(pyrate_frame(url, query))


def contenders(url: str, job: RunConfig, query: Params) -> list[Contender]:
    """Ours, the bare loop and the clients."""
    return [
        Contender("fhircryo", partial(ours, url, job, query)),
        Contender("requests + json", partial(bare, url, query), GOAL),
        Contender("fhirpy", partial(fhirpy, url, query), AHEAD),
        Contender("FHIR-PYrate", partial(pyrate, url, query), AHEAD),
    ]
