"""Our Device on a server, that endpoints name as what computed them."""

import time

import msgspec

from fhircryo.fhir.capability import Capabilities
from fhircryo.fhir.client import Client, HttpError, backoff
from fhircryo.fhir.search import Searcher
from fhircryo.publish.as_on_server import Json
from fhircryo.publish.observation_maker import DEVICE_ID
from fhircryo.publish.provenance import device
from fhircryo.publish.shapes import DECODER, ENCODER

_CONFLICTS = frozenset({409, 412})
_TRIES = 8


class TargetDevice:
    """Finds and writes the Device; under an id of ours where the server lets us choose it."""

    def __init__(self, client: Client, searcher: Searcher, known: Capabilities, base: str) -> None:
        self._client = client
        self._searcher = searcher
        self._own_id = known.update_create
        self._kept = known.allows("Device", "update") or known.allows("Device", "create")
        self._base = base

    def find(self) -> Json | None:
        """The reference to it; None where the server keeps no Devices, or this one not yet."""
        if not self._kept:
            return None
        if self._own_id:
            return {"reference": f"Device/{DEVICE_ID}"}
        query = {"identifier": f"{self._base}/device|{DEVICE_ID}"}
        for page in self._searcher.search("Device", query):
            for line in page:
                return {"reference": f"Device/{DECODER.decode(line)['id']}"}
        return None

    def write(self) -> Json | None:
        """Have it stand on the server in this program's version; the reference to it.

        Raises:
            HttpError: the server refuses.
        """
        if not self._kept:
            return None
        made = DECODER.decode(ENCODER.encode(device(self._base)))
        known = self.find()
        if known is None:
            del made["id"]
            self._send("POST", f"{self._client.base}/Device", made)
            return self.find()
        made["id"] = str(known["reference"]).partition("/")[2]
        url = f"{self._client.base}/{known['reference']}"
        if not self._stands(url, made):
            self._send("PUT", url, made)
        return known

    def _stands(self, url: str, wanted: Json) -> bool:
        try:
            found = DECODER.decode(self._client.request("GET", url).content)
        except HttpError as error:
            if error.status in (404, 410):
                return False
            raise
        except msgspec.MsgspecError:
            return False
        return all(found.get(key) == value for key, value in wanted.items())

    def _send(self, method: str, url: str, made: Json) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                self._client.request(method, url, body=ENCODER.encode(made))
            except HttpError as error:
                if error.status not in _CONFLICTS or attempt == _TRIES:
                    raise
                # Another run may have written the same in this moment.
                if method == "PUT" and self._stands(url, made):
                    return
                time.sleep(backoff(attempt))
            else:
                return
