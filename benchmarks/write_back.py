"""The write-back of computed endpoints, against bare POSTs of the same transactions."""

import json

import requests

from benchmarks.rounds import Contender
from fhircryo.publish.comparison import RetractionScope
from fhircryo.publish.computed_folder import ComputedFolder
from fhircryo.publish.target_server import Permissions, open_target
from fhircryo.settings import Settings
from tests.server.hapi import reset
from tests.server.proxy import Asked, FaultProxy

GOAL = 0.9


def push(url: str, computed: ComputedFolder) -> int:
    """Write a computed folder as ``fhircryo push`` does; the endpoints written."""
    settings = Settings.model_construct()
    with open_target(None, url, computed.origin, settings, Permissions()) as target:
        pushed = target.push(computed.patients, RetractionScope())
    assert not pushed.rejected
    return pushed.written.endpoints.total()


def writes(url: str, computed: ComputedFolder) -> list[Asked]:
    """What a push sends to be written: our Device, then the transactions."""
    reset(url)
    with FaultProxy(url) as proxy:
        push(proxy.url, computed)
        return proxy.asked(lambda one: bool(one.body) and not one.path.endswith("/_search"))


def bare(url: str, sent: list[Asked]) -> int:
    """Send the same again, one after another, and read the answers."""
    written = 0
    with requests.Session() as session:
        for one in sent:
            headers = {"Content-Type": one.header("content-type")}
            answer = session.request(one.method, f"{url}{one.path}", data=one.body, headers=headers)
            answer.raise_for_status()
            written += sum(
                entry["response"]["location"].startswith("Observation/")
                for entry in json.loads(answer.content).get("entry", ())
            )
    return written


def contenders(url: str, computed: ComputedFolder) -> list[Contender]:
    """Ours and the bare loop; the server is emptied before each."""
    sent = writes(url, computed)
    return [
        Contender("fhircryo", lambda: push(url, computed), prepare=lambda: reset(url)),
        Contender("requests", lambda: bare(url, sent), GOAL, prepare=lambda: reset(url)),
    ]
