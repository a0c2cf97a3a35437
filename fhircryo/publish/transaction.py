"""Changes as entries of transactions, or as single requests: FHIR R4's RESTful API.

Source: https://hl7.org/fhir/R4/http.html
"""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from urllib.parse import urlencode

import msgspec

from fhircryo import __version__
from fhircryo.fhir.capability import Capabilities
from fhircryo.publish.as_on_server import Json
from fhircryo.publish.difference import Action, PatientChanges
from fhircryo.publish.origin import Origin
from fhircryo.publish.provenance import provenance, provenance_id
from fhircryo.publish.shapes import DECODER, ENCODER
from fhircryo.publish.validate import validate_line

#: What a server says of a version, which is not for us to send.
_SERVERS_META = ("versionId", "lastUpdated", "source")

#: How an endpoint that does not stand yet is created: by an id of ours, by its identifier, or not
#: protected against a double but by the lock.
Creation = Literal["own-id", "conditional", "unprotected"]


def creation(known: Capabilities) -> Creation:
    """How endpoints are created on a server; where ids are ours, no race can double them."""
    if known.update_create:
        return "own-id"
    return "conditional" if known.conditional_update else "unprotected"


@dataclass(frozen=True)
class Entry:
    """A request: ``full_url`` is how others in the same transaction refer to its resource.

    ``ours``: it was computed by us, and not read back from the server to be retracted.
    """

    method: Literal["PUT", "POST"]
    url: str
    full_url: str
    resource: bytes
    if_match: str | None = None
    ours: bool = True


@dataclass(frozen=True)
class PatientWrite:
    """A patient's entries: his Observations; his Provenance comes with those that are written."""

    changes: PatientChanges
    observations: list[Entry]
    made: "EntryMaker"
    written: datetime

    def provenance(self, targets: list[str]) -> Entry | None:
        """The Provenance of what was or is written, by reference to each."""
        return self.made.provenance(self, targets)


class EntryMaker:
    """Makes the entries of a run. ``device``: the reference to our Device, where there is one."""

    def __init__(self, origin: Origin, known: Capabilities, device: Json | None) -> None:
        self._origin = origin
        self._known = known
        self._creation = creation(known)
        self._agent: Json = device or {"display": f"fhircryo {__version__}"}
        self._provenances = known.allows("Provenance", "update") or known.allows(
            "Provenance", "create"
        )

    def write(
        self, patient: PatientChanges, retired: dict[str, Json], written: datetime
    ) -> PatientWrite:
        """The entries of a patient's changes; ``retired``: in full, by id, what is retracted."""
        entries = []
        for change in patient.changes:
            if change.action is Action.RETRACTED:
                standing = change.standing
                if standing is None or standing.id not in retired:
                    continue  # gone since it was listed: nothing is left to retract
                resource = retired[standing.id]
                meta = resource.get("meta") or {}
                resource["meta"] = {
                    key: value for key, value in meta.items() if key not in _SERVERS_META
                }
            else:
                resource = DECODER.decode(change.content)
            resource["status"] = change.status
            standing_id = change.standing.id if change.standing is not None else ""
            version = change.standing.version if change.standing is not None else ""
            entry = self._entry(change.identifier, resource, standing_id, version)
            entries.append(replace(entry, ours=change.action is not Action.RETRACTED))
        return PatientWrite(patient, entries, self, written)

    def _entry(self, identifier: str, resource: Json, standing: str, version: str) -> Entry:
        if standing or self._creation == "own-id":
            name = standing or identifier
            url = f"Observation/{name}"
            content = ENCODER.encode({**resource, "id": name})
            guarded = f'W/"{version}"' if version and self._known.versioned_update else None
            return Entry("PUT", url, url, content, guarded)
        full_url = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, identifier)}"
        content = ENCODER.encode(resource)
        if self._creation == "conditional":
            query = urlencode({"identifier": f"{self._origin.identifier_system}|{identifier}"})
            return Entry("PUT", f"Observation?{query}", full_url, content)
        return Entry("POST", "Observation", full_url, content)

    def provenance(self, write: PatientWrite, targets: list[str]) -> Entry | None:
        """The Provenance of a patient's write; None where the target keeps none."""
        if not self._provenances or not targets:
            return None
        fresh = write.changes.fresh
        contents = b"\n".join(entry.resource for entry in write.observations)
        if fresh is not None:
            made = dict(fresh.provenance)
        else:
            made = DECODER.decode(ENCODER.encode(provenance([], b"", (), self._origin)))
            made["activity"] = {"text": f"Retracted by protocol {self._origin.protocol_name}"}
        names = [change.identifier for change in write.changes.changes]
        made["id"] = provenance_id(names, contents)
        made["target"] = [{"reference": target} for target in targets]
        made["recorded"] = write.written.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        made["agent"] = [{"who": self._agent}]
        validate_line(ENCODER.encode(made))
        if self._creation == "own-id":
            url = f"Provenance/{made['id']}"
            return Entry("PUT", url, url, ENCODER.encode(made))
        full_url = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, made.pop('id'))}"
        return Entry("POST", "Provenance", full_url, ENCODER.encode(made))


def transaction(writes: Iterable[PatientWrite]) -> bytes:
    """A transaction Bundle of whole patients."""
    entries = []
    for write in writes:
        mine = list(write.observations)
        source = write.provenance([entry.full_url for entry in mine])
        entries += [*mine, source] if source is not None else mine
    return ENCODER.encode(
        {
            "resourceType": "Bundle",
            "type": "transaction",
            "entry": [_entry(entry) for entry in entries],
        }
    )


def _entry(entry: Entry) -> Json:
    request = {"method": entry.method, "url": entry.url}
    if entry.if_match is not None:
        request["ifMatch"] = entry.if_match
    found: Json = {"resource": msgspec.Raw(entry.resource), "request": request}
    if entry.full_url.startswith("urn:"):
        found["fullUrl"] = entry.full_url
    return found
