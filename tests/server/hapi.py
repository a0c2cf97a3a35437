"""The server of the tests: that of ``fhircryo hapi``, with the checkout's cache, and emptied."""

import os
from pathlib import Path

import requests

from fhircryo.setup.hapi.hapi_build import HapiUnavailable, cache_folder
from fhircryo.setup.hapi.hapi_server import HapiServer, switched, switches

__all__ = ["CACHE", "HapiServer", "HapiUnavailable", "reset", "switched", "switches"]

os.environ.setdefault("HAPI_CACHE", str(Path(__file__).resolve().parents[2] / ".cache" / "hapi"))
CACHE = cache_folder()


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
