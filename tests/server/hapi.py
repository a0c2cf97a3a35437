"""The server of the tests: that of ``fhircryo hapi``, with the checkout's cache, and emptied."""

import os
from pathlib import Path

import requests

from fhircryo.setup.hapi.hapi_build import HapiUnavailable, cache_folder
from fhircryo.setup.hapi.hapi_server import HapiServer, switched, switches

__all__ = ["CACHE", "HapiServer", "HapiUnavailable", "install", "reset", "switched", "switches"]

os.environ.setdefault("HAPI_CACHE", str(Path(__file__).resolve().parents[2] / ".cache" / "hapi"))
CACHE = cache_folder()


def install(url: str, package: bytes, name: str, version: str) -> str:
    """Have a server install an NPM package; what it installed, in its words."""
    answer = requests.post(
        f"{url.removesuffix('/fhir')}/packages",
        params={"name": name, "version": version},
        data=package,
        headers={"Content-Type": "application/gzip"},
        timeout=300,
    )
    assert answer.ok, answer.text
    return answer.text


def reset(url: str) -> None:
    """Empty a server: every resource, every version, every kept search."""
    everything = {"name": "expungeEverything", "valueBoolean": True}
    response = requests.post(
        f"{url}/$expunge",
        json={"resourceType": "Parameters", "parameter": [everything]},
        headers={"Content-Type": "application/fhir+json"},
        timeout=120,
    )
    response.raise_for_status()
