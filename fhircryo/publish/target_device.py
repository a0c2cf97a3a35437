"""The Device on a server that endpoints name as the software that computed them."""

import time

import msgspec

from fhircryo.fhir.client import HttpError, backoff
from fhircryo.publish.observation_maker import DEVICE_ID
from fhircryo.publish.provenance import device
from fhircryo.publish.shapes import DECODER, ENCODER, Json, OutReference, plain
from fhircryo.publish.target_connection import TargetConnection

_CONFLICTS = frozenset({409, 412})
_TRIES = 8


class TargetDevice:
    """Finds and writes the Device, under our own id where the server lets clients choose ids."""

    def __init__(self, connection: TargetConnection) -> None:
        capabilities = connection.capabilities
        self._client = connection.client
        self._searcher = connection.searcher
        self._base = connection.origin.base
        self._own_id = capabilities.update_create
        self._accepted = capabilities.allows("Device", "update") or capabilities.allows(
            "Device", "create"
        )

    def find(self) -> OutReference | None:
        """The reference to the Device; None where the server accepts none, or holds none yet."""
        if not self._accepted:
            return None
        if self._own_id:
            return OutReference(f"Device/{DEVICE_ID}")
        query = {"identifier": f"{self._base}/device|{DEVICE_ID}"}
        for page in self._searcher.search("Device", query):
            for line in page:
                return OutReference(f"Device/{DECODER.decode(line)['id']}")
        return None

    def write(self) -> OutReference | None:
        """Write the Device of this version, unless the server holds it; the reference to it.

        Raises:
            HttpError: the server refuses.
        """
        if not self._accepted:
            return None
        content = plain(device(self._base))
        found = self.find()
        if found is None:
            del content["id"]
            self._send("POST", f"{self._client.base}/Device", content)
            return self.find()
        content["id"] = str(found.reference).partition("/")[2]
        url = f"{self._client.base}/{found.reference}"
        if not self._is_current(url, content):
            self._send("PUT", url, content)
        return found

    def _is_current(self, url: str, content: Json) -> bool:
        """Whether the server holds a Device with this content."""
        try:
            found = DECODER.decode(self._client.request("GET", url).content)
        except HttpError as error:
            if error.status in (404, 410):
                return False
            raise
        except msgspec.MsgspecError:
            return False
        return all(found.get(key) == value for key, value in content.items())

    def _send(self, method: str, url: str, content: Json) -> None:
        for attempt in range(1, _TRIES + 1):
            try:
                self._client.request(method, url, body=ENCODER.encode(content))
            except HttpError as error:
                if error.status not in _CONFLICTS or attempt == _TRIES:
                    raise
                # Another run may have written the same at this moment.
                if method == "PUT" and self._is_current(url, content):
                    return
                time.sleep(backoff(attempt))
            else:
                return
