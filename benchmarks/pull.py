"""The pull of PSA results from a server, against a bare loop and two FHIR clients.

All ask the same search and follow the same pages.
"""

import io
import json
from contextlib import redirect_stderr
from dataclasses import replace
from functools import partial

import requests
from rounds import Contender

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
_FHIR_JSON = {"Accept": "application/fhir+json"}
_NO_CACHE = {"Cache-Control": "no-cache"}

Params = dict[str, str]


def asked(url: str, job: RunConfig, patient: str) -> Params:
    """The search for Observations that computing one patient makes, but of all patients.

    ``compute`` asks for 25 patients at a time. HAPI's database for tests (H2) finds a list of codes
    of a list of patients so slowly that nothing else would be measured.
    """
    of_one = replace(job, selection=Selection(frozenset({patient})))
    with FaultProxy(url) as proxy:
        read_source(proxy.url, of_one)
        searched = next(one for one in proxy.asked(searches) if one.param("patient"))
    return {key: value for key, value in searched.params if key != "patient"}


def ours(url: str, job: RunConfig, query: Params, settings: ServerSettings | None = None) -> int:
    """As ``search_source`` does: search, decode, extract, collect."""
    with open_client(url, settings or ServerSettings()) as client:
        request = job.read_request(OneProcess())
        context = request.context(client.base)
        collector = RecordCollector(request.retention())
        searcher = Searcher(client)
        for matches in searcher.search("Observation", {"code": query["code"]}):
            read(matches, collector, context, part=0)
        searcher.close()
    assert not collector.facts.unreadable
    return len(collector.items)


def bare(url: str, query: Params) -> int:
    """``requests`` and ``json``: the same pages, and nothing done with them."""
    found = 0
    with requests.Session() as session:
        session.headers.update(_FHIR_JSON)
        answer = session.post(f"{url}/Observation/_search", query, headers=_NO_CACHE)
        while True:
            page = json.loads(answer.content)
            found += len(page.get("entry", ()))
            links = {one["relation"]: one["url"] for one in page["link"]}
            if "next" not in links:
                return found
            answer = session.get(links["next"])


def fhirpy(url: str, query: Params) -> int:
    """fhirpy's search, all pages, values picked out of its resources."""
    from fhirpy import SyncFHIRClient

    client = SyncFHIRClient(url, extra_headers=_NO_CACHE)
    rows = [
        (one.id, one.subject.reference, one.effectiveDateTime, one.valueQuantity)
        for one in client.resources("Observation").search(**query)
    ]
    return len(rows)


def pyrate(url: str, query: Params) -> int:
    """FHIR-PYrate's way to a DataFrame, values picked out by a function of ours: its fastest."""
    from fhir_pyrate import Pirate

    session = requests.Session()
    session.headers.update(_NO_CACHE)
    # It sorts by itself where a sort is not asked for, and asks for the first page twice then.
    sorted_query = {**query, "_sort": "_id"}
    # Its progress bar cannot be turned off.
    with redirect_stderr(io.StringIO()), Pirate(url, auth=session) as pirate:
        rows = pirate.steal_bundles_to_dataframe(
            "Observation", sorted_query, process_function=_rows
        )
    return len(rows)


def _rows(bundle: object) -> dict[str, list[dict[str, object]]]:
    rows = [
        {
            "id": entry.resource.id,
            "subject": entry.resource.subject.reference,
            "when": entry.resource.effectiveDateTime,
            "value": entry.resource.valueQuantity.value,
            "unit": entry.resource.valueQuantity.unit,
        }
        for entry in bundle.entry or ()
    ]
    return {"Observation": rows}


def contenders(url: str, job: RunConfig, query: Params) -> list[Contender]:
    """Ours, the bare loop and the clients."""
    return [
        Contender("fhircryo", partial(ours, url, job, query)),
        Contender("requests + json", partial(bare, url, query), GOAL),
        Contender("fhirpy", partial(fhirpy, url, query), AHEAD),
        Contender("FHIR-PYrate", partial(pyrate, url, query), AHEAD),
    ]
