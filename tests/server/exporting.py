"""Bulk export in front of a server, with what HAPI's own does not tell: what was deleted."""

from datetime import UTC, datetime
from typing import Any

import requests

from tests.server.loading import _ENCODER
from tests.server.proxy import Answer, Asked, Fault
from tests.server.published import everything


class Exports(Fault):
    """Answers ``$export`` from the server behind; ``deleted``: references that are told as gone."""

    def __init__(self, upstream: str, **how: Any) -> None:
        super().__init__(**how)
        self.upstream = upstream
        self.deleted: list[str] = []
        self.kick_offs: list[Asked] = []

    def instead(self, asked: Asked, base: str) -> Answer | None:
        if asked.path.endswith("$export"):
            self.kick_offs.append(asked)
            place = f"{base}/bulk-status/{len(self.kick_offs)}"
            return Answer(202, {"Content-Location": place})
        if asked.path.startswith("/bulk-status/"):
            return Answer(202 if asked.method == "DELETE" else 200, {}, self._manifest(base))
        if asked.path.startswith("/bulk-file/"):
            told = {"Content-Type": "application/fhir+ndjson"}
            return Answer(200, told, self._file(asked.path.rpartition("/")[2]))
        return None

    def _manifest(self, base: str) -> bytes:
        kinds = self.kick_offs[-1].param("_type")[0].split(",")
        # The server's clock, as everywhere.
        date = requests.get(f"{self.upstream}/Patient?_summary=count", timeout=60).headers["Date"]
        now = datetime.strptime(date, "%a, %d %b %Y %H:%M:%S %Z").replace(tzinfo=UTC)
        found = {
            "transactionTime": now.isoformat(),
            "requiresAccessToken": False,
            "output": [{"type": kind, "url": f"{base}/bulk-file/{kind}"} for kind in kinds],
            "deleted": [{"type": "Bundle", "url": f"{base}/bulk-file/deleted"}],
            "error": [],
        }
        return bytes(_ENCODER.encode(found))

    def _file(self, name: str) -> bytes:
        since = self.kick_offs[-1].param("_since")
        if name == "deleted":
            entry = [{"request": {"method": "DELETE", "url": ref}} for ref in self.deleted]
            bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entry}
            return bytes(_ENCODER.encode(bundle)) + b"\n" if entry and since else b""
        params = {"_lastUpdated": f"ge{since[0]}"} if since else {}
        found = everything(self.upstream, name, **params)
        return b"".join(_ENCODER.encode(one) + b"\n" for one in found)
