"""What stands on a server after endpoints were written to it."""

from collections import defaultdict
from decimal import Decimal
from typing import Any

import msgspec
import requests

from tests.server.cohorts import BASE

Resource = dict[str, Any]

_DECODER = msgspec.json.Decoder(dict[str, Any], float_hook=Decimal)


def everything(url: str, kind: str, **params: str) -> list[Resource]:
    """All matches of a search."""
    answer = requests.get(f"{url}/{kind}", {**params, "_count": "200"}, timeout=60)
    found: list[Resource] = []
    while True:
        assert answer.ok, answer.text
        bundle = _DECODER.decode(answer.content)
        found += [entry["resource"] for entry in bundle.get("entry", ())]
        onward = [link["url"] for link in bundle["link"] if link["relation"] == "next"]
        if not onward:
            return found
        answer = requests.get(onward[0], timeout=60)


def endpoints(url: str) -> list[Resource]:
    """The published endpoints."""
    return everything(url, "Observation", identifier=f"{BASE}/endpoint|")


def by_name(url: str) -> dict[tuple[str, str, str], Resource]:
    """The published endpoints by patient, key and time point; each must be there once."""
    found: dict[tuple[str, str, str], list[Resource]] = defaultdict(list)
    for resource in endpoints(url):
        subject = resource["subject"]
        name = subject.get("reference") or subject["identifier"]["value"]
        found[name.rpartition("/")[2], key(resource), time_point(resource)].append(resource)
    doubled = {name for name, resources in found.items() if len(resources) > 1}
    assert not doubled, f"doubled: {sorted(doubled)[:5]}"
    return {name: resources[0] for name, resources in found.items()}


def key(resource: Resource) -> str:
    return str(resource["code"]["coding"][0]["code"])


def time_point(resource: Resource) -> str:
    for component in resource.get("component", ()):
        if component["code"]["coding"][0]["code"] == "time-point":
            return str(component["valueCodeableConcept"]["coding"][0]["code"])
    return ""


def versions(url: str) -> dict[str, str]:
    """The version of each published endpoint, by its identifier; each must be there once."""
    found = endpoints(url)
    named = {one["identifier"][0]["value"]: one["meta"]["versionId"] for one in found}
    assert len(named) == len(found), "an endpoint stands there twice"
    return named


def said(resource: Resource) -> Resource:
    """A published endpoint without what differs by place: id, meta, references."""
    apart = ("id", "meta", "subject", "partOf", "derivedFrom", "device")
    return {name: value for name, value in resource.items() if name not in apart}


def contents(url: str) -> dict[str, Resource]:
    """What each published endpoint says, by its identifier."""
    return {one["identifier"][0]["value"]: said(one) for one in endpoints(url)}


def statuses(url: str, patient: str) -> set[str]:
    """The statuses of a patient's endpoints."""
    return {one["status"] for (who, _, _), one in by_name(url).items() if who == patient}
